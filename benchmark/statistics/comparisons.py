r"""Which of two systems is better, which of many, and what could be seen at all.

**Two systems** are compared on the same clips. If they are equally good, their results for a cluster may be swapped:
of a difference of means the cluster's part changes its sign, and a set's value is computed anew. The p-value is the
part of all swaps whose difference is at least as large as the one seen, in either direction: of all :math:`2^C` up to
12 clusters, and beyond of so many random ones, :math:`p = (b + 1) / (m + 1)`.

**Many systems**: the p-values of all pairs are adjusted by Holm's method, which holds the chance of any false claim at
the level for any dependence between them. What is left is no order: A may beat C while B differs from neither, so
"not different" makes no groups. Every system gets the *range* of its rank instead: it is at best next after those that
beat it, and at worst before those that it beats. Systems with the same best rank are shown as tied. This claims nothing
that was not tested, which cliques of a letter display do not add to, and it gives a leaderboard one number to sort by.

**The smallest difference** that a paired test would find in 80 of 100 test sets is solved from the power of Student's
test (the noncentral t distribution) with the standard error of the difference by clusters.

Sources: Phipson and Smyth, Permutation p-values should never be zero (2010); Holm (1979); Cohen, Statistical power
analysis (1988); Mogstad et al., Inference for ranks (Review of Economic Studies 2024), for ranges of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from csg405.benchmark.statistics.intervals import ClusterSums, Floats

Name = TypeVar("Name", bound=Hashable)

Swapped = npt.NDArray[np.bool_]
"""[draws, clusters] whose results are swapped between two systems, in the clusters' order."""

ALPHA = 0.05
"""Level of tests."""

POWER = 0.8
"""Cohen's usual one."""

_EXACT = 12
"""Clusters up to which all swaps are gone through: 4096."""

_MEAN_DRAWS = 9999
"""Random swaps for means."""

_SET_DRAWS = 999
"""Random swaps for sets, which take longer; the smallest p is 0.001."""

_TIE = 1e-10
"""Differences that agree to this, relative to the one seen, are the same: sums are rounded."""

_SEED = 20260803
"""Of the swaps."""

_BLOCK = 1024


def sign_flip_test(
    first: Mapping[str, float], second: Mapping[str, float], *, cluster_of: Mapping[str, str], draws: int = _MEAN_DRAWS
) -> float:
    """The p-value, two-sided, that two systems' means over clips differ by chance.

    Args:
        first: a system's value by clip.
        second: the other's; only clips with a value of both count.
        cluster_of: name of each clip's cluster.
        draws: random swaps, if there are too many for all.

    Returns:
        p; 1 with no common clip.
    """
    common = {clip_id: first[clip_id] - second[clip_id] for clip_id in first.keys() & second.keys()}
    sums = ClusterSums.of(common, cluster_of=cluster_of).sums
    found = (np.abs((1.0 - 2.0 * block) @ sums) for block in _swaps(len(sums), draws=draws))
    return _p_value(abs(float(sums.sum())), found, clusters=len(sums))


def swap_test(difference: Callable[[Swapped], Floats], clusters: int, *, draws: int = _SET_DRAWS) -> float | None:
    """The p-value, two-sided, that two systems' values of sets differ by chance.

    Args:
        difference: [draws] of the values when some clusters are swapped, NaN where it cannot be computed; swapping all
            turns its sign.
        clusters: how many there are.
        draws: random swaps, if there are too many for all.

    Returns:
        p; None where a difference cannot be computed.
    """
    seen = abs(float(difference(np.zeros((1, clusters), np.bool_))[0]))
    others = [np.abs(difference(block)) for block in _swaps(clusters, draws=draws)]
    if math.isnan(seen) or any(np.isnan(block).any() for block in others):
        return None
    return _p_value(seen, others, clusters=clusters)


def _swaps(clusters: int, *, draws: int) -> Iterator[Swapped]:
    """All swaps or random ones, in blocks [draws, clusters]."""
    rng = np.random.default_rng(_SEED)
    count = 2**clusters if clusters <= _EXACT else draws
    for start in range(0, count, _BLOCK):
        numbers = np.arange(start, min(start + _BLOCK, count))
        if clusters <= _EXACT:
            yield (numbers[:, None] >> np.arange(clusters)[::-1]) % 2 == 1
        else:
            yield rng.random((len(numbers), clusters)) < 0.5


def _p_value(seen: float, others: Iterable[npt.NDArray[np.float64]], *, clusters: int) -> float:
    larger, count = 0, 0
    for block in others:
        larger += int(np.count_nonzero(block >= seen * (1 - _TIE)))
        count += len(block)
    return larger / count if clusters <= _EXACT else (larger + 1) / (count + 1)


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Adjusted p-values: those at most alpha may be claimed together at alpha.

    The i-th smallest of n is multiplied by n - i + 1; none is less than one before it, or above 1.
    """
    order = sorted(p_values.items(), key=lambda item: item[1])
    least, adjusted = 0.0, {}
    for i, (name, p) in enumerate(order):
        least = max(least, min((len(order) - i) * p, 1.0))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


class Rank(NamedTuple):
    """The places that a system may have."""

    best: int
    worst: int


def ranks(systems: Sequence[str], *, beats: Collection[tuple[str, str]]) -> dict[str, Rank]:
    """The range of every system's rank; those with the same best rank are tied.

    Args:
        systems: their names.
        beats: pairs of which the first is significantly better.
    """
    pairs = set(beats)
    return {
        name: Rank(
            1 + sum((other, name) in pairs for other in systems),
            len(systems) - sum((name, other) in pairs for other in systems),
        )
        for name in systems
    }


def smallest_difference(se: float, *, clusters: int, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The true difference that a paired test would find with this power.

    Args:
        se: standard error of the difference, for example from `set_interval` or `mean_interval`.
        clusters: that it rests on.
        alpha: level of the test, two-sided.
        power: chance of finding it.

    Returns:
        The difference, in the unit of `se`; None with fewer than two clusters.
    """
    if clusters < 2:
        return None
    degrees = clusters - 1
    limit = float(stats.t.ppf(1 - alpha / 2, degrees))

    def lacking(shift: float) -> float:
        # Only in the right direction: the other one's chance is under 1e-5 at such powers.
        return float(stats.nct.sf(limit, degrees, shift)) - power

    return se * float(optimize.brentq(lacking, 0.0, 4 * limit + 4))
