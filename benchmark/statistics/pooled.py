"""Values of sets for any choice of clusters: what jackknives and swaps of set metrics are made of.

A metric whose values come from sums offers them itself (`csg405.benchmark.metrics._features.Pooled`), in microseconds.
Of any other metric of sets the rows are chosen and computed anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt

from csg405.benchmark import metric
from csg405.benchmark.metric import Key, MetricModule, Row, Rows, Values
from csg405.benchmark.metrics._features import Pick, Pooled, PooledSums
from csg405.benchmark.statistics.comparisons import Swapped, swap_test
from csg405.benchmark.statistics.intervals import LEAST_CLUSTERS, Floats, Interval, jackknife, left_out

Taken = npt.NDArray[np.bool_]

_SAME = 1e-9
"""Values that agree to this, relative to their size, do not differ: sums are rounded."""


def pooled_values(
    module: MetricModule,
    systems: Sequence[Rows],
    truth: Rows,
    *,
    cluster_of: Mapping[str, str],
    only: str | None = None,
) -> Pooled:
    """The values of any union of picks against the truth of any clusters.

    Args:
        module: the metric.
        systems: rows of one system or several. Of several only the seeds that all have are used, so that a pick of
            one is worth as much as that of another.
        truth: rows of the truth.
        cluster_of: name of each clip's cluster.
        only: a card, if no other is wanted.
    """
    quick = getattr(module, "pooled", None)
    if quick is not None:
        return cast(Pooled, quick(systems, truth, cluster_of=cluster_of, only=only))
    common = set.intersection(*({key.seed for key in rows} for rows in systems)) if systems else set()

    def values(picks: Sequence[Pick], clusters: Sequence[str]) -> Values:
        chosen: dict[Key, Row] = {}
        for number, rows in enumerate(systems):
            of_system = {pick.cluster for pick in picks if pick.system == number}
            chosen |= {
                key: row for key, row in rows.items() if key.seed in common and cluster_of[key.clip_id] in of_system
            }
        held = set(clusters)
        true = {key: row for key, row in truth.items() if cluster_of[key.clip_id] in held}
        return metric.compute(module, {key: chosen[key] for key in sorted(chosen)}, true)

    return values


def set_intervals(
    module: MetricModule, rows: Rows, truth: Rows, *, cluster_of: Mapping[str, str]
) -> dict[str, Interval | None]:
    """The interval of every value of a metric of sets, by card, with the clusters left out on both sides.

    A card for which the metric's `pooled` gives no value has none.
    """
    names = sorted({cluster_of[key.clip_id] for key in truth})
    if len(names) < LEAST_CLUSTERS:
        return {card.name: None for card in module.CARDS}
    pooled = pooled_values(module, [rows], truth, cluster_of=cluster_of)
    taken = left_out(names)
    values = _drawn(pooled, taken[:, None], taken, names)
    nothing = np.full(len(taken), np.nan)
    return {card.name: jackknife(values.get(card.name, nothing), clusters=len(names)) for card in module.CARDS}


def _drawn(pooled: Pooled, own: Taken, true: Taken, names: Sequence[str]) -> dict[str, Floats]:
    """By card, the values [draws] of many unions of clusters, NaN for those that cannot be computed.

    Args:
        pooled: gives them.
        own: [draws, systems, clusters] what is taken of systems.
        true: [draws, clusters] what is taken of the truth.
        names: of the clusters.
    """
    if isinstance(pooled, PooledSums):
        columns = [pooled.clusters.index(name) for name in names]
        weights = [np.zeros((*taken.shape[:-1], len(pooled.clusters))) for taken in (own, true)]
        for weight, taken in zip(weights, (own, true), strict=True):
            weight[..., columns] = taken
        return pooled.many(*weights)
    found: dict[str, list[float]] = {}
    for of_systems, of_truth in zip(own, true, strict=True):
        picks = [Pick(system, names[cluster]) for system, cluster in np.argwhere(of_systems).tolist()]
        values = pooled(picks, [names[cluster] for cluster in np.flatnonzero(of_truth).tolist()])
        for name, value in values.items():
            found.setdefault(name, []).append(math.nan if value is None else value)
    return {name: np.array(values) for name, values in found.items()}


def set_comparison(
    module: MetricModule,
    first: Rows,
    second: Rows,
    truth: Rows,
    *,
    cluster_of: Mapping[str, str],
    name: str,
) -> tuple[Interval | None, float | None]:
    """Two systems' difference in a value of sets: first minus second.

    Args:
        module: the metric.
        first: rows of a system.
        second: rows of the other, for the same clips. Only seeds that both have are used.
        truth: rows of the truth.
        cluster_of: name of each clip's cluster.
        name: of the card.

    Returns:
        The difference with its interval, and the p-value of swapping the systems' clips by cluster.
    """
    names = sorted({cluster_of[key.clip_id] for key in truth})
    pooled = pooled_values(module, [first, second], truth, cluster_of=cluster_of, only=name)

    def between(one: Taken, other: Taken, true: Taken) -> Floats:
        a, b = (_drawn(pooled, own, true, names)[name] for own in (one, other))
        return np.where(np.abs(a - b) <= _SAME * (np.abs(a) + np.abs(b)), 0.0, a - b)

    def swapped(which: Swapped) -> Floats:
        return between(np.stack([~which, which], axis=1), np.stack([which, ~which], axis=1), np.ones_like(which))

    if not names:
        return None, None
    taken = left_out(names)
    nothing = np.zeros_like(taken)
    apart = between(np.stack([taken, nothing], axis=1), np.stack([nothing, taken], axis=1), taken)
    return jackknife(apart, clusters=len(names)), swap_test(swapped, len(names))
