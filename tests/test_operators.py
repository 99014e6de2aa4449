"""The contract, over every operator that walking the stages' folders finds."""

from __future__ import annotations

import collections
import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, ValidationError

import csg405
from csg405 import operator
from csg405.arrow import arrow_schema
from csg405.config import Settings
from csg405.errors import UserError
from csg405.operator import OperatorModule, Resources, Setting
from csg405.run import Folders
from csg405.schema import Record, Refusal, Video
from tests import items

STAGES = ("annotate", "filter", "postprocess")
ALL = [f"{stage}.{name}" for stage in STAGES for name in operator.names(stage)]
every_operator = pytest.mark.parametrize("name", ALL)


def models(config: type[BaseModel]) -> list[type[BaseModel]]:
    """A configuration and all those within it."""
    found = [config]
    for field in config.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += models(field.annotation)
    return found


def writers() -> dict[type[Record], list[str]]:
    made: dict[type[Record], list[str]] = collections.defaultdict(list)
    for name in ALL:
        for record in operator.load(name).WRITES:
            made[record].append(name)
    return made


def test_the_walk_finds_the_operators_and_nothing_that_is_none() -> None:
    # At least these; a new file is a new operator and needs no change here.
    assert {"annotate.scan", "annotate.pose", "filter.criteria", "postprocess.cut", "postprocess.release"} <= set(ALL)
    assert not {name for name in ALL if name.rpartition(".")[2] in {"config", "finish"} or "._" in name}


@every_operator
def test_an_operator_has_what_the_contract_names(name: str) -> None:
    module: Any = operator.load(name)
    assert operator.name_of(module) == name
    assert isinstance(module.VERSION, str)
    assert module.VERSION
    assert module.SCOPE in {"video", "clip"}
    for records in (module.READS, module.WRITES):
        assert isinstance(records, tuple)
        assert all(issubclass(record, Record) and record is not Record for record in records)
        assert len(set(records)) == len(records)
    assert module.WRITES
    assert isinstance(module.NEEDS, Resources)
    assert callable(module.Operator)
    for optional in ("weights", "check"):
        assert callable(getattr(module, optional, len))
    assert isinstance(getattr(module, "READS_MEASURES", False), bool)


@every_operator
def test_an_operator_says_what_it_is(name: str) -> None:
    module: Any = operator.load(name)
    assert len((module.__doc__ or "").strip()) > 40
    assert module.Operator.__doc__
    assert module.Config.__doc__
    assert module.Operator.__call__.__doc__


@every_operator
def test_a_configuration_is_frozen_strict_and_described(name: str) -> None:
    config = operator.load(name).Config
    assert issubclass(config, Settings)
    made = config()
    with pytest.raises(ValidationError):
        config.model_validate({"no_such_option": 1})
    for model in models(config):
        assert model.model_config.get("frozen")
        assert model.model_config.get("strict")
        assert model.model_config.get("extra") == "forbid"
        for key, field in model.model_fields.items():
            nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert nested or field.description, f"{model.__name__}.{key} says nothing"
    for key in config.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(made, key, getattr(made, key))


@every_operator
def test_every_column_that_is_written_has_a_meaning_and_a_type(name: str) -> None:
    for record in operator.load(name).WRITES:
        assert dataclasses.is_dataclass(record)
        assert record.__dataclass_params__.frozen
        assert record.__doc__
        schema = arrow_schema(record)
        assert schema.names == [field.name for field in dataclasses.fields(record)]
        for field in schema:
            assert field.metadata[b"meaning"].decode().strip(), f"{record.__name__}.{field.name}"
            assert not pa.types.is_null(field.type)


@every_operator
def test_columns_with_a_unit_in_their_name_have_it_as_their_unit(name: str) -> None:
    units = {"_s": "s", "_ms": "ms", "_px": "px", "_hz": "Hz", "_db": "dB", "_lufs": "LUFS", "_frames": "frames"}
    for record in operator.load(name).WRITES:
        for field in arrow_schema(record):
            ending = re.search(r"_[a-z]+$", field.name)
            if ending and ending[0] in units:
                assert field.metadata[b"unit"].decode() == units[ending[0]], f"{record.__name__}.{field.name}"


@every_operator
def test_a_table_of_measures_bears_its_operators_name(name: str) -> None:
    stage, _, short = name.partition(".")
    for record in operator.load(name).WRITES:
        if record.TABLE.startswith(operator.MEASURES):
            assert (stage, record.TABLE) == ("annotate", f"{operator.MEASURES}/{short}")
            assert "clip_id" in arrow_schema(record).names


def test_a_table_has_one_writer_and_refusals_have_many() -> None:
    shared = {record for record, names in writers().items() if len(names) > 1}
    assert shared <= {Refusal}
    tables = collections.Counter(record.TABLE for record in writers())
    assert max(tables.values()) == 1


@every_operator
def test_what_an_operator_reads_is_made_by_somebody_before_it(name: str) -> None:
    stages = STAGES[: STAGES.index(name.partition(".")[0]) + 1]
    before: set[type[Record]] = {Video}
    for stage in stages:
        for module in operator.ordered(stage):
            if operator.name_of(module) == name:
                assert set(module.READS) <= before, f"{name} reads what nobody has made yet"
                return
            before |= set(module.WRITES)
    pytest.fail(f"{name} is not in the order of its stage")


@pytest.mark.parametrize("stage", STAGES)
def test_the_order_of_a_stage_is_whole_and_always_the_same(stage: str) -> None:
    order = [operator.name_of(module) for module in operator.ordered(stage)]
    assert sorted(order) == sorted(f"{stage}.{name}" for name in operator.names(stage))
    assert order == [operator.name_of(module) for module in operator.ordered(stage)]


FILE = """\
from csg405.config import Settings
from csg405.operator import Resources
from csg405.schema import Clip, Refusal, Shot, SpeechSpan

VERSION, SCOPE, NEEDS = "1", "video", Resources()
READS, WRITES = ({reads},), ({writes}, Refusal)


class Config(Settings):
    pass


class Operator:
    pass
"""


def stage_of_files(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: tuple[str, str]) -> str:
    """A stage whose folder holds these operators, each with what it reads and writes."""
    stage = f"stage_{folder.name.replace('-', '_')}"
    (folder / stage).mkdir()
    (folder / stage / "__init__.py").touch()
    (folder / stage / "_helper.py").write_text("SCOPE = 'no operator'\n")
    for name, (reads, writes) in files.items():
        (folder / stage / f"{name}.py").write_text(FILE.format(reads=reads, writes=writes))
    monkeypatch.setattr(csg405, "__path__", [*csg405.__path__, str(folder)])
    return stage


def test_a_new_file_is_a_new_operator_at_its_place_in_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of_files(tmp_path, monkeypatch, a=("SpeechSpan", "Clip"), b=("Shot", "SpeechSpan"))
    assert operator.names(stage) == ["a", "b"]
    assert [operator.name_of(module) for module in operator.ordered(stage)] == [f"{stage}.b", f"{stage}.a"]
    assert sorted(operator.section(stage).model_fields) == ["a", "b"]


def test_operators_that_wait_for_each_other_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of_files(tmp_path, monkeypatch, a=("SpeechSpan", "Shot"), b=("Shot", "SpeechSpan"))
    with pytest.raises(ValueError, match=rf"{stage}: {stage}\.a, {stage}\.b wait for each other"):
        operator.ordered(stage)


@every_operator
def test_a_setting_travels_to_another_process(name: str, tmp_path: Path) -> None:
    sent = items.setting(name, tmp_path)
    received = pickle.loads(pickle.dumps(sent))
    assert received == sent
    assert received.config == operator.load(name).Config()
    assert getattr(received.stage, name.rpartition(".")[2]) == received.config
    assert received.folders == Folders(tmp_path, "run")


@every_operator
def test_a_setting_keeps_values_that_are_no_defaults(name: str, tmp_path: Path) -> None:
    module: OperatorModule = operator.load(name)
    section = operator.section(name.partition(".")[0])
    short = name.rpartition(".")[2]
    numbers = {
        key: value * 0.5
        for key, value in module.Config().model_dump().items()
        if isinstance(value, float) and not isinstance(value, bool) and value
    }
    config = module.Config.model_validate(numbers)
    stage = section.model_validate({short: config})
    received: Setting = pickle.loads(
        pickle.dumps(Setting(name, config.model_dump_json(), stage.model_dump_json(), "cpu", Folders(tmp_path, "run")))
    )
    assert received.config.model_dump() == config.model_dump()
    assert getattr(received.stage, short).model_dump() == config.model_dump()


def test_an_operator_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"no operator 'annotate.dance'; annotate has candidates, .*speech"):
        operator.load("annotate.dance")


@pytest.mark.parametrize("stage", STAGES)
def test_no_operator_needs_more_than_its_neighbours_rows(stage: str) -> None:
    # READS of what it WRITES itself would wait for ever.
    for module in operator.ordered(stage):
        assert not set(module.READS) & (set(module.WRITES) - {Refusal})
