"""A run: its name, its folders, its resolved configuration, its shards, and the lock that guards them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from csg405 import config, lock, table
from csg405.errors import UserError
from csg405.schema import Record, Video

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_TAKEN = ("schema", "sources")
"""Folders of manifests/ that are no runs."""


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a run's tables and files lie. Small, and picklable: workers get this and no more."""

    root: Path
    name: str

    @property
    def manifests(self) -> Path:
        """Tables: what people query."""
        return self.root / "manifests" / self.name

    @property
    def work(self) -> Path:
        """Media, poses, the release, the report, logs."""
        return self.root / "work" / self.name

    def table(self, record: type[Record]) -> Path:
        """The folder of a table's parts."""
        return (self.manifests if record.ROOT == "manifests" else self.work) / record.TABLE


def fan_out(folder: Path, name: str, suffix: str) -> Path:
    """The file of an id below `folder`: 256 sub-folders by hash, so no folder grows too large to list."""
    return folder / hashlib.sha256(name.encode()).hexdigest()[:2] / f"{name}{suffix}"


def _shard_plan(folders: Folders) -> Path:
    return folders.work / "shards.json"


def _planned(folders: Folders) -> dict[str, list[str]]:
    path = _shard_plan(folders)
    planned: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return planned


def shards_of(folders: Folders) -> dict[str, list[Video]]:
    """Videos at hand by shard, as planned; a shard of which no video is left is left out."""
    videos = {video.video_id: video for video in table.read(folders.table(Video), Video) if video.status == "ok"}
    members = {shard: [videos[v] for v in ids if v in videos] for shard, ids in _planned(folders).items()}
    return {shard: rows for shard, rows in members.items() if rows}


def _remove_unused(made: Sequence[Path], held: Path) -> None:
    """Delete folders that were made to hold a lock, inner ones first, where they hold nothing else."""
    if made and made[0] == held.parent and list(made[0].iterdir()) == [held]:
        held.unlink()
        for folder in made:
            with suppress(OSError):  # another program put something there meanwhile
                folder.rmdir()


@dataclasses.dataclass(frozen=True)
class Run:
    """One run, opened with its configuration."""

    folders: Folders
    settings: BaseModel

    @classmethod
    def open(cls, name: str, config_name: str, overrides: Sequence[str] = (), *, root: Path | None = None) -> Run:
        """Resolve the configuration and the folders of a run; nothing is written yet.

        Raises:
            UserError: the name cannot be a folder's, or the configuration is wrong.
        """
        if not _NAME.fullmatch(name):
            raise UserError(f"run {name!r}: wanted letters, digits, '.', '_' and '-', a letter or digit first")
        root = root or Path.cwd()
        if name in _TAKEN or (root / "manifests" / name).is_file():
            raise UserError(f"run {name!r}: manifests/{name} belongs to the project; take another name")
        values = config.load(config_name, overrides)
        settings = config.validate(config.full_model(), values, where=f"configuration {config_name}")
        return cls(Folders(root, name), settings)

    @property
    def common(self) -> config.Stage:
        """The keys that all stages share."""
        return cast(config.Stage, self.settings)

    def section(self, path: str) -> Any:
        """A section of the configuration by its dotted path, such as `annotate.pose`."""
        return functools.reduce(getattr, path.split("."), self.settings)

    def videos(self) -> list[Video]:
        """All videos that the crawl knows of."""
        return table.read(self.folders.table(Video), Video)

    def shards(self) -> dict[str, list[Video]]:
        """Videos at hand, by shard. A video stays in its shard; new ones make new shards.

        The plan is a file of the run, written before any work, so a run that was killed finds the same shards.
        """
        path = _shard_plan(self.folders)
        planned = _planned(self.folders)
        placed = {video_id for members in planned.values() for video_id in members}
        fresh = [video.video_id for video in self.videos() if video.status == "ok" and video.video_id not in placed]
        size = self.common.videos_per_shard
        for first in range(0, len(fresh), size):
            planned[f"{len(planned):05d}"] = fresh[first : first + size]
        if fresh:
            table.write_text(path, json.dumps(planned, indent=1) + "\n")
        return shards_of(self.folders)

    @contextmanager
    def locked(self, command: str) -> Iterator[None]:
        """Hold the run's lock: two programs never write one run's tables. A killed holder lets go of it.

        Where the caller fails before it made anything, folders that were not there before are not there after.

        Raises:
            UserError: another program holds it.
        """
        work = self.folders.work
        made = [folder for folder in (work, work.parent) if not folder.exists()]
        work.mkdir(parents=True, exist_ok=True)
        path = work / ".lock"
        with lock.locked(path, what=f"run {self.folders.name}", command=command):
            try:
                yield
            except BaseException:
                _remove_unused(made, path)
                raise

    def stamp(self, stage: str) -> Path:
        """The file that says that a stage finished, and with what counts."""
        return self.folders.work / "stages" / f"{stage}.json"

    def withdraw(self, stage: str) -> None:
        """Take back the stamps of a stage that begins to write, and of those after it, which are now out of date."""
        for later in config.STAGES[config.STAGES.index(stage) :]:
            self.stamp(later).unlink(missing_ok=True)

    def given_up_before(self, stage: str) -> set[str]:
        """Shards that failed in an earlier stage, where the run goes on without them: see `max_failed_shards`."""
        stamps = [self.stamp(earlier) for earlier in config.STAGES[: config.STAGES.index(stage)]]
        facts = [json.loads(path.read_text(encoding="utf-8")) for path in stamps if path.exists()]
        return {shard for found in facts for shard in found.get("given_up", [])}

    def require(self, stage: str) -> None:
        """Make sure that a stage has finished.

        Raises:
            UserError: it was not run, or some of its shards failed.
        """
        if not self.stamp(stage).exists():
            raise UserError(
                f"run {self.folders.name}: {stage} has not finished; run `make {stage} RUN={self.folders.name}` first"
            )
