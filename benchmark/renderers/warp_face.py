"""The face of the puppet: its 68 points, on a head that has been moved already.

A mesh of triangles over the points and a ring about the face is bent from where the head alone would take it to where
the points are: lids and lips close by becoming thin. What the reference does not show is painted: the inside of a
mouth that it shows closed, and eyes that it shows closed.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import Delaunay

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.renderers.warp_geometry import Floats, box_around, lay, sampled
from csg405.media.decode import Image
from csg405.schema import FloatArray

_RING = 16
_RING_SIZE = np.array([1.42, 1.5])
"""Half axes of the ring, in those of the face's points."""

_EYES = (slice(36, 42), slice(42, 48))
_INNER = slice(60, 68)
_LOWER = [*range(5, 12), *range(55, 60), *range(65, 68)]
"""What goes down with the jaw."""
_UPPER_LIDS, _LOWER_LIDS = [37, 38, 43, 44], [41, 40, 47, 46]

_LEAST_SEEN = 0.75
"""Part of the points of nose, eyes and mouth."""

_LEAST_PX = 4.0
"""Shorter side of the box about nose, eyes and mouth."""

_CLOSED_EYE = 0.13
_OPEN_EYE = 0.22
"""An eye's height in its width."""

_MOUTH = (0.25, 0.09, 0.10)
_TEETH = (0.93, 0.89, 0.84)
"""Colours, 0-1."""

_BITE = np.array([0.0, 0.75, 1.0, 0.75, 0.0])[:, None]
"""How far teeth go down below the points of the upper lip's inner edge, in the most."""

_FLAT = 0.02
"""Area of a triangle, px^2, below which it is not drawn."""

_SHIFT = 4


def usable(px: Floats, seen: Bools) -> bool:
    """Whether a reference has a face to bend: eyes, nose and mouth, not too small.

    Args:
        px: [133, 2].
        seen: [133].
    """
    inner = px[kp.FACE][27:]
    return bool(seen[kp.FACE][27:].mean() >= _LEAST_SEEN and np.ptp(inner, axis=0).min() >= _LEAST_PX)


class Face:
    """A reference's face."""

    def __init__(self, image: Image, px: Floats, seen: Bools) -> None:
        """Lay the mesh.

        Args:
            image: [height, width, 3].
            px: [133, 2].
            seen: [133]; it is `usable`.
        """
        self.kept = np.flatnonzero(seen[kp.FACE])
        self.rest = px[kp.FACE]
        self.ring = _ring(self.rest[self.kept])
        height, width = image.shape[:2]
        self.box = box_around(self.ring, 1, (width, height))
        corners = np.concatenate([_opened(self.rest)[self.kept], self.ring])
        self.triangles = Delaunay(corners).simplices
        self.corners = np.concatenate([self.rest[self.kept], self.ring])
        self.gap = _gap(self.rest)
        self.light = _light(image, self.rest)

    def bend(self, x: FloatArray, y: FloatArray, face: Floats) -> None:
        """Change places in the reference so that the face's points lie where they should, in place.

        Args:
            x: [h, w] where the colour of each pixel of a frame is when the head alone is moved.
            y: [h, w].
            face: [68, 2] the frame's, on the head as the reference holds it.
        """
        bent = np.concatenate([face[self.kept], self.ring])
        to, of = bent[self.triangles], self.corners[self.triangles]
        areas = np.abs(_areas(to))
        drawn = np.argsort(areas, kind="stable")  # thin ones first: what is filled takes its edge's pixels too
        drawn = drawn[areas[drawn] > _FLAT]
        maps = np.zeros((len(self.triangles) + 1, 2, 3))
        maps[0] = np.eye(2, 3)
        maps[drawn + 1] = _maps(to[drawn], of[drawn])
        corner = np.array([self.box.left - 1, self.box.top - 1])  # a frame of pixels of triangle 0: what is outside
        numbers = np.zeros((self.box.bottom - self.box.top + 2, self.box.right - self.box.left + 2), np.uint8)
        fixed = np.round((to - corner) * (1 << _SHIFT)).astype(np.int32)
        for number in drawn:
            cv2.fillConvexPoly(numbers, fixed[number], int(number) + 1, cv2.LINE_8, _SHIFT)
        numbers[[0, -1]] = numbers[:, [0, -1]] = 0
        column = np.clip(np.rint(x - corner[0]), 0, numbers.shape[1] - 1).astype(np.int32)
        row = np.clip(np.rint(y - corner[1]), 0, numbers.shape[0] - 1).astype(np.int32)
        table = maps.astype(np.float32).reshape(-1, 6)[numbers[row, column]]
        bent_x = table[..., 0] * x + table[..., 1] * y + table[..., 2]
        bent_y = table[..., 3] * x + table[..., 4] * y + table[..., 5]
        x[...], y[...] = bent_x, bent_y

    def paint(self, canvas: Image, face: Floats) -> None:
        """Paint what the reference does not show.

        Args:
            canvas: [height, width, 3].
            face: [68, 2] in the frame.
        """
        for eye in _EYES:
            if _aperture(self.rest[eye]) < _CLOSED_EYE:
                self._paint_eye(canvas, face[eye])
        gap = _gap(face)
        share = float(np.clip((gap - 2 * self.gap) / max(0.6 * gap, 1e-6), 0, 1))  # twice as far it is stretched
        if share > 0:
            self._paint_mouth(canvas, face, share)

    def _paint_mouth(self, canvas: Image, face: Floats, share: float) -> None:
        inner = face[_INNER]
        _paint(canvas, inner, np.array(_MOUTH) * 255 * self.light, share)
        gap = _gap(face)
        down = face[8] - face[27]
        down = down / max(float(np.hypot(*down)), 1e-6)
        upper, wide = inner[:5], float(np.hypot(*(inner[4] - inner[0])))
        lower = (upper + _BITE * down * min(0.45 * gap, 0.16 * wide))[::-1]
        seen = float(np.clip(gap / max(0.06 * wide, 1e-6) - 1, 0, 1))
        _paint(canvas, np.concatenate([upper, lower]), np.array(_TEETH) * 255 * self.light, share * seen)

    def _paint_eye(self, canvas: Image, lids: Floats) -> None:
        opened = _aperture(lids)
        share = float(np.clip((opened - _CLOSED_EYE) / (_OPEN_EYE - _CLOSED_EYE), 0, 1))
        if share <= 0:
            return
        _paint(canvas, lids, np.array([240, 238, 234]) * self.light, share)
        height = float(np.hypot(*(lids[[1, 2]].mean(axis=0) - lids[[4, 5]].mean(axis=0))))
        circle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        iris = lids.mean(axis=0) + 0.55 * height * np.stack([np.cos(circle), np.sin(circle)], axis=1)
        _paint(canvas, iris, np.array([58, 44, 36]), share)


def _ring(face: Floats) -> Floats:
    """[16, 2] about the points of a face, upright as it is in the picture."""
    low, high = face.min(axis=0), face.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2 * _RING_SIZE
    angle = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
    return np.asarray(middle + half * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _opened(face: Floats) -> Floats:
    """A face [68, 2] with mouth and eyes open, so that the mesh has triangles in them."""
    face = face.copy()
    down = face[8] - face[27]
    length = float(np.hypot(*down))
    down = down / max(length, 1e-6)
    face[_LOWER] += down * max(0.0, 0.12 * length - _gap(face))
    for upper, lower in zip(_UPPER_LIDS, _LOWER_LIDS, strict=True):
        missing = 0.05 * length - float((face[lower] - face[upper]) @ down)
        face[upper] -= down * max(0.0, missing)
    return face


def _gap(face: Floats) -> float:
    """Distance of the lips' inner edges, px."""
    return float(np.linalg.norm(face[[61, 62, 63]] - face[[67, 66, 65]], axis=-1).mean())


def _aperture(lids: Floats) -> float:
    """Height of an eye [6, 2] in its width."""
    height = np.linalg.norm(lids[[1, 2]] - lids[[5, 4]], axis=-1).mean()
    return float(height / max(np.hypot(*(lids[3] - lids[0])), 1e-6))


def _areas(triangles: Floats) -> Floats:
    """[k] signed areas of triangles [k, 3, 2]."""
    first, second = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return np.asarray((first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2)


def _maps(source: Floats, target: Floats) -> Floats:
    """[k, 2, 3] that bring triangles [k, 3, 2] onto others."""
    homogeneous = np.concatenate([source, np.ones((*source.shape[:2], 1))], axis=-1)
    return np.asarray(np.linalg.solve(homogeneous, target).transpose(0, 2, 1))


def _light(image: Image, face: Floats) -> float:
    """Brightness of what is white: of the eyes, as far as they are open."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for eye in _EYES:
        cv2.fillPoly(mask, [np.round(face[eye] * (1 << _SHIFT)).astype(np.int32)], 1, cv2.LINE_8, _SHIFT)
    inside = image[mask > 0]
    return float(np.clip(np.percentile(inside, 95) / 235, 0.7, 1.0)) if len(inside) else 1.0


def _skin(image: Image, face: Floats) -> FloatArray:
    """[k, 3] colours of cheeks and nose."""
    cheeks = [face[[a, 30]].mean(axis=0) for a in (2, 14, 3, 13)]
    places = np.stack([*cheeks, face[28], face[29]])
    x, y = (np.ascontiguousarray(places[None, :, axis], np.float32) for axis in range(2))
    return np.asarray(sampled(image, x, y)[0], np.float32)


def skin(image: Image, px: Floats) -> FloatArray:
    """[3] the colour of a face whose points are [133, 2]."""
    return np.asarray(np.median(_skin(image, px[kp.FACE]), axis=0), np.float32)


def _paint(canvas: Image, corners: Floats, colour: Floats, opacity: float) -> None:
    """Fill a polygon."""
    height, width = canvas.shape[:2]
    box = box_around(corners, 3, (width, height))
    if box.empty or opacity <= 0:
        return
    mask = np.zeros((box.bottom - box.top, box.right - box.left), np.uint8)
    fixed = np.round((corners - [box.left, box.top]) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    alpha = mask.astype(np.float32) * np.float32(opacity / 255)
    lay(canvas, box, np.full((*mask.shape, 3), np.clip(colour, 0, 255), np.uint8), alpha)
