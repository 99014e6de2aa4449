"""Controls: systems whose worth is known beforehand, scored with every submission.

The truth is what a system can hope for, and chance what it must beat. A metric that puts a control above the truth by
more than the floor says something about itself. The floor, the truth in split halves, is no system: the metrics that
compare sets take it from the truth's own rows (see `csg405.benchmark.score`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.kit import Kit, shown_mean_pose
from csg405.benchmark.perturb import jittered, shifted, smoothed
from csg405.media.clock import FPS
from csg405.schema import FloatArray

ESTIMATOR_PX = {"body": 2.1, "feet": 2.1, "face": 0.6, "left_hand": 1.5, "right_hand": 1.5}
"""Deviation of a pose network's error in the released picture, by part, px: the demo's own, measured against truth."""

_STICKS = 0.8
"""How much of an estimator's error stays from frame to frame."""

_SMOOTH_HZ = 1.2
_SMOOTH_PX = 1.0


@dataclasses.dataclass(frozen=True)
class Context:
    """What controls are made from."""

    kit: Kit
    other: Sound
    """Another clip's sound, as long as the clip's: the same speaker's where there is one."""


@dataclasses.dataclass(frozen=True)
class Control:
    """A system whose worth is known."""

    name: str
    title: str
    make: Callable[[Clip, Context, np.random.Generator], FloatArray]
    """The motion [n, 133, 2] px."""
    hears_other: bool = False
    """Whether its clip has the other sound."""
    is_chance: bool = False
    """Whether it is one of those that chance is the best of."""


def made(control: Control, clip: Clip, context: Context) -> tuple[Clip, FloatArray]:
    """The clip, and the control's motion for it: the same every time."""
    seed = hashlib.sha256(f"{control.name} {clip.clip_id}".encode()).digest()[:8]
    motion = control.make(clip, context, np.random.default_rng(int.from_bytes(seed, "big")))
    heard = clip.beside(context.other) if control.hears_other else clip
    return heard, np.asarray(motion, np.float32)


def _truth(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del context, rng
    return clip.keypoints_px


def _estimated(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    """Noise as a pose network's: of another size for each part, and it sticks from frame to frame."""
    del context
    fresh = rng.standard_normal(clip.keypoints_px.shape) * np.sqrt(1 - _STICKS**2)
    fresh[0] /= np.sqrt(1 - _STICKS**2)
    noise = signal.lfilter([1.0], [1.0, -_STICKS], fresh, axis=0)
    size = np.zeros((kp.COUNT, 1))
    for part, places in kp.PARTS.items():
        size[places] = ESTIMATOR_PX[part]
    return np.asarray(clip.keypoints_px + size * noise, np.float32)


def _noisy(sd_px: float) -> Callable[[Clip, Context, np.random.Generator], FloatArray]:
    def make(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
        del context
        return jittered(clip, sd_px, rng)

    return make


def _low_passed(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del context
    return smoothed(clip, 3.0, rng)


def _late(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del context
    return shifted(clip, FPS // 2, rng)


def _mean_pose(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del rng
    return shown_mean_pose(clip, context.kit)


def _frozen(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del context, rng
    return np.repeat(clip.keypoints_px[:1], len(clip), axis=0)


def _white(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    still = _frozen(clip, context, rng)
    return np.asarray(still + 4 * rng.standard_normal(still.shape), np.float32)


def _worn(clip: Clip, points: FloatArray) -> FloatArray:
    """A motion in shoulder widths, as this clip's person would make it, about where they are."""
    return np.asarray(points * clip.shoulders_px + clip.neck_px, np.float32)


def _random_clip(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    return _worn(clip, context.kit.bank.random(len(clip), rng))


def _retrieved(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    del rng
    return _worn(clip, context.kit.bank.retrieved(clip.sound))


def _smooth(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    """Arms that wander as fast as people's, whatever is said: noise of up to 1.2 Hz, as far as the truth goes."""
    del context
    points = clip.keypoints_px.astype(np.float64)
    spare = 2 * FPS
    noise = rng.standard_normal((len(clip) + 2 * spare, 4, 2))
    wander = signal.sosfiltfilt(signal.butter(2, _SMOOTH_HZ / (FPS / 2), output="sos"), noise, axis=0)[spare:-spare]
    wander /= np.maximum(wander.std(axis=0), 1e-6)
    moved = np.repeat(points.mean(axis=0)[None], len(clip), axis=0)
    arms = [(kp.LEFT_ELBOW, kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_ELBOW, kp.RIGHT_WRIST, kp.RIGHT_HAND)]
    for number, (elbow, wrist, hand) in enumerate(arms):
        for row, joint in ((2 * number, elbow), (2 * number + 1, wrist)):
            moved[:, joint] += wander[:, row] * points[:, joint].std(axis=0)
        moved[:, hand] += (moved[:, wrist] - moved[:, wrist].mean(axis=0))[:, None]
    return np.asarray(moved, np.float32)


def _smooth_jittered(clip: Clip, context: Context, rng: np.random.Generator) -> FloatArray:
    smooth = _smooth(clip, context, rng)
    return np.asarray(smooth + 4 * _SMOOTH_PX * rng.standard_normal(smooth.shape), np.float32)


CONTROLS = (
    Control("truth", "the clips' own motion", _truth),
    Control("truth_estimated", "truth with a pose network's noise", _estimated),
    Control("noise_1px", "truth with 1 px of white noise", _noisy(1)),
    Control("noise_2px", "truth with 2 px of white noise", _noisy(2)),
    Control("noise_4px", "truth with 4 px of white noise", _noisy(4)),
    Control("low_pass_3hz", "truth below 3 Hz", _low_passed),
    Control("time_shift", "truth, half a second late", _late),
    Control("other_audio", "truth beside other speech", _truth, hears_other=True),
    Control("mean_pose", "the mean pose, held", _mean_pose, is_chance=True),
    Control("frozen_reference", "the first frame, held", _frozen, is_chance=True),
    Control("white_noise", "the first frame with 4 px of noise", _white),
    Control("random_clip", "a training clip at random", _random_clip, is_chance=True),
    Control("audio_retrieval", "the training clip that sounds most alike", _retrieved),
    Control("smooth", "smooth motion of its own", _smooth, is_chance=True),
    Control("smooth_jittered", "smooth motion of its own with 4 px of noise", _smooth_jittered),
)
"""In the order in which they are shown."""

BY_NAME: dict[str, Any] = {control.name: control for control in CONTROLS}
