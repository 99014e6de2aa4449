"""Defects of what the talker does."""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405.synth.cast import ClosedLips, HandBehindBack
from csg405.synth.defects._defect import TakeDefect
from csg405.synth.film import Take
from csg405.synth.sound_effects import Hushed


def _hand_hidden(take: Take, size: float, rng: np.random.Generator) -> Take:
    return dataclasses.replace(take, acting=(HandBehindBack(int(rng.integers(2)), size),))


def _turned_away(take: Take, size: float, rng: np.random.Generator) -> Take:
    turn = float(rng.choice([-1, 1])) * np.radians(size)
    return dataclasses.replace(take, camera=dataclasses.replace(take.camera, turn=float(turn)))


def _nobody_speaking(take: Take, size: float, rng: np.random.Generator) -> Take:
    music, seed = bool(rng.random() < 0.5), int(rng.integers(2**31))
    return dataclasses.replace(take, acting=(ClosedLips(size),), sounds=(Hushed(size, music=music, seed=seed),))


def _too_short(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    words = take.text.split()[: max(1, int(size * take.talker.voice.words_per_minute / 60))]
    return dataclasses.replace(take, text=" ".join(words).rstrip(",;:.?!") + ".")


DEFECTS = (
    TakeDefect(
        name="hand_hidden", what="a hand goes behind the back", names=("hands_visible",),
        unit="part of the take", sizes=(0.45, 0.85, 1.0), plant=_hand_hidden,
    ),
    TakeDefect(
        name="turned_away", what="the talker does not look at the camera", names=("frontal",),
        unit="degrees", sizes=(18, 70, 150), plant=_turned_away,
    ),
    TakeDefect(
        name="nobody_speaking", what="the talker gestures with closed lips to a quiet room or to music",
        names=("no_speech", "speech"), unit="part of the take", sizes=(0.5, 1.0, 1.0), plant=_nobody_speaking,
    ),
    TakeDefect(
        name="too_short", what="a few words, alone in their shot", names=("too_short",),
        unit="seconds of speech, about", sizes=(3.8, 2.6, 1.2), plant=_too_short,
    ),
)  # fmt: skip
