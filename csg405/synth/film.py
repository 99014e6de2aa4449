"""Films of the synthetic world: takes of talkers, one after the other, with the truth of every picture.

A take is one talker saying one monologue before one camera: a shot. Everything follows from numbers, so the same
seed gives the same film, and a take can be looked at without drawing a picture of it: `truth` is what the benchmark
trains on by the hour.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csg405 import media
from csg405.media import AUDIO_RATE_HZ
from csg405.media.decode import Image
from csg405.schema import FloatArray, IntArray
from csg405.synth import speech, talker, texts
from csg405.synth.body import Motion, points
from csg405.synth.draw import Shot
from csg405.synth.motion import perform
from csg405.synth.talker import Camera, Setting, Talker

_LEAD_S = 0.3
"""Silence before and after a monologue, s."""


@dataclasses.dataclass(frozen=True)
class Take:
    """One talker, one monologue, one camera."""

    talker: Talker
    text: str
    camera: Camera
    setting: Setting
    seed: int
    """Of the motion."""
    fps: float = 25.0

    @functools.cached_property
    def speech(self) -> speech.Speech:
        """What is said, with silence around it."""
        said = speech.say(self.text, voice=self.talker.voice)
        lead = np.zeros(round(_LEAD_S * AUDIO_RATE_HZ), np.float32)
        words = tuple(
            dataclasses.replace(
                word,
                start_s=word.start_s + _LEAD_S,
                end_s=word.end_s + _LEAD_S,
                stress_s=None if word.stress_s is None else word.stress_s + _LEAD_S,
            )
            for word in said.words
        )
        sounds = tuple(
            dataclasses.replace(sound, start_s=sound.start_s + _LEAD_S, end_s=sound.end_s + _LEAD_S)
            for sound in said.sounds
        )
        return speech.Speech(np.concatenate([lead, said.samples, lead]), words, sounds)

    @property
    def n_frames(self) -> int:
        """Whole pictures in the take."""
        return int(self.speech.seconds * self.fps)

    @functools.cached_property
    def motion(self) -> Motion:
        """How the talker moves, picture by picture."""
        times_s = np.arange(self.n_frames) / self.fps
        return perform(self.speech, self.talker.style, times_s, np.random.default_rng([405, self.seed]))

    def samples(self) -> FloatArray:
        """The sound that belongs to the pictures: 16 kHz mono."""
        count = round(self.n_frames / self.fps * AUDIO_RATE_HZ)
        return np.pad(self.speech.samples, (0, max(0, count - len(self.speech.samples))))[:count]

    def keypoints(self) -> FloatArray:
        """The 133 points of every picture, [n_frames, 133, 2] in pixels, without drawing one."""
        seen: FloatArray = self.camera.project(points(self.talker.body, self.motion))[..., :2].astype(np.float32)
        return seen

    def draw(self) -> Iterator[tuple[Image, npt.NDArray[np.bool_]]]:
        """Every picture [height, width, 3] RGB with which of its points can be seen [133]."""
        shot = Shot(self.talker, self.motion, self.camera, self.setting)
        for frame in range(self.n_frames):
            yield shot.draw(frame)


def take(seed: int, *, who: int | None = None, words: int = 40, width: int = 1280, height: int = 720) -> Take:
    """A sound take: a talker who speaks for a while, hands in the picture.

    Args:
        seed: of text, camera, setting and motion.
        who: the talker's number; the seed's own when missing.
        words: of the monologue, at least.
        width: of the picture, px.
        height: of the picture, px.
    """
    rng = np.random.default_rng([7, seed])
    return Take(
        talker=talker.talker(seed if who is None else who),
        text=texts.monologue(rng, words=words),
        camera=talker.camera(rng, width=width, height=height),
        setting=talker.setting(rng),
        seed=seed,
    )


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is known of a film."""

    keypoints_px: FloatArray
    """[n, 133, 2]"""
    visible: npt.NDArray[np.bool_]
    """[n, 133]"""
    takes: npt.NDArray[np.int64]
    """[n] number of the take that each picture is of."""


def write(path: Path, takes: Sequence[Take], *, crf: int = 20) -> Truth:
    """Draw takes one after the other into a film.

    Args:
        path: the mp4 to write, whole or not at all.
        takes: of one size and rate.
        crf: x264's constant quality.

    Returns:
        The truth of every picture.

    Raises:
        ValueError: takes of different sizes or rates.
    """
    kinds = {(one.camera.width, one.camera.height, one.fps) for one in takes}
    if len(kinds) != 1:
        raise ValueError(f"takes of one film have one size and rate, these have {sorted(kinds)}")
    ((width, height, fps),) = kinds
    visible: list[npt.NDArray[np.bool_]] = []
    sound = np.concatenate([one.samples() for one in takes])
    media.write_film(path, _pictures(takes, visible), _pcm(sound), size=(width, height), fps=fps, crf=crf)
    return Truth(
        keypoints_px=np.concatenate([one.keypoints() for one in takes]),
        visible=np.stack(visible),
        takes=np.repeat(np.arange(len(takes)), [one.n_frames for one in takes]),
    )


def _pictures(takes: Sequence[Take], visible: list[npt.NDArray[np.bool_]]) -> Iterator[Image]:
    for one in takes:
        for picture, seen in one.draw():
            visible.append(seen)
            yield picture


def _pcm(samples: FloatArray) -> IntArray:
    return np.rint(np.clip(samples, -1, 1) * np.iinfo(np.int16).max).astype(np.int16)
