r"""Mel-frequency cepstral coefficients as SyncNet was trained on them.

Windows of 25 ms every 10 ms, without a taper, of sound in steps of 16 bits after pre-emphasis (0.97); power spectrum of
512 points; 26 triangles between mel-spaced edges that are rounded down to bins; logarithms; orthonormal DCT-II, 13
kept; sinusoidal lifter of 22; the first replaced by the logarithm of the window's energy. Written from this
description: the parameters are the defaults of James Lyons's python_speech_features, which SyncNet's authors used.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.schema import IntArray

Floats = npt.NDArray[np.float64]

STEPS_HZ = 100
"""Windows a second."""

COEFFICIENTS = 13

_WINDOW = AUDIO_RATE_HZ // 40
_STEP = AUDIO_RATE_HZ // STEPS_HZ
_FFT = 512
_FILTERS = 26
_EMPHASIS = 0.97
_LIFTER = 22
_FLOOR = float(np.finfo(np.float64).eps)
"""Of energies, so that silence has a logarithm."""


def mfcc(samples: IntArray) -> Floats:
    """Coefficients of a sound.

    Args:
        samples: [m] at 16 kHz, in steps of 16 bits.

    Returns:
        [windows, 13], one every 10 ms; the last is filled up with silence.
    """
    sound = samples.astype(np.float64)
    risen = np.concatenate([sound[:1], sound[1:] - _EMPHASIS * sound[:-1]])
    count = 1 + max(0, -(-(len(risen) - _WINDOW) // _STEP))
    padded = np.concatenate([risen, np.zeros((count - 1) * _STEP + _WINDOW - len(risen))])
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    bands = np.log(np.maximum(power @ _triangles().T, _FLOOR))
    found = dct(bands, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    found *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    found[:, 0] = np.log(np.maximum(power.sum(axis=1), _FLOOR))
    return np.asarray(found, np.float64)


@functools.cache
def _triangles() -> Floats:
    """[26, 257] weights of the bins in each band."""
    highest_mel = 2595 * np.log10(1 + AUDIO_RATE_HZ / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, highest_mel, _FILTERS + 2) / 2595) - 1)
    edges = np.floor((_FFT + 1) * edges_hz / AUDIO_RATE_HZ)
    bins = np.arange(_FFT // 2 + 1)
    low, middle, high = (edges[first : first + _FILTERS, None] for first in range(3))
    rising, falling = (bins - low) / np.maximum(middle - low, 1), (high - bins) / np.maximum(high - middle, 1)
    inside_rise, inside_fall = (bins >= low) & (bins < middle), (bins >= middle) & (bins < high)
    return np.asarray(np.where(inside_rise, rising, np.where(inside_fall, falling, 0.0)), np.float64)
