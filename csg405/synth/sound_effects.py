"""What can be done to a take's sound: [n] mono at 16 kHz in, as many samples out."""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

import numpy as np

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.schema import FloatArray
from csg405.synth import speech, texts
from csg405.synth.body import Array
from csg405.synth.speech import Voice

Kind = Literal["pink", "babble", "music"]

_FRAME = AUDIO_RATE_HZ // 50

_ROOM_TONE_DB = -62.0
"""Power of a quiet room, dB of full scale."""

_BABBLE = 5
"""Voices that babble."""


class SoundEffect(Protocol):
    """Changes a take's sound."""

    def __call__(self, samples: FloatArray) -> FloatArray:
        """As many samples."""
        ...


@dataclasses.dataclass(frozen=True)
class Hushed:
    """No voice, only the room or music, from some time on."""

    part: float
    """Of the take, up to its end."""
    music: bool
    seed: int

    def __call__(self, samples: FloatArray) -> FloatArray:
        """See `SoundEffect`."""
        rng = np.random.default_rng([408, self.seed])
        level = -30.0 if self.music else _ROOM_TONE_DB
        below = at_power(music(len(samples), rng) if self.music else pink(len(samples), rng), 10 ** (level / 10))
        begin = round((1 - self.part) * len(samples)) if self.part < 1 else 0
        fade = np.clip((begin + _FRAME - np.arange(len(samples))) / _FRAME, 0, 1) if begin else np.zeros(len(samples))
        return (samples * fade + below).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class OtherVoice:
    """Somebody else says something else over it."""

    voice: Voice
    seed: int
    """Of what is said."""
    below_db: float
    """How far the talker's own voice lies below."""

    def __call__(self, samples: FloatArray) -> FloatArray:
        """See `SoundEffect`."""
        other = narration(self.voice, np.random.default_rng([409, self.seed]), n_samples=len(samples))
        power = speech_power(samples)
        return (at_power(other, power * active(other).mean()) + samples * 10 ** (-self.below_db / 20)).astype(
            np.float32
        )


@dataclasses.dataclass(frozen=True)
class Shifted:
    """The sound comes late, or early where the lag is negative."""

    lag_s: float

    def __call__(self, samples: FloatArray) -> FloatArray:
        """See `SoundEffect`."""
        lag = round(self.lag_s * AUDIO_RATE_HZ)
        padded = np.pad(samples, (max(lag, 0), max(-lag, 0)))
        return padded[max(-lag, 0) :][: len(samples)]


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise, other people's talk or music beneath the voice."""

    snr_db: float
    """Power of the voice, where it speaks, over that of the noise."""
    kind: Kind
    seed: int

    def __call__(self, samples: FloatArray) -> FloatArray:
        """See `SoundEffect`."""
        rng = np.random.default_rng([410, self.seed])
        noise = {"pink": pink, "babble": babble, "music": music}[self.kind](len(samples), rng)
        return samples + at_power(noise, speech_power(samples) / 10 ** (self.snr_db / 10))


@dataclasses.dataclass(frozen=True)
class Driven:
    """Amplified beyond full scale and cut off there."""

    over_db: float
    """How far the loudest sample would lie above full scale."""

    def __call__(self, samples: FloatArray) -> FloatArray:
        """See `SoundEffect`."""
        peak = max(float(np.abs(samples).max()), 1e-6)
        return np.asarray(np.clip(samples / peak * 10 ** (self.over_db / 20), -1, 1), np.float32)


def active(samples: FloatArray) -> FloatArray:
    """Which samples are of frames of 20 ms that are not far quieter than the loudest ones: [n], 0 or 1."""
    whole = np.pad(np.square(samples.astype(np.float64)), (0, -len(samples) % _FRAME)).reshape(-1, _FRAME).mean(axis=1)
    heard = whole > 0.003 * np.percentile(whole, 95)
    return np.repeat(heard, _FRAME)[: len(samples)].astype(np.float32)


def speech_power(samples: FloatArray) -> float:
    """Mean square of the samples where somebody speaks; of all where nobody does."""
    power = np.square(samples.astype(np.float64))
    heard = active(samples) > 0
    return float(power[heard].mean() if heard.any() else power.mean())


def at_power(samples: FloatArray, power: float) -> FloatArray:
    """Samples scaled to a mean square."""
    own = float(np.square(samples.astype(np.float64)).mean())
    scaled: FloatArray = (samples * np.sqrt(power / max(own, 1e-12))).astype(np.float32)
    return scaled


def narration(voice: Voice, rng: np.random.Generator, *, n_samples: int) -> FloatArray:
    """A voice that speaks all the time."""
    seconds = n_samples / AUDIO_RATE_HZ
    said = speech.say(texts.monologue(rng, words=round(3.6 * seconds) + 8), voice=voice).samples
    return np.tile(said, -(-n_samples // len(said)))[:n_samples]


def pink(n_samples: int, rng: np.random.Generator) -> FloatArray:
    """Noise whose power falls with the frequency."""
    tones = np.fft.rfft(rng.standard_normal(n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / AUDIO_RATE_HZ)
    return np.asarray(np.fft.irfft(tones / np.sqrt(np.maximum(frequency, 40.0)), n_samples), np.float32)


def babble(n_samples: int, rng: np.random.Generator) -> FloatArray:
    """Several people who talk at once."""
    voices = rng.choice(speech.VARIANTS, size=_BABBLE, replace=False)
    talk = [at_power(narration(Voice(variant=str(variant)), rng, n_samples=n_samples), 1.0) for variant in voices]
    return np.asarray(np.sum(talk, axis=0), np.float32)


def music(n_samples: int, rng: np.random.Generator) -> FloatArray:
    """Four chords around, a bass, and drums."""
    times_s = np.arange(n_samples) / AUDIO_RATE_HZ
    beat_s = 60 / float(rng.uniform(92, 128))
    key = 220 * 2 ** (float(rng.integers(0, 7)) / 12)
    result = np.zeros(n_samples)
    for bar, begin_s in enumerate(np.arange(0, times_s[-1], 4 * beat_s)):
        root = (0, 9, 5, 7)[bar % 4]
        third = 3 if root == 9 else 4
        within = times_s - begin_s
        swell = np.clip(within / 0.05, 0, 1) * np.clip((4 * beat_s - within) / 0.1, 0, 1)
        for note in (root - 12, root, root + third, root + 7):
            result += swell * _string(times_s, key * 2 ** (note / 12))
    for number, begin_s in enumerate(np.arange(0, times_s[-1], beat_s / 2)):
        result += _drum(times_s - begin_s, rng, low=number % 4 == 0)
    return np.asarray(result, np.float32)


def _string(times_s: Array, hz: float) -> Array:
    harmonics = (np.sin(2 * np.pi * hz * number * times_s) / number**1.5 for number in range(1, 5))
    return np.asarray(0.15 * np.sum(list(harmonics), axis=0))


def _drum(after_s: Array, rng: np.random.Generator, *, low: bool) -> Array:
    """A bass drum or a hi-hat, struck at time 0."""
    heard = np.clip(after_s, 0, None)
    struck = after_s >= 0
    if low:
        return np.asarray(struck * 0.9 * np.exp(-heard / 0.09) * np.sin(2 * np.pi * 55 * heard))
    return np.asarray(struck * 0.12 * np.exp(-heard / 0.03) * rng.standard_normal(len(after_s)))
