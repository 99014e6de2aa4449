"""The files of a submission's folder, found without following a link, and read without waiting for a pipe.

submission.yaml, REPORT.md, checksums.sha256, training_ids.txt.gz, clips.json (optional)
predictions/<clip_id>/seed<k>.npz or .mp4
counterfactual/<clip_id>/<kind>.npz (optional: see `csg405.benchmark.submission.counterfactual`)
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from csg405.benchmark.submission import limits, schema
from csg405.benchmark.submission.findings import Finding, found

REPORT = "REPORT.md"
CHECKSUMS = "checksums.sha256"
TRAINING_IDS = "training_ids.txt.gz"
CLIPS = "clips.json"
PREDICTIONS = "predictions"
COUNTERFACTUAL = "counterfactual"
COUNTERFACTUAL_KINDS = ("swapped", "silent", "slowed", "sped_up")

NEEDED = (schema.FILE, REPORT, CHECKSUMS, TRAINING_IDS)

MOST_BYTES = {
    schema.FILE: limits.MOST_YAML_BYTES,
    REPORT: limits.MOST_REPORT_BYTES,
    CHECKSUMS: limits.MOST_CHECKSUMS_BYTES,
    TRAINING_IDS: limits.MOST_IDS_PACKED_BYTES,
    CLIPS: limits.MOST_CLIP_LIST_BYTES,
}

_PREDICTION = re.compile(r"predictions/([^/]+)/seed(0|[1-9][0-9]{0,2})\.(npz|mp4)")
_COUNTERFACTUAL = re.compile(rf"{COUNTERFACTUAL}/([^/]+)/({'|'.join(COUNTERFACTUAL_KINDS)})\.npz")
_ARCHIVE = re.compile(r".*\.(zip|tar|tgz|tar\.[a-z0-9]+|gz|bz2|xz|zst|7z|rar)", re.IGNORECASE)

_READ_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A prediction's file."""

    path: str
    """Relative to the submission."""
    clip: str
    seed: int
    kind: str
    """`npz` or `mp4`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What lies in a submission's folder."""

    folder: Path
    sizes: dict[str, int]
    """Bytes of every plain file by its path, sorted."""
    predictions: tuple[File, ...]
    """Sorted by clip and seed."""
    counterfactual: tuple[tuple[File, str], ...]
    """Motions for counterfactual sounds with their kinds, sorted by path."""
    findings: tuple[Finding, ...]


def look(folder: Path) -> Layout:
    """What lies in a folder, and everything in it that does not belong there; nothing is opened."""
    sizes: dict[str, int] = {}
    findings: list[Finding] = []
    for item in _walk(folder, "", 0):
        if isinstance(item, Finding):
            findings.append(item)
        else:
            sizes[item[0]] = item[1]
        if len(sizes) > limits.MOST_FILES or len(findings) > limits.MOST_FINDINGS:
            allowed = f"{limits.MOST_FILES} files"
            findings.append(found("too_many_files", PREDICTIONS, seen=f"{len(sizes)} and more", allowed=allowed))
            break
    sizes = dict(sorted(sizes.items()))
    predictions = [file for path in sizes if (file := prediction(path)) is not None]
    counterfactual = tuple(named for path in sizes if (named := counterfactual_motion(path)) is not None)
    known = {*(file.path for file in predictions), *(file.path for file, _ in counterfactual)}
    findings += _misplaced(sizes, known)
    findings += _missing(sizes)
    return Layout(
        folder=folder, sizes=sizes, findings=tuple(findings), counterfactual=counterfactual,
        predictions=tuple(sorted(predictions, key=lambda file: (file.clip, file.seed, file.kind))),
    )  # fmt: skip


def prediction(path: str) -> File | None:
    """The prediction that a path names; None where it names none."""
    match = _PREDICTION.fullmatch(path)
    return None if match is None else File(path=path, clip=match[1], seed=int(match[2]), kind=match[3])


def counterfactual_motion(path: str) -> tuple[File, str] | None:
    """The motion for a counterfactual sound that a path names, and the sound's kind; None where it names none."""
    match = _COUNTERFACTUAL.fullmatch(path)
    return None if match is None else (File(path=path, clip=match[1], seed=0, kind="npz"), match[2])


def _walk(folder: Path, below: str, depth: int) -> Iterator[tuple[str, int] | Finding]:
    """Plain files with their sizes, in no order; a finding for each thing that is none."""
    seen: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            path = below + entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            twin = seen.setdefault(folded(entry.name), entry.name)
            if twin != entry.name:
                yield found("name_collision", path, seen=f"{twin!r} beside it", allowed="names that differ by more")
            reason = why_bad(path)
            if reason is not None:
                yield found("bad_path", path, seen=reason, allowed="plain relative paths")
            elif stat.S_ISLNK(mode):
                yield found(
                    "symlink", path, seen=f"a link to {Path(entry.path).readlink()}", allowed="files and folders"
                )
            elif stat.S_ISDIR(mode):
                if path in MOST_BYTES or _PREDICTION.fullmatch(path) or _COUNTERFACTUAL.fullmatch(path):
                    yield found("special_file", path, seen="a folder", allowed="a file")
                if depth >= limits.MOST_FOLDER_DEPTH:
                    yield found("unknown_file", path, seen="a folder so deep", allowed=f"{PREDICTIONS}/<clip_id>/")
                else:
                    yield from _walk(Path(entry.path), f"{path}/", depth + 1)
            elif stat.S_ISREG(mode):
                yield path, entry.stat(follow_symlinks=False).st_size
            else:
                yield found("special_file", path, seen=f"mode {stat.filemode(mode)}", allowed="files and folders")


def folded(name: str) -> str:
    """A name as file systems see it that know no case and put accents together."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def why_bad(path: str) -> str | None:
    """What is wrong with a path from somebody else: None where it is a plain one that stays below its folder."""
    parts = path.split("/")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "an absolute path"
    if ".." in parts:
        return "a way out of the folder"
    if not all(parts) or "." in parts:
        return "an empty step"
    if "\\" in path:
        return "a backslash"
    if not path.isprintable():
        return "letters that cannot be printed"
    if len(path.encode()) > limits.MOST_PATH_BYTES or any(len(part.encode()) > 255 for part in parts):
        return f"{len(path)} letters"
    return None


def _misplaced(sizes: dict[str, int], predictions: set[str]) -> Iterator[Finding]:
    """Files that the format does not know, and those that are too large."""
    for path, size in sizes.items():
        most = MOST_BYTES.get(path, limits.MOST_FILE_BYTES)
        if size > most:
            yield found("too_large", path, seen=f"{size} bytes", allowed=f"{most} bytes")
        if path in predictions or path in MOST_BYTES:
            continue
        if _ARCHIVE.fullmatch(path):
            yield found("nested_archive", path, seen=f"{size} bytes, not unpacked", allowed="no archives")
        else:
            allowed = f"{', '.join(MOST_BYTES)}, {PREDICTIONS}/<clip_id>/seed<k>.npz or .mp4, {COUNTERFACTUAL}/"
            yield found("unknown_file", path, seen=f"a file of {size} bytes", allowed=allowed)


def _missing(sizes: dict[str, int]) -> Iterator[Finding]:
    for name in NEEDED:
        if name not in sizes:
            yield found("missing_file", name, seen="no such file", allowed=f"{', '.join(NEEDED)}")


def read(layout: Layout, path: str, *, most_bytes: int) -> bytes:
    """The content of a plain file of a submission, no more than `most_bytes` of it.

    Raises:
        OSError: it became a link, or is gone.
    """
    with os.fdopen(_opened(layout, path), "rb") as file:
        return file.read(most_bytes)


def digest(layout: Layout, path: str) -> str:
    """The sha256 of a plain file of a submission."""
    state = hashlib.sha256()
    with os.fdopen(_opened(layout, path), "rb") as file:
        while block := file.read(_READ_BYTES):
            state.update(block)
    return state.hexdigest()


def _opened(layout: Layout, path: str) -> int:
    return os.open(layout.folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
