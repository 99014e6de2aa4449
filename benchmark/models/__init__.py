"""Models that make skeletons from sound: opened by name, or from a folder or the Hub.

A model's folder holds `config.json` (which model, and its settings), `model.safetensors` (its weights, and the
normaliser with them) and a card. Nothing in it is a program.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csg405.errors import UserError

if TYPE_CHECKING:
    from csg405.benchmark.models.base import GestureModel

NAMES = ("flow-dit", "mdm-ddpm")
"""All models; the first is the default."""


def create(name: str, /, *, size: str | None = None, **settings: Any) -> GestureModel:
    """A model that has learnt nothing.

    Args:
        name: one of `NAMES`.
        size: a size of that model; its settings' defaults if nothing is said.
        settings: laid over the size's.

    Raises:
        UserError: no such model, size or setting.
    """
    sizes: Mapping[str, Mapping[str, Any]] = _module(name).SIZES
    if size is not None and size not in sizes:
        raise UserError(f"{name} of size {size!r}: there are {', '.join(sizes)}")
    return _maker(name, {**(sizes[size] if size else {}), **settings})()


def features_of(name: str, size: str | None, settings: Mapping[str, Any]) -> str | None:
    """The audio features that a model's size or settings name; None where they leave it open."""
    told = {**(_module(name).SIZES.get(size, {}) if size else {}), **settings}
    named: str | None = told.get("features")
    return named


def load(source: str | Path, *, revision: str | None = None, device: str = "cpu") -> GestureModel:
    """The model in a folder, or in a repository of the Hub, ready to sample.

    Args:
        source: folder, or name on the Hub.
        revision: of the repository.
        device: where it is to be.

    Raises:
        UserError: there is none, it is none of ours, or there is no such device.
    """
    from csg405.benchmark import pretrained
    from csg405.benchmark.submission import lists

    folder = pretrained.folder_of(source, revision=revision, wanted="model")
    name, settings = pretrained.read(folder, kind="model")
    model = pretrained.filled(_maker(name, settings), folder / pretrained.WEIGHTS, name=name)
    model.trained_on = lists.read_training_hashes(folder)
    with pretrained.moving_to(device):
        return model.to(device)


def save(model: GestureModel, folder: Path) -> None:
    """Write a model to a folder, weights and settings and a card."""
    model.save_pretrained(folder)


def _maker(name: str, settings: Mapping[str, Any]) -> Callable[[], GestureModel]:
    """Makes a model by settings that are checked at once."""
    from csg405.benchmark.pretrained import validated

    model_class, settings_class = _classes(_module(name))
    checked = validated(lambda: settings_class.model_validate(settings), name=name)
    return lambda: model_class(checked)


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
