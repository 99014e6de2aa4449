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


def load(source: str | Path, *, revision: str | None = None) -> PoseDiffusionNetwork:
    """The network in a folder, or in a repository of the Hub, ready to sample.

    Raises:
        UserError: there is none, or it is none of ours.
    """
    advice = "; train one, see docs/renderers.md, and give its folder"
    return _open(pretrained.folder_of(source, revision=revision, wanted=NAME, advice=advice))


def _open(folder: Path) -> PoseDiffusionNetwork:
    config = folder / pretrained.CONFIG
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
        name, settings = told["renderer"], dict(told["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: no {NAME}: it has to say `renderer` and `settings` ({error!r})") from error
    if name != NAME:
        raise UserError(f"{config}: a {name}, wanted a {NAME}")
    network = PoseDiffusionNetwork(_validated(settings))
    pretrained.fill(network, folder / pretrained.WEIGHTS, name=NAME)
    return network.eval()


def _validated(values: dict[str, Any]) -> NetworkSettings:
    words = json.dumps(values)  # JSON knows no tuples: lists are taken for them
    return pretrained.validated(lambda: NetworkSettings.model_validate_json(words), name=NAME)
