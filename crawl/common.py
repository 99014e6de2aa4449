"""The steps that every source shares: digest, row, and a media file in its place."""

from __future__ import annotations

import dataclasses
import datetime
import os
import time
from pathlib import Path
from typing import Any

from csg405.media import Probe
from csg405.run import Folders, fan_out
from csg405.schema import Attempt, Reason, Video

OK = "ok"
"""Status of a video that is at hand."""

SITE = "file."
"""What the ids of videos from a folder begin with; all others came from a list."""


def empty_row(video_id: str, source: str) -> Video:
    """A row of which nothing is known yet but what was asked for."""
    unknown: dict[str, Any] = {field.name: None for field in dataclasses.fields(Video)}
    return Video(**{**unknown, "video_id": video_id, "source": source, "status": "", "detail": ""})


def with_probe(row: Video, probe: Probe) -> Video:
    """The row with what the file holds."""
    return dataclasses.replace(
        row,
        duration_s=probe.duration_s,
        width=probe.width,
        height=probe.height,
        fps=probe.fps,
        n_frames=probe.n_frames,
        video_codec=probe.video_codec,
        audio_codec=probe.audio_codec,
        audio_rate_hz=probe.audio_rate_hz,
    )


def refused(row: Video, reason: Reason, detail: str) -> Video:
    """The row of a video that is not at hand; what was known of it stays."""
    return dataclasses.replace(row, status=str(reason), detail=detail, path=None)


def place(folders: Folders, video_id: str, suffix: str) -> Path:
    """Where a video's media file lies."""
    return fan_out(folders.work / "videos", video_id, suffix.lower())


def relative(folders: Folders, path: Path) -> str:
    """A path as rows give it: from the project's root."""
    return path.relative_to(folders.root).as_posix()


def is_whole(row: Video, folders: Folders) -> bool:
    """Whether a video is at hand: its file is there, with the size on record."""
    if row.status != OK or row.path is None:
        return False
    try:
        return (folders.root / row.path).stat().st_size == row.size_bytes
    except FileNotFoundError:
        return False


def link(path: Path, target: Path) -> None:
    """Make `path` a link to `target`, replacing what it was in one step."""
    if path.is_symlink() and path.readlink() == target:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def move(path: Path, target: Path) -> None:
    """Give a file that was just written its place, whole also after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


@dataclasses.dataclass
class Tally:
    """What a source gave in this run."""

    fetched: int = 0
    whole: int = 0


class Try:
    """The clock of one attempt, begun when it is built."""

    def __init__(self) -> None:
        self._at = datetime.datetime.now(datetime.UTC)
        self._began = time.monotonic()

    def row(self, source: str, video_id: str | None, status: str, detail: str) -> Attempt:
        """The attempt's row, ended now."""
        return Attempt(
            source=source,
            video_id=video_id,
            status=status,
            detail=detail,
            started_at=self._at.isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - self._began, 3),
        )
