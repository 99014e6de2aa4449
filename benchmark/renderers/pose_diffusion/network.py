"""The network of `pose-diffusion`: frames out of noise, by a picture of the person and drawn skeletons.

A U-Net of diffusers' residual blocks. A pose guider, a few convolutions, turns drawn poses into features that are added
to the input. A second, smaller network looks at the reference once; at every level each frame attends to itself
and to the reference's features of that level, and then each place attends to itself in the other frames. The
reference's own skeleton is drawn for it too, so that a hand can be found by being a hand.

It predicts the frames themselves, as what has to be added to the best linear guess from noisy frame and reference: a
network that has learnt nothing holds the reference still. Each frame has a noise level of its own, and frames that are
given have none: that is how a film is continued.

Sources: pose guider, reference network and order of attentions: Hu et al., "Animate Anyone" (CVPR 2024); tiles: Zhang
et al., "MimicMotion" (ICML 2025); the guess: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
Models" (NeurIPS 2022); a noise level for each frame: Chen et al., "Diffusion Forcing" (NeurIPS 2024).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, cast

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from csg405.benchmark import pretrained
from csg405.benchmark.renderers.pose_diffusion.painting import CHANNELS
from csg405.benchmark.renderers.pose_diffusion.settings import NetworkSettings

_GROUP = 8
"""Channels of a group of group normalisation, at least."""

_TIMES = 1000.0
"""Noise levels from 0 to 1 are told to the network as times from 0 to this, as diffusion networks are used to."""

_GUIDER_WIDTH = 8
"""Channels of the pose guider's first layer; they double as it gets coarser."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the frames have to look like; found once for all steps of sampling."""

    reference: Tensor
    """[b, c, h, w] latents of the person's picture."""
    levels: tuple[Tensor, ...]
    """[b, h w, width] what is seen in it, of each level with attention."""
    poses: Tensor
    """[b f, width, h, w] features of the frames' poses."""


class PoseDiffusionNetwork(
    nn.Module, PyTorchModelHubMixin, library_name="csg405", tags=["co-speech-gesture", "pose-to-video"]
):
    """See the head of this file; `csg405.benchmark.renderers.pose_diffusion.folder` opens one."""

    name: ClassVar[str] = "pose-diffusion"

    def __init__(self, settings: NetworkSettings) -> None:
        """It has learnt nothing."""
        super().__init__()
        self.settings = settings
        self.checkpointing = False
        first, last = settings.widths[0], settings.widths[-1]
        told = 4 * first
        self.time = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.embed = TimestepEmbedding(first, told)
        self.guider = _guider(first, settings.factor)
        self.looker = Looker(settings)
        self.begin = nn.Conv2d(2 * settings.channels, first, 3, padding=1)
        self.coarser, self.down, self.up, self.finer = (nn.ModuleList() for _ in range(4))
        for before, width in zip((first, *settings.widths), settings.widths, strict=False):
            fine = not self.down
            self.coarser.append(nn.Identity() if fine else _coarser(before))
            attends = len(self.down) >= settings.plain
            self.down.append(_blocks(before, width, settings, told, attends=attends))
            self.up.append(_blocks(2 * width, width, settings, told, attends=attends))
            self.finer.append(
                nn.Identity() if fine else cast(nn.Module, Upsample2D(width, use_conv=True, out_channels=before))
            )
        self.middle = Block(last, last, settings, told, attends=True)
        self.end = nn.Sequential(_norm(first), nn.SiLU(), nn.Conv2d(first, settings.channels, 3, padding=1))
        _silence(self.end[-1])

    def look(self, reference: Tensor, reference_guide: Tensor, guides: Tensor) -> Seen:
        """What the frames have to look like.

        Args:
            reference: [b, c, h, w] latents of the person's picture.
            reference_guide: [b, 6, s, s] their pose in it, 0 to 1: see `painting`.
            guides: [b, f, 6, s, s] the frames' poses.
        """
        levels = self.looker(reference, self.guider(reference_guide))
        return Seen(reference, levels, self.guider(guides.flatten(0, 1)))

    @classmethod
    def from_pretrained(  # type: ignore[override]  # only what we honour
        cls, source: str | Path, *, revision: str | None = None
    ) -> Self:
        """The network in a folder, or in a repository of the Hub, ready to sample.

        Raises:
            UserError: there is none, or it is none of ours.
        """
        from csg405.benchmark.renderers.pose_diffusion import folder

        return cast(Self, folder.load(source, revision=revision))

    def _save_pretrained(self, save_directory: Path) -> None:
        """Weights and settings: what `save_pretrained` and `push_to_hub` write, beside a card."""
        pretrained.write(self, save_directory, {"renderer": self.name, "settings": self.settings.model_dump()})

    def forward(self, noisy: Tensor, levels: Tensor, seen: Seen) -> Tensor:
        """The frames that are behind the noise.

        Args:
            noisy: [b, f, c, h, w] latents of frames, in part noise.
            levels: [b, f] which part of each is noise, 0 to 1.
            seen: see `look`.

        Returns:
            [b, f, c, h, w] latents.
        """
        frames = levels.shape[1]
        told = self.embed(self.time(_TIMES * levels.flatten()).to(noisy.dtype))
        beside = seen.reference[:, None].expand(-1, frames, -1, -1, -1)
        parts = parts_of(levels, self.settings.spread)
        apart = parts.scale * (noisy - (1 - levels[..., None, None, None]) * beside)
        x = self.begin(torch.cat([apart, beside], dim=2).flatten(0, 1)) + seen.poses
        looks: list[Tensor | None] = [None] * self.settings.plain
        looks += [level.repeat_interleave(frames, dim=0) for level in seen.levels]
        kept = []
        for coarser, blocks, look in zip(self.coarser, self.down, looks, strict=True):
            x = coarser(x)
            for block in cast(nn.ModuleList, blocks):
                x = self._run(block, x, told, look, frames)
            kept.append(x)
        x = self._run(self.middle, x, told, looks[-1], frames)
        for finer, blocks, look in reversed([*zip(self.finer, self.up, looks, strict=True)]):
            x = torch.cat([x, kept.pop()], dim=1)
            for block in cast(nn.ModuleList, blocks):
                x = self._run(block, x, told, look, frames)
            x = finer(x)
        found: Tensor = parts.keep * noisy + parts.hold * beside + parts.add * self.end(x).reshape(noisy.shape)
        return found

    def _run(self, block: Callable[..., Tensor], *given: Any) -> Tensor:
        if self.checkpointing and self.training:
            return cast(Tensor, checkpoint(block, *given, use_reentrant=False))
        return block(*given)

    def parameters_m(self) -> float:
        """Its size, millions of parameters."""
        return sum(parameter.numel() for parameter in self.parameters()) / 1e6


class Parts(NamedTuple):
    """What a frame is made of; each [b, f, 1, 1, 1]."""

    keep: Tensor
    """Of the noisy frame."""
    hold: Tensor
    """Of the reference."""
    add: Tensor
    """Of what the network says: the deviation of the guess that the two others are."""
    scale: Tensor
    """Over the deviation of the noisy frame from the reference: what the network is shown is of one size."""


def parts_of(levels: Tensor, spread: float) -> Parts:
    """How a frame is made, by the part of it [b, f] that is noise.

    Without the network it is the best guess that is linear, if a frame is the reference and a deviation of `spread`:
    the reference where all is noise, the frame itself where nothing is.
    """
    level = levels[..., None, None, None]
    variance = (spread * (1 - level)) ** 2 + level**2
    keep = spread**2 * (1 - level) / variance
    return Parts(keep, 1 - keep * (1 - level), spread * level / variance.sqrt(), variance.rsqrt())


class Block(nn.Module):
    """A residual block; then attention in the picture and to the reference, and along time, where it attends."""

    def __init__(self, before: int, width: int, settings: NetworkSettings, told: int, *, attends: bool) -> None:
        super().__init__()
        self.residual = _residual(before, width, told=told)
        self.space = Space(width, settings.head) if attends else None
        self.time = Time(width, settings.head, settings.frames) if attends else None

    def forward(self, x: Tensor, told: Tensor, seen: Tensor | None, frames: int) -> Tensor:
        """Features [b f, before, h, w] to [b f, width, h, w]; `told` [b f, d], `seen` [b f, h w, width]."""
        x = self.residual(x, told)
        if self.space is not None and self.time is not None:
            x = self.time(self.space(x, seen), frames)
        return x


def _blocks(before: int, width: int, settings: NetworkSettings, told: int, *, attends: bool) -> nn.ModuleList:
    """The blocks of a level."""
    widths = [before] + [width] * settings.blocks
    return nn.ModuleList([Block(one, width, settings, told, attends=attends) for one in widths[:-1]])


class Space(nn.Module):
    """Each frame attends to itself and to the reference."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.attention = Attention(width, heads=width // head, dim_head=head)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Features [n, width, h, w], and the reference's [n, h w, width]."""
        own = self.norm(x).flatten(2).transpose(1, 2)
        found = self.attention(own, encoder_hidden_states=torch.cat([own, seen], dim=1))
        added: Tensor = x + found.transpose(1, 2).reshape(x.shape)
        return added


class Time(nn.Module):
    """Each place attends to itself in the other frames; does nothing before it has learnt."""

    def __init__(self, width: int, head: int, frames: int) -> None:
        super().__init__()
        self.block = BasicTransformerBlock(
            width, width // head, head, activation_fn="gelu", ff_inner_dim=2 * width,
            positional_embeddings="sinusoidal", num_positional_embeddings=frames,
        )  # fmt: skip
        self.out = _silence(nn.Linear(width, width))

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Features [b f, width, height, length]."""
        width, height, length = x.shape[1:]
        along = x.reshape(-1, frames, width, height, length).permute(0, 3, 4, 1, 2).flatten(0, 2)
        found = self.out(self.block(along)).reshape(-1, height, length, frames, width)
        added: Tensor = x + found.permute(0, 3, 4, 1, 2).flatten(0, 1)
        return added


class Looker(nn.Module):
    """What is seen in the reference, level by level."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        first, self.plain = settings.widths[0], settings.plain
        self.begin = nn.Conv2d(settings.channels, first, 3, padding=1)
        self.levels = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.coarser = nn.ModuleList()
        for before, width in zip((first, *settings.widths), settings.widths, strict=False):
            self.coarser.append(_coarser(before) if self.levels else nn.Identity())
            self.norms.append(_norm(width) if len(self.levels) >= settings.plain else nn.Identity())
            self.levels.append(_residual(before, width))

    def forward(self, reference: Tensor, pose: Tensor) -> tuple[Tensor, ...]:
        """Features [b, h w, width] of levels with attention, for a picture [b, c, h, w] and a pose [b, width, h, w]."""
        x, found = self.begin(reference) + pose, []
        for coarser, level, norm in zip(self.coarser, self.levels, self.norms, strict=True):
            x = level(coarser(x), None)
            found.append(norm(x).flatten(2).transpose(1, 2))
        return tuple(found[self.plain :])


def _guider(width: int, factor: int) -> nn.Module:
    """Poses [n, 6, s, s] to features [n, width, s / factor, s / factor]."""
    layers: list[nn.Module] = [nn.Conv2d(CHANNELS, _GUIDER_WIDTH, 3, padding=1), nn.SiLU()]
    now = _GUIDER_WIDTH
    for _ in range(factor.bit_length() - 1):
        layers += [nn.Conv2d(now, 2 * now, 3, stride=2, padding=1), nn.SiLU()]
        now *= 2
    return nn.Sequential(*layers, nn.Conv2d(now, width, 3, padding=1), _norm(width))


def _residual(before: int, width: int, *, told: int | None = None) -> nn.Module:
    return cast(
        nn.Module,
        ResnetBlock2D(
            in_channels=before, out_channels=width, temb_channels=cast(int, told), groups=_groups(before),
            groups_out=_groups(width), time_embedding_norm="default" if told is None else "scale_shift",
        ),
    )  # fmt: skip


def _coarser(width: int) -> nn.Module:
    return cast(nn.Module, Downsample2D(width, use_conv=True, name="op"))  # its other name would keep weights twice


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(_groups(width), width)


def _groups(width: int) -> int:
    """As many as there can be, 32 at most, of `_GROUP` channels at least."""
    return next(count for count in (32, 16, 8, 4, 2, 1) if width % count == 0 and width // count >= min(_GROUP, width))


def _silence(layer: nn.Module) -> nn.Module:
    """A layer that gives 0 until it has learnt."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
