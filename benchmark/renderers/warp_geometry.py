"""Maps of the plane and pasting for `warp`: what moves a layer, and how it is laid on the picture.

Maps are [2, 3], as OpenCV takes them. A picture is warped backward: for every pixel of the frame, where in the
reference its colour is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from csg405.benchmark.preprocess import similarity
from csg405.media.decode import Image
from csg405.schema import FloatArray

Floats = npt.NDArray[np.float64]

Numbers = npt.NDArray[np.integer[Any] | np.floating[Any]]

IDENTITY = np.eye(2, 3)

_STILL = 1e-6
"""Spread of points, px^2, below which they are one."""


class Box(NamedTuple):
    """Rows and columns of a picture: from `top` to before `bottom`, from `left` to before `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.bottom <= self.top or self.right <= self.left

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        """As an index."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grid(self) -> tuple[FloatArray, FloatArray]:
        """The x [1, w] and y [h, 1] of its pixels."""
        x = np.arange(self.left, self.right, dtype=np.float32)
        y = np.arange(self.top, self.bottom, dtype=np.float32)
        return x[None], y[:, None]


def box_around(points: Floats | FloatArray, margin_px: float, size: tuple[int, int]) -> Box:
    """The pixels within a margin of points, inside a picture.

    Args:
        points: [k, 2].
        margin_px: on each side.
        size: width and height of the picture.
    """
    low = np.floor(points.min(axis=0) - margin_px)
    high = np.ceil(points.max(axis=0) + margin_px) + 1
    left, top = (int(min(max(value, 0), side)) for value, side in zip(low, size, strict=True))
    right, bottom = (int(min(max(value, 0), side)) for value, side in zip(high, size, strict=True))
    return Box(top, left, bottom, right)


def moved(matrix: Floats, points: Floats | FloatArray) -> Floats:
    """Points [..., 2] by a map."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float64)


def inverse(matrix: Floats) -> Floats:
    """The map back."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def fitted(source: Floats, target: Floats, *, stiff: float | None = None) -> Floats:
    """The map that brings points near others: a similarity, and of what is left a part.

    What a similarity leaves is fitted by a linear map whose size is held back (ridge regression).

    Args:
        source: [k, 2]; a shift where they are all at one place.
        target: [k, 2].
        stiff: 0 for the affine map that fits best, large for nearly the similarity; the similarity when missing.
    """
    spread = source - source.mean(axis=0)
    if float((spread**2).sum()) < _STILL:
        return np.column_stack([np.eye(2), target.mean(axis=0) - source.mean(axis=0)])
    base = similarity(source, target)
    if stiff is None:
        return base
    rest = target - moved(base, source)
    gram = spread.T @ spread
    held = gram + (stiff * np.trace(gram) / 2 + _STILL) * np.eye(2)
    linear = base[:, :2] + np.linalg.solve(held, spread.T @ (rest - rest.mean(axis=0))).T
    return np.column_stack([linear, target.mean(axis=0) - linear @ source.mean(axis=0)])


def sampled(picture: Numbers, x: FloatArray, y: FloatArray) -> npt.NDArray[Any]:
    """A picture's values at places [h, w], bilinear; beyond its edges they go on."""
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def lay(canvas: Image, box: Box, colours: Image, alpha: FloatArray) -> None:
    """Lay colours [h, w, 3] with their opacity [h, w], 0 to 1, on a picture."""
    place = box.rows_columns
    below = np.ascontiguousarray(canvas[place])
    canvas[place] = cv2.blendLinear(colours, below, alpha, 1 - alpha)


def ramp(value: npt.NDArray[np.floating]) -> FloatArray:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
