"""Defects of who is in the picture."""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405.synth import talker, texts
from csg405.synth.cast import Bystander, Passer
from csg405.synth.defects._defect import TakeDefect
from csg405.synth.film import Take
from csg405.synth.picture_effects import Slides, Still, Zoomed

_SEAT_M = 0.46
"""Two people sit so far to the left and the right of the picture's middle, m."""

_STANDS_BELOW = 0.6
"""Somebody farther away than this, by size, stands: there, legs are seen."""

_HALF_M = 0.6
"""Half of somebody who walks, with arms and legs, m."""

_WALK_M_S = 2.2
"""Somebody in a hurry."""


def _other(take: Take, rng: np.random.Generator) -> talker.Talker:
    """Somebody else."""
    return talker.talker(take.talker.seed + int(rng.integers(1, 100_000)))


def _two_people(take: Take, size: float, rng: np.random.Generator) -> Take:
    side = float(rng.choice([-1, 1]))
    other = Bystander(
        talker=_other(take, rng),
        aside_m=-2 * side * _SEAT_M / size**0.5,
        nearer_m=take.camera.distance_m * (1 - 1 / size),
        turn=float(rng.uniform(-0.2, 0.2)) + 0.3 * side,
        seed=int(rng.integers(2**31)),
        stands=size < _STANDS_BELOW,
    )
    camera = dataclasses.replace(take.camera, aside_m=-side * _SEAT_M, turn=take.camera.turn - 0.1 * side)
    return dataclasses.replace(take, camera=camera, others=(other,))


def _passer_by(take: Take, size: float, rng: np.random.Generator) -> Take:
    camera, right = take.camera, float(rng.choice([-1, 1]))
    nearer_m = float(rng.uniform(0.7, 0.8) if rng.random() < 0.2 else rng.uniform(-1.6, -1.0))
    half_m = (camera.distance_m - nearer_m) / camera.focal * 0.5 * camera.width / camera.height + _HALF_M
    part = min(1.0, size * half_m / (half_m - _HALF_M))  # in the picture with their middle, or with an arm
    way_m = min(2 * half_m, _WALK_M_S * part * take.about_s)
    whole = way_m >= 2 * half_m  # else the take begins with somebody on their way out
    other = Passer(
        talker=_other(take, rng),
        aside_m=camera.aside_m + right * (half_m - way_m),
        nearer_m=nearer_m,
        turn=right * 1.25,
        seed=int(rng.integers(2**31)),
        begin=float(rng.uniform(0.1, 1)) * (1 - part) if whole else 0.0,
        part=part,
        way_m=way_m,
    )
    return dataclasses.replace(take, others=(other,))


def _slides(take: Take, size: float, rng: np.random.Generator) -> Take:
    lines = tuple(texts.sentence(rng) for _ in range(12))
    return dataclasses.replace(take, pictures=(Slides(lines, int(rng.integers(2**31)), inset=size),))


def _still_photograph(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    return dataclasses.replace(take, pictures=(Still(size),))


def _near_duplicate(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    return dataclasses.replace(take, pictures=(Zoomed(size, gain=1 + size),))


DEFECTS = (
    TakeDefect(
        name="two_people", what="somebody else sits or stands beside the talker", names=("single_person",),
        unit="height of the other person, of the talker's", sizes=(0.28, 0.75, 1.0), plant=_two_people,
    ),
    TakeDefect(
        name="passer_by", what="somebody walks through, before or behind the talker", names=("single_person",),
        unit="part of the take", sizes=(0.12, 0.36, 0.7), plant=_passer_by,
    ),
    TakeDefect(
        name="slides", what="slides with a voice; the mild ones leave the talker in a corner",
        names=("no_person", "person_size"),
        unit="height of the talker's picture, of the whole one", sizes=(0.35, 0.0, 0.0), plant=_slides,
    ),
    TakeDefect(
        name="still_photograph", what="a photograph with a voice; the mild one is slowly enlarged",
        names=("static_image", "repeated_frames"),
        unit="enlargement over the take", sizes=(0.12, 0.0, 0.0), plant=_still_photograph,
    ),
    TakeDefect(
        name="near_duplicate", what="a take that is in another film too, a little enlarged and brighter",
        awaits="near_duplicate", unit="enlargement", sizes=(0.12, 0.04, 0.0), plant=_near_duplicate,
    ),
)  # fmt: skip
