r"""Lip synchrony by SyncNet: distance (LSE-D) and confidence (LSE-C) of the best offset.

Lips of five frames and sound of 0.2 s are embedded, v at every frame but the last four and a beside it. Over offsets

.. math:: d(o) = \mathrm{mean}_t \, |v_t - a_{t + o}|, \quad o = -15 \ldots 15 \text{ frames}; \qquad
   \mathrm{LSE\text{-}D} = \min_o d(o), \quad \mathrm{LSE\text{-}C} = \mathrm{median}_o \, d(o) - \min_o d(o).

The mean runs over the frames where both are; the published code puts zeros beyond the ends, which moves LSE-C of a
short clip. Both are given again less those of the true video with the same sound.

The network is a TorchScript file with two methods: `forward_lip` takes [n, 3, 5, 224, 224] float32, BGR, values 0 to
255, and gives [n, d]; `forward_aud` takes [n, 1, 13, 20] float32, 13 MFCC (see `_mfcc`) at 100 a second from the first
frame's start, and gives [n, d]. That is the published network's signature. The face is cut as its authors do, with
crop scale 0.4 and the box smoothed by a median over 13 frames; the box is that of the 68 points of the core's
estimator, not a face detector's. Frames without a face borrow the box of their neighbours; with a face on fewer than
half of the frames, or below 29 frames, nothing is computed.

Units: of the embedding. Better: LSE-C higher, LSE-D lower as published; systems trained against the network exceed
people, so nearer to the truth is what to read, and nothing is ranked. Blind to: bad teeth, wrong mouths in time.
Sources: Chung and Zisserman, Out of time (ACCV workshop 2016); Prajwal et al., Wav2Lip (ACM MM 2020) for the names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.signal import medfilt

from csg405 import keypoints as kp
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics_video._mfcc import STEPS_HZ, mfcc
from csg405.benchmark.preprocess import crop, resize
from csg405.benchmark.video import SeenVideo, not_computed
from csg405.benchmark.video_pose import Estimated
from csg405.media.clock import FPS
from csg405.schema import FloatArray, IntArray

_NEEDS = ("pose", "syncnet")

CARDS = (
    Card(name="lse_c", title="Lip sync confidence", unit="1", direction="higher", track="video", needs=_NEEDS),
    Card(name="lse_d", title="Lip sync distance", unit="1", direction="lower", track="video", needs=_NEEDS),
    Card(name="lse_c_over_truth", title="Lip sync confidence less the truth's", unit="1", direction="zero",
         track="video", needs=_NEEDS),
    Card(name="lse_d_over_truth", title="Lip sync distance less the truth's", unit="1", direction="zero",
         track="video", needs=_NEEDS),
)  # fmt: skip

FRAMES = 5
"""Of a window: 0.2 s."""

SIDE_PX = 224
"""Of a face, px."""

MOST_OFFSET = 15
"""Frames: 0.6 s either way."""

_STEPS = STEPS_HZ // FPS
"""Windows of MFCC a frame."""

_LEAST_PAIRS = 10
"""Pairs that a distance is taken of at the largest offset: at the rim of a short clip chance would be the minimum."""

_CROP_SCALE = 0.4
_MEDIAN_FRAMES = 13
_FILL = 110
"""Of SyncNet's authors: room around the box, its smoothing, and the grey beyond the picture."""

_LEAST_FACE = 34
"""Of the 68 points: a face is there if half of them are seen."""

_BATCH = 8
"""Windows a call."""


def measure(seen: SeenVideo) -> Row:
    """`distances`: [31] by offset; the empty row where they cannot be told.

    Raises:
        UserError: the network is not what it should be.
    """
    if not seen.can(CARDS[0]) or len(seen) - FRAMES + 1 - MOST_OFFSET < _LEAST_PAIRS:
        return {}
    boxes = face_boxes(seen.estimated)
    if boxes is None:
        return {}
    lips = np.concatenate(
        [seen.networks.syncnet.features(windows, method="forward_lip") for windows in _lips(seen, boxes)]
    )
    cuts = sound_windows(seen.clip.sound.samples, len(seen) - FRAMES + 1)
    sounds = np.concatenate(
        [
            seen.networks.syncnet.features(cuts[first : first + _BATCH], method="forward_aud")
            for first in range(0, len(cuts), _BATCH)
        ]
    )
    return {"distances": offset_distances(lips, sounds)}


def face_boxes(found: Estimated) -> IntArray | None:
    """Squares to cut faces from: [n] rows of x, y and side, px; None with a face on fewer than half of the frames."""
    there = found.shown[:, kp.FACE].sum(axis=1) >= _LEAST_FACE
    if 2 * there.sum() < len(there):
        return None
    face = found.points_px[:, kp.FACE].astype(np.float64)
    low, high = face.min(axis=1), face.max(axis=1)
    measures = np.stack([*((low + high) / 2).T, (high - low).max(axis=1) / 2])
    frames = np.arange(len(there))
    x, y, half = (_smooth(np.interp(frames, frames[there], line[there])) for line in measures)
    sides = np.maximum(np.round(2 * half * (1 + _CROP_SCALE)), 1)
    corners = np.round([x - half * (1 + _CROP_SCALE), y - half])
    return np.stack([*corners, sides], axis=1).astype(np.int64)


def _smooth(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Median over neighbours; beyond the ends the outermost values go on."""
    half = _MEDIAN_FRAMES // 2
    return np.asarray(medfilt(np.pad(line, half, mode="edge"), _MEDIAN_FRAMES)[half:-half], np.float64)


def _lips(seen: SeenVideo, boxes: IntArray) -> Iterator[FloatArray]:
    """Windows of faces, [n, 3, 5, 224, 224] BGR, values 0 to 255."""
    faces: deque[FloatArray] = deque(maxlen=FRAMES)
    held: list[FloatArray] = []
    for image, (x, y, side) in zip(seen.film.frames(), boxes, strict=True):
        face = resize(crop(image, x=int(x), y=int(y), side=int(side), fill=_FILL)[None], SIDE_PX)[0]
        faces.append(np.moveaxis(face[..., ::-1], -1, 0))
        if len(faces) == FRAMES:
            held.append(np.stack(faces, axis=1))
        if len(held) == _BATCH:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def sound_windows(samples: IntArray, count: int) -> FloatArray:
    """Coefficients beside each window of frames.

    Args:
        samples: [640 n_frames] of the clip.
        count: windows, n_frames - 4.

    Returns:
        [count, 1, 13, 20]
    """
    length = FRAMES * _STEPS
    found = mfcc(samples)
    # The last window of 25 ms does not fit into its frame, so the sound's last step may be one short.
    rows = np.pad(found, ((0, max(0, (count - 1) * _STEPS + length - len(found))), (0, 0)), mode="edge")
    cuts = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)[::_STEPS][:count]
    return np.ascontiguousarray(cuts[:, None], np.float32)


def offset_distances(lips: FloatArray, sounds: FloatArray) -> npt.NDArray[np.float64]:
    """Mean distance by offset of the sound, -15 to 15 frames.

    Args:
        lips: [n, d]
        sounds: [n, d]

    Returns:
        [31]
    """
    v, a, n = lips.astype(np.float64), sounds.astype(np.float64), len(lips)
    found = []
    for offset in range(-MOST_OFFSET, MOST_OFFSET + 1):
        first, last = max(0, -offset), min(n, n - offset)
        found.append(np.linalg.norm(v[first:last] - a[first + offset : last + offset], axis=1).mean())
    return np.array(found)


def clip_values(row: Row, true_row: Row) -> Values:
    """The values of a clip; None for what cannot be told."""
    values = not_computed(CARDS)
    if row:
        own = _lse(row)
        values |= own
        if true_row:
            values |= {f"{name}_over_truth": own[name] - true for name, true in _lse(true_row).items()}
    return values


def _lse(row: Row) -> dict[str, float]:
    least = float(row["distances"].min())
    return {"lse_c": float(np.median(row["distances"])) - least, "lse_d": least}
