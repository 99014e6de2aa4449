"""Measure: what the keypoints say of a clip: confidence, face, hands, framing, jitter and motion.

Lengths are given in shoulder widths, so that a person far away and one close by are measured alike. Nobody
publishes a threshold on hands (dataset builders stop at the wrists); both hands are therefore measured apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from csg405 import keypoints as kp
from csg405.config import Settings
from csg405.media import FPS
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FloatArray, Pose, Record, column

VERSION = "1"
SCOPE = "clip"
READS = (Clip, Pose)
NEEDS = Resources()

Mask = npt.NDArray[np.bool_]

_HEAD_AND_ARMS = slice(0, 11)
"""Nose to wrists."""

_FRAMED = (kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_ELBOW, kp.RIGHT_ELBOW)
"""Points that must lie in the picture for the upper body to be in it."""

_STEADY = (kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER)
"""Points of parts too heavy to shake: what shakes there is the estimate, or the camera."""

_SMOOTH_FRAMES = 7
"""Window of the smoothing that jitter is measured against, frames (0.28 s)."""


class Config(Settings):
    """Options of the measure."""

    confident: float = Field(0.3, gt=0, lt=1, description="lowest score of a point that counts as seen; rtmlib's usual")
    frontal_yaw: float = Field(
        0.25, gt=0, lt=0.5,
        description="largest distance of the nose from the middle of the jaw, in jaw widths; 0.5 is a profile",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skeleton(Record):
    """Keypoints of one clip."""

    TABLE: ClassVar[str] = "measures/skeleton"

    clip_id: str = column("the clip")
    confidence: float = column("median over frames of the mean score of head and arms", unit="0-1")
    face_confidence: float = column("median over frames of the mean score of the face", unit="0-1")
    face_height_px: float | None = column("median distance from brows to chin, in the source", unit="px")
    frontal_fraction: float | None = column("frames with the face toward the camera", unit="0-1")
    in_frame_fraction: float = column("frames with nose, shoulders and elbows seen within the picture", unit="0-1")
    left_hand_fraction: float = column("frames with the left hand seen within the picture", unit="0-1")
    right_hand_fraction: float = column("frames with the right hand seen within the picture", unit="0-1")
    hands_fraction: float = column("the smaller of the two", unit="0-1")
    shoulder_width_px: float | None = column("median distance of the shoulders, in the source", unit="px")
    jitter: float | None = column(
        "mean distance of nose and shoulders from their smoothed path", unit="shoulder widths"
    )
    motion: float | None = column("mean speed of the faster wrist", unit="shoulder widths/s")


WRITES = (Skeleton,)


class Operator:
    """Measures skeletons."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row; none where there is no pose."""
        pose = item.one(Pose)
        if pose is not None:
            yield self._measure(pose)

    def _measure(self, pose: Pose) -> Skeleton:
        points, scores = pose.keypoints(), pose.scores()
        seen = scores >= self.config.confident
        visible = seen & _inside(points, pose.width, pose.height)
        left, right = (_hand_fraction(visible, hand) for hand in (kp.LEFT_HAND, kp.RIGHT_HAND))
        width = shoulder_width(points, seen)
        return Skeleton(
            clip_id=pose.clip_id,
            confidence=float(np.median(scores[:, _HEAD_AND_ARMS].mean(axis=1))),
            face_confidence=float(np.median(scores[:, kp.FACE].mean(axis=1))),
            face_height_px=_face_height(points, seen),
            frontal_fraction=_frontal(points, seen, self.config.frontal_yaw),
            in_frame_fraction=float(visible[:, _FRAMED].all(axis=1).mean()),
            left_hand_fraction=left,
            right_hand_fraction=right,
            hands_fraction=min(left, right),
            shoulder_width_px=width,
            jitter=_jitter(points, seen, width),
            motion=_motion(points, seen, width),
        )


def _inside(points: FloatArray, width: int, height: int) -> Mask:
    return np.asarray((points >= 0).all(-1) & (points[..., 0] < width) & (points[..., 1] < height))


def _hand_fraction(visible: Mask, hand: slice) -> float:
    """Frames in which most of a hand's points are seen."""
    return float((visible[:, hand].mean(axis=1) > 0.5).mean())


def shoulder_width(points: FloatArray, seen: Mask) -> float | None:
    """Median distance of the shoulders in pixels; None where they are never seen together."""
    both = seen[:, kp.LEFT_SHOULDER] & seen[:, kp.RIGHT_SHOULDER]
    if not both.any():
        return None
    distance = np.linalg.norm(points[both, kp.LEFT_SHOULDER] - points[both, kp.RIGHT_SHOULDER], axis=-1)
    return float(np.median(distance)) or None


def _face_frames(points: FloatArray, seen: Mask) -> FloatArray:
    """The face's 68 points [n, 68, 2] on the frames in which most of them are seen."""
    faces: FloatArray = points[seen[:, kp.FACE].mean(axis=1) > 0.5][:, kp.FACE]
    return faces


def _face_height(points: FloatArray, seen: Mask) -> float | None:
    faces = _face_frames(points, seen)
    return float(np.median(np.ptp(faces[..., 1], axis=1))) if len(faces) else None


def _frontal(points: FloatArray, seen: Mask, limit: float) -> float | None:
    faces = _face_frames(points, seen)
    if not len(faces):
        return None
    right, left, nose = faces[:, 0, 0], faces[:, 16, 0], faces[:, 30, 0]
    breadth = np.where(left - right < 1, np.nan, left - right)  # edge-on, or seen from behind
    yaw = np.abs((nose - right) / breadth - 0.5)
    return float(np.mean(np.nan_to_num(yaw, nan=1.0) <= limit))


def _jitter(points: FloatArray, seen: Mask, width: float | None) -> float | None:
    if width is None or len(points) < _SMOOTH_FRAMES:
        return None
    steady: Sequence[int] = _STEADY
    path = points[:, steady].astype(np.float64)
    smooth = _smooth(path)
    distance = np.linalg.norm(path - smooth, axis=-1)
    counted = seen[:, steady]
    return float(distance[counted].mean() / width) if counted.any() else None


def _motion(points: FloatArray, seen: Mask, width: float | None) -> float | None:
    if width is None or len(points) < _SMOOTH_FRAMES:
        return None
    speeds = []
    for wrist in (kp.LEFT_WRIST, kp.RIGHT_WRIST):
        if seen[:, wrist].mean() > 0.5:
            path = _smooth(points[:, wrist].astype(np.float64))
            speeds.append(float(np.linalg.norm(np.diff(path, axis=0), axis=-1).mean()) * FPS / width)
    return max(speeds) if speeds else None


def _smooth(path: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A path [n_frames, ...] smoothed along time by quadratics (Savitzky-Golay)."""
    from scipy.signal import savgol_filter

    return np.asarray(savgol_filter(path, _SMOOTH_FRAMES, polyorder=2, axis=0))
