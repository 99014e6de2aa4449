"""Writes what is derived from the records: `manifests/schema/*.json` and `docs/tables.md`.

`python -m csg405.schema_docs` writes them anew into the checkout; a test compares. The tables are those that
stages share, and those that the operators declare, found by walking the stages' folders.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import json
import logging
import textwrap
import types
import typing
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from csg405 import operator, table
from csg405.config import STAGES
from csg405.schema import SCHEMA_VERSION, SHARED, FloatArray, IntArray, Reason, Record

log = logging.getLogger(__name__)

_JSON: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    list[str]: {"type": "array", "items": {"type": "string"}},
    FloatArray: {"type": "array", "items": {"type": "number"}},
    IntArray: {
        "type": "array",
        "items": {
            "type": "integer",
            "minimum": int(np.iinfo(np.int16).min),
            "maximum": int(np.iinfo(np.int16).max),
        },
    },
}

_HEAD = f"""# Tables

Written by `python -m csg405.schema_docs` from the records in `csg405/schema.py` and in the operators; change
those. Schema version {SCHEMA_VERSION}: a reader refuses another major version.

A table is a folder of Parquet parts, below `manifests/<run>/` where nothing else is said. A value whose type has
a `?` may be missing. Times are presentation timestamps as the video's container gives them; a span contains its
start and not its end. Pixels are counted from the centre of the top-left one, x to the right, y down.
"""


def records() -> list[type[Record]]:
    """All tables: the shared ones in the order in which they come to be, then the operators' own."""
    found = list(SHARED)
    for stage in STAGES:
        for module in operator.ordered(stage):
            found += [record for record in module.WRITES if record not in found]
    return found


def json_schema(record: type[Record]) -> dict[str, Any]:
    """The JSON Schema of one row of a table.

    Raises:
        TypeError: a field's annotation has no JSON type.
    """
    hints = typing.get_type_hints(record)
    properties = {field.name: _property(record, field, hints[field.name]) for field in dataclasses.fields(record)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": record.TABLE,
        "description": _about(record),
        "version": SCHEMA_VERSION,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _property(record: type[Record], field: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    kinds = list(typing.get_args(hint)) if isinstance(hint, types.UnionType) else [hint]
    bare = [kind for kind in kinds if kind is not types.NoneType]
    if len(bare) != 1 or bare[0] not in _JSON:
        raise TypeError(f"{record.__name__}.{field.name}: no JSON type for {hint}")
    result = dict(_JSON[bare[0]])
    if len(kinds) > 1:
        result["type"] = [result["type"], "null"]
    result["description"] = field.metadata["meaning"]
    if field.metadata["unit"]:
        result["unit"] = field.metadata["unit"]
    return result


def _about(record: type[Record]) -> str:
    return " ".join(inspect.cleandoc(record.__doc__ or "").split())


def tables_page() -> str:
    """The page `docs/tables.md`."""
    sections = [_HEAD, *(_section(record) for record in records()), _reasons()]
    return "\n".join(sections)


def _section(record: type[Record]) -> str:
    place = "" if record.ROOT == "manifests" else " Lies below `work/<run>/`."
    lines = [f"## {record.TABLE}\n", _about(record) + place + "\n"]
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| {name} | {kind} | {unit} | {meaning} |" for name, kind, unit, meaning in table.describe(record)]
    return "\n".join(lines) + "\n"


def _reasons() -> str:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(Reason))).body
    statements = body.body if isinstance(body, ast.ClassDef) else []
    meanings = {
        name.targets[0].id: " ".join(str(text.value.value).split())
        for name, text in itertools.pairwise(statements)
        if isinstance(name, ast.Assign)
        and isinstance(name.targets[0], ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    lines = [
        "## Reasons\n",
        "What `status` and `reason` may say, `ok` apart.\n",
        "| reason | meaning |",
        "|---|---|",
    ]
    lines += [f"| {reason} | {meanings[reason.name]} |" for reason in Reason]
    return "\n".join(lines) + "\n"


def files() -> dict[PurePosixPath, str]:
    """Every derived file by its path in the checkout."""
    made = {
        PurePosixPath("manifests/schema", record.TABLE.replace("/", "-") + ".json"): json.dumps(
            json_schema(record), indent=1
        )
        + "\n"
        for record in records()
    }
    submission = importlib.import_module("csg405.benchmark.submission.schema").published()
    return made | {
        PurePosixPath("docs/tables.md"): tables_page(),
        PurePosixPath("manifests/schema/submission.json"): submission,
    }


def write(root: Path) -> None:
    """Write every derived file below `root`, and delete schemas of tables that are no more."""
    made = files()
    for path in (root / "manifests" / "schema").glob("*.json"):
        if PurePosixPath(path.relative_to(root)) not in made:
            path.unlink()
    for name, text in made.items():
        table.write_text(root / name, text)
    log.info("wrote %d files below %s", len(made), root)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(Path(__file__).parents[1])
