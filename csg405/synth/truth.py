"""The synthetic world by the hour: a release of true poses, sound and words, in which no picture is ever drawn.

`write_truth` writes the tables that a release of filmed clips has, so a reader of `release` and its shards does not
see the difference, but that there are no media: `path`, `audio_path` and `sha256` are missing. All follows from the
seed. A talker speaks in recordings of two minutes or less, each a shard of its own, so that memory is bounded, any
number of processes give the same bytes, and a call that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Generator, Set
from pathlib import Path
from typing import cast

import numpy as np

from csg405 import stage, table
from csg405.config import EngineSettings
from csg405.engine import LocalEngine, Outcome
from csg405.errors import UserError
from csg405.media.clock import FPS
from csg405.operator import Resources
from csg405.progress import Progress
from csg405.run import Folders
from csg405.schema import Record, Release, Video, Word
from csg405.synth.recordings import RECORDS, VERSION, Order, rows_of


@dataclasses.dataclass(frozen=True)
class Summary:
    """What the release holds, and how much of it this call made."""

    made: int
    """Recordings."""
    fresh: int
    """Recordings that were there already."""
    clips: int
    seconds: float
    """Length of all clips."""
    speech_s: float
    """The same from each clip's first word to its last."""
    talkers: dict[str, int]
    """By split."""


def write_truth(
    folders: Folders,
    *,
    minutes: float,
    talkers: int,
    seed: int = 405,
    workers: int = 0,
    clip_s: tuple[float, float] = (4.0, 15.0),
    validation: float = 0.1,
    test: float = 0.3,
) -> Summary:
    """Write a release of true poses, sound and words: tables `release` and `words`, and its shards.

    The same call again does nothing; one that was killed goes on; another order takes the place of an earlier one.
    The same order gives the same bytes. The caller holds the run's lock.

    Args:
        folders: of the run.
        minutes: of speech, at least, silence before and after each clip's words not counted.
        talkers: each speaks for the same time, in two recordings or more.
        seed: another one gives other talkers, who say other things.
        workers: processes; 0 is one per core.
        clip_s: shortest and longest clip, s.
        validation: part of the talkers whose clips are for validation; at least one of three or more.
        test: part of the talkers whose clips are for testing; at least one of two or more. Nobody is in two splits.
            The default puts 12 of 40 talkers there.

    Returns:
        What the release now holds.

    Raises:
        UserError: such a release cannot be made, the run holds filmed clips, or espeak-ng is not installed.
        OSError: the disk is full.
        RuntimeError: anything else went wrong in a worker.
    """
    order = Order(minutes=minutes, talkers=talkers, seed=seed, clip_s=clip_s, validation=validation, test=test)
    order.check()
    if workers < 0:
        raise UserError(f"workers={workers}: wanted 0 or more")
    prints = _fingerprints(order)
    _claim(folders, order)
    stale = [shard for shard, fingerprint in prints.items() if not _is_fresh(folders, shard, fingerprint)]
    _clear(folders, prints.keys() - set(stale))
    _make(folders, order, stale, workers=workers)
    return _summary(folders, made=len(stale), fresh=len(prints) - len(stale))


def _fingerprints(order: Order) -> dict[str, str]:
    """Of all that each shard's rows follow from.

    Raises:
        UserError: espeak-ng is not installed.
    """
    try:
        espeak = importlib.metadata.version("espeakng-loader")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError("speech is made by espeak-ng, which is not installed; run `make setup EXTRAS=demo`") from error
    return {
        shard: hashlib.sha256(json.dumps([VERSION, espeak, dataclasses.asdict(recording)]).encode()).hexdigest()
        for shard, recording in order.recordings().items()
    }


def _outputs(folders: Folders, shard: str) -> dict[type[Record], Path]:
    return {record: table.part_path(folders.table(record), shard) for record in RECORDS}


def _is_fresh(folders: Folders, shard: str, fingerprint: str) -> bool:
    return all(table.fingerprint(path) == fingerprint for path in _outputs(folders, shard).values())


def _claim(folders: Folders, order: Order) -> None:
    """Say in the run's folder what it is to hold.

    Raises:
        UserError: it holds something else.
    """
    plan = folders.work / "truth.json"
    filmed = table.parts(folders.table(Video))
    if filmed or (table.parts(folders.table(Release)) and not plan.exists()):
        raise UserError(f"run {folders.name} holds filmed clips, which true poses would replace; take another name")
    table.write_text(plan, json.dumps({"version": VERSION, **dataclasses.asdict(order)}, indent=1) + "\n")


def _clear(folders: Folders, fresh: Set[str]) -> None:
    """Delete what is not of this order, before any is made: whoever reads never sees two orders in one release."""
    stage.clean_temporary(folders)
    kept = {path for shard in fresh for path in _outputs(folders, shard).values()}
    for record in reversed(RECORDS):
        for path in table.parts(folders.table(record)):
            if path not in kept:
                path.unlink()


def _make(folders: Folders, order: Order, shards: list[str], *, workers: int) -> None:
    """Make shards in processes of their own; the first that fails ends it."""
    if not shards:
        return
    engine = LocalEngine(EngineSettings(workers=workers))
    found = engine.map(functools.partial(_Worker, folders, order), shards, Resources())
    outcomes = cast(Generator[Outcome[OSError | None], None, None], found)
    with (
        contextlib.closing(engine),
        contextlib.closing(outcomes),  # before the engine, which would wait for shards that nobody wants now
        Progress("synth", total=len(shards), unit="recordings") as progress,
    ):
        for outcome in outcomes:
            _raise_failure(outcome)
            progress.advance()


class _Worker:
    """Makes shards; built once in a process."""

    def __init__(self, folders: Folders, order: Order) -> None:
        self.folders = folders
        self.recordings = order.recordings()
        self.prints = _fingerprints(order)

    def __call__(self, shard: str) -> OSError | None:
        """Write the parts of a shard; what the disk refuses is handed on as it is, for it is the user's to mend."""
        try:
            rows = rows_of(self.recordings[shard], shard=shard)
            for record, path in _outputs(self.folders, shard).items():
                table.write_part(path, record, rows[record], fingerprint=self.prints[shard])
        except OSError as error:
            return error
        return None


def _raise_failure(outcome: Outcome[OSError | None]) -> None:
    if outcome.value is not None:
        raise outcome.value
    if outcome.trace:
        raise RuntimeError(f"recording {outcome.shard}: {outcome.error}\n{outcome.trace}")
    if outcome.error:
        raise UserError(f"recording {outcome.shard}: {outcome.error}")


def _summary(folders: Folders, *, made: int, fresh: int) -> Summary:
    clips, frames, speech_s = 0, 0, 0.0
    splits: dict[str, str] = {}
    for path in table.parts(folders.table(Release)):
        columns = table.read_columns(path, ["channel", "split", "n_frames"])
        clips, frames = clips + len(columns["n_frames"]), frames + sum(columns["n_frames"])
        splits.update(zip(columns["channel"], columns["split"], strict=True))
    for path in table.parts(folders.table(Word)):
        words = table.read_arrow(path, ["clip_id", "start_s", "end_s"]).group_by("clip_id")
        spans = words.aggregate([("start_s", "min"), ("end_s", "max")])
        speech_s += float(np.sum(spans["end_s_max"].to_numpy() - spans["start_s_min"].to_numpy()))
    return Summary(made, fresh, clips, frames / FPS, speech_s, dict(Counter(splits.values())))
