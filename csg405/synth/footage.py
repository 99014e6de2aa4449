"""Footage: pictures that are drawn when they are asked for, with the truth of each.

What a talker's shot gives is footage, and so is what an effect makes of it: pictures in another order, moved, coloured
anew, partly covered. Each of them knows what becomes of the keypoints and of what can be seen, so the truth is right
after any number of effects, and no more than a picture or two is ever in memory. The keypoints of all pictures can be
had without drawing one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from csg405.media.decode import Image
from csg405.schema import FloatArray

Mask = npt.NDArray[np.bool_]
Affine = npt.NDArray[np.float64]
"""[..., 2, 3]: from a pixel of the picture before to one of the picture after."""

Frame = tuple[Image, Mask]
"""A picture [height, width, 3] RGB, and which of its 133 points can be seen [133]."""


class Footage(Protocol):
    """Pictures with their truth."""

    size: tuple[int, int]
    """Width and height, px."""
    keypoints: FloatArray
    """[n, 133, 2] in pixels."""

    def draw(self, frame: int) -> Frame:
        """A picture that the caller may change, and which of its points can be seen."""
        ...


class Effect(Protocol):
    """Makes footage of footage. A frozen dataclass of numbers, so that a take is told by what it is made of."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """The footage with the effect on it; as many pictures, of any size."""
        ...


def frames(footage: Footage) -> Iterator[Frame]:
    """All frames in their order."""
    for frame in range(len(footage.keypoints)):
        yield footage.draw(frame)


class Retimed:
    """Pictures in another order, or some of them again."""

    def __init__(self, footage: Footage, order: npt.NDArray[np.int64]) -> None:
        """Args: footage; [n] numbers of the pictures to show."""
        self.footage, self.order = footage, order
        self.size = footage.size
        self.keypoints: FloatArray = footage.keypoints[order]
        self._held: tuple[int, Frame] | None = None

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        number = int(self.order[frame])
        if self._held is None or self._held[0] != number:
            self._held = (number, self.footage.draw(number))
        picture, visible = self._held[1]
        return picture.copy(), visible.copy()


class Warped:
    """Pictures moved, turned or scaled, into a picture of perhaps another size."""

    def __init__(self, footage: Footage, matrices: Affine, *, size: tuple[int, int] | None = None) -> None:
        """Args: footage; [n, 2, 3]; width and height of the new pictures, those of the old ones when missing."""
        self.footage, self.matrices = footage, matrices
        self.size = size or footage.size
        turned = np.einsum("nij,nkj->nki", matrices[:, :, :2], footage.keypoints)
        self.keypoints: FloatArray = (turned + matrices[:, None, :, 2]).astype(np.float32)

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        picture, visible = self.footage.draw(frame)
        matrix = self.matrices[frame]
        moved = cv2.warpAffine(picture, matrix, self.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8), visible & inside(self.keypoints[frame], *self.size)


class Changed:
    """Pictures with every pixel changed and none moved."""

    def __init__(self, footage: Footage, change: Callable[[Image], Image]) -> None:
        self.footage, self.change = footage, change
        self.size = footage.size
        self.keypoints: FloatArray = footage.keypoints

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        picture, visible = self.footage.draw(frame)
        return self.change(picture), visible


class Covered:
    """Pictures with something laid over them that hides what lies below."""

    def __init__(self, footage: Footage, cover: Callable[[Image, int], Sequence[tuple[int, int, int, int]]]) -> None:
        """Args: footage; draws on the picture of a number, and gives the boxes x1, y1, x2, y2 that it has covered."""
        self.footage, self.cover = footage, cover
        self.size = footage.size
        self.keypoints: FloatArray = footage.keypoints

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        picture, visible = self.footage.draw(frame)
        boxes = self.cover(picture, frame)
        x, y = self.keypoints[frame].T
        for x1, y1, x2, y2 in boxes:
            visible = visible & ~((x >= x1) & (y >= y1) & (x < x2) & (y < y2))
        return picture, visible


class Spliced:
    """Several cameras' footage of the same time, cut or dissolved from one to the next."""

    def __init__(self, parts: Sequence[Footage], shares: FloatArray) -> None:
        """Args: footage of each camera, all of n pictures; [n, parts] how much of each is in a picture, 1 in all."""
        self.parts, self.shares = parts, shares
        self.size = parts[0].size
        self.leading = shares.argmax(axis=1)
        n = len(shares)
        self.keypoints: FloatArray = np.stack([part.keypoints for part in parts], axis=1)[np.arange(n), self.leading]

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`; where two pictures are blended, the truth is that of the stronger one."""
        leading = int(self.leading[frame])
        picture, visible = self.parts[leading].draw(frame)
        share = float(self.shares[frame, leading])
        for number, part in enumerate(self.parts):
            if number != leading and self.shares[frame, number] > 0:
                other, _ = part.draw(frame)
                picture = np.asarray(cv2.addWeighted(picture, share, other, 1 - share, 0), np.uint8)
        return picture, visible


def inside(points: FloatArray, width: int, height: int) -> Mask:
    """Which points [..., 2] lie in a picture."""
    x, y = points[..., 0], points[..., 1]
    return np.asarray((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1))
