"""The folder of a network: `config.json` with its settings, `model.safetensors` with its weights, and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from csg405.benchmark import pretrained
from csg405.benchmark.renderers.pose_diffusion.network import PoseDiffusionNetwork
from csg405.benchmark.renderers.pose_diffusion.settings import SIZES, NetworkSettings
from csg405.errors import UserError

NAME = PoseDiffusionNetwork.name


def create(size: str = "tiny", *, seed: int | None = None, **settings: Any) -> PoseDiffusionNetwork:
    """A network that has learnt nothing.

    Args:
        size: one of `SIZES`.
        seed: of its first weights; torch goes on with its own generator when missing.
        settings: laid over the size's.

    Raises:
        UserError: no such size or setting.
    """
    if size not in SIZES:
        raise UserError(f"{NAME} of size {size!r}: there are {', '.join(SIZES)}")
    chosen = _validated({**SIZES[size], **settings})
    if seed is not None:
        torch.manual_seed(seed)
    return PoseDiffusionNetwork(chosen)


def save(network: PoseDiffusionNetwork, folder: Path) -> None:
    """Write a network to a folder: weights, settings, and a card."""
    network.save_pretrained(folder)


def load(source: str | Path, *, revision: str | None = None, device: str = "cpu") -> PoseDiffusionNetwork:
    """The network in a folder, or in a repository of the Hub, ready to sample.

    Args:
        source: folder, or name on the Hub.
        revision: of the repository.
        device: where it is to be.

    Raises:
        UserError: there is none, it is none of ours, or there is no such device.
    """
    advice = "; train one, see docs/renderers.md, and give its folder"
    folder = pretrained.folder_of(source, revision=revision, wanted=NAME, advice=advice)
    name, settings = pretrained.read(folder, kind="renderer")
    if name != NAME:
        raise UserError(f"{folder / pretrained.CONFIG}: a {name}, wanted a {NAME}")
    checked = _validated(settings)
    network = pretrained.filled(lambda: PoseDiffusionNetwork(checked), folder / pretrained.WEIGHTS, name=NAME)
    with pretrained.moving_to(device):
        return network.to(device)


def _validated(values: dict[str, Any]) -> NetworkSettings:
    words = json.dumps(values)  # JSON knows no tuples: lists are taken for them
    return pretrained.validated(lambda: NetworkSettings.model_validate_json(words), name=NAME)
