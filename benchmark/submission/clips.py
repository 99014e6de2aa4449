"""The list of clips that a submission must predict: from a run's release, or from a small file that `init` writes.

It says how long a clip is, how large its picture, and of which video it comes. Nothing of the truth is in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from csg405 import table
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.limits import MOST_CLIP_LIST_BYTES
from csg405.config import Settings
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Release

SPLITS = ("train", "validation", "test")

_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

_MOST_SHOWN = 20
"""Rows that are wrong and are told of."""

_MOST_FRAMES = 25 * 3600
"""An hour: no clip is longer."""


class Wanted(Settings):
    """A clip of the release."""

    clip_id: Annotated[str, Field(pattern=_ID, max_length=200)]
    video_id: Annotated[str, Field(min_length=1, max_length=200)]
    split: Literal["train", "validation", "test"]
    n_frames: Annotated[int, Field(ge=1, le=_MOST_FRAMES)]
    size_px: Annotated[int, Field(ge=16, le=4096)]


class _File(Settings):
    schema_version: Literal[1]
    clips: tuple[Wanted, ...]


@dataclasses.dataclass(frozen=True)
class ClipList:
    """Clips of a release, of one split or several."""

    clips: tuple[Wanted, ...]

    def of(self, split: str) -> dict[str, Wanted]:
        """The clips of a split by id, sorted."""
        return {clip.clip_id: clip for clip in sorted(self.clips, key=lambda clip: clip.clip_id) if clip.split == split}

    def splits(self) -> dict[str, str]:
        """The split of every clip that is known."""
        return {clip.clip_id: clip.split for clip in self.clips}

    def video_hashes(self, split: str) -> dict[bytes, str]:
        """The videos of a split by `video_hash`."""
        ids = {clip.video_id for clip in self.clips if clip.split == split}
        return {video_hash(video_id).encode(): video_id for video_id in ids}


def video_hash(video_id: str) -> str:
    """How a video is named in training_ids.txt.gz: 64 hex digits."""
    return hashlib.sha256(video_id.encode()).hexdigest()


def of_run(root: Path, run: str) -> ClipList:
    """The clips of a run's release.

    Raises:
        UserError: the run has no release.
    """
    folders = Folders(root, run)
    rows = table.read(folders.table(Release), Release)
    if not rows:
        raise UserError(f"run {run!r}: no release in {folders.table(Release)}; run `make all RUN={run}` first")
    return ClipList(tuple(_wanted(row) for row in rows))


def _wanted(row: Release) -> Wanted:
    names = ("clip_id", "video_id", "split", "n_frames", "size_px")
    try:
        return Wanted.model_validate({name: getattr(row, name) for name in names})
    except ValidationError as error:
        raise UserError(f"clip {row.clip_id} of the release: {error}") from error


def text_of(clips: ClipList, *, without: Iterable[str] = ("train",)) -> str:
    """The text of a clips.json: the clips of all splits but those `without`."""
    kept = [clip for clip in clips.clips if clip.split not in set(without)]
    rows = ",\n".join(f" {json.dumps(clip.model_dump())}" for clip in sorted(kept, key=lambda clip: clip.clip_id))
    return f'{{"schema_version": 1, "clips": [\n{rows}\n]}}\n'


def parse(content: bytes, *, where: str) -> tuple[ClipList | None, list[Finding]]:
    """The list in a clips.json, and everything that is wrong with it.

    Args:
        content: of the file.
        where: its name, for the findings.
    """
    try:
        content.decode("utf-8")
        held = _File.model_validate_json(content)
    except UnicodeDecodeError as error:
        return None, [found("not_utf8", where, seen=f"byte {content[error.start]:#04x} at {error.start}",
                            allowed="UTF-8")]  # fmt: skip
    except ValidationError as error:
        return None, [
            found("clip_list", where, seen=f"{'.'.join(map(str, detail['loc']))}: {str(detail['input'])[:80]!r}",
                  allowed=detail["msg"])
            for detail in error.errors(include_url=False)[:_MOST_SHOWN]
        ]  # fmt: skip
    clips: dict[str, Wanted] = {}
    findings = []
    for clip in held.clips:
        if clip.clip_id in clips:
            findings.append(found("duplicate_clip", where, seen=f"{clip.clip_id} again", allowed="each clip once",
                                  clip=clip.clip_id))  # fmt: skip
        clips[clip.clip_id] = clip
    return ClipList(tuple(clips.values())), findings


def from_file(path: Path) -> ClipList:
    """The list in a file that the user vouches for.

    Raises:
        UserError: it is not there, or no such list.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; give the clips.json that `csg405 submission init` wrote")
    with path.open("rb") as file:
        content = file.read(MOST_CLIP_LIST_BYTES + 1)
    if len(content) > MOST_CLIP_LIST_BYTES:
        raise UserError(f"{path}: larger than a list of clips may be, {MOST_CLIP_LIST_BYTES} bytes")
    clips, findings = parse(content, where=str(path))
    if clips is None or findings:
        raise UserError("\n".join(finding.message for finding in findings))
    return clips
