"""What a metric is: the contract of every file in `metrics/`, rows and their accumulator.

A module `csg405.benchmark.metrics.<name>` holds

- a docstring with the definition: formula, source, unit, direction, and what it is blind to;
- `CARDS`, a tuple of `Card`: one for each value that it gives;
- `measure(seen) -> Row`: what is kept of one motion for one clip. Pure; small; arrays of numbers. Several metrics may
  share a measure by importing it, and then it is taken once;
- one of
    `clip_values(row, true_row) -> dict[str, float | None]`: values of one clip by card; a metric's value is their mean
    over clips, each clip's being the mean over its seeds; a clip's None is left out;
    `values_by_clip(rows, truth) -> dict[str, dict[str, float | None]]`: the same where a clip's need others' rows;
    `compute(rows, truth) -> dict[str, float | None]`: values of many clips together, by card.

A module of the last kind may also hold `OF_SETS = True`, which says that `rows` may be of other clips than `truth`; and
`pooled(systems, truth, *, cluster_of, only=None)`, which gives the values of any union of clusters without a second
pass (`csg405.benchmark.metrics._features.Pooled`), so that its intervals and paired tests can be computed.

`rows` and `truth` are sorted by clip and seed, so a value never depends on how the clips were divided. The truth stands
beside every system: what a measure finds in it alone comes from `Clip.once`, what a value needs of rows alone from
`once`, so that it is computed once.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import pkgutil
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast

import numpy.typing as npt

from csg405.benchmark.clip import Seen

Direction = Literal["higher", "lower", "truth", "zero", "one", "none"]
"""What is better: more, less, nearer to the value of the truth, to 0, or to 1; `none` says that nothing is."""

Track = Literal["skeleton", "video"]

Perturbation = Literal[
    "jitter", "smoothing", "time_shift", "damping", "freezing", "other_audio", "bones", "lips"
]  # fmt: skip
"""What metric cards do to the truth: see `csg405.benchmark.perturb`."""

Row = dict[str, npt.NDArray[Any]]
"""What a measure keeps of one motion for one clip."""


class Key(NamedTuple):
    """Of a row."""

    clip_id: str
    seed: int
    """Of the system's samples, from 0; 0 for the truth."""


Rows = Mapping[Key, Row]
"""Sorted by key."""

Found = TypeVar("Found")


class KeptRows(dict[Key, Row]):
    """Rows that keep what `once` finds in them; nobody changes them."""

    def __init__(self, rows: Rows) -> None:
        """Nothing is found yet."""
        super().__init__(rows)
        self.kept: dict[tuple[Any, ...], Any] = {}


def once(rows: Rows, find: Callable[..., Found], *more: Hashable) -> Found:
    """`find(rows, *more)`, which is computed once for `KeptRows`: the truth stands beside every system."""
    if not isinstance(rows, KeptRows):
        return find(rows, *more)
    key = (find, *more)
    if key not in rows.kept:
        rows.kept[key] = find(rows, *more)
    return cast(Found, rows.kept[key])


def of_seed(rows: Rows, seed: int) -> Rows:
    """The rows of one seed, as rows of seed 0."""
    return once(rows, _of_seed, seed)


def _of_seed(rows: Rows, seed: int) -> Rows:
    if seed == 0 and all(key.seed == 0 for key in rows):
        return rows
    return KeptRows({Key(key.clip_id, 0): row for key, row in rows.items() if key.seed == seed})


Values = dict[str, float | None]
"""By card; None is 'not computed'."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One value of a metric, and what is claimed of it.

    The claims are put to the test: see `csg405.benchmark.cards`.
    """

    name: str
    title: str
    unit: str
    direction: Direction
    ranks: bool = False
    """Whether systems may be ordered by it, once it has passed its own card."""
    track: Track = "skeleton"
    answers: tuple[Perturbation, ...] = ()
    """Perturbations that must make it worse, the more the harder."""
    ignores: tuple[Perturbation, ...] = ()
    """Perturbations that must leave it where it is."""
    needs: tuple[str, ...] = ()
    """What must be there: `kit`, `two_tower`, the names of weights, several seeds (`seeds`)."""


class MetricModule(Protocol):
    """See the head of this file."""

    __name__: str
    CARDS: tuple[Card, ...]

    def measure(self, seen: Seen) -> Row:
        """What is kept of one motion for one clip."""
        ...


@functools.cache
def modules() -> dict[str, MetricModule]:
    """Every metric by name, found by walking `metrics/`; names with a leading underscore are helpers."""
    from csg405.benchmark import metrics

    names = sorted(found.name for found in pkgutil.iter_modules(metrics.__path__) if not found.name.startswith("_"))
    return {name: cast(MetricModule, importlib.import_module(f"{metrics.__name__}.{name}")) for name in names}


def measures(metrics: Iterable[MetricModule]) -> dict[str, Callable[[Seen], Row]]:
    """The measures of metrics by name; one that is shared comes once."""
    found: dict[str, Callable[[Seen], Row]] = {}
    for module in metrics:
        found[measure_name(module)] = module.measure
    return found


def measure_name(module: MetricModule) -> str:
    """A measure's name: that of the module which defines it."""
    return module.measure.__module__.rpartition(".")[2].removeprefix("_")


def compute(module: MetricModule, rows: Rows, truth: Rows) -> Values:
    """A metric's values.

    Args:
        module: the metric.
        rows: of a system.
        truth: of the clips' own motion; all clips of `rows` are in it.
    """
    whole = getattr(module, "compute", None)
    if whole is not None:
        return cast(Values, whole(rows, truth))
    by_clip = per_clip(module, rows, truth)
    return {card.name: known_mean(values[card.name] for values in by_clip.values())
            for card in module.CARDS}  # fmt: skip


def per_clip(module: MetricModule, rows: Rows, truth: Rows) -> dict[str, Values]:
    """The values of every clip, each the mean over its seeds; nothing for a metric that has none of single clips."""
    together = getattr(module, "values_by_clip", None)
    if together is not None:
        return cast(dict[str, Values], together(rows, truth))
    clip_values = getattr(module, "clip_values", None)
    if clip_values is None:
        return {}
    held: dict[str, list[Values]] = {}
    for key, row in rows.items():
        held.setdefault(key.clip_id, []).append(clip_values(row, truth[Key(key.clip_id, 0)]))
    return {
        clip_id: {card.name: known_mean(value[card.name] for value in values)
                  for card in module.CARDS}
        for clip_id, values in held.items()
    }  # fmt: skip


def known_mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that could be computed; None if none could."""
    held = [value for value in values if value is not None]
    return math.fsum(held) / len(held) if held else None


class Accumulator:
    """Rows of one metric as they come: taken in any order, merged, and computed at the end."""

    def __init__(self, module: MetricModule) -> None:
        self.module = module
        self._rows: dict[Key, Row] = {}

    def update(self, seen: Seen, *, seed: int = 0) -> None:
        """Take one motion.

        Raises:
            ValueError: this clip and seed was taken before.
        """
        self._take({Key(seen.clip.clip_id, seed): self.module.measure(seen)})

    def merge(self, other: Accumulator) -> Accumulator:
        """Take all that another one of the same metric holds; returns itself."""
        self._take(other._rows)
        return self

    def _take(self, rows: Mapping[Key, Row]) -> None:
        twice = sorted(rows.keys() & self._rows.keys())
        if twice:
            raise ValueError(f"{twice[0].clip_id} seed {twice[0].seed} was given twice")
        self._rows.update(rows)

    @property
    def rows(self) -> Rows:
        """What it holds, sorted."""
        return {key: self._rows[key] for key in sorted(self._rows)}

    def compute(self, truth: Accumulator) -> Values:
        """The metric's values against the truth's accumulator."""
        return compute(self.module, self.rows, truth.rows)
