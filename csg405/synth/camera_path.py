"""How a camera moves during a take: over a picture that is drawn larger than what is shown of it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from csg405.synth.body import Array
from csg405.synth.footage import Affine
from csg405.synth.talker import Camera


class CameraPath(Protocol):
    """The way of a camera."""

    @property
    def margin(self) -> float:
        """How much more must be drawn on each side, as a part of the picture's height."""
        ...

    def offsets(self, times_s: Array) -> Array:
        """Where the picture lies in what is drawn, from its middle, in heights of the picture: [n, 2] at times [n]."""
        ...


@dataclasses.dataclass(frozen=True)
class Pan:
    """Slowly from side to side, and a little up and down."""

    speed: float
    """Mean, in heights of the picture a second."""
    phase: float
    """Radians."""
    period_s: float = 4.0

    @property
    def margin(self) -> float:
        """See `CameraPath`."""
        return self.speed * self.period_s / 4

    def offsets(self, times_s: Array) -> Array:
        """See `CameraPath`."""
        angle = 2 * np.pi * times_s / self.period_s + self.phase
        return self.margin * np.stack([np.sin(angle), 0.3 * np.sin(0.7 * angle)], axis=1)


@dataclasses.dataclass(frozen=True)
class Shake:
    """Every picture somewhere else."""

    size: float
    """Deviation in each direction, in heights of the picture."""
    seed: int

    @property
    def margin(self) -> float:
        """See `CameraPath`."""
        return 2.5 * self.size

    def offsets(self, times_s: Array) -> Array:
        """See `CameraPath`."""
        steps = np.random.default_rng([407, self.seed]).standard_normal((len(times_s), 2))
        return self.size * np.clip(steps, -2.5, 2.5)


def widened(camera: Camera, margin: float) -> Camera:
    """A camera that sees more on every side, at the same scale; margin in heights of the picture."""
    more = round(margin * camera.height) + 1
    height = camera.height + 2 * more
    return dataclasses.replace(
        camera, width=camera.width + 2 * more, height=height, focal=camera.focal * camera.height / height
    )


def windows(path: CameraPath, camera: Camera, times_s: Array) -> Affine:
    """From what `widened` draws to the moving picture: [n, 2, 3]."""
    drawn = widened(camera, path.margin)
    middle = np.array([drawn.width - camera.width, drawn.height - camera.height]) / 2
    shifts = -(middle + path.offsets(times_s) * camera.height)
    return np.concatenate([np.broadcast_to(np.eye(2), (len(times_s), 2, 2)), shifts[..., None]], axis=2)
