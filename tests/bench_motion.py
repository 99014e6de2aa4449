"""Clips of which everything is known, for the tests of the benchmark's metrics.

Shoulders are 100 px apart and the neck is at (256, 256), so a pixel is 0.01 shoulder widths.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Seen, Sound

FPS = 25
RATE_HZ = 16_000
SIZE_PX = 512
UNIT_PX = 100


def pose() -> np.ndarray:
    """[133, 2] somebody who stands: px."""
    rng = np.random.default_rng(405)
    points = rng.uniform(200, 300, (kp.COUNT, 2))
    points[kp.NOSE] = (256, 180)
    points[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] = [(306, 256), (206, 256)]
    points[[kp.LEFT_ELBOW, kp.RIGHT_ELBOW]] = [(326, 346), (186, 346)]
    points[[kp.LEFT_WRIST, kp.RIGHT_WRIST]] = [(296, 416), (216, 416)]
    for hand, wrist in ((kp.LEFT_HAND, kp.LEFT_WRIST), (kp.RIGHT_HAND, kp.RIGHT_WRIST)):
        points[hand] = points[wrist] + rng.uniform(-20, 20, (21, 2))
        points[hand.start] = points[wrist]
    points[kp.RIGHT_EYE] = [(230, 170), (234, 166), (238, 166), (242, 170), (238, 174), (234, 174)]
    points[kp.LEFT_EYE] = [(270, 170), (274, 166), (278, 166), (282, 170), (278, 174), (274, 174)]  # 40 px between eyes
    points[list(kp.UPPER_LIP)] = [(250, 210), (256, 210), (262, 210)]
    points[list(kp.LOWER_LIP)] = [(250, 214), (256, 214), (262, 214)]
    return points


def still(n: int) -> np.ndarray:
    """[n, 133, 2] the pose, held."""
    return np.repeat(pose()[None], n, axis=0)


def lively(n: int, *, seed: int = 0) -> np.ndarray:
    """[n, 133, 2] every point sways by some pixels in its own way, hands beat, lips move; a little noise."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(n)[:, None, None] / FPS
    shape = (1, kp.COUNT, 2)
    sway = sum(
        rng.uniform(0.2, 1.5, shape) * np.sin(2 * np.pi * (hz * times_s + rng.uniform(0, 1, shape)))
        for hz in (0.4, 0.9, 1.7, 2.9)
    )
    points = still(n) + sway
    for wrist, hand in ((kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND)):
        carried = rng.uniform(0.5, 1, (1, 2)) * strokes(n)[:, None]
        points[:, wrist] += carried
        points[:, hand] += carried[:, None]
    points[:, list(kp.LOWER_LIP), 1] += 4 + 4 * np.sin(2 * np.pi * 2.3 * times_s[:, 0])
    return points + rng.normal(0, 0.1, points.shape)


def strokes(n: int) -> np.ndarray:
    """[n] px: to and fro by 50 px each 0.7 s, fast, with a stop."""
    times_s = np.arange(n) / FPS
    count, since_s = np.divmod(times_s, 0.7)
    way = np.clip(since_s / 0.2, 0, 1)
    there = way**2 * (3 - 2 * way)
    return np.asarray(np.where(count % 2, 50 * (1 - there), 50 * there))


def clicks(n_frames: int, times_s: list[float] | np.ndarray) -> Sound:
    """Short bursts of noise at given times, in silence."""
    rng = np.random.default_rng(7)
    wave = np.zeros(n_frames * RATE_HZ // FPS)
    for time_s in times_s:
        first = round(time_s * RATE_HZ)
        burst = rng.normal(0, 0.2, 800) * np.exp(-np.arange(800) / 200)
        wave[first : first + 800] += burst[: len(wave[first : first + 800])]
    return Sound((wave * 32767).clip(-32768, 32767).astype(np.int16))


def clip(points_px: np.ndarray, *, clip_id: str = "a", sound: Sound | None = None, score: float = 0.9) -> Clip:
    """A clip with this motion; without a sound, a burst each 0.7 s."""
    n = len(points_px)
    return Clip(
        clip_id=clip_id,
        video_id=f"video.{clip_id}",
        speaker="one",
        split="test",
        keypoints_px=points_px.astype(np.float32),
        score=np.full((n, kp.COUNT), score, np.float32),
        sound=clicks(n, np.arange(0.3, n / FPS, 0.7)) if sound is None else sound,
        size_px=SIZE_PX,
    )


def hidden(of: Clip, frames: slice | np.ndarray, points: slice | np.ndarray | list[int]) -> Clip:
    """The clip with points that the release does not see in some frames."""
    score = of.score.copy()
    score[np.arange(len(of))[frames][:, None], np.arange(kp.COUNT)[points]] = 0.1
    return dataclasses.replace(of, score=score)


def seen(of: Clip, points_px: np.ndarray | None = None) -> Seen:
    """A motion for a clip; its own if none is given."""
    return Seen(of, of.keypoints_px if points_px is None else points_px.astype(np.float32))
