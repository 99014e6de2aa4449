"""The square of a clip: where the crop lies that holds everything the upper body does.

`postprocess.crop` takes it for clips that were filmed, `csg405.synth.truth` for talkers that never were, so that
keypoints of both lie in their pictures alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field

from csg405 import keypoints as kp
from csg405.config import Settings
from csg405.schema import FloatArray, Pose

Box = npt.NDArray[np.float64]
"""[4] x1, y1, x2, y2."""

STRAY_PERCENT = 0.5
"""Points left out at each end of an axis, per cent: an estimate that jumps for a frame or two."""

_HEADROOM = 0.8
"""Hair above the brows, in heights of the face from brow to chin; the face's points end at the brows."""


class Framing(Settings):
    """How much is taken around a person, and which points say where that is."""

    margin: float = Field(0.08, ge=0, lt=0.5, description="free space on each side, as a part of the person's extent")
    confident: float = Field(0.3, gt=0, lt=1, description="lowest score of a point that must be inside")
    min_side_px: int = Field(64, ge=2, description="smallest square, px")


def kept_points(pose: Pose, confident: float) -> FloatArray:
    """The confident points of the upper body that lie in the picture, of all frames together: [n, 2]."""
    points, scores = pose.keypoints()[:, kp.UPPER_BODY], pose.scores()[:, kp.UPPER_BODY]
    inside = (points >= 0).all(-1) & (points[..., 0] < pose.width) & (points[..., 1] < pose.height)
    return points[inside & (scores >= confident)]


def extent(kept: FloatArray, *, stray_percent: float = STRAY_PERCENT) -> Box:
    """The box around points [n, 2], but for those that stray at each end of an axis."""
    low, high = np.percentile(kept, [stray_percent, 100 - stray_percent], axis=0)
    return np.array([low[0], low[1], high[0] + 1, high[1] + 1], np.float64)


def hair(pose: Pose, confident: float) -> float:
    """Room for the hair above the highest point, in pixels."""
    faces = pose.keypoints()[(pose.scores()[:, kp.FACE] >= confident).all(axis=1)][:, kp.FACE, 1]
    return _HEADROOM * float(np.median(np.ptp(faces, axis=1))) if len(faces) else 0.0


def square(needed: Box, wanted: Box, width: int, height: int, framing: Framing) -> tuple[int, int, int]:
    """The square that holds what it must, and as much of what it should as the picture has room for.

    It lies within the picture where it fits there; black is added only for what must be inside.

    Args:
        needed: [4] x1, y1, x2, y2 of what must be inside.
        wanted: [4] the same with what should be, around which the square is centred.
        width: of the picture.
        height: of the picture.
        framing: for the margin and the smallest square.

    Returns:
        x, y and side, whole pixels, the side even.
    """
    least = float((needed[2:] - needed[:2]).max())
    ideal = float((wanted[2:] - wanted[:2]).max()) * (1 + 2 * framing.margin)
    room = min(width, height) // 2 * 2
    side = max(min(ideal, max(least, room)), framing.min_side_px)
    side = int(-(-side // 2) * 2)
    x, y = (
        _place(float(wanted[axis] + wanted[axis + 2]) / 2, (needed[axis], needed[axis + 2]), side, size)
        for axis, size in ((0, width), (1, height))
    )
    return x, y, side


def around(needed: Box, pose: Pose, framing: Framing) -> tuple[int, int, int]:
    """The square of a clip: around what must be inside, with room for the hair.

    Args:
        needed: [4] x1, y1, x2, y2 of what must be inside; `extent` of the points that are kept.
        pose: of the clip.
        framing: for the margin, the confident points and the smallest square.

    Returns:
        x, y and side in source pixels, see `square`.
    """
    wanted = needed.copy()
    wanted[1] -= hair(pose, framing.confident)
    return square(needed, wanted, pose.width, pose.height, framing)


def _place(centre: float, needed: tuple[float, float], side: int, size: int) -> int:
    """Where a square begins on one axis: around its centre, what is needed inside, within the picture if it fits."""
    start = min(centre - side / 2, needed[0])
    start = max(start, needed[1] - side)
    if side > size:
        return (size - side) // 2
    return int(min(max(round(start), 0), size - side))
