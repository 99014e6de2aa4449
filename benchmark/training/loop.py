"""The loop: windows in, a smaller loss out, on one processor or many GPUs by way of accelerate.

Every batch begins with a seed that follows from the training's seed and the batch's number, and a checkpoint holds
weights, their average, the optimiser's state and the place in the data. So a training that was killed at any moment
goes on from its last checkpoint with the very losses that it would have had: on the CPU to the last bit, as long as the
machine and torch's number of threads are the same.

What is kept at the end are the averaged weights (exponential moving average), with normaliser and settings in one
folder: `csg405.benchmark.models.load` opens it.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from csg405.benchmark import models
from csg405.benchmark.data import Features, WindowLoader
from csg405.benchmark.models.base import Example, GestureModel
from csg405.benchmark.release import ReleaseReader, list_digest
from csg405.benchmark.seeds import mixed
from csg405.benchmark.submission.clips import video_hash
from csg405.benchmark.training.examples import endless, example, fit, windows_of
from csg405.benchmark.training.folder import TrainingFolder
from csg405.benchmark.training.learning import accelerator_of, averaged_of, check_finite, optimiser_of, rate_at
from csg405.benchmark.training.settings import TrainSettings
from csg405.progress import Progress

log = logging.getLogger(__name__)

Validate = Callable[[GestureModel, int], dict[str, float]]
"""Judges a model after so many batches, by name of the value."""


@dataclasses.dataclass
class Place:
    """How far a training is."""

    windows: WindowLoader
    step: int = 0
    taken: dict[str, Any] | None = None
    """Where the loader was after that step: it may have read ahead since."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {"step": self.step, "windows": self.taken or self.windows.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another was."""
        self.step, self.taken = state["step"], state["windows"]
        self.windows.load_state_dict(state["windows"])


class Learner(nn.Module):
    """The model, as it is called to learn: what accelerate and torch wrap has to be called itself."""

    def __init__(self, model: GestureModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Example) -> dict[str, Tensor]:
        """Losses."""
        return self.model.loss(given)


def train(
    model: GestureModel,
    reader: ReleaseReader,
    features: Features,
    folder: Path,
    settings: TrainSettings,
    *,
    device: str | None = None,
    validate: Validate | None = None,
) -> Path:
    """Train a model on the training split of a release; go on where an earlier call was stopped.

    Args:
        model: that has learnt nothing.
        reader: of the release.
        features: of its sound, by the extractor that the model names.
        folder: of checkpoints, log and the model; one training's alone.
        settings: see `TrainSettings`.
        device: `cpu`, `cuda`, or what accelerate finds if nothing is said.
        validate: judges the averaged model now and then, on the validation split.

    Returns:
        The folder of the model.

    Raises:
        UserError: the release has too little, the folder is another training's or is being written, or the loss is no
            number any more.
    """
    accelerator = accelerator_of(settings, device=device, log_with="tensorboard", project_dir=folder)
    held = TrainingFolder(folder)
    with held.claimed(_told(model, settings, reader), accelerator, command="benchmark train"):
        if held.is_done(settings.steps):
            return held.model
        run = _run(model, reader, features, held, settings, accelerator, validate)
        run.resume()
        run.learn()
        run.finish()
    return held.model


def _run(
    model: GestureModel,
    reader: ReleaseReader,
    features: Features,
    folder: TrainingFolder,
    settings: TrainSettings,
    accelerator: Any,
    validate: Validate | None,
) -> _Run:
    """A training that is ready to begin, or to go on."""
    windows = windows_of(
        model, reader, features, settings, rank=accelerator.process_index, ranks=accelerator.num_processes,
        pin=accelerator.device.type == "cuda",
    )  # fmt: skip
    if folder.checkpoints.last() is None:  # else what was fitted is in it
        fit(model, windows_of(model, reader, features, settings), seed=settings.seed)
    model.trained_on = frozenset(video_hash(entry.video_id) for entry in reader.clips("train"))
    learner, optimiser = accelerator.prepare(Learner(model), optimiser_of(model, settings))
    averaged = averaged_of(model, settings).to(accelerator.device)
    place = Place(windows)
    accelerator.register_for_checkpointing(averaged, place)
    return _Run(folder, settings, accelerator, learner, optimiser, averaged, place, validate)


@dataclasses.dataclass
class _Run:
    """A training that is going on."""

    folder: TrainingFolder
    settings: TrainSettings
    accelerator: Any
    learner: Any
    optimiser: Any
    averaged: AveragedModel
    place: Place
    validate: Validate | None

    def __post_init__(self) -> None:
        self.step_of = torch.compile(self.learner) if self.settings.compile else self.learner
        self.model = cast(GestureModel, self.averaged.module)

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        goes_on = self.folder.checkpoints.load_last(self.accelerator)
        if goes_on:
            log.info("training goes on from step %d", self.place.step)
        if self.accelerator.is_main_process:
            self.folder.history.go_on_from(self.place.step if goes_on else -1)
        self.accelerator.init_trackers("tensorboard")

    def learn(self) -> None:
        """From where it is to the last step."""
        settings, since, told = self.settings, time.monotonic(), self.place.step
        batches = endless(self.place.windows)
        with Progress("train", total=settings.steps, unit="batches") as progress:
            progress.advance(self.place.step)
            while self.place.step < settings.steps:
                batch = next(batches).to(self.accelerator.device)
                self.place.taken = self.place.windows.state_dict()
                losses = self._step(batch)
                self.place.step += 1
                progress.advance()
                step = self.place.step
                tells, saves = (settings.is_due(every, step) for every in (settings.say_every, settings.save_every))
                if tells or saves:
                    check_finite("loss", float(losses["loss"]), step=step)
                if tells:
                    rate = (step - told) / max(time.monotonic() - since, 1e-9)
                    self._log(
                        {name: float(value) for name, value in losses.items()} | {"batches_per_s": round(rate, 3)}
                    )
                    since, told = time.monotonic(), step
                if self.validate is not None and settings.is_due(settings.validate_every, step):
                    self._validate()
                if saves:  # after what is told of the step, which would else be lost with a kill in between
                    self.folder.checkpoints.write(step, self.accelerator)

    def _step(self, batch: Any) -> dict[str, Tensor]:
        """Learn from one batch."""
        settings, step = self.settings, self.place.step
        torch.manual_seed(mixed(settings.seed, step, self.accelerator.process_index))
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, settings)
        self.learner.train()
        model = self.accelerator.unwrap_model(self.learner).model
        losses: dict[str, Tensor] = self.step_of(example(model, batch, voices=settings.voices))
        self.accelerator.backward(losses["loss"])
        norm = self.accelerator.clip_grad_norm_(self.learner.parameters(), settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.averaged.update_parameters(model)
        return {name: value.detach() for name, value in losses.items()} | {"norm": torch.as_tensor(norm).detach()}

    def _log(self, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.folder.history.tell({"step": self.place.step, **values})
        self.accelerator.log(values, step=self.place.step)

    def _validate(self) -> None:
        if self.validate is None or not self.accelerator.is_main_process:
            return
        self.model.eval()
        self._log({f"validation_{name}": value for name, value in self.validate(self.model, self.place.step).items()})

    def finish(self) -> None:
        """Write the averaged model."""
        if self.accelerator.is_main_process:
            models.save(self.model.eval(), self.folder.model)
        self.accelerator.end_training()


def _told(model: GestureModel, settings: TrainSettings, reader: ReleaseReader) -> dict[str, Any]:
    """What makes it this training and no other."""
    return {
        "model": model.name, "settings": model.settings.model_dump(), "training": settings.lasting(),
        "train_clips": list_digest(reader.clips("train")),
    }  # fmt: skip
