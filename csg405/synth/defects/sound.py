"""Defects of the sound."""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405.media.clock import FRAME_MS
from csg405.synth import speech
from csg405.synth.defects._defect import TakeDefect
from csg405.synth.film import Take
from csg405.synth.sound_effects import Driven, Kind, Noise, OtherVoice, Shifted, SoundEffect

_EARLIEST = 15
"""Sound that comes early does so by no more frames."""


def _with(take: Take, effect: SoundEffect) -> Take:
    return dataclasses.replace(take, sounds=(effect,))


def _voice_over(take: Take, size: float, rng: np.random.Generator) -> Take:
    others = [variant for variant in speech.VARIANTS if variant != take.talker.voice.variant]
    voice = speech.Voice(
        accent=str(rng.choice(speech.ACCENTS)), variant=str(rng.choice(others)), pitch=int(rng.integers(35, 66))
    )
    return _with(take, OtherVoice(voice, int(rng.integers(2**31)), below_db=size))


def _shifted_audio(take: Take, size: float, rng: np.random.Generator) -> Take:
    frames = size if rng.random() < 0.6 else -min(size, _EARLIEST)
    lag_s = frames * FRAME_MS / 1000
    longer = dataclasses.replace(take, lead_s=max(take.lead_s, abs(lag_s) + 0.1))  # so that no word is lost
    return _with(longer, Shifted(lag_s))


def _noise(take: Take, size: float, rng: np.random.Generator) -> Take:
    kinds: tuple[Kind, ...] = ("pink", "babble", "music")
    return _with(take, Noise(size, kinds[rng.integers(len(kinds))], int(rng.integers(2**31))))


def _clipping(take: Take, size: float, rng: np.random.Generator) -> Take:
    del rng
    return _with(take, Driven(size))


DEFECTS = (
    TakeDefect(
        name="voice_over", what="another voice says something else over the talker's", names=("lip_sync", "lip_lag"),
        unit="dB that the talker's own voice lies below", sizes=(3, 40, 90), plant=_voice_over,
    ),
    TakeDefect(
        name="shifted_audio", what="the sound comes late or early", names=("lip_lag", "lip_sync"),
        unit="frames of 40 ms", sizes=(3, 9, 25), plant=_shifted_audio,
    ),
    TakeDefect(
        name="noise", what="noise, other people's talk or music under the voice", names=("signal_to_noise",),
        unit="dB of the voice over it", sizes=(12, 0, -8), plant=_noise,
    ),
    TakeDefect(
        name="clipping", what="the sound is cut off at full scale", names=("clipping", "loudness"),
        unit="dB of the loudest sample over full scale", sizes=(8, 16, 28), plant=_clipping,
    ),
)  # fmt: skip
