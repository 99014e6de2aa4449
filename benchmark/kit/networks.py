"""The kit's networks, in PyTorch: small convolutions over time.

An autoencoder gives the features of distribution metrics: 2 s of a part in 32 numbers (the size that FGD has had since
Yoon et al., "Speech Gesture Generation from the Trimodal Context of Text, Audio, and Speaker Identity", 2020). The two
towers give every frame of a motion and of its sound a direction in one space; they are trained so that the directions
agree where the two belong together (InfoNCE; van den Oord et al., 2018), frame by frame, since what binds gesture to
speech is when, and a single direction for a window would lose it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT = 32
"""Numbers that an autoencoder makes of a window."""

SHARED = 32
"""Length of the direction of a frame."""


class Autoencoder(nn.Module):
    """50 frames of a part to 32 numbers, and back."""

    def __init__(self, numbers: int, *, frames: int = 50, width: int = 64) -> None:
        super().__init__()
        self.frames, self.width, self.short = frames, width, -(-frames // 4)
        self.squeeze = nn.Sequential(
            nn.Conv1d(numbers, width, 5, stride=2, padding=2), nn.GELU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2), nn.GELU(), nn.Flatten(),
        )  # fmt: skip
        self.inward = nn.Linear(width * self.short, LATENT)
        self.outward = nn.Linear(LATENT, width * self.short)
        self.spread = nn.ModuleList([nn.Conv1d(width, width, 5, padding=2), nn.Conv1d(width, numbers, 5, padding=2)])

    def encode(self, windows: Tensor) -> Tensor:
        """[n, frames, numbers] to [n, 32]."""
        found: Tensor = self.inward(self.squeeze(windows.transpose(1, 2)))
        return found

    def forward(self, windows: Tensor) -> Tensor:
        """[n, frames, numbers] as they come out of the 32 numbers."""
        x = functional.gelu(self.outward(self.encode(windows))).view(len(windows), self.width, self.short)
        x = functional.gelu(self.spread[0](functional.interpolate(x, size=-(-self.frames // 2))))
        back: Tensor = self.spread[1](functional.interpolate(x, size=self.frames))
        return back.transpose(1, 2)


class Tower(nn.Module):
    """Frames to directions: [n, t, numbers] to [n, t, 32] of length 1; what is 1 s away is seen, no more."""

    def __init__(self, numbers: int, *, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.inward = nn.Conv1d(numbers, width, 3, padding=1)
        self.layers = nn.ModuleList(
            [nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for dilation in (1, 2, 4, 8)[:layers]]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(1, width) for _ in self.layers])
        self.drop = nn.Dropout(0.2)
        self.outward = nn.Conv1d(width, SHARED, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Directions of frames."""
        x = self.inward(frames.transpose(1, 2))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + self.drop(functional.gelu(layer(norm(x))))
        return functional.normalize(self.outward(functional.gelu(x)).transpose(1, 2), dim=-1)


class TwoTower(nn.Module):
    """A tower for motion, one for sound, and how sharply they are compared."""

    def __init__(self, motion: int, sound: int, *, width: int = 128) -> None:
        super().__init__()
        self.motion, self.sound = Tower(motion, width=width), Tower(sound, width=width)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def forward(self, motion: Tensor, sound: Tensor) -> Tensor:
        """Scores [n, m] of every motion [n, t, ...] against every sound [m, t, ...]: the mean over frames."""
        one, other = self.motion(motion), self.sound(sound)
        return torch.einsum("btd,ctd->bc", one, other) / motion.shape[1] * self.sharpness.exp()
