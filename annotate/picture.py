"""Measure: size, sharpness, exposure and stillness of the pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from csg405.config import Settings
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FrameStat, Record, column

VERSION = "2"
SCOPE = "clip"
READS = (Clip, FrameStat)
NEEDS = Resources()


class Config(Settings):
    """Nothing to choose."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureQuality(Record):
    """Pictures of one clip, over the sampled ones."""

    TABLE: ClassVar[str] = "measures/picture"

    clip_id: str = column("the clip")
    short_side_px: int = column("shorter side of the source picture", unit="px")
    sharpness: float | None = column("median sharpness of the person", unit="luma^2")
    luma_mean: float | None = column("median of the mean luma", unit="0-255")
    contrast: float | None = column("median distance of the 95th to the 5th percentile of the luma", unit="0-255")
    change: float | None = column("median of the largest change of a picture between two samples", unit="0-255")
    repeated_fraction: float | None = column("pictures that are the same as the one before", unit="0-1")


WRITES = (PictureQuality,)


class Operator:
    """Measures pictures."""

    def __init__(self, setting: Setting) -> None:
        del setting

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row; values are missing where no sampled picture lies in the clip."""
        clip = item.the_clip()
        stats = [stat for stat in item.read(FrameStat) if clip.start_s <= stat.time_s < clip.end_s]
        # What the first sample says of change is against a picture before the clip, perhaps of another shot.
        yield PictureQuality(
            clip_id=clip.clip_id,
            short_side_px=min(clip.width, clip.height),
            sharpness=_median([stat.sharpness for stat in stats]),
            luma_mean=_median([stat.luma_mean for stat in stats]),
            contrast=_median([stat.luma_high - stat.luma_low for stat in stats]),
            change=_median([stat.change for stat in stats[1:]]),
            repeated_fraction=_repeated(stats[1:]),
        )


def _repeated(stats: list[FrameStat]) -> float | None:
    pictures = sum(stat.pictures for stat in stats)
    return sum(stat.repeated for stat in stats) / pictures if pictures else None


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None
