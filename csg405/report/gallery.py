"""The clips that the page shows: which ones, what is said about them, and their pictures and keypoints.

A clip's keypoints go into `data/<clip_id>.js`, which the page loads by a script tag when the clip comes into
view: a page opened from disk may not fetch anything, but it may load scripts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from csg405 import keypoints, table
from csg405.errors import UserError
from csg405.report import words
from csg405.report.refusals import name_of
from csg405.report.summary import read
from csg405.run import Folders
from csg405.schema import Clip, Crop, Cut, Decision, FloatArray, Pose, Record, Verdict, Video

R = TypeVar("R", bound=Record)

UNITS_PER_PX = 16
"""Keypoints travel as int16 sixteenths of a pixel."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """One criterion on the shown clip, in words."""

    criterion: str
    value: str
    thresholds: str
    passed: bool
    on_fail: str


@dataclasses.dataclass(frozen=True)
class Card:
    """One clip as the page shows it."""

    clip_id: str
    video_id: str
    name: str
    """Title, address or file name of the source."""
    span: str
    length: str
    kept: bool
    rejected_by: list[Judgement]
    flagged_by: list[Judgement]
    judgements: list[Judgement]
    media: str | None
    """Address of the mp4 beside the page; missing where the clip was not cut."""
    data: str | None
    """Address of the keypoints; missing where there are no pictures or no keypoints."""
    size_px: int
    n_frames: int

    @property
    def reasons(self) -> list[str]:
        """What the filter of the page goes by."""
        return [judgement.criterion for judgement in (*self.rejected_by, *self.flagged_by)]


def choose(verdicts: pa.Table, with_media: set[str], *, most: int) -> dict[str, list[str]]:
    """The clips to show: half of them kept, the rejected ones spread over their first reasons.

    Clips that have pictures come first. Within a group the videos take turns and a hash decides, so the choice
    is the same every time.

    Args:
        verdicts: from `summary.read`, with `clip_id`, `video_id`, `kept`, `first_reason` and `review`.
        with_media: ids of the clips that were cut.
        most: clips at most.

    Returns:
        Ids by the name of the table part in which they lie, in the order in which they are to be shown.
    """
    rows = verdicts.select(["clip_id", "video_id", "kept", "first_reason", "part"]).append_column(
        "flagged", pc.greater(pc.list_value_length(verdicts["review"]), 0)
    )
    shown = _select(rows.filter(pc.is_in(rows["clip_id"], pa.array(sorted(with_media), pa.string()))), most)
    if len(shown) < most:
        rest = rows.filter(pc.invert(pc.is_in(rows["clip_id"], pa.array(sorted(with_media), pa.string()))))
        shown += _select(rest, most - len(shown))
    by_part: dict[str, list[str]] = {}
    for clip_id, part in shown:
        by_part.setdefault(part, []).append(clip_id)
    return by_part


def _select(rows: pa.Table, most: int) -> list[tuple[str, str]]:
    """Ids and parts of the chosen among these clips, kept ones first."""
    groups: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for row in rows.to_pylist():
        group = (row["kept"], str(row["flagged"]) if row["kept"] else str(row["first_reason"]))
        groups.setdefault(group, []).append(row)
    kept, rejected = (
        _in_turn([_video_by_video(found) for (is_kept, _), found in sorted(groups.items()) if is_kept is wanted])
        for wanted in (True, False)
    )
    n_kept = min(len(kept), max(most - most // 2, most - len(rejected)))
    return [(row["clip_id"], row["part"]) for row in kept[:n_kept] + rejected[: most - n_kept]]


def _video_by_video(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in an order that is always the same, in which the videos take turns."""
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: hashlib.sha256(row["clip_id"].encode()).digest()):
        by_video.setdefault(row["video_id"], []).append(row)
    return _in_turn(list(by_video.values()))


def _in_turn(groups: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One of each group, then another of each, until all are through."""
    return [row for turn in zip_longest(*groups) for row in turn if row is not None]


def fill(folder: Path, folders: Folders, videos: Mapping[str, Video], verdicts: pa.Table, *, most: int) -> list[Card]:
    """Choose the clips, put their pictures and keypoints into the page's folder, and say what the cards say.

    Args:
        folder: the page's; gets `media/` and `data/`.
        folders: the run's.
        videos: all videos by id.
        verdicts: as for `choose`.
        most: clips at most.
    """
    with_media = set(read(folders, Cut, ["clip_id"])["clip_id"].to_pylist())
    cards: list[Card] = []
    for part, ids in choose(verdicts, with_media, most=most).items():
        rows = _Rows(folders, part, ids)
        cards += [_card(folder, folders, rows, clip_id, videos) for clip_id in ids]
    return sorted(cards, key=lambda card: (card.media is None, not card.kept, card.video_id, card.clip_id))


class _Rows:
    """The rows of the shown clips of one shard; of all other clips nothing is kept in memory."""

    def __init__(self, folders: Folders, part: str, ids: Sequence[str]) -> None:
        self._folders, self._part = folders, part
        self._where = pc.field("clip_id").isin(list(ids))
        self.clips = self._by_id(Clip)
        self.verdicts = self._by_id(Verdict)
        self.crops = self._by_id(Crop)
        self.cuts = self._by_id(Cut)
        self.poses = self._by_id(Pose)
        self.decisions: dict[str, list[Decision]] = {}
        for decision in self._read(Decision):
            self.decisions.setdefault(decision.clip_id, []).append(decision)

    def _read(self, record: type[R]) -> list[R]:
        path = self._folders.table(record) / self._part
        return table.read_part(path, record, where=self._where) if path.exists() else []

    def _by_id(self, record: type[R]) -> dict[str, R]:
        return {str(getattr(row, "clip_id")): row for row in self._read(record)}  # noqa: B009 - not every record has one


def _card(folder: Path, folders: Folders, rows: _Rows, clip_id: str, videos: Mapping[str, Video]) -> Card:
    verdict, clip, cut = rows.verdicts[clip_id], rows.clips.get(clip_id), rows.cuts.get(clip_id)
    pose, crop = rows.poses.get(clip_id), rows.crops.get(clip_id)
    video = videos.get(verdict.video_id)
    judgements = [_judgement(decision) for decision in rows.decisions.get(clip_id, [])]
    media = link(folders.work / cut.path, folder / "media" / f"{clip_id}.mp4") if cut else None
    data = None
    if cut and pose and crop:
        data = write_track(folder / "data" / f"{clip_id}.js", pose, crop, size_px=cut.size_px)
    return Card(
        clip_id=clip_id,
        video_id=verdict.video_id,
        name=name_of(video) if video else verdict.video_id,
        span=f"{words.clock(clip.start_ms)}\N{EN DASH}{words.clock(clip.end_ms)}" if clip else "",
        length=" ".join(words.length(verdict.duration_s)),
        kept=verdict.kept,
        rejected_by=[each for each in judgements if each.criterion in verdict.reasons],
        flagged_by=[each for each in judgements if each.criterion in verdict.review],
        judgements=judgements,
        media=media,
        data=data,
        size_px=cut.size_px if cut else 0,
        n_frames=cut.n_frames if cut else 0,
    )


def _judgement(decision: Decision) -> Judgement:
    names = [(name, limit) for name, limit in (("at least", decision.at_least), ("at most", decision.at_most))
             if limit is not None]  # fmt: skip
    value = float("nan") if decision.value is None else decision.value
    shown, *limits = words.apart(value, [limit for _, limit in names])
    return Judgement(
        criterion=decision.criterion,
        value="not measured" if decision.value is None else shown,
        thresholds=", ".join(f"{name} {limit}" for (name, _), limit in zip(names, limits, strict=True)),
        passed=decision.passed,
        on_fail=decision.on_fail,
    )


def link(source: Path, target: Path) -> str:
    """Put a cut file beside the page, without a second copy where the file system can do that; return its address.

    Raises:
        UserError: there is no such file.
    """
    if not source.is_file():
        raise UserError(f"{source}: the table `cuts` names this file and it is missing; run postprocess again")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return quote(f"{target.parent.name}/{target.name}")


def write_track(path: Path, pose: Pose, crop: Crop, *, size_px: int) -> str:
    """Write a clip's keypoints, in pixels of its cut, as a script; return its address beside the page."""
    side = {"x_px": crop.x_px, "y_px": crop.y_px, "side_px": crop.side_px, "size_px": size_px}
    placed = keypoints.to_crop(pose.keypoints(), **side)
    return write_motion(path, placed, pose.scores(), name=pose.clip_id, size_px=size_px)


def write_motion(path: Path, keypoints_px: FloatArray, score: FloatArray, *, name: str, size_px: int) -> str:
    """Write a motion as a script; return its address beside the page.

    Args:
        path: of the script, in a folder of the page's.
        keypoints_px: [n, 133, 2] in a picture of `size_px`.
        score: [n, 133], 0-1.
        name: under which the page finds it.
        size_px: side of the picture.
    """
    track = {
        "size": size_px,
        "frames": len(keypoints_px),
        "points": keypoints.COUNT,
        "unit": UNITS_PER_PX,
        "xy": _base64(_fixed_point(keypoints_px)),
        "score": _base64(np.clip(np.nan_to_num(score) * 255, 0, 255).round().astype(np.uint8)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f"(window.CSG = window.CSG || {{}})[{json.dumps(name)}] = {json.dumps(track)};\n"
    path.write_text(text, encoding="utf-8")
    return quote(f"{path.parent.name}/{path.name}")


def _fixed_point(keypoints_px: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    limits = np.iinfo(np.int16)
    scaled = np.nan_to_num(keypoints_px.astype(np.float64), nan=limits.min) * UNITS_PER_PX
    return np.clip(scaled.round(), limits.min, limits.max).astype("<i2")


def _base64(array: np.ndarray[tuple[int, ...], np.dtype[np.int16 | np.uint8]]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")


def skeleton() -> dict[str, object]:
    """What the page draws: every link with the side that it belongs to, and the points of the face."""
    links = [[first, second, _side(first, second)] for first, second in keypoints.LINKS]
    return {"links": links, "face": list(range(keypoints.FACE.start, keypoints.FACE.stop))}


def _side(first: int, second: int) -> str:
    for part, name in ((keypoints.LEFT_HAND, "left_hand"), (keypoints.RIGHT_HAND, "right_hand")):
        if part.start <= first < part.stop:
            return name
    sides = {keypoints.NAMES[point].partition("_")[0] for point in (first, second)}
    return sides.pop() if sides in ({"left"}, {"right"}) else "middle"


def names_in(cards: Iterable[Card]) -> tuple[list[tuple[str, int]], list[tuple[str, str, int]]]:
    """What the page can be filtered by: criteria and videos, with the number of cards of each."""
    reasons: dict[str, int] = {}
    videos: dict[str, tuple[str, int]] = {}
    for card in cards:
        for reason in dict.fromkeys(card.reasons):
            reasons[reason] = reasons.get(reason, 0) + 1
        videos[card.video_id] = (card.name, videos.get(card.video_id, ("", 0))[1] + 1)
    by_count = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    by_name = sorted((video_id, name, number) for video_id, (name, number) in videos.items())
    return by_count, sorted(by_name, key=lambda item: item[1].lower())
