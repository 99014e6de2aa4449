"""Who is better than whom on a leaderboard, by one card at a time.

Every two entries are tested, and one is *better* only if the p-value, adjusted by Holm's method over all pairs of the
card, is at most 0.05, and their values lie farther apart than the floor, by which halves of the truth differ. What is
not so is a tie. A place is a range (`csg405.benchmark.statistics.ranks`): at best next after those that are better,
at worst before those that are worse.

The test of two entries is

- *paired*, where the card's value is the mean of its clips' values and both entries bring these: signs are flipped by
  speaker (`sign_flip_test`) on the clips that both have;
- *of intervals* elsewhere, as for distances between sets, whose rows are not at hand any more: with the standard errors
  of both values, :math:`t = |a - b| / sqrt(s_a^2 + s_b^2)` is referred to Student's t with as many degrees of freedom
  as there are speakers, less one. Both errors come from the same speakers and mostly go together, so that this finds
  less than a paired test would; `csg405 submission compare` has that one, where both submissions are at hand.

Values are compared by how far they are from the best there is: two entries that are both beyond the truth are tied.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy import stats

from csg405.benchmark import statistics
from csg405.benchmark.pages.scores import Metric, Score
from csg405.benchmark.statistics import Rank
from csg405.benchmark.statistics.comparisons import ALPHA

Kind = Literal["paired", "intervals", "none"]

_LEAST_DRAWS = 9999

_DRAWS_A_PAIR = 200
"""So many more for each pair that is tested: Holm's factor must not lift the smallest p above 0.05."""

_MOST_DRAWS = 49_999

_IS_MEAN = 1e-4
"""A value that differs from the mean of its clips by less, relative to it, is that mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two entries."""

    first: str
    second: str
    difference: float
    """First minus second."""
    test: Kind
    p: float | None
    p_holm: float | None
    better: str | None
    """Which of them; None for a tie."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """The places of entries by a card."""

    card: str
    metric: Metric
    """Of one of the entries, for what they have in common: title, direction, truth, floor."""
    ranks: dict[str, Rank]
    """Of entries that have a value."""
    pairs: tuple[Pair, ...]
    short: dict[str, float]
    """How far each of them is from the best there is."""

    def tied(self, name: str) -> list[str]:
        """Entries with the same best place."""
        return [other for other in self.ranks if other != name and self.ranks[other].best == self.ranks[name].best]


def order(card: str, scores: Mapping[str, Score]) -> Order:
    """The places of entries by a card.

    Args:
        card: its name; one entry at least has it.
        scores: of the same score id, by entry.
    """
    held = {name: score for name, score in scores.items()
            if card in score.results.metrics and score.results.metrics[card].value is not None}  # fmt: skip
    metric = next(score.results.metrics[card] for score in (held or scores).values() if card in score.results.metrics)
    names = sorted(held)
    couples = list(itertools.combinations(names, 2))
    draws = min(max(_LEAST_DRAWS, _DRAWS_A_PAIR * len(couples)), _MOST_DRAWS)
    tests = {(a, b): _test(card, held[a], held[b], draws=draws) for a, b in couples}
    adjusted = statistics.holm({couple: p for couple, (_, p) in tests.items() if p is not None})
    pairs = tuple(_pair(card, held, couple, test=tests[couple], p_holm=adjusted.get(couple)) for couple in couples)
    beats = {(pair.better, pair.second if pair.better == pair.first else pair.first)
             for pair in pairs if pair.better is not None}  # fmt: skip
    short = {name: found for name in names if (found := _shortfall(card, held[name])) is not None}
    return Order(card=card, metric=metric, ranks=statistics.ranks(names, beats=beats), pairs=pairs, short=short)


def _pair(
    card: str,
    scores: Mapping[str, Score],
    couple: tuple[str, str],
    *,
    test: tuple[Kind, float | None],
    p_holm: float | None,
) -> Pair:
    first, second = couple
    one, other = (_shortfall(card, scores[name]) for name in couple)
    floor = scores[first].results.metrics[card].floor or 0.0
    better = None
    if p_holm is not None and p_holm <= ALPHA and one is not None and other is not None and abs(one - other) > floor:
        better = first if one < other else second
    return Pair(
        first=first, second=second, difference=_value(card, scores[first]) - _value(card, scores[second]),
        test=test[0], p=test[1], p_holm=p_holm, better=better,
    )  # fmt: skip


def _test(card: str, first: Score, second: Score, *, draws: int) -> tuple[Kind, float | None]:
    a, b = _clips(card, first), _clips(card, second)
    if a and b and a.keys() & b.keys():
        p = statistics.sign_flip_test(a, b, cluster_of=first.speaker_of, draws=draws)
        # The test is of the clips that both have: where these say the opposite of the whole, nothing is shown.
        common = sorted(a.keys() & b.keys())
        apart = float(np.mean([a[clip] - b[clip] for clip in common]))
        whole = _value(card, first) - _value(card, second)
        return "paired", p if apart * whole >= 0 else 1.0
    errors = [score.results.metrics[card].standard_error for score in (first, second)]
    shorts = [_shortfall(card, score) for score in (first, second)]
    speakers = min(first.results.speakers, second.results.speakers)
    if None in errors or None in shorts or speakers < 2:
        return "none", None
    apart = abs(_float(shorts[0]) - _float(shorts[1]))
    error = math.hypot(_float(errors[0]), _float(errors[1]))
    if error == 0:
        return "none", None
    return "intervals", 2 * float(stats.t.sf(apart / error, speakers - 1))


def _clips(card: str, score: Score) -> dict[str, float]:
    """The values of clips whose mean the card's value is; nothing where it is something else."""
    metric, values = score.results.metrics[card], score.clip_values.get(card, {})
    if metric.direction not in ("higher", "lower") or not values:
        return {}
    value, mean = _value(card, score), float(np.mean(list(values.values())))
    return values if abs(mean - value) <= _IS_MEAN * max(abs(mean), abs(value)) else {}


def _value(card: str, score: Score) -> float:
    return _float(score.results.metrics[card].value)


def _shortfall(card: str, score: Score) -> float | None:
    metric = score.results.metrics[card]
    return metric.shortfall(metric.value)


def _float(value: float | None) -> float:
    if value is None:
        raise TypeError("a value that is known to be there is missing")
    return value


def place(rank: Rank) -> str:
    """A range of places: `1`, or `2-4`."""
    return str(rank.best) if rank.best == rank.worst else f"{rank.best}\N{EN DASH}{rank.worst}"


def sorted_names(orders: Sequence[Order], names: Sequence[str]) -> list[str]:
    """Entries by their best place in the first card, then by how short they are of the best, then by name."""
    if not orders:
        return sorted(names)
    first = orders[0]

    def key(name: str) -> tuple[float, float, str]:
        rank = first.ranks.get(name)
        return math.inf if rank is None else rank.best, first.short.get(name, math.inf), name

    return sorted(names, key=key)
