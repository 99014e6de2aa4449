"""Reading a release: which clips there are, one clip, or many in a given order with one shard in memory at a time.

A release is the table `release` and the shards beside it, as `csg405.schema` defines them; films need not be there,
so a release of synthetic truth is read like any other. The index is light: shards are opened only for what is asked
of them. No torch is needed; `csg405.benchmark.data` has the loader for training.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from csg405 import keypoints as kp
from csg405 import table
from csg405.benchmark.clip import Clip, Sound
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.report.summary import SPLITS
from csg405.run import Folders, fan_out
from csg405.schema import FloatArray, Release, Sample

ATTRIBUTES = "attributes"
"""A table that may lie beside `release`: `clip_id` and columns of words, written by `csg405.table`. Where it is, clips
carry its values as their attributes. Parts that name the same clip are put together."""

_INDEX = ("clip_id", "video_id", "channel", "split", "n_frames", "shard", "size_px")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """What the table says of a released clip; its arrays are read when they are asked for."""

    clip_id: str
    video_id: str
    speaker: str
    """The release's channel; the source video where there is none."""
    split: str
    n_frames: int
    shard: str
    """Parquet file, relative to the release folder."""
    size_px: int
    """Side of the released picture."""


class ReleaseReader:
    """Reads the release of a run. Small until it is asked for clips, and picklable: workers get a copy."""

    def __init__(self, folders: Folders) -> None:
        """Nothing is read yet."""
        self.folders = folders

    @functools.cached_property
    def entries(self) -> dict[str, Entry]:
        """Every released clip by id, in the order of the table.

        Raises:
            UserError: nothing is released, a part cannot be read, or a clip is in it twice.
        """
        found: dict[str, Entry] = {}
        for path in table.parts(self.folders.table(Release)):
            for entry in _entries_of(path):
                if entry.clip_id in found:
                    raise UserError(f"{path}: clip {entry.clip_id} is released twice; make the release anew")
                found[entry.clip_id] = entry
        if not found:
            raise UserError(
                f"run {self.folders.name}: no clip is released in {self.folders.table(Release)}; "
                f"run `make postprocess RUN={self.folders.name}`, or `csg405 synth truth` for a synthetic release"
            )
        return found

    def clips(self, split: str | None = None) -> list[Entry]:
        """The clips of a split, or all, in the order of the table; none where the release has none of that split.

        Raises:
            UserError: there is no such split, or nothing is released.
        """
        if split is not None and split not in SPLITS:
            raise UserError(f"split {split!r}: wanted one of {', '.join(SPLITS)}")
        return [entry for entry in self.entries.values() if split in (None, entry.split)]

    def entry(self, clip_id: str) -> Entry:
        """What the table says of a clip.

        Raises:
            UserError: the release has no such clip.
        """
        if clip_id not in self.entries:
            raise UserError(f"clip {clip_id!r}: run {self.folders.name} releases no such clip")
        return self.entries[clip_id]

    def read(self, clip: Entry | str) -> Clip:
        """One clip, of which no other row of its shard is kept.

        Args:
            clip: its entry, or its id.

        Raises:
            UserError: there is no such clip, or its shard is missing, damaged, or disagrees with the table.
        """
        entry = self.entry(clip) if isinstance(clip, str) else clip
        rows = self._samples(entry.shard, clip_id=entry.clip_id)
        return self._clip(entry, {row.clip_id: row for row in rows})

    def read_shard(self, shard: str) -> Iterator[Clip]:
        """All clips of a shard, in the order of the table.

        Args:
            shard: as entries name it.

        Raises:
            UserError: as for `read`.
        """
        return self.iterate(entry for entry in self.entries.values() if entry.shard == shard)

    def iterate(self, entries: Iterable[Entry]) -> Iterator[Clip]:
        """Clips in the order that is given. One shard is in memory at a time, and what the caller keeps.

        A shard is read once for each run of entries that lie in it, so an order that leaps between shards reads much.

        Raises:
            UserError: as for `read`.
        """
        for shard, group in itertools.groupby(entries, key=lambda entry: entry.shard):
            rows = {row.clip_id: row for row in self._samples(shard)}
            for entry in group:
                yield self._clip(entry, rows)
            del rows  # before the next shard is read

    def digest(self, split: str | None = None) -> str:
        """The sha256 of a split's content: see `digest_of`. Reads all of its clips.

        Raises:
            UserError: as for `read`.
        """
        return digest_of({clip.clip_id: clip_digest(clip) for clip in self.iterate(self.clips(split))})

    @functools.cached_property
    def attributes(self) -> dict[str, dict[str, str]]:
        """What the table `attributes` says, by clip; nothing where there is none.

        Raises:
            UserError: a part has no column `clip_id`, or one that does not hold words.
        """
        found: dict[str, dict[str, str]] = {}
        for path in table.parts(self.folders.manifests / ATTRIBUTES):
            columns = table.read_columns(path)
            clip_ids = columns.pop("clip_id", None)
            if clip_ids is None:
                raise UserError(f"{path}: there is no column clip_id; a row must say which clip it is of")
            for name, values in columns.items():
                _take_words(path, name, found, dict(zip(clip_ids, values, strict=True)))
        return found

    def _samples(self, shard: str, *, clip_id: str | None = None) -> list[Sample]:
        """Rows of a shard, all or one clip's; their arrays share the shard's memory."""
        path = self.folders.work / "release" / shard
        if not path.is_file():
            raise UserError(f"{path}: the shard is missing, though clips of run {self.folders.name} name it; {_AGAIN}")
        where = None if clip_id is None else pc.field("clip_id") == clip_id
        return table.read_part(path, Sample, where=where)

    def _clip(self, entry: Entry, rows: Mapping[str, Sample]) -> Clip:
        if entry.clip_id not in rows:
            raise UserError(f"{entry.shard}: clip {entry.clip_id} is not in its shard; {_AGAIN}")
        row = rows[entry.clip_id]
        _check(entry, row)
        n = entry.n_frames
        return Clip(
            clip_id=entry.clip_id,
            video_id=entry.video_id,
            speaker=entry.speaker,
            split=entry.split,
            keypoints_px=row.keypoints_px.reshape(n, kp.COUNT, 2).copy(),
            score=row.score.reshape(n, kp.COUNT).copy(),
            sound=Sound(row.audio_int16.copy()),
            size_px=entry.size_px,
            attributes=self.attributes.get(entry.clip_id, {}),
        )


_AGAIN = "make the release anew, or copy it again"


def _entries_of(path: Path) -> Iterator[Entry]:
    missing = [name for name in _INDEX if name not in table.columns(path)]
    if missing:
        raise UserError(f"{path}: columns {', '.join(missing)} are missing; make the release anew")
    columns = table.read_columns(path, _INDEX)
    for clip_id, video_id, channel, split, n_frames, shard, size_px in zip(
        *(columns[name] for name in _INDEX), strict=True
    ):
        yield Entry(
            clip_id=clip_id,
            video_id=video_id,
            speaker=channel or video_id,
            split=split,
            n_frames=n_frames,
            shard=shard,
            size_px=size_px,
        )


def _take_words(path: Path, name: str, found: dict[str, dict[str, str]], values: Mapping[str, object]) -> None:
    """Add one column of attributes to those found before; a missing value says nothing."""
    for clip_id, value in values.items():
        if value is None:
            continue
        if not isinstance(value, str):
            raise UserError(f"{path}: column {name} of clip {clip_id} is {value!r}; an attribute is a word")
        found.setdefault(clip_id, {})[name] = value


def _check(entry: Entry, row: Sample) -> None:
    """Make sure that a row is what the table says, and numbers throughout."""
    n = entry.n_frames
    for what, seen, wanted in (
        ("frames", row.n_frames, n),
        ("coordinates", row.keypoints_px.size, 2 * kp.COUNT * n),
        ("scores", row.score.size, kp.COUNT * n),
        ("samples", row.audio_int16.size, SAMPLES_PER_FRAME * n),
        ("frames/s", row.fps, FPS),
        ("samples/s", row.audio_rate_hz, AUDIO_RATE_HZ),
    ):
        if seen != wanted:
            raise UserError(f"{entry.shard}: clip {entry.clip_id} has {seen} {what}, wanted {wanted}; {_AGAIN}")
    if not (np.isfinite(row.keypoints_px).all() and np.isfinite(row.score).all()):
        raise UserError(f"{entry.shard}: clip {entry.clip_id} has keypoints that are no finite numbers; {_AGAIN}")


# ---- what a release holds, in one number


def clip_digest(clip: Clip) -> str:
    """The sha256 of a clip: of its names, its size and the numbers of its arrays, however they were stored."""
    facts = [clip.clip_id, clip.video_id, clip.speaker, clip.split, clip.size_px, len(clip)]
    found = hashlib.sha256(json.dumps(facts).encode())
    for array, kind in ((clip.keypoints_px, "<f4"), (clip.score, "<f4"), (clip.sound.samples, "<i2")):
        found.update(np.ascontiguousarray(array, dtype=kind).data)
    return found.hexdigest()


def digest_of(digests: Mapping[str, str]) -> str:
    """The digest of many clips, whatever their order and however they were divided over shards.

    Args:
        digests: each clip's `clip_digest` by its id, for example of clips that were read for something else.
    """
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def list_digest(entries: Iterable[Entry]) -> str:
    """The digest of clips' names, lengths and places; no clip is read for it."""
    listed = [[entry.clip_id, entry.n_frames, entry.shard] for entry in entries]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


# ---- features beside a release


class FeatureFolder:
    """Features of clips, computed before: one .npz file a clip, `<2 hex digits>/<clip_id>.npz` (see `fan_out`).

    A file holds one array, `features`, [n_frames, d]: row i belongs to frame i, 25 a second. What comes at another
    rate is brought to this one before it is written; 50 vectors a second of d numbers are [n_frames, 2 d].
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder

    def path(self, clip_id: str) -> Path:
        """The file of a clip."""
        return fan_out(self.folder, clip_id, ".npz")

    def write(self, clip_id: str, features: npt.NDArray[np.floating]) -> None:
        """Write a clip's features, whole or not at all; float16 is kept and read back as float32."""
        table.replace_atomically(self.path(clip_id), lambda temporary: np.savez(temporary, features=features))

    def __call__(self, clip_id: str) -> FloatArray:
        """The features of a clip.

        Raises:
            UserError: there are none, or the file holds something else.
        """
        path = self.path(clip_id)
        if not path.is_file():
            raise UserError(f"{path}: clip {clip_id} has no features; compute them for all clips that are read")
        try:
            with np.load(path, allow_pickle=False) as file:
                features = np.asarray(file["features"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: wanted an .npz file with one array `features` ({error})") from error
        if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
            raise UserError(f"{path}: features are {features.dtype} {features.shape}, wanted floats [n_frames, d]")
        return features.astype(np.float32)
