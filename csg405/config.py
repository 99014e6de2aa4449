"""Configuration: strict, frozen pydantic models, filled from one YAML file and `a.b=c` overrides.

The models' defaults are the defaults; a YAML below `configs/` says only what differs for its purpose. An unknown
key, or a value of the wrong type, is an error that names the key, what was seen and what was allowed.
"""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from csg405.errors import UserError

STAGES = ("crawl", "annotate", "filter", "postprocess")
"""The stages that make a dataset, in their order."""

ENGINES = ("local", "ray")
"""What spreads shards over workers."""

BUILT_IN = Path(__file__).parent / "configs"


class Settings(BaseModel):
    """Base of every configuration model: frozen, strict about types, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EngineSettings(Settings):
    """How shards are spread over workers. None of it changes a result."""

    workers: int = Field(0, ge=0, description="worker processes; 0 is one per core")
    gpu_workers: int = Field(1, ge=1, description="worker processes of an operator that uses the GPU")
    deadline_s: float = Field(3600, gt=0, description="a shard that takes longer is stopped and reported, s")
    deadline_factor: float = Field(
        30, ge=0, description="added to it for each second of the shard's video; poses take 5 to 12 on one CPU core"
    )
    ray_address: str | None = Field(None, description="address of a Ray cluster; none starts Ray on this machine")

    def deadline_for(self, media_s: float) -> float:
        """The deadline of a shard whose video is so long, s."""
        return self.deadline_s + self.deadline_factor * media_s


class Stage(Settings):
    """What every stage is told."""

    engine: EngineSettings = EngineSettings()
    device: Literal["cpu", "cuda"] = Field("cpu", description="where networks run")
    max_failed_shards: int = Field(
        0, ge=0, description="a stage in which no more shards fail than this is taken as done, without them"
    )
    videos_per_shard: int = Field(1, ge=1, description="videos that are redone together when one of them changes")


S = TypeVar("S", bound=BaseModel)


def load(name_or_path: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a configuration and lay the overrides over it.

    Args:
        name_or_path: the name of a built-in configuration, or the path of a YAML file.
        overrides: `section.key=value`, the value as in YAML.

    Raises:
        UserError: no such configuration, no mapping in it, or an override without `=`.
    """
    values = _read(name_or_path)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(f"SET {override!r}: wanted section.key=value")
        try:
            value = yaml.load(text, _Loader)  # noqa: S506  # a safe one
        except yaml.YAMLError as error:
            raise UserError(f"SET {override!r}: the value is not YAML: {error}") from error
        _set(values, key.split("."), value, override)
    return values


class _Loader(yaml.SafeLoader):
    """Takes 1e-3 for a number, as YAML 1.2 does; to PyYAML it is a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read(name_or_path: str) -> dict[str, Any]:
    built_in = {path.stem: path for path in sorted(BUILT_IN.glob("*.yaml"))}
    path = built_in.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise UserError(f"no configuration {name_or_path!r}: give a YAML file or one of {', '.join(built_in)}")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  # a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: wanted sections and keys, saw {type(values).__name__}")
    return {key: value for key, value in values.items() if value is not None}  # a section with nothing in it


def _set(values: dict[str, Any], keys: list[str], value: object, override: str) -> None:
    for key in keys[:-1]:
        if values.get(key) is None:
            values[key] = {}
        values = values[key]
        if not isinstance(values, dict):
            raise UserError(f"SET {override!r}: {key} is a value, not a section")
    values[keys[-1]] = value


def full_model() -> type[BaseModel]:
    """The model of a whole configuration file: the common keys, one section a stage, the report and the benchmark.

    Stages are found by name, so the core imports none of them.
    """
    sections: dict[str, Any] = {}
    for stage in STAGES:
        model = importlib.import_module(f"csg405.{stage}.config").Config
        sections[stage] = (model, model())
    for part in ("report", "benchmark"):
        model = importlib.import_module(f"csg405.{part}.config").Config
        sections[part] = (model, model())
    return create_model("Configuration", __base__=Stage, **sections)


def validate(model: type[S], values: dict[str, Any], *, where: str) -> S:
    """Values as a model's instance.

    Raises:
        UserError: one line for every key that is unknown or of the wrong type.
    """
    try:
        # By way of JSON: only there does a strict model take text for a path or a list for a tuple.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [_explain(detail, model) for detail in error.errors()]
        raise UserError(f"{where}:\n" + "\n".join(f"  {line}" for line in lines)) from error


def _explain(detail: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}, saw {detail['input']!r}"
    known = _keys_beside(model, [str(part) for part in detail["loc"]])
    near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"{key}: no such key; {hint}"


def _keys_beside(model: type[BaseModel], loc: list[str]) -> list[str]:
    for key in loc[:-1]:
        field = model.model_fields.get(key)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return sorted(model.model_fields)
