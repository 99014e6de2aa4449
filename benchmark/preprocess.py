"""What pictures go through before a network sees them: crops, resizing, scaling of values, alignment of faces.

The measure of a video hangs on its preprocessing: resizing without a low-pass filter alone changes a Fréchet distance
(Parmar et al., On aliased resizing and surprising subtleties in GAN evaluation, CVPR 2022), and libraries differ in
it. So it is here once, in numpy, and tested against torch's `interpolate`. Batches of pictures are
[n, height, width, 3] RGB; networks take [n, 3, height, width].
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from csg405.media.decode import Image
from csg405.schema import FloatArray

Pictures = npt.NDArray[np.uint8]
"""[n, height, width, 3] RGB."""

Floats = npt.NDArray[np.float64]

WHITE = 255.0


def resize(pictures: npt.NDArray[np.generic], side: int, *, antialias: bool = True) -> FloatArray:
    """Pictures scaled to a square by bilinear interpolation, edges of pictures on edges.

    Args:
        pictures: [n, height, width, 3].
        side: of the results, px.
        antialias: whether the triangle grows with the scale where a picture shrinks, so that every pixel counts.

    Returns:
        [n, side, side, 3] in the range of the input, not rounded.
    """
    count, height, width, colours = pictures.shape
    down, across = (_triangles(size, side, antialias) for size in (height, width))
    rows = down @ pictures.astype(np.float32).reshape(count, height, width * colours)
    lines = np.ascontiguousarray(rows.reshape(count, side, width, colours).swapaxes(2, 3)).reshape(-1, width)
    found = (lines @ across.T).reshape(count, side, colours, side)
    return np.ascontiguousarray(found.swapaxes(2, 3), np.float32)


@functools.lru_cache(maxsize=64)
def _triangles(size: int, wanted: int, antialias: bool) -> FloatArray:
    """[wanted, size] share of every source pixel in every wanted one."""
    scale = size / wanted
    reach = max(scale, 1.0) if antialias else 1.0
    centres = scale * (np.arange(wanted) + 0.5)
    if not antialias:
        centres = np.clip(centres, 0.5, size - 0.5)  # beyond the outer pixels' centres they go on
    apart = np.abs(np.arange(size) + 0.5 - centres[:, None]) / reach
    shares = np.clip(1.0 - apart, 0.0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def crop(picture: Image, *, x: int, y: int, side: int, fill: int = 0) -> Image:
    """A square out of a picture.

    Args:
        picture: [height, width, 3].
        x: its first column; may lie outside.
        y: its first row.
        side: px, at least 1.
        fill: value of what lies outside of the picture.

    Returns:
        [side, side, 3].
    """
    height, width = picture.shape[:2]
    square = np.full((side, side, 3), fill, np.uint8)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + side, width), min(y + side, height)
    if left < right and top < bottom:
        square[top - y : bottom - y, left - x : right - x] = picture[top:bottom, left:right]
    return square


def planes(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """[n, height, width, 3] as [n, 3, height, width]."""
    return np.ascontiguousarray(np.moveaxis(pictures, -1, 1), np.float32)


def signed(pictures: npt.NDArray[np.generic]) -> FloatArray:
    """Values of 0 to 255 as values of -1 to 1."""
    return np.asarray(pictures.astype(np.float32) / (WHITE / 2) - 1, np.float32)


def normalise(pictures: npt.NDArray[np.generic], *, mean: Sequence[float], std: Sequence[float]) -> FloatArray:
    """Values of 0 to 255 as those of 0 to 1 less a mean, over a deviation, by colour.

    Args:
        pictures: [..., 3].
        mean: of the colours, 0-1.
        std: of the colours, 0-1.
    """
    scaled = pictures.astype(np.float32) / WHITE
    return np.asarray((scaled - np.asarray(mean, np.float32)) / np.asarray(std, np.float32), np.float32)


def similarity(source: Floats, target: Floats) -> Floats:
    """The turn, scale and shift that bring points nearest to others, by least squares.

    With z and w the points as complex numbers less their means, w = a z is solved by a = sum(conj(z) w) / sum(|z|^2).

    Args:
        source: [n, 2], not all at one place.
        target: [n, 2]

    Returns:
        [2, 3] as OpenCV takes it.
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    factor = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean()).real
    shift = w.mean() - factor * z.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def aligned(picture: Image, matrix: Floats, side: int) -> Image:
    """A picture laid on a square by a similarity, bilinear, black outside.

    Args:
        picture: [height, width, 3].
        matrix: [2, 3] from the picture to the square.
        side: of the square, px.
    """
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)
