"""Tables on disk: what is written is read back, whole or not at all, and what is wrong is found."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csg405 import schema, schema_docs, table
from csg405.errors import UserError
from csg405.schema import FloatArray, IntArray, Record, Shot, Verdict

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
INT64 = st.integers(-(2**63), 2**63 - 1)

VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INT64,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    list[str]: st.lists(TEXT, max_size=3),
    FloatArray: st.lists(st.floats(width=32, allow_nan=False), max_size=6).map(lambda x: np.array(x, np.float32)),
    IntArray: st.lists(st.integers(-(2**15), 2**15 - 1), max_size=6).map(lambda x: np.array(x, np.int16)),
}


def rows_of(record: type[Record]) -> st.SearchStrategy[list[Record]]:
    hints = typing.get_type_hints(record)
    fields = {}
    for field in dataclasses.fields(record):
        kinds = [kind for kind in typing.get_args(hints[field.name]) if kind in VALUES]
        optional = type(None) in typing.get_args(hints[field.name])
        value = VALUES[kinds[0] if optional else hints[field.name]]
        fields[field.name] = st.none() | value if optional else value
    return st.lists(st.builds(record, **fields), max_size=3)


def same(one: Record, other: Record) -> bool:
    for field in dataclasses.fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            if right.dtype != left.dtype or not np.array_equal(left, right):
                return False
        elif left != right or type(left) is not type(right):
            return False
    return True


@pytest.mark.parametrize("record", schema_docs.records(), ids=lambda record: record.TABLE)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_rows_come_back_as_they_were_written(record: type[Record], tmp_path: Path, data: st.DataObject):
    rows = data.draw(rows_of(record))
    path = table.part_path(tmp_path, "00000")
    assert table.write_part(path, record, rows, fingerprint="abc") == len(rows)
    back = table.read_part(path, record)
    assert len(back) == len(rows)
    assert all(same(one, other) for one, other in zip(rows, back, strict=True))
    assert table.fingerprint(path) == "abc"
    assert table.problems(tmp_path, record) == []


SHOT = Shot(video_id="file.ab", shot=0, start_s=0.0, end_s=2.5)


def parts_of(folder: Path, *shards: str) -> list[Path]:
    for number, shard in enumerate(shards):
        table.write_part(table.part_path(folder, shard), Shot, [dataclasses.replace(SHOT, shot=number)])
    return table.parts(folder)


def test_a_table_is_its_parts_in_order_and_pandas_reads_it(tmp_path: Path):
    parts_of(tmp_path / "shots", "00001", "00000", "00010")
    assert [shot.shot for shot in table.read(tmp_path / "shots", Shot)] == [1, 0, 2]
    frame = pd.read_parquet(tmp_path / "shots")
    assert list(frame.columns) == ["video_id", "shot", "start_s", "end_s"]
    assert sorted(frame["shot"]) == [0, 1, 2]
    assert table.read(tmp_path / "nothing", Shot) == []


def test_meaning_and_unit_travel_in_the_file(tmp_path: Path):
    (path,) = parts_of(tmp_path, "00000")
    field = pq.read_schema(path).field("start_s")
    assert field.metadata == {b"meaning": b"time of the first picture", b"unit": b"s"}
    assert not field.nullable


def test_the_same_rows_give_the_same_bytes(tmp_path: Path):
    one, other = parts_of(tmp_path / "a", "00000") + parts_of(tmp_path / "b", "00000")
    assert one.read_bytes() == other.read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path):
    path = tmp_path / "facts.json"
    table.write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the n")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        table.replace_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_the_wrong_type_leave_nothing(tmp_path: Path):
    wrong = dataclasses.replace(SHOT, shot=typing.cast(int, "first"))
    with pytest.raises(pa.ArrowInvalid):
        table.write_part(table.part_path(tmp_path, "00000"), Shot, [SHOT, wrong])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_value_in_a_column_that_must_have_one_is_found(tmp_path: Path):
    wrong = dataclasses.replace(SHOT, video_id=typing.cast(str, None))
    with pytest.raises((ValueError, pa.ArrowInvalid)):
        table.write_part(table.part_path(tmp_path, "00000"), Shot, [wrong])


def _with_version(path: Path, version: str) -> None:
    found = pq.read_table(path)
    pq.write_table(found.replace_schema_metadata({b"csg405.schema_version": version.encode()}), path)


def test_another_major_version_is_refused_with_both_numbers(tmp_path: Path):
    (path,) = parts_of(tmp_path, "00000")
    _with_version(path, "7.3")
    with pytest.raises(UserError, match=rf"schema version 7.3, this program reads {schema.SCHEMA_VERSION}"):
        table.read_part(path, Shot)
    assert table.fingerprint(path) is None
    assert "schema version 7.3" in table.problems(tmp_path, Shot)[0]
    _with_version(path, schema.SCHEMA_VERSION.split(".")[0] + ".999")
    assert table.read_part(path, Shot) == [SHOT]


def test_a_parquet_file_of_somebody_else_is_refused(tmp_path: Path):
    path = table.part_path(tmp_path, "00000")
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="schema version none"):
        table.read_part(path, Shot)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_bytes_that_changed_on_disk_are_found(tmp_path: Path, at: float):
    path = tmp_path / "part-0.parquet"
    rows = [Shot(video_id=f"file.{n}", shot=n, start_s=n / 7, end_s=n / 3) for n in range(2000)]
    table.write_part(path, Shot, rows)
    whole = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(0)
    data = sum(group.column(number).total_compressed_size for number in range(group.num_columns))
    place = 4 + int(at * data)
    whole[place : place + 8] = bytes(byte ^ 0xFF for byte in whole[place : place + 8])
    path.write_bytes(whole)
    with pytest.raises(UserError, match="cannot be read"):
        table.read_part(path, Shot)


def test_problems_names_columns_and_types(tmp_path: Path):
    (path,) = parts_of(tmp_path, "00000")
    found = pq.read_table(path)
    metadata = found.schema.metadata
    other = found.drop_columns(["end_s"]).append_column("colour", pa.array(["red"]))
    other = other.set_column(1, "shot", pa.array(["one"])).replace_schema_metadata(metadata)
    pq.write_table(other, path)
    (tmp_path / "part-00001.parquet").write_bytes(b"no parquet")
    assert table.problems(tmp_path, Shot) == sorted(
        [
            "part-00000.parquet: column shot is string, not int64",
            "part-00000.parquet: no column end_s",
            "part-00000.parquet: unknown column colour",
            table.problems(tmp_path, Shot)[-1],
        ]
    )
    assert table.problems(tmp_path, Shot)[-1].startswith("part-00001.parquet: ")
    with pytest.raises(UserError, match="columns end_s are missing"):
        table.read_part(path, Shot)


def test_fingerprint_of_what_is_not_there_or_broken_is_none(tmp_path: Path):
    assert table.fingerprint(tmp_path / "part-00000.parquet") is None
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 and then nothing")
    assert table.fingerprint(tmp_path / "part-00000.parquet") is None


def test_lists_of_words_come_back_as_lists(tmp_path: Path):
    verdict = Verdict(
        clip_id="c", video_id="v", duration_s=4.0, kept=False, first_reason="motion", only_reason=None,
        reasons=["motion", "speech"], review=[],
    )  # fmt: skip
    path = table.part_path(tmp_path, "00000")
    table.write_part(path, Verdict, [verdict])
    assert table.read_part(path, Verdict) == [verdict]


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_a_whole_part(tmp_path: Path):
    """A child rewrites one part as fast as it can; whenever it is killed, the part can be read."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom csg405 import table\nfrom csg405.schema import Shot\n"
        "rows = [Shot(video_id='v' * 50, shot=n, start_s=0.0, end_s=1.0) for n in range(20000)]\n"
        "path = Path(sys.argv[1])\nnumber = 0\n"
        "while True:\n    table.write_part(path, Shot, rows, fingerprint=str(number))\n    number += 1\n"
    )
    path = table.part_path(tmp_path, "00000")
    for kill_after_s in (0.0, 0.01, 0.03, 0.05, 0.08):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", code, os.fspath(path)]) as child:
            deadline = time.monotonic() + 60
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(kill_after_s)
            child.send_signal(signal.SIGKILL)
        assert len(table.read_part(path, Shot)) == 20_000
