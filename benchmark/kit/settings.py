"""How a kit is trained: a section of the configuration."""

from __future__ import annotations

from pydantic import Field

from csg405.config import Settings


class KitSettings(Settings):
    """How a kit is trained; the defaults take about 15 minutes on two cores."""

    seed: int = Field(405, ge=0, description="of everything")
    minutes: float = Field(240, gt=0, description="most of the training split that is used, min")
    encoders: int = Field(3, ge=1, le=9, description="seeds of each network")
    width: int = Field(64, ge=8, description="channels of the autoencoders")
    steps: int = Field(1500, ge=1, description="batches for an autoencoder")
    batch: int = Field(128, ge=8, description="windows in a batch of an autoencoder")
    rate: float = Field(2e-3, gt=0, description="highest learning rate")
    towers: bool = Field(True, description="whether the two-tower network is trained")
    tower_width: int = Field(128, ge=8, description="channels of the towers")
    tower_steps: int = Field(1200, ge=1, description="batches for the two-tower network")
    tower_batch: int = Field(48, ge=4, description="windows in a batch of the two-tower network")
    tower_frames: int = Field(100, ge=50, description="frames of its windows: 4 s")
