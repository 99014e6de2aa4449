"""What the network is told of a pose: the drawn skeleton, and the same limbs in the person's own colours.

A drawn skeleton says where an arm is, and not what it looks like: that has to be found in the reference, which takes
long to learn. So limbs and fingers are painted once more as broad lines, piece by piece in the colour that the
reference has at the same place of the same limb; limbs that the reference does not show are left out. It is a crude
form of what earlier work does with texture maps (Liu et al., "Liquid Warping GAN", ICCV 2019). Ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.preprocess import Pictures
from csg405.keypoints import drawing
from csg405.media.decode import Image
from csg405.schema import FloatArray

CHANNELS = 6
"""Of a guide: the skeleton's RGB, then the paint's."""

_FACE = tuple((point, point + 1) for point in range(kp.FACE.start, kp.FACE.start + 16))
"""The jaw."""

_TRUNK, _ARM, _HEAD, _FINGER = 0.3, 0.22, 0.1, 0.07
"""Breadth of lines, in shoulder widths."""

_PIECES = 4
"""Of each line, each in a colour of its own."""

_SHIFT = 4
"""Places are whole sixteenths of a pixel."""


def _breadth(link: tuple[int, int]) -> float:
    if min(link) >= kp.LEFT_HAND.start:
        return _FINGER
    if link in _FACE or max(link) <= kp.LEFT_SHOULDER - 1:
        return _HEAD
    return _ARM if kp.LEFT_ELBOW <= max(link) <= kp.RIGHT_WRIST else _TRUNK


_BESIDE = ((3, 5), (4, 6))
"""Ears to shoulders: there is no limb between them."""

_LINKS = sorted((*_FACE, *(link for link in kp.LINKS if link not in _BESIDE)), key=_breadth, reverse=True)
"""The broad ones first: fingers are in front."""

_ENDS = np.array(_LINKS)
_BREADTHS = np.array([_breadth(link) for link in _LINKS])
_PARTS = np.linspace(0, 1, _PIECES + 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Paint:
    """The colours of a person's limbs."""

    colours: npt.NDArray[np.int64]
    """[links, pieces, 3] RGB."""
    seen: npt.NDArray[np.bool_]
    """[links] that the reference shows."""
    unit_px: float
    """Width of the shoulders in the reference."""

    @classmethod
    def of(cls, reference: Image, points: FloatArray, score: FloatArray) -> Paint:
        """Taken from a picture [s, s, 3] with points [133, 2] and their scores [133]."""
        middles = _along(points, (_PARTS[1:] + _PARTS[:-1]) / 2)
        size = np.array(reference.shape[1::-1]) - 1
        columns, rows = np.moveaxis(np.clip(np.rint(middles), 0, size).astype(int), -1, 0)
        inside = ((points >= 0) & (points <= size)).all(axis=1) & (score >= drawing.LEAST_SCORE)
        unit = float(np.linalg.norm(points[kp.LEFT_SHOULDER] - points[kp.RIGHT_SHOULDER]))
        return cls(reference[rows, columns].astype(np.int64), inside[_ENDS].all(axis=1), unit)

    def on(self, points: FloatArray, score: FloatArray, size_px: int) -> Image:
        """The limbs at points [133, 2]: [size_px, size_px, 3] RGB on black."""
        picture = np.zeros((size_px, size_px, 3), np.uint8)
        shown = (score >= drawing.LEAST_SCORE) & (np.abs(points) < 4 * size_px).all(axis=1)
        joints = np.rint(_along(points, _PARTS) * (1 << _SHIFT)).astype(int)
        for number in np.flatnonzero(self.seen & shown[_ENDS].all(axis=1)):
            breadth = max(1, round(_BREADTHS[number] * self.unit_px))
            for piece, colour in enumerate(self.colours[number].tolist()):
                start, end = joints[number, piece].tolist(), joints[number, piece + 1].tolist()
                cv2.line(picture, start, end, colour, breadth, cv2.LINE_AA, _SHIFT)
        return picture


def guides(
    paint: Paint, points: FloatArray, score: FloatArray, *, size_px: int, drawn_at_px: float
) -> Iterator[Pictures]:
    """What the network is told of each pose.

    Args:
        paint: of the person.
        points: [n, 133, 2] in pictures of the network's size.
        score: [n, 133]
        size_px: side of the network's pictures.
        drawn_at_px: see `csg405.keypoints.drawing`.

    Yields:
        [size_px, size_px, CHANNELS]
    """
    drawn = drawing.frames(points, score, size_px, drawn_at_px=drawn_at_px)
    for skeleton, own, seen in zip(drawn, points, score, strict=True):
        yield np.concatenate([skeleton, paint.on(own, seen, size_px)], axis=2)


def _along(points: FloatArray, parts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Places [links, len(parts), 2] on each link, at parts of its length; points that are nowhere are at 0."""
    ends = np.nan_to_num(points)[_ENDS].astype(np.float64)
    return np.asarray(ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * parts[:, None])
