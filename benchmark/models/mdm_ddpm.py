"""`mdm-ddpm`: the reference's audio-to-skeleton diffusion model, as its figure and its released sizes have it.

Yang et al., "Democratizing High-Fidelity Co-Speech Gesture Video Generation" (ICCV 2025), on the motion diffusion
model of Tevet et al. (ICLR 2023): a transformer encoder, normalised afterwards, over one token of the step, the frames
of the reference skeleton along time, and the frames of the motion, with the sound joined to each frame along features;
it tells the motion itself, over 100 steps of a cosine schedule, and is trained by the mean squared error of what is
confident and nothing else. The sound is replaced by one learned vector in a tenth of the windows, for guidance.

Two faults of the released system are settings, and both together are `paper`: the neck's track is dropped, so a
person is pinned (`drop_root`), and the frames before the first are true ones of the clip that is to be made
(`seed_from_target`, for whoever samples: see `csg405.benchmark.models.predict`). Its legs are not generated either;
they stand as in the reference and move with the neck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from csg405 import keypoints as kp
from csg405.benchmark.models.base import (
    MOST_GUIDANCE,
    Example,
    GestureModel,
    ModelSettings,
    Sampling,
    Window,
    masked_mean,
)
from csg405.benchmark.models.codec import Codec
from csg405.benchmark.models.layers import sinusoid

POINTS = kp.UPPER_BODY.tolist()
"""The 123 that the reference has: no knees, ankles and feet."""

_REPEATED = 0.3
"""Part of the training windows whose known frames are one frame, held: the case of a single picture."""

_MOST_BETA = 0.999


class MdmSettings(ModelSettings):
    """Settings of `mdm-ddpm`; the defaults are the sizes of the reference's parser."""

    width: int = Field(512, ge=16, le=65_536, description="numbers of a token")
    layers: int = Field(8, ge=1, le=1000, description="of the transformer encoder")
    heads: int = Field(4, ge=1, description="of attention")
    feed: int = Field(1024, ge=16, le=262_144, description="numbers inside of a feed-forward layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="in the encoder and on positions")
    frames: int = Field(250, ge=8, le=10_000, description="frames that are made at once, 25 a second")
    context: int = Field(25, ge=1, le=10_000, description="known frames before them")
    steps: int = Field(100, ge=1, le=10_000, description="of the diffusion; sampling with fewer skips some")
    guidance: float = Field(3.5, ge=0, le=MOST_GUIDANCE, description="scale of the sound's guidance; 1 is none")
    drop_root: bool = Field(False, description="fault of the reference: the neck's track is no part of the motion")
    seed_from_target: bool = Field(False, description="fault of the reference: known frames are the clip's own")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """A window makes something new, and heads divide the width."""
        if self.lookahead >= self.frames:
            raise ValueError(
                f"lookahead {self.lookahead}: all of the {self.frames} frames would be made anew, for ever"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of the {self.heads} heads")
        return self


SIZES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {"width": 128, "layers": 4, "heads": 4, "feed": 256},
    "parser": {"width": 512, "layers": 8, "heads": 4, "feed": 1024},
    "released": {"width": 1024, "layers": 16, "heads": 16, "feed": 4096},
    "paper": {
        "width": 1024, "layers": 16, "heads": 16, "feed": 4096, "drop_root": True, "seed_from_target": True,
        "features": "wav2vec2-base-960h",
    },
}  # fmt: skip
"""About 0.8, 21 and 217 million parameters; `paper` is the largest with the faults, and the reference's features."""


class MdmDdpm(GestureModel):
    """See the head of this file."""

    name = "mdm-ddpm"
    kept: Tensor
    """[steps] cumulative product of what each step keeps of the motion's variance."""

    def __init__(self, settings: MdmSettings) -> None:
        """It has learnt nothing; see `csg405.benchmark.training`."""
        codec = Codec(POINTS, root=not settings.drop_root, anchored=False)
        super().__init__(codec, features_dim=settings.features_dim, lead=settings.context)
        self.settings: MdmSettings = settings
        width, numbers = settings.width, codec.numbers
        self.motion = nn.Linear(numbers, width)
        self.sound = nn.Linear(settings.features_dim, width)
        self.silence = nn.Parameter(torch.randn(width) * 0.02)
        self.joined = nn.Sequential(nn.Linear(2 * width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.step = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.dropout = nn.Dropout(settings.dropout)
        layer = nn.TransformerEncoderLayer(
            width, settings.heads, settings.feed, settings.dropout, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.outward = nn.Linear(width, numbers)
        self.register_buffer("kept", schedule(settings.steps), persistent=False)

    def forward(self, noisy: Tensor, step: Tensor, sound: Tensor, within: Tensor) -> Tensor:
        """The motion [b, n, d] that is behind a noisy one, whose first frames are those known.

        Args:
            noisy: [b, n, d].
            step: int [b].
            sound: [b, n, width] by `hear`.
            within: bool [b, n].
        """
        frames = self.joined(torch.cat([self.motion(noisy), sound], dim=-1))
        width = frames.shape[-1]
        first = self.step(sinusoid(step, width))[:, None]
        tokens = torch.cat([first, frames], dim=1)
        positions = sinusoid(torch.arange(tokens.shape[1], device=tokens.device), width)
        hidden = None if within.all() else ~torch.cat([within.new_ones(len(within), 1), within], dim=1)
        found = self.encoder(self.dropout(tokens + positions), src_key_padding_mask=hidden)
        made: Tensor = self.outward(found[:, 1:])
        return made

    def hear(self, features: Tensor) -> Tensor:
        """The sound of each frame [b, n, width]; none in frames that are known."""
        sound: Tensor = self.sound(self.listened(features))
        silent = torch.arange(features.shape[1], device=features.device) < self.settings.context
        return sound.masked_fill(silent[:, None], 0.0)

    def loss(self, example: Example) -> dict[str, Tensor]:
        """See the base class: `loss` alone. The first frames of an example are those that are known."""
        b, n, _ = example.numbers.shape
        device = example.numbers.device
        step = torch.randint(0, self.settings.steps, (b,), device=device)
        known = self._known(example)
        noise = torch.randn_like(example.numbers)
        noisy = self._noised(example.numbers, noise, step)
        noisy = torch.cat([known, noisy[:, known.shape[1] :]], dim=1)
        sound = self.hear(example.features)
        unheard = torch.rand(b, device=device) < self.settings.drop_audio
        sound = torch.where(unheard[:, None, None], self._unheard(n), sound)
        found = self(noisy, step, sound, example.within)
        mask = example.mask.clone()
        mask[:, : known.shape[1]] = False
        return {"loss": masked_mean((found - example.numbers) ** 2, mask)}

    def make(self, window: Window, sampling: Sampling) -> Tensor:
        """See the base class: ancestral sampling with the schedule's small variance."""
        sound = self.hear(window.features)
        moving = window.noise(self.codec.numbers)
        steps = self._steps(sampling.steps)
        for step, following in zip(steps, [*steps[1:], -1], strict=True):
            moving[:, : window.known.shape[1]] = window.known
            found = self._guided(moving, step, sound, window.within, scale=sampling.guidance)
            moving = found if following < 0 else self._back(moving, found, step, following, window)
        moving[:, : window.known.shape[1]] = window.known
        return moving

    def _guided(self, moving: Tensor, step: int, sound: Tensor, within: Tensor, *, scale: float) -> Tensor:
        steps = torch.full((len(moving),), step, device=moving.device)
        if scale == 1:
            made: Tensor = self(moving, steps, sound, within)
            return made
        unheard = self._unheard(moving.shape[1]).expand_as(sound)
        heard, other = self(
            torch.cat([moving, moving]), torch.cat([steps, steps]), torch.cat([sound, unheard]),
            torch.cat([within, within]),
        ).chunk(2)  # fmt: skip
        return torch.lerp(other, heard, scale)

    def _back(self, moving: Tensor, found: Tensor, step: int, following: int, window: Window) -> Tensor:
        """One step towards the motion: the posterior of the schedule between two steps."""
        now, then = self.kept[step], self.kept[following]
        taken = 1 - now / then
        mean = (then.sqrt() * taken * found + (now / then).sqrt() * (1 - then) * moving) / (1 - now)
        variance = taken * (1 - then) / (1 - now)
        return mean + variance.sqrt() * window.noise(self.codec.numbers)

    def _steps(self, count: int) -> list[int]:
        """From the last to the first, evenly."""
        last = self.settings.steps - 1
        if count >= self.settings.steps:
            return list(range(last, -1, -1))
        return [round(last * (count - 1 - i) / max(count - 1, 1)) for i in range(count)]

    def _noised(self, numbers: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        kept = self.kept[step][:, None, None]
        return kept.sqrt() * numbers + (1 - kept).sqrt() * noise

    def _known(self, example: Example) -> Tensor:
        """The first frames [b, k, d]; of some windows the last of them, held."""
        known = example.numbers[:, : self.settings.context]
        held = torch.rand(len(known), device=known.device) < _REPEATED
        return torch.where(held[:, None, None], known[:, -1:], known)

    def _unheard(self, frames: int) -> Tensor:
        """[n, width] the learned vector; nothing in frames that are known."""
        given = torch.arange(frames, device=self.silence.device) >= self.settings.context
        return given[:, None] * self.silence


def schedule(steps: int) -> Tensor:
    """[steps] cumulative products of the cosine schedule (Nichol and Dhariwal, 2021) with exponent 2: cos^4."""
    along = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    whole = torch.cos(along * math.pi / 2) ** 4
    betas = (1 - whole[1:] / whole[:-1]).clamp(max=_MOST_BETA)
    return torch.cumprod(1 - betas, dim=0).float()
