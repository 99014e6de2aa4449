"""What the kit's encoders see of a motion: numbers per frame, part by part, and windows of them.

Body points lie about the clip's neck, the hands about their wrists and the face about the tip of the nose, all in
shoulder widths, so a part tells of its own shape and motion. A number whose point the release does not see, or that
lies about a point which it does not see, is left at the mean of the training split, for the truth as for every system.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.schema import FloatArray

WINDOW = 50
"""Frames that an autoencoder sees: 2 s."""

STRIDE = 25

_BODY = np.arange(13)
_HANDS = np.arange(kp.LEFT_HAND.start, kp.RIGHT_HAND.stop)
_FACE = np.arange(kp.FACE.start, kp.FACE.stop)
_ARMS = np.array([*range(kp.LEFT_SHOULDER, kp.RIGHT_HIP + 1)])

POINTS: dict[str, npt.NDArray[np.int64]] = {
    "all": np.concatenate([_BODY, _HANDS, _FACE]),
    "body": _BODY,
    "hands": _HANDS,
    "face": _FACE,
}
"""The points of each part."""

GESTURE = np.concatenate([_ARMS, _HANDS])
"""What the two-tower network sees: arms, hips and hands. No face, so lips are no way to tell."""


@dataclasses.dataclass(frozen=True)
class Normaliser:
    """Mean and deviation of every number in the training split."""

    mean: FloatArray
    """[133, 2] of the rooted points."""
    deviation: FloatArray
    """[133, 2], never below `LEAST`."""

    LEAST = 0.01
    """Shoulder widths: what moves less is noise."""

    def __call__(self, seen: Seen) -> FloatArray:
        """Numbers of all points: [n, 133, 2], 0 where the release sees nothing."""
        apart = rooted(seen)
        apart -= self.mean
        apart /= self.deviation
        return np.where(seen.clip.once(counted)[..., None], apart, np.float32(0))


def numbers_of(numbers: FloatArray, points: npt.NDArray[np.int64]) -> FloatArray:
    """Numbers of some points: [n, 2 points]."""
    return numbers[:, points].reshape(len(numbers), -1)


def rooted(seen: Seen) -> FloatArray:
    """Points [n, 133, 2] in shoulder widths: body about the neck, hands about their wrists, face about the nose."""
    points = seen.points.copy(order="K")
    points[:, kp.LEFT_HAND] -= seen.points[:, kp.LEFT_HAND.start, None]
    points[:, kp.RIGHT_HAND] -= seen.points[:, kp.RIGHT_HAND.start, None]
    points[:, kp.FACE] -= seen.points[:, kp.NOSE_TIP, None]
    return points


def counted(seen: Seen | Clip) -> Bools:
    """[n, 133] whether a point is shown, and that about which it lies in `rooted`."""
    shown = seen.shown.copy(order="K")
    shown[:, kp.LEFT_HAND] &= seen.shown[:, kp.LEFT_HAND.start, None]
    shown[:, kp.RIGHT_HAND] &= seen.shown[:, kp.RIGHT_HAND.start, None]
    shown[:, kp.FACE] &= seen.shown[:, kp.NOSE_TIP, None]
    return shown


def windows(numbers: FloatArray, *, frames: int = WINDOW, stride: int = STRIDE) -> FloatArray:
    """Windows [w, frames, d] of the numbers [n, d] of a clip; none where it is shorter than one."""
    starts = range(0, len(numbers) - frames + 1, stride)
    if not starts:
        return np.zeros((0, frames, numbers.shape[1]), np.float32)
    return np.stack([numbers[start : start + frames] for start in starts])


def channels(numbers: FloatArray, points: npt.NDArray[np.int64]) -> FloatArray:
    """The same windows of some points' numbers [n, 133, 2], with time last: [w, 2 points, frames]."""
    if len(numbers) < WINDOW:
        return np.zeros((0, 2 * len(points), WINDOW), np.float32)
    cut = np.lib.stride_tricks.sliding_window_view(numbers[:, points], WINDOW, axis=0)[::STRIDE]
    return cut.reshape(len(cut), -1, WINDOW)
