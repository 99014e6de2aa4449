"""What metric cards do to the truth: eight perturbations, five levels each, from hardly to grossly.

A metric says which of them it answers to, and which it must ignore (`csg405.benchmark.metric.Card`); the cards put
that to the test. Each changes one thing alone, for one clip at a time, and follows from the clip's id and the level.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import get_args

import numpy as np
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.metric import Perturbation
from csg405.media.clock import FPS
from csg405.schema import FloatArray

LEVELS: dict[Perturbation, tuple[float, ...]] = {
    "jitter": (0.5, 1, 2, 4, 8),
    "smoothing": (8, 5, 3, 1.5, 0.75),
    "time_shift": (1, 2, 3, 5, 8),
    "damping": (0.9, 0.75, 0.5, 0.25, 0.1),
    "freezing": (0.1, 0.25, 0.5, 0.75, 0.95),
    "other_audio": (0.1, 0.25, 0.5, 0.75, 1),
    "bones": (0.03, 0.06, 0.12, 0.25, 0.5),
    "lips": (0.8, 0.6, 0.4, 0.2, 0),
}

UNITS: dict[Perturbation, str] = {
    "jitter": "px, deviation of noise on every point and frame",
    "smoothing": "Hz, low-pass of every point",
    "time_shift": "frames that the motion comes late",
    "damping": "of the distance from the clip's mean pose",
    "freezing": "part of the clip, at its end, that stands still",
    "other_audio": "part of the clips that are given other speech",
    "bones": "deviation of the logarithm of each limb's length",
    "lips": "of the opening of the lips",
}

Change = Callable[[Clip, float, np.random.Generator], FloatArray]

_ARMS = (
    (kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST, kp.LEFT_HAND),
    (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST, kp.RIGHT_HAND),
)


def perturbed(clip: Clip, kind: Perturbation, level: int, *, other: Sound) -> tuple[Clip, FloatArray]:
    """The clip and its motion with something done to one of them.

    Args:
        clip: the truth.
        kind: what is done.
        level: from 0, hardly, to 4, grossly.
        other: another clip's sound, as long as this one's.

    Returns:
        The clip, whose sound may be another; and the motion [n, 133, 2] in px.
    """
    value = LEVELS[kind][level]
    rng = np.random.default_rng(_number(clip.clip_id, kind))
    if kind == "other_audio":
        chosen = rng.random() < value
        return (dataclasses.replace(clip, sound=other) if chosen else clip), clip.keypoints_px
    return clip, np.asarray(_CHANGES[kind](clip, value, rng), np.float32)


def _number(clip_id: str, kind: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{kind} {clip_id}".encode()).digest()[:8], "big")


def jittered(clip: Clip, sd_px: float, rng: np.random.Generator) -> FloatArray:
    """White noise on every point."""
    return np.asarray(clip.keypoints_px + sd_px * rng.standard_normal(clip.keypoints_px.shape), np.float32)


def smoothed(clip: Clip, hz: float, rng: np.random.Generator) -> FloatArray:
    """A low-pass of second order, forth and back."""
    del rng
    filter_ = signal.butter(2, hz / (FPS / 2), output="sos")
    padding = min(12, len(clip) - 1)
    return np.asarray(signal.sosfiltfilt(filter_, clip.keypoints_px, axis=0, padlen=padding), np.float32)


def shifted(clip: Clip, frames: float, rng: np.random.Generator) -> FloatArray:
    """Late by some frames; the first pose waits."""
    del rng
    return clip.keypoints_px[np.maximum(np.arange(len(clip)) - int(frames), 0)]


def damped(clip: Clip, part: float, rng: np.random.Generator) -> FloatArray:
    """Nearer to the mean pose."""
    del rng
    mean = clip.keypoints_px.mean(axis=0, dtype=np.float64)
    return np.asarray(mean + part * (clip.keypoints_px - mean), np.float32)


def frozen(clip: Clip, part: float, rng: np.random.Generator) -> FloatArray:
    """Still from some frame on."""
    del rng
    last = max(0, round((1 - part) * len(clip)) - 1)
    return clip.keypoints_px[np.minimum(np.arange(len(clip)), last)]


def other_bones(clip: Clip, sd: float, rng: np.random.Generator) -> FloatArray:
    """Arms of other lengths throughout the clip; the hands go with the wrists."""
    points = clip.keypoints_px.astype(np.float64)
    moved = points.copy()
    for shoulder, elbow, wrist, hand in _ARMS:
        upper, lower = np.exp(rng.normal(0, sd, 2))
        moved[:, elbow] = points[:, shoulder] + upper * (points[:, elbow] - points[:, shoulder])
        moved[:, wrist] = moved[:, elbow] + lower * (points[:, wrist] - points[:, elbow])
        moved[:, hand] += (moved[:, wrist] - points[:, wrist])[:, None]
    return np.asarray(moved, np.float32)


def shut_lips(clip: Clip, part: float, rng: np.random.Generator) -> FloatArray:
    """Lips less open: both draw nearer to the line between them."""
    del rng
    points = clip.keypoints_px.astype(np.float64)
    middle = (points[:, list(kp.UPPER_LIP)] + points[:, list(kp.LOWER_LIP)]).mean(axis=1, keepdims=True) / 2
    lips = slice(kp.OUTER_LIPS.start, kp.INNER_LIPS.stop)
    points[:, lips, 1] = middle[..., 1] + part * (points[:, lips, 1] - middle[..., 1])
    return np.asarray(points, np.float32)


_CHANGES: dict[str, Change] = {
    "jitter": jittered,
    "smoothing": smoothed,
    "time_shift": shifted,
    "damping": damped,
    "freezing": frozen,
    "bones": other_bones,
    "lips": shut_lips,
}

if set(LEVELS) != set(get_args(Perturbation)):
    raise RuntimeError("a perturbation without levels")
