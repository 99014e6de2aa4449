"""What the kit's audio tower hears: a log-mel spectrogram on the clock of the frames, with no weights.

40 mel bands from 60 to 7600 Hz in windows of 25 ms every 10 ms, and their loudness; the four columns that fall into a
frame stand side by side, so a frame keeps 10 ms of its own time. Every clip is taken at its own level.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Sound
from csg405.media.clock import AUDIO_RATE_HZ, FPS
from csg405.schema import FloatArray

BANDS = 40
COLUMNS = 4
"""Columns of the spectrogram in a frame."""

NUMBERS = BANDS * COLUMNS

_RANGE_HZ = (60.0, 7600.0)
_FFT = 512
_WINDOW = AUDIO_RATE_HZ * 25 // 1000
_STEP = AUDIO_RATE_HZ // FPS // COLUMNS
_FLOOR = 1e-8


def heard(sound: Sound) -> FloatArray:
    """Numbers of every frame: [n_frames, 160]."""
    wave = sound.wave.astype(np.float64)
    frames = len(wave) * FPS // AUDIO_RATE_HZ
    padded = np.pad(wave, ((_WINDOW - _STEP) // 2, _WINDOW))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP][: COLUMNS * frames]
    power = np.abs(np.fft.rfft(pieces * np.hanning(_WINDOW), _FFT)) ** 2
    level = np.log(power @ _filters().T + _FLOOR)
    level = (level - level.mean()) / max(float(level.std()), 0.1)
    return np.asarray(level.reshape(frames, NUMBERS), np.float32)


@functools.cache
def _filters() -> npt.NDArray[np.float64]:
    """Triangles [40, 257] that are even on the mel scale (O'Shaughnessy's formula)."""
    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in _RANGE_HZ)
    edges = 700 * (10 ** (np.linspace(lowest, highest, BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / AUDIO_RATE_HZ)
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.asarray(np.clip(np.minimum(up, down), 0, None))
