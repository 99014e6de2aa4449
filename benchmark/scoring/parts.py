"""What a score consists of, computed by many workers: values of every control, floors, and the copy test.

Each part follows from rows, or from clips, and from nothing else, so any number of workers gives the same. A worker
opens the rows once, and what it finds in those of the truth serves all parts that it computes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring import results, rows
from csg405.benchmark.scoring.measure import Split, done, one_thread, used
from csg405.benchmark.scoring.plan import Chunk, chunks
from csg405.benchmark.scoring.results import Own, Parts
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.scoring.systems import Submitted
from csg405.benchmark.scoring.values import HALVINGS, Book, floors_of
from csg405.benchmark.submission import copies
from csg405.benchmark.submission.findings import Finding
from csg405.engine import Engine
from csg405.schema import FloatArray

_OWN, _CONTROL, _HALVES = "own", "control", "halves"

_TRAIN_CLIPS = 200
"""Most training clips that the copy test compares with; they are drawn at random, always the same."""

_SEED = 405_009


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartWorker:
    """Computes one part from rows; made once in each worker process."""

    files: Mapping[str, Sequence[Path]]
    """By control: the files that its rows are in."""
    own_files: Sequence[Path]
    """Of the submission."""
    cluster_of: Mapping[str, str]
    groups: Mapping[str, Mapping[str, str]]
    with_towers: bool

    @functools.cached_property
    def book(self) -> Book:
        """The rows of the controls."""
        return Book.open(self.files, used(with_towers=self.with_towers), self.cluster_of)

    @functools.cached_property
    def measured(self) -> Measured:
        """The rows of the submission."""
        return rows.read(self.own_files, Submitted.name)

    @functools.cached_property
    def own_clips(self) -> dict[str, dict[str, float]]:
        """The submission's values of clips, by card."""
        return self.book.by_clip(self.measured)

    def __call__(self, part: str) -> Any:
        """Compute a part by its name."""
        kind, _, name = part.partition(" ")
        with one_thread():
            if kind == _OWN:
                return results.own_of(self.book, self.measured, self.groups)
            if kind == _HALVES:
                return self.book.between_halves(int(name))
            control = self.book.rows(name)
            values = self.book.values(control)
            return values, results.against(self.book, self.measured, self.own_clips, name, control)


def compute(book: Book, own_files: Sequence[Path], groups: Mapping[str, Mapping[str, str]], engine: Engine) -> Parts:
    """All parts of a submission's score.

    Args:
        book: rows of the controls.
        own_files: of the submission's rows.
        groups: what breakdowns go by: the group of every clip.
        engine: local or Ray.

    Raises:
        UserError: a part failed.
    """
    towers = any("two_tower" in card.needs for module in book.modules for card in module.CARDS)
    make = functools.partial(
        PartWorker, files=book.files, own_files=own_files, cluster_of=book.cluster_of, groups=groups,
        with_towers=towers,
    )  # fmt: skip
    halves = [f"{_HALVES} {number}" for number in range(HALVINGS)]
    names = {control: f"{_CONTROL} {control}" for control in book.files}
    found = done(make, [_OWN, *names.values(), *halves], engine, what="compute")
    own: Own = found[_OWN]
    return Parts(
        own=own,
        controls={control: found[name][0] for control, name in names.items()},
        against=[row for name in names.values() for row in found[name][1]],
        floors=floors_of(found[name] for name in halves),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CopyWorker:
    """Tells how far a chunk's predictions are from training clips and from the truth; the first seed is looked at."""

    split: Split
    folder: Path
    """Of the submission."""

    @functools.cached_property
    def reader(self) -> ReleaseReader:
        """Of the release."""
        return ReleaseReader(self.split.folders)

    @functools.cached_property
    def plan(self) -> dict[str, Chunk]:
        """The split's chunks by name."""
        return {chunk.name: chunk for chunk in chunks(self.reader.clips(self.split.name))}

    @functools.cached_property
    def train(self) -> list[tuple[str, FloatArray]]:
        """Training clips drawn at random, as the copy test sees them."""
        clips = self.reader.clips("train")
        drawn = np.random.default_rng(_SEED).permutation(len(clips))[:_TRAIN_CLIPS]
        chosen = sorted((clips[i] for i in drawn), key=lambda entry: (entry.shard, entry.clip_id))
        return [(clip.clip_id, copies.tracks(clip.points)) for clip in self.reader.iterate(chosen)]

    def __call__(self, name: str) -> dict[str, copies.Distances]:
        """The distances of a chunk's clips."""
        system, pairs = Submitted(self.folder, 1), {}
        for clip in self.reader.iterate(self.reader.entry(clip_id) for clip_id in self.plan[name].clip_ids):
            motion = clip.placed(next(system.motions(clip)).keypoints_px)
            pairs[clip.clip_id] = copies.tracks(motion), copies.tracks(clip.points)
        with one_thread():
            return copies.distances(pairs, self.train)


def copied(split: Split, folder: Path, engine: Engine) -> list[Finding]:
    """Whether predictions are copies of training clips, or the truth itself.

    Args:
        split: of the release.
        folder: of the submission.
        engine: local or Ray.

    Raises:
        UserError: a file is no longer what was validated.
    """
    make = functools.partial(CopyWorker, split=split, folder=folder)
    found = done(make, list(make().plan), engine, what="compare with known clips")
    return copies.judge(copies.nearness({clip: far for chunk in found.values() for clip, far in chunk.items()}))
