"""What a video metric is, and what it sees: the contract of every file in `metrics_video/`, and the reading side.

The contract is that of `csg405.benchmark.metric`, with `measure(seen: SeenVideo) -> Row`. Frames are streamed, since
ten seconds of them are 200 MB: a film is read anew by each metric, and no metric holds more than a window. What needs
weights that are not there, or a pose that the system was not given, measures the empty row, from which every value is
None: not computed. `missing` says why.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np

from csg405 import crop, media
from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.video_networks import Networks
from csg405.benchmark.video_pose import Estimated, estimate
from csg405.errors import UserError
from csg405.media.decode import Image
from csg405.schema import FloatArray

EVERY = 5
"""Metrics of single pictures look at one in so many frames, five a second: their neighbours show the same."""

WINDOW = 16
"""Frames of a window: what I3D was trained and every published FVD is computed on; 0.64 s."""

GivenPose = Literal["true", "other", "none"]
"""Which skeleton a system was to follow: the clip's own, another one, or none."""

_POSE_NEEDS = {
    "true_pose": "only for systems that were given the clip's own skeleton (track B)",
    "any_pose": "only for systems that were given a skeleton to follow (track B)",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """Frames of a clip, read anew each time they are asked for."""

    name: str
    """For messages."""
    n_frames: int
    size_px: int
    """Side of its square pictures."""
    read: Callable[[], Iterable[Image]]
    """Begins anew at the first frame."""

    def frames(self) -> Iterator[Image]:
        """Frames one by one, [size_px, size_px, 3] RGB.

        Raises:
            UserError: there are more or fewer than there should be, of another size, or they cannot be decoded.
        """
        count = 0
        for image in self.read():
            count += 1
            if image.shape != (self.size_px, self.size_px, 3):
                height, width = image.shape[:2]
                wanted = f"{self.size_px}x{self.size_px}"
                raise UserError(f"{self.name}: frame {count - 1} is {width}x{height}, wanted {wanted}")
            if count > self.n_frames:
                raise UserError(f"{self.name}: more frames than the clip's {self.n_frames}; give one for each")
            yield image
        if count < self.n_frames:
            raise UserError(f"{self.name}: {count} frames, wanted the clip's {self.n_frames}; give one for each")

    def sampled(self, every: int = EVERY) -> Iterator[Image]:
        """One frame in so many, from the first on."""
        return (image for number, image in enumerate(self.frames()) if number % every == 0)

    def windows(self, length: int = WINDOW) -> Iterator[Pictures]:
        """Windows that follow each other, [length, size_px, size_px, 3]; a rest that fills none is left out."""
        return (window for window in batches(self.frames(), length) if len(window) == length)


def batches(frames: Iterable[Image], size: int) -> Iterator[Pictures]:
    """Pictures in stacks of `size`, the last one smaller: [n, height, width, 3]."""
    held: list[Image] = []
    for image in frames:
        held.append(image)
        if len(held) == size:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def film_of_file(path: Path, *, n_frames: int, size_px: int) -> Film:
    """A film in a file: every picture that it holds is a frame, none is repeated or passed over.

    Args:
        path: mp4.
        n_frames: that it should have.
        size_px: side that its pictures should have.
    """
    return Film(name=path.name, n_frames=n_frames, size_px=size_px, read=functools.partial(_decoded, path))


def film_of_array(frames: Pictures, *, name: str) -> Film:
    """A film in memory.

    Args:
        frames: [n, size, size, 3] RGB.
        name: for messages.
    """
    return Film(name=name, n_frames=len(frames), size_px=frames.shape[1], read=functools.partial(iter, frames))


def _decoded(path: Path) -> Iterator[Image]:
    try:
        for _, picture in media.frames(path):
            yield picture.rgb()
    except media.Unreadable as error:
        raise UserError(f"{path.name}: cannot be decoded ({error.detail}); give an mp4 that plays") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenVideo:
    """A video for a clip, as metrics look at it: the system's, or the clip's own."""

    clip: Clip
    film: Film
    """The system's."""
    true_film: Film
    """The clip's own."""
    networks: Networks
    driving_px: FloatArray | None
    """[n, 133, 2] the skeleton that the video was to follow, in the released picture; None if there was none."""
    reference: Image | None = None
    """The picture of the person that the system was given; by default the clip's first frame."""

    def __post_init__(self) -> None:
        for film in (self.film, self.true_film):
            if (film.n_frames, film.size_px) != (len(self.clip), self.clip.size_px):
                raise UserError(
                    f"{film.name}: {film.n_frames} frames of {film.size_px} px for clip {self.clip.clip_id}, "
                    f"wanted {len(self.clip)} of {self.clip.size_px} px"
                )
        if self.driving_px is not None and self.driving_px.shape != self.clip.keypoints_px.shape:
            raise ValueError(f"{self.clip.clip_id}: {self.driving_px.shape} for {self.clip.keypoints_px.shape}")

    def __len__(self) -> int:
        return len(self.clip)

    @functools.cached_property
    def given_pose(self) -> GivenPose:
        """Which skeleton the system was to follow."""
        if self.driving_px is None:
            return "none"
        return "true" if np.array_equal(self.driving_px, self.clip.keypoints_px) else "other"

    @property
    def expected_px(self) -> FloatArray:
        """[n, 133, 2] where the person should be: the driving skeleton, or else the clip's own."""
        return self.clip.keypoints_px if self.driving_px is None else self.driving_px

    @functools.cached_property
    def estimated(self) -> Estimated:
        """Keypoints estimated from the film's frames; taken once for all metrics."""
        return estimate(self.film.frames(), self.networks.pose, expected_px=self.expected_px, expected=self.clip.shown)

    @functools.cached_property
    def reference_picture(self) -> Image:
        """[height, width, 3] the picture of the person that the system was given."""
        return next(self.true_film.frames()) if self.reference is None else self.reference

    @functools.cached_property
    def person(self) -> tuple[slice, slice] | None:
        """Rows and columns that hold what is seen of the clip's person above the knees; None if nothing is."""
        points = self.clip.keypoints_px[:, kp.UPPER_BODY][self.clip.shown[:, kp.UPPER_BODY]]
        if not len(points):
            return None
        box = np.clip(np.round(crop.extent(points)), 0, self.clip.size_px).astype(int)
        if (box[2:] <= box[:2]).any():
            return None
        return slice(int(box[1]), int(box[3])), slice(int(box[0]), int(box[2]))

    def can(self, card: Card) -> bool:
        """Whether all is there that a value needs."""
        return missing(card, self.networks, given_pose=self.given_pose) is None


def truth_of(clip: Clip, film: Film, networks: Networks) -> SeenVideo:
    """The clip's own video, which follows the clip's own skeleton."""
    return SeenVideo(clip=clip, film=film, true_film=film, networks=networks, driving_px=clip.keypoints_px)


class VideoMetric(Protocol):
    """See the head of this file."""

    __name__: str
    CARDS: tuple[Card, ...]

    def measure(self, seen: SeenVideo) -> Row:
        """What is kept of one video for one clip; the empty row where something is missing."""
        ...


@functools.cache
def modules() -> dict[str, VideoMetric]:
    """Every video metric by name, found by walking `metrics_video/`; names with a leading underscore are helpers."""
    from csg405.benchmark import metrics_video as package

    names = sorted(found.name for found in pkgutil.iter_modules(package.__path__) if not found.name.startswith("_"))
    return {name: cast(VideoMetric, importlib.import_module(f"{package.__name__}.{name}")) for name in names}


def missing(card: Card, networks: Networks, *, given_pose: GivenPose = "true") -> str | None:
    """Why a value is not computed, and what to give; None if nothing is missing.

    Args:
        card: of the value.
        networks: that are there.
        given_pose: the skeleton that the system was to follow.
    """
    reasons = []
    for need in card.needs:
        if need in _POSE_NEEDS:
            fits = given_pose == "true" or (need == "any_pose" and given_pose == "other")
            reasons += [] if fits else [_POSE_NEEDS[need]]
        elif (reason := networks.missing(need)) is not None:
            reasons.append(reason)
    return "; ".join(reasons) or None


def not_computed(cards: Iterable[Card]) -> Values:
    """None for every value."""
    return {card.name: None for card in cards}
