"""How the network learns: windows of films in, a smaller loss out, by way of accelerate.

The objective is rectified flow (Liu et al., ICLR 2023): a frame x and noise e are mixed to (1 - t) x + t e, and the
velocity e - x is to be found. The network says x, from which the velocity follows; its error is told in deviations of
the guess that it starts from, so that all levels count alike (Karras et al., NeurIPS 2022). Levels are drawn from a
logit-normal distribution (Esser et al., ICML 2024). Some windows begin with frames that are given without noise and
count for nothing: so a network learns to continue a film.

As everywhere here, what is done in a step follows from the training's seed and the step's number, and a checkpoint
holds weights, their average and the optimiser's state: a training that was killed goes on with the losses it would
have had, on the CPU to the last bit, as long as the machine and torch's number of threads are the same. What is kept
at the end are the averaged weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from csg405.benchmark.release import ReleaseReader, list_digest
from csg405.benchmark.renderers.pose_diffusion import folder as networks
from csg405.benchmark.renderers.pose_diffusion.latents import Latents, latents_of
from csg405.benchmark.renderers.pose_diffusion.network import PoseDiffusionNetwork, parts_of
from csg405.benchmark.renderers.pose_diffusion.pools import Batch, Pools, as_guide, as_picture
from csg405.benchmark.renderers.pose_diffusion.settings import FilmTrainSettings
from csg405.benchmark.seeds import mixed
from csg405.benchmark.training.folder import TrainingFolder
from csg405.benchmark.training.learning import accelerator_of, averaged_of, check_finite, optimiser_of, rate_at
from csg405.progress import Progress

log = logging.getLogger(__name__)

_LEAST_LEVEL = 0.01
"""Noise below this counts as this."""

_MIDDLE = 0.5
"""Logit of the middle noise level, 0.62: skeleton and reference say much, so more is learnt where little else does."""

_VALIDATION_DRAWS = 4
"""Batches that a loss on the validation split is the mean of."""


class Learner(nn.Module):
    """The network, as it is called to learn."""

    def __init__(self, network: PoseDiffusionNetwork, *, continued: float) -> None:
        super().__init__()
        self.network, self.continued = network, continued

    def forward(self, latents: Latents, batch: Batch) -> Tensor:
        """The loss of a batch; noise is drawn from torch's own generator."""
        network = self.network
        size, frames = batch.frames.shape[:2]
        clean = latents.encode(as_picture(batch.frames).flatten(0, 1))
        clean = clean.reshape(size, frames, *clean.shape[1:])
        reference = latents.encode(as_picture(batch.reference))
        levels = torch.sigmoid(_MIDDLE + torch.randn(size, 1, device=clean.device)).expand(-1, frames)
        goes_on = torch.rand(size, 1, device=clean.device) < self.continued
        first = torch.arange(frames, device=clean.device) < network.settings.overlap
        levels = torch.where(goes_on & first, 0.0, levels)
        part = levels[..., None, None, None]
        noisy = (1 - part) * clean + part * torch.randn_like(clean)
        guides = network.look(reference, as_guide(batch.reference_guide), as_guide(batch.guides))
        wrong = (network(noisy, levels, guides) - clean).square().mean(dim=(2, 3, 4))
        deviation = parts_of(levels.clamp(min=_LEAST_LEVEL), network.settings.spread).add
        counts = (levels > 0).float()
        loss: Tensor = (counts * wrong / deviation.flatten(1).square()).sum() / counts.sum()
        return loss


def train(
    network: PoseDiffusionNetwork,
    reader: ReleaseReader,
    folder: Path,
    settings: FilmTrainSettings,
    *,
    device: str | None = None,
    vae: str | Path | None = None,
) -> Path:
    """Train a network on the films of a release's training split; go on where an earlier call was stopped.

    Args:
        network: that has learnt nothing.
        reader: of a release with films.
        folder: of checkpoints, log and the network; one training's alone.
        settings: see `FilmTrainSettings`.
        device: `cpu`, `cuda`, or what accelerate finds if nothing is said.
        vae: folder or name of the autoencoder; what the network's settings say when missing.

    Returns:
        The folder of the network.

    Raises:
        UserError: the release has no films, the folder is another training's or is being written, or the loss is no
            number any more.
    """
    accelerator = accelerator_of(settings, device=device)
    held = TrainingFolder(folder)
    told = _told(network, settings, reader, vae=vae)
    with held.claimed(told, accelerator, command="benchmark train-renderer"):
        if held.is_done(settings.steps):
            return held.model
        network.checkpointing = settings.checkpointing
        latents = latents_of(network.settings, device=accelerator.device, vae=vae)
        pools = Pools(reader, "train", network.settings, settings, rank=accelerator.process_index)
        learner, optimiser = accelerator.prepare(
            Learner(network, continued=settings.continued), optimiser_of(network, settings)
        )
        averaged = averaged_of(network, settings)
        run = _Run(held, settings, accelerator, learner, optimiser, averaged, latents, pools)
        accelerator.register_for_checkpointing(averaged, run)
        with contextlib.closing(pools):
            run.resume()
            run.learn(_held_out(reader, network, settings) if accelerator.is_main_process else [])
        if accelerator.is_main_process:
            networks.save(run.network.eval(), held.model)
    return held.model


@dataclasses.dataclass
class _Run:
    """A training that is going on."""

    folder: TrainingFolder
    settings: FilmTrainSettings
    accelerator: Any
    learner: Any
    optimiser: Any
    averaged: AveragedModel
    latents: Latents
    pools: Pools
    step: int = 0

    def __post_init__(self) -> None:
        self.averaged.to(self.accelerator.device)
        self.network = cast(PoseDiffusionNetwork, self.averaged.module)

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another was."""
        self.step = state["step"]

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        goes_on = self.folder.checkpoints.load_last(self.accelerator)
        if goes_on:
            log.info("training goes on from step %d", self.step)
        if self.accelerator.is_main_process:
            self.folder.history.go_on_from(self.step if goes_on else -1)

    def learn(self, held_out: list[Batch]) -> None:
        """From where it is to the last step, with a loss on other people's films now and then."""
        settings = self.settings
        if not self.step:
            self._validate(held_out)
        with Progress("train", total=settings.steps, unit="batches") as progress:
            progress.advance(self.step)
            while self.step < settings.steps:
                loss = self._learn_once(self.pools.batch(self.step).to(self.accelerator.device))
                self.step += 1
                progress.advance()
                tells, saves = (
                    settings.is_due(every, self.step) for every in (settings.say_every, settings.save_every)
                )
                if tells or saves:
                    check_finite("loss", float(loss), step=self.step)
                if tells:
                    self._tell({"loss": float(loss)})
                if settings.is_due(settings.validate_every, self.step):
                    self._validate(held_out)
                if saves:
                    self.folder.checkpoints.write(self.step, self.accelerator)

    def _learn_once(self, batch: Batch) -> Tensor:
        settings = self.settings
        torch.manual_seed(mixed(settings.seed, self.step, self.accelerator.process_index))
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, settings)
        self.learner.train()
        loss: Tensor = self.learner(self.latents, batch)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.learner.parameters(), settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.averaged.update_parameters(self.accelerator.unwrap_model(self.learner).network)
        return loss.detach()

    def _tell(self, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            self.folder.history.tell({"step": self.step, **values})

    def _validate(self, held_out: list[Batch]) -> None:
        if held_out and self.accelerator.is_main_process:
            found = loss_on(self.network, self.latents, held_out, seed=self.settings.seed)
            self._tell({"validation_loss": found})


@torch.no_grad()
def loss_on(network: PoseDiffusionNetwork, latents: Latents, batches: list[Batch], *, seed: int) -> float:
    """The mean loss of a network on windows, by noise that is always the same; no frames are given.

    Args:
        network: any.
        latents: what it works on.
        batches: the windows.
        seed: of the noise.
    """
    learner, losses = Learner(network.eval(), continued=0.0), []
    device = next(network.parameters()).device
    with torch.random.fork_rng():
        for number, batch in enumerate(batches):
            torch.manual_seed(mixed(seed, number, -1))
            losses.append(float(learner(latents, batch.to(device))))
    return sum(losses) / len(losses)


def _held_out(reader: ReleaseReader, network: PoseDiffusionNetwork, settings: FilmTrainSettings) -> list[Batch]:
    """Windows of the validation split, always the same; none where it has no clips or none are asked for."""
    if not settings.validation_clips or not reader.clips("validation"):
        return []
    wanted = settings.model_copy(update={"pool_clips": settings.validation_clips, "pool_steps": _VALIDATION_DRAWS})
    pools = Pools(reader, "validation", network.settings, wanted)
    try:
        return [pools.batch(number) for number in range(_VALIDATION_DRAWS)]
    finally:
        pools.close()


def _told(
    network: PoseDiffusionNetwork, settings: FilmTrainSettings, reader: ReleaseReader, *, vae: str | Path | None
) -> dict[str, Any]:
    """What makes it this training and no other."""
    return {
        "renderer": network.name, "settings": network.settings.model_dump(), "training": settings.lasting(),
        "vae": str(vae or network.settings.vae), "train_clips": list_digest(reader.clips("train")),
    }  # fmt: skip
