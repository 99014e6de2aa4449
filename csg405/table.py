"""Tables are folders of Parquet parts; this module reads, writes and checks them.

A part is written under a temporary name, synced and renamed, so a part that exists is whole. Its metadata holds
the schema's version and the fingerprint of all that it was made from, so it says itself whether it is stale.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csg405.arrow import arrow_schema
from csg405.errors import UserError
from csg405.schema import SCHEMA_VERSION, Record

R = TypeVar("R", bound=Record)

_VERSION = b"csg405.schema_version"
_FINGERPRINT = b"csg405.fingerprint"


def part_path(folder: Path, shard: str, *, writer: str | None = None) -> Path:
    """The part of a shard; `writer` keeps apart the parts of operators that write one table together."""
    return folder / (f"part-{shard}.parquet" if writer is None else f"part-{shard}-{writer}.parquet")


def replace_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a temporary neighbour of `path`, sync it, and give it its name.

    Whoever looks sees the old file or the whole new one, also after a kill or a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path, *, what: str) -> None:
    """Make a folder that a user has named, unless it is there.

    Raises:
        UserError: none can be made there; `what` says which one it is.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{what}: no folder can be made there ({error.strerror})") from error


def remove_leftovers(path: Path) -> None:
    """Remove what programs that were killed left of a file that they were replacing; it must not be being written."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp{glob.escape(path.suffix)}"):
        left.unlink()


def sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or to a folder's list of names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; one that says the same already is left alone."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    replace_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_part(path: Path, record: type[R], rows: Iterable[R], *, fingerprint: str = "") -> int:
    """Write one part, whole or not at all, and return the number of its rows.

    Args:
        path: the part's file.
        record: the table's record.
        rows: the rows, in their order.
        fingerprint: of everything that the rows were made from.
    """
    table = to_arrow(record, list(rows))
    metadata = {_VERSION: SCHEMA_VERSION.encode(), _FINGERPRINT: fingerprint.encode()}
    table = table.replace_schema_metadata(metadata)
    replace_atomically(
        path, lambda temporary: pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    )
    return int(table.num_rows)


def to_arrow(record: type[R], rows: Sequence[R]) -> pa.Table:
    """Rows as an Arrow table of the record's schema."""
    schema = arrow_schema(record)
    columns = [pa.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def read_part(path: Path, record: type[R], *, where: Any = None) -> list[R]:
    """The rows of one part.

    Args:
        path: the part's file.
        record: the table's record.
        where: an Arrow expression over the part's columns; only rows for which it holds are read.

    Raises:
        UserError: the part is of another major version, or its columns are not the record's.
    """
    file = _open(path)
    expected = arrow_schema(record)
    names = set(file.schema_arrow.names)
    missing = [field.name for field in expected if field.name not in names]
    if missing:
        raise UserError(f"{path}: columns {', '.join(missing)} are missing; delete the part to have it made anew")
    table = read_arrow(path, expected.names, where=where)
    columns = {name: _values(table[name]) for name in expected.names}
    return [record(**{name: values[row] for name, values in columns.items()}) for row in range(table.num_rows)]


def _values(array: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_list(array.type) and not pa.types.is_string(array.type.value_type):
        return [np.asarray(item.values) for item in array]
    return list(array.to_pylist())


def _damaged(path: Path, error: Exception) -> UserError:
    words = str(error).partition("\n")[0]
    return UserError(f"{path}: the part cannot be read ({words}); delete it, and run the stage that makes it again")


def _open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    seen = (file.schema_arrow.metadata or {}).get(_VERSION, b"").decode()
    if seen.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise UserError(f"{path}: schema version {seen or 'none'}, this program reads {SCHEMA_VERSION}")
    return file


def read(folder: Path, record: type[R]) -> list[R]:
    """The rows of a whole table, part by part in the order of their names; none where there is no folder."""
    return [row for path in parts(folder) for row in read_part(path, record)]


def read_columns(path: Path, names: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """One part's columns as lists, all or those named, for a reader that knows the table only by name."""
    table = read_arrow(path, names)
    return {name: _values(table[name]) for name in table.column_names}


def read_arrow(path: Path, columns: Sequence[str] | None = None, *, where: Any = None) -> pa.Table:
    """One part as an Arrow table, for a reader of a few columns, or of a few rows, of large tables.

    Args:
        path: the part's file.
        columns: the columns to read; all of them when missing.
        where: an Arrow expression over the part's columns; only rows for which it holds are read.

    Raises:
        UserError: the part is of another major version, or its bytes are no longer those that were written.
    """
    file = _open(path)
    names = None if columns is None else list(columns)
    try:
        if where is None:
            return file.read(columns=names)
        return pq.read_table(path, columns=names, filters=where, partitioning=None, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def columns(path: Path) -> list[str]:
    """The names of a part's columns."""
    return list(_open(path).schema_arrow.names)


def parts(folder: Path) -> list[Path]:
    """The parts of a table, in the order of their names."""
    return sorted(folder.glob("part-*.parquet"))


def fingerprint(path: Path) -> str | None:
    """The fingerprint that a part carries; None where there is no part, or none that can be read."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    if metadata.get(_VERSION, b"").decode().split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        return None
    return str(metadata.get(_FINGERPRINT, b"").decode())


def problems(folder: Path, record: type[Record]) -> list[str]:
    """Everything that is wrong with a table's parts: unreadable, another version, other columns or types."""
    found = []
    expected = {field.name: field.type for field in arrow_schema(record)}
    for path in parts(folder):
        try:
            schema = _open(path).schema_arrow
        except (pa.ArrowInvalid, UserError) as error:
            found.append(f"{path.name}: {error}")
            continue
        seen = {field.name: field.type for field in schema}
        found += [f"{path.name}: no column {name}" for name in expected.keys() - seen.keys()]
        found += [f"{path.name}: unknown column {name}" for name in seen.keys() - expected.keys()]
        found += [
            f"{path.name}: column {name} is {seen[name]}, not {kind}"
            for name, kind in expected.items()
            if name in seen and seen[name] != kind
        ]
    return sorted(found)


def describe(record: type[Record]) -> list[tuple[str, str, str, str]]:
    """Name, type, unit and meaning of every column, for documentation."""
    schema = arrow_schema(record)
    fields = dataclasses.fields(record)
    return [
        (
            field.name,
            str(arrow.type) + ("?" if arrow.nullable else ""),
            field.metadata["unit"],
            field.metadata["meaning"],
        )
        for field, arrow in zip(fields, schema, strict=True)
    ]
