"""Onsets of a sound, as published beat scores take them: librosa's detector with its defaults.

The strength of an onset is the spectral flux of a mel spectrogram; its peaks are onsets. Hops of 512 samples at 16 kHz
put them on a grid of 32 ms. The detector's defaults are times (a peak is the highest within 30 ms before it, and 30 ms
from the last) that fall under one such hop and are rounded to none, so with the published settings *every* frame whose
strength lies 0.07 above the mean around it is an onset: one click gives two, and speech about seven a second, not its
four syllables. It is kept as it is, for this is what published scores are made of.
Source: McFee et al., librosa (SciPy 2015), after Boeck et al. (ISMIR 2012) for the peaks.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Sound
from csg405.media.clock import AUDIO_RATE_HZ

Floats = npt.NDArray[np.float64]

HOP = 512
"""Samples between two looks, as in HA2G and EMAGE."""

_HELD = "_librosa_onsets_s"


def librosa_onsets_s(sound: Sound, *, backtrack: bool = False) -> Floats:
    """Times of the onsets, rising, s from the clip's start; found once for each sound and kept with it.

    Args:
        sound: of a clip.
        backtrack: move each onset back to the minimum of strength before it.
    """
    held: dict[bool, Floats] = vars(sound).setdefault(_HELD, {})  # where a cached property would put it
    if backtrack not in held:
        held[backtrack] = _found(sound, backtrack=backtrack)
    return held[backtrack]


def _found(sound: Sound, *, backtrack: bool) -> Floats:
    import librosa

    if not len(sound.samples):
        return np.zeros(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=")  # a sound shorter than one window is padded
        times = librosa.onset.onset_detect(
            y=sound.wave, sr=AUDIO_RATE_HZ, hop_length=HOP, backtrack=backtrack, units="time"
        )
    return np.asarray(times, np.float64)
