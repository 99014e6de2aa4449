"""Keypoints estimated from a video's own frames, as the core would estimate those of a film.

The person is looked for once in a few frames; the box found there serves its neighbours, as in the core's own stage,
and rtmlib enlarges it by a quarter before it cuts the person out. Of several persons the one counts whose box has
most in common with the box of where the person should be: whoever draws the person elsewhere has not drawn them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import SEEN, Bools
from csg405.benchmark.video_networks import PosePair
from csg405.media.decode import Image
from csg405.schema import FloatArray

_GROUP = 5
"""Frames that share a box, which is looked for in the middle one: 0.2 s."""


@dataclasses.dataclass(frozen=True)
class Estimated:
    """Keypoints of the person on every frame."""

    points_px: FloatArray
    """[n, 133, 2]; 0 where nobody was found."""
    score: FloatArray
    """[n, 133] between 0 and 1; 0 where nobody was found."""
    found: Bools
    """[n] frames on which the person was found."""

    @property
    def shown(self) -> Bools:
        """[n, 133] points that the estimator sees."""
        return np.asarray(self.found[:, None] & (self.score >= SEEN))


def estimate(frames: Iterable[Image], pair: PosePair, *, expected_px: FloatArray, expected: Bools) -> Estimated:
    """Keypoints of a clip's person.

    Args:
        frames: n pictures [height, width, 3] RGB; a group of them is in memory at a time.
        pair: the core's networks.
        expected_px: [n, 133, 2] where the person should be.
        expected: [n, 133] points of it that count.
    """
    parts = [
        _group(group, pair, expected_px=expected_px[first : first + len(group)],
               expected=expected[first : first + len(group)])
        for first, group in _groups(frames)
    ]  # fmt: skip
    if not parts:
        nothing = np.zeros((0, kp.COUNT, 2), np.float32)
        return Estimated(nothing, nothing[..., 0], np.zeros(0, np.bool_))
    return Estimated(
        np.concatenate([part.points_px for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.found for part in parts]),
    )


def _groups(frames: Iterable[Image]) -> Iterator[tuple[int, list[Image]]]:
    first, held = 0, []
    for image in frames:
        held.append(image)
        if len(held) == _GROUP:
            yield first, held
            first, held = first + _GROUP, []
    if held:
        yield first, held


def _group(images: Sequence[Image], pair: PosePair, *, expected_px: FloatArray, expected: Bools) -> Estimated:
    count = len(images)
    box = chosen_box(pair.detector(images[count // 2]), expected_px[expected])
    if box is None:
        return Estimated(
            np.zeros((count, kp.COUNT, 2), np.float32),
            np.zeros((count, kp.COUNT), np.float32),
            np.zeros(count, np.bool_),
        )
    points, raw = pair.estimator(images, np.repeat(box[None], count, axis=0))
    return Estimated(points, pair.estimator.calibrated(raw), np.ones(count, np.bool_))


def chosen_box(boxes: FloatArray, points_px: FloatArray) -> FloatArray | None:
    """The box that has most in common with the box of points; the first where there are no points.

    Args:
        boxes: [n, 4] x1, y1, x2, y2.
        points_px: [m, 2]

    Returns:
        [4], or None where no box has anything in common with it.
    """
    if not len(boxes):
        return None
    if not len(points_px):
        return np.asarray(boxes[0], np.float32)
    shared = _overlaps(boxes, np.concatenate([points_px.min(axis=0), points_px.max(axis=0)]))
    best = int(np.argmax(shared))
    return np.asarray(boxes[best], np.float32) if shared[best] > 0 else None


def _overlaps(boxes: FloatArray, other: FloatArray) -> npt.NDArray[np.float64]:
    """[n] intersection over union."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    shared = np.clip(high - low, 0, None).astype(np.float64).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).prod(axis=1)
    whole = areas + float((other[2:] - other[:2]).astype(np.float64).prod()) - shared
    return np.asarray(shared / np.maximum(whole, 1e-9), np.float64)
