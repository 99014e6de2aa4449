"""A hand of the puppet: palm and fingers drawn on its 21 points, in the colours that the reference has there.

A hand is a few dozen pixels wide and turns all the time, so fingers are drawn as capsules, each bone in the colour that
the reference shows along it, with a dark edge; a hand that the reference does not show is in
the colour of the face. Sizes are those of a hand of 18.5 cm on shoulders of 37 cm.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from csg405.benchmark.renderers.warp_geometry import Box, Floats, box_around, sampled
from csg405.media.decode import Image
from csg405.schema import FloatArray

POINTS = 21

LENGTH = 0.5
"""Of a hand, in shoulder widths."""

_FINGER = 0.046
"""Half a finger's width, in lengths of the hand."""

_TAPER: Floats = np.array([1.0, 0.93, 0.86])
"""Width of a finger's bones, in the first one's."""

_EDGE = 0.016
"""Width of the dark edge of a finger, in lengths of the hand."""

_DARK = (0.58, 0.9)
"""Brightness of that edge, in the finger's, at least and at most; the middle where the reference shows no hand."""

_FINGERS = (17, 13, 9, 5, 1)
"""First points of the fingers, the little one first: what is drawn later lies in front."""

_BONES = np.array([(first + joint, first + joint + 1) for first in _FINGERS for joint in range(3)])
"""[15, 2] of the fingers."""

_PALM = (0, 1, 5, 9, 13, 17)

_OWN_COLOUR = 0.3
"""How far a bone's colour goes from the palm's to what the reference shows along it: what lies over it spoils that."""

_OTHER = 60
"""Levels by which a bone's colour may differ from the palm's; more is that of another thing."""

_SHIFT = 4
_SCALE = 1 << _SHIFT

_ARC = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, np.pi, 9)])

_CHAIN = np.array([0.85, 0.99, 1.03, 0.97, 0.85])
"""From the wrist over the joints to the tip of each finger, thumb first, in lengths of the hand."""


@dataclasses.dataclass(frozen=True, eq=False)
class Hand:
    """How a hand looks."""

    palm: FloatArray
    """[3] colour."""
    bones: FloatArray
    """[15, 3] colour of every finger's bone."""
    dark: float
    """Brightness of the edges, in the hand's."""
    length_px: float
    """Of the reference's person."""

    @classmethod
    def of_colour(cls, colour: FloatArray, *, length_px: float) -> Hand:
        """A hand of one colour."""
        return cls(colour, np.repeat(colour[None], len(_BONES), axis=0), float(np.mean(_DARK)), length_px)

    @classmethod
    def of_picture(cls, image: Image, points: Floats, *, length_px: float) -> Hand:
        """A hand with the colours that the reference shows at its points [21, 2]."""
        palm = points[list(_PALM)]
        middle = palm.mean(axis=0)
        places = np.concatenate([middle + part * (palm - middle) for part in (0.2, 0.4, 0.6)])
        own = _median(image, places)
        steps = np.linspace(0.15, 0.85, 9)[:, None]
        bones = np.stack([_median(image, points[a] + (points[b] - points[a]) * steps) for a, b in _BONES])
        # A bone whose colour is far from the palm's is hidden, or its points are not on it.
        far = np.abs(bones - own).max(axis=1) > _OTHER
        mixed = own + _OWN_COLOUR * np.where(far[:, None], 0, bones - own)
        return cls(own, mixed.astype(np.float32), _edge_of(image, points, length_px, own), length_px)

    def size(self, points: Floats, *, scale: float) -> float:
        """The length of a hand at points [21, 2], px: that of the person, or longer where it is nearer to the camera.

        Args:
            points: of the frame.
            scale: of the person, in the reference's.
        """
        chains = np.concatenate([np.zeros((5, 1), np.int64), np.arange(1, POINTS).reshape(5, 4)], axis=1)
        lengths = np.linalg.norm(np.diff(points[chains], axis=1), axis=-1).sum(axis=1) / _CHAIN
        own = scale * self.length_px
        return float(np.clip(lengths.max(), 0.9 * own, 1.35 * own))

    def lay(self, canvas: Image, points: Floats, *, scale: float) -> None:
        """Draw the hand.

        Args:
            canvas: [height, width, 3].
            points: [21, 2] px.
            scale: of the person, in the reference's.
        """
        height, width = canvas.shape[:2]
        length = self.size(points, scale=scale)
        box = box_around(points, 0.15 * length + 2, (width, height))
        if box.empty:
            return
        part = np.ascontiguousarray(canvas[box.rows_columns])
        pen = _Pen(part, box)
        self._draw_palm(pen, points, length)
        for number, first in enumerate(_FINGERS):
            half = _FINGER * length * (1.12 if first == 1 else 1.0) * _TAPER
            pen.finger(
                points[first : first + 4], half, self.bones[3 * number : 3 * number + 3], _EDGE * length, self.dark
            )
        canvas[box.rows_columns] = part

    def _draw_palm(self, pen: _Pen, points: Floats, length: float) -> None:
        palm = points[list(_PALM)]
        swollen = palm + (palm - palm.mean(axis=0)) * 0.12
        knuckles = points[[5, 17]].mean(axis=0)
        for grow, bright in ((_EDGE * length, self.dark), (0.0, 1.0)):
            pen.capsule(points[0], knuckles, 0.135 * length + grow, self.palm * bright)
        pen.polygon(swollen, self.palm)


class _Pen:
    """Draws on a part of the picture."""

    def __init__(self, picture: Image, box: Box) -> None:
        self.picture = picture
        self.corner = np.array([box.left, box.top], np.float64)

    def polygon(self, corners: Floats, colour: FloatArray) -> None:
        fixed = np.round((corners - self.corner) * _SCALE).astype(np.int32)
        cv2.fillPoly(self.picture, [fixed], _bytes(colour), cv2.LINE_AA, _SHIFT)

    def capsule(self, start: Floats, end: Floats, half: float, colour: FloatArray) -> None:
        along = end - start
        length = float(np.hypot(*along))
        along = along / length if length > 1e-6 else np.array([1.0, 0.0])
        ahead = half * _ARC @ np.stack([[-along[1], along[0]], along])
        self.polygon(np.concatenate([end + ahead, start - ahead]), colour)

    def finger(self, joints: Floats, half: Floats, colours: FloatArray, edge_px: float, dark: float) -> None:
        """Bones between joints [4, 2], of half a width each; the edge first, so that it is about the whole finger."""
        for grow, bright in ((edge_px, dark), (0.0, 1.0)):
            for bone in range(3):
                width = max(float(half[bone]) + grow, 0.5)
                self.capsule(joints[bone], joints[bone + 1], width, colours[bone] * bright)


def _bytes(colour: FloatArray) -> tuple[int, int, int]:
    red, green, blue = (int(min(max(round(float(value)), 0), 255)) for value in colour)
    return red, green, blue


def _edge_of(image: Image, points: Floats, length_px: float, own: FloatArray) -> float:
    """How dark the reference's fingers are at their edges, in the hand's colour."""
    first, last = points[_BONES[:, 0]], points[_BONES[:, 1]]
    along = (last - first) / np.maximum(np.linalg.norm(last - first, axis=1, keepdims=True), 1e-6)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (_FINGER + _EDGE / 2) * length_px
    places = ((first + last) / 2)[None] + np.array([-1, 1])[:, None, None] * across
    x, y = (np.ascontiguousarray(places[..., axis], np.float32) for axis in range(2))
    bright = sampled(image, x, y).astype(np.float32).mean(axis=-1) / max(float(own.mean()), 1.0)
    return float(np.clip(np.median(bright.min(axis=0)), *_DARK))


def _median(image: Image, places: Floats) -> FloatArray:
    """[3] the median colour at places [k, 2]."""
    x, y = (np.ascontiguousarray(places[None, :, axis], np.float32) for axis in range(2))
    return np.asarray(np.median(sampled(image, x, y)[0], axis=0), np.float32)
