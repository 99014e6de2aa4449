"""Networks of ours in a folder, or in a repository of the Hub: a configuration and weights, and no program."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from torch import nn

from csg405.errors import UserError
from csg405.table import replace_atomically, write_text

S = TypeVar("S", bound=BaseModel)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


def folder_of(source: str | Path, *, revision: str | None, wanted: str, advice: str = "") -> Path:
    """The folder itself, or that of a repository of the Hub, which is fetched.

    Args:
        source: folder, or name on the Hub.
        revision: of the repository.
        wanted: what is looked for, for the message.
        advice: what else to do, for the message.

    Raises:
        UserError: there is neither.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    folder = Path(source)
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{source}: no folder, and no {wanted} of that name on the Hub ({error}){advice}") from error


def write(network: nn.Module, folder: Path, told: Mapping[str, Any]) -> None:
    """Write a network's weights, and what is told of it, to a folder.

    Args:
        network: whose weights are written.
        folder: that is there.
        told: values of JSON by name: what the network is, and its settings.
    """
    from safetensors.torch import save_file

    held = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    replace_atomically(folder / WEIGHTS, lambda path: save_file(held, path))
    write_text(folder / CONFIG, json.dumps(told, indent=1) + "\n")


def fill(network: nn.Module, path: Path, *, name: str) -> None:
    """Load a network's weights.

    Raises:
        UserError: the file is missing or damaged, or holds others.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: not the weights of this {name}: {error}") from error


def validated(make: Callable[[], S], *, name: str) -> S:
    """Settings, with the first thing that is wrong with them told.

    Args:
        make: makes them.
        name: of the network, for the message.

    Raises:
        UserError: something is.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{name}: {where}: {first['msg']}; seen {first.get('input')!r}") from error
