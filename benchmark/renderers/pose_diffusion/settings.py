"""The network's shape and how it is trained: what its folder says, and a section of the configuration."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from csg405.config import Settings


class NetworkSettings(Settings):
    """The shape of the network; kept in its folder. The defaults are the size `tiny`."""

    size_px: int = Field(64, ge=32, description="side of the pictures that it makes, px")
    frames: int = Field(4, ge=2, description="frames that it makes at once, 25 a second")
    overlap: int = Field(1, ge=1, description="of them, the first, that the tile before has made")
    vae: str | None = Field(None, description="folder or name on the Hub of an AutoencoderKL; none works on pixels")
    factor: int = Field(2, ge=2, description="side of a latent's patch, px: what the autoencoder has, or as you like")
    channels: int = Field(12, ge=1, description="of a latent; 3 factor^2 on pixels")
    widths: tuple[int, ...] = Field((16, 32, 64), min_length=1, description="channels of each level, each half as fine")
    blocks: int = Field(1, ge=1, description="residual blocks in each level, down and up")
    plain: int = Field(2, ge=0, description="levels, the finest, without attention")
    head: int = Field(16, ge=4, description="channels of a head of attention; divides the widths of levels with it")
    spread: float = Field(0.15, gt=0, description="how far frames are from the reference, as a deviation of latents")
    drawn_at_px: float = Field(360, gt=0, description="see csg405.keypoints.drawing: the smaller, the broader limbs")
    steps: int = Field(4, ge=1, description="of sampling, if nothing else is asked for")

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


class FilmTrainSettings(Settings):
    """How a network is trained; the defaults are for one GPU and a release of hours."""

    seed: int = Field(405, ge=0, description="of everything")
    steps: int = Field(200_000, ge=1, description="batches that are learnt from")
    batch: int = Field(4, ge=1, description="windows in a batch of one process")
    rate: float = Field(1e-4, gt=0, description="highest learning rate")
    warm_up: int = Field(500, ge=0, description="batches in which the rate rises; then it falls as a cosine to 0")
    decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.9999, ge=0, lt=1, description="how much of the averaged weights a batch keeps")
    continued: float = Field(0.5, ge=0, le=1, description="part of the windows that go on from frames that are given")
    precision: Literal["float32", "bf16"] = Field("float32", description="of the network's arithmetic while it learns")
    checkpointing: bool = Field(False, description="compute activations twice and keep few of them; for large pictures")
    pool_clips: int = Field(8, ge=1, description="clips that are in memory at once, drawn at random")
    pool_frames: int = Field(100, ge=2, description="most frames of each of them")
    pool_steps: int = Field(25, ge=1, description="batches that are drawn from a pool before the next one")
    say_every: int = Field(50, ge=1, description="batches between two lines of the log")
    save_every: int = Field(1000, ge=1, description="batches between two checkpoints")
    validate_every: int = Field(5000, ge=1, description="batches between two losses on the validation split")
    validation_clips: int = Field(8, ge=0, description="clips of the validation split that the loss is taken on")
