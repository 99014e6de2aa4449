"""The benchmark's section of a configuration."""

from __future__ import annotations

from pydantic import Field

from csg405.benchmark.audio.settings import AudioSettings
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.renderers.pose_diffusion.settings import FilmTrainSettings
from csg405.benchmark.training.settings import ModelChoice, TrainSettings
from csg405.benchmark.video_networks import VideoSettings
from csg405.config import Settings


class BaselineChoice(ModelChoice):
    """A model that `csg405 benchmark run` trains, samples and scores."""

    label: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$",
        description="its name in tables and of its folders; <name>-<size> when missing",
    )  # fmt: skip
    train: TrainSettings = Field(TrainSettings(), description="what is given here is laid over benchmark.train")

    @property
    def title(self) -> str:
        """Its name in tables and of its folders."""
        return self.label or f"{self.name}-{self.size or 'own'}"


class Config(Settings):
    """What the benchmark can be told."""

    kit: KitSettings = KitSettings()
    audio: AudioSettings = AudioSettings()
    model: ModelChoice = ModelChoice()
    train: TrainSettings = TrainSettings()
    film_train: FilmTrainSettings = FilmTrainSettings()
    baselines: list[BaselineChoice] = Field([], description="models of the results page, beside the controls")
    baseline_seeds: int = Field(3, ge=1, le=100, description="samples of each clip that a baseline is scored by")
    video: VideoSettings = VideoSettings()
