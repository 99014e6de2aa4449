"""The network's shape and how it is trained: what its folder says, and a section of the configuration."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from csg405.benchmark.training.settings import LearningSettings
from csg405.config import Settings


class NetworkSettings(Settings):
    """The shape of the network; kept in its folder. The defaults are the size `tiny`."""

    size_px: int = Field(64, ge=32, le=4096, description="side of the pictures that it makes, px")
    frames: int = Field(4, ge=2, le=1000, description="frames that it makes at once, 25 a second")
    overlap: int = Field(1, ge=1, description="of them, the first, that the tile before has made")
    vae: str | None = Field(None, description="folder or name on the Hub of an AutoencoderKL; none works on pixels")
    factor: int = Field(
        2, ge=2, le=64, description="side of a latent's patch, px: what the autoencoder has, or as you like"
    )
    channels: int = Field(12, ge=1, le=65_536, description="of a latent; 3 factor^2 on pixels")
    widths: tuple[int, ...] = Field(
        (16, 32, 64), min_length=1, max_length=12, description="channels of each level, each half as fine"
    )
    blocks: int = Field(1, ge=1, le=100, description="residual blocks in each level, down and up")
    plain: int = Field(2, ge=0, description="levels, the finest, without attention")
    head: int = Field(16, ge=4, description="channels of a head of attention; divides the widths of levels with it")
    spread: float = Field(0.15, gt=0, description="how far frames are from the reference, as a deviation of latents")
    drawn_at_px: float = Field(360, gt=0, description="see csg405.keypoints.drawing: the smaller, the broader limbs")
    steps: int = Field(4, ge=1, le=10_000, description="of sampling, if nothing else is asked for")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """The parts fit each other."""
        coarsest = self.factor * 2 ** (len(self.widths) - 1)
        if self.factor.bit_count() != 1 or self.size_px % coarsest:
            raise ValueError(f"factor has to be a power of 2, and size_px {self.size_px} a multiple of {coarsest}")
        if self.vae is None and self.channels != 3 * self.factor**2:
            raise ValueError(f"channels {self.channels}: patches of {self.factor} px have {3 * self.factor**2}")
        if self.plain >= len(self.widths) or any(width % self.head for width in self.widths[self.plain :]):
            raise ValueError(f"widths {self.widths}: those after the first {self.plain} are multiples of {self.head}")
        if self.overlap >= self.frames:
            raise ValueError(f"overlap {self.overlap}: a tile of {self.frames} frames has to make some of them anew")
        return self


SIZES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "base": {
        "size_px": 512, "frames": 16, "overlap": 4, "vae": "stabilityai/sd-vae-ft-mse", "factor": 8, "channels": 4,
        "widths": (192, 384, 768, 768), "blocks": 2, "plain": 0, "head": 64, "spread": 0.5,
        "drawn_at_px": 1080, "steps": 20,
    },
}  # fmt: skip
"""`tiny` is for tests and works on pixels; `base` is for one GPU, and untried."""


class FilmTrainSettings(LearningSettings):
    """How a network is trained; the defaults are for one GPU and a release of hours."""

    ASIDE = LearningSettings.ASIDE | {"checkpointing", "validation_clips"}

    steps: int = Field(200_000, ge=1, description="batches that are learnt from")
    batch: int = Field(4, ge=1, description="windows in a batch of one process")
    rate: float = Field(1e-4, gt=0, description="highest learning rate")
    continued: float = Field(0.5, ge=0, le=1, description="part of the windows that go on from frames that are given")
    checkpointing: bool = Field(False, description="compute activations twice and keep few of them; for large pictures")
    pool_clips: int = Field(8, ge=1, description="clips that are in memory at once, drawn at random")
    pool_frames: int = Field(100, ge=2, description="most frames of each of them")
    pool_steps: int = Field(25, ge=1, description="batches that are drawn from a pool before the next one")
    validation_clips: int = Field(8, ge=0, description="clips of the validation split that the loss is taken on")
