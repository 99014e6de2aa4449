"""The numbers of the page: what went in and came out, and what every criterion did.

Large tables are read column by column, part by part: a run of 150,000 clips is a few arrays.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from csg405 import table
from csg405.arrow import arrow_schema
from csg405.operator import MEASURES
from csg405.report import histogram, words
from csg405.report.histogram import Histogram
from csg405.run import Folders
from csg405.schema import Clip, Decision, Record, Release, Video

SPLITS = ("train", "validation", "test")

FloatColumn = npt.NDArray[np.float64]


def read(folders: Folders, record: type[Record], columns: Sequence[str]) -> pa.Table:
    """Some columns of a whole table, and in `part` the name of each row's file; no rows without a table."""
    schema = pa.schema([arrow_schema(record).field(name) for name in columns])
    pieces = [schema.append(pa.field("part", pa.string())).empty_table()]
    for path in table.parts(folders.table(record)):
        rows = table.read_arrow(path, columns).select(list(columns)).cast(schema)
        pieces.append(rows.append_column("part", pa.array([path.name] * rows.num_rows, pa.string())))
    return pa.concat_tables(pieces)


def floats(column: pa.ChunkedArray) -> FloatColumn:
    """A column of numbers as an array, NaN where the number is missing."""
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), np.float64)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One bar of the funnel."""

    name: str
    seconds: float
    """Length of the pictures."""
    share: float
    """Of the first bar, 0-1."""
    says: str


@dataclasses.dataclass(frozen=True)
class Totals:
    """What went in and what came out."""

    videos: int
    """Known to the crawl."""
    videos_at_hand: int
    source_s: float
    clips: int
    candidate_s: float
    judged: int
    kept: int
    kept_s: float
    kept_videos: int
    to_review: int
    """Kept clips that a reviewing criterion flags."""
    flagged: list[tuple[str, int]]
    """Kept clips by the criterion that flags them, most first; a clip counts with every one that does."""

    @property
    def flags(self) -> str:
        """The criteria that flag kept clips, as words, with their counts where these tell more than `to_review`."""
        if all(count == self.to_review for _, count in self.flagged):
            return ", ".join(words.label(name) for name, _ in self.flagged)
        return ", ".join(f"{words.label(name)} {words.count(count)}" for name, count in self.flagged)

    @property
    def funnel(self) -> list[Stage]:
        """Source, candidates, kept."""
        whole = self.source_s
        steps = [
            ("source", self.source_s, f"{_plural(self.videos_at_hand, 'video')} at hand"),
            ("candidates", self.candidate_s, f"{_plural(self.clips, 'clip')} of one person speaking"),
            ("kept", self.kept_s, f"{_plural(self.kept, 'clip')} of {_plural(self.kept_videos, 'video')}"),
        ]
        return [Stage(name, length, length / whole if whole else 0.0, says) for name, length, says in steps]


def _plural(count: int, noun: str) -> str:
    return f"{words.count(count)} {noun}{'' if count == 1 else 's'}"


def totals(folders: Folders, videos: Sequence[Video], verdicts: pa.Table) -> Totals:
    """Count what went in and what came out.

    Args:
        folders: the run's.
        videos: all that the crawl knows of.
        verdicts: `read` of the verdicts with `video_id`, `duration_s`, `kept` and `review`.
    """
    clips = read(folders, Clip, ["start_ms", "end_ms"])
    kept = verdicts.filter(verdicts["kept"])
    at_hand = [video for video in videos if video.status == "ok"]
    flagged = collections.Counter(pc.list_flatten(kept["review"]).to_pylist())
    return Totals(
        videos=len(videos),
        videos_at_hand=len(at_hand),
        source_s=sum(video.duration_s or 0.0 for video in at_hand),
        clips=clips.num_rows,
        candidate_s=float((floats(clips["end_ms"]) - floats(clips["start_ms"])).sum()) / 1000,
        judged=verdicts.num_rows,
        kept=kept.num_rows,
        kept_s=float(floats(kept["duration_s"]).sum()),
        kept_videos=len(pc.unique(kept["video_id"])),
        to_review=int(np.count_nonzero(floats(pc.list_value_length(kept["review"])))),
        flagged=sorted(flagged.items(), key=lambda found: (-found[1], found[0])),
    )


def splits(folders: Folders) -> list[tuple[str, int]]:
    """Released clips by split, in the order of `SPLITS`; none before the release."""
    released = collections.Counter(read(folders, Release, ["split"])["split"].to_pylist())
    return [(split, released[split]) for split in SPLITS if split in released]


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What one criterion did."""

    name: str
    at_least: list[float]
    """Lower thresholds: one, unless the filter ran with several."""
    at_most: list[float]
    on_fail: str
    measured: int
    missing: int
    """Clips for which there is no value."""
    missing_passed: int
    failed: int
    first: int
    """Clips that this criterion rejects before any other."""
    only: int
    """Clips that this criterion alone rejects."""
    lost_s: float
    """Length of the clips that it rejects first: summed over the criteria, all that was rejected."""
    only_s: float
    """Length of the clips that it alone rejects: what dropping it would give back."""
    drawing: Histogram | None
    unit: str = ""
    why: str = ""
    """What it is for, as the filter's configuration tells."""

    @property
    def total(self) -> int:
        """Clips that it judged."""
        return self.measured + self.missing

    @property
    def thresholds(self) -> str:
        """Its thresholds as words."""
        texts = [f"at least {words.number(limit)}" for limit in self.at_least]
        texts += [f"at most {words.number(limit)}" for limit in self.at_most]
        return ", ".join(texts) or "none"


def criteria(folders: Folders, verdicts: pa.Table, *, bins: int) -> list[Criterion]:
    """Every criterion in the order in which the filter applies them.

    Args:
        folders: the run's.
        verdicts: `read` of the verdicts with `duration_s`, `first_reason` and `only_reason`.
        bins: bars of a histogram.
    """
    rows = read(folders, Decision, ["criterion", "value", "at_least", "at_most", "passed", "on_fail"])
    names = pc.unique(rows["criterion"]).to_pylist()
    mine = {name: rows.filter(pc.equal(rows["criterion"], name)) for name in names}
    told = _told(folders)
    return [_criterion(name, found, verdicts, told.get(name, {}), bins) for name, found in mine.items()]


def _told(folders: Folders) -> dict[str, dict[str, str]]:
    """Unit and purpose of the criteria, from the configuration that the filter's stamp holds; none without one."""
    stamp = folders.work / "stages" / "filter.json"
    if not stamp.exists():
        return {}
    found = json.loads(stamp.read_text(encoding="utf-8")).get("configuration", {}).get("criteria", {})
    return {
        name: {key: str(options.get(key, "")) for key in ("unit", "why")}
        for name, options in found.items()
        if isinstance(options, dict)
    }


def _criterion(name: str, rows: pa.Table, verdicts: pa.Table, told: Mapping[str, str], bins: int) -> Criterion:
    value, passed = floats(rows["value"]), np.asarray(rows["passed"], np.bool_)
    at_least, at_most = (_distinct(floats(rows[limit])) for limit in ("at_least", "at_most"))
    missing = ~np.isfinite(value)
    duration = floats(verdicts["duration_s"])
    first, only = (_is(verdicts[reason], name) for reason in ("first_reason", "only_reason"))
    return Criterion(
        name=name,
        at_least=at_least,
        at_most=at_most,
        on_fail=rows["on_fail"][0].as_py(),
        measured=int((~missing).sum()),
        missing=int(missing.sum()),
        missing_passed=int((missing & passed).sum()),
        failed=int((~passed).sum()),
        first=int(first.sum()),
        only=int(only.sum()),
        lost_s=float(duration[first].sum()),
        only_s=float(duration[only].sum()),
        drawing=histogram.draw(value, passed, at_least=at_least, at_most=at_most, bins=bins),
        unit=told.get("unit", ""),
        why=told.get("why", ""),
    )


def _is(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.equal(column, name), False), np.bool_)


def _distinct(values: FloatColumn) -> list[float]:
    return [float(value) for value in np.unique(values[np.isfinite(values)])]


@dataclasses.dataclass(frozen=True)
class Measure:
    """One raw measurement of one operator, over all clips."""

    operator: str
    name: str
    meaning: str
    unit: str
    measured: int
    missing: int
    drawing: Histogram | None


def measures(folders: Folders, *, bins: int) -> list[Measure]:
    """Every numeric column of the tables below `measures`, which are known by name only."""
    found = []
    for folder in sorted((folders.manifests / MEASURES).glob("*")):
        paths = table.parts(folder)
        schema = table.read_arrow(paths[0]).schema if paths else pa.schema([])
        fields = [field for field in schema if _is_number(field.type)]
        parts = [table.read_arrow(path, [field.name for field in fields]) for path in paths]
        for field in fields:
            values = np.concatenate([floats(part[field.name]) for part in parts])
            found.append(_measure(folder.name, field, values, bins))
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _measure(operator: str, field: pa.Field, values: FloatColumn, bins: int) -> Measure:
    told = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
    measured = int(np.isfinite(values).sum())
    return Measure(
        operator=operator,
        name=field.name,
        meaning=told.get("meaning", ""),
        unit=told.get("unit", ""),
        measured=measured,
        missing=len(values) - measured,
        drawing=histogram.draw(values, np.ones(values.shape, np.bool_), bins=bins),
    )
