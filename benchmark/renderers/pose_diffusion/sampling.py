"""Frames of any length from a network, tile by tile.

A tile is a window of frames that are made together. Its first ones are the last that the tile before has made, given
without noise, as the network was taught; so no more than a tile is in memory, and a film may be watched while it is
made. Between two tiles nothing is blended.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.renderers.pose_diffusion.latents import Latents
from csg405.benchmark.renderers.pose_diffusion.network import PoseDiffusionNetwork
from csg405.benchmark.renderers.pose_diffusion.pools import as_guide, as_picture, planes
from csg405.errors import UserError
from csg405.media.decode import Image


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampler:
    """Makes frames."""

    network: PoseDiffusionNetwork
    latents: Latents
    steps: int
    seed: int = 0
    """Another one gives other noise."""
    half: bool = False
    """Whether the network's arithmetic is in bfloat16."""

    @torch.no_grad()
    def frames(self, reference: Image, reference_guide: Pictures, guides: Iterable[Pictures]) -> Iterator[Image]:
        """Frames one by one, [s, s, 3] RGB.

        Args:
            reference: [s, s, 3] RGB, of the network's size.
            reference_guide: [s, s, 6] its pose: see `painting`.
            guides: [s, s, 6] of each frame; they are read a tile ahead.
        """
        seen = self.latents.encode(as_picture(self._there(reference)))
        drawn = as_guide(self._there(reference_guide))
        known: Tensor | None = None
        waiting, before = iter(guides), list[Pictures]()
        for number in itertools.count():
            fresh = list(itertools.islice(waiting, self.network.settings.frames - len(before)))
            if not fresh:
                return
            shown = before + fresh
            poses = as_guide(self._there(np.stack(shown)))[None]
            made = self._tile((seen, drawn, poses), known, number)
            yield from _pictures(self.latents.decode(made[0, len(before) :]))
            overlap = self.network.settings.overlap
            before, known = shown[-overlap:], made[:, -overlap:]

    def _tile(self, given: tuple[Tensor, Tensor, Tensor], known: Tensor | None, number: int) -> Tensor:
        """The latents [1, f, c, h, w] of a tile whose first ones are known; `given` is what the network looks at."""
        with self._arithmetic():
            seen = self.network.look(*given)
        frames, shape = len(seen.poses), seen.reference.shape[1:]
        generator = torch.Generator().manual_seed(_seed(self.seed, number))
        noise = torch.randn((1, self.network.settings.frames, *shape), generator=generator)[:, :frames]
        x = noise.to(seen.reference.device)
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(self.steps)
        for time, level in zip(scheduler.timesteps, scheduler.sigmas, strict=False):
            levels = torch.full((1, frames), float(level), device=x.device)
            if known is not None:
                x = torch.cat([known, x[:, known.shape[1] :]], dim=1)
                levels[:, : known.shape[1]] = 0
            with self._arithmetic():
                clean = self.network(x, levels, seen).float()
            velocity = (x - clean) / float(level)
            x = scheduler.step(velocity, time, x, return_dict=False)[0]
        return x if known is None else torch.cat([known, x[:, known.shape[1] :]], dim=1)

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.half)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _there(self, pictures: Pictures) -> Tensor:
        """[n, 3, s, s] where the network is; one picture is n = 1."""
        found = planes(pictures if pictures.ndim == 4 else pictures[None])
        return found.to(self._device)


def _pictures(numbers: Tensor) -> Iterator[Image]:
    """Numbers [n, 3, s, s] between -1 and 1 as pictures [s, s, 3].

    Raises:
        UserError: some are not finite.
    """
    if not numbers.isfinite().all():
        raise UserError("pose-diffusion: the frames hold numbers that are not finite; take precision=float32")
    whole = ((numbers.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    yield from whole.permute(0, 2, 3, 1).cpu().numpy()


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1))
