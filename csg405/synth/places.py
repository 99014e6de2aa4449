"""Places that can be told apart: bright ones with pale colours, dark ones with strong colours.

A cut between two places of the same kind may be missed by a detector of cuts, as it may between two white offices;
where a cut is to be one, the places are of different kinds.
"""

from __future__ import annotations

import colorsys
import dataclasses
from typing import Literal

import numpy as np

from csg405.synth import talker
from csg405.synth.talker import Colour, Setting, Talker

Tone = Literal["bright", "dark"]

_RANGES: dict[Tone, tuple[tuple[float, float], tuple[float, float]]] = {
    "bright": ((0.06, 0.22), (0.78, 0.95)),
    "dark": ((0.45, 0.75), (0.25, 0.40)),
}
"""Saturation and value of a place's first colour."""

_BETWEEN = 0.58
"""Value that parts bright from dark."""


def place(rng: np.random.Generator, *, tone: Tone) -> Setting:
    """A place of a kind: with room, furniture and lamp as any other."""
    saturations, values = _RANGES[tone]
    hue, saturation, value = float(rng.random()), float(rng.uniform(*saturations)), float(rng.uniform(*values))
    first = _colour(hue, saturation, value)
    second = _colour(hue + float(rng.uniform(-0.06, 0.06)), saturation, 0.86 * value)
    return dataclasses.replace(talker.setting(rng), colours=(first, second))


_CLOTHES: dict[Tone, tuple[float, float]] = {"bright": (0.12, 0.45), "dark": (0.65, 0.95)}
"""Value of clothes that stand out in a place."""


def dressed(person: Talker, rng: np.random.Generator, *, tone: Tone) -> Talker:
    """A talker in clothes that stand out in places of a kind, and from which the hands stand out."""
    skin = max(person.look.skin) / 255
    value = max(rng.uniform(*_CLOTHES[tone], 4), key=lambda one: abs(float(one) - skin))
    clothes = _colour(float(rng.random()), float(rng.uniform(0.1, 0.7)), float(value))
    return dataclasses.replace(person, look=dataclasses.replace(person.look, clothes=clothes))


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, saturation, value))
    return red, green, blue


def tone_of(setting: Setting) -> Tone:
    """The kind that a place is of."""
    return "bright" if max(setting.colours[0]) > 255 * _BETWEEN else "dark"


def opposite(tone: Tone) -> Tone:
    """The other kind."""
    return "dark" if tone == "bright" else "bright"
