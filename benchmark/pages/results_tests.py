"""Who is better than whom on the page of results: models with each other, and each with controls.

Models are tested with each other by `csg405.benchmark.scoring.compare`; p-values of all pairs and metrics are adjusted
together by Holm's method. With controls they were tested when they were scored. Either way a difference counts only
above the floor, by which halves of the truth differ.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from csg405.benchmark import statistics
from csg405.benchmark.controls import BY_NAME
from csg405.benchmark.pages.report import Verdict, control_title, verdicts
from csg405.benchmark.pages.scores import Metric, Results, Score
from csg405.benchmark.scoring.compare import Compared, compare
from csg405.benchmark.scoring.results import CHANCE
from csg405.benchmark.scoring.table import COLUMNS
from csg405.benchmark.statistics.comparisons import ALPHA
from csg405.report import words

NEIGHBOURS = ("random_clip", "audio_retrieval")
"""Controls beside the best of chance that models are set against: real motion of training clips."""

Outcome = Literal["first", "second", "tie", "open"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Test:
    """Two models by a metric."""

    card: str
    title: str
    row: Compared
    p_holm: float | None
    """Adjusted over all pairs and metrics of the page."""
    outcome: Outcome
    says: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duel:
    """Two models."""

    first: str
    second: str
    tests: tuple[Test, ...]

    @property
    def is_tested(self) -> bool:
        """Whether any metric could be tested."""
        return any(test.p_holm is not None for test in self.tests)

    def titles(self, outcome: Outcome) -> list[str]:
        """Metrics with this outcome."""
        return [test.title for test in self.tests if test.outcome == outcome]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stand:
    """A model by a metric, against controls."""

    title: str
    best: str
    """The best control that knows nothing of what is said, in words."""
    against_best: Verdict | None
    others: tuple[Verdict | None, ...]
    """Against `NEIGHBOURS`."""


def short(title: str) -> str:
    """A metric's title without what comes after its colon or comma."""
    return title.partition(":")[0].partition(",")[0]


def place_in_table(card: str) -> tuple[int, str]:
    """What cards are sorted by: as in the table on the terminal."""
    return COLUMNS.index(card) if card in COLUMNS else len(COLUMNS), card


def duels(scores: Mapping[str, Score], *, home: Path) -> list[Duel]:
    """All pairs of models.

    Args:
        scores: of the same score id, by title.
        home: the run's folder of the benchmark, where the truth's rows lie.
    """
    pairs = {
        (one, other): compare(scores[one].folder, scores[other].folder, home=home).rows
        for one, other in itertools.combinations(scores, 2)
    }
    held = {(pair, row.metric): row.p for pair, rows in pairs.items() for row in rows if row.p is not None}
    adjusted = statistics.holm(held)
    return [
        Duel(first=pair[0], second=pair[1], tests=tuple(
            _test(row, adjusted.get((pair, row.metric)), scores[pair[0]].results.metrics[row.metric])
            for row in sorted(rows, key=lambda row: place_in_table(row.metric))
        ))
        for pair, rows in pairs.items()
    ]  # fmt: skip


def _test(row: Compared, p_holm: float | None, told: Metric) -> Test:
    outcome, text = _judged(row, p_holm, told)
    return Test(card=row.metric, title=short(row.title), row=row, p_holm=p_holm, outcome=outcome, says=text)


def _judged(row: Compared, p_holm: float | None, told: Metric) -> tuple[Outcome, str]:
    first, second = told.shortfall(row.first), told.shortfall(row.second)
    if p_holm is None or first is None or second is None:
        return "open", f"not compared: {row.why_not}" if row.why_not else "not compared"
    if abs(first - second) <= (told.floor or 0.0):
        both = first == second
        return "tie", "tie: neither is short of the truth" if both and first == 0 else "tie: under the floor"
    if p_holm > ALPHA:
        return "open", "no difference shown"
    return ("first", "") if first < second else ("second", "")


def beats(held: Sequence[Duel], card: str) -> set[tuple[str, str]]:
    """Pairs of which the first is better by a metric."""
    found = set()
    for duel in held:
        for test in duel.tests:
            if test.card == card and test.outcome in ("first", "second"):
                pair = (duel.first, duel.second)
                found.add(pair if test.outcome == "first" else pair[::-1])
    return found


def stands(results: Results, cards: Sequence[str]) -> list[Stand]:
    """A model against the best of chance, and against real motion of others, by metric."""
    found = []
    for card in cards:
        told = {verdict.row.against: verdict for verdict in verdicts(results, card)}
        best = _best_of_chance(results, card)
        found.append(
            Stand(
                title=short(results.metrics[card].title), best="" if best is None else words.label(best),
                against_best=told.get(best or ""), others=tuple(told.get(name) for name in NEIGHBOURS),
            )
        )  # fmt: skip
    return found


def _best_of_chance(results: Results, card: str) -> str | None:
    metric = results.metrics[card]
    held = [
        (short_by, name)
        for name in CHANCE
        if (short_by := metric.shortfall(results.controls.get(name, {}).get(card))) is not None
    ]
    return min(held)[1] if held else None


def tally(held: Sequence[Stand]) -> str:
    """By which metrics a model is better than the best of chance, and by which it is worse, in words."""
    told = [(stand.title, stand.against_best.outcome) for stand in held if stand.against_best is not None]
    if not told:
        return "not compared with the best of chance: there are too few talkers"
    parts = []
    for kind in ("better", "worse"):
        titles = [title for title, outcome in told if outcome == kind]
        if titles:
            parts.append(f"{kind} than the best of chance by {listed(titles)}")
    rest = [title for title, outcome in told if outcome not in ("better", "worse")]
    if rest:
        parts.append(f"not told from it by {listed(rest)}" if parts else f"not told from chance by {listed(rest)}")
    return "; ".join(parts)


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def neighbour_titles() -> list[tuple[str, str]]:
    """Names and meanings of `NEIGHBOURS`."""
    return [(words.label(name), control_title(name)) for name in NEIGHBOURS if name in BY_NAME]
