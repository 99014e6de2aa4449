"""How a model is trained: a section of the configuration."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from csg405.config import Settings


class LearningSettings(Settings):
    """What the settings of all trainings have."""

    ASIDE: ClassVar[frozenset[str]] = frozenset({"say_every", "save_every", "validate_every"})
    """Settings that change nothing of what is learnt, but by rounding."""

    seed: int = Field(405, ge=0, le=2**63 - 1, description="of everything")
    steps: int = Field(100_000, ge=1, description="batches that are learnt from")
    batch: int = Field(64, ge=1, description="windows in a batch of one process")
    rate: float = Field(3e-4, gt=0, description="highest learning rate")
    warm_up: int = Field(500, ge=0, description="batches in which the rate rises; then it falls as a cosine to 0")
    decay: float = Field(0.01, ge=0, description="weight decay of AdamW")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float = Field(0.9999, ge=0, lt=1, description="how much of the averaged weights a batch keeps")
    precision: Literal["float32", "bf16"] = Field("float32", description="of the network's arithmetic while it learns")
    say_every: int = Field(50, ge=1, description="batches between two lines of the log")
    save_every: int = Field(1000, ge=1, description="batches between two checkpoints")
    validate_every: int = Field(5000, ge=1, description="batches between two validations")

    def lasting(self) -> dict[str, Any]:
        """Those that a training's outcome depends on."""
        return self.model_dump(exclude=set(self.ASIDE))

    def is_due(self, every: int, step: int) -> bool:
        """Whether something is done after so many batches: every so often, and after the last one."""
        return step % every == 0 or step == self.steps


class TrainSettings(LearningSettings):
    """How a model of gesture is trained; the defaults are for one GPU and a release of hours."""

    ASIDE = LearningSettings.ASIDE | {"workers", "compile", "validation_clips", "samples"}

    stride: int = Field(25, ge=1, description="frames from one window of a clip to the next")
    voices: float = Field(0.8, ge=0, le=1, description="part of the windows that are learnt in another one's voice")
    compile: bool = Field(False, description="whether torch compiles the network, which pays on a GPU")
    workers: int = Field(0, ge=0, description="processes that read windows; 0 reads in the trainer")
    validation_clips: int = Field(24, ge=0, description="clips of validation that motions are made for")
    samples: int = Field(2, ge=0, description="of them that are drawn as films")


class ModelChoice(Settings):
    """Which model is trained, and how large it is."""

    name: str = Field("flow-dit", description="flow-dit or mdm-ddpm")
    size: str | None = Field("S", description="a size of that model, or none for its settings' defaults")
    settings: dict[str, Any] = Field({}, description="settings of the model, laid over the size's")

    @field_validator("settings")
    @classmethod
    def _of_the_model(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Which model it is, and of which size, is said beside them."""
        if wrong := {"name", "size"} & settings.keys():
            raise ValueError(f"{min(wrong)} is no setting of a model; it stands beside `settings`")
        return settings
