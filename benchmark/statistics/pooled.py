"""Values of sets for any choice of clusters: what jackknives and swaps of set metrics are made of.

A metric whose values come from sums offers them itself (`csg405.benchmark.metrics._features.Pooled`), in microseconds.
Of any other metric of sets the rows are chosen and computed anew.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import cast

from csg405.benchmark import metric
from csg405.benchmark.metric import Key, MetricModule, Row, Rows, Values
from csg405.benchmark.metrics._features import Pick, Pooled
from csg405.benchmark.statistics.comparisons import Swapped, swap_test
from csg405.benchmark.statistics.intervals import Interval, set_interval

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
    pooled = pooled_values(module, [rows], truth, cluster_of=cluster_of)
    held: dict[tuple[str, ...], Values] = {}

    def of(clusters: Sequence[str]) -> Values:
        chosen = tuple(clusters)
        if chosen not in held:
            held[chosen] = pooled([Pick(0, name) for name in chosen], chosen)
        return held[chosen]

    def value(clusters: Sequence[str], *, name: str) -> float | None:
        return of(clusters).get(name)

    return {card.name: set_interval(functools.partial(value, name=card.name), names) for card in module.CARDS}


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

    def between(one: Sequence[Pick], other: Sequence[Pick], clusters: Sequence[str]) -> float | None:
        a, b = pooled(one, clusters).get(name), pooled(other, clusters).get(name)
        if a is None or b is None:
            return None
        return 0.0 if abs(a - b) <= _SAME * (abs(a) + abs(b)) else a - b

    def left(clusters: Sequence[str]) -> float | None:
        return between([Pick(0, cluster) for cluster in clusters], [Pick(1, cluster) for cluster in clusters], clusters)

    def swapped(which: Swapped) -> float | None:
        picks = [[Pick(int(turned) ^ side, cluster) for turned, cluster in zip(which, names, strict=True)]
                 for side in (0, 1)]  # fmt: skip
        return between(picks[0], picks[1], names)

    return set_interval(left, names), swap_test(swapped, len(names))
