"""The copy test: whether a system's motion is a training clip's, or the clip's own.

Windows of 2 s are compared, as the places of elbows, wrists, knuckles and fingertips in shoulder widths from the neck.
The yardstick is how near the truth itself comes to training clips, window by window: people repeat themselves, and
rest in the same pose. A window is a copy where it lies nearer than half of the distance that 99 % of the truth's
windows keep; a clip is one where half of its moving windows are. Windows in which little moves are left out.

It is blind to copies that are mirrored, slowed or sped up, and to those pieced together from parts of a body. Neither
the idea nor the figures are from a paper.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import PREDICTIONS
from csg405.media.clock import FPS
from csg405.schema import FloatArray

Floats = npt.NDArray[np.float64]

WINDOW_FRAMES = 2 * FPS
STRIDE_FRAMES = FPS
"""Of a prediction's windows, and of the truth's."""
GRID_FRAMES = 5
"""Every so many frames of a window are compared. Training clips are searched frame by frame: hands are so fast that
two frames beside its place a copy would be no nearer than other motion is."""

COPY_RATIO = 0.5
"""A copy lies nearer than this part of the distance that the truth keeps."""
USUAL_PERCENT = 1.0
"""The distance that the truth keeps: but for so many per cent of its windows."""
COPIED_PART = 0.5
"""Part of a clip's moving windows that must be copies."""

_LEAST_MOTION = 0.02
"""Root mean square of the points round their mean in a window, below which it is at rest, shoulder widths."""

_FINGERS = (9, 12)
"""Knuckle and tip of the middle finger, counted in a hand."""
_POINTS = np.array([
    kp.LEFT_ELBOW, kp.RIGHT_ELBOW, kp.LEFT_WRIST, kp.RIGHT_WRIST,
    *(hand.start + point for hand in (kp.LEFT_HAND, kp.RIGHT_HAND) for point in _FINGERS),
])  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nearness:
    """How near a clip's prediction comes to what was there before."""

    windows: int
    """Moving ones."""
    to_train: float
    """Median over windows of the distance to the nearest training window, shoulder widths; infinite without any."""
    to_truth: float
    """The same to the clip's own motion, anywhere in it."""
    from_train: int
    """Windows that are copies of training windows."""
    from_truth: int
    """Windows that are copies of the clip's own."""
    usual: float
    """The distance that 99 % of the truth's windows keep from training clips; 0 where nobody can say."""
    train_clip: str
    """The training clip of the nearest window."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distances:
    """Of one clip's moving windows, how far they are from what was there before, shoulder widths."""

    to_train: Floats
    """[windows of the prediction] to the nearest training window; infinite without any."""
    train_clip: tuple[str, ...]
    """[windows of the prediction] whose that is."""
    to_own: Floats
    """[windows of the prediction] to the clip's own motion, anywhere in it."""
    truth_to_train: Floats
    """[windows of the truth] to the nearest training window."""


def tracks(points: FloatArray) -> FloatArray:
    """[n, 8, 2] what is compared of a motion [n, 133, 2]."""
    return np.ascontiguousarray(points[:, _POINTS])


def windows_of(tracks: FloatArray, *, stride_frames: int = STRIDE_FRAMES) -> FloatArray:
    """The moving windows [windows, dimensions] of a motion; distances are root mean squares over points.

    Args:
        tracks: [n, 8, 2] in shoulder widths from the neck.
        stride_frames: from one window to the next.
    """
    grid = np.arange(0, WINDOW_FRAMES, GRID_FRAMES)
    starts = np.arange(0, len(tracks) - WINDOW_FRAMES + 1, stride_frames)
    windows = tracks[starts[:, None] + grid]  # [windows, grid, points, 2]
    apart = windows - windows.mean(axis=1, keepdims=True)
    moving = np.sqrt(np.square(apart).sum(axis=-1).mean(axis=(1, 2))) >= _LEAST_MOTION
    size = len(grid) * len(_POINTS)
    return np.asarray(windows[moving].reshape(-1, 2 * size) / np.sqrt(size), np.float32)


def nearest(
    predictions: Mapping[str, FloatArray], truth: Mapping[str, FloatArray], train: Iterable[tuple[str, FloatArray]]
) -> dict[str, Nearness]:
    """How near predictions come to training clips and to the truth, by clip; clips that never move are left out.

    Args:
        predictions: by clip, [n, 133, 2] in shoulder widths from the neck.
        truth: of the same clips, in the same unit.
        train: training clips.

    Raises:
        ValueError: a prediction's clip has no truth.
    """
    lacking = sorted(predictions.keys() - truth.keys())
    if lacking:
        raise ValueError(f"{lacking[0]}: no truth for this prediction")
    pairs = {clip: (tracks(predictions[clip]), tracks(truth[clip])) for clip in predictions}
    return nearness(distances(pairs, [(name, tracks(points)) for name, points in train]))


def distances(
    pairs: Mapping[str, tuple[FloatArray, FloatArray]], train: Sequence[tuple[str, FloatArray]]
) -> dict[str, Distances]:
    """How far some clips' predictions are from training clips and from the truth.

    Time grows with the number of windows times that of the training clips', memory with the sum of both.

    Args:
        pairs: by clip, `tracks` of the prediction and of the truth.
        train: name and `tracks` of training clips.
    """
    moving = [windows_of(held) for pair in pairs.values() for held in pair]
    ends = np.cumsum([len(windows) for windows in moving])[:-1]
    to_train, whose = _to_train(np.concatenate(moving), train) if moving else (np.zeros(0), np.zeros(0, np.int64))
    far, which = np.split(to_train, ends), np.split(whose, ends)
    return {
        clip: Distances(
            to_train=far[2 * number], truth_to_train=far[2 * number + 1],
            train_clip=tuple(train[place][0] if place >= 0 else "" for place in which[2 * number]),
            to_own=_to_nearest(moving[2 * number], windows_of(pair[1], stride_frames=1)),
        )
        for number, (clip, pair) in enumerate(pairs.items())
    }  # fmt: skip


def nearness(found: Mapping[str, Distances]) -> dict[str, Nearness]:
    """What is said of clips; those that never move are left out.

    Args:
        found: the distances of all clips of a submission.
    """
    kept = np.concatenate([np.zeros(0), *(far.truth_to_train for far in found.values())])
    kept = kept[np.isfinite(kept)]
    usual = float(np.percentile(kept, USUAL_PERCENT)) if len(kept) else 0.0
    return {
        clip: Nearness(
            windows=len(far.to_train), usual=usual,
            to_train=float(np.median(far.to_train)), to_truth=float(np.median(far.to_own)),
            from_train=int((far.to_train < COPY_RATIO * usual).sum()),
            from_truth=int((far.to_own < COPY_RATIO * usual).sum()),
            train_clip=far.train_clip[int(np.argmin(far.to_train))],
        )
        for clip, far in sorted(found.items()) if len(far.to_train)
    }  # fmt: skip


def judge(nearness: Mapping[str, Nearness]) -> list[Finding]:
    """What of `nearest` is a copy: at most one finding of each kind for a clip."""
    findings = []
    for clip, near in nearness.items():
        where = f"{PREDICTIONS}/{clip}"
        kept = f"{COPY_RATIO * near.usual:.3f} and more; the truth keeps {near.usual:.3f} from training clips"
        if near.from_train >= COPIED_PART * near.windows:
            seen = (
                f"{near.from_train} of {near.windows} windows, {near.to_train:.3f} shoulder widths from "
                f"{near.train_clip}"
            )
            findings.append(found("copied_from_train", where, seen=seen, allowed=kept, clip=clip))
        if near.from_truth >= COPIED_PART * near.windows:
            seen = f"{near.from_truth} of {near.windows} windows, {near.to_truth:.3f} shoulder widths from the clip's"
            findings.append(found("equals_truth", where, seen=seen, allowed=kept, clip=clip))
    return findings


def _to_train(windows: FloatArray, train: Sequence[tuple[str, FloatArray]]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """[windows] distances to the nearest training window, and of which training clip it is; -1 without any."""
    best, whose = np.full(len(windows), np.inf), np.full(len(windows), -1)
    for number, (_, held) in enumerate(train):
        found = _to_nearest(windows, windows_of(held, stride_frames=1))
        nearer = found < best
        best[nearer], whose[nearer] = found[nearer], number
    return best, whose


def _to_nearest(these: FloatArray, those: FloatArray) -> Floats:
    """[these] Euclidean distance to the nearest of those; infinite without any."""
    squares = np.square(these).sum(axis=1)[:, None] + np.square(those).sum(axis=1) - 2 * these @ those.T
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1, initial=np.inf), 0)), np.float64)
