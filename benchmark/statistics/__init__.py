"""What a benchmark may say of its values: how sure they are, and which systems differ.

Clips of one speaker resemble each other, so the unit of everything here is the *cluster*: the speaker, or the source.
`intervals` tells how far a value may be from the one of endless speakers, `comparisons` which of two systems is better
and whether that is chance, `pooled` computes a metric of many clips for any choice of clusters. All is seeded, and
nothing depends on the order in which clips or clusters come.
"""

from __future__ import annotations

from csg405.benchmark.statistics.comparisons import (
    Rank,
    holm,
    ranks,
    sign_flip_test,
    smallest_difference,
    swap_test,
)
from csg405.benchmark.statistics.intervals import Interval, mean_interval, seed_spread, set_interval
from csg405.benchmark.statistics.pooled import pooled_values, set_comparison, set_intervals

__all__ = [
    "Interval",
    "Rank",
    "holm",
    "mean_interval",
    "pooled_values",
    "ranks",
    "seed_spread",
    "set_comparison",
    "set_interval",
    "set_intervals",
    "sign_flip_test",
    "smallest_difference",
    "swap_test",
]
