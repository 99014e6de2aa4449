"""Two scores against each other: every metric that ranks, with the difference, its interval, p, and Holm's correction.

Values of single clips are compared by speaker from `per_clip.parquet` alone. Values of sets of clips need the rows that
scoring leaves beside the results (`rows/`, and those of the truth below the run's folder), and are not compared where
these are not at hand. Scores with another id saw other data through other eyes: they are refused.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from csg405.benchmark import metric, statistics
from csg405.benchmark.metric import MetricModule
from csg405.benchmark.pages.scores import RESULTS, Metric, Score
from csg405.benchmark.scoring import rows
from csg405.benchmark.scoring.film import controls_name, video_modules
from csg405.benchmark.scoring.results import rounded
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.statistics import Interval
from csg405.benchmark.statistics.comparisons import ALPHA
from csg405.errors import UserError

Verdict = Literal["first", "second", "neither"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """Two systems by one metric."""

    metric: str
    title: str
    first: float | None
    second: float | None
    difference: float | None = None
    """First minus second, over the clips that both have."""
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    better: Verdict = "neither"
    """Which is better beyond chance, after Holm's correction."""
    why_not: str | None = None
    """Why they were not compared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two systems."""

    score_id: str
    first: str
    second: str
    """Names and versions."""
    rows: tuple[Compared, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return dataclasses.asdict(self)


def compare(first: Path, second: Path, *, home: Path | None = None) -> Comparison:
    """Compare two scores.

    Args:
        first: folder of a score.
        second: folder of another.
        home: the run's folder of the benchmark, `work/<run>/benchmark`, where the truth's rows lie; by default the one
            that the first score lies in.

    Raises:
        UserError: a score is missing or damaged, or they have different ids.
    """
    one, other = Score.read(first), Score.read(second)
    if one.results.score_id != other.results.score_id:
        raise UserError(
            f"{first} has score id {one.results.score_id}, {second} has {other.results.score_id}: they saw other data, "
            "or through another kit or evaluator; score both again with the same"
        )
    pair = _Pair(one, other, home or first.resolve().parent.parent)
    told = [pair.compared(name) for name in one.results.ranking if name in other.results.ranking]
    adjusted = statistics.holm({row.metric: row.p for row in told if row.p is not None})
    return Comparison(
        score_id=one.results.score_id, first=one.results.system, second=other.results.system,
        rows=tuple(_judged(row, adjusted.get(row.metric), one.results.metrics[row.metric]) for row in told),
    )  # fmt: skip


def _judged(row: Compared, p_holm: float | None, told: Metric) -> Compared:
    """The row with its corrected p-value and, where that is small, which of the two is better."""
    if p_holm is None:
        return row
    own, others = told.shortfall(row.first), told.shortfall(row.second)
    better: Verdict = "neither"
    if p_holm <= ALPHA and own is not None and others is not None and own != others:
        better = "first" if own < others else "second"
    return dataclasses.replace(row, p_holm=rounded(p_holm), better=better)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Two scores with one id."""

    first: Score
    second: Score
    home: Path

    def compared(self, name: str) -> Compared:
        """By one metric; without Holm's correction."""
        told = self.first.results.metrics[name]
        values = told.value, self.second.results.metrics[name].value
        row = Compared(metric=name, title=told.title, first=values[0], second=values[1])
        if None in values:
            return dataclasses.replace(row, why_not="not computed for both")
        clips = self.first.clip_values.get(name, {}), self.second.clip_values.get(name, {})
        found = self._of_clips(*clips) if clips[0] and clips[1] else self._of_sets(name)
        if isinstance(found, str):
            return dataclasses.replace(row, why_not=found)
        interval, p = found
        return dataclasses.replace(
            row, difference=rounded(interval.value), interval=(_number(interval.low), _number(interval.high)),
            p=rounded(p),
        )  # fmt: skip

    @functools.cached_property
    def speaker_of(self) -> dict[str, str]:
        """The speaker of every clip."""
        return self.first.speaker_of

    def _of_clips(self, first: Mapping[str, float], second: Mapping[str, float]) -> tuple[Interval, float] | str:
        apart = {clip_id: first[clip_id] - second[clip_id] for clip_id in sorted(first.keys() & second.keys())}
        interval = statistics.mean_interval(apart, cluster_of=self.speaker_of) if apart else None
        if interval is None:
            return "too few speakers, or clips that both have"
        return interval, statistics.sign_flip_test(first, second, cluster_of=self.speaker_of)

    def _of_sets(self, name: str) -> tuple[Interval, float] | str:
        module = next((one for one in self.modules if name in {card.name for card in one.CARDS}), None)
        if module is None:
            return "a metric that this program does not know"
        measure = metric.measure_name(module)
        missing = [told for told, held in (("the first's", self.own[0]), ("the second's", self.own[1]),
                                           ("the truth's", self.truth)) if measure not in held]  # fmt: skip
        if missing:
            return f"a value of all clips together, for which {' and '.join(missing)} rows would have to be at hand"
        own, others, true = (held[measure] for held in (*self.own, self.truth))
        clips = [{key.clip_id for key in held} for held in (own, others, true)]
        if clips[0] != clips[2] or clips[1] != clips[2] or not clips[2] <= self.speaker_of.keys():
            return "the rows at hand are of other clips; score both again"
        told = [score.results.metrics[name].value for score in (self.first, self.second)]
        if not all(
            _same(metric.compute(module, held, true)[name], value)
            for held, value in zip((own, others), told, strict=True)
        ):
            return "the rows at hand are not those that the scores were computed from; score both again"
        interval, p = statistics.set_comparison(module, own, others, true, cluster_of=self.speaker_of, name=name)
        return (interval, p) if interval is not None and p is not None else "too few speakers"

    @property
    def modules(self) -> Sequence[MetricModule]:
        """The metrics of the scores' track."""
        return list(metric.modules().values()) if self.first.results.submission.track == "A" else video_modules()

    @functools.cached_property
    def own(self) -> tuple[Measured, Measured]:
        """The rows of both; nothing where they are not at hand."""
        return _rows(self.first.folder / "rows", "submission"), _rows(self.second.folder / "rows", "submission")

    @functools.cached_property
    def truth(self) -> Measured:
        """The rows of the truth: those of the split and the kit; nothing where they are not at hand."""
        facts = self.first.results
        skeleton = facts.submission.track == "A"
        digests = json.loads((self.first.folder / RESULTS).read_bytes())["digests"]
        name = "controls" if skeleton else controls_name(digests.get("networks", {}))
        found = [
            _rows(folder, "truth")
            for folder in sorted(self.home.glob(f"rows/{facts.submission.split}-{facts.digests.kit[:12]}-*/{name}"))
        ]
        return functools.reduce(lambda held, more: more | held, found, {})


def _rows(folder: Path, system: str) -> Measured:
    files = sorted(folder.glob("part-*.parquet"))
    try:
        return rows.read(files, system) if files else {}
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise UserError(f"{folder}: rows cannot be read ({error}); score the submission again") from error


def _same(computed: float | None, told: float | None) -> bool:
    """Whether a value is the one that a score says, as far as it was rounded."""
    return computed is not None and told is not None and math.isclose(computed, told, rel_tol=1e-6, abs_tol=1e-9)


def _number(value: float) -> float:
    found = rounded(value)
    return value if found is None else found
