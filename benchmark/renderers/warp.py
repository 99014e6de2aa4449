"""The renderer `warp`: a puppet cut out of the reference, without training.

As an animator of flat puppets does it: the person is cut out of the room, which is made up where they were; trunk with
head, upper arms, forearms and hands are layers that go with their own bones, drawn from the back to the front; the face
is bent by its 68 points. Everything that follows from the reference alone is done once. It is quick, keeps room and
person, and knows nothing of depth: a turned head or a hand that shows its other side is beyond it.

Sources: moving layers by handles as in Igarashi et al., As-rigid-as-possible shape manipulation (SIGGRAPH 2005), here
with a bone a layer; bones as lines that carry their neighbourhood: Beier and Neely (SIGGRAPH 1992).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.renderers.base import Job, Renderer
from csg405.benchmark.renderers.warp_face import Face, skin, usable
from csg405.benchmark.renderers.warp_fill import made_up
from csg405.benchmark.renderers.warp_geometry import Box, Floats
from csg405.benchmark.renderers.warp_hands import LENGTH, Hand
from csg405.benchmark.renderers.warp_limbs import Bone, Limb, coverage, find_widths, tapered
from csg405.benchmark.renderers.warp_matte import grown, line, person_matte
from csg405.benchmark.renderers.warp_pose import Placed, Rest
from csg405.benchmark.renderers.warp_trunk import Trunk
from csg405.media.decode import Image
from csg405.schema import FloatArray


@dataclasses.dataclass(frozen=True)
class _Side:
    """The points of an arm."""

    shoulder: int
    elbow: int
    wrist: int
    hand: slice


_SIDES = (
    _Side(kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST, kp.LEFT_HAND),
    _Side(kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST, kp.RIGHT_HAND),
)

_UPPER = (0.135, 0.125)
_FORE = (0.125, 0.085)
"""Half the width of an arm at its joints, in shoulder widths: a sleeve's."""

_LEAST_BONE = 0.2
"""Length of a bone in the reference, in shoulder widths, below which it points at the camera and shows no limb."""

_FRINGE, _ARM_FRINGE = 0.012, 0.03
"""What is beside the matte and still the person's, in shoulder widths; more of arms, which leave their place."""

_MARGIN_PX = 2.0
"""More than a limb's width, that its soft edge takes."""

_SKIN = np.array([198, 150, 120], np.float32)
"""Of hands, where the reference shows neither them nor a face: RGB."""

_LEAST_HAND = 0.5
"""Part of a hand's points that the reference must show for its colours to be used."""

_SWAP = 1.15
"""A hand must be larger than the other by so much to be drawn in front, when it was not before."""


class Warp(Renderer):
    """See the head of this file."""

    name = "warp"

    def frames(self, job: Job) -> Iterator[Image]:
        """See `Renderer`."""
        puppet = Puppet(job)
        for px, seen in zip(job.keypoints_px, job.seen, strict=True):
            yield puppet.draw(px, seen)


@dataclasses.dataclass(frozen=True, eq=False)
class _Arm:
    """The layers of an arm; what is missing is not drawn."""

    upper: Limb | None
    fore: Limb | None
    hand: Hand | None


class Puppet:
    """A reference, cut into layers."""

    def __init__(self, job: Job) -> None:
        image, self.rest, self.unit = job.reference_image, Rest(job), job.shoulders_px
        self.shown = job.seen.any(axis=0) | self.rest.seen
        px, seen = self.rest.px, self.rest.seen
        matte = person_matte(image, px.astype(np.float32), seen, shoulders_px=self.unit)
        has_face = usable(px, seen)
        self.skin = skin(image, px) if has_face else _SKIN
        size = image.shape[:2]
        hands, cloth = self._hands_mask(size), self._cloth(image)
        self.arms = [self._arm(image, matte, side, hands, cloth) for side in _SIDES]
        upper = _covered([arm.upper for arm in self.arms], size, from_start=False)
        in_front = hands | _covered([arm.fore for arm in self.arms], size)
        self.trunk = Trunk(image, matte, self.rest, arms=in_front | upper, in_front=in_front)
        self.face = Face(image, px, seen) if has_face else None
        person = grown(matte > 0.02, max(1.5, _FRINGE * self.unit))
        person |= grown((in_front | upper) & (matte > 0.02), max(2.0, _ARM_FRINGE * self.unit))
        self.room = made_up(image, person, known=~person)
        self._front = 0

    # ---- once

    def _hands_mask(self, size: tuple[int, ...]) -> Bools:
        """Pixels of the reference's hands [height, width], a little more than they cover."""
        mask = np.zeros(size, np.bool_)
        for side in _SIDES:
            if self.rest.seen[side.hand].mean() > _LEAST_HAND:
                mask |= _hand_mask(self.rest.px, side.hand, self.unit, size)
        return mask

    def _arm(self, image: Image, matte: FloatArray, side: _Side, hands: Bools, cloth: FloatArray) -> _Arm:
        px, seen = self.rest.px, self.rest.seen
        upper = fore = None
        hidden = hands
        if self.shown[[side.elbow, side.wrist]].all():
            fore = self._limb(image, matte, side.elbow, side.wrist, _FORE, hidden=hands, colour=cloth)
            hidden = hands | _covered([fore], image.shape[:2])
        if self.shown[[side.shoulder, side.elbow]].all():
            upper = self._limb(image, matte, side.shoulder, side.elbow, _UPPER, hidden=hidden, colour=cloth)
        hand = None
        if self.shown[side.hand].any():
            length = LENGTH * self.unit
            if seen[side.hand].mean() > _LEAST_HAND:
                hand = Hand.of_picture(image, px[side.hand], length_px=length)
            else:
                hand = Hand.of_colour(self.skin, length_px=length)
        return _Arm(upper, fore, hand)

    def _limb(
        self, image: Image, matte: FloatArray, start: int, end: int, half: tuple[float, float], *, hidden: Bools,
        colour: FloatArray,
    ) -> Limb:  # fmt: skip
        expected = tapered(half[0] * self.unit, half[1] * self.unit)
        bone = Bone(self.rest.px[start], self.rest.px[end])
        if not self.rest.seen[[start, end]].all() or bone.length < _LEAST_BONE * self.unit:
            return Limb.of_colour(colour, bone, expected)
        widths = find_widths(image, matte, bone, expected, hidden=hidden)
        return Limb.of_picture(image, bone, widths, hidden=hidden, colour=colour)

    def _cloth(self, image: Image) -> FloatArray:
        """[3] the colour of the clothes below the shoulders."""
        corners = self.rest.px[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]]
        middle = corners.mean(axis=0)
        inner = middle + 0.7 * (corners - middle) + [0, 0.15 * self.unit]
        height, width = image.shape[:2]
        x, y = (np.clip(np.round(inner[:, axis]), 2, side - 3).astype(int) for axis, side in ((0, width), (1, height)))
        patches = [
            image[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3) for row, column in zip(y, x, strict=True)
        ]
        return np.asarray(np.median(np.concatenate(patches), axis=0), np.float32)

    # ---- for each frame

    def draw(self, px: FloatArray, seen: Bools) -> Image:
        """A frame, [height, width, 3]; frames are drawn in their order.

        Args:
            px: [133, 2].
            seen: [133].
        """
        placed = self.rest.place(px, seen)
        canvas = self.room.copy()
        for side, arm in zip(_SIDES, self.arms, strict=True):
            self._lay(canvas, placed, arm.upper, side.shoulder, side.elbow)
        self.trunk.lay(canvas, placed, self.face)
        if self.face is not None:
            self.face.paint(canvas, placed.px[kp.FACE])
        for number in self._order(placed):
            side, arm = _SIDES[number], self.arms[number]
            self._lay(canvas, placed, arm.fore, side.elbow, side.wrist, fade_start=True)
            if arm.hand is not None and placed.known[side.hand].mean() > _LEAST_HAND:
                arm.hand.lay(canvas, placed.px[side.hand], scale=placed.scale)
        return canvas

    def _lay(
        self, canvas: Image, placed: Placed, limb: Limb | None, start: int, end: int, *, fade_start: bool = False
    ) -> None:
        if limb is not None and placed.known[[start, end]].all():
            limb.lay(canvas, Bone(placed.px[start], placed.px[end]), scale=placed.scale, fade_start=fade_start)

    def _order(self, placed: Placed) -> tuple[int, int]:
        """The arms from the back to the front: the larger hand is nearer."""
        sizes = [
            arm.hand.size(placed.px[side.hand], scale=placed.scale) if arm.hand is not None else 1.0
            for side, arm in zip(_SIDES, self.arms, strict=True)
        ]
        back = 1 - self._front
        if sizes[back] > _SWAP * sizes[self._front]:
            self._front, back = back, self._front
        return back, self._front


def _covered(limbs: Sequence[Limb | None], size: tuple[int, ...], *, from_start: bool = True) -> Bools:
    """Pixels [height, width] of limbs that the reference shows, and a little more.

    Args:
        limbs: some may be missing.
        size: of the picture.
        from_start: whether the round end at the first joint belongs to them.
    """
    mask = np.zeros(size, np.bool_)
    for limb in limbs:
        if limb is not None and not limb.shaded:
            covers, u, _ = coverage(limb.bone, limb.widths.grown(_MARGIN_PX), Box(0, 0, size[0], size[1]))
            mask |= (covers > 0) & (from_start | (u > 0))
    return mask


def _hand_mask(px: Floats, hand: slice, unit: float, shape: tuple[int, ...]) -> Bools:
    """Pixels of a hand, and a little more; those points too that are hidden by others of it."""
    mask = np.zeros(shape, np.uint8)
    for start, end in kp.LINKS:
        if hand.start <= start < hand.stop:
            line(mask, px[[start, end]], 0.07 * unit)
    knuckles = px[[hand.start + 5, hand.start + 17]].mean(axis=0)
    line(mask, np.stack([px[hand.start], knuckles]), 0.14 * unit)
    palm = [hand.start + point for point in (0, 1, 5, 9, 13, 17)]
    cv2.fillPoly(mask, [np.round(px[palm] * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    return grown(mask > 0, 0.025 * unit)
