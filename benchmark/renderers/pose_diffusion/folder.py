"""The folder of a network: `config.json` with its settings, `model.safetensors` with its weights, and a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from csg405.benchmark.renderers.pose_diffusion.network import PoseDiffusionNetwork
from csg405.benchmark.renderers.pose_diffusion.settings import SIZES, NetworkSettings
from csg405.errors import UserError

NAME = "pose-diffusion"


def create(size: str = "tiny", **settings: Any) -> PoseDiffusionNetwork:
    """A network that has learnt nothing.

    Args:
        size: one of `SIZES`.
        settings: laid over the size's.

    Raises:
        UserError: no such size or setting.
    """
    if size not in SIZES:
        raise UserError(f"{NAME} of size {size!r}: there are {', '.join(SIZES)}")
    return PoseDiffusionNetwork(_validated({**SIZES[size], **settings}))


def save(network: PoseDiffusionNetwork, folder: Path) -> None:
    """Write a network to a folder: weights, settings, and a card."""
    network.save_pretrained(folder, config={"renderer": NAME, "settings": network.settings.model_dump()})


def load(source: str | Path, *, revision: str | None = None) -> PoseDiffusionNetwork:
    """The network in a folder, or in a repository of the Hub, ready to sample.

    Raises:
        UserError: there is none, or it is none of ours.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=["*.json", "*.safetensors"]))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            raise UserError(
                f"{source}: no folder, and no {NAME} of that name on the Hub ({error}); "
                "train one, see docs/renderers.md, and give its folder"
            ) from error
    return _open(folder)


def _open(folder: Path) -> PoseDiffusionNetwork:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config, weights = folder / "config.json", folder / "model.safetensors"
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
        name, settings = told["renderer"], dict(told["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: no {NAME}: it has to say `renderer` and `settings` ({error!r})") from error
    if name != NAME:
        raise UserError(f"{config}: a {name}, wanted a {NAME}")
    network = PoseDiffusionNetwork(_validated(settings))
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{weights}: not the weights of this {NAME}: {error}") from error
    return network.eval()


def _validated(values: dict[str, Any]) -> NetworkSettings:
    try:
        return NetworkSettings.model_validate_json(json.dumps(values))  # JSON knows no tuples: lists are taken for them
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{NAME}: {where}: {first['msg']}; seen {first.get('input')!r}") from error
