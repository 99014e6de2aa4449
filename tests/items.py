"""Hand-written rows, and what operators are built from and called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csg405 import operator
from csg405.operator import Item, Setting
from csg405.run import Folders
from csg405.schema import Clip, Pose, Record, Video

FRAME_MS = 40


def video(**values: Any) -> Video:
    """A video at hand, 1280x720 at 25 fps, unless told otherwise."""
    facts: dict[str, Any] = {
        "video_id": "file.a", "source": "a.mp4", "status": "ok", "detail": "", "title": None, "channel": None,
        "licence": None, "upload_date": None, "path": "a.mp4", "sha256": "0" * 64, "size_bytes": 1, "duration_s": 60.0,
        "width": 1280, "height": 720, "fps": 25.0, "n_frames": 1500, "video_codec": "h264", "audio_codec": "aac",
        "audio_rate_hz": 48000,
    }  # fmt: skip
    return Video(**(facts | values))


def clip(*, start_ms: int = 0, n_frames: int = 100, **values: Any) -> Clip:
    """A clip of the video `file.a`, track 0, 1280x720."""
    end_ms = start_ms + FRAME_MS * n_frames
    facts: dict[str, Any] = {
        "clip_id": f"file.a_{start_ms}_{end_ms}_p0", "video_id": "file.a", "shot": 0, "track": 0, "width": 1280,
        "height": 720,
    }  # fmt: skip
    return Clip(start_ms=start_ms, end_ms=end_ms, n_frames=n_frames, **(facts | values))


def pose(of: Clip, points: npt.ArrayLike, scores: npt.ArrayLike = 1.0) -> Pose:
    """The poses of a clip from [n, 133, 2] points and [n, 133] scores, or what spreads to these."""
    count = len(np.asarray(points))
    score = np.broadcast_to(np.asarray(scores, np.float32), (count, 133)).ravel()
    return Pose(
        clip_id=of.clip_id, video_id=of.video_id, n_frames=count, width=of.width, height=of.height,
        keypoints_px=np.asarray(points, np.float32).ravel(), score_raw=score.copy(), score=score.copy(),
    )  # fmt: skip


def setting(name: str, root: Path, *, device: str = "cpu", **own: Any) -> Setting:
    """What the operator `stage.name` is built from, with its own section's values."""
    config = operator.load(name).Config.model_validate(own)
    stage = operator.section(name.partition(".")[0]).model_validate({name.partition(".")[2]: config})
    return Setting(name, config.model_dump_json(), stage.model_dump_json(), device, Folders(root, "run"))


def item(
    *rows: Record,
    of: Clip | None = None,
    source: Video | None = None,
    media: Path = Path("no-such-file.mp4"),
    reads: Sequence[type[Record]] = (),
    measures: Mapping[str, Any] | None = None,
) -> Item:
    """An item from its rows, in their order; `reads` names tables that may be empty."""
    found: dict[type[Record], list[Record]] = {record: [] for record in reads}
    for row in rows:
        found.setdefault(type(row), []).append(row)
    return Item(source or video(), media, of, found, measures or {}, "00000")
