"""The renderer: a picture is brought to the network's size, frames are made, and are brought back.

A picture that is not square is made square by its own edges, which are cut off again. A motion is followed as it is:
whoever stands elsewhere in the frames than in the picture is drawn there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch

from csg405.benchmark.renderers.base import Job, Renderer
from csg405.benchmark.renderers.pose_diffusion import folder
from csg405.benchmark.renderers.pose_diffusion.latents import latents_of
from csg405.benchmark.renderers.pose_diffusion.painting import Paint, guides
from csg405.benchmark.renderers.pose_diffusion.pools import scaled
from csg405.benchmark.renderers.pose_diffusion.sampling import Sampler
from csg405.errors import UserError
from csg405.media.decode import Image, resize
from csg405.schema import FloatArray


class PoseDiffusion(Renderer):
    """See the head of this file."""

    name = folder.NAME
    needs = ("model",)

    def __init__(
        self,
        *,
        model: str | Path | None = None,
        vae: str | Path | None = None,
        steps: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        precision: Literal["float32", "bf16"] = "float32",
    ) -> None:
        """Open the network, and its autoencoder if it has one.

        Args:
            model: its folder, or its name on the Hub.
            vae: folder or name of the autoencoder; what the network's settings say when missing.
            steps: of sampling; the network's own when missing.
            seed: another one gives other noise.
            device: `cpu` or `cuda`.
            precision: of the network's arithmetic.

        Raises:
            UserError: either is not there, or no steps are left.
        """
        if model is None:
            raise UserError("pose-diffusion: no model; give the folder of one that was trained, or its name on the Hub")
        if steps is not None and steps < 1:
            raise UserError(f"pose-diffusion: steps={steps}: wanted 1 or more")
        self.network = folder.load(model, device=device)
        settings = self.network.settings
        latents = latents_of(settings, device=torch.device(device), vae=vae)
        self.sampler = Sampler(
            network=self.network, latents=latents, steps=steps or settings.steps, seed=seed, half=precision == "bf16"
        )  # fmt: skip

    def frames(self, job: Job) -> Iterator[Image]:
        """See `Renderer`."""
        settings = self.network.settings
        square = Square(job.size, settings.size_px)
        reference = square.shrink(job.reference_image)
        own_px = square.points(job.reference_px)
        paint = Paint.of(reference, own_px, job.reference_score)
        drawn = functools.partial(guides, paint, size_px=settings.size_px, drawn_at_px=settings.drawn_at_px)
        own = next(drawn(own_px[None], job.reference_score[None]))
        for picture in self.sampler.frames(reference, own, drawn(square.points(job.keypoints_px), job.score)):
            yield square.grow(picture)


class Square:
    """Between a picture of any size and the network's square."""

    def __init__(self, size: tuple[int, int], side_px: int) -> None:
        self.width, self.height = size
        self.whole_px, self.side_px = max(size), side_px
        self.left, self.top = (self.whole_px - self.width) // 2, (self.whole_px - self.height) // 2

    def shrink(self, image: Image) -> Image:
        """[height, width, 3] to [side, side, 3]."""
        right, bottom = self.whole_px - self.width - self.left, self.whole_px - self.height - self.top
        whole = cv2.copyMakeBorder(image, self.top, bottom, self.left, right, cv2.BORDER_REPLICATE)
        return resize(np.asarray(whole, np.uint8), self.side_px, self.side_px)

    def points(self, keypoints_px: FloatArray) -> FloatArray:
        """Points [..., 2] of the picture in the square."""
        corner = np.array([self.left, self.top], np.float32)
        return scaled(keypoints_px + corner, self.side_px / self.whole_px)

    def grow(self, picture: Image) -> Image:
        """[side, side, 3] to [height, width, 3]."""
        whole = resize(picture, self.whole_px, self.whole_px)
        return np.ascontiguousarray(whole[self.top : self.top + self.height, self.left : self.left + self.width])
