"""What is learnt from: windows of a release's films, with the poses that belong to them, drawn.

Films are read by pools: a few stretches of clips drawn at random, decoded and scaled once, from which many batches
are drawn while the next pool is read beside. Which clips are in a pool, and which windows in a batch, follow from
the seed and the batch's number alone, so a training that was stopped goes on with the batches it would have had.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from csg405.benchmark.preprocess import Pictures
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.renderers.pose_diffusion.painting import Paint, guides
from csg405.benchmark.renderers.pose_diffusion.settings import FilmTrainSettings, NetworkSettings
from csg405.benchmark.scoring.film_systems import ReleasedFilms
from csg405.errors import UserError
from csg405.media.decode import resize
from csg405.schema import FloatArray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows to learn from; numbers are bytes, 0-255."""

    frames: Tensor
    """[b, f, 3, s, s] RGB."""
    guides: Tensor
    """[b, f, 6, s, s] their poses: see `painting`."""
    reference: Tensor
    """[b, 3, s, s] another frame of the same stretch."""
    reference_guide: Tensor
    """[b, 6, s, s]"""

    def to(self, device: torch.device) -> Batch:
        """The same there."""
        return Batch(**{field.name: getattr(self, field.name).to(device) for field in dataclasses.fields(self)})


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Frames of a clip that follow each other, at the network's size."""

    pictures: Pictures
    """[n, s, s, 3] RGB."""
    points: FloatArray
    """[n, 133, 2] in these pictures."""
    score: FloatArray
    """[n, 133]"""


class Pools:
    """The windows of a split."""

    def __init__(
        self,
        reader: ReleaseReader,
        split: str,
        network: NetworkSettings,
        settings: FilmTrainSettings,
        *,
        rank: int = 0,
    ) -> None:
        """Find the clips; no film is read yet.

        Args:
            reader: of the release.
            split: whose clips.
            network: says the size of the pictures and the length of the windows.
            settings: say the sizes of pools and batches.
            rank: of this process, each of which draws other windows.

        Raises:
            UserError: the split has no clip that is long enough and has a film.
        """
        self.reader, self.network, self.settings, self.rank = reader, network, settings, rank
        self.films = ReleasedFilms(reader.folders)
        clips = reader.clips(split)
        self.clips = [clip for clip in clips if clip.n_frames > network.frames and self.films.has(clip.clip_id)]
        if not self.clips:
            raise UserError(
                f"run {reader.folders.name}: of {len(clips)} clips for {split} none has a film of more than "
                f"{network.frames} frames; learning to draw needs a release with pictures, as `make postprocess` makes"
            )
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="films")
        self._next: tuple[int, Future[list[Stretch]]] | None = None
        self._held: tuple[int, list[Stretch]] | None = None

    def batch(self, step: int) -> Batch:
        """The windows of a batch by its number.

        Raises:
            UserError: a film is missing, or is not what the release says.
        """
        stretches = self._pool(step // self.settings.pool_steps)
        rng = np.random.default_rng([self.settings.seed, self.rank, step])
        return windows(stretches, self.network, count=self.settings.batch, rng=rng)

    def close(self) -> None:
        """Stop reading."""
        self._reading.shutdown(cancel_futures=True)

    def _pool(self, number: int) -> list[Stretch]:
        if self._held is not None and self._held[0] == number:
            return self._held[1]
        fits = self._next is not None and self._next[0] == number
        coming = self._next[1] if self._next is not None and fits else self._reading.submit(self.read, number)
        self._held = None  # before the next one is read
        self._held = number, coming.result()
        self._next = number + 1, self._reading.submit(self.read, number + 1)
        return self._held[1]

    def read(self, number: int) -> list[Stretch]:
        """A pool by its number: as many clips as it has room for, all of them if there are no more."""
        rng = np.random.default_rng([self.settings.seed, self.rank, number, 1])
        room = min(self.settings.pool_clips, len(self.clips))
        chosen = [self.clips[place] for place in sorted(rng.choice(len(self.clips), size=room, replace=False))]
        length = max(self.settings.pool_frames, self.network.frames + 1)
        firsts = [int(rng.integers(max(clip.n_frames - length, 0) + 1)) for clip in chosen]
        return [self.stretch(clip, first, length) for clip, first in zip(chosen, firsts, strict=True)]

    def stretch(self, entry: Entry, first: int, length: int) -> Stretch:
        """Frames `first` and following of a clip."""
        size = self.network.size_px
        clip, film = self.reader.read(entry), self.films.film(entry.clip_id)
        shown = itertools.islice(film.frames(), first, first + length)
        pictures = np.stack([resize(picture, size, size) for picture in shown])
        rows = slice(first, first + length)
        return Stretch(pictures, scaled(clip.keypoints_px[rows], size / clip.size_px), clip.score[rows])


def windows(stretches: Sequence[Stretch], network: NetworkSettings, *, count: int, rng: np.random.Generator) -> Batch:
    """Windows at random, each with a frame of its stretch as the reference.

    Args:
        stretches: longer than a window each.
        network: says how long a window is, and how poses are drawn.
        count: of windows.
        rng: what they are drawn by.
    """
    found: dict[str, list[Tensor]] = {field.name: [] for field in dataclasses.fields(Batch)}
    for _ in range(count):
        stretch = stretches[int(rng.integers(len(stretches)))]
        first = int(rng.integers(len(stretch.pictures) - network.frames + 1))
        reference = int(rng.integers(len(stretch.pictures)))
        rows = [reference, *range(first, first + network.frames)]
        paint = Paint.of(stretch.pictures[reference], stretch.points[reference], stretch.score[reference])
        own, *others = guides(
            paint, stretch.points[rows], stretch.score[rows], size_px=network.size_px, drawn_at_px=network.drawn_at_px
        )
        found["frames"].append(planes(stretch.pictures[first : first + network.frames]))
        found["guides"].append(planes(np.stack(others)))
        found["reference"].append(planes(stretch.pictures[reference]))
        found["reference_guide"].append(planes(own))
    return Batch(**{name: torch.stack(rows) for name, rows in found.items()})


def scaled(points: FloatArray, scale: float) -> FloatArray:
    """Keypoints in a picture that is so many times larger; (0, 0) stays the centre of the top-left pixel."""
    return np.asarray((points + 0.5) * scale - 0.5, np.float32)


def planes(pictures: Pictures) -> Tensor:
    """[..., s, s, 3] to [..., 3, s, s]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pictures, -1, -3)))


def as_picture(numbers: Tensor) -> Tensor:
    """Bytes as a picture's numbers, -1 to 1."""
    return numbers.float() / 127.5 - 1


def as_guide(numbers: Tensor) -> Tensor:
    """Bytes as a guide's numbers, 0 to 1."""
    return numbers.float() / 255
