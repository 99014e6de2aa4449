"""Sightings of persons linked into tracks by the overlap of their boxes.

rtmlib's PoseTracker is not used: it indexes lists by track numbers and loses them whenever the cast changes.
Matching is by the Hungarian method on intersection over union, as in SORT (Bewley et al., 2016) without its motion
model: people who talk to a camera move little in a fifth of a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from csg405.schema import FloatArray


@dataclasses.dataclass(frozen=True)
class Seen:
    """The persons on one sampled picture."""

    time_s: float
    boxes: FloatArray
    """[n, 4] x1, y1, x2, y2 in pixels."""


def overlap(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of every box of `first` with every box of `second`.

    Args:
        first: [n, 4] x1, y1, x2, y2.
        second: [m, 4].

    Returns:
        [n, m], 0 where boxes do not touch.
    """
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(opposite - corner, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None] - shared
    iou: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def link(seen: Sequence[Seen], *, min_iou: float, max_gap_s: float) -> list[tuple[float, int, FloatArray]]:
    """Give every sighting the number of its person's track.

    Args:
        seen: sampled pictures of one shot, times rising.
        min_iou: lowest overlap with the track's last box.
        max_gap_s: a track that was not seen for longer has ended.

    Returns:
        (time, track, box [4]) for each sighting; tracks are numbered from 0 in the order of their beginning.
    """
    from scipy.optimize import linear_sum_assignment

    last: dict[int, tuple[float, FloatArray]] = {}
    linked: list[tuple[float, int, FloatArray]] = []
    count = 0
    for sight in seen:
        alive = [track for track, (time_s, _) in last.items() if sight.time_s - time_s <= max_gap_s]
        tracks = np.full(len(sight.boxes), -1)
        if alive and len(sight.boxes):
            iou = overlap(np.stack([last[track][1] for track in alive]), sight.boxes)
            for row, column in zip(*linear_sum_assignment(-iou), strict=True):
                if iou[row, column] >= min_iou:
                    tracks[column] = alive[row]
        for box, known in zip(sight.boxes, tracks, strict=True):
            track = int(known)
            if track < 0:
                track, count = count, count + 1
            last[track] = (sight.time_s, box)
            linked.append((sight.time_s, track, box))
    return linked
