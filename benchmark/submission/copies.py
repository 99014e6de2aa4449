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
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import PREDICTIONS
from csg405.media.clock import FPS
from csg405.schema import FloatArray

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


@dataclasses.dataclass(frozen=True)
class Windows:
    """Moving windows of many clips."""

    values: FloatArray
    """[windows, dimensions]: distances are root mean squares over points, shoulder widths."""
    clips: tuple[str, ...]
    """Of which clip each is."""


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


def windows_of(motions: Mapping[str, FloatArray], *, stride_frames: int = STRIDE_FRAMES) -> Windows:
    """The moving windows of motions.

    Args:
        motions: by clip, [n, 133, 2] in shoulder widths from the neck (`csg405.benchmark.clip.Seen.points`).
        stride_frames: from one window to the next.
    """
    grid = np.arange(0, WINDOW_FRAMES, GRID_FRAMES)
    size = len(grid) * len(_POINTS) * 2
    values, clips = [np.empty((0, size), np.float32)], []
    for clip, points in motions.items():
        starts = np.arange(0, len(points) - WINDOW_FRAMES + 1, stride_frames)
        windows = points[:, _POINTS][starts[:, None] + grid]  # [windows, grid, points, 2]
        apart = windows - windows.mean(axis=1, keepdims=True)
        moving = np.sqrt(np.square(apart).sum(axis=-1).mean(axis=(1, 2))) >= _LEAST_MOTION
        values.append(windows[moving].reshape(-1, size) / np.sqrt(len(grid) * len(_POINTS)))
        clips += [clip] * int(moving.sum())
    return Windows(np.concatenate(values).astype(np.float32), tuple(clips))


def nearest(
    predictions: Mapping[str, FloatArray], truth: Mapping[str, FloatArray], train: Iterable[tuple[str, FloatArray]]
) -> dict[str, Nearness]:
    """How near predictions come to training clips and to the truth, by clip; clips that never move are left out.

    Memory grows with the predictions alone; time with their windows times those of the training clips.

    Args:
        predictions: by clip, [n, 133, 2] in shoulder widths from the neck.
        truth: of the same clips, in the same unit.
        train: training clips, one after the other.

    Raises:
        ValueError: a prediction's clip has no truth.
    """
    lacking = sorted(predictions.keys() - truth.keys())
    if lacking:
        raise ValueError(f"{lacking[0]}: no truth for this prediction")
    moving, own = windows_of(predictions), windows_of(truth)
    to_train, whose = _to_train([moving.values, own.values], train)
    kept = to_train[1][np.isfinite(to_train[1])]
    usual = float(np.percentile(kept, USUAL_PERCENT)) if len(kept) else 0.0
    result = {}
    for clip in sorted(set(moving.clips)):
        mine = np.array([name == clip for name in moving.clips])
        dense = windows_of({clip: truth[clip]}, stride_frames=1)
        from_own = _distances(moving.values[mine], dense.values).min(axis=1, initial=np.inf)
        from_train = to_train[0][mine]
        result[clip] = Nearness(
            windows=int(mine.sum()), usual=usual,
            to_train=float(np.median(from_train)), to_truth=float(np.median(from_own)),
            from_train=int((from_train < COPY_RATIO * usual).sum()),
            from_truth=int((from_own < COPY_RATIO * usual).sum()),
            train_clip=whose[int(np.flatnonzero(mine)[np.argmin(from_train)])],
        )  # fmt: skip
    return result


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


def _to_train(
    sets: list[FloatArray], train: Iterable[tuple[str, FloatArray]]
) -> tuple[list[npt.NDArray[np.float64]], list[str]]:
    """For each set of windows the distances to the nearest training windows; for the first, whose those are."""
    best = [np.full(len(values), np.inf) for values in sets]
    whose = [""] * len(sets[0])
    for name, points in train:
        theirs = windows_of({name: points}, stride_frames=1).values
        for number, values in enumerate(sets):
            found_here = _distances(values, theirs).min(axis=1, initial=np.inf)
            nearer = found_here < best[number]
            best[number][nearer] = found_here[nearer]
            if number == 0:
                for row in np.flatnonzero(nearer):
                    whose[row] = name
    return best, whose


def _distances(these: FloatArray, those: FloatArray) -> npt.NDArray[np.float64]:
    """[these, those] Euclidean distances."""
    squares = np.square(these).sum(axis=1)[:, None] + np.square(those).sum(axis=1) - 2 * these @ those.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float64)
