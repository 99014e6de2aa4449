"""The Arrow schema of a table, derived from its record."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import pyarrow as pa

from csg405.schema import FloatArray, IntArray, Record

_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    list[str]: pa.list_(pa.string()),
    FloatArray: pa.list_(pa.float32()),
    IntArray: pa.list_(pa.int16()),
}


_schemas: dict[Any, pa.Schema] = {}


def arrow_schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema of a table: types from the annotations, meaning and unit in the fields' metadata.

    Raises:
        TypeError: a field's annotation has no Arrow type; give one with `column(arrow=...)`.
    """
    if record not in _schemas:
        hints = typing.get_type_hints(record)
        fields = [_arrow_field(record, field, hints[field.name]) for field in dataclasses.fields(record)]
        _schemas[record] = pa.schema(fields)
    return _schemas[record]


def _arrow_field(record: type[Record], field: dataclasses.Field[Any], hint: Any) -> pa.Field:
    nullable = False
    if isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint):
        nullable = True
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    arrow = field.metadata["arrow"] or _ARROW.get(hint)
    if arrow is None:
        raise TypeError(f"{record.__name__}.{field.name}: no Arrow type for {hint}; give column(arrow=...)")
    metadata = {"meaning": field.metadata["meaning"], "unit": field.metadata["unit"]}
    return pa.field(field.name, arrow, nullable=nullable, metadata=metadata)
