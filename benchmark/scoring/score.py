"""Scoring a submission: validate, measure, compute, write.

Below `work/<run>/benchmark/` lie the rows of the controls, once for a split and a kit, and a folder for each
submission: its rows, `results.json`, `per_clip.parquet`, and the report. Tracks B and C, films, go to
`csg405.benchmark.scoring.film`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from csg405.benchmark.cards import passed
from csg405.benchmark.metric import Values
from csg405.benchmark.scoring import counterfactual, facts, parts, results
from csg405.benchmark.scoring.film import Look, folder_of, score_films
from csg405.benchmark.scoring.measure import Group, measure, measure_together, one_thread, used
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.systems import Submitted, controls
from csg405.benchmark.scoring.values import Book
from csg405.benchmark.submission import archive, findings
from csg405.benchmark.submission.clips import of_run
from csg405.benchmark.submission.schema import Submission
from csg405.benchmark.submission.validate import check
from csg405.benchmark.video_networks import VideoSettings
from csg405.engine import Engine
from csg405.errors import UserError


@dataclasses.dataclass(frozen=True)
class Scored:
    """A score that was written."""

    folder: Path
    results: dict[str, Any]


def score(
    path: Path,
    place: Place,
    engine: Engine,
    *,
    with_towers: bool = True,
    wanted_score: str | None = None,
    video: VideoSettings | None = None,
    device: str = "cpu",
) -> Scored:
    """Score a submission, and write its page.

    Args:
        path: its folder or archive.
        place: the run, the kit, and the split that the submission must be for.
        engine: local or Ray.
        with_towers: whether the two-tower metrics are computed too.
        wanted_score: the score id that a leaderboard names; another kit, data or evaluator is refused.
        video: the networks that films are looked at through, for tracks B and C; none if nothing is given.
        device: `cpu` or `cuda`, where those networks run.

    Raises:
        UserError: it is refused, for all reasons that validation gives; or the release has no films to compare with.
    """
    from csg405.benchmark.pages import report as page

    with archive.opened(path, work=place.folders.work) as opened:
        known = of_run(place.folders.root, place.folders.name)
        report = check(opened.folder, known=known, workers=os.cpu_count() or 1)
        wrong = findings.errors((*opened.findings, *report.findings))
        if wrong or report.submission is None:
            first = f"; the first: {wrong[0].rule} in {wrong[0].where}, seen {wrong[0].seen}" if wrong else ""
            raise UserError(f"{path} is refused for {len(wrong)} reasons{first}; `csg405 submission validate` says all")
        if report.submission.split != place.split:
            raise UserError(f"the submission is for split {report.submission.split}, and {place.split} is to be scored")
        towers = with_towers and place.kit.has_towers
        with one_thread():
            if report.submission.track == "A":
                scored = _score(opened.folder, report.submission, place, engine, towers, wanted_score)
                page.build(scored.folder, predictions=opened.folder, folders=place.folders)
            else:
                look = Look(
                    place=place, engine=engine, settings=video or VideoSettings(), device=device, with_towers=towers
                )
                scored = _score_films(opened.folder, report.submission, look, wanted_score)
                page.build(scored.folder, predictions=None, folders=place.folders)
    return scored


def _expect(digests: Mapping[str, Any], wanted_score: str | None) -> None:
    found_id = results.score_id(digests)
    if wanted_score is not None and wanted_score != found_id:
        raise UserError(
            f"this data, kit and evaluator give score id {found_id}, and the leaderboard's is {wanted_score}"
        )


def _score(
    folder: Path, submission: Submission, place: Place, engine: Engine, towers: bool, wanted_score: str | None
) -> Scored:
    digests = place.digests
    _expect(digests, wanted_score)
    name = facts.folder_name(submission)
    system = Submitted(folder, submission.inference.seeds)
    groups = {
        place.rows("controls", with_towers=towers): Group(name="controls", systems=tuple(controls())),
        place.of(name) / "rows": Group(name=name, systems=(system,)),
    }
    of_controls, own_files = measure_together(place.measured, groups, engine, with_towers=towers).values()
    book = _book(of_controls, place, towers)
    computed = parts.compute(book, own_files, facts.groups_of(place.reader, place.entries), engine)
    found = results.assemble(
        computed, book, digests=digests, facts=facts.of_submission(submission, system, place), passed=passed(place)
    )
    found["trust"] = {"copies": [told.as_json() for told in parts.copied(place.measured, folder, engine)]}
    found["counterfactual"] = counterfactual.judge(folder, place)
    facts.write(place.of(name), found, computed.own.by_clip, place.cluster_of)
    return Scored(place.of(name), found)


def _score_films(folder: Path, submission: Submission, look: Look, wanted_score: str | None) -> Scored:
    digests = look.digests(submission.track)
    _expect(digests, wanted_score)
    found, by_clip = score_films(folder, submission, look, digests)
    found["counterfactual"] = counterfactual.not_judged("only skeletons, track A, are asked for")
    where = folder_of(look.place, submission)
    facts.write(where, found, by_clip, look.place.cluster_of)
    return Scored(where, found)


def control_book(place: Place, engine: Engine, *, with_towers: bool) -> Book:
    """The rows of all controls, measured where they are not there yet."""
    group = Group(name="controls", systems=tuple(controls()))
    folder = place.rows("controls", with_towers=with_towers)
    return _book(measure(place.measured, group, folder, engine, with_towers=with_towers), place, with_towers)


def _book(files: Sequence[Path], place: Place, with_towers: bool) -> Book:
    names = [system.name for system in controls()]
    return Book.open(dict.fromkeys(names, files), used(with_towers=with_towers), place.cluster_of)


def control_values(book: Book) -> dict[str, Values]:
    """The values of all controls."""
    return {name: book.values(book.rows(name)) for name in book.files}
