"""What the metrics of motion share: groups of points, derivatives, spans that are shown, and sums over clips.

A metric whose value is a function of sums over clips keeps those of one motion in a row, and gets from here both its
`compute` and the form in which resampling takes it (`csg405.benchmark.metrics._features.Pooled`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pick, Pooled, seeds
from csg405.media.clock import FPS
from csg405.schema import FloatArray

Floats = npt.NDArray[np.float64]

ARMS = np.array([kp.LEFT_ELBOW, kp.RIGHT_ELBOW, kp.LEFT_WRIST, kp.RIGHT_WRIST])
BODY = np.array([kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, *ARMS])
"""One point for the head, so that its five do not outweigh the arms."""
HANDS = np.arange(kp.LEFT_HAND.start, kp.RIGHT_HAND.stop)
GESTURE = np.concatenate([BODY, HANDS])
"""The 49 points that carry a gesture."""


def changes(points: FloatArray, shown: Bools, *, order: int) -> tuple[FloatArray, Bools]:
    """Size of a derivative by forward differences.

    Args:
        points: [n, j, 2]
        shown: [n, j]
        order: 1 for speed, 2 for acceleration, 3 for jerk.

    Returns:
        [n - order, j] in the unit of `points` per s^order, and whether all frames that went into it are shown; empty
        where there are too few frames.
    """
    apart = np.diff(points, order, axis=0)
    n = len(apart)
    whole = np.ones(apart.shape[:2], np.bool_)
    for first in range(order + 1):
        whole &= shown[first : first + n]
    return np.hypot(apart[..., 0], apart[..., 1]) * np.float32(float(FPS) ** order), whole


def number(value: float | None) -> Row:
    """A row that holds one number, or that there is none."""
    return {"value": np.array(math.nan if value is None else value)}


def given(row: Row, name: str = "value") -> float | None:
    """A number of a row; None where there is none."""
    value = float(row[name])
    return None if math.isnan(value) else value


def mean_or_none(values: Floats | FloatArray) -> float | None:
    """Mean of what is finite; None where nothing is."""
    held = values[np.isfinite(values)]
    return float(np.mean(held, dtype=np.float64)) if held.size else None


FromSums = Callable[[Row, Row], Values]
"""A metric's values from the sums of a system and those of the truth."""


def pooled_sums(
    from_sums: FromSums,
    cards: Sequence[Card],
    systems: Sequence[Rows],
    truth: Rows,
    *,
    cluster_of: Mapping[str, str],
) -> Pooled:
    """A metric of sums for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`."""
    common = set.intersection(*(set(seeds(rows)) for rows in systems)) if systems else set()
    of_systems = [_by_cluster({key: row for key, row in rows.items() if key.seed in common}, cluster_of)
                  for rows in systems]  # fmt: skip
    of_truth = _by_cluster(truth, cluster_of)

    def values(picks: Sequence[Pick], clusters: Sequence[str]) -> Values:
        system = _added(found for pick in picks if (found := of_systems[pick.system].get(pick.cluster)))
        true = _added(of_truth[cluster] for cluster in clusters if cluster in of_truth)
        return from_sums(system, true) if system and true else {card.name: None for card in cards}

    return values


def _by_cluster(rows: Rows, cluster_of: Mapping[str, str]) -> dict[str, Row]:
    parts: dict[str, list[Row]] = {}
    for key in sorted(rows):
        parts.setdefault(cluster_of[key.clip_id], []).append(rows[key])
    return {cluster: _added(held) for cluster, held in parts.items()}


def _added(rows: Iterable[Row]) -> Row:
    held = list(rows)
    return {name: np.sum([row[name] for row in held], axis=0) for name in held[0]} if held else {}


def shown_points(seen: Seen, points: npt.NDArray[np.int64]) -> tuple[FloatArray, Bools]:
    """[n, j, 2] chosen points in shoulder widths, and [n, j] whether they count."""
    return seen.points[:, points], seen.shown[:, points]
