"""What every model of gesture is: numbers out of noise, sound and a reference; learnt, kept in a folder, sampled.

A model sees windows. The first frames of a window may be known: of the reference at the beginning of a clip, of what
was made before it later on. So a clip of any length is made window by window (`csg405.benchmark.models.long`), and
whoever trains asks for `loss` and nothing else.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub import PyTorchModelHubMixin
from pydantic import Field
from torch import Tensor, nn

from csg405.benchmark import pretrained
from csg405.benchmark.audio.settings import Layers
from csg405.benchmark.models.codec import Codec, References
from csg405.benchmark.submission import lists
from csg405.config import Settings
from csg405.errors import UserError
from csg405.schema import FloatArray

MOST_GUIDANCE = 100.0
"""Of the sound; beyond this no motion is left."""


class ModelSettings(Settings):
    """What the settings of all models have."""

    features: str = Field("prosody", description="name of the audio features: see csg405.benchmark.audio")
    features_dim: int = Field(1, ge=1, le=65_536, description="numbers of them a frame")
    features_layers: Layers = Field("last", description="of an encoder: its last layer, or the mean of all blocks")
    frames: int = Field(100, ge=8, le=10_000, description="frames that are made at once, 25 a second")
    context: int = Field(20, ge=1, le=10_000, description="frames made before, that the next window goes on from")
    lookahead: int = Field(0, ge=0, le=10_000, description="last frames of a window that are made anew by the next one")
    drop_audio: float = Field(0.1, ge=0, lt=1, description="part of the windows that are learnt without sound")
    steps: int = Field(10, ge=1, le=10_000, description="of sampling, if nothing else is asked for")
    guidance: float = Field(1.0, ge=0, le=MOST_GUIDANCE, description="scale of the sound's guidance; 1 is none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A motion that is asked for."""

    features: FloatArray
    """[n, d] of the sound, one row a frame, by the extractor that the model names."""
    reference_px: FloatArray
    """[133, 2] the person's pose, in whose pixels the motion is going to be."""
    reference_score: FloatArray
    """[133]"""
    seed: int = 0
    """Another one gives another motion."""
    first_px: FloatArray | None = None
    """[context, 133, 2] frames with which the motion begins, for models that are given them; then it has more."""

    def __len__(self) -> int:
        return len(self.features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """How windows are sampled."""

    steps: int
    guidance: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """Windows to learn from."""

    numbers: Tensor
    """[b, n, d] by the model's codec; 0 where the release sees nothing."""
    mask: Tensor
    """bool [b, n, d] numbers that count."""
    within: Tensor
    """bool [b, n] frames that are within the clip."""
    features: Tensor
    """[b, n, f] of the sound."""
    references: References

    def __len__(self) -> int:
        return len(self.numbers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """A window that is to be made."""

    features: Tensor
    """[b, n, f] of the sound; 0 before the clip begins."""
    references: References
    known: Tensor
    """[b, k, d] numbers of the first frames."""
    within: Tensor
    """bool [b, n]"""
    generators: Sequence[torch.Generator]
    """One for each, on the CPU: so a motion does not depend on those beside it, or on the device."""
    rows: int
    """Frames that noise is drawn for, n or more: the same whatever n is."""

    def noise(self, numbers: int) -> Tensor:
        """Fresh noise [b, n, numbers]."""
        drawn = [torch.randn(self.rows, numbers, generator=generator) for generator in self.generators]
        return torch.stack(drawn)[:, : self.within.shape[1]].to(self.features.device)


class GestureModel(nn.Module, PyTorchModelHubMixin, abc.ABC, library_name="csg405", tags=["co-speech-gesture"]):
    """A model of gesture. `csg405.benchmark.models.load` opens any of them."""

    name: ClassVar[str]
    settings: ModelSettings
    codec: Codec
    lead: int
    """Known frames before a clip's first one: 0, or `context`. With 0 the first frame itself is the reference."""
    heard: Tensor
    """[2, f] mean and deviation of the features over the training split."""
    trained_on: frozenset[str] | None = None
    """Hashes of the videos that it has learnt from (`submission.clips.video_hash`); kept beside its weights."""

    def __init__(self, codec: Codec, *, features_dim: int, lead: int) -> None:
        super().__init__()
        self.codec = codec
        self.lead = lead
        self.register_buffer("heard", torch.stack([torch.zeros(features_dim), torch.ones(features_dim)]))

    @abc.abstractmethod
    def loss(self, example: Example) -> dict[str, Tensor]:
        """What is to become small, under `loss`, and its parts; drawn from torch's own generator."""

    @abc.abstractmethod
    def make(self, window: Window, sampling: Sampling) -> Tensor:
        """Numbers [b, n, d] of a window, of which the first frames are those that are known."""

    @classmethod
    def from_pretrained(  # type: ignore[override]  # only what we honour
        cls, source: str | Path, *, revision: str | None = None
    ) -> Self:
        """The model in a folder, or in a repository of the Hub, ready to sample.

        Raises:
            UserError: there is none, or another one than this.
        """
        from csg405.benchmark import models

        found = models.load(source, revision=revision)
        if not isinstance(found, cls):
            raise UserError(f"{source}: holds {found.name}, not {cls.name}")
        return found

    def _save_pretrained(self, save_directory: Path) -> None:
        """Weights, settings and training ids: what `save_pretrained` and `push_to_hub` write, beside a card."""
        if self.trained_on is not None:
            lists.write_training_hashes(save_directory, self.trained_on)
        pretrained.write(self, save_directory, {"model": self.name, "settings": self.settings.model_dump()})

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.heard.device

    def listened(self, features: Tensor) -> Tensor:
        """Features about their mean, in deviations."""
        mean, deviation = self.heard
        told: Tensor = (features - mean) / deviation
        return told

    def sampling(self, *, steps: int | None = None, guidance: float | None = None) -> Sampling:
        """How to sample, by its own settings where nothing is said.

        Raises:
            UserError: no steps, or guidance beyond all sense.
        """
        if steps is not None and steps < 1:
            raise UserError(f"{self.name}: {steps} steps; wanted 1 or more")
        if guidance is not None and not 0 <= guidance <= MOST_GUIDANCE:
            raise UserError(f"{self.name}: guidance {guidance}; wanted 0 to {MOST_GUIDANCE}, 1 being none")
        return Sampling(
            steps=self.settings.steps if steps is None else steps,
            guidance=self.settings.guidance if guidance is None else guidance,
        )

    def parameters_m(self) -> float:
        """Its size, millions of parameters."""
        return sum(parameter.numel() for parameter in self.parameters()) / 1e6

    def described(self) -> Mapping[str, Any]:
        """What is said of it in tables and in a submission."""
        return {"model": self.name, "parameters_m": round(self.parameters_m(), 3), **self.settings.model_dump()}


def masked_mean(values: Tensor, mask: Tensor, weights: Tensor | float = 1.0) -> Tensor:
    """Weighted mean of values [b, n, d] over those that count; `weights` broadcasts to [b, n, d]."""
    counted = mask * weights
    return (values * counted).sum() / counted.sum().clamp(min=1e-6)
