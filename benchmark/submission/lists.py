"""The two lists of a submission: checksums of its files, and hashes of the videos that the system was trained on.

Training ids are given as hashes, so that a list says nothing but whether a video that is known is on it. They are
sorted, so that a list of any length is checked line by line.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from csg405 import table
from csg405.benchmark.submission import layout, limits
from csg405.benchmark.submission.clips import ClipList, video_hash
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import CHECKSUMS, TRAINING_IDS
from csg405.errors import UserError, first_line

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_HASH = re.compile(rb"[0-9a-f]{64}")

_MOST_LINE_BYTES = 1024


def check_checksums(content: bytes, *, paths: Iterable[str], digest: Callable[[str], str | None]) -> Iterator[Finding]:
    """Everything that is wrong with a checksums.sha256.

    Args:
        content: of the file.
        paths: of all files of the submission.
        digest: gives the sha256 of one of them; None for one that is too large to be read, which is told elsewhere.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        yield found("not_utf8", CHECKSUMS, seen=f"byte {content[error.start]:#04x} at {error.start}", allowed="UTF-8")
        return
    listed: dict[str, str] = {}
    bad = 0
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            bad += 1
            if bad <= limits.MOST_FINDINGS:
                yield found("checksum_line", CHECKSUMS, seen=f"line {number}: {line!r}",
                            allowed="64 hex digits, two blanks, a path")  # fmt: skip
        elif match[2] in listed:
            yield found("checksum_duplicate", CHECKSUMS, seen=f"{match[2]} again in line {number}", allowed="once")
        else:
            listed[match[2]] = match[1]
    yield from _compared(listed, sorted(set(paths) - {CHECKSUMS}), digest)


def _compared(listed: dict[str, str], paths: list[str], digest: Callable[[str], str | None]) -> Iterator[Finding]:
    for path in paths:
        clip = None if (file := layout.prediction(path)) is None else file.clip
        if path not in listed:
            yield found("checksum_missing", path, seen=f"no line in {CHECKSUMS}", allowed="a line for every file",
                        clip=clip)  # fmt: skip
        elif (seen := digest(path)) not in {listed[path], None}:
            yield found("checksum_wrong", path, seen=f"sha256 {seen}", allowed=listed[path], clip=clip)
    for path in sorted(listed.keys() - set(paths)):
        yield found("checksum_extra", CHECKSUMS, seen=f"{path}, which is not there", allowed="files that are there")


def write_checksums(folder: Path) -> int:
    """Write a folder's checksums.sha256 and return the number of files in it.

    Raises:
        UserError: the folder holds something that cannot be submitted.
    """
    held = layout.look(folder)
    wrong = [finding.message for finding in held.findings if finding.rule != "missing_file"]
    if wrong:
        raise UserError(f"{folder} cannot be sealed:\n" + "\n".join(f"  {message}" for message in wrong))
    paths = [path for path in held.sizes if path != CHECKSUMS]
    table.write_text(folder / CHECKSUMS, "".join(f"{layout.digest(held, path)}  {path}\n" for path in paths))
    return len(paths)


def check_training_ids(content: bytes, clips: ClipList, *, split: str) -> Iterator[Finding]:
    """Everything that is wrong with a training_ids.txt.gz, or with what it says.

    Args:
        content: of the file.
        clips: of the release.
        split: that is predicted; its videos, and those of the test split, must not be in it.
    """
    barred = {**clips.video_hashes(split), **clips.video_hashes("test")}
    watched = {} if split == "validation" else clips.video_hashes("validation")
    bad, disorder, last = 0, 0, b""
    try:
        for number, line in _lines(content):
            if not _HASH.fullmatch(line):
                bad += 1
                if bad <= limits.MOST_FINDINGS:
                    yield found("training_id_line", TRAINING_IDS, allowed="64 hex digits, lower case",
                                seen=f"line {number}: {line[:80].decode('ascii', 'backslashreplace')!r}")  # fmt: skip
                continue
            disorder += line <= last
            if line <= last and disorder == 1:
                seen = f"{line.decode()} in line {number} after {last.decode()}"
                yield found("training_id_order", TRAINING_IDS, seen=seen, allowed="rising order, each once")
            last = line
            if line in barred:
                yield found("trained_on_test", TRAINING_IDS, seen=f"{barred[line]} in line {number}",
                            allowed="no video of the split that is predicted, nor of test")  # fmt: skip
            elif line in watched:
                yield found("trained_on_validation", TRAINING_IDS, seen=f"{watched[line]} in line {number}",
                            allowed="videos of train, and others")  # fmt: skip
    except (OSError, EOFError, zlib.error) as error:
        yield found("training_ids", TRAINING_IDS, seen=str(error), allowed="text, packed by gzip")
    except _TooMuchError as error:
        yield found("compression_bomb", TRAINING_IDS, seen=f"{error} bytes and more, unpacked",
                    allowed=f"{limits.MOST_IDS_BYTES} bytes")  # fmt: skip


class _TooMuchError(Exception):
    """More was unpacked than may be."""


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a packed text with their numbers, a longer one than any may be in pieces."""
    taken = 0
    with gzip.open(io.BytesIO(content)) as file:
        number = 0
        while line := file.readline(_MOST_LINE_BYTES):
            number += 1
            taken += len(line)
            if taken > limits.MOST_IDS_BYTES:
                raise _TooMuchError(taken)
            yield number, line.removesuffix(b"\n")


def write_training_ids(folder: Path, video_ids: Iterable[str]) -> None:
    """Write a folder's training_ids.txt.gz from the ids of videos."""
    write_training_hashes(folder, map(video_hash, video_ids))


def write_training_hashes(folder: Path, hashes: Iterable[str]) -> None:
    """Write a folder's training_ids.txt.gz from the ids' hashes: see `video_hash`."""
    text = "".join(f"{name}\n" for name in sorted(set(hashes)))
    packed = gzip.compress(text.encode(), mtime=0)
    table.replace_atomically(folder / TRAINING_IDS, lambda temporary: temporary.write_bytes(packed))


def read_training_hashes(folder: Path) -> frozenset[str] | None:
    """The hashes in a folder's training_ids.txt.gz; None where there is none.

    Raises:
        UserError: it is damaged, or is something else.
    """
    path = folder / TRAINING_IDS
    if not path.is_file():
        return None
    try:
        lines = [line for _, line in _lines(path.read_bytes())]
    except (OSError, EOFError, zlib.error, _TooMuchError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from error
    if not all(_HASH.fullmatch(line) for line in lines):
        raise UserError(f"{path}: not a list of hashes of videos")
    return frozenset(line.decode() for line in lines)
