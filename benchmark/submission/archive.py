"""Archives of submissions, unpacked with limits by a worker into a folder that is thrown away afterwards.

Only plain files and folders are taken out, below their folder, each name once, and no more bytes than `limits` says:
not what an archive says of itself, but what comes out. Everything that is wrong is told; nothing of what is wrong is
written.
"""

from __future__ import annotations

import dataclasses
import errno
import gzip
import json
import lzma
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from csg405.benchmark.submission import confined, limits
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import PREDICTIONS, folded, why_bad

DEADLINE_S = 3600
"""For unpacking, s: 64 GiB at 20 MB/s."""

_BLOCK_BYTES = 1 << 20

_UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, OverflowError,
    RuntimeError, IndexError, KeyError, MemoryError,
)  # fmt: skip
"""What zipfile and tarfile raise on bytes that are no archive."""

Kind = Literal["file", "folder", "symlink", "hard_link", "special_file"]


class Member(NamedTuple):
    """Something in an archive."""

    name: str
    kind: Kind
    size: int
    packed: int | None
    """Bytes in the archive, where it says so for each file."""
    what: str
    """Its kind in words."""


class _StopError(Exception):
    """Nothing more is unpacked."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
    """A submission as a folder."""

    folder: Path
    findings: tuple[Finding, ...] = ()
    """Of its archive."""


@contextmanager
def opened(path: Path, *, work: Path) -> Iterator[Opened]:
    """A submission as a folder: itself, or its archive, unpacked until the block ends.

    Args:
        path: a folder or an archive.
        work: below which the archive is unpacked.
    """
    if path.is_dir():
        yield Opened(folder=path)
        return
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="submission-", dir=work) as name:
        folder = Path(name)
        findings = unpack_confined(path, folder)
        yield Opened(folder=_root(folder), findings=tuple(findings))


def _root(folder: Path) -> Path:
    """Where the submission is: the folder, or the only folder in it."""
    inside = list(folder.iterdir())
    nested = len(inside) == 1 and inside[0].is_dir() and inside[0].name != PREDICTIONS
    return inside[0] if nested else folder


def unpack_confined(archive: Path, folder: Path, *, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """As `unpack`, by a worker that may use little memory and time."""
    process = confined.start("csg405.benchmark.submission.archive", str(archive.resolve()), str(folder.resolve()))
    try:
        answer, _ = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        return [found("archive_crashed", archive.name, seen=f"{deadline_s:g} s", allowed="less")]
    finally:
        process.kill()
        process.wait()
    if process.returncode == errno.ENOSPC:
        raise OSError(errno.ENOSPC, "no space left to unpack the submission", str(folder))
    if process.returncode:
        seen = f"status {process.returncode}"
        return [found("archive_crashed", archive.name, seen=seen, allowed="an archive within the limits")]
    return [Finding(**fields) for fields in json.loads(answer)]


def unpack(archive: Path, folder: Path) -> list[Finding]:
    """Unpack an archive into an empty folder, and tell everything that is wrong with it.

    Args:
        archive: a .zip or .tar.gz, told by its first bytes.
        folder: an empty one.
    """
    with archive.open("rb") as file:
        head = file.read(4)
    kinds: dict[bytes, Callable[[Path, _Unpacker], None]] = {b"PK": _unpack_zip, b"\x1f\x8b": _unpack_tar}
    how = kinds.get(head[:2])
    if how is None:
        return [found("archive_kind", archive.name, seen=f"a file that begins with {head!r}",
                      allowed="a .zip or a .tar.gz")]  # fmt: skip
    unpacker = _Unpacker(archive, folder)
    try:
        how(archive, unpacker)
    except _StopError as stop:
        unpacker.findings.append(stop.finding)
    except (*_UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile) and error.errno != errno.EINVAL:
            raise  # of the machine; EINVAL is a place before the archive's beginning
        unpacker.findings.append(found("archive_damaged", archive.name, seen=str(error) or type(error).__name__,
                                       allowed="a whole .zip or .tar.gz"))  # fmt: skip
    return unpacker.findings


class _Unpacker:
    """Writes members, and counts."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive = archive.name
        self.folder = folder
        self.findings: list[Finding] = []
        self.packed = archive.stat().st_size
        self.written = 0
        self._names: dict[str, tuple[str, bool | None]] = {}
        """Paths by how they look, and whether they are files; None before that is known."""
        self._members = 0

    def note(self, rule: str, where: str, *, seen: object, allowed: object) -> None:
        """A finding; the last of too many ends it."""
        finding = found(rule, where, seen=seen, allowed=allowed)
        if len(self.findings) >= limits.MOST_FINDINGS:
            raise _StopError(finding)
        self.findings.append(finding)

    def take(self, member: Member, open_: Callable[[], IO[bytes] | None]) -> None:
        """Write a member, if nothing is wrong with it."""
        self._members += 1
        if self._members > limits.MOST_FILES:
            raise _StopError(found("too_many_files", self.archive, seen=f"more than {limits.MOST_FILES}",
                                   allowed=f"{limits.MOST_FILES}"))  # fmt: skip
        name = member.name.removeprefix("./")
        if member.kind == "folder":
            name = name.removesuffix("/")
            if name in {"", "."}:
                return
        if not self._fits(name, member):
            return
        target = self.folder / name
        if member.kind == "folder":
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        source = open_()
        if source is not None:
            with source, target.open("xb") as file:
                self._copy(source, file, name)

    def _fits(self, name: str, member: Member) -> bool:
        reason = why_bad(name)
        if reason is not None:
            self.note("bad_path", name, seen=reason, allowed="plain relative paths")
            return False
        if member.kind not in {"file", "folder"}:
            self.note(member.kind, name, seen=member.what, allowed="files and folders")
            return False
        if name.count("/") > limits.MOST_FOLDER_DEPTH:
            self.note("unknown_file", name, seen="a file so deep", allowed="predictions/<clip_id>/")
            return False
        if member.size > limits.MOST_FILE_BYTES:
            self.note("too_large", name, seen=f"{member.size} bytes", allowed=f"{limits.MOST_FILE_BYTES} bytes")
            return False
        bomb = member.packed is not None and member.size > limits.MOST_RATIO * max(member.packed, 1)
        if bomb and member.size > limits.RATIO_FREE_BYTES:
            self.note("compression_bomb", name, seen=f"{member.size} bytes from {member.packed}",
                      allowed=f"{limits.MOST_RATIO} for one")  # fmt: skip
            return False
        return self._is_new(name, member)

    def _is_new(self, name: str, member: Member) -> bool:
        """Whether no other member has this name, or one that looks like it, or is a file where this needs a folder."""
        steps = name.split("/")
        for depth in range(1, len(steps) + 1):
            path = "/".join(steps[:depth])
            is_file = depth == len(steps) and member.kind == "file"
            held, was_file = self._names.setdefault(folded(path), (path, None))
            if held != path:
                self.note("name_collision", name, seen=f"{held} before it", allowed="names that differ by more")
                return False
            if was_file or (is_file and was_file is not None):
                self.note("duplicate_name", name, seen=f"{path} again", allowed="each path once")
                return False
            self._names[folded(path)] = (path, is_file)
        return True

    def _copy(self, source: IO[bytes], file: IO[bytes], name: str) -> None:
        here = 0
        while block := source.read(_BLOCK_BYTES):
            here += len(block)
            self.written += len(block)
            most = min(limits.MOST_ARCHIVE_BYTES, limits.RATIO_FREE_BYTES + limits.MOST_RATIO * self.packed)
            if self.written > most:
                raise _StopError(bomb(self.archive, f"more than {most} bytes from {self.packed}"))
            if here > limits.MOST_FILE_BYTES:
                raise _StopError(found("too_large", name, seen=f"more than {here} bytes",
                                       allowed=f"{limits.MOST_FILE_BYTES} bytes"))  # fmt: skip
            file.write(block)


def bomb(where: str, seen: str) -> Finding:
    """The finding that an archive unpacks to too much."""
    allowed = f"{limits.MOST_RATIO} bytes for one, {limits.MOST_ARCHIVE_BYTES} in all"
    return found("compression_bomb", where, seen=seen, allowed=allowed)


def _unpack_zip(archive: Path, unpacker: _Unpacker) -> None:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            unpacker.take(_zip_member(info), lambda info=info: file.open(info))  # type: ignore[misc]


def _zip_member(info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16
    kind: Kind = "folder" if info.orig_filename.endswith("/") else "file"
    if stat.S_ISLNK(mode):
        kind = "symlink"
    elif stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        kind = "special_file"
    return Member(info.orig_filename, kind, info.file_size, info.compress_size, stat.filemode(mode))


_TAR_KINDS: dict[bytes, tuple[Kind, str]] = {
    tarfile.REGTYPE: ("file", "a file"),
    tarfile.AREGTYPE: ("file", "a file"),
    tarfile.DIRTYPE: ("folder", "a folder"),
    tarfile.SYMTYPE: ("symlink", "a link to"),
    tarfile.LNKTYPE: ("hard_link", "a link to"),
    tarfile.FIFOTYPE: ("special_file", "a pipe"),
    tarfile.CHRTYPE: ("special_file", "a device"),
    tarfile.BLKTYPE: ("special_file", "a device"),
}


def _unpack_tar(archive: Path, unpacker: _Unpacker) -> None:
    with gzip.open(archive) as unpacked:
        counted = _Counted(unpacked, unpacker)
        with tarfile.open(fileobj=counted, mode="r|") as file:  # type: ignore[call-overload]
            for info in file:
                kind, what = _TAR_KINDS.get(info.type, ("special_file", f"a member of type {info.type!r}"))
                if info.sparse is not None:
                    kind, what = "special_file", "a sparse file"
                what = f"{what} {info.linkname}" if info.linkname else what
                unpacker.take(
                    Member(info.name, kind, info.size, None, what),
                    lambda info=info: file.extractfile(info),  # type: ignore[misc]
                )


class _Counted:
    """A stream that ends with a finding when too much has come out of it, members or not."""

    def __init__(self, source: Any, unpacker: _Unpacker) -> None:
        self._source = source
        self._unpacker = unpacker
        self._taken = 0

    def read(self, size: int = -1) -> bytes:
        """So many bytes, at most a block."""
        block = bytes(self._source.read(_BLOCK_BYTES if size < 0 else min(size, _BLOCK_BYTES)))
        self._taken += len(block)
        most = min(limits.MOST_ARCHIVE_BYTES, limits.RATIO_FREE_BYTES + limits.MOST_RATIO * self._unpacker.packed)
        if self._taken > most:
            raise _StopError(bomb(self._unpacker.archive, f"more than {most} bytes from {self._unpacker.packed}"))
        return block


def main() -> int:
    """The worker: unpack one archive, and print the findings; the status is ENOSPC where the disk is full."""
    confined.limit(file_bytes=limits.MOST_FILE_BYTES + limits.MIB)
    confined.limit_cpu(DEADLINE_S)
    archive, folder = (Path(argument) for argument in sys.argv[1:3])
    try:
        findings = [dataclasses.asdict(finding) for finding in unpack(archive, folder)]
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return errno.ENOSPC
    sys.stdout.write(json.dumps(findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
