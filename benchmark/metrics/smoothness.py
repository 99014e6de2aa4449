r"""How smooth a motion is, against the truth: average jerk, and the part of the motion that is faster than 6 Hz.

`jerk` is ln(J / J*), J being the mean over clips, frames and points of |third difference| x 25^3, in shoulder widths
per s^3, and J* that of the truth; points are those that carry a gesture (nose, shoulders, elbows, wrists, hands).

`high_frequency` is ln(R / R*), R being the power of the velocity of elbows and wrists above 6 Hz over its total, both
summed over clips. Velocity is the forward difference; its spectrum is taken in windows of 2 s, one each second, less
their mean, under a Hann window. Velocity and not position, since the slow drift of a position leaks into all
frequencies. Windows in which a point is not always shown are left out for that point.

Unit: natural logarithm; 0.69 is twice, -0.69 half. Better: nearer to 0. J is held at 0.01 at least and R
at 1e-9, so that motion which stands still has a value; where nothing moves at all R has none.
Known failures: smoothing lowers both without end, so they are no measures of quality by themselves; estimators' noise
is part of the truth, so motion that is smoother than an estimator's lies below 0. Holding frames makes jumps, and
both go up, by less the longer they are held. One jump in a clip outweighs all else in `high_frequency`.
Sources: average jerk as in the GENEA challenge of 2020 (Kucherenko et al., IUI 2021), as a ratio; Welch (1967) for
the spectrum. 6 Hz is ours: gestures of the arms lie below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405.benchmark.clip import Bools, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled, one_pool
from csg405.benchmark.metrics._motion import ARMS, GESTURE, Floats, changes, pooled_sums, quotient, shown_points
from csg405.media.clock import FPS
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="jerk",
        title="Average jerk, log-ratio to the truth",
        unit="ln",
        direction="zero",
        answers=("jitter", "smoothing", "damping", "freezing"),
        ignores=("other_audio", "lips"),
    ),
    Card(
        name="high_frequency",
        title="Part of motion above 6 Hz, log-ratio to the truth",
        unit="ln",
        direction="zero",
        answers=("jitter", "smoothing"),
        ignores=("other_audio", "damping", "lips"),
    ),
)

_HIGH_HZ = 6
_WINDOW = 2 * FPS
_STEP = FPS
_LEAST_JERK = 0.01
"""Shoulder widths per s^3: that of the rounding of pixels to 32 bits."""
_LEAST_PART = 1e-9
"""What a Hann window lets through of slow motion."""

_HANN = np.hanning(_WINDOW + 1)[:-1]
_FREQUENCIES_HZ = np.fft.rfftfreq(_WINDOW, 1 / FPS)
_SIDES = np.where((_FREQUENCIES_HZ > 0) & (_FREQUENCIES_HZ < FPS / 2), 2, 1)
"""A one-sided spectrum holds the power of both sides, save at its ends."""


def measure(seen: Seen) -> Row:
    """Sums of jerk with their number, and power above 6 Hz and in total."""
    size, known = changes(*shown_points(seen, GESTURE), order=3)
    high, total = powers(*shown_points(seen, ARMS))
    return {
        "jerk": np.array(size.sum(where=known, dtype=np.float64)),
        "jerks": np.array(float(known.sum())),
        "high": np.array(high),
        "total": np.array(total),
    }


def powers(points: FloatArray, shown: Bools) -> tuple[float, float]:
    """Power of the points' velocity above 6 Hz, and in total.

    Args:
        points: [n, j, 2]
        shown: [n, j]
    """
    if len(points) <= _WINDOW:
        return 0.0, 0.0
    windows = np.lib.stride_tricks.sliding_window_view
    velocity = windows(np.diff(points, axis=0) * np.float32(FPS), _WINDOW, axis=0)[::_STEP]
    whole = windows(shown, _WINDOW + 1, axis=0)[::_STEP].all(axis=-1)
    held = velocity[whole].astype(np.float64)
    held -= held.mean(axis=-1, keepdims=True)
    spectrum = np.square(np.abs(np.fft.rfft(held * _HANN))).sum(axis=(0, 1)) * _SIDES
    return float(spectrum[_FREQUENCIES_HZ > _HIGH_HZ].sum()), float(spectrum.sum())


def compute(rows: Rows, truth: Rows) -> Values:
    """Both log-ratios; None where nothing is shown or moves."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """See `csg405.benchmark.metrics._motion.pooled_sums`; all cards come from the same sums."""
    del only
    return pooled_sums(_from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row) -> dict[str, Floats]:
    return {
        card.name: np.log(np.maximum(quotient(system[sums], system[over]), least))
        - np.log(np.maximum(quotient(true[sums], true[over]), least))
        for card, sums, over, least in (
            (CARDS[0], "jerk", "jerks", _LEAST_JERK), (CARDS[1], "high", "total", _LEAST_PART),
        )
    }  # fmt: skip
