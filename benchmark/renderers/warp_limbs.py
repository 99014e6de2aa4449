"""A limb of the puppet: a bone in the reference, how wide the limb is along it, and its colours.

Where a limb ends is looked for on either side of the bone: the strongest edge near where a body of these shoulders has
it, along a smooth line (dynamic programming over stations of the bone). Where something hid it, it has the nearest
colours that are seen. On a frame the bone is turned, shifted and stretched along itself; the ends stay round, and the
width goes with the person's size. A limb that the reference does not show has one colour, darker to the sides.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from csg405.benchmark.clip import Bools
from csg405.benchmark.renderers.warp_fill import extended
from csg405.benchmark.renderers.warp_geometry import Box, Floats, Numbers, box_around, lay, ramp, sampled
from csg405.benchmark.renderers.warp_matte import grown
from csg405.media.decode import Image
from csg405.schema import FloatArray

_STATIONS = 12
"""Along a bone, at which its width is looked for."""

_NARROWEST, _WIDEST = 0.6, 1.9
"""Half a limb's width, in the expected one's: from bare arms to wide sleeves."""

_LESS, _MORE = 0.4, 0.8
"""Difference from the expected width, in it, that costs as much as `_PRIOR` of an edge."""

_PRIOR = 0.5

_SILHOUETTE = 1.5
"""What the person's own edge is worth, in edges of colour."""

_STEPS = 52
"""Widths that are tried in that range."""

_EDGE = 25.0
"""A change of colour, in levels of 255 a pixel, that counts as a whole edge."""

_BEND = 0.06
"""Change of width from one station to the next that costs as much as an edge is worth, in expected widths."""

_FADE = 0.35
"""Part of a round end over which it blends into what lies below."""

_LEAST_KNOWN = 0.12
"""Part of a limb that must be seen for its own colours to be used."""

_POINT_PX = 1e-3

_DARK = 0.74
"""Brightness at the edge of a limb of one colour."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bone:
    """From one joint to the next, in a picture."""

    start: Floats
    """[2]"""
    end: Floats
    """[2]"""

    @property
    def length(self) -> float:
        """In pixels; never 0."""
        return max(float(np.hypot(*(self.end - self.start))), _POINT_PX)

    @property
    def along(self) -> Floats:
        """[2] of length 1; to the right where the joints are at one place."""
        along = self.end - self.start
        length = float(np.hypot(*along))
        return along / length if length > _POINT_PX else np.array([1.0, 0.0])

    def coordinates(self, box: Box) -> tuple[FloatArray, FloatArray]:
        """Of the pixels of a box: along the bone from its start, and to its left as seen from there; [h, w] px each."""
        (ax, ay), (x, y) = self.along, box.grid()
        x, y = x - np.float32(self.start[0]), y - np.float32(self.start[1])
        return x * np.float32(ax) + y * np.float32(ay), y * np.float32(ax) - x * np.float32(ay)

    def places(self, u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The inverse of `coordinates`: x and y."""
        (ax, ay), (x, y) = self.along.astype(np.float32), self.start.astype(np.float32)
        return x + u * ax - v * ay, y + u * ay + v * ax


@dataclasses.dataclass(frozen=True, eq=False)
class Widths:
    """Half a limb's width on either side of its bone, px, at stations that are evenly spaced along it."""

    right: FloatArray
    """[stations] where `Bone.coordinates` has v below 0."""
    left: FloatArray

    @property
    def most(self) -> float:
        """The largest."""
        return float(max(self.right.max(), self.left.max()))

    def grown(self, more_px: float) -> Widths:
        """Wider on both sides."""
        return Widths(self.right + np.float32(more_px), self.left + np.float32(more_px))

    def half(self, t: FloatArray, v: FloatArray) -> FloatArray:
        """Half the width at parts t of the bone, 0 to 1, on the side of v."""
        place = np.clip(t, 0, 1) * (len(self.left) - 1)
        first = np.minimum(place.astype(np.int32), len(self.left) - 2)
        part = (place - first).astype(np.float32)
        table = np.stack([self.right, self.left])
        side = (v > 0).astype(np.int32)
        return np.asarray(table[side, first] * (1 - part) + table[side, first + 1] * part, np.float32)


def tapered(start_px: float, end_px: float) -> Widths:
    """Widths that change evenly."""
    half = np.linspace(start_px, end_px, _STATIONS).astype(np.float32)
    return Widths(half, half.copy())


def coverage(bone: Bone, widths: Widths, box: Box, *, scale: float = 1.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What of each pixel a limb with round ends covers, 0 to 1, and the pixels' coordinates; [h, w] each.

    Args:
        bone: where it lies.
        widths: of the reference.
        box: pixels.
        scale: of the widths.
    """
    u, v = bone.coordinates(box)
    half = widths.half(u / np.float32(bone.length), v) * np.float32(scale)
    beyond = np.maximum(np.maximum(-u, u - np.float32(bone.length)), 0)
    away = np.sqrt(beyond * beyond + v * v)
    return np.clip(half - away + 0.5, 0, 1), u, v


def find_widths(
    image: Image, matte: FloatArray, bone: Bone, expected: Widths, *, hidden: Bools, most: float = _WIDEST
) -> Widths:
    """Where a limb ends on either side.

    Args:
        image: [height, width, 3] the reference.
        matte: [height, width] of the person, 0 to 1: beyond it no limb goes.
        bone: in it.
        expected: of a body of its size.
        hidden: [height, width] pixels that something else covers, whose edges say nothing.
        most: half the width at most, in the expected one's.
    """
    sides = []
    for sign, middle in ((-1, expected.right), (1, expected.left)):
        factors = np.linspace(_NARROWEST, most, _STEPS)
        u = np.repeat(np.linspace(0.04, 0.96, _STATIONS) * bone.length, _STEPS).reshape(_STATIONS, _STEPS)
        v = sign * middle[:, None] * factors
        inner, outer = (_smooth(image, bone, u, v + shift) for shift in (-sign, sign))
        within, beyond = (_smooth(matte, bone, u, v + shift) for shift in (-sign, sign))
        edge = np.minimum(np.abs(outer - inner).max(axis=-1) / 2 / _EDGE, 1) * (within > 0.5)
        edge = np.maximum(edge, _SILHOUETTE * np.clip(within - beyond, 0, 1))
        x, y = bone.places(u.astype(np.float32), v.astype(np.float32))
        edge = np.where(sampled(hidden.astype(np.float32), x, y) > 0, 0, edge)
        best = _path(factors, edge)
        sides.append((factors[best] * middle).astype(np.float32))
    return Widths(*(cv2.GaussianBlur(side[None], (5, 1), 1.2)[0] for side in sides))


def _smooth(picture: Numbers, bone: Bone, u: Floats, v: Floats) -> FloatArray:
    """Values at coordinates of a bone [stations, steps], meaned along it."""
    reach = bone.length / _STATIONS
    shifts = (-0.6 * reach, -0.3 * reach, 0.0, 0.3 * reach, 0.6 * reach)
    found = []
    for shift in shifts:
        x, y = bone.places((u + shift).astype(np.float32), v.astype(np.float32))
        found.append(sampled(picture, x, y).astype(np.float32))
    return np.asarray(np.mean(found, axis=0), np.float32)


def _path(factors: Floats, edge: FloatArray) -> list[int]:
    """The width at every station: near an edge, near what is expected, near the one before."""
    cost = _PRIOR * ((factors - 1) / np.where(factors < 1, _LESS, _MORE)) ** 2 - edge
    apart = np.abs(factors[:, None] - factors[None]) / _BEND
    total, came = cost[0], []
    for row in cost[1:]:
        ways = total[:, None] + 0.25 * apart
        came.append(ways.argmin(axis=0))
        total = ways.min(axis=0) + row
    best = [int(total.argmin())]
    for back in reversed(came):
        best.append(int(back[best[-1]]))
    return best[::-1]


class Limb:
    """A limb that can be laid on a frame."""

    def __init__(self, colours: Image, box: Box, bone: Bone, widths: Widths, *, shaded: bool = False) -> None:
        """Take a limb as it is.

        Args:
            colours: [h, w, 3] of the box, the limb's everywhere.
            box: of the picture in which the bone lies.
            bone: of the reference.
            widths: of the reference.
            shaded: whether it is to be darker to the sides.
        """
        self.colours, self.box, self.bone, self.widths, self.shaded = colours, box, bone, widths, shaded

    @classmethod
    def of_picture(cls, image: Image, bone: Bone, widths: Widths, *, hidden: Bools, colour: FloatArray) -> Limb:
        """A limb with the colours that the reference shows.

        Args:
            image: [height, width, 3].
            bone: in it.
            widths: see `find_widths`.
            hidden: [height, width] pixels that something else covers.
            colour: [3] for a limb of which too little is seen.
        """
        height, width = image.shape[:2]
        box = box_around(np.stack([bone.start, bone.end]), widths.most + 3, (width, height))
        if box.empty:
            return cls.of_colour(colour, bone, widths)
        covers, _, _ = coverage(bone, widths, box)
        inside = covers >= 0.99
        known = inside & ~grown(hidden[box.rows_columns], 2)
        if known.sum() < _LEAST_KNOWN * bone.length * 2 * widths.most:
            return cls.of_colour(colour, bone, widths)
        picture = extended(image[box.rows_columns], known)
        smooth = cv2.blur(picture, (3, 3))
        return cls(np.where(known[..., None], picture, smooth), box, bone, widths)

    @classmethod
    def of_colour(cls, colour: FloatArray, bone: Bone, widths: Widths) -> Limb:
        """A limb of one colour [3], 0-255."""
        box = Box(0, 0, 1, 1)
        return cls(np.round(colour).astype(np.uint8).reshape(1, 1, 3), box, bone, widths, shaded=True)

    def lay(self, canvas: Image, bone: Bone, *, scale: float, fade_start: bool = False) -> None:
        """Lay the limb on a frame.

        Args:
            canvas: [height, width, 3].
            bone: where it is to be.
            scale: of its width, in that of the reference.
            fade_start: whether it blends into what is there at its first joint.
        """
        height, width = canvas.shape[:2]
        box = box_around(np.stack([bone.start, bone.end]), scale * self.widths.most + 2, (width, height))
        if box.empty:
            return
        alpha, u, v = coverage(bone, self.widths, box, scale=scale)
        if fade_start:
            alpha = alpha * ramp((1 + u / np.float32(scale * self.widths.most)) / _FADE)
        lay(canvas, box, self._colours_at(bone, u, v, scale), alpha)

    def _colours_at(self, bone: Bone, u: FloatArray, v: FloatArray, scale: float) -> Image:
        """The colours of pixels at coordinates of the frame's bone: the ends keep their size, the rest is stretched."""
        if self.shaded:
            half = np.float32(scale) * self.widths.half(u / np.float32(bone.length), v)
            bright = 1 - (1 - _DARK) * np.clip(np.abs(v) / half, 0, 1) ** 4
            return np.asarray(self.colours[0, 0] * bright[..., None], np.uint8)
        length, own = np.float32(bone.length), np.float32(self.bone.length)
        inside = np.clip(u, 0, length)
        x, y = self.bone.places(inside * (own / length) + (u - inside) / np.float32(scale), v / np.float32(scale))
        return np.asarray(sampled(self.colours, x - self.box.left, y - self.box.top), np.uint8)
