r"""Do the lips open when they should: correlation of their opening with the truth's, and with the sound.

The opening is the mean distance of three pairs of opposite points on the inner edges of the lips, over the distance
between the eyes (the truth's, median over the clip). With e either the opening in the truth or the loudness of the
frame's 40 ms between 300 and 3000 Hz (root of the power),

.. math:: r = \max_{-2 \le l \le 2} \mathrm{corr}_t(a_{t+l}, e_t)

over frames in which the lips are shown; the value is the mean over clips. A system whose lips stand still has 0. Clips
in which the true lips stand still (standard deviation under 0.01 of the distance between the eyes) are left out, and
so are those with less than a second of lips, and for the loudness silent ones.

Unit: none, -1 to 1. Better: `lip_r` higher; `lip_envelope` nearer to the truth, since lips are not driven by loudness
alone and whoever follows only that lies above it.
Known failures: two frames out of time are free, and a fifth of a second is nearly as bad as any shift. How far the
lips open does not matter, only when; for that see `lip_velocity`. The best of five lags is above 0 by chance. In small
faces the estimator's noise is as large as the opening.
Source: ours, after the correlation of lip opening and acoustic envelope in speech science (Chandrasekaran et al., The
natural statistics of audiovisual speech, 2009), who find it strongest from 300 to 3000 Hz.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

from csg405.benchmark.clip import Bools, Clip, Seen, Sound
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics._face import Floats, aperture, inter_ocular, lips_shown
from csg405.benchmark.metrics._motion import given
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME

CARDS = (
    Card(
        name="lip_r",
        title="Lip opening, correlation with the truth",
        unit="1",
        direction="higher",
        ranks=True,
        answers=("jitter", "smoothing", "time_shift", "freezing"),
        ignores=("damping", "other_audio", "bones"),
    ),
    Card(
        name="lip_envelope",
        title="Lip opening, correlation with the sound",
        unit="1",
        direction="truth",
        answers=("jitter", "smoothing", "freezing", "other_audio"),
        ignores=("damping", "bones"),
    ),
)

_MOST_LAG = 2
"""Frames: 80 ms, within which nobody notices."""
_LEAST_FRAMES = FPS
_LEAST_OPENING = 0.01
"""Standard deviation over the distance between the eyes: 0.6 mm of a grown-up's face."""
_STILL = 1e-4
"""The same, under which a system's lips stand still: the rounding of pixels to 32 bits."""
_BAND_HZ = (300, 3000)
_SILENCE = 1e-5
"""Root mean square under which a band is silent: under the last bit of 16."""


def measure(seen: Seen) -> Row:
    """Both correlations of a clip."""
    nothing, moving = np.array(np.nan), seen.clip.once(_moving)
    if moving is None:
        return {"lip_r": nothing, "lip_envelope": nothing}
    true, unit, shown = moving
    mine = aperture(seen.points, unit=unit)
    loudness = seen.clip.sound.once(band_level)
    heard = loudness.std() > _SILENCE
    return {
        "lip_r": np.array(best_correlation(mine, true, shown=shown)),
        "lip_envelope": np.array(best_correlation(mine, loudness, shown=shown)) if heard else nothing,
    }


def _moving(clip: Clip) -> tuple[Floats, float, Bools] | None:
    """The opening of the true lips [n], its unit, and where lips are shown [n]; None where they stand still."""
    shown, unit = lips_shown(clip), clip.once(inter_ocular)
    if unit is None or shown.sum() < _LEAST_FRAMES:
        return None
    true = aperture(clip.points, unit=unit)
    return (true, unit, shown) if np.std(true[shown]) >= _LEAST_OPENING else None


def best_correlation(lips: Floats, other: Floats, *, shown: Bools) -> float:
    """The highest correlation over lags; 0 where the lips stand still.

    Args:
        lips: [n] opening of the lips.
        other: [n] what they are compared with.
        shown: [n] frames that count, of the lips and of the other.
    """
    found = [_correlation(*_lagged(lips, other, shown, lag)) for lag in range(-_MOST_LAG, _MOST_LAG + 1)]
    return max(found)


def _lagged(lips: Floats, other: Floats, shown: Bools, lag: int) -> tuple[Floats, Floats]:
    n = len(lips)
    late, early = slice(max(lag, 0), n + min(lag, 0)), slice(max(-lag, 0), n + min(-lag, 0))
    held = shown[late] & shown[early]
    return lips[late][held], other[early][held]


def _correlation(lips: Floats, other: Floats) -> float:
    if not len(lips):
        return 0.0
    mine, theirs = lips - lips.mean(), other - other.mean()
    powers = float(mine @ mine) / len(lips), float(theirs @ theirs)
    if powers[0] < _STILL**2 or not powers[1]:
        return 0.0
    return float(mine @ theirs / math.sqrt(powers[0] * len(lips) * powers[1]))


def band_level(sound: Sound) -> Floats:
    """Root mean square of each frame's sound between 300 and 3000 Hz, [n]: by the spectrum of its 40 ms."""
    frames = sound.wave.reshape(-1, SAMPLES_PER_FRAME)
    spectrum = np.square(np.abs(fft.rfft(frames)))
    low, high = (round(edge * SAMPLES_PER_FRAME / AUDIO_RATE_HZ) for edge in _BAND_HZ)
    power = spectrum[:, low : high + 1].sum(axis=1, dtype=np.float64) * 2 / SAMPLES_PER_FRAME**2
    return np.asarray(np.sqrt(power), np.float64)


def clip_values(row: Row, true_row: Row) -> Values:
    """Both correlations of a clip."""
    del true_row
    return {card.name: given(row, card.name) for card in CARDS}
