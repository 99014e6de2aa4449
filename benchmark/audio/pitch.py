"""Pitch of a voice and how much it is voiced, from a short stretch of sound on either side, fast.

The strength of a period is the autocorrelation of the window at that lag, over that of the window's own shape, so that
long periods are not held to be weaker (Boersma, "Accurate short-term analysis of the fundamental frequency", IFA
Proceedings 17, 1993). Boersma's path through all candidates looks at the whole sound; here a period is supported by
those near it within 80 ms to either side, so that what is found depends on no more than `REACH_S`.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft, ndimage

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.schema import FloatArray

STEP = AUDIO_RATE_HZ * 20 // 1000
"""Samples between two looks: 20 ms, two in a frame."""

WINDOW = AUDIO_RATE_HZ * 50 // 1000
"""Samples of a look: three periods of the lowest voice."""

RANGE_HZ = (65.0, 500.0)
"""From a deep voice to a child's."""

_NEIGHBOURS = 4
"""Looks to either side by which a period is supported."""

REACH_S = (WINDOW / 2 + _NEIGHBOURS * STEP) / AUDIO_RATE_HZ
"""How far from the middle of a look it sees: 0.105 s."""

_BINS = 36
"""Pitches in an octave: thirds of a semitone, between which a parabola finds the top."""

_FFT = 2048
_HIGHEST_HZ = 1200.0
"""Formants above this are left out: they say nothing about the period."""

_GLIDE = 2
"""Bins by which pitch may move from a look to the next: 2.8 octaves/s."""

_SUPPORT = 0.5
"""Weight of the nearest neighbour's strength; falls to none beyond the last."""

_OCTAVE = 0.1
"""What an octave higher is worth beside the supported strengths: half of the true pitch is as periodic as that."""

_SILENCE = 1e-9
"""Power in a window under which nothing is periodic: -90 dB of full scale."""


def pitch(pieces: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pitch of looks that follow each other every 20 ms.

    Args:
        pieces: [looks, 800] samples between -1 and 1.

    Returns:
        [looks] pitch in Hz, whether there is a voice or not; [looks] how periodic the sound is there, 0 to 1.
    """
    strength = _strength(pieces)
    total = _supported(strength) + _OCTAVE * np.log2(_pitches_hz() / RANGE_HZ[0])
    best = np.argmax(total[:, 1:-1], axis=1) + 1
    rows = np.arange(len(best))
    below, top, above = (total[rows, best + move] for move in (-1, 0, 1))
    bend = np.maximum(2 * top - below - above, 1e-6)
    offset = np.clip((above - below) / (2 * bend), -0.5, 0.5)
    found_hz = RANGE_HZ[0] * 2 ** ((best + offset) / _BINS)
    return np.asarray(found_hz, np.float32), np.clip(strength[rows, best], 0, 1)


def _strength(pieces: FloatArray) -> FloatArray:
    """[looks, pitches] how well each window repeats itself at each pitch's period; 1 is a perfect repetition."""
    shape = np.hanning(WINDOW).astype(np.float32)
    held = (pieces - pieces.mean(axis=1, keepdims=True)) * shape
    spectrum = fft.rfft(held, _FFT)
    last = round(_HIGHEST_HZ * _FFT / AUDIO_RATE_HZ)
    power = np.zeros(spectrum.shape, np.float32)
    power[:, :last] = spectrum.real[:, :last] ** 2 + spectrum.imag[:, :last] ** 2
    repeats = fft.irfft(power, _FFT)
    own = fft.irfft(np.abs(fft.rfft(shape, _FFT)) ** 2, _FFT)
    lags, part = _lags()
    at_lags = (1 - part) * repeats[:, lags] + part * repeats[:, lags + 1]
    expected = ((1 - part) * own[lags] + part * own[lags + 1]) / own[0]
    return np.asarray(at_lags / expected / (repeats[:, :1] + _SILENCE * own[0]), np.float32)


def _supported(strength: FloatArray) -> FloatArray:
    """The strengths, with those of neighbours in time, which may lie a glide away."""
    total = strength.copy()
    near = np.maximum(strength, 0)
    for away in range(1, _NEIGHBOURS + 1):
        near = ndimage.maximum_filter1d(near, 2 * _GLIDE + 1, axis=1, mode="nearest")
        weight = np.float32(_SUPPORT * (1 - (away - 1) / _NEIGHBOURS))
        total[away:] += weight * near[:-away]
        total[:-away] += weight * near[away:]
    return total


@functools.cache
def _pitches_hz() -> FloatArray:
    count = round(np.log2(RANGE_HZ[1] / RANGE_HZ[0]) * _BINS) + 1
    return np.asarray(RANGE_HZ[0] * 2 ** (np.arange(count) / _BINS), np.float32)


@functools.cache
def _lags() -> tuple[np.ndarray, FloatArray]:
    """Whole samples of each pitch's period, and what is left of it."""
    periods = AUDIO_RATE_HZ / _pitches_hz()
    whole = np.floor(periods).astype(np.int64)
    return whole, np.asarray(periods - whole, np.float32)
