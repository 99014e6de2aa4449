"""The stage runner: a folder of shards in, a folder of shards out, and never twice the same work.

Every part carries `sha256(operator, VERSION, configuration, upstream fingerprints, weights' digests)`. A shard whose
parts carry the fingerprint of today's plan is done; any other is made anew, and nothing else is touched.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from csg405 import operator as operators
from csg405 import table
from csg405.engine import Engine, Outcome
from csg405.errors import UserError
from csg405.operator import MEASURES, Item, OperatorModule, Setting, name_of
from csg405.progress import Beat, Progress
from csg405.run import Folders, Run, shards_of
from csg405.schema import Clip, Record, Refusal, Video

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Failure:
    """A shard that failed, with what to read about it."""

    step: str
    shard: str
    error: str
    log: Path


@dataclasses.dataclass
class Result:
    """What came of a stage."""

    done: int = 0
    fresh: int = 0
    failures: list[Failure] = dataclasses.field(default_factory=list)
    accepted: bool = True
    """Nothing failed, or no more than the run goes on without."""
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


def run(run_: Run, stage: str, engine: Engine) -> Result:
    """Bring every shard of a stage up to date, operator by operator.

    A shard that fails costs itself: the other shards go on, and the failures are in the result. Nothing is run on
    a shard after an operator of this stage failed on it.
    """
    clean_temporary(run_.folders)
    given_up = run_.given_up_before(stage)
    shards = {shard: videos for shard, videos in run_.shards().items() if shard not in given_up}
    result = Result()
    failed: set[str] = set()
    started = time.monotonic()
    for module in operators.ordered(stage):
        step = Step.of(module, run_)
        remove_strangers(step, set(shards))
        prints = {shard: step.fingerprint(shard, videos) for shard, videos in shards.items() if shard not in failed}
        stale = [shard for shard, fingerprint in prints.items() if not step.is_fresh(shard, fingerprint)]
        result.fresh += len(prints) - len(stale)
        before = time.monotonic()
        if stale:
            run_.withdraw(stage)
        failures = _run_step(step, {shard: (prints[shard], shards[shard]) for shard in stale}, engine, result)
        failed |= {failure.shard for failure in failures}
        if stale:
            result.seconds[step.name] = round(time.monotonic() - before, 2)
    result.accepted = len(failed) <= run_.common.max_failed_shards
    if result.accepted and not run_.stamp(stage).exists():
        _stamp(run_, stage, result, time.monotonic() - started, len(shards))
    return result


@dataclasses.dataclass(frozen=True)
class Step:
    """One operator with its configuration, on one run."""

    name: str
    setting: Setting
    weights: tuple[str, ...]
    folders: Folders

    @classmethod
    def of(cls, module: OperatorModule, run_: Run) -> Step:
        """The step of an operator on a run."""
        name = name_of(module)
        own, whole = (run_.section(path).model_dump_json() for path in (name, name.partition(".")[0]))
        setting = Setting(name, own, whole, run_.common.device, run_.folders)
        return cls(name, setting, tuple(operators.digests(module, setting)), run_.folders)

    @property
    def plan(self) -> Path:
        """The file that tells workers which fingerprint each of their shards is to carry."""
        return self.folders.work / "plans" / f"{self.name}.json"

    @property
    def beats(self) -> Path:
        """The folder in which workers tell how far they are."""
        return self.folders.work / "progress" / self.name

    @property
    def module(self) -> OperatorModule:
        """The operator."""
        return operators.load(self.name)

    def inputs(self, shard: str) -> list[Path]:
        """The parts that a shard is made from."""
        paths = [
            table.part_path(self.folders.table(record), shard) for record in self.module.READS if record is not Video
        ]
        if reads_measures(self.module):
            paths += [table.part_path(folder, shard) for folder in measure_folders(self.folders)]
        return paths

    def outputs(self, shard: str) -> dict[type[Record], Path]:
        """The parts that a shard makes."""
        short = self.name.partition(".")[2]
        return {
            record: table.part_path(self.folders.table(record), shard, writer=short if record is Refusal else None)
            for record in self.module.WRITES
        }

    def fingerprint(self, shard: str, videos: Sequence[Video]) -> str:
        """Of all that a shard's rows depend on.

        Raises:
            UserError: a part that it is made from is missing.
        """
        upstream = {f"{path.parent.name}/{path.name}": table.fingerprint(path) for path in self.inputs(shard)}
        missing = [path for path, fingerprint in upstream.items() if fingerprint is None]
        if missing:
            raise UserError(f"{self.name}: {missing[0]} is missing; run the stage that makes it first")
        facts = [
            self.name,
            self.module.VERSION,
            self.setting.config.model_dump(exclude=set(getattr(self.module, "IGNORED", ()))),
            sorted(self.weights),
            upstream,
            [_identity(video, whole=Video in self.module.READS) for video in videos],
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=_without_place).encode()).hexdigest()

    def is_fresh(self, shard: str, fingerprint: str) -> bool:
        """Whether all parts of a shard carry this fingerprint, and the files that their rows name are there."""
        outputs = self.outputs(shard)
        if any(table.fingerprint(path) != fingerprint for path in outputs.values()):
            return False
        named: dict[type[Record], tuple[str, ...]] = getattr(self.module, "FILES", {})
        return all(
            _has_content(self.folders.work / folder / name)
            for record, patterns in named.items()
            for folder, _, column in (pattern.rpartition("/") for pattern in patterns)
            for name in table.read_columns(outputs[record], [column])[column]
        )


_CONTENT = ("video_id", "sha256", "duration_s", "width", "height", "fps", "n_frames")
"""What an operator sees of a video that does not read its row: nothing of it changes when a file is renamed."""


def _identity(video: Video, *, whole: bool) -> dict[str, Any]:
    values = dataclasses.asdict(video)
    return values if whole else {name: values[name] for name in _CONTENT}


def _without_place(value: object) -> str:
    """A file counts by its digest, wherever it lies."""
    if isinstance(value, Path):
        return "a file"
    raise TypeError(f"{value!r} in a configuration cannot be written as JSON")


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def reads_measures(module: OperatorModule) -> bool:
    """Whether an operator takes all measures, whatever operators made them."""
    return bool(getattr(module, "READS_MEASURES", False))


def measure_folders(folders: Folders) -> list[Path]:
    """The tables below `measures`, by name."""
    return sorted(path for path in (folders.manifests / MEASURES).glob("*") if path.is_dir())


def _run_step(step: Step, stale: dict[str, tuple[str, list[Video]]], engine: Engine, result: Result) -> list[Failure]:
    failures: list[Failure] = []
    if not stale:
        return failures
    check = getattr(step.module, "check", None)
    if check:
        check(step.setting)
    plan = {shard: fingerprint for shard, (fingerprint, _) in stale.items()}
    table.write_text(step.plan, json.dumps(plan, indent=1) + "\n")
    make_worker = functools.partial(ShardWorker, step)
    longest_s = max(sum(video.duration_s or 0.0 for video in videos) for _, videos in stale.values())
    with Progress(step.name, total=len(stale), unit="shards", beats=step.beats) as progress:
        for outcome in engine.map(make_worker, list(stale), step.module.NEEDS, media_s=longest_s):
            if outcome.value is not None:
                result.done += 1
            else:
                failures.append(_record_failure(step, outcome))
            progress.advance()
    result.failures += failures
    return failures


def _record_failure(step: Step, outcome: Outcome[int]) -> Failure:
    path = step.folders.work / "logs" / f"{step.name}-{outcome.shard}.txt"
    table.write_text(path, outcome.trace or outcome.error)
    return Failure(step.name, outcome.shard, outcome.error, path)


class ShardWorker:
    """Runs one operator on shards; built once per worker process, where networks are loaded once."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.plan: dict[str, str] = json.loads(step.plan.read_text(encoding="utf-8"))
        self.videos = shards_of(step.folders)
        self.operator = step.module.Operator(step.setting)

    def __call__(self, shard: str) -> int:
        """Make one shard's parts; the number of their rows."""
        fingerprint, videos = self.plan[shard], self.videos[shard]
        rows: dict[type[Record], list[Record]] = {record: [] for record in self.step.module.WRITES}
        beat = Beat(self.step.beats, shard)
        todo = list(items(self.step, shard, videos))
        for number, item in enumerate(todo):
            tick = functools.partial(_tick, beat, number, len(todo))
            for row in self.operator(dataclasses.replace(item, tick=tick)):
                kind = type(row)
                if kind not in rows:
                    raise TypeError(f"{self.step.name} yielded a {kind.__name__}, which its WRITES does not name")
                rows[kind].append(self._signed(row, item) if isinstance(row, Refusal) else row)
        for record, path in self.step.outputs(shard).items():
            table.write_part(path, record, rows[record], fingerprint=fingerprint)
        beat.end()
        return sum(len(made) for made in rows.values())

    def _signed(self, refusal: Refusal, item: Item) -> Refusal:
        clip_id = item.clip.clip_id if item.clip else None
        return dataclasses.replace(
            refusal, video_id=item.video.video_id, clip_id=clip_id, operator=self.step.name.partition(".")[2]
        )


def _tick(beat: Beat, number: int, count: int, fraction: float) -> None:
    beat((number + fraction) / count)


def items(step: Step, shard: str, videos: Sequence[Video]) -> Iterable[Item]:
    """The items that an operator is called with on a shard, in the order of videos and clips."""
    module, folders = step.module, step.folders
    reads = set(module.READS) - {Video}
    if module.SCOPE == "clip":
        reads.add(Clip)
    rows = {record: table.read_part(table.part_path(folders.table(record), shard), record) for record in reads}
    measures = _read_measures(folders, shard) if reads_measures(module) else {}
    for video in videos:
        media = folders.root / str(video.path)
        own = {
            record: [row for row in found if _of(row, "video_id") == video.video_id] for record, found in rows.items()
        }
        if module.SCOPE == "video":
            yield Item(video, media, None, own, {}, shard)
            continue
        for clip in (row for row in own[Clip] if isinstance(row, Clip)):
            per_clip = {
                record: [row for row in found if _of(row, "clip_id") in (None, clip.clip_id)]
                for record, found in own.items()
            }
            yield Item(video, media, clip, per_clip, measures.get(clip.clip_id, {}), shard)


def _of(row: Record, key: str) -> object:
    return getattr(row, key, None)


def _read_measures(folders: Folders, shard: str) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = collections.defaultdict(dict)
    for folder in measure_folders(folders):
        columns = table.read_columns(table.part_path(folder, shard))
        for name, column in columns.items():
            for clip_id, value in zip(columns["clip_id"], column, strict=True):
                values[clip_id][f"{folder.name}.{name}"] = value
    return values


def remove_strangers(step: Step, shards: set[str]) -> None:
    """Delete parts of shards that are no longer in the plan, and of nothing else."""
    for record, example in step.outputs("*").items():
        allowed = {step.outputs(shard)[record].name for shard in shards}
        for path in example.parent.glob(example.name):
            if path.name not in allowed:
                log.info("removing %s: its videos are gone", path)
                path.unlink()


def clean_temporary(folders: Folders) -> None:
    """Delete what a killed program left half-written: temporary neighbours, known by their names."""
    for root in (folders.manifests, folders.work):
        for path in root.rglob(".*.tmp*"):
            path.unlink(missing_ok=True)


def _stamp(run_: Run, stage: str, result: Result, seconds: float, shards: int) -> None:
    facts = {
        "stage": stage,
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "shards": shards,
        "made": result.done,
        "fresh": result.fresh,
        "given_up": sorted({failure.shard for failure in result.failures}),
        "seconds_by_operator": result.seconds,
        "configuration": run_.section(stage).model_dump(mode="json"),
    }
    table.write_text(run_.stamp(stage), json.dumps(facts, indent=1) + "\n")
