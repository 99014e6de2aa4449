"""What the network works on: patches of pixels, or the latents of an autoencoder.

Latents are pictures that are smaller by `factor`. The tiny network's are patches of pixels, so nothing is lost and no
weights are needed; for large pictures an `AutoencoderKL` of diffusers (Rombach et al., CVPR 2022) is read from a
folder or from the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from csg405.benchmark.pretrained import moving_to
from csg405.benchmark.renderers.pose_diffusion.settings import NetworkSettings
from csg405.errors import UserError, first_line

_AT_ONCE = 4
"""Pictures of 512 px that an autoencoder takes at a time: a few GB."""


class Latents(Protocol):
    """Between pictures and what the network works on."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, s, s] between -1 and 1 as latents [n, channels, s / factor, s / factor]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents as pictures [n, 3, s, s], which may lie a little beyond -1 and 1."""
        ...


class Patches:
    """Each patch of pixels is a latent."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def encode(self, pictures: Tensor) -> Tensor:
        """See `Latents`."""
        return functional.pixel_unshuffle(pictures, self.factor)

    def decode(self, latents: Tensor) -> Tensor:
        """See `Latents`."""
        return functional.pixel_shuffle(latents, self.factor)


class Autoencoder:
    """An `AutoencoderKL` that learns nothing here."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)
        self.shift = float(vae.config.shift_factor or 0.0)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """See `Latents`."""
        parts = [self.vae.encode(part.to(self.vae.dtype)).latent_dist.mode() for part in _parts(pictures)]
        return (torch.cat(parts).float() - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See `Latents`."""
        whole = (latents / self.scale + self.shift).to(self.vae.dtype)
        return torch.cat([self.vae.decode(part).sample for part in _parts(whole)]).float()


def latents_of(settings: NetworkSettings, *, device: torch.device, vae: str | Path | None = None) -> Latents:
    """What a network works on.

    Args:
        settings: the network's.
        device: where an autoencoder runs.
        vae: folder or name on the Hub to read it from; what the settings say when missing.

    Raises:
        UserError: the autoencoder is not there, or not the one that the network was made for.
    """
    source = vae or settings.vae
    if settings.vae is None or source is None:
        return Patches(settings.factor)
    from diffusers import AutoencoderKL

    try:
        found = AutoencoderKL.from_pretrained(str(source), use_safetensors=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise UserError(
            f"vae {source}: no AutoencoderKL in a folder or on the Hub under this name ({first_line(error)}); "
            "download it, and give its folder as `vae`"
        ) from error
    factor, channels = 2 ** (len(found.config.block_out_channels) - 1), found.config.latent_channels
    if (factor, channels) != (settings.factor, settings.channels):
        raise UserError(
            f"vae {source}: latents of {channels} channels, {factor} times smaller; "
            f"the network was made for {settings.channels} channels, {settings.factor} times smaller"
        )
    with moving_to(str(device)):
        return Autoencoder(found.to(device).eval().requires_grad_(False))


def _parts(pictures: Tensor) -> list[Tensor]:
    return [pictures[first : first + _AT_ONCE] for first in range(0, len(pictures), _AT_ONCE)]
