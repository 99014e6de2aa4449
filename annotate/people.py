"""Measure: how large the main person is, how steadily seen, and whether somebody else is there."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from pydantic import Field

from csg405.config import Settings
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FrameStat, Record, Sighting, column

VERSION = "1"
SCOPE = "clip"
READS = (Clip, Sighting, FrameStat)
NEEDS = Resources()


class Config(Settings):
    """Options of the measure."""

    other_area: float = Field(
        0.1, gt=0, description="smallest other person that counts, as a part of the main person's area"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class People(Record):
    """Persons in one clip, on the sampled pictures."""

    TABLE: ClassVar[str] = "measures/people"

    clip_id: str = column("the clip")
    seen_fraction: float | None = column("sampled pictures on which the main person is seen", unit="0-1")
    others_fraction: float | None = column("sampled pictures with another person of some size", unit="0-1")
    height_px: float | None = column("median height of the main person's box", unit="px")
    height_fraction: float | None = column("the same as a part of the picture's height", unit="0-1")


WRITES = (People,)


class Operator:
    """Measures persons."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row."""
        clip = item.the_clip()
        times = {stat.time_s for stat in item.read(FrameStat) if clip.start_s <= stat.time_s < clip.end_s}
        areas: dict[float, dict[int, float]] = collections.defaultdict(dict)
        heights = []
        for sight in item.read(Sighting):
            if sight.time_s in times:
                areas[sight.time_s][sight.track] = (sight.x2_px - sight.x1_px) * (sight.y2_px - sight.y1_px)
                if sight.track == clip.track:
                    heights.append(sight.y2_px - sight.y1_px)
        if not heights:
            yield People(
                clip_id=clip.clip_id, seen_fraction=0.0, others_fraction=None, height_px=None, height_fraction=None
            )
            return
        typical = float(np.median([seen[clip.track] for seen in areas.values() if clip.track in seen]))
        crowded = sum(
            any(track != clip.track and area >= self.config.other_area * typical for track, area in seen.items())
            for seen in areas.values()
        )
        height = float(np.median(heights))
        yield People(
            clip_id=clip.clip_id,
            seen_fraction=len(heights) / len(times),
            others_fraction=crowded / len(times),
            height_px=height,
            height_fraction=height / clip.height,
        )
