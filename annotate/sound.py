"""Measure: how much of a clip is speech, how loud it is, how far above the background, and whether it clips.

Loudness is BS.1770's (by pyloudnorm), in LUFS. The signal-to-noise ratio compares the power inside the spans of
speech with the power outside them, from which the background is taken; it is missing where there is too little of
either. The height above the floor needs no spans: speech has gaps, if only before its stops, so the quietest tenth of
a clip is what lies under the voice (the minimum statistics of Martin, 2001, in their plainest form).

A voice that was cut off has flat tops. Codecs and volume controls move them off full scale, so what counts is the part
of the samples that lie near the clip's own ceiling, whatever its height: of a normal distribution it is 0.9 %, of a
Laplacian one 0.4 %, of a voice driven 16 dB over full scale and through AAC 8 % at least.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from csg405 import media
from csg405.config import Settings
from csg405.media import AUDIO_RATE_HZ, SAMPLES_PER_FRAME
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FloatArray, Record, Refusal, SpeechSpan, column

VERSION = "4"
SCOPE = "clip"
READS = (Clip, SpeechSpan)
NEEDS = Resources()

_LEAST_S = 0.2
"""Speech or background below this is too little to take a power from, s."""

_WINDOW = AUDIO_RATE_HZ // 50
"""Samples of a window whose power is taken for the floor: 20 ms, shorter than the gap before a stop."""

_FLOOR_PERCENT = 10

_CEILING_PERCENT = 99.9
"""The ceiling is the height that so many samples stay under."""

_NEAR_CEILING = 0.8
"""Samples from here on lie at the ceiling, of its height: within 1.9 dB, as far as AAC moves a flat top."""

_SILENCE_POWER = 1e-10
"""Floor of a power: -100 dB of full scale, below the noise of 16 bits."""


class Config(Settings):
    """Nothing to choose."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundQuality(Record):
    """Sound of one clip."""

    TABLE: ClassVar[str] = "measures/sound"

    clip_id: str = column("the clip")
    speech_fraction: float = column("part of the clip in which somebody is heard speaking", unit="0-1")
    loudness_lufs: float | None = column("integrated loudness, BS.1770; missing for silence", unit="LUFS")
    snr_db: float | None = column("power of the speech over that of the background", unit="dB")
    above_floor_db: float | None = column(
        "power of the clip over that of its quietest tenth, in windows of 20 ms; missing for silence", unit="dB"
    )
    clipped_fraction: float = column("samples within 1.9 dB of the height that 99.9 % of them stay under", unit="0-1")


WRITES = (SoundQuality, Refusal)


class Operator:
    """Measures sound."""

    def __init__(self, setting: Setting) -> None:
        import pyloudnorm

        del setting
        self.meter = pyloudnorm.Meter(AUDIO_RATE_HZ)

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row; a refusal when the sound cannot be decoded."""
        clip = item.the_clip()
        try:
            samples = media.sound(item.media, start_ms=clip.start_ms, n_samples=SAMPLES_PER_FRAME * clip.n_frames)
        except media.Unreadable as error:
            yield Refusal(reason=error.reason, detail=error.detail, start_s=clip.start_s, end_s=clip.end_s)
            return
        spoken = speech_mask(clip, item.read(SpeechSpan))
        yield SoundQuality(
            clip_id=clip.clip_id,
            speech_fraction=float(spoken.mean()),
            loudness_lufs=self._loudness(samples),
            snr_db=signal_to_noise_db(samples, spoken),
            above_floor_db=above_floor_db(samples),
            clipped_fraction=clipped_fraction(samples),
        )

    def _loudness(self, samples: FloatArray) -> float | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the logarithm of silence
            loudness = float(self.meter.integrated_loudness(samples.astype(np.float64)))
        return loudness if math.isfinite(loudness) else None


def speech_mask(clip: Clip, spans: Iterable[SpeechSpan]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which samples of a clip's sound lie in spans of speech: [640 n_frames]."""
    mask = np.zeros(SAMPLES_PER_FRAME * clip.n_frames, np.bool_)
    for span in spans:
        first, last = (round((edge - clip.start_s) * AUDIO_RATE_HZ) for edge in (span.start_s, span.end_s))
        if last > 0:
            mask[max(first, 0) : last] = True
    return mask


def signal_to_noise_db(samples: FloatArray, spoken: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    """Power of the speech alone over that of the background, dB; None where there is too little of either."""
    if min(spoken.sum(), (~spoken).sum()) < _LEAST_S * AUDIO_RATE_HZ:
        return None
    power = np.square(samples.astype(np.float64))
    noise = max(float(power[~spoken].mean()), _SILENCE_POWER)
    speech = max(float(power[spoken].mean()) - noise, _SILENCE_POWER)
    return 10 * math.log10(speech / noise)


def above_floor_db(samples: FloatArray) -> float | None:
    """Power of a clip over that of its quietest tenth, dB; None for silence."""
    whole = samples[: len(samples) // _WINDOW * _WINDOW].astype(np.float64)
    power = np.square(whole).reshape(-1, _WINDOW).mean(axis=1)
    if not len(power) or power.max() <= _SILENCE_POWER:
        return None
    floor = max(float(np.percentile(power, _FLOOR_PERCENT)), _SILENCE_POWER)
    return 10 * math.log10(float(power.mean()) / floor)


def clipped_fraction(samples: FloatArray) -> float:
    """Part of the samples that lie at the clip's own ceiling; 0 for silence."""
    height = np.abs(samples)
    ceiling = float(np.percentile(height, _CEILING_PERCENT))
    return float((height >= _NEAR_CEILING * ceiling).mean()) if ceiling**2 > _SILENCE_POWER else 0.0
