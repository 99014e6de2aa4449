"""The contract of an operator: one file that turns one video or one clip into rows.

An operator is a module of a stage's folder; its name is its module's name, and it is found by walking the folder,
so a new file is a new operator. The module has

- `VERSION`: a string; change it when the same input gives other rows,
- `SCOPE`: `"video"` or `"clip"`, what it is called with,
- `READS` and `WRITES`: the records of the tables it takes and makes (`Refusal` among them if it may refuse),
- `NEEDS`: the resources of one worker,
- `Config`: its options, frozen and strict,
- `Operator`: built once per worker from a `Setting`, called with one `Item` at a time, yields records.

It may have

- `weights(setting)`: the digests of the files that its rows depend on,
- `check(setting)`: raises `UserError` in the main process before any shard is begun,
- `READS_MEASURES = True`: to be given all measures,
- `IGNORED`: options that change no row,
- `FILES`: for each record the columns that name files which must be there for a row to be whole: `column`, or
  `folder/column` where they are named from a folder of the run's work folder.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from pydantic import create_model

from csg405.config import Settings
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Clip, Record, Refusal, Video

R = TypeVar("R", bound=Record)

Scope = Literal["video", "clip"]

MEASURES = "measures"
"""Folder of the tables that the filter reads without knowing them, one an operator."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Resources:
    """What one worker takes."""

    cpus: float = 1
    gpu: bool = False
    """Uses the GPU when the run's device is one."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an operator is built from; picklable, which the models made from a stage's folder are not."""

    name: str
    """`stage.operator`."""
    own_values: str
    """The operator's own section of the configuration, as JSON."""
    stage_values: str
    """The stage's whole section, as JSON."""
    device: str
    """`cpu` or `cuda`."""
    folders: Folders

    @property
    def stage(self) -> Any:
        """The stage's whole section, for an option that two of its operators share."""
        model = importlib.import_module(f"csg405.{self.name.partition('.')[0]}.config").Config
        return model.model_validate_json(self.stage_values)

    @property
    def config(self) -> Any:
        """The operator's own section: an instance of its module's `Config`."""
        return load(self.name).Config.model_validate_json(self.own_values)


def _no_tick(_fraction: float) -> None:
    """Nobody wants to know."""


@dataclasses.dataclass(frozen=True)
class Item:
    """What an operator is called with: a video or a clip of it, and the rows that it asked for."""

    video: Video
    media: Path
    """The video's file."""
    clip: Clip | None
    rows: Mapping[type[Record], Sequence[Record]]
    measures: Mapping[str, Any]
    """`operator.column` to value, for an operator that reads all measures; empty otherwise."""
    shard: str
    tick: Callable[[float], None] = _no_tick
    """Called with the part of the item that is done, 0 to 1, by an operator that takes long over one."""

    def read(self, record: type[R]) -> list[R]:
        """The rows of a table that belong to this item."""
        return cast(list[R], list(self.rows[record]))

    def one(self, record: type[R]) -> R | None:
        """The only row of a table that belongs to this item, if there is one."""
        rows = self.read(record)
        return rows[0] if rows else None

    def the_clip(self) -> Clip:
        """The clip, for an operator whose scope is the clip."""
        if self.clip is None:
            raise TypeError("an operator of scope 'video' has no clip")
        return self.clip


class Operator(Protocol):
    """What a module's `Operator` can do."""

    def __init__(self, setting: Setting) -> None: ...

    def __call__(self, item: Item) -> Iterable[Record]:
        """Rows and refusals of one item."""
        ...


class OperatorModule(Protocol):
    """What a module must have to be an operator."""

    __name__: str
    VERSION: str
    SCOPE: Scope
    READS: tuple[type[Record], ...]
    WRITES: tuple[type[Record], ...]
    NEEDS: Resources
    Config: type[Settings]
    Operator: type[Operator]


def name_of(module: OperatorModule) -> str:
    """`stage.operator`, the dotted path of its section in the configuration."""
    return module.__name__.removeprefix("csg405.")


def load(name: str) -> OperatorModule:
    """The module of an operator by its dotted name.

    Raises:
        UserError: there is no such operator; the message lists those of the stage.
    """
    try:
        module = importlib.import_module(f"csg405.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or not f"csg405.{name}".startswith(error.name):
            raise
        stage = name.partition(".")[0]
        raise UserError(f"no operator {name!r}; {stage} has {', '.join(names(stage))}") from error
    return cast(OperatorModule, module)


def names(stage: str) -> list[str]:
    """The operators of a stage: the modules of its folder that declare `SCOPE`."""
    package = importlib.import_module(f"csg405.{stage}")
    found = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    return [name for name in found if hasattr(importlib.import_module(f"csg405.{stage}.{name}"), "SCOPE")]


def ordered(stage: str) -> list[OperatorModule]:
    """A stage's operators, each after those whose tables it reads; ties by name.

    Raises:
        ValueError: two operators read each other's tables.
    """
    waiting = [load(f"{stage}.{name}") for name in names(stage)]
    result: list[OperatorModule] = []
    while waiting:
        made = {record for module in waiting for record in module.WRITES} - {Refusal}
        ready = [module for module in waiting if not made & (set(module.READS) - set(module.WRITES))]
        if not ready:
            raise ValueError(f"{stage}: {', '.join(name_of(module) for module in waiting)} wait for each other")
        result.append(ready[0])
        waiting.remove(ready[0])
    return result


def section(stage: str) -> type[Settings]:
    """The model of a stage's section in the configuration: one key an operator, its `Config`."""
    fields: dict[str, Any] = {name: (module.Config, module.Config()) for name, module in _modules(stage).items()}
    return create_model(stage.capitalize(), __base__=Settings, **fields)


def _modules(stage: str) -> dict[str, OperatorModule]:
    return {name: load(f"{stage}.{name}") for name in names(stage)}


def digests(module: OperatorModule, setting: Setting) -> list[str]:
    """The digests of the files that an operator's rows depend on."""
    weights = getattr(module, "weights", None)
    return list(weights(setting)) if weights else []
