"""Submissions to the benchmark: an empty one, its seal, and everything that is wrong with one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from csg405.cli._shared import (
    USER_ERROR,
    ConfigName,
    EngineName,
    Overrides,
    Workers,
    benchmark_module,
    open_run,
    out,
    say,
)
from csg405.cli.benchmark import KitFolder, SplitName, kit_folder, place_of, scoring, settings_of
from csg405.errors import UserError
from csg405.progress import Progress
from csg405.run import Folders

submission = typer.Typer(
    help="Entries for the benchmark: write an empty one, seal it, and check it.", no_args_is_help=True
)

_SHOWN_OF_A_RULE = 5

RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run whose release is predicted.")]
ClipsOption = Annotated[Path | None, typer.Option("--clips", help="A clips.json, in place of a run.")]


@submission.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must be empty.")],
    run: RunOption = None,
    clips: ClipsOption = None,
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    track: Annotated[str, typer.Option(help="A: audio to skeleton; B: skeleton to video; C: audio to video.")] = "A",
) -> None:
    """Write a submission to fill in."""
    known = _known(run, clips)
    if known is None:
        raise UserError("which clips? Give --run RUN, or --clips FILE with a clips.json")
    count = benchmark_module("submission.init").write_template(folder, known, split=split, track=track)
    say(f"{folder}: {count} clips of {split} to predict; fill in submission.yaml and REPORT.md, then seal it")


@submission.command()
def seal(
    folder: Annotated[Path, typer.Argument(help="Folder of the submission.")],
    training_ids: Annotated[
        Path | None, typer.Option("--training-ids", help="Ids of all training videos, one a line.")
    ] = None,
) -> None:
    """Write training_ids.txt.gz and checksums.sha256: the last step before it is packed."""
    init_module = benchmark_module("submission.init")
    ids = None if training_ids is None else init_module.read_video_ids(training_ids)
    say(f"{folder}: {init_module.seal(folder, video_ids=ids)} files sealed")


@submission.command()
def validate(
    path: Annotated[Path, typer.Argument(help="Folder, .zip or .tar.gz.")],
    run: RunOption = None,
    clips: ClipsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Films decoded at once; 0 is one per core.")] = 0,
) -> None:
    """Say everything that is wrong with a submission; status 2 where it is refused."""
    known = _known(run, clips)
    with Progress("validate", total=_files(path), unit="predictions") as progress:
        report = benchmark_module("submission.validate").validate(
            path, known=known, work=Path.cwd() / "work", workers=workers or os.cpu_count() or 1,
            advance=progress.advance,
        )  # fmt: skip
    if as_json:
        say(json.dumps(report.as_json(), indent=1))
    else:
        _show(path, report)
    if not report.ok:
        raise typer.Exit(USER_ERROR)


@submission.command()
def score(
    path: Annotated[Path, typer.Argument(help="Folder, .zip or .tar.gz.")],
    run: Annotated[str, typer.Option("--run", help="Name of the run whose release was predicted.")],
    config: ConfigName = "folder",
    kit: KitFolder = None,
    split: SplitName = "test",
    wanted: Annotated[
        str | None, typer.Option("--score-id", help="That of a leaderboard; another kit, data or evaluator is refused.")
    ] = None,
    towers: Annotated[bool, typer.Option(help="Whether to score the association of speech and gesture.")] = True,
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Score a submission beside all controls; write results.json, values by clip and a page."""
    opened = open_run(run, config, overrides, workers, engine)
    with opened.locked("submission score"), scoring(opened, engine) as on:
        place = place_of(opened, kit or kit_folder(opened), split)
        found = benchmark_module("scoring.score").score(
            path, place, on, with_towers=towers, wanted_score=wanted, video=settings_of(opened).video,
            device=opened.common.device,
        )  # fmt: skip
    _show_score(found.results)
    say(f"score: {found.folder / 'results.json'}, score id {found.results['score_id']}")


@submission.command()
def counterfactual(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must be empty.")],
    run: Annotated[str, typer.Option("--run", help="Name of the run whose release is predicted.")],
    split: SplitName = "test",
) -> None:
    """Write sounds that nobody made, for a submission that shows that its system listens."""
    reader = benchmark_module("release").ReleaseReader(Folders(Path.cwd(), run))
    count = benchmark_module("counterfactual").write(folder, reader, split=split)
    say(f"{folder}: {count} sounds; put their motions into counterfactual/<clip_id>/<kind>.npz of the submission")


@submission.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a score.")],
    second: Annotated[Path, typer.Argument(help="Folder of another.")],
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run where the truth's rows lie; that of the first score.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Say by which metrics two scores differ beyond chance."""
    home = None if run is None else Folders(Path.cwd(), run).work / "benchmark"
    found = benchmark_module("scoring.compare").compare(first, second, home=home)
    if as_json:
        say(json.dumps(found.as_json(), indent=1))
        return
    grid = Table("metric", found.first, found.second, "difference", "95 % interval", "p", "Holm", "better",
                 box=box.SIMPLE)  # fmt: skip
    names = {"first": found.first, "second": found.second, "neither": "neither"}
    for row in found.rows:
        span = "" if row.interval is None else f"{_number(row.interval[0])} to {_number(row.interval[1])}"
        grid.add_row(
            *(Text(cell) for cell in (
                row.metric, _number(row.first), _number(row.second), _number(row.difference), span, _number(row.p),
                _number(row.p_holm), row.why_not or names[row.better],
            ))
        )  # fmt: skip
    out.print(grid)
    say(f"{found.first} against {found.second}, score id {found.score_id}; `better` means p of at most 0.05 after Holm")


@submission.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a score: work/<run>/benchmark/submissions/<system>.")],
    run: Annotated[str | None, typer.Option("--run", help="Name of the run; that of the folder when missing.")] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Folder of the submission, to play its motions.")
    ] = None,
) -> None:
    """Write the page of a score again."""
    folders = _folders_of(folder) if run is None else Folders(Path.cwd(), run)
    say(f"report: {benchmark_module('pages.report').build(folder, predictions=predictions, folders=folders)}")


def _folders_of(folder: Path) -> Folders:
    """The run that a score lies in."""
    whole = folder.resolve()
    parents = whole.parents
    if len(parents) < 5 or [whole.parent.name, parents[1].name, parents[3].name] != [
        "submissions",
        "benchmark",
        "work",
    ]:
        raise UserError(f"{folder}: lies in no run's work/<run>/benchmark/submissions; say which by --run RUN")
    return Folders(parents[4], parents[2].name)


def _show_score(results: Any) -> None:
    """The metrics that rank first, then all others that were computed."""
    grid = Table("metric", "value", "95 % interval", "truth", "chance", "of the way", "floor", box=box.SIMPLE)
    for name, told in results["metrics"].items():
        if told["value"] is not None:
            span = told["interval"]
            grid.add_row(
                Text(name, style="bold" if told["ranks"] else ""), _number(told["value"]),
                f"{_number(span[0])} to {_number(span[1])}" if span else "", _number(told["truth"]),
                _number(told["chance"]), "" if told["per_cent"] is None else f"{told['per_cent']:.0f} %",
                _number(told["floor"]),
            )  # fmt: skip
    out.print(grid)
    for finding in results["trust"]["copies"]:
        say(f"  {finding['rule']}: {finding['where']}, seen {finding['seen']}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _known(run: str | None, clips: Path | None) -> Any:
    if run is not None and clips is not None:
        raise UserError("--run and --clips are two lists of clips; give one of them")
    if run is not None:
        return benchmark_module("submission.clips").of_run(Path.cwd(), run)
    return None if clips is None else benchmark_module("submission.clips").from_file(clips)


def _files(path: Path) -> int:
    """How many predictions a folder holds, for the bar; an archive does not say it before it is unpacked."""
    return len(benchmark_module("submission.layout").look(path).predictions) if path.is_dir() else 0


def _show(path: Path, report: Any) -> None:
    """The findings as a table, no more than a few of each rule; then what each rule says, and what to do."""
    told, rules = report.as_json(), benchmark_module("submission.findings").RULES
    grid = Table("level", "rule", "where", "seen", "allowed", box=box.SIMPLE)
    counts: dict[str, int] = {}
    for finding in report.findings:
        counts[finding.rule] = counts.get(finding.rule, 0) + 1
        if counts[finding.rule] <= _SHOWN_OF_A_RULE:
            cells = (finding.level, finding.rule, finding.where, finding.seen, finding.allowed)
            grid.add_row(*(Text(cell, overflow="fold") for cell in cells))
    if report.findings:
        out.print(grid)
    for rule, count in counts.items():
        more = f" ({count - _SHOWN_OF_A_RULE} more; --json prints all)" if count > _SHOWN_OF_A_RULE else ""
        say(f"  {rule}: {rules[rule].says}; {rules[rule].do}{more}")
    verdict = "may be scored" if report.ok else "is refused"
    say(f"{path} {verdict}: {told['errors']} errors, {told['warnings']} warnings")
