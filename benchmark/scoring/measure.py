"""Measuring: every system's motions for every clip of a split, chunk by chunk, on any engine.

What is measured is kept in `rows` below a folder, one file for a chunk and a group of systems, with the fingerprint of
all that it follows from: the chunk's clips, the kit, the code of the metrics, and the systems' own files. A chunk that
is there already is not measured again, so a run that was stopped goes on where it was, and controls are measured once
for all submissions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from csg405 import benchmark
from csg405.benchmark import metric
from csg405.benchmark.clip import Clip, Seen
from csg405.benchmark.controls import Context
from csg405.benchmark.kit import Kit
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring import rows
from csg405.benchmark.scoring.plan import Chunk, Sounds, chunks, partners
from csg405.benchmark.scoring.systems import System
from csg405.engine import Engine
from csg405.errors import UserError
from csg405.operator import Resources
from csg405.progress import Progress
from csg405.run import Folders

Value = TypeVar("Value")

log = logging.getLogger(__name__)

_CODE = ("metrics", "kit")
_FILES = ("clip.py", "metric.py", "controls.py", "perturb.py", "syllables.py", "onsets.py")


@functools.cache
def code_digest() -> str:
    """Of the code that rows follow from: another one measures everything anew."""
    home = Path(benchmark.__path__[0])
    files = [home / name for name in _FILES]
    files += [path for name in _CODE for path in (home / name).rglob("*.py") if path.name != "train.py"]
    held = hashlib.sha256()
    for path in sorted(files):
        held.update(hashlib.sha256(path.read_bytes()).digest())
    return held.hexdigest()


def evaluator_digest() -> str:
    """Of the version of the evaluator and of its code."""
    return hashlib.sha256(f"{benchmark.EVALUATOR} {code_digest()}".encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Systems that are measured together."""

    name: str
    systems: tuple[System, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """What is measured on."""

    folders: Folders
    name: str
    kit: Kit
    digest: str
    """Of the split's clips."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunkWorker:
    """Measures one chunk; made once in each worker process, which finds the plan by itself."""

    split: Split
    groups: Mapping[Path, Group]
    """By the folder of their rows. What follows from a clip alone is found once for all of them."""
    with_towers: bool

    @functools.cached_property
    def reader(self) -> ReleaseReader:
        """Of the release."""
        return ReleaseReader(self.split.folders)

    @functools.cached_property
    def plan(self) -> dict[str, Chunk]:
        """The split's chunks by name.

        Raises:
            UserError: it has no clips.
        """
        entries = self.reader.clips(self.split.name)
        if not entries:
            raise UserError(f"the release has no clips in split {self.split.name!r}")
        return {chunk.name: chunk for chunk in chunks(entries)}

    @functools.cached_property
    def sounds(self) -> Sounds:
        """Other clips' sounds."""
        return Sounds(self.reader, partners(self.reader.clips(self.split.name)))

    def __call__(self, name: str) -> int:
        """Measure a chunk and write its rows; returns how many clips it has."""
        with one_thread():
            return self._measure(name)

    def stale(self, name: str) -> dict[Path, str]:
        """The fingerprints of a chunk's rows that are missing, or were made from something else; by folder."""
        wanted = {folder: self.fingerprint(name, group) for folder, group in self.groups.items()}
        return {folder: found for folder, found in wanted.items() if rows.fingerprint(part(folder, name)) != found}

    def _measure(self, name: str) -> int:
        entries = [self.reader.entry(clip_id) for clip_id in self.plan[name].clip_ids]
        clips = {clip.clip_id: clip for clip in self.reader.iterate(entries)}
        stale, measures = self.stale(name), metric.measures(used(with_towers=self.with_towers))
        found: dict[Path, dict[str, rows.Measured]] = {
            folder: {system.name: {measure: {} for measure in measures} for system in self.groups[folder].systems}
            for folder in stale
        }
        for clip in clips.values():
            context = Context(self.split.kit, self.sounds.other(clip, clips))
            for folder, of_group in found.items():
                for system, key, seen in self._seens(self.groups[folder], clip, context):
                    for measure, take in measures.items():
                        of_group[system][measure][key] = take(seen)
        for folder, of_group in found.items():
            rows.write(part(folder, name), of_group, fingerprint=stale[folder])
        return len(clips)

    def _seens(self, group: Group, clip: Clip, context: Context) -> Iterator[tuple[str, metric.Key, Seen]]:
        """All systems' motions for a clip, and whose they are."""
        keys, seens = [], []
        for system in group.systems:
            for given in system.motions(clip, context):
                keys.append((system.name, metric.Key(clip.clip_id, given.seed)))
                seens.append(Seen(given.clip, given.keypoints_px, self.split.kit))
        for key, seen in zip(keys, self.split.kit.together(seens), strict=True):
            yield *key, seen

    def fingerprint(self, name: str, group: Group) -> str:
        """Of all that the rows of a chunk and a group follow from."""
        ids = self.plan[name].clip_ids
        systems = [(system.name, [system.digest(clip_id) for clip_id in ids]) for system in group.systems]
        facts = [self.split.digest, self.split.kit.digest, code_digest(), ids, systems, self.with_towers]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@contextlib.contextmanager
def one_thread(*, load_torch: bool = True) -> Iterator[None]:
    """Let sums be taken in one order, whatever the machine has; and no worker takes the core of the one beside it.

    Args:
        load_torch: whether torch, too, is held to it where it is not loaded yet.
    """
    from threadpoolctl import threadpool_limits

    torch = importlib.import_module("torch") if load_torch else sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        if torch:
            torch.set_num_threads(before)


def used(*, with_towers: bool) -> list[metric.MetricModule]:
    """The metrics that are measured; without the two towers those that need none."""
    return [
        module
        for module in metric.modules().values()
        if with_towers or not any("two_tower" in card.needs for card in module.CARDS)
    ]


def part(folder: Path, chunk: str) -> Path:
    """The file of a chunk's rows."""
    return folder / f"part-{chunk}.parquet"


def measure(split: Split, group: Group, folder: Path, engine: Engine, *, with_towers: bool = True) -> list[Path]:
    """Measure a group of systems on a split.

    Args:
        split: the clips.
        group: the systems.
        folder: of the group's rows; what is fresh in it stays.
        engine: local or Ray.
        with_towers: whether the two-tower metrics are measured too, which take longer.

    Returns:
        The files of the rows, in the chunks' order.

    Raises:
        UserError: the split has no clips, or a chunk failed.
    """
    return measure_together(split, {folder: group}, engine, with_towers=with_towers)[folder]


def measure_together(
    split: Split, groups: Mapping[Path, Group], engine: Engine, *, with_towers: bool = True
) -> dict[Path, list[Path]]:
    """Measure several groups of systems on a split, in one pass over its clips.

    Args:
        split: the clips.
        groups: by the folder of their rows; what is fresh in it stays.
        engine: local or Ray.
        with_towers: whether the two-tower metrics are measured too, which take longer.

    Returns:
        By folder, the files of the rows in the chunks' order.

    Raises:
        UserError: the split has no clips, or a chunk failed.
    """
    make = functools.partial(ChunkWorker, split=split, groups=groups, with_towers=with_towers)
    here = make()
    stale = [name for name in here.plan if here.stale(name)]
    what = f"measure {' and '.join(group.name for group in groups.values())}"
    done(make, stale, engine, what=what, total=len(here.plan))
    for folder in groups:
        _clear(folder, set(here.plan))
    return {folder: [part(folder, name) for name in here.plan] for folder in groups}


class Chunked(Protocol):
    """A worker that measures chunks, and says what a chunk's rows follow from."""

    @property
    def plan(self) -> Mapping[str, Chunk]:
        """The chunks by name."""
        ...

    def fingerprint(self, name: str) -> str:
        """Of all that a chunk's rows follow from."""
        ...

    def __call__(self, name: str) -> int:
        """Measure a chunk and write its rows."""
        ...


def by_chunks(
    make: Callable[[], Chunked],
    folder: Path,
    engine: Engine,
    *,
    what: str,
    needs: Resources | None = None,
    media_s: float = 0.0,
) -> list[Path]:
    """Measure the chunks whose rows are not there yet, and remove those of chunks that are no more.

    Args:
        make: makes a worker; picklable.
        folder: of the rows.
        engine: local or Ray.
        what: is measured, for the progress bar.
        needs: what a worker takes.
        media_s: length of the films that a chunk reads, s.

    Returns:
        The files of the rows, in the chunks' order.

    Raises:
        UserError: the split has no clips, or a chunk failed.
    """
    here = make()
    total = len(here.plan)
    stale = [name for name in here.plan if rows.fingerprint(part(folder, name)) != here.fingerprint(name)]
    done(make, stale, engine, what=f"measure {what}", total=total, needs=needs, media_s=media_s)
    _clear(folder, set(here.plan))
    return [part(folder, name) for name in here.plan]


def done(
    make: Callable[[], Callable[[str], Value]],
    names: Sequence[str],
    engine: Engine,
    *,
    what: str,
    total: int | None = None,
    needs: Resources | None = None,
    media_s: float = 0.0,
) -> dict[str, Value]:
    """Let workers do what is named, in any order, and wait for all of it.

    Args:
        make: makes a worker; picklable.
        names: of what is to be done.
        engine: local or Ray.
        what: is done, for the progress bar.
        total: how much there is, with what was done before; as much as is named if it is not given.
        needs: what a worker takes.
        media_s: length of the films that the longest of it reads, s.

    Returns:
        By name, what the worker gave.

    Raises:
        UserError: something failed.
    """
    found: dict[str, Any] = {}
    failed: list[str] = []
    with Progress(what, total=total or len(names), unit="chunks") as progress:
        progress.advance((total or len(names)) - len(names))
        for outcome in engine.map(make, names, needs or Resources(), media_s=media_s):
            if outcome.error:
                log.error("chunk %s: %s\n%s", outcome.shard, outcome.error, outcome.trace)
                failed.append(f"chunk {outcome.shard}: {outcome.error}")
            found[outcome.shard] = outcome.value
            progress.advance()
    if failed:
        raise UserError(f"{what}: {len(failed)} of {total or len(names)} chunks failed; the first: {failed[0]}")
    return {name: found[name] for name in names}


def _clear(folder: Path, names: set[str]) -> None:
    """Remove the rows of chunks that are no more."""
    for path in folder.glob("part-*.parquet"):
        if path.stem.removeprefix("part-") not in names:
            path.unlink()
