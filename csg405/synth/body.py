"""A body that can be posed: from angles and hand positions to 133 points in space.

Coordinates are the person's, in metres: x to the person's left, y up, z forward; the origin is between the hips.
A camera in front sees the person's left at the right of the picture. Everything is computed for all frames at once,
arrays having the frames first. Elbows follow from shoulders and wrists; fingers from a curl each. The face is the 68
points of iBUG 300-W on a head that turns about the top of the neck.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp

Array = npt.NDArray[np.float64]

LEFT, RIGHT = 0, 1
SIDES = (1.0, -1.0)
"""Sign of x on the left and on the right."""

FINGERS = 5
"""Thumb, forefinger, middle, ring and little finger."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """Proportions of a person, in metres. The defaults are a middling adult's."""

    torso: float = 0.50
    """Hips to the base of the neck."""
    shoulders: float = 0.185
    """Half the distance of the shoulder joints."""
    hips: float = 0.12
    neck: float = 0.065
    upper_arm: float = 0.29
    forearm: float = 0.25
    hand: float = 0.185
    """Wrist to the tip of the middle finger."""
    head: float = 1.0
    """Scale of the head; 1 is 22 cm from chin to crown."""
    face_width: float = 1.0
    jaw: float = 1.0
    """Length of the lower face."""
    eyes: float = 1.0
    """Distance of the eyes."""
    nose: float = 1.0
    mouth: float = 1.0
    """Width of the mouth at rest."""
    stands: bool = False
    """On straight legs, which stride with the way that the hips go; else seated."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """How a person moves: arrays over n frames. Angles in radians, lengths in metres."""

    root: Array
    """[n, 3] the point between the hips."""
    torso: Array
    """[n, 3] turn to the left, lean forward, lean to the left."""
    head: Array
    """[n, 3] turn to the left, nod downward, tilt to the left; relative to the torso."""
    wrists: Array
    """[n, 2, 3] left and right, relative to the hips and turning with the torso."""
    fingers: Array
    """[n, 2, 5] curl, 0 (straight) to 1 (fist)."""
    spread: Array
    """[n, 2] of the fingers, 0 to 1."""
    palms: Array
    """[n, 2] turn of the palm about the forearm: 0 faces inward, 1 up, -1 down."""
    mouth_open: Array
    """[n] distance of the lips' inner edges, m."""
    mouth_wide: Array
    """[n] -1 (rounded) to 1 (spread)."""
    brows: Array
    """[n] raised, 0 to 1."""
    blink: Array
    """[n] 0 (open) to 1 (closed)."""

    def __len__(self) -> int:
        return len(self.root)


def rotation(angles: Array) -> Array:
    """Rotation matrices [n, 3, 3] from [n, 3] turn, nod and tilt: first tilted, then nodded, then turned."""
    (turn_s, nod_s, tilt_s), (turn_c, nod_c, tilt_c) = np.sin(angles).T, np.cos(angles).T
    zero, one = np.zeros(len(angles)), np.ones(len(angles))
    turn = np.stack([turn_c, zero, turn_s, zero, one, zero, -turn_s, zero, turn_c], axis=1).reshape(-1, 3, 3)
    nod = np.stack([one, zero, zero, zero, nod_c, -nod_s, zero, nod_s, nod_c], axis=1).reshape(-1, 3, 3)
    tilt = np.stack([tilt_c, tilt_s, zero, -tilt_s, tilt_c, zero, zero, zero, one], axis=1).reshape(-1, 3, 3)
    return np.asarray(turn @ nod @ tilt)


@dataclasses.dataclass(frozen=True)
class Frames:
    """Where the large parts are, and how they are turned."""

    torso: Array
    """[n, 3, 3]"""
    neck: Array
    """[n, 3] the neck's base."""
    pivot: Array
    """[n, 3] the neck's top, about which the head turns."""
    head: Array
    """[n, 3, 3]"""

    @classmethod
    def of(cls, body: Body, motion: Motion) -> Frames:
        """The frames of a motion."""
        torso = rotation(motion.torso)
        neck = motion.root + torso @ np.array([0, body.torso, 0])
        pivot = neck + torso @ np.array([0, body.neck, 0.01])
        return cls(torso, neck, pivot, torso @ rotation(motion.head))

    def on_head(self, local: Array) -> Array:
        """Points [k, 3] or [n, k, 3] of the head, from the pivot, in space: [n, k, 3]."""
        local = np.broadcast_to(local, (len(self.pivot), *local.shape[-2:]))
        return np.asarray(self.pivot[:, None] + np.einsum("nij,nkj->nki", self.head, local))

    def on_torso(self, local: Array) -> Array:
        """Points [k, 3] of the torso, from the neck's base, in space: [n, k, 3]."""
        return np.asarray(self.neck[:, None] + np.einsum("nij,kj->nki", self.torso, local))


def points(body: Body, motion: Motion) -> Array:
    """The 133 points in space: [n, 133, 3] in COCO-WholeBody order."""
    result = np.zeros((len(motion), kp.COUNT, 3))
    frames = Frames.of(body, motion)
    frame, neck = frames.torso, frames.neck
    _place_legs(result, body, motion)
    _place_head(result, body, motion, frames)
    for side, sign in enumerate(SIDES):
        shoulder = neck + frame @ np.array([sign * body.shoulders, -0.03, 0])
        wanted = motion.root + np.einsum("nij,nj->ni", frame, motion.wrists[:, side])
        pole = frame @ np.array([sign * 0.6, -1.0, -0.35])
        elbow, wrist = reach(shoulder, wanted, pole, body.upper_arm, body.forearm)
        result[:, kp.LEFT_SHOULDER + side] = shoulder
        result[:, kp.LEFT_ELBOW + side] = elbow
        result[:, kp.LEFT_WRIST + side] = wrist
        part = (kp.LEFT_HAND, kp.RIGHT_HAND)[side]
        result[:, part] = hand_points(body, motion, side, elbow, wrist, frame)
    return result


def reach(shoulder: Array, wanted: Array, pole: Array, upper: float, fore: float) -> tuple[Array, Array]:
    """Elbow and wrist of an arm that reaches for a point; the elbow lies toward the pole.

    Args:
        shoulder: [n, 3].
        wanted: [n, 3] where the wrist should be; a point out of reach is approached as far as the arm goes.
        pole: [n, 3] direction.
        upper: length of the upper arm.
        fore: length of the forearm.

    Returns:
        Elbow and wrist, [n, 3] each.
    """
    toward = wanted - shoulder
    distance = np.linalg.norm(toward, axis=-1, keepdims=True)
    toward = toward / np.maximum(distance, 1e-9)
    distance = np.clip(distance, abs(upper - fore) + 0.02, 0.985 * (upper + fore))
    along = (upper**2 - fore**2 + distance**2) / (2 * distance)
    aside = np.sqrt(np.maximum(upper**2 - along**2, 0))
    across = pole - (pole * toward).sum(-1, keepdims=True) * toward
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    return shoulder + along * toward + aside * across, shoulder + distance * toward


STANDING_M = 0.40
"""How much higher the hips of who stands are than those of who sits, m."""

STRIDE_M = 1.4
"""Way of the hips during two steps, m."""


def _place_legs(result: Array, body: Body, motion: Motion) -> None:
    """Legs: they carry the hips and are mostly out of the picture."""
    frame = rotation(motion.torso * np.array([1, 0, 0]))
    if body.stands:
        _place_standing_legs(result, body, motion, frame)
        return
    for side, sign in enumerate(SIDES):
        places = {
            kp.LEFT_HIP + side: (sign * body.hips, 0, 0),
            kp.INDEX["left_knee"] + side: (sign * (body.hips + 0.05), -0.02, 0.42),
            kp.INDEX["left_ankle"] + side: (sign * (body.hips + 0.04), -0.44, 0.40),
        }
        toes = kp.FEET.start + 3 * side
        places |= {toes: (sign * (body.hips + 0.03), -0.50, 0.58), toes + 1: (sign * (body.hips + 0.10), -0.50, 0.55)}
        places |= {toes + 2: (sign * (body.hips + 0.04), -0.50, 0.36)}
        for number, place in places.items():
            result[:, number] = motion.root + frame @ np.array(place)


# ---- the head


EYE_LEVEL = np.array([0, 0.115, 0.085])
"""The middle of the eyes, from the head's pivot, for a head of scale 1."""


def _place_standing_legs(result: Array, body: Body, motion: Motion, frame: Array) -> None:
    way_m = np.linalg.norm((motion.root - motion.root[0])[:, [0, 2]], axis=-1)
    for side, sign in enumerate(SIDES):
        swing = 0.42 * sign * np.sin(2 * np.pi * way_m / STRIDE_M)
        shin = swing - np.where(swing < 0, -0.9, 0.2) * swing
        out, zero = np.full(len(motion), sign * 0.8 * body.hips), np.zeros(len(motion))
        hip = np.stack([sign * body.hips + zero, zero, zero], axis=1)
        knee = np.stack([out, -0.42 * np.cos(swing), 0.42 * np.sin(swing)], axis=1)
        ankle = knee + np.stack([zero, -0.41 * np.cos(shin), 0.41 * np.sin(shin)], axis=1)
        toes = kp.FEET.start + 3 * side
        heel, toe = ankle + np.array([0, -0.06, -0.05]), ankle + np.array([sign * 0.02, -0.07, 0.17])
        places = {kp.LEFT_HIP + side: hip, kp.INDEX["left_knee"] + side: knee, kp.INDEX["left_ankle"] + side: ankle}
        places |= {toes: toe, toes + 1: toe + np.array([sign * 0.05, 0, -0.03]), toes + 2: heel}
        for number, place in places.items():
            result[:, number] = motion.root + np.einsum("nij,nj->ni", frame, place)


def _place_head(result: Array, body: Body, motion: Motion, frames: Frames) -> None:
    result[:, kp.FACE] = frames.on_head(face_points(body, motion) + EYE_LEVEL * body.head)
    ears = np.array([[sign * 0.078 * body.face_width, 0.105, -0.005] for sign in SIDES]) * body.head
    result[:, 3:5] = frames.on_head(ears)
    result[:, kp.NOSE] = result[:, kp.NOSE_TIP]
    result[:, 1] = result[:, kp.LEFT_EYE].mean(axis=1)
    result[:, 2] = result[:, kp.RIGHT_EYE].mean(axis=1)


def face_points(body: Body, motion: Motion) -> Array:
    """The face's 68 points about the middle of the eyes, before the head is turned: [n, 68, 3]."""
    face = np.repeat(_face_at_rest(body)[None], len(motion), axis=0)
    gap = motion.mouth_open[:, None]
    wide = 1 + 0.16 * motion.mouth_wide[:, None]
    mouth = slice(48, 68)
    face[:, mouth, 0] *= wide
    lower = np.array([*range(55, 60), *range(65, 68)])
    corners = np.array([48, 54, 60, 64])
    upper = np.array([*range(49, 54), *range(61, 64)])
    face[:, lower, 1] -= 0.8 * gap
    face[:, corners, 1] -= 0.3 * gap
    face[:, upper, 1] += 0.2 * gap
    sink = np.array([max(0.0, 1 - abs(number - 8) / 6) for number in range(17)])
    face[:, :17, 1] -= 0.7 * gap * sink  # the chin goes down with the jaw
    face[:, 17:27, 1] += 0.009 * motion.brows[:, None]
    lids = motion.blink[:, None]
    for lid, below in (((37, 38), (41, 40)), ((43, 44), (47, 46))):
        face[:, lid, 1] += lids * (face[:, below, 1] - face[:, lid, 1])
    return face * body.head


def _face_at_rest(body: Body) -> Array:
    face = np.zeros((68, 3))
    angle = np.linspace(np.pi, 2 * np.pi, 17)  # jaw, from the person's right ear to the left one
    down = np.clip(-np.sin(angle), 0, 1)
    chin = 0.030 + 0.095 * body.jaw
    face[:17] = np.stack([0.072 * np.cos(angle) * body.face_width, 0.005 - chin * down**0.85, -0.06 + 0.062 * down], 1)
    brow = np.linspace(-0.056, -0.016, 5)
    face[17:22] = np.stack([brow, 0.024 + 0.007 * np.sin(np.linspace(0.3, 2.6, 5)), np.full(5, 0.004)], 1)
    face[22:27] = face[21:16:-1] * np.array([-1, 1, 1])
    nose_tip = -0.040 * body.nose
    face[27:31] = np.stack([np.zeros(4), np.linspace(0.002, nose_tip, 4), np.linspace(0.006, 0.030, 4)], 1)
    face[31:36] = np.stack([np.linspace(-0.014, 0.014, 5), nose_tip - np.array([7, 9, 10, 9, 7]) / 1000,
                            np.array([10, 15, 19, 15, 10]) / 1000], 1)  # fmt: skip
    eye = 0.031 * body.eyes
    lids = np.array([[-14, 0], [-5, 5], [5, 5], [14, 0], [5, -4], [-5, -4]]) / 1000
    face[36:42] = np.column_stack([lids[:, 0] - eye, lids[:, 1], np.full(6, -0.002)])
    face[42:48] = np.column_stack([lids[:, 0] + eye, lids[:, 1], np.full(6, -0.002)])
    half, level = 0.024 * body.mouth, nose_tip - 0.034 * body.jaw
    outer = np.array([[-1, 0], [-0.6, 5], [-0.2, 8], [0, 7], [0.2, 8], [0.6, 5], [1, 0], [0.6, -6], [0.25, -9],
                      [0, -10], [-0.25, -9], [-0.6, -6]])  # fmt: skip
    inner = np.array([[-0.85, 0], [-0.35, 1], [0, 1], [0.35, 1], [0.85, 0], [0.35, -1], [0, -1], [-0.35, -1]])
    for first, ring, depth in ((48, outer, 0.012), (60, inner, 0.010)):
        x, y = ring[:, 0] * half, level + ring[:, 1] / 1000
        face[first : first + len(ring)] = np.column_stack([x, y, depth - 0.35 * x**2 / half])
    return face


# ---- the hands


_KNUCKLES = np.array([[0.18, 0.30], [0.52, 0.24], [0.53, 0.05], [0.50, -0.12], [0.46, -0.27]])
"""Where fingers begin: along the hand and toward the thumb, in lengths of the hand."""

_BONES = np.array(
    [[0.22, 0.20, 0.15], [0.22, 0.14, 0.11], [0.235, 0.15, 0.12], [0.215, 0.14, 0.11], [0.165, 0.10, 0.09]]
)
"""Lengths of the fingers' bones, in lengths of the hand."""

_FAN = np.array([0.75, 0.10, 0.0, -0.10, -0.22])
"""Direction of straight fingers, radians from the hand's toward the thumb; spread adds as much again."""

_BEND = np.array([[0.5, 0.7, 0.8], [1.45, 1.6, 1.0], [1.5, 1.65, 1.0], [1.5, 1.65, 1.0], [1.45, 1.6, 1.0]])
"""Bend at each joint of a fist, radians."""


def hand_points(body: Body, motion: Motion, side: int, elbow: Array, wrist: Array, frame: Array) -> Array:
    """The 21 points of a hand: [n, 21, 3], in the order root, thumb, forefinger, middle, ring, little finger."""
    along, toward_thumb, out_of_palm = _hand_frame(motion, side, elbow, wrist, frame)
    result = np.repeat(wrist[:, None], 21, axis=1)
    curl, spread = motion.fingers[:, side], motion.spread[:, side]
    for finger in range(FINGERS):
        ahead, across = _KNUCKLES[finger] * body.hand
        place = wrist + ahead * along + across * toward_thumb
        fan = (_FAN[finger] * (0.7 + 0.6 * spread))[:, None]
        straight = np.cos(fan) * along + np.sin(fan) * toward_thumb
        first = 1 + 4 * finger
        result[:, first] = place
        bend = np.zeros(len(motion))
        for joint in range(3):
            bend = bend + (0.08 + curl[:, finger]) * _BEND[finger, joint]
            direction = np.cos(bend)[:, None] * straight + np.sin(bend)[:, None] * out_of_palm
            place = place + _BONES[finger, joint] * body.hand * direction
            result[:, first + joint + 1] = place
    return result


def _hand_frame(motion: Motion, side: int, elbow: Array, wrist: Array, frame: Array) -> tuple[Array, Array, Array]:
    """Unit vectors [n, 3]: along the hand, toward the thumb, and the way the palm looks."""
    sign = SIDES[side]
    along = wrist - elbow
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    inward = frame @ np.array([-sign, 0, 0.2])
    inward = inward - (inward * along).sum(-1, keepdims=True) * along
    inward = inward / np.maximum(np.linalg.norm(inward, axis=-1, keepdims=True), 1e-9)
    up = np.cross(along, inward) * -sign
    angle = (motion.palms[:, side] * np.pi / 2)[:, None]
    out_of_palm = np.cos(angle) * inward + np.sin(angle) * up
    toward_thumb = np.cross(along, out_of_palm) * -sign
    return along, toward_thumb, out_of_palm
