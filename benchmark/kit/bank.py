"""Clips of the training split that a kit keeps, so that controls can be made from them without the release.

Two controls speak with somebody else's motion: a random training clip, and the one whose loudness goes most like that
of the clip in question. Motions are kept in shoulder widths from their own neck, so anybody can wear them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.syllables import loudness
from csg405.media.clock import FPS
from csg405.schema import FloatArray

CLIPS = 64
"""Most clips that are kept: about 9 MB."""

_STEPS = 100 // FPS
"""Steps of the loudness in a frame."""

Heard = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclasses.dataclass(frozen=True)
class Bank:
    """Motions and loudness of some training clips, end to end."""

    points: npt.NDArray[np.float16]
    """[frames, 133, 2] in shoulder widths from the clip's neck."""
    loudness: FloatArray
    """[frames]"""
    ends: npt.NDArray[np.int64]
    """[clips] where each clip ends."""

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> Bank:
        """A bank of all the clips given."""
        return cls(
            np.concatenate([clip.points.astype(np.float16, order="C") for clip in clips]),
            np.concatenate([frames_loudness(clip.sound) for clip in clips]),
            np.cumsum([len(clip) for clip in clips]),
        )

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """As it is stored."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def random(self, frames: int, rng: np.random.Generator) -> FloatArray:
        """The motion [frames, 133, 2] of a clip drawn at random, from a place drawn at random."""
        number = int(rng.integers(len(self.ends)))
        points = self._clip(number)
        start = int(rng.integers(max(1, len(points) - frames + 1)))
        return stretched(points[start:], frames)

    def retrieved(self, sound: Sound) -> FloatArray:
        """The motion [frames, 133, 2] whose sound's loudness goes most like this one's, at the best place in it."""
        wanted = _even(frames_loudness(sound))
        best: tuple[float, int, int] = (-np.inf, 0, 0)
        for number, (held, means, deviations) in enumerate(self._heard(len(wanted))):
            told = wanted[: len(held)]
            likeness = (np.correlate(held, told, "valid") - means * told.sum()) / (deviations * len(wanted))
            place = int(np.argmax(likeness))
            best = max(best, (float(likeness[place]), number, place))
        return stretched(self._clip(best[1])[best[2] :], len(wanted))

    def _heard(self, frames: int) -> list[Heard]:
        """By clip its loudness, and mean and deviation of its pieces of so many frames; shorter clips are one piece.

        Those of the last length that was asked for are kept: many clips may have one length.
        """
        if self._kept[0] != frames:
            self._kept[:] = frames, [self._of_pieces(number, frames) for number in range(len(self.ends))]
        found: list[Heard] = self._kept[1]
        return found

    def _of_pieces(self, number: int, frames: int) -> Heard:
        held = self.loudness[self._start(number) : self.ends[number]].astype(np.float64)
        pieces = np.lib.stride_tricks.sliding_window_view(held, min(len(held), frames))
        return held, pieces.mean(axis=1), np.maximum(pieces.std(axis=1), 1e-6)

    @functools.cached_property
    def _kept(self) -> list[Any]:
        return [0, []]

    def _start(self, number: int) -> int:
        return int(self.ends[number - 1]) if number else 0

    def _clip(self, number: int) -> FloatArray:
        return np.asarray(self.points[self._start(number) : self.ends[number]], np.float32)


def frames_loudness(sound: Sound) -> FloatArray:
    """Loudness of every frame's vowels, in no unit: [n_frames]."""
    heard = loudness(sound)
    return np.asarray(heard[: len(heard) // _STEPS * _STEPS].reshape(-1, _STEPS).mean(axis=1), np.float32)


def stretched(points: FloatArray, frames: int) -> FloatArray:
    """As many frames as wanted: a motion that is too short goes back and forth."""
    there_and_back = np.concatenate([points, points[-2:0:-1]]) if len(points) > 2 else points
    return there_and_back[np.arange(frames) % len(there_and_back)]


def _even(values: FloatArray) -> npt.NDArray[np.float64]:
    apart = values.astype(np.float64) - values.mean()
    return np.asarray(apart / max(float(apart.std()), 1e-6))
