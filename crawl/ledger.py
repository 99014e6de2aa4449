"""What the crawl knows: the tables `videos` and `attempts`, held in memory and written as it goes.

New rows fill parts of this process' own, so a long crawl leaves no part for every flush and touches no older part; a
row that changes rewrites the part in which it lies, and only that. A part is replaced whole, so a crawl that is killed
loses at most the rows since the last flush, and never a row that it had.
"""

from __future__ import annotations

import time
from pathlib import Path

from csg405 import table
from csg405.crawl import common
from csg405.run import Folders
from csg405.schema import Attempt, Reason, Video

_ROWS_PER_PART = 1000
"""Rows of a part: small enough to write again in some milliseconds, and 100,000 videos make 100 parts."""

_FLUSH_ROWS = 50
_FLUSH_S = 60.0
"""Whichever comes first: unsaved rows, or time since they were last saved, s."""


class Ledger:
    """The rows of both tables. Nothing is on disk before `flush`."""

    def __init__(self, folders: Folders) -> None:
        self._videos = folders.table(Video)
        self._attempts = folders.table(Attempt)
        self._parts: dict[str, dict[str, Video]] = {}
        self._part_of: dict[str, str] = {}
        self._id_of_row: dict[str, str] = {}
        for path in table.parts(self._videos):
            shard = _shard(path)
            self._parts[shard] = {row.video_id: row for row in table.read_part(path, Video)}
            for row in self._parts[shard].values():
                self._part_of[row.video_id] = shard
                self._id_of_row[row.source] = row.video_id
        self._id_of_try = {row.source: row.video_id for row in table.read(self._attempts, Attempt) if row.video_id}
        self._open = _next_shard(self._videos)
        self._open_attempts = _next_shard(self._attempts)
        self._new_attempts: list[Attempt] = []
        self._saved_attempts = 0
        self._unsaved: set[str] = set()
        self._waiting = 0
        self._flushed = time.monotonic()

    def videos(self) -> list[Video]:
        """All rows, in the order of the table."""
        return [row for part in self._parts.values() for row in part.values()]

    def get(self, video_id: str) -> Video | None:
        """The row of a video."""
        part = self._part_of.get(video_id)
        return None if part is None else self._parts[part][video_id]

    def find(self, source: str) -> Video | None:
        """The row of a source, also where another source is named on it since both are the same video."""
        video_id = self._id_of_row.get(source) or self._id_of_try.get(source)
        return None if video_id is None else self.get(video_id)

    def knows(self, source: str, video_id: str) -> bool:
        """Whether a source is on record as this video: on its row, or on the last attempt at it."""
        return video_id in (self._id_of_row.get(source), self._id_of_try.get(source))

    def put(self, row: Video, *, instead_of: str | None = None) -> None:
        """Add a row, or change the one of the same id.

        Args:
            row: the row.
            instead_of: id of the row that this one replaces, where a source turned out to be another video.
        """
        old_id = row.video_id if instead_of is None or instead_of not in self._part_of else instead_of
        if old_id != row.video_id and row.video_id in self._part_of:
            self.drop(old_id)
            old_id = row.video_id
        if self.get(old_id) == row:
            return
        shard = self._part_of.get(old_id)
        if shard is None:
            shard = self._open_part()
        else:
            self._forget_source(old_id)
            del self._part_of[old_id]
            part = self._parts[shard]
            self._parts[shard] = {(row.video_id if key == old_id else key): value for key, value in part.items()}
        self._parts[shard][row.video_id] = row
        self._part_of[row.video_id] = shard
        self._id_of_row[row.source] = row.video_id
        self._touch(shard)

    def drop(self, video_id: str) -> None:
        """Take a row out, where its source turned out to be a video that has one."""
        shard = self._part_of[video_id]
        self._forget_source(video_id)
        del self._part_of[video_id], self._parts[shard][video_id]
        self._touch(shard)

    def _forget_source(self, video_id: str) -> None:
        source = self._parts[self._part_of[video_id]][video_id].source
        if self._id_of_row.get(source) == video_id:
            del self._id_of_row[source]

    def _open_part(self) -> str:
        if len(self._parts.setdefault(self._open, {})) >= _ROWS_PER_PART:
            self._open = _after(self._open)
            self._parts[self._open] = {}
        return self._open

    def _touch(self, shard: str) -> None:
        self._unsaved.add(shard)
        self._waiting += 1

    def attempt(self, row: Attempt) -> None:
        """Record one try."""
        self._new_attempts.append(row)
        if row.video_id:
            self._id_of_try[row.source] = row.video_id
        self._waiting += 1

    def leave(self, row: Video, detail: str) -> None:
        """Mark a video as gone whose source was taken away, so that nothing further is made from it."""
        gone = common.refused(row, Reason.GONE, detail)
        self.put(gone)
        self.attempt(common.Try().row(row.source, row.video_id, gone.status, gone.detail))

    def flush_if_due(self) -> None:
        """Save when enough has come together, or enough time has passed."""
        if self._waiting >= _FLUSH_ROWS or time.monotonic() - self._flushed >= _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Save all rows."""
        for shard in sorted(self._unsaved):
            table.write_part(table.part_path(self._videos, shard), Video, self._parts[shard].values())
        if len(self._new_attempts) > self._saved_attempts:
            path = table.part_path(self._attempts, self._open_attempts)
            table.write_part(path, Attempt, self._new_attempts)
            self._saved_attempts = len(self._new_attempts)
            if len(self._new_attempts) >= _ROWS_PER_PART:
                self._open_attempts, self._new_attempts = _after(self._open_attempts), []
                self._saved_attempts = 0
        self._unsaved.clear()
        self._waiting, self._flushed = 0, time.monotonic()


def _shard(path: Path) -> str:
    return path.stem.removeprefix("part-")


def _next_shard(folder: Path) -> str:
    """A name after all that there are."""
    numbers = [int(_shard(path)) for path in table.parts(folder)]
    return f"{max(numbers, default=-1) + 1:05d}"


def _after(shard: str) -> str:
    return f"{int(shard) + 1:05d}"
