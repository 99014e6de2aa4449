"""Scoring a submission: validate, measure, compute, write.

Below `work/<run>/benchmark/` lie the rows of the controls, once for a split and a kit, and a folder for each
submission: its rows, `results.json`, `per_clip.parquet`, and the report.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from csg405.benchmark.cards import passed
from csg405.benchmark.clip import Clip
from csg405.benchmark.metric import Values
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring import results
from csg405.benchmark.scoring.measure import Group, measure, one_thread, used
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.systems import Submitted, controls
from csg405.benchmark.scoring.values import Book
from csg405.benchmark.submission import archive, copies, findings
from csg405.benchmark.submission.clips import of_run
from csg405.benchmark.submission.schema import Submission
from csg405.benchmark.submission.validate import check
from csg405.engine import Engine
from csg405.errors import UserError
from csg405.schema import FloatArray
from csg405.table import replace_atomically, write_text

_TRAIN_CLIPS = 200
"""Most training clips that the copy test compares with; they are drawn at random, always the same."""

_SEED = 405_009


@dataclasses.dataclass(frozen=True)
class Scored:
    """A score that was written."""

    folder: Path
    results: dict[str, Any]


def score(
    path: Path, place: Place, engine: Engine, *, with_towers: bool = True, wanted_score: str | None = None
) -> Scored:
    """Score a submission of track A.

    Args:
        path: its folder or archive.
        place: the run, the kit, and the split that the submission must be for.
        engine: local or Ray.
        with_towers: whether the two-tower metrics are computed too.
        wanted_score: the score id that a leaderboard names; another kit, data or evaluator is refused.

    Raises:
        UserError: it is refused, for all reasons that validation gives; or it is of another track.
    """
    with archive.opened(path, work=place.folders.work) as opened:
        report = check(opened.folder, known=of_run(place.folders.root, place.folders.name))
        wrong = findings.errors((*opened.findings, *report.findings))
        if wrong or report.submission is None:
            first = f"; the first: {wrong[0].rule} in {wrong[0].where}, seen {wrong[0].seen}" if wrong else ""
            raise UserError(f"{path} is refused for {len(wrong)} reasons{first}; `csg405 submission validate` says all")
        _expect(report.submission, place)
        with one_thread():
            return _score(opened.folder, report.submission, place, engine, with_towers, wanted_score)


def _expect(submission: Submission, place: Place) -> None:
    if submission.track != "A":
        raise UserError(
            f"track {submission.track}: this command scores track A, skeletons; films are scored by `csg405 submission "
            "score-video`"
        )
    if submission.split != place.split:
        raise UserError(f"the submission is for split {submission.split}, and {place.split} is to be scored")


def _score(
    folder: Path, submission: Submission, place: Place, engine: Engine, with_towers: bool, wanted_score: str | None
) -> Scored:
    digests = place.digests
    found_id = results.score_id(digests)
    if wanted_score is not None and wanted_score != found_id:
        raise UserError(
            f"this data, kit and evaluator give score id {found_id}, and the leaderboard's is {wanted_score}"
        )
    towers = with_towers and place.kit.has_towers
    name = _name(submission)
    system = Submitted(folder, submission.inference.seeds)
    group = Group(name=name, systems=(system,))
    book = control_book(place, engine, with_towers=towers)
    own_files = measure(place.measured, group, place.of(name) / "rows", engine, with_towers=towers)
    own = dataclasses.replace(book, files={"submission": own_files})
    found, by_clip = results.assemble(
        book, own.rows("submission"), control_values(book), digests=digests,
        facts=_facts(submission, system, place), groups=_groups(place.reader, place.entries), passed=passed(place),
    )  # fmt: skip
    found["trust"] = {"copies": [finding.as_json() for finding in _copies(place.reader, place.entries, folder)]}
    _write(place.of(name), found, by_clip, place.cluster_of)
    return Scored(place.of(name), found)


def control_book(place: Place, engine: Engine, *, with_towers: bool) -> Book:
    """The rows of all controls, measured where they are not there yet."""
    systems = tuple(controls())
    folder = place.rows("controls", with_towers=with_towers)
    files = measure(
        place.measured, Group(name="controls", systems=systems), folder, engine, with_towers=with_towers
    )  # fmt: skip
    return Book.open({system.name: files for system in systems}, used(with_towers=with_towers), place.cluster_of)


def control_values(book: Book) -> dict[str, Values]:
    """The values of all controls."""
    return {name: book.values(book.rows(name)) for name in book.files}


def _name(submission: Submission) -> str:
    """Of the folder of its score: letters, digits and dashes of the system's name and version."""
    words = f"{submission.system.name}-{submission.system.version}"
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in words).strip(".-") or "system"


def _facts(submission: Submission, system: Submitted, place: Place) -> dict[str, Any]:
    """What the submission says of itself, and the digest of its predictions."""
    held = hashlib.sha256()
    for entry in place.entries:
        held.update(f"{entry.clip_id} {system.digest(entry.clip_id)}\n".encode())
    return submission.model_dump(mode="json") | {"predictions": held.hexdigest()}


def _groups(reader: ReleaseReader, entries: list[Entry]) -> dict[str, dict[str, str]]:
    """What breakdowns go by: the release's attributes, whether training holds the speaker, and the clips' lengths."""
    trained = {entry.speaker for entry in reader.clips("train")}
    held: dict[str, dict[str, str]] = {
        "speaker_in_training": {entry.clip_id: "yes" if entry.speaker in trained else "no" for entry in entries},
        "length": {entry.clip_id: _length(entry) for entry in entries},
    }
    for entry in entries:
        for name, value in reader.attributes.get(entry.clip_id, {}).items():
            held.setdefault(name, {})[entry.clip_id] = value
    return held


def _length(entry: Entry) -> str:
    seconds = entry.n_frames / 25
    return "under 6 s" if seconds < 6 else "6 to 12 s" if seconds < 12 else "12 s and more"


def _copies(reader: ReleaseReader, entries: list[Entry], folder: Path) -> tuple[findings.Finding, ...]:
    """Whether predictions are copies of training clips, or the truth itself; the first seed is looked at."""
    train = reader.clips("train")
    drawn = np.random.default_rng(_SEED).permutation(len(train))[:_TRAIN_CLIPS]
    chosen = sorted((train[i] for i in drawn), key=lambda entry: (entry.shard, entry.clip_id))
    system = Submitted(folder, 1)
    nearness = copies.nearest(
        _Motions(reader, entries, lambda clip: next(system.motions(clip)).keypoints_px),
        _Motions(reader, entries, lambda clip: clip.keypoints_px),
        ((clip.clip_id, clip.points) for clip in reader.iterate(chosen)),
    )
    return tuple(copies.judge(nearness))


class _Motions(Mapping[str, FloatArray]):
    """Motions in shoulder widths by clip, read when they are asked for: a split need not fit into memory."""

    def __init__(self, reader: ReleaseReader, entries: list[Entry], motion_of: Callable[[Clip], FloatArray]) -> None:
        self.reader, self.motion_of = reader, motion_of
        self.entries = {entry.clip_id: entry for entry in entries}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __getitem__(self, clip_id: str) -> FloatArray:
        clip = self.reader.read(self.entries[clip_id])
        return clip.placed(self.motion_of(clip))


def _write(
    folder: Path, found: dict[str, Any], by_clip: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str]
) -> None:
    clips = pd.DataFrame({"clip_id": sorted(cluster_of)})
    clips["speaker"] = [cluster_of[clip_id] for clip_id in clips.clip_id]
    for name in sorted(by_clip):
        clips[name] = [by_clip[name].get(clip_id, np.nan) for clip_id in clips.clip_id]
    replace_atomically(folder / "per_clip.parquet", lambda temporary: clips.to_parquet(temporary, index=False))
    write_text(folder / "results.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
