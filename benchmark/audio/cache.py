"""Features of a release, computed once and kept beside it, in worker processes on any engine.

They lie below `work/<run>/benchmark/features/<name>-<digest>/`, one file a clip, as half-precision numbers with the
digest of the sound that they were made from: what is there is not computed again, and a clip whose sound changed is.
A file is whole or not there, so a run that was killed goes on where it was. `FeatureFolder` reads them, and the loader
for training takes it as its `features`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import time
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from csg405 import table
from csg405.benchmark.audio.features import PROSODY, Extractor, Maker
from csg405.benchmark.clip import Clip
from csg405.benchmark.release import Entry, FeatureFolder, ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.plan import chunks
from csg405.engine import Engine
from csg405.errors import UserError
from csg405.media.clock import FPS
from csg405.operator import Resources
from csg405.progress import Progress
from csg405.run import Folders
from csg405.schema import FloatArray

log = logging.getLogger(__name__)

_FORGOTTEN_S = 86_400.0
"""What was begun longer ago is no longer being written."""

FACTS = "features.json"
"""What the folder holds, for whoever finds it."""


class CachedFeatures(FeatureFolder):
    """A feature folder whose files also say which sound they were made from."""

    def keep(self, clip: Clip, features: FloatArray) -> None:
        """Write a clip's features with its sound's digest, whole or not at all."""
        rows, sound = features.astype(np.float16), np.array(sound_digest(clip))
        table.replace_atomically(
            self.path(clip.clip_id), lambda temporary: np.savez(temporary, features=rows, sound=sound)
        )

    def is_fresh(self, clip: Clip) -> bool:
        """Whether there are features of this very sound."""
        try:
            with np.load(self.path(clip.clip_id), allow_pickle=False) as file:
                return "features" in file.files and str(file["sound"]) == sound_digest(clip)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False


def sound_digest(clip: Clip) -> str:
    """The sha256 of a clip's samples."""
    return hashlib.sha256(np.ascontiguousarray(clip.sound.samples, dtype="<i2").data).hexdigest()


def folder_of(folders: Folders, extractor: Extractor) -> Path:
    """Where a run keeps the features of an extractor."""
    return folders.work / "benchmark" / "features" / f"{extractor.name}-{extractor.digest[:12]}"


class Counts(NamedTuple):
    """What came of some clips."""

    clips: int
    computed: int
    """Of them; the others were there."""


@dataclasses.dataclass(frozen=True)
class Cached:
    """The features of a release."""

    features: CachedFeatures
    dim: int
    """Numbers a frame."""
    clips: int
    computed: int
    """Clips whose features were not there."""
    size_bytes: int
    """Of all these clips' files."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipWorker:
    """Computes the features of some clips; made once in each worker process."""

    folders: Folders
    split: str | None
    make: Maker
    digest: str

    @functools.cached_property
    def reader(self) -> ReleaseReader:
        """Of the release."""
        return ReleaseReader(self.folders)

    @functools.cached_property
    def plan(self) -> dict[str, tuple[Entry, ...]]:
        """Clips that are taken together, by name."""
        return planned(self.reader.clips(self.split))

    @functools.cached_property
    def extractor(self) -> Extractor:
        """Turns sounds into rows.

        Raises:
            UserError: it is not the one that was asked for.
        """
        made = self.make()
        if made.digest != self.digest:
            raise UserError(
                f"features {made.name}: the files have the digest {made.digest[:12]} here, and {self.digest[:12]} "
                "where they were asked for; give all machines the same"
            )
        return made

    def __call__(self, name: str) -> Counts:
        """Compute what is not there yet."""
        entries = self.plan[name]
        cached = CachedFeatures(folder_of(self.folders, self.extractor))
        computed = 0
        with one_thread(load_torch=False):  # prosody needs none, and starts sooner
            for clip in self.reader.iterate(entries):
                if not cached.is_fresh(clip):
                    cached.keep(clip, _rows(self.extractor, clip))
                    computed += 1
        return Counts(len(entries), computed)


def _rows(extractor: Extractor, clip: Clip) -> FloatArray:
    rows = extractor(clip.sound.wave)
    if rows.shape != (len(clip), extractor.dim):
        raise UserError(
            f"clip {clip.clip_id}: {extractor.name} gives {list(rows.shape)}, wanted [{len(clip)}, {extractor.dim}]"
        )
    if not (np.abs(rows) <= np.finfo(np.float16).max).all():
        raise UserError(
            f"clip {clip.clip_id}: {extractor.name} gives numbers that are not finite in half precision; are its "
            "weights what they should be?"
        )
    return rows


def planned(entries: Sequence[Entry]) -> dict[str, tuple[Entry, ...]]:
    """Clips that are taken together: those of some shards in a row, so that each is read once."""
    by_id = {entry.clip_id: entry for entry in entries}
    return {chunk.name: tuple(by_id[clip_id] for clip_id in chunk.clip_ids) for chunk in chunks(entries)}


def compute(reader: ReleaseReader, make: Maker, engine: Engine, *, split: str | None = None) -> Cached:
    """Bring the features of a release, or of one split, up to date.

    Args:
        reader: of the release.
        make: makes the extractor, here and in the workers: see `features.maker`.
        engine: local or Ray.
        split: train, validation or test; all by default.

    Raises:
        UserError: the release has no such clips, the extractor cannot be made, or clips failed.
    """
    entries = reader.clips(split)
    if not entries:
        raise UserError(f"the release of run {reader.folders.name} has no clips in split {split!r}")
    extractor = make()
    features = CachedFeatures(folder_of(reader.folders, extractor))
    facts = {"name": extractor.name, "dim": extractor.dim, "digest": extractor.digest, "fps": FPS}
    table.write_text(features.folder / FACTS, json.dumps(facts, indent=1) + "\n")
    _clear(features.folder, reader.entries)
    worker = functools.partial(ClipWorker, folders=reader.folders, split=split, make=make, digest=extractor.digest)
    computed = _computed(worker, entries, engine, extractor.name)
    size = sum(features.path(entry.clip_id).stat().st_size for entry in entries)
    return Cached(features, extractor.dim, len(entries), computed, size)


def _computed(worker: functools.partial[ClipWorker], entries: Sequence[Entry], engine: Engine, name: str) -> int:
    """How many clips were computed."""
    plan = planned(entries)
    longest_s = max(sum(entry.n_frames for entry in members) for members in plan.values()) / FPS
    needs = Resources(gpu=name != PROSODY)
    computed, failed = 0, []
    with Progress(f"features {name}", total=len(entries), unit="clips") as progress:
        for outcome in engine.map(worker, list(plan), needs, media_s=longest_s):
            if outcome.value is None:
                log.error("clips %s: %s\n%s", outcome.shard, outcome.error, outcome.trace)
                failed.append(outcome.error)
            else:
                computed += outcome.value.computed
            progress.advance(len(plan[outcome.shard]))
    if failed:
        raise UserError(f"features {name}: {len(failed)} of {len(plan)} groups of clips failed; the first: {failed[0]}")
    return computed


def _clear(folder: Path, clip_ids: Iterable[str]) -> None:
    """Remove the features of clips that are no more, and what a run that was killed left."""
    known, recent = set(clip_ids), time.time() - _FORGOTTEN_S
    for path in folder.glob("??/*.npz"):
        if path.name.startswith("."):  # another program may be writing it
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < recent:
                    path.unlink()
        elif path.stem not in known:
            path.unlink(missing_ok=True)
