"""The stage runner, by running the filter on hand-made measurements of three videos."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from csg405 import engine, schema_docs, stage, table
from csg405.config import EngineSettings
from csg405.engine import Outcome, Worker
from csg405.errors import UserError
from csg405.operator import Resources
from csg405.run import Run
from csg405.schema import Clip, Decision, Record, Verdict, Video
from tests.items import clip, video

T = typing.TypeVar("T")

MEASURES = [record for record in schema_docs.records() if record.TABLE.startswith("measures/")]
LOCAL = engine.make(EngineSettings(workers=2), kind="local", device="cpu")


class Here:
    """An engine without processes, for tests that are not about them."""

    def map(
        self, make_worker: Callable[[], Worker[T]], shards: Sequence[str], needs: Resources, *, media_s: float = 0.0
    ) -> Iterator[Outcome[T]]:
        worker = make_worker()
        for shard in shards:
            yield engine.attempt(lambda: worker, shard)

    def close(self) -> None:
        """Nothing is held."""


HERE = Here()


def measured(record: type[Record], clip_id: str) -> Record:
    """A row of a measure: 1.0 wherever there is a number."""
    values: dict[type, object] = {int: 1, float: 1.0, bool: True, str: "", list[str]: []}
    fields = {}
    for name, hint in typing.get_type_hints(record).items():
        kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind in values]
        if kinds and not name.isupper():
            fields[name] = clip_id if name == "clip_id" else values[kinds[0]]
    return record(**{field.name: fields[field.name] for field in dataclasses.fields(record)})


def write_shard(run: Run, shard: str, clips: list[Clip]) -> None:
    table.write_part(table.part_path(run.folders.table(Clip), shard), Clip, clips, fingerprint=f"clips {clips}")
    for record in MEASURES:
        rows = [measured(record, one.clip_id) for one in clips]
        path = table.part_path(run.folders.table(record), shard)
        table.write_part(path, record, rows, fingerprint=f"{record.TABLE} {clips}")


def clips_of(name: str) -> list[Clip]:
    starts = (0, 7_000)
    return [clip(video_id=name, clip_id=f"{name}_{start}_p0", start_ms=start, n_frames=150) for start in starts]


def opened(root: Path, *overrides: str, names: tuple[str, ...] = ("file.a", "file.b", "file.c")) -> Run:
    run = Run.open("films", "folder", overrides, root=root)
    videos = [video(video_id=name, path=f"{name}.mp4") for name in names]
    table.write_part(table.part_path(run.folders.table(Video), "00000"), Video, videos)
    for shard, members in run.shards().items():
        if not table.part_path(run.folders.table(Clip), shard).exists():
            write_shard(run, shard, [one for member in members for one in clips_of(member.video_id)])
    return run


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "manifests").rglob("*.parquet"))
    }


def test_all_shards_are_made_once_and_then_never_again(tmp_path: Path):
    run = opened(tmp_path)
    first = stage.run(run, "filter", LOCAL)
    assert (first.done, first.fresh, first.failures) == (3, 0, [])
    decisions = table.read(run.folders.table(Decision), Decision)
    verdicts = table.read(run.folders.table(Verdict), Verdict)
    assert [verdict.clip_id for verdict in verdicts] == [
        one.clip_id for name in ("file.a", "file.b", "file.c") for one in clips_of(name)
    ]
    criteria = {decision.criterion for decision in decisions}
    assert len(criteria) > 10
    assert len(decisions) == len(criteria) * len(verdicts)
    facts = json.loads(run.stamp("filter").read_text())
    assert (facts["stage"], facts["shards"], facts["made"]) == ("filter", 3, 3)
    before = digests(tmp_path)
    second = stage.run(opened(tmp_path), "filter", HERE)
    assert (second.done, second.fresh) == (0, 3)
    assert digests(tmp_path) == before


def test_a_changed_threshold_makes_all_shards_anew_and_back_again(tmp_path: Path):
    stage.run(opened(tmp_path), "filter", HERE)
    before = digests(tmp_path)
    changed = opened(tmp_path, "filter.criteria.duration.at_least=14")
    assert stage.run(changed, "filter", HERE).done == 3
    verdicts = table.read(changed.folders.table(Verdict), Verdict)
    assert all("duration" in verdict.reasons for verdict in verdicts)
    assert stage.run(opened(tmp_path), "filter", HERE).done == 3
    assert digests(tmp_path) == before


def test_another_number_of_workers_makes_nothing_anew(tmp_path: Path):
    stage.run(opened(tmp_path), "filter", HERE)
    again = stage.run(opened(tmp_path, "engine.workers=1", "engine.deadline_s=5"), "filter", HERE)
    assert (again.done, again.fresh) == (0, 3)


def test_a_changed_part_makes_its_own_shard_anew(tmp_path: Path):
    run = opened(tmp_path)
    stage.run(run, "filter", HERE)
    before = digests(tmp_path)
    write_shard(run, "00001", clips_of("file.b")[:1])
    result = stage.run(opened(tmp_path), "filter", HERE)
    assert (result.done, result.fresh) == (1, 2)
    changed = {path for path, digest in digests(tmp_path).items() if before[path] != digest}
    assert {Path(path).name for path in changed} == {"part-00001.parquet"}
    assert len(table.read(run.folders.table(Verdict), Verdict)) == 5


def test_one_more_video_touches_nothing_else_and_one_less_takes_its_rows_away(tmp_path: Path):
    stage.run(opened(tmp_path), "filter", HERE)
    before = digests(tmp_path)
    grown = opened(tmp_path, names=("file.a", "file.b", "file.c", "file.d"))
    assert stage.run(grown, "filter", HERE).done == 1
    after = digests(tmp_path)
    assert {path for path in before if after[path] != before[path]} == {"manifests/films/videos/part-00000.parquet"}
    shrunk = opened(tmp_path, names=("file.b", "file.c", "file.d"))
    result = stage.run(shrunk, "filter", HERE)
    assert (result.done, result.fresh) == (0, 3)
    assert [path.name for path in table.parts(shrunk.folders.table(Verdict))] == [
        f"part-0000{number}.parquet" for number in (1, 2, 3)
    ]


def test_a_shard_that_fails_costs_itself(tmp_path: Path):
    run = opened(tmp_path)
    broken = table.part_path(run.folders.table(MEASURES[0]), "00001")
    whole = broken.read_bytes()
    broken.write_bytes(whole[:4] + b"\x00" * 60 + whole[64:])  # its metadata, at the end, can still be read
    result = stage.run(run, "filter", LOCAL)
    assert result.done == 2
    (failure,) = result.failures
    assert (failure.step, failure.shard) == ("filter.criteria", "00001")
    assert "the part cannot be read" in failure.log.read_text()
    assert not run.stamp("filter").exists()
    assert [path.name for path in table.parts(run.folders.table(Verdict))] == [
        "part-00000.parquet",
        "part-00002.parquet",
    ]
    broken.write_bytes(whole)
    mended = stage.run(run, "filter", HERE)
    assert (mended.done, mended.fresh, mended.failures) == (1, 2, [])
    assert run.stamp("filter").exists()


def test_a_criterion_without_a_measure_is_refused_before_any_shard(tmp_path: Path):
    run = opened(tmp_path, "filter.criteria.motion.measure=skeleton.movement", names=("file.a",))
    with pytest.raises(UserError, match=r"motion\.measure: no measure 'skeleton\.movement'; .*skeleton\.motion"):
        stage.run(run, "filter", HERE)
    assert not run.folders.table(Verdict).exists()


def test_a_missing_part_names_the_file(tmp_path: Path):
    run = opened(tmp_path)
    table.part_path(run.folders.table(Clip), "00002").unlink()
    with pytest.raises(UserError, match=r"clips/part-00002\.parquet is missing; run the stage that makes it first"):
        stage.run(run, "filter", HERE)


def test_what_a_killed_program_left_behind_is_removed(tmp_path: Path):
    run = opened(tmp_path)
    left = run.folders.table(Verdict) / ".part-00000.parquet.x1y2.tmp.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half")
    stage.run(run, "filter", HERE)
    assert not left.exists()
