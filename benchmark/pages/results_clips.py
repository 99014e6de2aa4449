"""Samples side by side: a few clips, and for each the truth, every model and two controls, with the clip's sound."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from csg405.benchmark.clip import Clip
from csg405.benchmark.controls import Context
from csg405.benchmark.pages.clips import films_of, medium_of
from csg405.benchmark.pages.results_tests import NEIGHBOURS
from csg405.benchmark.release import Entry
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.systems import ControlSystem, Submitted
from csg405.media.clock import FPS
from csg405.report import gallery, words
from csg405.schema import FloatArray

CONTROLS = NEIGHBOURS

_LONG_FRAMES = 300
"""Clips up to this length are taken first: 12 s."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One skeleton."""

    title: str
    kind: str
    """`truth`, `model` or `control`."""
    name: str
    """Under which the player finds its motion."""
    track: str
    """Address of the motion."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A clip with its skeletons."""

    clip_id: str
    speaker: str
    length: str
    size_px: int
    n_frames: int
    medium: str
    is_film: bool
    panels: tuple[Panel, ...]


def choose(entries: list[Entry], *, most: int) -> list[Entry]:
    """Clips of as many speakers as there are, short ones first; a hash decides, so the choice is always the same."""

    def order(entry: Entry) -> tuple[bool, bytes]:
        return entry.n_frames > _LONG_FRAMES, hashlib.sha256(entry.clip_id.encode()).digest()

    of_speaker: dict[str, int] = {}
    ranked: list[tuple[int, int, Entry]] = []
    for entry in sorted(entries, key=order):
        before = of_speaker.get(entry.speaker, 0)
        of_speaker[entry.speaker] = before + 1
        ranked.append((before, len(ranked), entry))
    return [entry for _, _, entry in sorted(ranked, key=lambda each: each[:2])[:most]]


def fill(folder: Path, place: Place, submissions: Mapping[str, Path], *, most: int) -> list[Sample]:
    """Put motions and sounds into the page's folder.

    Args:
        folder: the page's; gets `data/` and `media/`.
        place: the run, the kit and the split.
        submissions: folders of the models' submissions, by title.
        most: clips at most.

    Raises:
        UserError: a submission lacks a clip.
    """
    entries = choose(place.entries, most=most)
    films = films_of(place.folders, [entry.clip_id for entry in entries])
    found = {}
    for clip in place.reader.iterate(sorted(entries, key=lambda entry: (entry.shard, entry.clip_id))):
        medium = medium_of(folder, clip, films.get(clip.clip_id))
        found[clip.clip_id] = Sample(
            clip_id=clip.clip_id, speaker=clip.speaker, length=" ".join(words.length(len(clip) / FPS)),
            size_px=clip.size_px, n_frames=len(clip), medium=medium, is_film=medium.endswith(".mp4"),
            panels=tuple(_panels(folder, clip, place, submissions)),
        )  # fmt: skip
    return [found[entry.clip_id] for entry in entries]


def _panels(folder: Path, clip: Clip, place: Place, submissions: Mapping[str, Path]) -> Iterator[Panel]:
    for number, (title, kind, motion) in enumerate(_motions(clip, place, submissions)):
        name = f"{clip.clip_id} {number}"
        # What the release does not see is no system's fault: no skeleton shows it.
        track = gallery.write_motion(
            folder / "data" / f"{clip.clip_id}.{number}.js", motion, clip.score, name=name, size_px=clip.size_px
        )
        yield Panel(title=title, kind=kind, name=name, track=track)


def _motions(clip: Clip, place: Place, submissions: Mapping[str, Path]) -> Iterator[tuple[str, str, FloatArray]]:
    yield "truth", "truth", clip.keypoints_px
    for title, submission in submissions.items():
        yield title, "model", next(Submitted(submission, 1).motions(clip)).keypoints_px
    context = Context(kit=place.kit, other=clip.sound)  # none of these hears another sound
    for name in CONTROLS:
        yield words.label(name), "control", next(ControlSystem(name).motions(clip, context)).keypoints_px
