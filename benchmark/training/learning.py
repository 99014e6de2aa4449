"""What all trainings share: where is learnt, how fast, by which optimiser, and what is averaged."""

from __future__ import annotations

import datetime
import functools
import logging
import math
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from csg405.benchmark.training.settings import LearningSettings
from csg405.errors import UserError

_LONGEST_WAIT = datetime.timedelta(hours=6)
"""Of processes for the one that validates."""


def accelerator_of(settings: LearningSettings, *, device: str | None, **others: Any) -> Any:
    """What spreads a training over the processes that there are, one training after the other.

    Args:
        settings: of the training.
        device: `cpu`, `cuda`, or what accelerate finds if nothing is said.
        others: of `accelerate.Accelerator`.

    Raises:
        UserError: `cuda` is asked for, and there is no GPU.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    logging.getLogger("accelerate").setLevel(logging.WARNING)
    precision = "bf16" if settings.precision == "bf16" else "no"
    AcceleratorState._reset_state()  # else the precision of an earlier training would stay
    waiting = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    found = Accelerator(cpu=device == "cpu", mixed_precision=precision, kwargs_handlers=[waiting], **others)
    if device == "cuda" and found.device.type == "cpu":
        raise UserError("device=cuda: torch finds no GPU here; take device=cpu, or see `csg405 doctor`")
    return found


def main_process_first(device: str | None) -> AbstractContextManager[None]:
    """What is within is done by the main process, then by the others."""
    from accelerate import PartialState

    first: AbstractContextManager[None] = PartialState(cpu=device == "cpu").main_process_first()
    return first


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
