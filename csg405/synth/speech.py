"""Speech from text by espeak-ng, with the times of its words and sounds.

espeakng-loader carries the library and its voices in a wheel (GPL-3, so it is an extra and no part of csg405). Every
text is spoken by a process of its own, see `csg405.synth._espeak`: the same text and voice give the same samples.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from math import gcd
from typing import Any

import numpy as np

from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ
from csg405.schema import FloatArray

_WORD, _PHONEME = 1, 7
"""Kinds of event."""

ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-029")
"""Ways of speaking English that espeak-ng knows."""

VARIANTS = ("f1", "f2", "f3", "f4", "f5", "Annie", "linda", "steph", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8",
            "Andy", "Michael", "paul", "max")  # fmt: skip
"""Voices of women and men; an accent and a variant together are a voice."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """How somebody speaks."""

    accent: str = "en-us"
    variant: str = "m3"
    words_per_minute: int = 165
    pitch: int = 50
    """0 to 100; 50 is the variant's own."""
    pitch_range: int = 50
    """0 (flat) to 100 (lively)."""


@dataclasses.dataclass(frozen=True)
class Word:
    """A word in time."""

    text: str
    start_s: float
    end_s: float
    stress_s: float | None
    """Start of its stressed vowel; None for a word that is not stressed."""


@dataclasses.dataclass(frozen=True)
class Sound:
    """A speech sound in time, in espeak-ng's letters without stress marks."""

    symbol: str
    start_s: float
    end_s: float


@dataclasses.dataclass(frozen=True)
class Speech:
    """What was said."""

    samples: FloatArray
    """[n] mono at 16 kHz, -1 to 1."""
    words: tuple[Word, ...]
    sounds: tuple[Sound, ...]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / AUDIO_RATE_HZ


def say(text: str, *, voice: Voice | None = None) -> Speech:
    """Speak a text.

    Args:
        text: English, in sentences.
        voice: how; a plain one when missing.

    Returns:
        The sound with its words and sounds in time.

    Raises:
        UserError: espeak-ng is not installed, or it has no such voice.
    """
    voice = voice or Voice()
    order = {**_installed(), **dataclasses.asdict(voice), "text": text, "voice": f"{voice.accent}+{voice.variant}"}
    done = subprocess.run(
        [sys.executable, "-m", "csg405.synth._espeak"], input=json.dumps(order).encode() + b"\n", capture_output=True,
        check=True,
    )  # fmt: skip
    head, _, sound = done.stdout.partition(b"\n")
    answer = json.loads(head)
    if "error" in answer:
        raise UserError(f"{answer['error']}: {text[:40]!r}")
    pcm: FloatArray = (np.frombuffer(sound, np.int16) / 32768).astype(np.float32)
    return _assemble(text, pcm, answer["rate_hz"], answer["events"])


def _installed() -> dict[str, str]:
    """Where espeak-ng lies."""
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise UserError("speech is made by espeak-ng, which is not installed; run `make setup EXTRAS=demo`") from error
    return {"library": str(espeakng_loader.get_library_path()), "data": str(espeakng_loader.get_data_path())}


def _assemble(text: str, pcm: FloatArray, rate_hz: int, events: list[list[Any]]) -> Speech:
    length_s = len(pcm) / rate_hz
    phonemes = [(sample / rate_hz, symbol) for kind, sample, _, _, symbol in events if kind == _PHONEME and symbol]
    ends = [start for start, _ in phonemes[1:]] + [length_s]
    sounds = tuple(
        Sound(symbol.strip("',"), start, end)
        for (start, symbol), end in zip(phonemes, ends, strict=True)
        if end > start
    )
    starts = [(sample / rate_hz, at - 1, count) for kind, sample, at, count, _ in events if kind == _WORD]
    word_ends = [start for start, _, _ in starts[1:]] + [length_s]
    stresses = [start for start, symbol in phonemes if symbol.startswith("'")]
    pauses = [sound.start_s for sound in sounds if sound.symbol.startswith("_")]
    words = []
    for (start, at, count), next_start in zip(starts, word_ends, strict=True):
        end = min([next_start, *(pause for pause in pauses if start < pause < next_start)])
        stress = next((time for time in stresses if start <= time < end), None)
        words.append(Word(text[at : at + count], start, end, stress))
    return Speech(_resample(pcm, rate_hz), tuple(words), sounds)


def _resample(pcm: FloatArray, rate_hz: int) -> FloatArray:
    """To 16 kHz."""
    from scipy.signal import resample_poly

    shared = gcd(rate_hz, AUDIO_RATE_HZ)
    return np.asarray(resample_poly(pcm, AUDIO_RATE_HZ // shared, rate_hz // shared), np.float32)
