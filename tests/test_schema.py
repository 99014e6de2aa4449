"""What is derived from the records agrees with them and with what lies in the repository."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path, PurePosixPath

import jsonschema
import pytest

from csg405 import schema, schema_docs
from csg405.arrow import arrow_schema
from csg405.schema import Record, Refusal, Shot, column

ROOT = Path(__file__).parents[1]
RECORDS = schema_docs.records()


def test_derived_files_are_those_in_the_repository():
    made = schema_docs.files()
    stale = [str(path) for path, text in made.items() if not _is(ROOT / path, text)]
    kept = {PurePosixPath(path.relative_to(ROOT)) for path in (ROOT / "manifests" / "schema").glob("*.json")}
    stray = [str(path) for path in kept - set(made)]
    assert (stale, stray) == ([], []), "run python -m csg405.schema_docs"


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def test_the_generator_writes_what_is_missing_and_removes_what_is_not_a_table(tmp_path: Path):
    stray = tmp_path / "manifests" / "schema" / "verses.json"
    stray.parent.mkdir(parents=True)
    stray.write_text("{}")
    schema_docs.write(tmp_path)
    written = {PurePosixPath(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(schema_docs.files())


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.TABLE)
def test_every_record_is_frozen_and_says_what_its_fields_mean(record: type[Record]):
    assert typing.cast(typing.Any, record).__dataclass_params__.frozen
    assert record.__doc__
    assert arrow_schema(record).names == [field.name for field in dataclasses.fields(record)]
    for field in dataclasses.fields(record):
        assert field.metadata["meaning"], f"{record.__name__}.{field.name} has no meaning"
        assert "|" not in field.metadata["meaning"], "a bar would break the table in docs/tables.md"


SUFFIXES = {"_s": "s", "_ms": "ms", "_px": "px", "_hz": "Hz", "_bytes": "bytes", "_db": "dB", "_lufs": "LUFS"}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.TABLE)
def test_names_and_units_agree(record: type[Record]):
    for field in dataclasses.fields(record):
        for suffix, unit in SUFFIXES.items():
            if field.name.endswith(suffix):
                assert field.metadata["unit"] == unit, f"{record.__name__}.{field.name}"


def test_table_names_are_unique_and_are_folders():
    names = [record.TABLE for record in RECORDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+(/[a-z_]+)?", name) for name in names)


def test_a_row_fits_its_json_schema_and_a_wrong_one_does_not():
    wanted = schema_docs.json_schema(Refusal)
    row = dataclasses.asdict(Refusal(reason="no_person", detail="nobody in 40 frames", video_id="v", start_s=1.5))
    jsonschema.validate(row, wanted)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**row, "start_s": "soon"}, wanted)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**row, "detail": None}, wanted)
    del row["reason"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(row, wanted)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.TABLE)
def test_every_json_schema_is_one(record: type[Record]):
    jsonschema.Draft202012Validator.check_schema(schema_docs.json_schema(record))


def test_missing_values_are_said_alike_in_arrow_and_json():
    for record in RECORDS:
        arrow = arrow_schema(record)
        for name, facts in schema_docs.json_schema(record)["properties"].items():
            assert arrow.field(name).nullable == ("null" in facts["type"])


def test_a_field_without_an_arrow_type_is_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Odd(Record):
        TABLE = "odd"
        when: complex = column("a number that no table holds")

    # The annotation is text here, as everywhere; give the hint that it stands for.
    Odd.__annotations__["when"] = complex
    with pytest.raises(TypeError, match=r"Odd\.when: no Arrow type"):
        arrow_schema(Odd)
    with pytest.raises(TypeError, match=r"Odd\.when: no JSON type"):
        schema_docs.json_schema(Odd)


def test_every_reason_is_explained_in_the_docs():
    page = schema_docs.tables_page()
    for reason in schema.Reason:
        assert re.search(rf"^\| {reason} \| \S.+\. \|$", page, re.MULTILINE)
    assert f"## {Shot.TABLE}\n" in page
