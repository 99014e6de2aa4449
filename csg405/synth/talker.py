"""Who talks, where, and how they are filmed: everything that a seed decides."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from csg405.synth.body import Array, Body
from csg405.synth.motion import SHAPES, Style
from csg405.synth.speech import ACCENTS, VARIANTS, Voice

Colour = tuple[int, int, int]
"""RGB, 0-255."""

Hair = Literal["short", "bob", "long", "bun", "bald"]
Room = Literal["wall", "panels", "shelf", "window", "curtain", "studio"]

_SKIN: tuple[Colour, ...] = (
    (255, 224, 196), (241, 194, 160), (224, 172, 138), (198, 134, 96), (160, 104, 72), (122, 78, 54), (92, 58, 42),
)  # fmt: skip
_HAIR: tuple[Colour, ...] = (
    (30, 24, 22), (58, 40, 30), (96, 64, 40), (140, 94, 54), (196, 156, 96), (150, 60, 34), (168, 168, 172),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """How a talker looks."""

    skin: Colour = (224, 172, 138)
    hair: Colour = (58, 40, 30)
    cut: Hair = "short"
    clothes: Colour = (60, 80, 120)
    shirt: Colour = (235, 235, 230)
    sleeves: Literal["long", "short"] = "long"
    jacket: bool = True
    lips: Colour = (180, 90, 85)
    eyes: Colour = (80, 60, 40)
    glasses: bool = False
    beard: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Talker:
    """A person."""

    seed: int
    body: Body
    style: Style
    voice: Voice
    look: Look


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera in front of the talker, with no distortion."""

    width: int = 1280
    height: int = 720
    distance_m: float = 2.2
    focal: float = 1.5
    """Focal length in heights of the picture."""
    level_m: float = 0.36
    """What it looks at: height above the hips."""
    aside_m: float = 0.0
    """What it looks at: to the talker's left."""
    turn: float = 0.0
    """The talker is turned by so much to their left, radians."""
    roll: float = 0.0
    """Radians, clockwise."""

    def project(self, points: Array) -> Array:
        """Points [..., 3] in space as [..., 3]: x and y in pixels, and the distance from the camera in metres."""
        sin, cos = np.sin(self.turn), np.cos(self.turn)
        x = points[..., 0] * cos + points[..., 2] * sin - self.aside_m
        z = points[..., 2] * cos - points[..., 0] * sin
        y = points[..., 1] - self.level_m
        deep = np.maximum(self.distance_m - z, 0.05)
        scale = self.focal * self.height / deep
        sin, cos = np.sin(self.roll), np.cos(self.roll)
        across, down = x * scale, -y * scale
        column = (self.width - 1) / 2 + across * cos - down * sin
        row = (self.height - 1) / 2 + across * sin + down * cos
        return np.stack([column, row, deep], axis=-1)

    @property
    def pixels_per_m(self) -> float:
        """At the talker's distance."""
        return self.focal * self.height / self.distance_m


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """Where somebody is filmed."""

    room: Room = "wall"
    colours: tuple[Colour, Colour] = ((200, 196, 186), (150, 140, 128))
    light: float = 1.0
    """Brightness of all that is drawn."""
    lamp: float = 0.4
    """How much brighter one side is than the other; positive: the picture's left."""
    seed: int = 0
    """Of the things that stand about."""


def talker(seed: int) -> Talker:
    """A person by number: body, looks, voice and manner."""
    rng = np.random.default_rng([405, seed])
    return Talker(seed=seed, body=_body(rng), look=_look(rng), voice=_voice(rng), style=_style(rng))


def _near(rng: np.random.Generator, middle: float, spread: float) -> float:
    return float(middle * (1 + spread * np.clip(rng.standard_normal(), -2, 2)))


def _body(rng: np.random.Generator) -> Body:
    size = _near(rng, 1.0, 0.05)
    return Body(
        torso=_near(rng, 0.50, 0.04) * size,
        shoulders=_near(rng, 0.185, 0.07) * size,
        hips=_near(rng, 0.12, 0.07) * size,
        neck=_near(rng, 0.065, 0.12),
        upper_arm=_near(rng, 0.29, 0.05) * size,
        forearm=_near(rng, 0.25, 0.05) * size,
        hand=_near(rng, 0.185, 0.06) * size,
        head=_near(rng, 1.0, 0.04),
        face_width=_near(rng, 1.0, 0.06),
        jaw=_near(rng, 1.0, 0.07),
        eyes=_near(rng, 1.0, 0.05),
        nose=_near(rng, 1.0, 0.10),
        mouth=_near(rng, 1.0, 0.08),
    )


def _look(rng: np.random.Generator) -> Look:
    skin = _SKIN[rng.integers(len(_SKIN))]
    cuts: tuple[Hair, ...] = ("short", "short", "bob", "long", "bun", "bald")
    return Look(
        skin=skin,
        hair=_HAIR[rng.integers(len(_HAIR))],
        lips=_colour(np.clip(np.array(skin) * [0.86, 0.52, 0.52] + [10, 5, 8], 0, 255)),
        shirt=_colour(rng.integers(150, 256, 3)),
        clothes=_colour(rng.integers(20, 220, 3)),
        cut=cuts[rng.integers(len(cuts))],
        sleeves="long" if rng.random() < 0.7 else "short",
        jacket=bool(rng.random() < 0.5),
        eyes=((70, 50, 34), (60, 90, 120), (70, 100, 70))[rng.integers(3)],
        glasses=bool(rng.random() < 0.2),
        beard=bool(rng.random() < 0.15),
    )


def _colour(values: Array | npt.NDArray[np.int64]) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _voice(rng: np.random.Generator) -> Voice:
    return Voice(
        accent=str(rng.choice(ACCENTS)),
        variant=str(rng.choice(VARIANTS)),
        pitch=int(rng.integers(35, 66)),
        words_per_minute=int(rng.integers(135, 186)),
        pitch_range=int(rng.integers(40, 80)),
    )


def _style(rng: np.random.Generator) -> Style:
    shapes = tuple(str(shape) for shape in rng.choice(list(SHAPES), size=3, replace=False))
    return Style(
        amplitude=float(rng.uniform(0.75, 1.35)),
        rate=float(rng.uniform(0.5, 0.8)),
        right=float(rng.beta(2, 1)),
        together=float(rng.uniform(0.3, 0.7)),
        shapes=shapes,
        palms=float(rng.uniform(-0.2, 0.6)),
        reach_m=float(rng.uniform(0.24, 0.32)),
        height_m=float(rng.uniform(0.20, 0.30)),
        sway=float(rng.uniform(0.6, 1.4)),
        mouth_m=float(rng.uniform(0.017, 0.024)),
        blinks_hz=float(rng.uniform(0.2, 0.45)),
    )


def camera(rng: np.random.Generator, *, width: int = 1280, height: int = 720) -> Camera:
    """A framing that suits gesture: head to hips, the hands in the picture, nearly frontal."""
    return Camera(
        width=width,
        height=height,
        distance_m=float(rng.uniform(1.9, 2.8)),
        focal=float(rng.uniform(1.75, 2.05)),
        level_m=float(rng.uniform(0.36, 0.42)),
        aside_m=float(rng.uniform(-0.15, 0.15)),
        turn=float(rng.uniform(-0.25, 0.25)),
        roll=float(rng.normal(0, 0.01)),
    )


def setting(rng: np.random.Generator) -> Setting:
    """A place to film."""
    first = rng.integers(70, 235, 3)
    second = np.clip(first * rng.uniform(0.5, 0.85) + rng.integers(-15, 15, 3), 0, 255)
    rooms: tuple[Room, ...] = ("wall", "panels", "shelf", "window", "curtain", "studio")
    return Setting(
        room=rooms[rng.integers(len(rooms))],
        colours=(_colour(first), _colour(second)),
        light=float(rng.uniform(0.85, 1.1)),
        lamp=float(rng.uniform(-0.35, 0.35)),
        seed=int(rng.integers(2**31)),
    )
