r"""Videos from a folder on this machine: reached by links, known by their content, and read once.

A video is its bytes: renaming a file changes a name on its row and nothing else, and the same bytes twice are one
video. The digests of files that did not change are remembered, so a second run opens none of them. File systems hold
names that are not UTF-8 and tables do not, so a row names such a file with its stray bytes written as `\xff`.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from csg405 import table, weights
from csg405.crawl import common
from csg405.crawl.common import OK, SITE, Tally, Try
from csg405.crawl.config import Config
from csg405.crawl.ledger import Ledger
from csg405.errors import UserError
from csg405.media import Unreadable, probe
from csg405.progress import Progress
from csg405.run import Folders
from csg405.schema import Reason, Video

log = logging.getLogger(__name__)

_SAVE_DIGESTS_S = 60.0


def find(config: Config, folders: Folders) -> list[str]:
    """The video files of the folder: paths below it as the file system names them, sorted.

    Hidden files and folders are passed over, and so is the `work` folder, where media of this project lie. Links to
    files are followed, links to folders are not.

    Raises:
        UserError: no such folder, or no video file in it.
    """
    folder = config.folder
    if folder is None or not folder.is_dir():
        raise UserError(f"crawl.folder={folder}: no such folder; give a folder that holds video files")
    everything = sorted(_walk(folder, folders.work.parent.resolve()))
    files = [name for name in everything if name.lower().endswith(config.extensions)]
    if not files:
        raise UserError(
            f"crawl.folder={folder}: no video among the {len(everything)} files in it and below it; "
            f"looked for {', '.join(config.extensions)}; give another folder, or name the ending in crawl.extensions"
        )
    return files


def _walk(folder: Path, own: Path) -> Iterator[str]:
    for here, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if name[0] != "." and (Path(here) / name).resolve() != own]
        for name in names:
            path = Path(here) / name
            if name[0] == ".":
                continue
            if path.is_file():
                yield path.relative_to(folder).as_posix()
            else:
                log.warning("%s: passed over, it is a link to nothing or no plain file", readable(str(path)))


def readable(name: str) -> str:
    r"""A file's path fit for tables and messages: bytes that are not UTF-8 are written as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class Digests:
    """Digests of files by path, size and time of change, kept from run to run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._known: dict[str, tuple[int, int, str]] = {name: tuple(facts) for name, facts in known.items()}
        self._changed = False
        self._saved = time.monotonic()

    def of(self, file: Path) -> str:
        """Digest of a file, which is read only if it is not the file that was read before.

        Raises:
            UserError: the file may not be read.
        """
        try:
            stat = file.stat()
            size, changed, digest = self._known.get(str(file), (-1, -1, ""))
            if (size, changed) != (stat.st_size, stat.st_mtime_ns):
                digest = weights.digest(file)
                self._known[str(file)] = (stat.st_size, stat.st_mtime_ns, digest)
                self._changed = True
        except PermissionError as error:
            name = readable(str(file))
            raise UserError(f"{name}: may not be read; allow it (chmod a+r), or move it elsewhere") from error
        return digest

    def save_if_due(self) -> None:
        """Save when enough time has passed."""
        if time.monotonic() - self._saved >= _SAVE_DIGESTS_S:
            self.save()

    def save(self) -> None:
        """Save what was learned."""
        if self._changed:
            table.write_text(self._path, json.dumps(self._known, indent=0, sort_keys=True) + "\n")
        self._changed, self._saved = False, time.monotonic()


class LocalCrawl:
    """Brings the rows of local videos up to date with the folder."""

    def __init__(self, config: Config, folders: Folders, ledger: Ledger) -> None:
        if config.folder is None:
            raise ValueError("the configuration names no folder")
        self._folder = config.folder
        self._folders = folders
        self._ledger = ledger
        self._digests = Digests(folders.work / "crawl" / "digests.json")
        self._files: dict[str, list[Path]] = collections.defaultdict(list)
        self._settled: set[str] = set()
        self._tally = Tally()

    def run(self, files: list[str]) -> Tally:
        """Take every file once, in order, and note those that are no longer there."""
        for name in files:
            self._files[readable(name)].append(self._folder / name)
        try:
            with Progress("crawl files", total=len(files), unit="files") as progress:
                for name in files:
                    self._take(readable(name), (self._folder / name).resolve())
                    self._ledger.flush_if_due()
                    self._digests.save_if_due()
                    progress.advance()
            self._note_removed()
        finally:
            self._ledger.flush()
            self._digests.save()
        return self._tally

    def _take(self, name: str, file: Path) -> None:
        clock = Try()
        digest = self._digests.of(file)
        video_id = SITE + digest[:16]
        row = self._ledger.get(video_id)
        owner = name if row is None or not self._holds(row.source, video_id) else row.source
        if owner != name:
            if not self._ledger.knows(name, video_id):
                status = row.status if row else OK
                self._ledger.attempt(clock.row(name, video_id, status, f"the same content as {owner}"))
            return
        self._settled.add(video_id)
        self._settle(name, file, digest, row, clock)

    def _holds(self, name: str, video_id: str) -> bool:
        """Whether a file of the folder of this name holds a video; two may be written alike, see `readable`."""
        return any(SITE + self._digests.of(file.resolve())[:16] == video_id for file in self._files.get(name, ()))

    def _settle(self, name: str, file: Path, digest: str, row: Video | None, clock: Try) -> None:
        path = common.place(self._folders, SITE + digest[:16], Path(name).suffix)
        if row is None or row.status == Reason.GONE:
            new = self._read(name, file, digest)
            self._tally.fetched += new.status == OK
        else:
            new = dataclasses.replace(row, source=name)
            self._tally.whole += new.status == OK
        if new.status == OK:
            common.link(path, file)
            new = dataclasses.replace(new, path=common.relative(self._folders, path))
        if new == row:
            return
        if row is not None and row.path and row.path != new.path:
            (self._folders.root / row.path).unlink(missing_ok=True)
        self._ledger.put(new)
        self._ledger.attempt(clock.row(name, new.video_id, new.status, new.detail))

    def _read(self, name: str, file: Path, digest: str) -> Video:
        row = dataclasses.replace(
            common.empty_row(SITE + digest[:16], name), sha256=digest, size_bytes=file.stat().st_size
        )
        try:
            return dataclasses.replace(common.with_probe(row, probe(file)), status=OK)
        except Unreadable as refusal:
            return common.refused(row, refusal.reason, refusal.detail)

    def _note_removed(self) -> None:
        for row in self._ledger.videos():
            if not row.video_id.startswith(SITE) or row.video_id in self._settled or row.status == Reason.GONE:
                continue
            if row.path:
                (self._folders.root / row.path).unlink(missing_ok=True)
            self._ledger.leave(row, "no file of the folder holds it any more")


def crawl(config: Config, folders: Folders, ledger: Ledger, files: list[str]) -> Tally:
    """Bring the rows of local videos up to date with the folder's files."""
    return LocalCrawl(config, folders, ledger).run(files)
