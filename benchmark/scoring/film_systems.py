"""What can be scored on tracks B and C: a system gives films for a clip. Controls, and the films of a submission.

A control's film is made from released films while it is read, a picture at a time: nothing is written, and no film
is ever whole in memory.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from csg405 import table
from csg405.benchmark.clip import Clip
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.plan import partners
from csg405.benchmark.submission import limits
from csg405.benchmark.submission.frames import Reader
from csg405.benchmark.submission.layout import prediction
from csg405.benchmark.video import Film, film_of_file
from csg405.errors import UserError
from csg405.media.decode import Image, resize
from csg405.run import Folders
from csg405.schema import Release
from csg405.weights import digest

BLUR = 1 / 128
"""Deviation of the control's Gaussian blur, in sides of the picture: 4 px of 512."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Released:
    """A released film."""

    path: Path
    n_frames: int
    size_px: int
    sha256: str | None
    """As the release says."""


class ReleasedFilms:
    """The films of a release. Small until it is asked, and picklable."""

    def __init__(self, folders: Folders) -> None:
        """Nothing is read yet."""
        self.folders = folders

    @functools.cached_property
    def _rows(self) -> dict[str, Released]:
        found = {}
        names = ("clip_id", "path", "n_frames", "size_px", "sha256")
        for part in table.parts(self.folders.table(Release)):
            columns = table.read_columns(part, names)
            for clip_id, path, n_frames, size_px, sha256 in zip(*(columns[name] for name in names), strict=True):
                if path is not None:
                    whole = self.folders.work / "release" / path
                    found[clip_id] = Released(path=whole, n_frames=n_frames, size_px=size_px, sha256=sha256)
        return found

    def has(self, clip_id: str) -> bool:
        """Whether a clip has a film."""
        return clip_id in self._rows

    def of(self, clip_id: str) -> Released:
        """A clip's film.

        Raises:
            UserError: the release has none.
        """
        found = self._rows.get(clip_id)
        if found is None:
            raise UserError(
                f"clip {clip_id}: the release of run {self.folders.name} has no film of it; tracks B and C are scored "
                "on a release with pictures, as `make postprocess` makes it, and not on synthetic truth without them"
            )
        if not found.path.is_file():
            raise UserError(f"{found.path}: the released film is missing; make the release anew, or copy it again")
        return found

    def film(self, clip_id: str) -> Film:
        """A clip's film, to be read."""
        found = self.of(clip_id)
        return film_of_file(found.path, n_frames=found.n_frames, size_px=found.size_px)

    def digest(self, clip_id: str) -> str:
        """The sha256 of a clip's film, as the release says it, or else of the file."""
        found = self.of(clip_id)
        return found.sha256 or digest(found.path)


def others(reader: ReleaseReader, films: ReleasedFilms, *, split: str) -> dict[str, str]:
    """Of every clip, whose film takes the place of its own: one for training at random, always the same.

    Where training clips have no films, it is another one of the split, the same speaker's where there is one: then the
    films together are those of the truth, and metrics of sets see no difference.
    """
    entries = reader.clips(split)
    filmed = [entry.clip_id for entry in reader.clips("train") if entry.split != split and films.has(entry.clip_id)]
    if not filmed:
        return partners(entries)
    drawn = {entry.clip_id: hashlib.sha256(entry.clip_id.encode()).digest()[:8] for entry in entries}
    return {clip_id: filmed[int.from_bytes(seed, "big") % len(filmed)] for clip_id, seed in drawn.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilmContext:
    """What films are made from."""

    films: ReleasedFilms
    other_of: Mapping[str, str]
    """Of every clip, whose film takes the place of its own."""
    reader: Reader
    """Decodes what was submitted."""


class GivenFilm(NamedTuple):
    """One film that a system gives."""

    seed: int
    film: Film


class FilmSystem(Protocol):
    """Something that gives films; small, and picklable."""

    @property
    def name(self) -> str:
        """What its rows are called."""
        ...

    def films(self, clip: Clip, context: FilmContext) -> Iterator[GivenFilm]:
        """Its films for a clip, one for each seed."""
        ...

    def digest(self, clip_id: str) -> str:
        """Of its own files for a clip; empty where its films follow from the release."""
        ...


@dataclasses.dataclass(frozen=True)
class FilmControl:
    """A system whose worth is known beforehand, by name: a key of `CONTROLS`."""

    name: str

    def films(self, clip: Clip, context: FilmContext) -> Iterator[GivenFilm]:
        """See `FilmSystem`."""
        read = functools.partial(CONTROLS[self.name], clip, context)
        yield GivenFilm(0, Film(name=self.name, n_frames=len(clip), size_px=clip.size_px, read=read))

    def digest(self, clip_id: str) -> str:
        """See `FilmSystem`."""
        del clip_id
        return ""


def _truth(clip: Clip, context: FilmContext) -> Iterator[Image]:
    return context.films.film(clip.clip_id).frames()


def _copied(clip: Clip, context: FilmContext) -> Iterator[Image]:
    """The first frame, held."""
    first = next(context.films.film(clip.clip_id).frames())
    return itertools.repeat(first, len(clip))


def _other(clip: Clip, context: FilmContext) -> Iterator[Image]:
    """Another clip's film: as long as this one, and again from its start if it is too short."""
    film = context.films.film(context.other_of[clip.clip_id])
    again = itertools.chain.from_iterable(film.frames() for _ in itertools.count())
    return (_sized(image, clip.size_px) for image in itertools.islice(again, len(clip)))


def _sized(image: Image, size_px: int) -> Image:
    return image if image.shape[0] == size_px else resize(image, size_px, size_px)


def _blurred(clip: Clip, context: FilmContext) -> Iterator[Image]:
    deviation = BLUR * clip.size_px
    return (
        np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8)
        for image in context.films.film(clip.clip_id).frames()
    )


CONTROLS: dict[str, Callable[[Clip, FilmContext], Iterator[Image]]] = {
    "truth": _truth, "copy_reference": _copied, "other_clip": _other, "blurred": _blurred,
}  # fmt: skip
"""In the order in which they are shown: the clip's own film; its first frame, held; another clip's; its own, blurred"""


def controls() -> list[FilmSystem]:
    """All controls, in their order."""
    return [FilmControl(name) for name in CONTROLS]


@dataclasses.dataclass(frozen=True)
class SubmittedFilms:
    """The films of a submission, which was validated before; they are decoded by a worker that may use little."""

    folder: Path
    seeds: int
    name: str = "submission"

    def films(self, clip: Clip, context: FilmContext) -> Iterator[GivenFilm]:
        """See `FilmSystem`.

        Raises:
            UserError: a file is no longer what was validated.
        """
        for seed in range(self.seeds):
            file = prediction(f"predictions/{clip.clip_id}/seed{seed}.mp4")
            path = self.folder / f"predictions/{clip.clip_id}/seed{seed}.mp4"
            plain = file is not None and path.is_file() and not path.is_symlink()
            if not plain or path.stat().st_size > limits.MOST_FILE_BYTES:
                raise UserError(f"{path}: no film of at most {limits.MOST_FILE_BYTES} bytes; validate it again")
            read = functools.partial(context.reader.frames, path, most_frames=len(clip))
            name = f"{clip.clip_id}/{path.name}"
            yield GivenFilm(seed, Film(name=name, n_frames=len(clip), size_px=clip.size_px, read=read))

    def digest(self, clip_id: str) -> str:
        """See `FilmSystem`."""
        held = hashlib.sha256()
        for path in sorted((self.folder / "predictions" / clip_id).iterdir()):
            held.update(f"{path.name} {digest(path)}\n".encode())
        return held.hexdigest()
