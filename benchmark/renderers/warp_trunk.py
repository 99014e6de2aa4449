"""Torso, head and hair of the puppet: one layer, moved by the torso's map below and by the head's above.

Between the two, at the neck, the maps pass into each other; the face is bent on top of that. Where arms lay on the
torso, cloth is made up once.
"""

from __future__ import annotations

import cv2
import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.renderers.warp_face import Face
from csg405.benchmark.renderers.warp_fill import extended, made_up
from csg405.benchmark.renderers.warp_geometry import Box, Floats, box_around, inverse, lay, moved, ramp, sampled
from csg405.benchmark.renderers.warp_limbs import Bone, Widths, coverage, find_widths, tapered
from csg405.benchmark.renderers.warp_matte import closed, grown, opened, torso_corners
from csg405.benchmark.renderers.warp_pose import SHOULDERS, Placed, Rest
from csg405.media.decode import Image
from csg405.schema import FloatArray

_NODE_PX = 4
"""Pixels from one node of the coarse map to the next."""

_LOWER_EDGE = 0.3
"""How far the torso's cloth goes below the hips, in shoulder widths."""

_WIDEST = 1.2
"""Half the torso's width, in the expected one's: beyond it arms hang."""

_SHOULDER = 0.25
"""Radius in which arm and trunk are one, in shoulder widths."""

_COLLAR = 0.4
"""The torso goes up the neck by so much of the way to the chin: a collar does not turn with the head."""

_SLIVER = 0.035
"""Half the width of what is left of an arm beside it, in shoulder widths."""

_LAP = 0.2
"""The lap begins so far above the hips, in shoulder widths."""

_CLOSED = 0.12
"""Arms hide so much, in shoulder widths, that trunk to both sides of it says that there is trunk below."""


class Trunk:
    """The layer."""

    def __init__(self, image: Image, matte: FloatArray, rest: Rest, *, arms: Bools, in_front: Bools) -> None:
        """Cut the trunk out of the reference.

        Args:
            image: [height, width, 3].
            matte: [height, width] of the person, 0 to 1.
            rest: the reference's pose.
            arms: [height, width] pixels of arms and hands.
            in_front: [height, width] those of forearms and hands, which hide what is below them.
        """
        unit = float(np.linalg.norm(np.diff(rest.px[[kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER]], axis=0)))
        torso = _torso(image, matte, rest, unit, hidden=in_front)
        below = np.maximum(torso, _behind_arms(matte, rest, unit, torso, arms=arms, in_front=in_front))
        self.alpha = _opacity(matte, below, arms, unit)
        self.colours = _colours(image, matte, torso, self.alpha, arms & ~_near_shoulders(rest, unit, matte.shape))
        self.head_share = _head_share(image.shape[:2], rest, unit)
        rows, columns = (np.flatnonzero((self.alpha > 0).any(axis=axis)) for axis in (1, 0))
        self.corners = np.array([[x, y] for x in (columns[0], columns[-1]) for y in (rows[0], rows[-1])], np.float64)
        self._cut_off = self._at_edges(image.shape[:2])

    def _at_edges(self, shape: tuple[int, ...]) -> Floats:
        """[4, 2] `corners`, but far outside where the trunk is cut off by the picture's edge: it goes on there."""
        height, width = shape
        corners = self.corners.copy()
        for axis, side in ((0, width), (1, height)):
            corners[corners[:, axis] <= 1, axis] = -side
            corners[corners[:, axis] >= side - 2, axis] = 2 * side
        return corners

    def lay(self, canvas: Image, placed: Placed, face: Face | None) -> None:
        """Lay the trunk on a frame."""
        height, width = canvas.shape[:2]
        reach = np.concatenate([moved(matrix, self._cut_off) for matrix in (placed.body, placed.head)])
        box = box_around(reach, 2, (width, height))
        if box.empty:
            return
        x, y = self._sources(box, placed)
        alpha = sampled(self.alpha, x, y).astype(np.float32)
        if face is not None:
            _bend(x, y, box, placed, face)
        lay(canvas, box, np.asarray(sampled(self.colours, x, y), np.uint8), alpha)

    def _sources(self, box: Box, placed: Placed) -> tuple[FloatArray, FloatArray]:
        """Where in the reference the pixels of a box are, [h, w]: at nodes by both maps, between them evenly."""
        rows, columns = (-(-(last - first) // _NODE_PX) + 2 for first, last in ((box.top, box.bottom),
                                                                                (box.left, box.right)))  # fmt: skip
        node_x = box.left + (np.arange(columns) - 0.5) * _NODE_PX - 0.5
        node_y = box.top + (np.arange(rows) - 0.5) * _NODE_PX - 0.5
        nodes = np.stack(np.meshgrid(node_x, node_y), axis=-1)
        by_body, by_head = (moved(inverse(matrix), nodes) for matrix in (placed.body, placed.head))
        found = by_body
        for _ in range(2):
            share = sampled(self.head_share, *(np.ascontiguousarray(found[..., axis], np.float32) for axis in (0, 1)))
            found = by_body + share[..., None] * (by_head - by_body)
        size = (columns * _NODE_PX, rows * _NODE_PX)
        whole = cv2.resize(found.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        inner = whole[_NODE_PX : _NODE_PX + box.bottom - box.top, _NODE_PX : _NODE_PX + box.right - box.left]
        return np.ascontiguousarray(inner[..., 0]), np.ascontiguousarray(inner[..., 1])


def _opacity(matte: FloatArray, below: FloatArray, arms: Bools, unit: float) -> FloatArray:
    """[height, width] of the trunk, 0 to 1.

    Where arms are, it is what lies below them. Beside them, what is narrow and not on the torso's side is the rest of
    an arm, and left out; a gap between arm and torso is the torso's.
    """
    trunk = ((matte > 0.5) & ~arms).astype(np.uint8)
    wide = grown(opened(trunk, _SLIVER * unit) > 0, 3)
    to_torso = cv2.distanceTransform((below < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    to_room = cv2.distanceTransform((matte > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    near = grown(arms, 4 * _SLIVER * unit)
    beside = np.where(near & ~wide & (to_torso > to_room), 0, matte)
    edge = arms & ~(cv2.erode(arms.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & (to_torso <= to_room)
    return np.where(arms, np.maximum(below, np.where(edge, matte, 0)), beside).astype(np.float32)


def _colours(image: Image, matte: FloatArray, torso: FloatArray, alpha: FloatArray, hidden: Bools) -> Image:
    """[height, width, 3] of the trunk, everywhere: of the torso by the torso, of the rest by all that is seen."""
    sure = (cv2.erode(matte, np.ones((3, 3), np.uint8)) > 0.98) & ~hidden
    picture = image
    cloth = hidden & (torso > 0) & (alpha > 0)
    of_torso = sure & (torso > 0.5)
    if of_torso.sum() > cloth.sum() / 4:
        picture = made_up(picture, cloth, known=of_torso)
    else:
        cloth = np.zeros_like(hidden)
    rest = hidden & (alpha > 0) & ~cloth
    picture = made_up(picture, rest, known=sure | cloth)
    return extended(picture, sure | (hidden & (alpha > 0.98)))


def _near_shoulders(rest: Rest, unit: float, shape: tuple[int, ...]) -> Bools:
    """Pixels [height, width] in which arm and trunk are one."""
    x, y = Box(0, 0, *shape).grid()
    near = np.zeros(shape, np.bool_)
    for joint in rest.px[SHOULDERS]:
        near |= (x - joint[0]) ** 2 + (y - joint[1]) ** 2 < (_SHOULDER * unit) ** 2
    return near


def _torso(image: Image, matte: FloatArray, rest: Rest, unit: float, *, hidden: Bools) -> FloatArray:
    """How much of each pixel the torso's shape covers, [height, width], 0 to 1."""
    height, width = matte.shape
    whole = Box(0, 0, height, width)
    bone = _spine(rest, unit, height)
    found = find_widths(image, matte, bone, tapered(0.52 * unit, 0.5 * unit), hidden=hidden, most=_WIDEST)
    covers, u, _ = coverage(bone, found, whole)
    return np.maximum(covers * (u > 0) * (u < bone.length), _flat_ends(bone, found, u, whole, unit))


def _spine(rest: Rest, unit: float, height: int) -> Bone:
    corners = torso_corners(rest.px.astype(np.float32), rest.seen, unit, height).astype(np.float64)
    return Bone(corners[:2].mean(axis=0), corners[2:].mean(axis=0))


def _behind_arms(
    matte: FloatArray, rest: Rest, unit: float, torso: FloatArray, *, arms: Bools, in_front: Bools
) -> FloatArray:
    """What of the trunk lies behind arms beside the torso: the lap, the face, and what trunk on both sides tells."""
    height, width = matte.shape
    bone = _spine(rest, unit, height)
    u, _ = bone.coordinates(Box(0, 0, height, width))
    lap = cv2.inpaint((matte * 255).astype(np.uint8), in_front.astype(np.uint8), 3, cv2.INPAINT_TELEA) / 255
    found = np.where(in_front & (u > bone.length - _LAP * unit), lap, 0).astype(np.float32)
    known = (((matte > 0.5) & ~arms) | (torso > 0.5)).astype(np.uint8)
    whole = closed(known, _CLOSED * unit).astype(np.float32)
    found = np.maximum(found, cv2.GaussianBlur(whole, (0, 0), 1.0))
    if rest.seen[kp.FACE].sum() > 2:
        face = np.zeros((height, width), np.float32)
        hull = cv2.convexHull(rest.px[kp.FACE][rest.seen[kp.FACE]].astype(np.float32))[:, 0]
        cv2.fillConvexPoly(face, np.round(hull).astype(np.int32), 1.0)
        found = np.maximum(found, face)
    return np.asarray(found, np.float32)


def _flat_ends(bone: Bone, widths: Widths, u: FloatArray, box: Box, unit: float) -> FloatArray:
    """The torso a little beyond its ends, as wide as there."""
    _, v = bone.coordinates(box)
    near = (u > -0.1 * unit) & (u < bone.length + _LOWER_EDGE * unit) & ((u <= 0) | (u >= bone.length))
    return np.where(near, np.clip(widths.half(u / np.float32(bone.length), v) - np.abs(v) + 0.5, 0, 1), 0)


def _head_share(shape: tuple[int, ...], rest: Rest, unit: float) -> FloatArray:
    """How much of each pixel goes with the head: 1 on it, 0 on the torso, smooth between; [height, width]."""
    height, width = shape
    head, torso = np.ones((2, height, width), np.uint8)
    face, neck = rest.px[kp.FACE][rest.seen[kp.FACE]], rest.neck
    if len(face) < 3:
        middle, radius = rest.px[:5][rest.seen[:5]], 0.3 * unit
        middle = middle.mean(axis=0) if len(middle) else neck - [0, 0.6 * unit]
        cv2.circle(head, tuple(round(float(value)) for value in middle), round(radius), 0, -1)
    else:
        hull = cv2.convexHull(face.astype(np.float32))[:, 0]
        cv2.fillConvexPoly(head, np.round(hull).astype(np.int32), 0)
    chin = face[np.argmax((face - neck) @ [0, 1])] if len(face) >= 3 else neck - [0, 0.3 * unit]
    corners = torso_corners(rest.px.astype(np.float32), rest.seen, unit, height)
    corners = corners + np.array([[-1, 0], [1, 0], [1, 3], [-1, 3]], np.float32) * unit
    collar = neck + _COLLAR * (chin - neck)
    corners = np.concatenate([corners[:1], collar[None], corners[1:]])
    cv2.fillPoly(torso, [np.round(corners).astype(np.int32)], 0)
    to_head, to_torso = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (head, torso))
    return ramp(to_torso / np.maximum(to_head + to_torso, 1e-3))


def _bend(x: FloatArray, y: FloatArray, box: Box, placed: Placed, face: Face) -> None:
    """Change sources [h, w] of a box so that the face's points lie where they should, in place."""
    corners = [[c, r] for c in (face.box.left, face.box.right) for r in (face.box.top, face.box.bottom)]
    part = box_around(moved(placed.head, np.array(corners, np.float64)) - [box.left, box.top], 2,
                      (x.shape[1], x.shape[0]))  # fmt: skip
    if part.empty:
        return
    rest_x, rest_y = (np.ascontiguousarray(values[part.rows_columns]) for values in (x, y))
    face.bend(rest_x, rest_y, moved(inverse(placed.head), placed.px[kp.FACE]))
    x[part.rows_columns], y[part.rows_columns] = rest_x, rest_y
