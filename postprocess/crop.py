"""One square for all frames of a clip, around everything that the upper body does in it.

A crop that follows the person would turn sway into the movement of the background; one square a clip keeps what
moves still and lets what is still stand.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from csg405.crop import Box, Framing, around, extent, kept_points
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, Crop, Pose, Record, Sighting

VERSION = "1"
SCOPE = "clip"
READS = (Clip, Pose, Sighting)
WRITES = (Crop,)
NEEDS = Resources()


class Config(Framing):
    """Options of the crop."""


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
        needed = extent(kept) if len(kept) else _boxes(item.read(Sighting), clip)
        x, y, side = around(needed, pose, self.config)
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


def _boxes(sightings: list[Sighting], clip: Clip) -> Box:
    """The union of the person's boxes, for a clip without a single confident point."""
    own = [s for s in sightings if s.track == clip.track and clip.start_s <= s.time_s < clip.end_s]
    if not own:
        return np.array([0, 0, clip.width, clip.height], np.float64)
    return np.array(
        [min(s.x1_px for s in own), min(s.y1_px for s in own), max(s.x2_px for s in own), max(s.y2_px for s in own)]
    )


def _length(start: int, side: int, size: int) -> int:
    return max(0, min(start + side, size) - max(start, 0))
