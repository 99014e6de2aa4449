"""From rows to values: of every system, with intervals, a floor, and comparisons with the controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from csg405.benchmark import metric, statistics
from csg405.benchmark.metric import Card, KeptRows, MetricModule, Rows, Values
from csg405.benchmark.scoring import rows
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.statistics import Interval

HALVINGS = 8
"""Random divisions of the clips in two, whose mean is the floor."""

_SEED = 405_008


@dataclasses.dataclass(frozen=True, kw_only=True)
class Book:
    """The rows of many systems, read one system at a time."""

    files: Mapping[str, Sequence[Path]]
    """By system: the files that its rows are in."""
    modules: Sequence[MetricModule]
    cluster_of: Mapping[str, str]
    """Speaker of every clip."""
    truth: Measured

    @classmethod
    def open(
        cls, files: Mapping[str, Sequence[Path]], modules: Sequence[MetricModule], cluster_of: Mapping[str, str]
    ) -> Book:
        """The book of systems, among them `truth`."""
        return cls(files=files, modules=modules, cluster_of=cluster_of, truth=rows.read(files["truth"], "truth"))

    def rows(self, system: str) -> Measured:
        """All rows of a system."""
        return self.truth if system == "truth" else rows.read(self.files[system], system)

    def true_rows(self, module: MetricModule) -> Rows:
        """The truth's rows for a metric."""
        return self.truth[metric.measure_name(module)]

    def values(self, measured: Mapping[str, Rows]) -> Values:
        """All values of a system."""
        found: Values = {}
        for module in self.modules:
            found |= metric.compute(module, measured[metric.measure_name(module)], self.true_rows(module))
        return found

    def by_clip(self, measured: Measured) -> dict[str, dict[str, float]]:
        """Values of single clips by card, for metrics that have them."""
        found: dict[str, dict[str, float]] = {}
        for module in self.modules:
            of_clips = metric.per_clip(module, measured[metric.measure_name(module)], self.true_rows(module))
            for clip_id, values in of_clips.items():
                for name, value in values.items():
                    if value is not None:
                        found.setdefault(name, {})[clip_id] = value
        return found

    def intervals(self, measured: Measured, by_clip: Mapping[str, Mapping[str, float]]) -> dict[str, Interval | None]:
        """How sure the values are, by card; values of sets that would have to be computed anew have none."""
        found: dict[str, Interval | None] = {}
        for module in self.modules:
            if hasattr(module, "pooled"):
                own = measured[metric.measure_name(module)]
                found |= statistics.set_intervals(module, own, self.true_rows(module), cluster_of=self.cluster_of)
                continue
            for card in module.CARDS:
                values = by_clip.get(card.name)
                if values:
                    found[card.name] = statistics.mean_interval(values, cluster_of=self.cluster_of)
        return found

    def seed_spread(self, measured: Measured) -> dict[str, float | None]:
        """Deviation between the values of a system's seeds, by card."""
        seeds = sorted({key.seed for key in next(iter(measured.values()))})
        if len(seeds) < 2:
            return {}
        of_seeds = [
            self.values({name: metric.of_seed(held, seed) for name, held in measured.items()}) for seed in seeds
        ]
        return {name: statistics.seed_spread([values[name] for values in of_seeds]) for name in of_seeds[0]}

    def floors(self) -> dict[str, float | None]:
        """Of every card, how far values of the same truth lie apart when the same speakers say other things.

        The clips are divided in two at random. Of a metric that compares sets (`OF_SETS`) it is the value of one half
        against the other; of any other the difference between the halves' own values. The mean over some divisions.
        Two halves of the speakers would lie much farther apart, since bodies do; and halves of every speaker's own
        clips a little nearer, since then fewer pairs within a half are one speaker's.
        """
        return floors_of(self.between_halves(number) for number in range(HALVINGS))

    def between_halves(self, number: int) -> Values:
        """By card, how far two halves of the truth's clips lie apart, in one of the `HALVINGS` random divisions."""
        halvings = self._halvings()
        if not halvings:
            return {}
        halves = [
            {name: KeptRows({key: row for key, row in rows.items() if key.clip_id in half})
             for name, rows in self.truth.items()}
            for half in halvings[number]
        ]  # fmt: skip
        found: Values = {}
        for module in self.modules:
            found |= _apart(module, *(half[metric.measure_name(module)] for half in halves))
        return found

    def _halvings(self) -> list[tuple[set[str], set[str]]]:
        clips = sorted(self.cluster_of)
        rng = np.random.default_rng(_SEED)
        found = []
        for _ in range(HALVINGS if len(clips) > 1 else 0):
            shuffled = [clips[i] for i in rng.permutation(len(clips))]
            found.append((set(shuffled[: len(clips) // 2]), set(shuffled[len(clips) // 2 :])))
        return found


def floors_of(halvings: Iterable[Values]) -> dict[str, float | None]:
    """By card, the mean over random divisions of what `Book.between_halves` says; none where it never says anything."""
    held: dict[str, list[float]] = {}
    for values in halvings:
        for name, value in values.items():
            if value is not None:
                held.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in held.items()}


def _apart(module: MetricModule, first: Rows, second: Rows) -> Values:
    if getattr(module, "OF_SETS", False):
        found = metric.compute(module, first, second)
        return {card.name: _from_ideal(card, found[card.name]) for card in module.CARDS}
    one, other = metric.compute(module, first, first), metric.compute(module, second, second)
    return {name: None if one[name] is None or other[name] is None else abs(one[name] - other[name]) for name in one}  # type: ignore[operator]


def _from_ideal(card: Card, value: float | None) -> float | None:
    if value is None:
        return None
    return abs(value - 1) if card.direction in ("one", "higher") else abs(value)


def shortfall(card: Card, value: float | None, truth: float | None) -> float | None:
    """How far a value is from the best there is, never negative; None where nothing is better than another."""
    if value is None or card.direction == "none":
        return None
    if card.direction == "higher":
        return None if truth is None else max(truth - value, 0.0)
    if card.direction == "lower":
        return max(value - (truth or 0.0), 0.0)
    ideal = {"truth": truth, "zero": 0.0, "one": 1.0}[card.direction]
    return None if ideal is None else abs(value - ideal)


def per_cent(card: Card, value: float | None, *, truth: float | None, chance: float | None) -> float | None:
    """Where a value lies between chance, 0, and the truth, 100; below 0 for what is worse than chance."""
    own, worst = shortfall(card, value, truth), shortfall(card, chance, truth)
    if own is None or worst is None or worst <= 0:
        return None
    return 100 * (1 - own / worst)
