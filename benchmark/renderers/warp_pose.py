"""How the large parts of the puppet go from the reference to a frame, and points that a frame lacks.

The torso goes by the shoulders and hips, the head by those points of the face that hardly move in it. A point of the
motion that is not to be relied on is put where its part takes the reference's.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.renderers.base import Job
from csg405.benchmark.renderers.warp_geometry import IDENTITY, Floats, fitted, moved
from csg405.schema import FloatArray

SHOULDERS = [kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER]
HIPS = [kp.RIGHT_HIP, kp.LEFT_HIP]

_RIGID = np.array(
    [*range(3, 5), *(kp.FACE.start + point for point in (0, 1, 15, 16, 27, 28, 29, 30, 31, 33, 35, 36, 39, 42, 45))]
)
"""Ears, ends of the jaw, nose, corners of the eyes."""

_LEAST_RIGID = 4

_STIFF = 0.05

_MOST_SCALE = 1.6
"""A head that is larger or smaller than the reference's by more is none."""

_REACH = 0.35
"""Shoulder widths from one point of a hand or a face to the next, at most."""

_USUAL = 0.9
"""Part of the frames on which hips must be seen to be gone by: else the torso would jump where they are lost."""


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """A frame."""

    px: Floats
    """[133, 2]"""
    known: Bools
    """[133] points that the frame or the reference shows; the place of others says nothing."""
    body: Floats
    """Map of the torso, from the reference."""
    head: Floats
    """Map of the head."""
    scale: float
    """The person's size in that of the reference."""


class Rest:
    """The reference's pose, and the way to that of a frame."""

    def __init__(self, job: Job) -> None:
        self.seen = job.reference_seen & inside(job.reference_px, job.size, margin_px=0.25 * job.shoulders_px)
        self.px = _settled(job.reference_px.astype(np.float64), self.seen, reach_px=_REACH * job.shoulders_px)
        self.by_hips = bool(self.seen[HIPS].all() and job.seen[:, HIPS].all(axis=1).mean() >= _USUAL)
        self._last = (IDENTITY, IDENTITY, 1.0)

    def place(self, px: FloatArray, seen: Bools) -> Placed:
        """A frame's pose; frames are given in their order, since one without shoulders is like the one before.

        Args:
            px: [133, 2].
            seen: [133].
        """
        places = px.astype(np.float64)
        head = self._head(places, seen)
        last_body, last_head, scale = self._last
        if head is not None:
            scale = _size(head)
        body = self._body(places, seen, scale) if seen[SHOULDERS].all() else last_body
        if head is None:  # it stays on the body as it was
            head = last_head if body is last_body else _with_neck(last_head, self.neck, moved(body, self.neck))
        self._last = (body, head, scale)
        return Placed(self._completed(places, seen, body, head), seen | self.seen, body, head, scale)

    @property
    def neck(self) -> Floats:
        """[2] the middle of the reference's shoulders."""
        return np.asarray(self.px[SHOULDERS].mean(axis=0))

    def _head(self, px: Floats, seen: Bools) -> Floats | None:
        rigid = _RIGID[self.seen[_RIGID] & seen[_RIGID]]
        if len(rigid) < _LEAST_RIGID:
            return None
        found = fitted(self.px[rigid], px[rigid])
        return found if 1 / _MOST_SCALE <= _size(found) <= _MOST_SCALE else None

    def _body(self, px: Floats, seen: Bools, scale: float) -> Floats:
        if self.by_hips and seen[HIPS].all():
            return fitted(self.px[SHOULDERS + HIPS], px[SHOULDERS + HIPS], stiff=_STIFF)
        source, target = (points[SHOULDERS[1]] - points[SHOULDERS[0]] for points in (self.px, px))
        axes = [_axes(across) for across in (source, target)]
        sizes = np.diag([np.linalg.norm(target) / np.linalg.norm(source), scale])
        linear = axes[1] @ sizes @ axes[0].T
        middle = px[SHOULDERS].mean(axis=0)
        return np.column_stack([linear, middle - linear @ self.neck])

    def _completed(self, px: Floats, seen: Bools, body: Floats, head: Floats) -> Floats:
        """Points with those that are not seen put where the reference's go."""
        found = px.copy()
        lost = ~seen
        by_body = np.arange(kp.COUNT) < kp.FACE.start
        by_body[:5] = False
        by_head = np.arange(kp.COUNT) < kp.FACE.stop
        found[lost & by_body] = moved(body, self.px[lost & by_body])
        found[lost & by_head & ~by_body] = moved(head, self.px[lost & by_head & ~by_body])
        for hand, elbow, wrist in ((kp.LEFT_HAND, kp.LEFT_ELBOW, kp.LEFT_WRIST),
                                   (kp.RIGHT_HAND, kp.RIGHT_ELBOW, kp.RIGHT_WRIST)):  # fmt: skip
            if lost[hand].any():
                carried = fitted(self.px[[elbow, wrist]], found[[elbow, wrist]])
                found[hand][lost[hand]] = moved(carried, self.px[hand][lost[hand]])
        return found


def _size(linear: Floats) -> float:
    """By how much a map [2, 3] makes things larger."""
    return float(np.sqrt(abs(np.linalg.det(linear[:, :2]))))


def _settled(px: Floats, seen: Bools, *, reach_px: float) -> Floats:
    """Points [133, 2] of which those that are not seen, and are not where they could be, lie on one that is.

    A finger behind another one is often guessed well enough. What is farther than it can be from the point before it
    towards the wrist, or from the next point of the face, is put there.
    """
    found = px.copy()
    for hand in (kp.LEFT_HAND, kp.RIGHT_HAND):
        for point in range(1, hand.stop - hand.start):
            before = found[hand.start + (0 if point % 4 == 1 else point - 1)]
            if not seen[hand.start + point] and np.linalg.norm(px[hand.start + point] - before) > reach_px:
                found[hand.start + point] = before
    face = np.flatnonzero(seen[kp.FACE])
    if len(face):
        nearest = face[np.abs(face - np.arange(kp.FACE.stop - kp.FACE.start)[:, None]).argmin(axis=1)]
        beside = px[kp.FACE][nearest]
        astray = np.linalg.norm(px[kp.FACE] - beside, axis=1) > reach_px
        found[kp.FACE][astray] = beside[astray]
    return found


def inside(px: FloatArray, size: tuple[int, int], *, margin_px: float) -> Bools:
    """Which points [..., 2] lie in a picture, or so near to it that they can be gone by."""
    limits = np.array(size) + margin_px
    return np.asarray(((px > -margin_px) & (px < limits)).all(axis=-1))


def _axes(across: Floats) -> Floats:
    """[2, 2] unit vectors along and across, as columns."""
    x, y = across / max(float(np.hypot(*across)), 1e-6)
    return np.array([[x, -y], [y, x]])


def _with_neck(head: Floats, neck: Floats, place: Floats) -> Floats:
    """A map of the head, shifted so that the neck goes to a place."""
    return np.column_stack([head[:, :2], place - head[:, :2] @ neck])
