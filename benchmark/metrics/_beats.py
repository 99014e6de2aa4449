"""What the two published beat scores share: how near the motion's beats come to the sound's onsets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def nearness(onsets_s: Floats, beats_s: Floats, *, sigma_s: float) -> float:
    """Sum over onsets of exp(-d^2 / (2 sigma^2)), d being the time to the nearest beat; 0 without beats.

    Args:
        onsets_s: times, s.
        beats_s: times, rising, s.
        sigma_s: how far is near, s.
    """
    if not len(beats_s) or not len(onsets_s):
        return 0.0
    after = np.searchsorted(beats_s, onsets_s).clip(0, len(beats_s) - 1)
    before = (after - 1).clip(0)
    apart = np.minimum(np.abs(beats_s[after] - onsets_s), np.abs(beats_s[before] - onsets_s))
    return float(np.exp(-np.square(apart) / (2 * sigma_s**2)).sum())
