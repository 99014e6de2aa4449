"""Prosody: how speech sounds and is stressed, without any weights. The default features of models.

A frame's row has these parts (`PARTS` says which numbers), each in the order of time within the frame:

- `mel`: a log-mel spectrogram, 40 bands from 60 to 7600 Hz, two columns of 20 ms;
- `loud`: loudness in four steps of 10 ms; `rise`: how it changes over the 40 ms about each step; `onset`: how much
  energy comes that was in no band near by 20 ms before (the spectral flux of Boeck and Widmer, "Maximum filter vibrato
  suppression for onset detection", DAFx 2013);
- `voice`: how much there is of a voice, 0 to 1; `pitch`: its pitch in octaves from 160 Hz; `turn`: its pitch from the
  mean of the second about it, at most an octave, in quarters of one. Each is in two steps of 20 ms; pitch and turn are
  taken times voice, so that they are 0 without one.

Levels are told from the sound's own level within half a second to either side, which may be raised or lowered by up to
15 dB to the usual one. So a recording's volume does not matter, a clip cut out of a longer one has the same rows inside
it, and silence stays silent: its row is the lowest value of `mel` and `loud`, and 0 elsewhere. A row follows from what
lies within `REACH_S` of its frame; beyond the ends of the sound its mirror image is heard. Long sounds are taken in
blocks, whose edges change nothing.

None of this is the function by which a metric finds beats: BA-kappa's syllables are rises of the power in the vowels'
band (`csg405.benchmark.syllables`), and published beat scores use librosa's onsets (`csg405.benchmark.onsets`). What
those find is to be heard here too, as in any spectrogram, but no model is fed their times.
"""

from __future__ import annotations

import functools
import hashlib
import json

import numpy as np
from scipy import fft, ndimage

from csg405.benchmark.audio import pitch
from csg405.benchmark.audio.features import PROSODY, checked
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.schema import FloatArray

VERSION = "1"
"""Change it when the same sound gives other rows: caches and models are known by it."""

BANDS = 40
RANGE_HZ = (60.0, 7600.0)
STEPS = 4
"""Steps in a frame: 10 ms each."""

MELS, LOOKS = 2, 2
"""Columns of the spectrogram in a frame, and looks at the pitch."""

REACH_S = 0.6
"""How far outside a frame lies what its row may depend on."""

_SIZES = {"mel": BANDS * MELS, "loud": STEPS, "rise": STEPS, "onset": STEPS, "voice": LOOKS, "pitch": LOOKS,
          "turn": LOOKS}  # fmt: skip


def _parts() -> dict[str, slice]:
    ends = np.cumsum(list(_SIZES.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(_SIZES.items(), ends, strict=True)}


PARTS = _parts()
"""Where each part lies in a row."""

DIM = sum(_SIZES.values())

_STEP = SAMPLES_PER_FRAME // STEPS
_WINDOW = AUDIO_RATE_HZ * 25 // 1000
_FFT = 512
_BLOCK = 30 * FPS
"""Frames that are looked at at once."""

_MARGIN = 15
"""Frames on either side of a block that are looked at with it: no less than `REACH_S`."""

_LEVEL = 50
"""Steps to either side over which the level is taken: half a second."""

_USUAL_DB = -20.0
"""Level to which speech is brought, dB of full scale; broadcast speech is near it."""

_GAIN_DB = 15.0
"""By which it is raised or lowered at most: so speech from -35 to -5 dB comes to the usual, and a pause stays one."""

_LOUD_FLOOR_DB, _MEL_FLOOR_DB = -60.0, -80.0
"""Levels under which nothing is heard, after the level was brought to the usual one; of a band, and of all."""

_LOUD_MIDDLE_DB, _LOUD_UNIT_DB = -30.0, 15.0
_MEL_MIDDLE_DB, _MEL_UNIT_DB = -50.0, 15.0
_RISE_UNIT_DB = 10.0
_ONSET_UNIT_DB = 5.0
"""What brings each part to about unit range, measured on read speech."""

_MIDDLE_HZ = 160.0
"""Between the usual pitch of men and of women."""

_TURN = 25
"""Looks to either side whose pitch `turn` is told from: half a second."""

_TURN_UNIT = 0.25
"""Octaves."""

_PERIODIC = (0.4, 0.75)
"""Strength of a period at which a voice begins to be one, and at which it surely is."""

_HEARD_DB = (-50.0, -40.0)
"""Loudness at which a voice begins to count, and at which it fully does."""


class Prosody:
    """The extractor; see the head of this file."""

    name = PROSODY
    dim = DIM

    @functools.cached_property
    def digest(self) -> str:
        """Of the version, which stands for all numbers of this file."""
        return hashlib.sha256(json.dumps([PROSODY, VERSION]).encode()).hexdigest()

    def __call__(self, wave: FloatArray) -> FloatArray:
        """Rows of a sound: float32 [samples // 640, DIM]; see `Extractor`."""
        heard = checked(wave, name=PROSODY)
        n_frames = len(heard) // SAMPLES_PER_FRAME
        rows = np.empty((n_frames, DIM), np.float32)
        for start in range(0, n_frames, _BLOCK):
            end = min(start + _BLOCK, n_frames)
            rows[start:end] = _rows(_with_margin(heard, start, end))[_MARGIN : end - start + _MARGIN]
        return rows


def _with_margin(wave: FloatArray, start: int, end: int) -> FloatArray:
    """Samples of frames and of `_MARGIN` frames on either side; the sound's mirror image beyond its ends."""
    first, last = ((frame * SAMPLES_PER_FRAME) for frame in (start - _MARGIN, end + _MARGIN))
    held = wave[max(first, 0) : last]
    return np.pad(held, (max(-first, 0), max(last - len(wave), 0)), mode="reflect")


def _rows(wave: FloatArray) -> FloatArray:
    """Rows of all frames of a stretch; those within `_MARGIN` of its ends lack what is beyond them."""
    n_frames = len(wave) // SAMPLES_PER_FRAME
    power = _power(wave)
    total = power.sum(axis=1)
    gain = _gain(total)
    loud_db = _decibels(total * gain, _LOUD_FLOOR_DB)
    mel_db = _decibels(power @ _filters().T * gain[:, None], _MEL_FLOOR_DB)
    voice, octaves, turn = _voice(wave, loud_db)
    columns = mel_db.reshape(n_frames, MELS, STEPS // MELS, BANDS).mean(axis=2)
    parts = {
        "mel": (columns.reshape(n_frames, -1) - _MEL_MIDDLE_DB) / _MEL_UNIT_DB,
        "loud": (loud_db - _LOUD_MIDDLE_DB) / _LOUD_UNIT_DB,
        "rise": (np.roll(loud_db, -2) - np.roll(loud_db, 2)) / _RISE_UNIT_DB,
        "onset": _onset(mel_db) / _ONSET_UNIT_DB,
        "voice": voice,
        "pitch": octaves * voice,
        "turn": np.clip(turn, -1, 1) * voice / _TURN_UNIT,
    }
    return np.concatenate([parts[name].reshape(n_frames, -1) for name in PARTS], axis=1, dtype=np.float32)


def _power(wave: FloatArray) -> FloatArray:
    """[steps, 257] power of each frequency about the middle of each step; the sum is 1/2 for a full sine."""
    pieces = _pieces(wave, _WINDOW, _STEP)
    shape = np.hanning(_WINDOW).astype(np.float32)
    spectrum = fft.rfft((pieces - pieces.mean(axis=1, keepdims=True)) * shape, _FFT)
    scale = np.float32(2 / (_FFT * float((shape**2).sum())))
    return np.asarray((spectrum.real**2 + spectrum.imag**2) * scale, np.float32)


def _pieces(wave: FloatArray, window: int, step: int) -> FloatArray:
    """[samples // step, window] about the middle of each step; silence beyond the ends."""
    before = (window - step) // 2
    padded = np.pad(wave, (before, window))
    return np.lib.stride_tricks.sliding_window_view(padded, window)[: len(wave) : step]


def _gain(total: FloatArray) -> FloatArray:
    """[steps] what brings the power about each step to the usual one, as far as it may."""
    shape = np.hanning(2 * _LEVEL + 3)[1:-1]
    level = ndimage.convolve1d(total.astype(np.float64), shape / shape.sum(), mode="nearest")
    gain_db = np.clip(_USUAL_DB - 10 * np.log10(level + 1e-12), -_GAIN_DB, _GAIN_DB)
    return np.asarray(10 ** (gain_db / 10), np.float32)


def _decibels(power: FloatArray, floor_db: float) -> FloatArray:
    """Levels; the floor is added to the power, so that what is near it fades away."""
    return np.asarray(10 * np.log10(power + np.float32(10 ** (floor_db / 10))), np.float32)


def _onset(mel_db: FloatArray) -> FloatArray:
    """[steps] mean over the bands of what came since two steps before, in dB."""
    before = ndimage.maximum_filter1d(np.roll(mel_db, 2, axis=0), 3, axis=1, mode="nearest")
    return np.asarray(np.maximum(mel_db - before, 0).mean(axis=1), np.float32)


def _voice(wave: FloatArray, loud_db: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each look: how much voice, its pitch in octaves from the middle, and that from the mean about it."""
    pitch_hz, periodic = pitch.pitch(_pieces(wave, pitch.WINDOW, pitch.STEP))
    loudest_db = loud_db.reshape(len(pitch_hz), -1).max(axis=1)
    voice = _ramp(periodic, _PERIODIC) * _ramp(loudest_db, _HEARD_DB)
    octaves = np.log2(pitch_hz / _MIDDLE_HZ)
    shape = np.hanning(2 * _TURN + 3)[1:-1]
    weight, mean = (ndimage.convolve1d(values.astype(np.float64), shape, mode="nearest")
                    for values in (voice, voice * octaves))  # fmt: skip
    return voice, octaves, np.asarray(octaves - mean / np.maximum(weight, 1e-6), np.float32)


def _ramp(values: FloatArray, ends: tuple[float, float]) -> FloatArray:
    """0 up to the first end, 1 from the second."""
    return np.asarray(np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1), np.float32)


@functools.cache
def _filters() -> FloatArray:
    """Triangles [40, 257] that are even on the mel scale (O'Shaughnessy's formula)."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in RANGE_HZ)
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    bins = fft.rfftfreq(_FFT, 1 / AUDIO_RATE_HZ)
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.asarray(np.clip(np.minimum(up, down), 0, None), np.float32)
