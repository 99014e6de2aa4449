"""Which features of the sound models are given: a section of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from csg405.config import Settings

Layers = Literal["last", "mean"]


class AudioSettings(Settings):
    """Which features; the defaults need no weights."""

    features: str = Field("prosody", description="name of the extractor: see csg405.benchmark.audio.features")
    folder: Path | None = Field(None, description="an encoder's weights; fetched from the Hub when missing")
    layers: Layers = Field("last", description="of an encoder: its last layer, or the mean of all its blocks")
