"""Measure: do the lips move with the sound? Lip opening from the face's points against the envelope of the sound.

Both are sampled on the clip's clock, freed of slow drift, and correlated at every lag up to a second. The strength
says how far the best correlation stands above what the same two curves give when one is turned round by a lag that
cannot be right: a clip is its own control. Published tools use a trained network here (SyncNet); this measure needs
none, and on film through a small pose network its lag was no better than chance, so its criterion only asks for a
look.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from csg405 import keypoints as kp
from csg405 import media
from csg405.config import Settings
from csg405.media import SAMPLES_PER_FRAME
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FloatArray, Pose, Record, column

VERSION = "2"
SCOPE = "clip"
READS = (Clip, Pose)
NEEDS = Resources()

Curve = npt.NDArray[np.float64]

_DRIFT_FRAMES = 25
"""Window of the moving mean that is taken away, frames: a second, longer than a syllable and shorter than a nod."""

_LEAST_SHIFTS = 25
"""Fewest turns that a control can be made of."""


class Config(Settings):
    """Options of the measure."""

    max_lag_frames: int = Field(15, ge=1, description="largest lag looked at, frames of 40 ms; SyncNet's range")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LipSync(Record):
    """Lips and sound of one clip."""

    TABLE: ClassVar[str] = "measures/lip_sync"

    clip_id: str = column("the clip")
    lag_frames: int | None = column(
        "lag of the best correlation; positive: the sound comes after the lips", unit="frames"
    )
    correlation: float | None = column("correlation at that lag", unit="-1 to 1")
    strength: float | None = column("how far it stands above those of circular shifts", unit="standard deviations")
    opening: float | None = column("95th percentile of the lip opening", unit="distances of the eyes")


WRITES = (LipSync,)


class Operator:
    """Measures lip synchrony."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row; values are missing where lips or sound do not move, or the clip is too short for a control."""
        clip, pose = item.the_clip(), item.one(Pose)
        if pose is None:
            return
        try:
            samples = media.sound(item.media, start_ms=clip.start_ms, n_samples=SAMPLES_PER_FRAME * clip.n_frames)
        except media.Unreadable:
            return  # `sound` has said so
        opening = lip_opening(pose.keypoints())
        lag, correlation, strength = synchrony(opening, envelope(samples), max_lag=self.config.max_lag_frames)
        yield LipSync(
            clip_id=clip.clip_id,
            lag_frames=lag,
            correlation=correlation,
            strength=strength,
            opening=float(np.percentile(opening, 95)),
        )


def lip_opening(points: FloatArray) -> Curve:
    """Distance of the inner lips' edges over the distance of the eyes.

    Args:
        points: [n_frames, 133, 2].

    Returns:
        [n_frames].
    """
    gaps = points[:, kp.UPPER_LIP] - points[:, kp.LOWER_LIP]
    eyes = points[:, kp.LEFT_EYE].mean(axis=1) - points[:, kp.RIGHT_EYE].mean(axis=1)
    distance = np.median(np.linalg.norm(eyes, axis=-1).astype(np.float64))
    return np.asarray(np.linalg.norm(gaps, axis=-1).mean(axis=1) / max(float(distance), 1e-6), np.float64)


def envelope(samples: FloatArray) -> Curve:
    """Root of the loudness of each frame's samples: [n_frames] from [640 n_frames]."""
    power = np.square(samples.astype(np.float64)).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)
    return np.asarray(power**0.25, np.float64)


def synchrony(lips: Curve, sound: Curve, *, max_lag: int) -> tuple[int | None, float | None, float | None]:
    """Best lag, its correlation and its strength.

    Args:
        lips: [n] lip opening.
        sound: [n] envelope.
        max_lag: largest lag, frames.

    Returns:
        Lag in frames (positive: the sound comes after the lips), correlation, and the correlation's distance from
        the mean of those at circular shifts beyond the largest lag, in their standard deviations. All are None
        where a curve is flat or too short.
    """
    n = len(lips)
    controls = range(2 * max_lag + 1, n - 2 * max_lag)
    first, second = _standard(lips), _standard(sound)
    if first is None or second is None or len(controls) < _LEAST_SHIFTS:
        return None, None, None
    around = np.fft.irfft(np.conj(np.fft.rfft(first)) * np.fft.rfft(second), n) / n
    lags = np.arange(-max_lag, max_lag + 1)
    best = int(lags[np.argmax(around[lags])])
    chance = around[list(controls)]
    spread = float(chance.std())
    strength = (float(around[best]) - float(chance.mean())) / spread if spread > 0 else None
    return best, float(around[best]), strength


def _standard(curve: Curve) -> Curve | None:
    """A curve without slow drift, of mean 0 and deviation 1; None for one that does not move."""
    if len(curve) <= _DRIFT_FRAMES:
        return None
    kernel = np.ones(_DRIFT_FRAMES) / _DRIFT_FRAMES
    half = _DRIFT_FRAMES // 2
    drift = np.convolve(np.pad(curve, half, mode="reflect"), kernel, mode="valid")
    moving = curve - drift
    deviation = float(moving.std())
    return (moving - moving.mean()) / deviation if deviation > 1e-9 else None
