"""What became of the synthetic world's films: which takes were kept, which were refused, and for the right reason?

A defective take counts as found when nothing of it is kept and every candidate in it, or where there is none its
refusal, gives a reason that names the defect. A sound take counts as lost when less than half of it is kept. The
keypoints of released clips are compared with the truth, in pixels of the released picture.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from csg405 import keypoints as kp
from csg405 import table
from csg405.media.clock import FPS
from csg405.run import Folders
from csg405.schema import Clip, FloatArray, Refusal, Release, Sample, Verdict, Video
from csg405.synth.defects import DEFECTS
from csg405.synth.judge import PARTS
from csg405.synth.record import TakeTruth, Truth

_TOUCH_S = 0.3
"""A clip that reaches so far into a take is of it; cuts are found within a picture or two."""

_LEAST_KEPT = 0.5
"""A sound take is kept when so much of it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of a take."""

    film: str
    number: int
    """Of the take within its film."""
    defect: str | None
    severity: str | None
    kept_s: float
    seconds: float
    reasons: tuple[str, ...]
    """Everything that was held against it."""
    named: bool
    """Whether all of it was refused for a reason that names its defect."""

    @property
    def lost(self) -> bool:
        """Whether hardly anything of it was kept."""
        return self.kept_s < _LEAST_KEPT * self.seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What became of the takes with one defect."""

    defect: str
    takes: int
    named: str
    """How many were refused for a reason that names the defect; or why this is not counted."""
    released: int
    """How many of them something was kept of."""
    reasons: tuple[str, ...]
    """Everything that was held against any of them."""


def _row(defect: str, fates: Sequence[Fate]) -> Row:
    named = str(sum(fate.named for fate in fates))
    if defect not in DEFECTS:
        named = ""
    elif not DEFECTS[defect].names:
        named = f"not counted: awaits {DEFECTS[defect].awaits}"
    return Row(
        defect=defect,
        takes=len(fates),
        named=named,
        released=sum(fate.kept_s > 0 for fate in fates),
        reasons=tuple(sorted({reason for fate in fates for reason in fate.reasons})),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """What became of all takes, and how far keypoints are from the truth."""

    fates: tuple[Fate, ...]
    errors_px: dict[str, float]
    """Median error of a part's visible points on released clips, in pixels of the released picture."""

    def rows(self) -> list[Row]:
        """What became of each defect's takes, and of the sound ones, which come first."""
        groups: dict[str, list[Fate]] = collections.defaultdict(list)
        for fate in sorted(self.fates, key=lambda fate: (fate.defect is not None, fate.defect or "")):
            groups[fate.defect or "nothing"].append(fate)
        return [_row(defect, fates) for defect, fates in groups.items()]

    @property
    def sound(self) -> list[Fate]:
        """Takes with which nothing is wrong."""
        return [fate for fate in self.fates if fate.defect is None]

    @property
    def counted(self) -> list[Fate]:
        """Defective takes whose defect has a criterion or a refusal that names it."""
        return [fate for fate in self.fates if fate.defect is not None and DEFECTS[fate.defect].names]

    @property
    def recall(self) -> float:
        """Part of the counted defective takes that was refused for a reason that names the defect."""
        return float(np.mean([fate.named for fate in self.counted])) if self.counted else 1.0

    @property
    def loss(self) -> float:
        """Part of the sound takes that was lost."""
        return float(np.mean([fate.lost for fate in self.sound])) if self.sound else 0.0


@dataclasses.dataclass(frozen=True)
class _Mark:
    """Something said of a span of a film: a candidate's verdict, or a refusal."""

    start_s: float
    end_s: float
    reasons: tuple[str, ...]
    kept: bool = False
    is_clip: bool = False

    def shared_s(self, take: TakeTruth) -> float:
        return min(self.end_s, take.end_s) - max(self.start_s, take.start_s)


def account(folders: Folders, films: Mapping[str, Truth]) -> Account:
    """Compare a run with the truth of its films.

    Args:
        folders: of the run.
        films: truth by the film's file name, which ends the video's source.

    Returns:
        The fate of every take of the films that the run has a video of, and the errors.
    """
    videos = [video for video in table.read(folders.table(Video), Video) if video.status == "ok"]
    names = {video.video_id: _name(video.source) for video in videos}
    known = {video_id: films[name] for video_id, name in names.items() if name in films}
    marks = _marks(folders)
    fates = [
        _fate(names[video_id], number, take, marks.get(video_id, ()))
        for video_id, truth in known.items()
        for number, take in enumerate(truth.takes)
    ]
    return Account(fates=tuple(fates), errors_px=_errors(folders, known))


def _name(source: str) -> str:
    """A film's file name from its address."""
    return source.partition("?")[0].rpartition("/")[2]


def _marks(folders: Folders) -> dict[str, list[_Mark]]:
    """What was said of each video's spans."""
    marks: dict[str, list[_Mark]] = collections.defaultdict(list)
    verdicts = {verdict.clip_id: verdict for verdict in table.read(folders.table(Verdict), Verdict)}
    for clip in table.read(folders.table(Clip), Clip):
        verdict = verdicts.get(clip.clip_id)
        reasons = tuple(verdict.reasons) if verdict else ()
        marks[clip.video_id].append(
            _Mark(clip.start_s, clip.end_s, reasons, kept=bool(verdict and verdict.kept), is_clip=True)
        )
    for refusal in table.read(folders.table(Refusal), Refusal):
        start_s, end_s = refusal.start_s or 0.0, refusal.end_s or np.inf
        marks[refusal.video_id].append(_Mark(start_s, end_s, (str(refusal.reason),)))
    return marks


def _fate(film: str, number: int, take: TakeTruth, marks: Sequence[_Mark]) -> Fate:
    touching = [mark for mark in marks if mark.shared_s(take) >= _TOUCH_S]
    clips = [mark for mark in touching if mark.is_clip]
    kept_s = sum(mark.shared_s(take) for mark in clips if mark.kept)
    planted = take.planted
    names = set(DEFECTS[planted.defect].names) if planted else set[str]()
    named = [bool(names & set(mark.reasons)) for mark in clips or touching]
    return Fate(
        film=film,
        number=number,
        defect=planted.defect if planted else None,
        severity=planted.severity if planted else None,
        kept_s=kept_s,
        seconds=take.end_s - take.start_s,
        reasons=tuple(sorted({reason for mark in touching for reason in mark.reasons})),
        named=all(named) if clips else any(named),
    )


def _errors(folders: Folders, known: Mapping[str, Truth]) -> dict[str, float]:
    errors: dict[str, list[FloatArray]] = collections.defaultdict(list)
    rows = {row.clip_id: row for row in table.read(folders.table(Release), Release)}
    for sample in table.read(folders.table(Sample), Sample):
        truth = known.get(sample.video_id)
        if truth is not None:
            for name, apart in _of_clip(sample, rows[sample.clip_id], truth):
                errors[name].append(apart)
    together = {name: np.concatenate(apart) for name, apart in errors.items()}
    return {name: float(np.median(apart)) for name, apart in together.items() if len(apart)}


def _of_clip(sample: Sample, row: Release, truth: Truth) -> Iterator[tuple[str, FloatArray]]:
    """Errors of the visible points of each part of a released clip, px."""
    frames = nearest(row.start_ms, sample.n_frames, truth)
    true = kp.to_crop(
        truth.keypoints_px[frames], x_px=row.crop_x_px, y_px=row.crop_y_px, side_px=row.crop_side_px,
        size_px=row.size_px,
    )  # fmt: skip
    found = np.asarray(sample.keypoints_px, np.float32).reshape(-1, kp.COUNT, 2)
    apart: FloatArray = np.linalg.norm(found - true, axis=-1)
    visible = truth.visible[frames]
    for name, part in PARTS.items():
        yield name, apart[:, part][visible[:, part]]


def nearest(start_ms: int, n_frames: int, truth: Truth) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of the film's pictures that the clock takes for a clip: the nearest, the earlier one on a tie."""
    wanted = (start_ms / 1000 + np.arange(n_frames) / FPS) * truth.fps
    frames = np.ceil(np.round(wanted, 6) - 0.5).astype(np.int64)
    return np.clip(frames, 0, len(truth.keypoints_px) - 1)
