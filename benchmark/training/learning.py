"""What all trainings share: how fast is learnt, by which optimiser, what is averaged, and whose a folder is."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from csg405.benchmark.training.settings import LearningSettings
from csg405.errors import UserError
from csg405.table import write_text


def rate_at(step: int, settings: LearningSettings) -> float:
    """The learning rate of a batch: it rises in a line, then falls as a cosine."""
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    along = (step - settings.warm_up) / max(settings.steps - settings.warm_up, 1)
    return settings.rate * 0.5 * (1 + math.cos(math.pi * along))


def optimiser_of(network: nn.Module, settings: LearningSettings) -> torch.optim.Optimizer:
    """AdamW; norms, biases and single vectors do not decay."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.99), fused=True)


def averaged_of(network: nn.Module, settings: LearningSettings) -> AveragedModel:
    """A network whose weights follow those of another as an exponential moving average."""
    return AveragedModel(network, multi_avg_fn=functools.partial(_average, decay=settings.ema))


@torch.no_grad()
def _average(averaged: list[Tensor], current: list[Tensor], count: Tensor, *, decay: float) -> None:
    """Towards the current weights; quicker at the beginning, so the first ones are forgotten."""
    kept = min(decay, (1 + int(count)) / (10 + int(count)))
    torch._foreach_lerp_(averaged, current, 1 - kept)


def check_finite(name: str, value: float, *, step: int) -> None:
    """Make sure that a loss is a number.

    Raises:
        UserError: it is none.
    """
    if not math.isfinite(value):
        raise UserError(f"the {name} is {value} after {step} batches; train with a smaller rate")


def claimed(folder: Path, told: Mapping[str, Any]) -> list[str]:
    """Say in a folder what is trained there, unless it says so already.

    Args:
        folder: of one training.
        told: values of JSON by name.

    Returns:
        Names of the values that are others there; none where the folder is this training's.
    """
    path = folder / "training.json"
    if not path.is_file():
        write_text(path, json.dumps(told, indent=1) + "\n")
        return []
    held = json.loads(path.read_text(encoding="utf-8"))
    return [name for name in told if held.get(name) != told[name]]
