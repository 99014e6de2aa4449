"""Where syllables begin: rises of the loudness in the band of the vowels.

The energy from 300 to 3000 Hz is taken in windows of 60 ms every 10 ms, compressed by Stevens' power law, and its
peaks of growth that stand out are the syllables: about four a second, as people speak. The band and the idea are those
of the vowel onsets of Cummins and Port ("Rhythmic constraints on stress timing in English", J. Phonetics 26, 1998) and
of de Jong and Wempe's syllable nuclei (Behavior Research Methods 41, 2009). General onset detectors also find
consonants and clicks: 7 a second in the speech of the synthetic world, so that whatever moves is near one.
"""

from __future__ import annotations

import functools
import weakref

import numpy as np
import numpy.typing as npt
from scipy import signal

from csg405.benchmark.clip import Sound
from csg405.media.clock import AUDIO_RATE_HZ

BAND_HZ = (300.0, 3000.0)
WINDOW_S = 0.06
STEP_S = 0.01
LOUDNESS = 0.3
"""Exponent of Stevens' power law for loudness over energy."""

STANDS_OUT = 0.2
"""Least prominence of a rise, in parts of the clip's steep ones."""

_STEEP_PERCENT = 98
_APART = 10
"""Steps between two syllables, at least: 0.1 s."""

_SILENCE = 1e-10
"""Energy below which nothing is heard: -100 dB of full scale."""

_Found = weakref.WeakKeyDictionary[Sound, npt.NDArray[np.float64]]

_loudness: _Found = weakref.WeakKeyDictionary()
_syllables: _Found = weakref.WeakKeyDictionary()


def syllables_s(sound: Sound) -> npt.NDArray[np.float64]:
    """Times at which syllables begin, s from the clip's start; taken once for each sound."""
    if sound not in _syllables:
        _syllables[sound] = onsets(loudness(sound))
    return _syllables[sound]


def loudness(sound: Sound) -> npt.NDArray[np.float64]:
    """Loudness of the vowels every 10 ms, in no unit; taken once for each sound."""
    if sound not in _loudness:
        voice = signal.sosfiltfilt(_band(), sound.wave.astype(np.float64))
        window = np.hanning(round(WINDOW_S * AUDIO_RATE_HZ))
        energy = signal.oaconvolve(voice**2, window / window.sum(), "same")[:: round(STEP_S * AUDIO_RATE_HZ)]
        _loudness[sound] = np.asarray(np.maximum(energy, _SILENCE) ** LOUDNESS)
    return _loudness[sound]


@functools.cache
def _band() -> npt.NDArray[np.float64]:
    edges = [edge / (AUDIO_RATE_HZ / 2) for edge in BAND_HZ]
    return np.asarray(signal.butter(2, edges, "band", output="sos"))


def onsets(heard: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Times of the rises of a loudness that stand out, s."""
    rise = np.maximum(np.diff(heard, prepend=heard[:1]), 0)
    steep = float(np.percentile(rise, _STEEP_PERCENT)) if len(rise) else 0.0
    if steep <= 0:
        return np.zeros(0)
    peaks = signal.find_peaks(rise, distance=_APART, prominence=STANDS_OUT * steep)[0]
    return np.asarray(peaks * STEP_S)
