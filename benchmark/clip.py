"""A clip of a release, what a system gives for it, and what both look like to the metrics.

Distances are told in shoulder widths, from a neck that stays where the clip's own is on average: so sway and steps
are seen, and the size of the person and of the picture is not. A point that the release does not see (score below
`SEEN`) is nobody's fault and counts for nobody: metrics leave it out, for the truth as for the system.

Metrics follow a point through time, so points in shoulder widths lie in memory coordinate by coordinate, point by
point, then frame by frame. What follows from a clip or a sound alone is computed `once` for all motions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.media.clock import AUDIO_RATE_HZ, FPS
from csg405.schema import FloatArray, IntArray

Bools = npt.NDArray[np.bool_]

Found = TypeVar("Found")

SEEN = 0.3
"""A score from here on says that a point can be seen: rtmlib's usual threshold."""

_LEAST_SHOULDERS_PX = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Sound:
    """The sound of a clip; two are the same only when they are one, so what is found in it can be kept beside it."""

    samples: IntArray
    """[640 n_frames] at 16 kHz, 1/32768."""

    @functools.cached_property
    def wave(self) -> FloatArray:
        """The samples between -1 and 1."""
        return np.asarray(self.samples / 32768, np.float32)

    def once(self, find: Callable[[Sound], Found]) -> Found:
        """What a function finds in the sound: found the first time, and kept with the sound."""
        return _once(self, find)

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / AUDIO_RATE_HZ


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """One released clip: the truth."""

    clip_id: str
    video_id: str
    speaker: str
    """The release's channel; the source video where there is none. Clips of one speaker are not independent."""
    split: str
    keypoints_px: FloatArray
    """[n, 133, 2] in the released picture."""
    score: FloatArray
    """[n, 133]"""
    sound: Sound
    size_px: int
    """Side of the released picture."""
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What breakdowns go by, for example `speech_type`."""

    def __len__(self) -> int:
        return len(self.keypoints_px)

    @functools.cached_property
    def shown(self) -> Bools:
        """[n, 133] points that the release sees."""
        return np.array((self.score >= SEEN).T, order="C").T

    @functools.cached_property
    def points(self) -> FloatArray:
        """[n, 133, 2] in shoulder widths from the neck."""
        return self.placed(self.keypoints_px)

    def placed(self, keypoints_px: FloatArray) -> FloatArray:
        """Points [n, j, 2] of the released picture in shoulder widths from the neck."""
        planes = np.array(keypoints_px.T, np.float64, order="C")
        planes -= self.neck_px[:, None, None]
        planes /= self.shoulders_px
        return planes.astype(np.float32).T

    def once(self, find: Callable[[Clip], Found]) -> Found:
        """What a function finds in the truth's points: found the first time, and kept with the clip."""
        return _once(self, find)

    def beside(self, sound: Sound) -> Clip:
        """The same truth beside another sound; what was found in its points stays known."""
        other = dataclasses.replace(self, sound=sound)
        vars(other).update((name, found) for name, found in vars(self).items() if name not in vars(other))
        return other

    @functools.cached_property
    def neck_px(self) -> npt.NDArray[np.float64]:
        """[2] middle of the shoulders, median over the clip."""
        return np.asarray(np.median(self._shoulders.mean(axis=1), axis=0), np.float64)

    @functools.cached_property
    def shoulders_px(self) -> float:
        """Width of the shoulders, median over the clip: the unit of length."""
        left, right = self._shoulders[:, 0], self._shoulders[:, 1]
        return max(float(np.median(np.linalg.norm(left - right, axis=-1))), _LEAST_SHOULDERS_PX)

    @functools.cached_property
    def _shoulders(self) -> npt.NDArray[np.float64]:
        pair = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]
        seen = self.shown[:, pair].all(axis=1)
        points = self.keypoints_px[seen] if seen.any() else self.keypoints_px
        return np.asarray(points[:, pair], np.float64)


def _once(held_by: Any, find: Callable[[Any], Found]) -> Found:
    kept: dict[Callable[[Any], Any], Any] = vars(held_by).setdefault("_kept", {})  # where cached properties are
    if find not in kept:
        kept[find] = find(held_by)
    found: Found = kept[find]
    return found


@dataclasses.dataclass(frozen=True)
class Seen:
    """A motion for a clip, as metrics look at it: the system's, or the clip's own."""

    clip: Clip
    keypoints_px: FloatArray
    """[n, 133, 2] in the released picture; as many frames as the clip has."""
    kit: Any = None
    """`csg405.benchmark.kit.Kit`, where there is one: networks and normalisers that were trained before."""
    known: Mapping[str, FloatArray] | None = None
    """Its features, where they were taken together with those of other motions: see `Kit.together`."""

    def __post_init__(self) -> None:
        if self.keypoints_px.shape != self.clip.keypoints_px.shape:
            raise ValueError(f"{self.clip.clip_id}: {self.keypoints_px.shape} for {self.clip.keypoints_px.shape}")

    def __len__(self) -> int:
        return len(self.clip)

    @functools.cached_property
    def points(self) -> FloatArray:
        """[n, 133, 2] in shoulder widths from the clip's neck; also those that `shown` leaves out."""
        return self.clip.placed(self.keypoints_px)

    @property
    def true_points(self) -> FloatArray:
        """[n, 133, 2] the clip's own, in the same unit."""
        return self.clip.points

    @property
    def shown(self) -> Bools:
        """[n, 133] points that count."""
        return self.clip.shown

    @property
    def fps(self) -> int:
        """Frames a second."""
        return FPS

    @functools.cached_property
    def features(self) -> dict[str, FloatArray]:
        """By part (`all`, `body`, `hands`, `face`): [windows, 32] from the kit's autoencoders; none without a kit."""
        if self.known is not None:
            return dict(self.known)
        return {} if self.kit is None else dict(self.kit.features(self))


def truth_of(clip: Clip, *, kit: Any = None) -> Seen:
    """The clip's own motion."""
    return Seen(clip, clip.keypoints_px, kit)
