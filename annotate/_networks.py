"""The two networks that the configuration names: published ones by mode, or the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from csg405 import weights
from csg405.errors import UserError

if TYPE_CHECKING:
    from csg405.annotate.pose import Config
    from csg405.pose import Detector, Estimator


def detector_file(config: Config) -> Path:
    """The person detector's ONNX file; fetched where it is a published one."""
    return _own(config.detector, "annotate.pose.detector") or weights.fetch(weights.MODES[config.mode][0])


def pose_file(config: Config) -> Path:
    """The pose network's ONNX file; fetched where it is a published one."""
    return _own(config.pose, "annotate.pose.pose") or weights.fetch(weights.MODES[config.mode][1])


def _own(path: Path | None, key: str) -> Path | None:
    if path is not None and not path.is_file():
        raise UserError(f"{key}: no file {path}")
    return path


def detector_of(config: Config, *, device: str, score_threshold: float) -> Detector:
    """The person detector."""
    from csg405.pose import Detector

    return Detector(
        detector_file(config),
        device=device,
        score_threshold=score_threshold,
        free_size=weights.MODES[config.mode][0].input_size if config.detector is None else (640, 640),
    )


def estimator_of(config: Config, *, device: str) -> Estimator:
    """The pose network, with the channel order and score range that belong to it."""
    from csg405.pose import Estimator

    path = pose_file(config)
    network = weights.MODES[config.mode][1]
    published = config.pose is None
    return Estimator(
        path,
        channels=config.channels or (network.channels if published else "rgb"),
        device=device,
        batch=config.batch,
        score_scale=config.score_scale or weights.SCORE_SCALE.get(network.name if published else path.stem, 1.0),
        free_size=network.input_size if published else None,
    )
