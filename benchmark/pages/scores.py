"""What scoring wrote, read again: `results.json` and `per_clip.parquet` of one score.

The files of a leaderboard may come from anywhere, so what a page shows is checked before: types, the version of the
format, and that numbers are finite.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from csg405.benchmark.metric import Card, Direction
from csg405.benchmark.scoring.results import SCHEMA_VERSION
from csg405.benchmark.scoring.values import shortfall
from csg405.errors import UserError

RESULTS = "results.json"
PER_CLIP = "per_clip.parquet"
REPORT = Path("report", "index.html")

_KEYS = ("clip_id", "speaker")


class _Part(BaseModel):
    """Strict about what is read, and blind to what a page does not show."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Metric(_Part):
    """A value of a submission and what it is to be judged by."""

    title: str
    unit: str
    direction: Direction
    ranks: bool
    passed_its_card: bool | None = None
    value: float | None
    why_not: str | None = None
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    between_seeds: float | None = None
    clips: int | None = None
    truth: float | None = None
    chance: float | None = None
    floor: float | None = None
    per_cent: float | None = None
    tied_with_truth: bool | None = None
    smallest_difference: float | None = None

    def shortfall(self, value: float | None) -> float | None:
        """How far a value is from the best there is: see `csg405.benchmark.scoring.values`."""
        card = Card(name="", title=self.title, unit=self.unit, direction=self.direction)
        return shortfall(card, value, self.truth)


class Comparison(_Part):
    """The submission against a control by one metric."""

    metric: str
    against: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float


class Group(_Part):
    """Values of some clips."""

    by: str
    group: str
    clips: int
    values: dict[str, float | None]


class Worst(_Part):
    """The worst group of a division."""

    group: str
    value: float
    groups: int


class Bin(_Part):
    """Values of a span of the clips' time."""

    from_s: float
    clips: int
    values: dict[str, float | None]


class Curves(_Part):
    """Values over something, for example the agreement of beats and syllables over the lag between them."""

    title: str
    unit: str
    """Of `x`."""
    x: tuple[float, ...]
    lines: dict[str, tuple[float | None, ...]]
    """By system: `submission`, or a control."""


class Copy(_Part):
    """Something that the copy test found."""

    rule: str
    where: str
    seen: str
    level: str


class Trust(_Part):
    """What was found on the submission itself."""

    copies: tuple[Copy, ...] = ()
    why_not: str | None = None
    """Why nothing was looked for."""


class Digests(_Part):
    """What scores must share to be compared."""

    data: str
    kit: str
    evaluator: str


class _Named(_Part):
    name: str
    version: str
    code_url: str | None = None
    licence: str | None = None


class _Inference(_Part):
    seeds: int
    reference_frame_policy: str = ""


class _Training(_Part):
    datasets: tuple[str, ...] = ()
    hours: float | None = None
    speakers_seen: bool | None = None


class Facts(_Part):
    """Of the submission, as its submission.yaml says."""

    benchmark: _Named
    split: str
    track: str
    system: _Named
    inference: _Inference
    training: _Training = _Training()


class Results(_Part):
    """`results.json`."""

    schema_version: int
    score_id: Annotated[str, Field(min_length=1)]
    digests: Digests
    submission: Facts
    clips: int
    speakers: int
    metrics: dict[str, Metric]
    controls: dict[str, dict[str, float | None]] = {}
    comparisons: tuple[Comparison, ...] = ()
    groups: tuple[Group, ...] = ()
    worst_groups: dict[str, dict[str, Worst]] = {}
    over_time: tuple[Bin, ...] = ()
    curves: dict[str, Curves] = {}
    trust: Trust = Trust()
    environment: dict[str, str] = {}

    @property
    def system(self) -> str:
        """Name and version."""
        return f"{self.submission.system.name} {self.submission.system.version}"

    @property
    def ranking(self) -> list[str]:
        """Cards that rank, in the file's order."""
        return [name for name, metric in self.metrics.items() if metric.ranks]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """The folder of a score."""

    folder: Path
    results: Results

    @classmethod
    def read(cls, folder: Path) -> Score:
        """The score in a folder.

        Raises:
            UserError: there is none, it is damaged, or of a later format.
        """
        return cls(folder=folder, results=read_results(folder / RESULTS))

    @functools.cached_property
    def clip_values(self) -> dict[str, dict[str, float]]:
        """By card: the values of single clips that have one; empty where there is no `per_clip.parquet`.

        Raises:
            UserError: the file is damaged.
        """
        table = self._per_clip
        names = [name for name in table if name not in _KEYS]
        return {
            name: {clip: value for clip, value in zip(table["clip_id"], table[name], strict=True) if _is_value(value)}
            for name in names
        }

    @functools.cached_property
    def speaker_of(self) -> dict[str, str]:
        """The speaker of every clip."""
        return dict(zip(self._per_clip["clip_id"], self._per_clip["speaker"], strict=True))

    @functools.cached_property
    def _per_clip(self) -> dict[str, list[Any]]:
        path = self.folder / PER_CLIP
        if not path.is_file():
            return {name: [] for name in _KEYS}
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            words = str(error).partition("\n")[0]
            raise UserError(
                f"{path}: cannot be read ({words}); copy it again, or score the submission again"
            ) from error
        columns = {name: table[name].to_pylist() for name in table.column_names}
        for name in _KEYS:
            if not all(isinstance(value, str) for value in columns.get(name, [None])):
                raise UserError(f"{path}: column {name} is missing, or not of names; score the submission again")
        return columns


def read_results(path: Path) -> Results:
    """A results.json.

    Raises:
        UserError: it is not there, damaged, or of a later format.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; a score is a folder with {RESULTS}, as scoring writes it")
    try:
        held = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # of which JSON's and UTF-8's errors are kinds
        raise UserError(f"{path}: no JSON ({error}); copy it again, or score the submission again") from error
    version = held.get("schema_version") if isinstance(held, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version {version}, and this program reads {SCHEMA_VERSION}; update csg405, or score again"
        )
    try:
        return Results.model_validate_json(json.dumps(held))
    except (ValidationError, ValueError) as error:
        raise UserError(f"{path}: {_first(error)}; score the submission again") from error


def _first(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    detail = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in detail["loc"]) or "the whole"
    return f"{where}: seen {str(detail['input'])[:80]!r}, {detail['msg']}"


def _is_value(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
