"""One square for all frames of a clip, around everything that the upper body does in it.

A crop that follows the person would turn sway into the movement of the background; one square a clip keeps what
moves still and lets what is still stand.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from csg405 import keypoints as kp
from csg405.config import Settings
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, Crop, FloatArray, Pose, Record, Sighting

VERSION = "1"
SCOPE = "clip"
READS = (Clip, Pose, Sighting)
WRITES = (Crop,)
NEEDS = Resources()

Box = npt.NDArray[np.float64]
"""[4] x1, y1, x2, y2."""

_STRAY_PERCENT = 0.5
"""Points left out at each end of an axis, per cent: an estimate that jumps for a frame or two."""

_HEADROOM = 0.8
"""Hair above the brows, in heights of the face from brow to chin; the face's points end at the brows."""


class Config(Settings):
    """Options of the crop."""

    margin: float = Field(0.08, ge=0, lt=0.5, description="free space on each side, as a part of the person's extent")
    confident: float = Field(0.3, gt=0, lt=1, description="lowest score of a point that must be inside")
    min_side_px: int = Field(64, ge=2, description="smallest square, px")


class Operator:
    """Chooses crops."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row; none where there is no pose."""
        pose = item.one(Pose)
        if pose is None:
            return
        clip = item.the_clip()
        kept = kept_points(pose, self.config.confident)
        needed = _extent(kept) if len(kept) else _boxes(item.read(Sighting), clip)
        wanted = needed.copy()
        wanted[1] -= _hair(pose, self.config.confident)
        x, y, side = square(needed, wanted, clip.width, clip.height, self.config)
        shown = _length(x, side, clip.width) * _length(y, side, clip.height)
        inside = ((kept >= (x - 0.5, y - 0.5)) & (kept <= (x + side - 0.5, y + side - 0.5))).all(axis=-1)
        yield Crop(
            clip_id=clip.clip_id,
            video_id=clip.video_id,
            x_px=x,
            y_px=y,
            side_px=side,
            black_fraction=1 - shown / side**2,
            outside_fraction=float(1 - inside.mean()) if len(kept) else 0.0,
        )


def kept_points(pose: Pose, confident: float) -> FloatArray:
    """The confident points of the upper body that lie in the picture, of all frames together: [n, 2]."""
    points, scores = pose.keypoints()[:, kp.UPPER_BODY], pose.scores()[:, kp.UPPER_BODY]
    inside = (points >= 0).all(-1) & (points[..., 0] < pose.width) & (points[..., 1] < pose.height)
    return points[inside & (scores >= confident)]


def _extent(kept: FloatArray) -> Box:
    low, high = np.percentile(kept, [_STRAY_PERCENT, 100 - _STRAY_PERCENT], axis=0)
    return np.array([low[0], low[1], high[0] + 1, high[1] + 1], np.float64)


def _hair(pose: Pose, confident: float) -> float:
    """Room for the hair above the highest point, in pixels."""
    faces = pose.keypoints()[(pose.scores()[:, kp.FACE] >= confident).all(axis=1)][:, kp.FACE, 1]
    return _HEADROOM * float(np.median(np.ptp(faces, axis=1))) if len(faces) else 0.0


def _boxes(sightings: list[Sighting], clip: Clip) -> Box:
    """The union of the person's boxes, for a clip without a single confident point."""
    own = [s for s in sightings if s.track == clip.track and clip.start_s <= s.time_s < clip.end_s]
    if not own:
        return np.array([0, 0, clip.width, clip.height], np.float64)
    return np.array(
        [min(s.x1_px for s in own), min(s.y1_px for s in own), max(s.x2_px for s in own), max(s.y2_px for s in own)]
    )


def square(needed: Box, wanted: Box, width: int, height: int, config: Config) -> tuple[int, int, int]:
    """The square that holds what it must, and as much of what it should as the picture has room for.

    It lies within the picture where it fits there; black is added only for what must be inside.

    Args:
        needed: [4] x1, y1, x2, y2 of what must be inside.
        wanted: [4] the same with what should be, around which the square is centred.
        width: of the picture.
        height: of the picture.
        config: for the margin and the smallest square.

    Returns:
        x, y and side, whole pixels, the side even.
    """
    least = float((needed[2:] - needed[:2]).max())
    ideal = float((wanted[2:] - wanted[:2]).max()) * (1 + 2 * config.margin)
    room = min(width, height) // 2 * 2
    side = max(min(ideal, max(least, room)), config.min_side_px)
    side = int(-(-side // 2) * 2)
    x, y = (
        _place(float(wanted[axis] + wanted[axis + 2]) / 2, (needed[axis], needed[axis + 2]), side, size)
        for axis, size in ((0, width), (1, height))
    )
    return x, y, side


def _place(centre: float, needed: tuple[float, float], side: int, size: int) -> int:
    """Where a square begins on one axis: around its centre, what is needed inside, within the picture if it fits."""
    start = min(centre - side / 2, needed[0])
    start = max(start, needed[1] - side)
    if side > size:
        return (size - side) // 2
    return int(min(max(round(start), 0), size - side))


def _length(start: int, side: int, size: int) -> int:
    return max(0, min(start + side, size) - max(start, 0))
