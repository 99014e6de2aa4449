"""Layers that the models are put together from.

Rotary positions: Su et al., "RoFormer" (2021). Adaptive normalisation that begins as nothing: Peebles and Xie,
"Scalable Diffusion Models with Transformers" (2023). Gated feed-forward: Shazeer, "GLU Variants Improve Transformer"
(2020). Normalised queries and keys: Dehghani et al., "Scaling Vision Transformers to 22 Billion Parameters" (2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_LONGEST = 10_000.0
"""Longest wavelength of positions and steps, over 2 pi: Vaswani et al., "Attention Is All You Need" (2017)."""


class Sinusoid(nn.Module):
    """A number, for example a step or a time, as sines and cosines of many wavelengths, then through two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.waves = width // 2
        self.layers = nn.Sequential(nn.Linear(2 * self.waves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, values: Tensor) -> Tensor:
        """[b] to [b, width]."""
        found: Tensor = self.layers(sinusoid(values, 2 * self.waves))
        return found


def sinusoid(values: Tensor, width: int) -> Tensor:
    """Values [...] as sines and cosines [..., width]."""
    rates = torch.exp(-math.log(_LONGEST) * torch.arange(width // 2, device=values.device) / (width // 2))
    angles = values.float()[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def rotations(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [t, size / 2] by which queries and keys at positions [t] are turned."""
    rates = _LONGEST ** (-torch.arange(0, size, 2, device=positions.device).float() / size)
    angles = positions.float()[:, None] * rates
    return angles.cos(), angles.sin()


def rotated(vectors: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Vectors [b, heads, t, size], each pair of numbers turned by its position's angle."""
    cosine, sine = (part.to(vectors.dtype) for part in turns)
    one, other = vectors.chunk(2, dim=-1)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], dim=-1)


class Attention(nn.Module):
    """Self-attention with rotary positions and normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.RMSNorm(width // heads) for _ in range(2)])

    def forward(self, tokens: Tensor, turns: tuple[Tensor, Tensor], allowed: Tensor | None) -> Tensor:
        """Tokens [b, t, width]; `allowed` [b, 1, 1, t] says which may be looked at."""
        b, t, width = tokens.shape
        query, key, value = self.inward(tokens).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = (
            rotated(norm(part.to(norm.weight.dtype)), turns).to(value.dtype)
            for part, norm in zip((query, key), self.norms, strict=True)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        found: Tensor = self.outward(seen.transpose(1, 2).reshape(b, t, width))
        return found


class Gated(nn.Module):
    """A feed-forward layer with a gate; as many parameters as one of four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 8 * -(-width // 3)
        self.inward = nn.Linear(width, 2 * inner)
        self.outward = nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[b, t, width] to the same."""
        gate, value = self.inward(tokens).chunk(2, dim=-1)
        found: Tensor = self.outward(functional.silu(gate) * value)
        return found


class Block(nn.Module):
    """A transformer's block, normalised beforehand, whose norms are shifted and scaled by a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width, elementwise_affine=False) for _ in range(2)])
        self.attention = Attention(width, heads)
        self.feed = Gated(width)
        self.adapt = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nothing(self.adapt[1])

    def forward(
        self, tokens: Tensor, condition: Tensor, turns: tuple[Tensor, Tensor], allowed: Tensor | None
    ) -> Tensor:
        """Tokens [b, t, width] under a condition [b, width]."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.adapt(condition)[:, None].chunk(6, dim=-1)
        first, second = self.norms
        tokens = tokens + gate * self.attention(first(tokens) * (1 + scale) + shift, turns, allowed)
        found: Tensor = tokens + gate_2 * self.feed(second(tokens) * (1 + scale_2) + shift_2)
        return found


class Head(nn.Module):
    """From tokens to numbers, under a condition; gives 0 before it has learnt anything."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.adapt = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.outward = nn.Linear(width, numbers)
        nothing(self.adapt[1])
        nothing(self.outward)

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        """[b, t, width] to [b, t, numbers]."""
        shift, scale = self.adapt(condition)[:, None].chunk(2, dim=-1)
        found: Tensor = self.outward(self.norm(tokens) * (1 + scale) + shift)
        return found


class Nearby(nn.Module):
    """A convolution over time beside which its input passes: what is just before and after a frame."""

    def __init__(self, width: int, *, frames: int = 9) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.over_time = nn.Conv1d(width, width, frames, padding=frames // 2, groups=width)
        self.over_width = nn.Linear(width, width)

    def forward(self, tokens: Tensor, within: Tensor) -> Tensor:
        """Tokens [b, t, width]; frames that are not within [b, t] are as if there were none."""
        seen = self.norm(tokens) * within[..., None]
        near: Tensor = self.over_time(seen.transpose(1, 2)).transpose(1, 2)
        found: Tensor = tokens + self.over_width(functional.gelu(near))
        return found


def nothing(layer: nn.Module) -> None:
    """Let a linear layer give 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
