"""The benchmark's section of a configuration."""

from __future__ import annotations

from csg405.benchmark.audio.settings import AudioSettings
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.training.settings import ModelChoice, TrainSettings
from csg405.benchmark.video_networks import VideoSettings
from csg405.config import Settings


class Config(Settings):
    """What the benchmark can be told."""

    kit: KitSettings = KitSettings()
    audio: AudioSettings = AudioSettings()
    model: ModelChoice = ModelChoice()
    train: TrainSettings = TrainSettings()
    video: VideoSettings = VideoSettings()
