"""`flow-dit`: a transformer over frames that turns noise into motion along straight lines, in 5 to 20 steps.

Rectified flow (Liu et al., "Flow Straight and Fast", 2023): x_t = (1 - t) noise + t motion, and the velocity
motion - noise is followed from t = 0 to 1. The network tells the motion itself, from which the velocity follows; it
is judged by the velocity (Li and He, "Back to Basics: Let Denoising Generative Models Denoise", 2025): motion lies on
few dimensions, noise on all, and a narrow network can tell the former only. Speed and lengths of bones are judged
beside.

Times are shifted towards noise, s(t) = t / (t + shift (1 - t)): in learning, where t is the logistic function of a
normal variable, and in sampling, where it goes in equal steps (Esser et al., "Scaling Rectified Flow Transformers for
High-Resolution Image Synthesis", 2024). The numbers of a motion, like those of a large picture, say the same many times
over, so its outline is seen through much noise, and is settled early.

The reference's parts stand before the frames as tokens of their own; known frames are given as they are.
"""

from __future__ import annotations

import itertools
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
from csg405.benchmark.models.layers import Block, Head, Nearby, Sinusoid, rotations

_PARTS = (kp.BODY, kp.FEET, kp.FACE, kp.LEFT_HAND, kp.RIGHT_HAND)
"""Each is a token of the reference."""

_SHARES = (0.4, 0.02, 0.23, 0.15, 0.15)
_ROOT_SHARE = 0.05
"""How much of the loss each part's numbers are worth together: counted one by one, the face's 68 points would be it."""

_TIME_SCALE = 1000.0


class FlowSettings(ModelSettings):
    """Settings of `flow-dit`."""

    width: int = Field(384, ge=16, le=65_536, description="numbers of a token")
    layers: int = Field(8, ge=1, le=1000, description="blocks")
    heads: int = Field(6, ge=1, description="of attention")
    shift: float = Field(6.0, ge=1, description="how much times are shifted towards noise; 1 is not at all")
    nearest: float = Field(0.25, gt=0, le=1, description="least 1 - t by which the velocity's error is divided")
    velocity: float = Field(30.0, ge=0, description="weight of the loss on speeds")
    bones: float = Field(0.2, ge=0, description="weight of the loss on lengths of bones")
    continued: float = Field(0.6, ge=0, le=1, description="part of the windows learnt as going on from known frames")
    lookahead: int = Field(5, ge=0, description="last frames of a window that are made anew by the next one")
    guidance: float = Field(1.5, ge=0, le=MOST_GUIDANCE, description="scale of the sound's guidance; 1 is none")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """A window makes something new, and heads have pairs of numbers to turn."""
        if self.context + self.lookahead >= self.frames:
            raise ValueError(
                f"windows of {self.frames} frames, of which {self.context} are known and {self.lookahead} made anew by "
                "the next one, make nothing; let context + lookahead be less than frames"
            )
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is no multiple of twice the {self.heads} heads")
        return self


SIZES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {"width": 128, "layers": 4, "heads": 4},
    "S": {"width": 384, "layers": 8, "heads": 6},
    "B": {"width": 512, "layers": 12, "heads": 8},
}
"""About 1.5, 23 and 59 million parameters."""


class FlowDiT(GestureModel):
    """See the head of this file."""

    name = "flow-dit"
    weights: Tensor
    """[d] of the loss, by number."""

    def __init__(self, settings: FlowSettings) -> None:
        """It has learnt nothing; see `csg405.benchmark.training`."""
        super().__init__(Codec(), features_dim=settings.features_dim, lead=0)
        self.settings: FlowSettings = settings
        width, numbers = settings.width, self.codec.numbers
        self.sound = nn.Linear(settings.features_dim, width)
        self.nearby = nn.ModuleList([Nearby(width) for _ in range(2)])
        self.silence = nn.Parameter(torch.zeros(width))
        self.motion = nn.Linear(2 * numbers + 1, width)
        self.joined = nn.Linear(2 * width, width)
        self.reference = nn.ModuleList([nn.Linear(3 * _size(part), width) for part in _PARTS])
        self.time = Sinusoid(width)
        self.person = nn.Linear(3 * kp.COUNT, width)
        self.blocks = nn.ModuleList([Block(width, settings.heads) for _ in range(settings.layers)])
        self.head = Head(width, numbers)
        self.register_buffer("weights", self._weights(), persistent=False)

    def forward(
        self, noisy: Tensor, time: Tensor, sound: Tensor, given: Tensor, told: Tensor, within: Tensor
    ) -> Tensor:
        """The motion [b, n, d] that is behind a noisy one.

        Args:
            noisy: [b, n, d].
            time: [b], 0 is noise and 1 motion.
            sound: [b, n, width] by `hear`.
            given: [b, n, d + 1] numbers of known frames and 1, else 0.
            told: [b, 399] the references, by the codec.
            within: bool [b, n].
        """
        motion = self.motion(torch.cat([noisy, given], dim=-1))
        frames = self.joined(torch.cat([motion, sound], dim=-1))
        parts = self._reference_tokens(told)
        tokens = torch.cat([parts, frames], dim=1)
        condition = self.time(_TIME_SCALE * time) + self.person(told)
        turns = self._turns(parts.shape[1], frames.shape[1], tokens.device)
        allowed = None
        if not within.all():
            allowed = torch.cat([within.new_ones(len(within), parts.shape[1]), within], dim=1)[:, None, None]
        for block in self.blocks:
            tokens = block(tokens, condition, turns, allowed)
        made: Tensor = self.head(tokens[:, parts.shape[1] :], condition)
        return made

    def hear(self, features: Tensor, within: Tensor) -> Tensor:
        """What is heard around each frame: [b, n, width]."""
        sound: Tensor = self.sound(self.listened(features))
        for layer in self.nearby:
            sound = layer(sound, within)
        return sound

    def loss(self, example: Example) -> dict[str, Tensor]:
        """See the base class; parts `flow`, `velocity`, `bones`."""
        b = len(example)
        device = example.numbers.device
        time = self._shifted(torch.sigmoid(torch.randn(b, device=device)))
        noise = torch.randn_like(example.numbers)
        noisy = torch.lerp(noise, example.numbers, time[:, None, None])
        given = self._given(example)
        sound = self.hear(example.features, example.within)
        unheard = torch.rand(b, device=device) < self.settings.drop_audio
        sound = torch.where(unheard[:, None, None], self.silence, sound)
        told = self.codec.described(example.references)
        found = self(noisy, time, sound, given, told, example.within)
        mask = example.mask & ~(given[..., -1:] > 0)
        error = (found - example.numbers) / (1 - time).clamp(min=self.settings.nearest)[:, None, None]
        parts = {
            "flow": masked_mean(error**2, mask, self.weights),
            "velocity": self._velocity_loss(found, example),
            "bones": self._bones_loss(found, example),
        }
        scaled = self.settings.velocity * parts["velocity"] + self.settings.bones * parts["bones"]
        return {"loss": parts["flow"] + scaled, **parts}

    def make(self, window: Window, sampling: Sampling) -> Tensor:
        """See the base class: Euler's steps, shorter ones first."""
        features, within = window.features, window.within
        sound = self.hear(features, within)
        told = self.codec.described(window.references)
        moving = window.noise(self.codec.numbers)
        given = moving.new_zeros(*moving.shape[:2], self.codec.numbers + 1)
        known = window.known.shape[1]
        given[:, :known] = torch.cat([window.known, torch.ones_like(window.known[..., :1])], dim=-1)
        times = self._shifted(torch.linspace(0, 1, sampling.steps + 1))
        for time, following in itertools.pairwise(times):
            found = self._guided(
                moving, time.expand(len(moving)).to(moving), sound, given, told, within, scale=sampling.guidance
            )
            found[:, :known] = window.known
            moving = moving + (found - moving) * ((following - time) / (1 - time))
        return moving

    def _shifted(self, times: Tensor) -> Tensor:
        """Times [...] from 0 to 1, nearer to 0: see the head of this file."""
        return times / (times + self.settings.shift * (1 - times))

    def _guided(
        self, moving: Tensor, time: Tensor, sound: Tensor, given: Tensor, told: Tensor, within: Tensor, *, scale: float
    ) -> Tensor:
        if scale == 1:
            made: Tensor = self(moving, time, sound, given, told, within)
            return made
        twice = [torch.cat([part, part]) for part in (moving, time, given, told, within)]
        sounds = torch.cat([sound, self.silence.expand_as(sound)])
        heard, unheard = self(twice[0], twice[1], sounds, *twice[2:]).chunk(2)
        return torch.lerp(unheard, heard, scale)

    def _given(self, example: Example) -> Tensor:
        """Known frames [b, n, d + 1]: the first one, or as many as a window goes on from."""
        b, n, _ = example.numbers.shape
        device = example.numbers.device
        begins = torch.rand(b, device=device)
        counts = torch.randint(1, self.settings.context + 1, (b,), device=device)
        counts = torch.where(begins < self.settings.continued, counts, 1)
        known = (torch.arange(n, device=device) < counts[:, None])[..., None]
        return torch.cat([example.numbers * known, known.to(example.numbers.dtype)], dim=-1)

    def _velocity_loss(self, found: Tensor, example: Example) -> Tensor:
        error = (found - example.numbers).diff(dim=1)
        mask = example.mask[:, 1:] & example.mask[:, :-1]
        return masked_mean(error**2, mask, self.weights)

    def _bones_loss(self, found: Tensor, example: Example) -> Tensor:
        """Of lengths in shoulder widths, a hundredth being 1."""
        one, other = (self._points(numbers, example) for numbers in (found, example.numbers))
        ends = torch.tensor(_BONES, device=found.device)
        lengths = [
            (points[:, :, ends[:, 0]] - points[:, :, ends[:, 1]]).square().sum(-1).add(1e-6).sqrt()
            for points in (one, other)
        ]
        shown = example.mask[..., -2 * kp.COUNT :: 2]
        mask = shown[:, :, ends[:, 0]] & shown[:, :, ends[:, 1]]
        return masked_mean((10 * (lengths[0] - lengths[1])) ** 2, mask)

    def _points(self, numbers: Tensor, example: Example) -> Tensor:
        """Local points [b, n, 133, 2]; bones lie within parts, so no more is needed."""
        codec = self.codec
        raw = (numbers * codec.deviation + codec.mean)[..., -2 * kp.COUNT :]
        told = raw.reshape(*raw.shape[:2], kp.COUNT, 2)
        return told + (codec.shape(example.references) * codec.anchor)[:, None]

    def _reference_tokens(self, told: Tensor) -> Tensor:
        places, shown = told[:, : 2 * kp.COUNT], told[:, 2 * kp.COUNT :]
        tokens = []
        for layer, part in zip(self.reference, _PARTS, strict=True):
            own = torch.cat([places[:, 2 * part.start : 2 * part.stop], shown[:, part]], dim=-1)
            tokens.append(layer(own))
        return torch.stack(tokens, dim=1)

    def _turns(self, parts: int, frames: int, device: torch.device) -> tuple[Tensor, Tensor]:
        positions = torch.cat([torch.arange(-parts, 0, device=device), torch.arange(frames, device=device)])
        return rotations(positions, self.settings.width // self.settings.heads)

    def _weights(self) -> Tensor:
        """[d] of the loss; their mean is 1."""
        weights = torch.zeros(kp.COUNT)
        for part, share in zip(_PARTS, _SHARES, strict=True):
            weights[part] = share / (2 * _size(part))
        of_numbers = torch.cat([torch.full((2,), _ROOT_SHARE / 2), weights.repeat_interleave(2)])
        return of_numbers / of_numbers.mean()


def _size(part: slice) -> int:
    return int(part.stop - part.start)


def _part_of(point: int) -> slice:
    """Of points that lie about the same point: body and feet are one."""
    found = next(part for part in _PARTS if part.start <= point < part.stop)
    return kp.BODY if found == kp.FEET else found


_BONES = [link for link in kp.LINKS if _part_of(link[0]) == _part_of(link[1])]
