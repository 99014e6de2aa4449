"""Networks of ours in a folder, or in a repository of the Hub: a configuration and weights, and no program."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from csg405.errors import UserError, first_line
from csg405.table import replace_atomically, write_text

N = TypeVar("N", bound=nn.Module)
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
        return Path(
            snapshot_download(str(source), revision=revision, allow_patterns=["*.json", "*.safetensors", "*.txt.gz"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{source}: no folder, and no {wanted} of that name on the Hub ({error}){advice}") from error


def write(network: nn.Module, folder: Path, told: Mapping[str, Any]) -> None:
    """Write a network's weights, and what is told of it, to a folder.

    Args:
        network: whose weights are written.
        folder: that is there.
        told: values of JSON by name: what the network is, and its settings.

    Raises:
        UserError: there is no room.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    held = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        replace_atomically(folder / WEIGHTS, lambda path: save_file(held, path))
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS} cannot be written ({error}); make room and try again") from error
    write_text(folder / CONFIG, json.dumps(told, indent=1) + "\n")


def read(folder: Path, *, kind: str) -> tuple[str, dict[str, Any]]:
    """What a folder's configuration says: which network it is, and its settings by name.

    Args:
        folder: of a network.
        kind: the key under which its name stands.

    Raises:
        UserError: there is no configuration, or it does not say both.
    """
    path = folder / CONFIG
    try:
        told = json.loads(path.read_bytes())
        name, settings = told[kind], told["settings"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: no {kind} of ours: it has to say `{kind}` and `settings` ({error!r})") from error
    if not isinstance(name, str) or not isinstance(settings, dict):
        raise UserError(f"{path}: no {kind} of ours: `{kind}` has to be a text, and `settings` values by name")
    return name, settings


def filled(make: Callable[[], N], path: Path, *, name: str) -> N:
    """A network with the weights of a file, ready to be used.

    Args:
        make: makes it, with any weights.
        path: of the file.
        name: of the network, for messages.

    Raises:
        UserError: the file is missing or damaged, holds weights of another network, or numbers that are not finite.
            This is found out before room is taken for a network that does not fit.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with torch.device("meta"):  # shapes alone: settings may ask for more than there is memory
            wanted = {key: tuple(value.shape) for key, value in make().state_dict().items()}
        with safe_open(path, framework="pt") as file:
            held = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
        if wrong := sorted(key for key in {*wanted, *held} if wanted.get(key) != held.get(key)):
            seen, asked = held.get(wrong[0], "missing"), wanted.get(wrong[0], "none")
            raise UserError(f"{path}: not the weights of this {name}: {wrong[0]} is {seen}, wanted {asked}")
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not the weights of this {name}: {error}") from error
    for key, value in weights.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise UserError(
                f"{path}: {key} holds numbers that are not finite; did the training of this {name} diverge?"
            )
    network = make()
    network.load_state_dict(weights)
    return network.eval()


@contextmanager
def moving_to(device: str) -> Iterator[None]:
    """Around what moves networks to a device.

    Raises:
        UserError: there is no such device, or no room on it.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # torch has both for a device that is not there
        raise UserError(f"device {device}: {first_line(error)}; take cpu, or see `csg405 doctor`") from error


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
