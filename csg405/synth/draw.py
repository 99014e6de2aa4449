"""Drawing a talker with OpenCV: anti-aliased polygons, from the back to the front.

Beside the picture a small map of parts is drawn in the same order; a keypoint can be seen when its own part is what
the map shows there. Coordinates are sub-pixel: OpenCV takes them as fractions of 1/16.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.media.decode import Image
from csg405.synth.body import LEFT, RIGHT, Array, Frames, Motion, points
from csg405.synth.room import background
from csg405.synth.shapes import chest, hull, lit, mix, rounded, shade
from csg405.synth.talker import Camera, Colour, Setting, Talker

_SHIFT = 4
_SCALE = 1 << _SHIFT
_MAP_SHIFT = 2
_MAP = 1 << _MAP_SHIFT
"""The map of parts is so many times smaller than the picture: a shape's whole numbers mean so much less there."""

NOTHING, TORSO, HEAD, HAIR, LEFT_ARM, RIGHT_ARM, LEFT_PALM, RIGHT_PALM, LEGS = range(9)

_SKULL = np.array([[0.078 * np.cos(a), 0.105 + 0.135 * np.sin(a), -0.01] for a in np.linspace(0, np.pi, 15)])
"""The head's outline from the left ear over the crown to the right one, from the pivot, m."""

_BACK = np.array([[0, 0.215, -0.05], [0, 0.17, -0.095], [0, 0.11, -0.112], [0, 0.05, -0.095], [0.055, 0.11, -0.085],
                  [-0.055, 0.11, -0.085], [0.05, 0.04, -0.05], [-0.05, 0.04, -0.05]])  # fmt: skip
"""The back of the head, from the pivot, m: what is seen of it when the head turns."""

_FINGER_M = 0.0085
"""Half the width of a finger, m."""

_ARC = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, np.pi, 11)])
"""Half a circle: the end of a limb."""


class Person:
    """Somebody in motion, as a camera sees them."""

    def __init__(self, talker: Talker, motion: Motion, camera: Camera, setting: Setting) -> None:
        self.talker, self.motion, self.camera, self.setting = talker, motion, camera, setting
        space = points(talker.body, motion)
        self.keypoints = camera.project(space)
        frames = Frames.of(talker.body, motion)
        self.skull = camera.project(frames.on_head(_SKULL * talker.body.head * [talker.body.face_width, 1, 1]))
        self.back = camera.project(frames.on_head(_BACK * talker.body.head * [talker.body.face_width, 1, 1]))
        self.chest = camera.project(frames.on_torso(chest(talker.body)))
        self.faces_camera = (frames.head @ np.array([0, 0, 1.0])) @ np.array(
            [np.sin(-camera.turn), 0, np.cos(camera.turn)]
        )
        self.look = lit(talker.look, setting)

    def __len__(self) -> int:
        return len(self.motion)


class Shot(Person):
    """A talker in motion, in front of a camera, perhaps with others about."""

    def __init__(
        self, talker: Talker, motion: Motion, camera: Camera, setting: Setting, *, others: Sequence[Person] = ()
    ) -> None:
        super().__init__(talker, motion, camera, setting)
        self.others = tuple(others)
        self.background = background(setting, camera.width, camera.height)

    def draw(self, frame: int) -> tuple[Image, npt.NDArray[np.bool_]]:
        """A frame's picture [height, width, 3] RGB, and which of the talker's 133 points can be seen."""
        canvas = _Canvas(self.background.copy())
        for person in sorted([self, *self.others], key=lambda one: -float(one.keypoints[frame, kp.LEFT_HIP, 2])):
            canvas.mapped = person is self
            _Figure(person, canvas, frame).draw()
        return canvas.picture, canvas.sees(self.keypoints[frame])


class _Canvas:
    """A picture and its map of parts, drawn together."""

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        height, width = picture.shape[:2]
        self.map = np.full((-(-height // _MAP), -(-width // _MAP)), NOTHING, np.uint8)
        self.mapped = True
        """Whether parts are the talker's, or another's, who only hides them."""

    def _part(self, part: int) -> int:
        return part if self.mapped else NOTHING

    def polygon(self, corners: Array, colour: Colour, part: int) -> None:
        """Fill a polygon [k, 2 or more] of pixels."""
        fixed = [_fixed(corners[:, :2])]
        cv2.fillPoly(self.picture, fixed, colour, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self.map, fixed, self._part(part), cv2.LINE_8, _SHIFT + _MAP_SHIFT)

    def limb(self, start: Array, end: Array, widths: tuple[float, float], colour: Colour, part: int) -> None:
        """Fill a limb that narrows from one joint to the next; widths are half ones, in pixels."""
        along = end[:2] - start[:2]
        length, (first, last) = float(np.hypot(*along)), widths
        if length <= abs(first - last):  # it points at the camera
            self.disc(start if first > last else end, max(widths), colour, part)
            return
        across, ahead = _ARC[:, :1] * np.array([-along[1], along[0]]), _ARC[:, 1:] * along
        half = (across + ahead) / length
        self.polygon(np.concatenate([end[:2] + last * half, start[:2] - first * half]), colour, part)

    def disc(self, centre: Array, radius: float, colour: Colour, part: int) -> None:
        """Fill a circle."""
        middle, half = _point(centre), round(radius * _SCALE)
        cv2.circle(self.picture, middle, half, colour, -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(self.map, middle, half, self._part(part), -1, cv2.LINE_8, _SHIFT + _MAP_SHIFT)

    def line(self, corners: Array, colour: Colour, thickness: float) -> None:
        """A line through points; it hides nothing."""
        cv2.polylines(
            self.picture, [_fixed(corners[:, :2])], False, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT
        )

    def sees(self, keypoints: Array) -> npt.NDArray[np.bool_]:
        """Which of the 133 points are in the picture with their own part in front."""
        height, width = self.picture.shape[:2]
        x, y = keypoints[:, 0], keypoints[:, 1]
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        column = np.clip((x / _MAP).astype(int), 0, self.map.shape[1] - 1)
        row = np.clip((y / _MAP).astype(int), 0, self.map.shape[0] - 1)
        padded = np.pad(self.map, 1)
        near = np.stack([padded[row + dy, column + dx] for dy in range(3) for dx in range(3)])
        own = np.zeros(kp.COUNT, np.bool_)
        for part in range(1, len(_OWNERS) + 1):
            own |= (near == part).any(axis=0) & _OWNERS[part - 1]
        return np.asarray(inside & own)


def _owners() -> npt.NDArray[np.bool_]:
    """[parts, 133]: on which parts a point may be seen."""
    owners = np.zeros((LEGS, kp.COUNT), np.bool_)
    owners[TORSO - 1, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP]] = True
    owners[HEAD - 1, [*range(5), *range(kp.FACE.start, kp.FACE.stop)]] = True
    owners[HAIR - 1, 3:5] = True
    owners[LEGS - 1, kp.LEFT_HIP : kp.FEET.stop] = True
    for arm, palm, joints, hand in (
        (LEFT_ARM, LEFT_PALM, (kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST), kp.LEFT_HAND),
        (RIGHT_ARM, RIGHT_PALM, (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST), kp.RIGHT_HAND),
    ):
        owners[arm - 1, list(joints)] = True
        owners[palm - 1, hand] = True
        owners[palm - 1, joints[2]] = True
        owners[arm - 1, hand.start] = True
    return owners


_OWNERS = _owners()


class _Figure:
    """One frame of a person."""

    def __init__(self, person: Person, canvas: _Canvas, frame: int) -> None:
        self.canvas = canvas
        self.look = person.look
        self.body = person.talker.body
        self.points = person.keypoints[frame]
        self.skull, self.back, self.chest = person.skull[frame], person.back[frame], person.chest[frame]
        self.shows_face = bool(person.faces_camera[frame] > 0.05)
        self.px = person.camera.pixels_per_m
        self.lamp = person.setting.lamp

    def draw(self) -> None:
        """From the back to the front."""
        if self.look.cut in {"long", "bob"}:
            self._back_hair()
        order = sorted((LEFT, RIGHT), key=lambda side: -float(self.points[kp.LEFT_WRIST + side, 2]))
        middle = float(self.points[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP], 2].mean())
        behind = [side for side in order if self._depth_of_forearm(side) > middle]
        for side in behind:
            self._forearm(side)
            self._hand(side)
        for side in (LEFT, RIGHT):
            self._leg(side)
            self._upper_arm(side)
        self._torso()
        self._head()
        for side in (side for side in order if side not in behind):
            self._forearm(side)
            self._hand(side)

    def _depth_of_forearm(self, side: int) -> float:
        return float(self.points[[kp.LEFT_ELBOW + side, kp.LEFT_WRIST + side], 2].mean())

    def _leg(self, side: int) -> None:
        hip, knee = self.points[kp.LEFT_HIP + side], self.points[kp.INDEX["left_knee"] + side]
        near = hip[2] / knee[2]
        cloth = shade(self.look.clothes, 0.55)
        self.canvas.limb(hip, knee, (0.095 * self.px, 0.075 * self.px * near), cloth, LEGS)
        ankle = self.points[kp.INDEX["left_ankle"] + side]
        self.canvas.limb(knee, ankle, (0.075 * self.px * near, 0.05 * self.px * near), shade(cloth, 0.85), LEGS)
        heel, toe = self.points[kp.FEET.start + 3 * side + 2], self.points[kp.FEET.start + 3 * side]
        self.canvas.limb(heel, toe, (0.04 * self.px * near, 0.035 * self.px * near), shade(cloth, 0.5), LEGS)

    def _torso(self) -> None:
        look, chest = self.look, self.chest
        before, behind, (left, right, collar) = np.split(chest, [14, 28])
        away = slice(7, 14) if self.lamp > 0 else slice(0, 7)
        for side in (slice(0, 6), slice(8, 14)):
            between = np.concatenate([before[side], behind[side][::-1]])
            self.canvas.polygon(between, shade(look.clothes, 0.94), TORSO)
        self.canvas.polygon(rounded(behind), look.clothes, TORSO)
        self.canvas.polygon(rounded(before), look.clothes, TORSO)
        shaded = before[away]
        inner = shaded + (before.mean(axis=0) - shaded) * np.array([0.42, 0, 0])
        self.canvas.polygon(rounded(np.concatenate([shaded, inner[::-1]])), shade(look.clothes, 0.91), TORSO)
        jaw = self.points[kp.FACE][[13, 3]]
        opening = np.stack([left, collar, right])
        seen = left[0] > right[0]  # from before, the person's left is at the right
        if look.jacket and seen:
            self.canvas.polygon(opening, look.shirt, TORSO)
        self.canvas.polygon(np.stack([left, right, jaw[1], jaw[0]]), shade(look.skin, 0.84), TORSO)
        if seen:
            self.canvas.line(opening, shade(look.clothes, 0.7), 0.006 * self.px)

    def _back_hair(self) -> None:
        drop = 0.20 if self.look.cut == "long" else 0.09
        low = np.stack([self.skull[-1], self.skull[0]]) + np.array([0, drop * self.px, 0])
        wide = self.skull + (self.skull - self.skull.mean(axis=0)) * 0.14
        self.canvas.polygon(rounded(np.concatenate([wide, low])), self.look.hair, HAIR)

    def _head(self) -> None:
        look, canvas, face = self.look, self.canvas, self.points[kp.FACE]
        cover = look.hair if look.cut != "bald" else look.skin
        canvas.polygon(hull(np.concatenate([self.skull, self.back])), cover, HAIR)
        for ear in (3, 4):
            part = HEAD if self.shows_face else HAIR
            canvas.disc(self.points[ear], 0.019 * self.px, shade(look.skin, 0.9), part)
        outline = np.concatenate([face[:17], self.skull])
        if not self.shows_face:
            canvas.polygon(outline, cover, HAIR)
            return
        canvas.polygon(hull(np.concatenate([outline, face[17:36]])), look.skin, HEAD)
        self._face_shade(face)
        if look.beard:
            canvas.polygon(np.concatenate([face[2:15], face[[54, 33, 48]]]), mix(look.skin, look.hair, 0.55), HEAD)
        self._hair()
        self._features(face)

    def _face_shade(self, face: Array) -> None:
        """The side away from the lamp, from the temple over the cheek to the chin."""
        edge = face[8:17] if self.lamp > 0 else face[8::-1]
        inner = edge + (face[30] - edge) * np.linspace(0.08, 0.42, len(edge))[:, None]
        self.canvas.polygon(np.concatenate([edge, inner[::-1]]), shade(self.look.skin, 0.92), HEAD)

    def _hair(self) -> None:
        if self.look.cut == "bald":
            return
        middle = self.skull.mean(axis=0)
        fringe = self.skull[2:-2] + (middle - self.skull[2:-2]) * np.array([0.10, 0.62, 0])
        outer = self.skull + (self.skull - middle) * 0.06
        self.canvas.polygon(rounded(np.concatenate([outer, fringe[::-1]])), self.look.hair, HAIR)
        if self.look.cut == "bun":
            top = self.skull[len(self.skull) // 2]
            self.canvas.disc(top, 0.045 * self.px, self.look.hair, HAIR)

    def _features(self, face: Array) -> None:
        look, canvas, px = self.look, self.canvas, self.px
        for brow in (slice(17, 22), slice(22, 27)):
            canvas.line(face[brow], shade(look.hair, 0.8), 0.007 * px)
        dark = shade(look.skin, 0.72)
        canvas.line(face[[27, 28, 29, 30]], shade(look.skin, 0.88), 0.004 * px)
        canvas.line(face[31:36], dark, 0.005 * px)
        for eye in (slice(36, 42), slice(42, 48)):
            self._eye(face[eye])
        canvas.polygon(face[48:60], look.lips, HEAD)
        canvas.polygon(face[60:68], (60, 20, 24), HEAD)
        gap = float(np.linalg.norm(face[62, :2] - face[66, :2]))
        if gap > 0.004 * px:
            teeth = face[[60, 61, 62, 63, 64]].copy()
            lower = teeth[::-1] + np.array([0, min(0.35 * gap, 0.006 * px), 0])
            canvas.polygon(np.concatenate([teeth, lower]), (238, 234, 226), HEAD)

    def _eye(self, lids: Array) -> None:
        canvas, px = self.canvas, self.px
        canvas.polygon(lids, (246, 244, 240), HEAD)
        opened = float(np.linalg.norm(lids[1:3, :2].mean(axis=0) - lids[4:6, :2].mean(axis=0)))
        if opened > 0.003 * px:
            centre = lids.mean(axis=0)
            canvas.disc(centre, min(0.0055 * px, 0.62 * opened), self.look.eyes, HEAD)
            canvas.disc(centre, min(0.0026 * px, 0.3 * opened), (15, 12, 12), HEAD)
        canvas.line(lids[:4], shade(self.look.skin, 0.4), 0.003 * px)
        if self.look.glasses:
            centre = lids.mean(axis=0)
            circle = np.linspace(0, 2 * np.pi, 17)
            ring = centre[:2] + 0.024 * px * np.stack([np.cos(circle), np.sin(circle)], axis=1)
            canvas.line(ring, (30, 30, 34), 0.004 * px)

    def _upper_arm(self, side: int) -> None:
        shoulder, elbow = (self.points[kp.LEFT_SHOULDER + 2 * joint + side] for joint in range(2))
        bare = self.look.sleeves == "short"
        end = shoulder + (elbow - shoulder) * (0.6 if bare else 1.0)
        for grow, dim in ((0.004, 0.72), (0.0, 0.95)):
            skin, cloth = shade(self.look.skin, dim), shade(self.look.clothes, dim)
            if bare:
                self._limb(shoulder, elbow, (0.042 + grow, 0.037 + grow), skin, side)
            self._limb(shoulder, end, (0.049 + grow, (0.049 if bare else 0.044) + grow), cloth, side)

    def _forearm(self, side: int) -> None:
        elbow, wrist = (self.points[kp.LEFT_ELBOW + 2 * joint + side] for joint in range(2))
        bare = self.look.sleeves == "short"
        for grow, dim in ((0.004, 0.72), (0.0, 0.98)):
            colour = shade(self.look.skin if bare else self.look.clothes, dim)
            self._limb(elbow, wrist, ((0.037 if bare else 0.046) + grow, 0.029 + grow), colour, side)

    def _limb(self, start: Array, end: Array, widths_m: tuple[float, float], colour: Colour, side: int) -> None:
        widths = (widths_m[0] * self.px, widths_m[1] * self.px)
        self.canvas.limb(start, end, widths, colour, (LEFT_ARM, RIGHT_ARM)[side])

    def _hand(self, side: int) -> None:
        part = (LEFT_PALM, RIGHT_PALM)[side]
        hand = self.points[(kp.LEFT_HAND, kp.RIGHT_HAND)[side]]
        scale = self.px * self.body.hand / 0.185
        skin, edge = self.look.skin, shade(self.look.skin, 0.62)
        palm = hand[[0, 1, 5, 9, 13, 17]]
        swollen = palm.copy()
        swollen[:, :2] += (palm[:, :2] - palm[:, :2].mean(axis=0)) * 0.12
        order = sorted(range(5), key=lambda finger: -float(hand[2 + 4 * finger, 2]))
        near = [finger for finger in order if hand[3 + 4 * finger, 2] < hand[5, 2] - 0.005]
        for finger in (finger for finger in order if finger not in near):
            self._finger(hand, finger, scale, skin, edge, part)
        for grow, colour in ((0.003, edge), (0.0, skin)):
            self.canvas.limb(
                hand[0], hand[[5, 17]].mean(axis=0), ((0.026 + grow) * scale, (0.024 + grow) * scale), colour, part
            )
        self.canvas.polygon(swollen, skin, part)
        for finger in near:
            self._finger(hand, finger, scale, skin, edge, part)

    def _finger(self, hand: Array, finger: int, scale: float, skin: Colour, edge: Colour, part: int) -> None:
        joints = hand[1 + 4 * finger : 5 + 4 * finger]
        half = _FINGER_M * scale * (1.15 if finger == 0 else 1.0)
        for grow, colour in ((0.003 * scale, edge), (0.0, skin)):
            for number in range(3):
                widths = (half * (1 - 0.07 * number) + grow, half * (0.93 - 0.07 * number) + grow)
                self.canvas.limb(joints[number], joints[number + 1], widths, colour, part)


def _fixed(corners: Array) -> npt.NDArray[np.int32]:
    return np.round(corners * _SCALE).astype(np.int32)


def _point(place: Array | Sequence[float]) -> tuple[int, int]:
    return round(float(place[0]) * _SCALE), round(float(place[1]) * _SCALE)
