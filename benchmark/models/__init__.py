"""Models that make skeletons from sound: opened by name, or from a folder or the Hub.

A model's folder holds `config.json` (which model, and its settings), `model.safetensors` (its weights, and the
normaliser with them) and a card. Nothing in it is a program.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csg405.errors import UserError

if TYPE_CHECKING:
    from csg405.benchmark.models.base import GestureModel

NAMES = ("flow-dit", "mdm-ddpm")
"""All models; the first is the default."""


def create(name: str, *, size: str | None = None, **settings: Any) -> GestureModel:
    """A model that has learnt nothing.

    Args:
        name: one of `NAMES`.
        size: a size of that model; its settings' defaults if nothing is said.
        settings: laid over the size's.

    Raises:
        UserError: no such model, size or setting.
    """
    from csg405.benchmark.pretrained import validated

    module = _module(name)
    sizes: Mapping[str, Mapping[str, Any]] = module.SIZES
    if size is not None and size not in sizes:
        raise UserError(f"{name} of size {size!r}: there are {', '.join(sizes)}")
    model_class, settings_class = _classes(module)
    values = {**(sizes[size] if size else {}), **settings}
    return model_class(validated(lambda: settings_class(**values), name=name))  # type: ignore[no-any-return]


def features_of(name: str, size: str | None, settings: Mapping[str, Any]) -> str | None:
    """The audio features that a model's size or settings name; None where they leave it open."""
    told = {**(_module(name).SIZES.get(size, {}) if size else {}), **settings}
    named: str | None = told.get("features")
    return named


def load(source: str | Path, *, revision: str | None = None) -> GestureModel:
    """The model in a folder, or in a repository of the Hub, ready to sample.

    Raises:
        UserError: there is none, or it is none of ours.
    """
    from csg405.benchmark import pretrained

    return _open(pretrained.folder_of(source, revision=revision, wanted="model"))


def save(model: GestureModel, folder: Path) -> None:
    """Write a model to a folder, weights and settings and a card."""
    model.save_pretrained(folder)


def _open(folder: Path) -> GestureModel:
    from csg405.benchmark.pretrained import CONFIG, WEIGHTS, fill

    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        name, settings = told["model"], told["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: no model of ours: {CONFIG} has to say `model` and `settings` ({error!r})"
        ) from error
    model = create(name, **settings)
    fill(model, folder / WEIGHTS, name=name)
    return model.eval()


def _module(name: str) -> Any:
    if name not in NAMES:
        raise UserError(f"model {name!r}: there are {', '.join(NAMES)}")
    return importlib.import_module(f"csg405.benchmark.models.{name.replace('-', '_')}")


def _classes(module: Any) -> tuple[Any, Any]:
    from csg405.benchmark.models.base import GestureModel, ModelSettings

    def own(base: type) -> Any:
        found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]
        return next(value for value in found if value.__module__ == module.__name__)

    return own(GestureModel), own(ModelSettings)
