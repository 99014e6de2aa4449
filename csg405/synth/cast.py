"""Who else is in the picture, and what talkers do beside talking."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.synth.body import SIDES, STANDING_M, STRIDE_M, Array, Motion
from csg405.synth.draw import Person
from csg405.synth.motion import SHAPES, least_jerk, perform
from csg405.synth.speech import Speech
from csg405.synth.talker import Camera, Setting, Talker

_BEHIND_M = np.array([0.03, 0.14, -0.17])
"""Where a hand rests behind the back: outward, up and forward from the hips, m."""

_AWAY_S = 0.6
"""A hand gets behind the back in so long, s."""


class Acting(Protocol):
    """Changes how a talker moves."""

    def __call__(self, motion: Motion, times_s: Array) -> Motion:
        """The changed motion at the same times [n]."""
        ...


@dataclasses.dataclass(frozen=True)
class HandBehindBack:
    """A hand goes behind the back and stays there."""

    side: int
    part: float
    """Of the take, up to its end; from 1 on, the hand is there from the beginning."""

    def __call__(self, motion: Motion, times_s: Array) -> Motion:
        """See `Acting`."""
        begin_s = (1 - self.part) * float(times_s[-1]) if self.part < 1 else -10.0
        gone = least_jerk((times_s - begin_s) / _AWAY_S)
        place = _BEHIND_M * [SIDES[self.side], 1, 1]
        return dataclasses.replace(
            motion,
            wrists=_moved(motion.wrists, self.side, place, gone),
            fingers=_moved(motion.fingers, self.side, np.array(SHAPES["relaxed"]), gone),
            palms=_moved(motion.palms[..., None], self.side, np.zeros(1), gone)[..., 0],
        )


def _moved(values: Array, side: int, target: Array, part: Array) -> Array:
    """A side of [n, 2, k] on the way to a target [k]: [n] how far."""
    result = values.copy()
    result[:, side] += part[:, None] * (target - result[:, side])
    return result


@dataclasses.dataclass(frozen=True)
class ClosedLips:
    """The lips close and stay closed."""

    part: float
    """Of the take, up to its end."""

    def __call__(self, motion: Motion, times_s: Array) -> Motion:
        """See `Acting`."""
        begin_s = (1 - self.part) * float(times_s[-1])
        opened = 1 - least_jerk((times_s - begin_s) / 0.2) if self.part < 1 else np.zeros(len(times_s))
        return dataclasses.replace(motion, mouth_open=motion.mouth_open * opened, mouth_wide=motion.mouth_wide * opened)


def idle(talker: Talker, times_s: Array, *, seed: int) -> Motion:
    """Somebody who sits and listens: breath, blinks, hands at rest."""
    silence = np.zeros(round((float(times_s[-1]) + 1) * AUDIO_RATE_HZ), np.float32)
    return perform(Speech(silence, (), ()), talker.style, times_s, np.random.default_rng([406, seed]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bystander:
    """Somebody beside the talker, who says nothing."""

    talker: Talker
    aside_m: float
    """Where: to the picture's right of the talker's place."""
    nearer_m: float
    """To the camera than the talker; negative: behind them."""
    turn: float
    """To their left, radians."""
    seed: int
    stands: bool = False

    def person(self, times_s: Array, camera: Camera, setting: Setting) -> Person:
        """As a camera that looks at the talker sees them at times [n]."""
        seen_by = dataclasses.replace(
            camera, turn=self.turn, aside_m=camera.aside_m - self.aside_m, distance_m=camera.distance_m - self.nearer_m
        )
        body = dataclasses.replace(self.talker.body, stands=self.stands)
        motion = self._moved(idle(self.talker, times_s, seed=self.seed), times_s)
        motion = dataclasses.replace(motion, root=motion.root + np.array([0, STANDING_M * self.stands, 0]))
        return Person(dataclasses.replace(self.talker, body=body), motion, seen_by, setting)

    def _moved(self, motion: Motion, times_s: Array) -> Motion:
        del times_s
        return motion


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passer(Bystander):
    """Somebody who walks through the picture, from `aside_m` on, the way that they are turned."""

    stands: bool = True
    begin: float
    """Part of the take before they set out."""
    part: float
    """Of the take, until they have arrived."""
    way_m: float

    def _moved(self, motion: Motion, times_s: Array) -> Motion:
        done = np.clip((times_s / times_s[-1] - self.begin) / self.part, 0, 1)
        step = 2 * np.pi * self.way_m * done / STRIDE_M
        along = np.sign(np.sin(self.turn)) * self.way_m * done
        root = np.stack([along * np.cos(self.turn), 0.012 * np.cos(2 * step), along * np.sin(self.turn)], axis=1)
        swing = 0.16 * np.sin(step)
        hands = [np.stack([0 * swing + sign * 0.22, 0 * swing + 0.02, -sign * swing], axis=1) for sign in SIDES]
        return dataclasses.replace(motion, root=root, wrists=np.stack(hands, axis=1), torso=0 * motion.torso)
