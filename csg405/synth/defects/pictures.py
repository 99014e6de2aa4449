"""Defects of the pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from csg405.synth.defects._defect import TakeDefect
from csg405.synth.film import Take
from csg405.synth.footage import Effect
from csg405.synth.picture_effects import Barred, Blurred, Captioned, Exposed, Frozen, Repeated


def _with(effect: Callable[[float], Effect]) -> Callable[[Take, float, np.random.Generator], Take]:
    """A plant that lays an effect of the defect's size on the pictures."""

    def plant(take: Take, size: float, rng: np.random.Generator) -> Take:
        del rng
        return dataclasses.replace(take, pictures=(effect(size),))

    return plant


def _frozen(take: Take, size: float, rng: np.random.Generator) -> Take:
    return dataclasses.replace(take, pictures=(Frozen(float(rng.uniform(0.1, 0.9)) * (1 - size), size),))


def _captions(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    return dataclasses.replace(take, pictures=(Captioned(take.text, size),))


DEFECTS = (
    TakeDefect(
        name="blur", what="out of focus", names=("sharpness",),
        unit="deviation, in heights of the picture", sizes=(0.002, 0.008, 0.02), plant=_with(Blurred),
    ),
    TakeDefect(
        name="dark", what="hardly any light", names=("exposure",),
        unit="mean luma, 0-255", sizes=(38, 18, 8), plant=_with(Exposed),
    ),
    TakeDefect(
        name="overexposed", what="far too much light", names=("exposure",),
        unit="mean luma, 0-255", sizes=(218, 234, 250), plant=_with(Exposed),
    ),
    TakeDefect(
        name="frozen", what="the picture stops for a while", names=("repeated_frames", "static_image"),
        unit="part of the take", sizes=(0.2, 0.45, 0.8), plant=_frozen,
    ),
    TakeDefect(
        name="repeated_frames", what="pictures are shown several times", names=("repeated_frames",),
        unit="part of the pictures", sizes=(0.2, 0.5, 0.8), plant=_with(Repeated),
    ),
    TakeDefect(
        name="black_bars", what="black bars left and right", awaits="black_bars",
        unit="part of the picture", sizes=(0.08, 0.25, 0.6), plant=_with(Barred),
    ),
    TakeDefect(
        name="captions", what="what is said is written into the picture", awaits="captions",
        unit="height of a line, of the picture's", sizes=(0.03, 0.06, 0.1), plant=_captions,
    ),
)  # fmt: skip
