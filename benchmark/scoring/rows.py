"""Rows on disk: one Parquet file for a chunk and a group of systems, a row group for each system.

Arrays are kept with their shape and type, so what is read is what was measured, bit by bit. A file says which
fingerprint it was made from and which systems it holds; it is whole or not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from csg405.benchmark.metric import KeptRows, Key, Row
from csg405.table import replace_atomically

Measured = dict[str, dict[Key, Row]]
"""Rows by measure."""

_SCHEMA = pa.schema(
    [
        ("measure", pa.string()), ("clip_id", pa.string()), ("seed", pa.int32()), ("array", pa.string()),
        ("dtype", pa.string()), ("shape", pa.list_(pa.int64())), ("data", pa.binary()),
    ]
)  # fmt: skip
_FINGERPRINT, _SYSTEMS = b"csg405.fingerprint", b"csg405.systems"


def write(path: Path, systems: Mapping[str, Measured], *, fingerprint: str) -> None:
    """Write the rows of systems, whole or not at all."""
    metadata = {_FINGERPRINT: fingerprint.encode(), _SYSTEMS: json.dumps(list(systems)).encode()}
    schema = _SCHEMA.with_metadata(metadata)

    def save(temporary: Path) -> None:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for measured in systems.values():
                writer.write_table(pa.Table.from_pylist(list(_flat(measured)), schema=schema))

    replace_atomically(path, save)


def _flat(measured: Measured) -> Iterable[dict[str, Any]]:
    for measure in sorted(measured):
        for key in sorted(measured[measure]):
            row = measured[measure][key]
            if not row:
                yield _line(measure, key, "", np.zeros(0))
            for name in sorted(row):
                yield _line(measure, key, name, row[name])


def _line(measure: str, key: Key, name: str, array: Any) -> dict[str, Any]:
    held = np.ascontiguousarray(array)
    return {
        "measure": measure, "clip_id": key.clip_id, "seed": key.seed, "array": name, "dtype": held.dtype.str,
        "shape": list(np.shape(array)), "data": held.tobytes(),
    }  # fmt: skip


def fingerprint(path: Path) -> str | None:
    """What a file was made from; None where there is none, or none that can be read."""
    try:
        held = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    found = held.get(_FINGERPRINT)
    return None if found is None else found.decode()


def read(paths: Iterable[Path], system: str) -> Measured:
    """All rows of a system, sorted by clip and seed."""
    found: dict[str, dict[Key, Row]] = {}
    for path in paths:
        for measure, key, name, array in _lines(path, system):
            row = found.setdefault(measure, {}).setdefault(key, {})
            if array is not None:
                row[name] = array
    return {measure: KeptRows({key: held[key] for key in sorted(held)}) for measure, held in found.items()}


def _lines(path: Path, system: str) -> Iterator[tuple[str, Key, str, Any]]:
    """Measure, key, name and array of every line, in the file's order."""
    file = pq.ParquetFile(path)
    place = json.loads(file.schema_arrow.metadata[_SYSTEMS]).index(system)
    columns = file.read_row_group(place).to_pydict()
    types = {name: np.dtype(name) for name in set(columns["dtype"])}
    for measure, clip_id, seed, name, dtype, shape, data in zip(
        *(columns[column] for column in _SCHEMA.names), strict=True
    ):
        array = np.frombuffer(data, types[dtype]).reshape(shape) if name else None
        yield measure, Key(clip_id, seed), name, array
