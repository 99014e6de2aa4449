"""What the metrics of motion share: groups of points, derivatives, spans that are shown, and sums over clips.

A metric whose value is a function of sums over clips keeps those of one motion in a row, and gets from here both its
`compute` and the form in which resampling takes it (`csg405.benchmark.metrics._features.Pooled`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Seen
from csg405.benchmark.metric import Card, KeptRows, Row, Rows, once
from csg405.benchmark.metrics._features import Places, PooledSums, common_seeds
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
    return lengths(apart) * np.float32(float(FPS) ** order), all_shown(shown, order=order)


def all_shown(shown: Bools, *, order: int) -> Bools:
    """[n - order, j] whether all frames that go into a derivative are shown, from [n, j]; empty for too few frames."""
    n = max(len(shown) - order, 0)
    whole = shown[:n].copy()
    for first in range(1, order + 1):
        whole &= shown[first : first + n]
    return whole


def lengths(apart: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[...] lengths of [..., 2], in their type; what `numpy.hypot` takes five times as long for."""
    x, y = (np.asarray(apart[..., axis], np.float64) for axis in range(2))
    return np.sqrt(x * x + y * y).astype(apart.dtype)


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


FromSums = Callable[[Row, Row], dict[str, Floats]]
"""A metric's values [draws] from the sums of a system and those of the truth [draws, ...]; NaN where there is none."""


def pooled_sums(
    from_sums: FromSums,
    cards: Sequence[Card],
    systems: Sequence[Rows],
    truth: Rows,
    *,
    cluster_of: Mapping[str, str],
) -> PooledSums:
    """A metric of sums for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`."""
    common, places = common_seeds(systems), Places.of(cluster_of)
    of_systems = [_by_cluster(once(rows, _of_seeds, common), places) for rows in systems]
    of_truth = _by_cluster(truth, places)
    held = {name: np.stack([sums[name] for sums in of_systems]) for name in of_systems[0]} if systems else {}

    def many(own: Floats, true: Floats) -> dict[str, Floats]:
        if held.keys() != of_truth.keys() or held.keys() <= {_ROWS}:  # one side, or both, without a row
            return {card.name: np.full(len(own), np.nan) for card in cards}
        system = {name: np.tensordot(own, array, 2) for name, array in held.items()}
        whole = {name: np.tensordot(true, array, 1) for name, array in of_truth.items()}
        empty = (system[_ROWS] == 0) | (whole[_ROWS] == 0)
        return {card: np.where(empty, np.nan, values) for card, values in from_sums(system, whole).items()}

    return PooledSums(places.names, len(systems), many)


_ROWS = "rows"
"""Under which name the number of rows is among the sums."""


def _of_seeds(rows: Rows, seeds: tuple[int, ...]) -> Rows:
    return KeptRows({key: row for key, row in rows.items() if key.seed in seeds})


def _by_cluster(rows: Rows, places: Places) -> Row:
    return once(rows, _summed, places.of_rows(rows), len(places.names))


def _summed(rows: Rows, of_rows: tuple[int, ...], clusters: int) -> Row:
    """The sums of rows by cluster [clusters, ...], and the number of rows."""
    place = np.array(of_rows, np.int64)
    sums = {_ROWS: np.bincount(place, minlength=clusters).astype(np.float64)}
    for name in next(iter(rows.values()), {}):
        values = np.stack([row[name] for row in rows.values()])
        sums[name] = np.zeros((clusters, *values.shape[1:]))
        np.add.at(sums[name], place, values)
    return sums


def quotient(sums: npt.ArrayLike, over: npt.ArrayLike) -> Floats:
    """One over the other; NaN where the latter is 0."""
    below = np.asarray(over, np.float64)
    return np.asarray(np.divide(sums, below, out=np.full(below.shape, np.nan), where=below != 0), np.float64)


def known_means(values: Sequence[Floats]) -> Floats:
    """Mean over the first axis of what is no NaN; NaN where all is."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    return quotient(np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0))


def shown_points(seen: Seen, points: npt.NDArray[np.int64]) -> tuple[FloatArray, Bools]:
    """[n, j, 2] chosen points in shoulder widths, and [n, j] whether they count."""
    return seen.points[:, points], seen.shown[:, points]
