"""Defects of where the camera is and what it does."""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405.synth import talker
from csg405.synth.camera_path import Pan, Shake
from csg405.synth.defects._defect import TakeDefect
from csg405.synth.film import Cut, Take
from csg405.synth.places import opposite, place, tone_of
from csg405.synth.talker import Camera

_FACE_M = 0.153
"""From the brows to the chin of a head of scale 1, m."""

_ABOVE_M = 0.33
"""From the neck's top to a little above the crown of a head of scale 1, m."""

_LONGEST_S = 20.0
"""No take is longer, s."""


def _hands_out(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    body = take.talker.body
    low, high = size * body.torso, body.torso + body.neck + _ABOVE_M * body.head
    camera = dataclasses.replace(
        take.camera, focal=take.camera.distance_m / (high - low), level_m=(low + high) / 2, aside_m=0.0
    )
    return dataclasses.replace(take, camera=camera)


def _small_face(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    person = take.talker
    standing = dataclasses.replace(person, body=dataclasses.replace(person.body, stands=True))
    px_per_m = size * take.camera.height / 720 / (_FACE_M * person.body.head)
    distance_m = take.camera.focal * take.camera.height / px_per_m
    camera = dataclasses.replace(take.camera, distance_m=distance_m, level_m=0.0, aside_m=4 * take.camera.aside_m)
    return dataclasses.replace(take, talker=standing, camera=camera)


def _shaking(take: Take, size: float, rng: np.random.Generator) -> Take:
    return dataclasses.replace(take, path=Shake(size, int(rng.integers(2**31))))


def _camera_motion(take: Take, size: float, rng: np.random.Generator) -> Take:
    return dataclasses.replace(take, path=Pan(size, float(rng.uniform(0, 2 * np.pi))))


def _another(take: Take, rng: np.random.Generator) -> Camera:
    """Another camera on the same talker."""
    return dataclasses.replace(
        talker.camera(rng, width=take.camera.width, height=take.camera.height),
        aside_m=float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.4)),
        turn=float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.35)),
    )


def _cuts_inside(take: Take, size: float, rng: np.random.Generator) -> Take:
    """Two cameras in turn, of which each sees another wall of the room."""
    walls = (place(rng, tone=opposite(tone_of(take.setting))), take.setting)
    cuts: list[Cut] = []
    at_s = 0.0
    while at_s < _LONGEST_S:
        at_s += size * float(rng.uniform(0.9, 1.1))
        cuts.append(Cut(at_s, _another(take, rng), walls[len(cuts) % 2]))
    return dataclasses.replace(take, cuts=tuple(cuts))


def _dissolve(take: Take, size: float, rng: np.random.Generator) -> Take:
    setting = place(rng, tone=tone_of(take.setting))
    cut = Cut(0.5 * take.about_s, _another(take, rng), setting, fade_s=size)
    return dataclasses.replace(take, cuts=(cut,))


DEFECTS = (
    TakeDefect(
        name="hands_out", what="the picture ends above the hands", names=("hands_visible", "upper_body_in_frame"),
        unit="lower edge of the picture above the hips, in lengths of the torso", sizes=(0.12, 0.72, 0.95),
        plant=_hands_out,
    ),
    TakeDefect(
        name="small_face", what="the talker stands far away", names=("face_size", "person_size"),
        unit="height of the face in a picture of 720, px", sizes=(48, 30, 20), plant=_small_face,
    ),
    TakeDefect(
        name="shaking", what="the camera shakes too fast to be followed", names=("skeleton_jitter",),
        unit="deviation, in heights of the picture", sizes=(0.005, 0.016, 0.035), plant=_shaking,
    ),
    TakeDefect(
        name="camera_motion", what="the camera pans", awaits="camera_motion",
        unit="mean speed, in heights of the picture a second", sizes=(0.03, 0.12, 0.3), plant=_camera_motion,
    ),
    TakeDefect(
        name="cuts_inside", what="two cameras in turn on the same talker", names=("too_short",),
        unit="seconds from cut to cut", sizes=(4.6, 2.2, 1.0), plant=_cuts_inside,
    ),
    TakeDefect(
        name="dissolve", what="one camera's picture becomes another's", awaits="dissolve",
        unit="seconds that it takes", sizes=(0.4, 1.5, 3.0), plant=_dissolve,
    ),
)  # fmt: skip
