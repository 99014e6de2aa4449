"""The command line: one sub-command a stage, and a few to look at what came of it."""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from csg405 import __version__, table
from csg405.config import ENGINES, STAGES
from csg405.errors import UserError
from csg405.progress import console as terminal
from csg405.run import Folders, Run
from csg405.schema import SHARED, Clip, Cut, Decision, Refusal, Release, Verdict, Video

app = typer.Typer(
    help="Builds co-speech-gesture video datasets: crawl, annotate, filter, postprocess, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunName = Annotated[str, typer.Option("--run", help="Name of the run: a folder of manifests/ and of work/.")]
ConfigName = Annotated[str, typer.Option("--config", help="A built-in configuration, or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change a key of the configuration; repeatable.")
]
EngineName = Annotated[str, typer.Option("--engine", help="local or ray.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes; 0 is one per core.")]

out = Console(width=None if sys.stdout.isatty() else 120)
"""What was asked for goes to the standard output; progress, log lines and errors to the standard error."""

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

_FAILED = 1
_USER_ERROR = 2


def main() -> None:
    """Entry point: a `UserError` is a message and status 2, never a stack trace."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except UserError as error:
        _print(terminal, f"csg405: {error}", style="bold red")
        sys.exit(_USER_ERROR)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        _print(terminal, f"csg405: {error}; make room or allow it, and run the same command again", style="bold red")
        sys.exit(_USER_ERROR)


def _print(console: Console, text: str, *, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    _print(out, text)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"csg405 {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def _open(run: str, config: str, overrides: list[str] | None, workers: int | None, engine: str) -> Run:
    """The run with its configuration; `CSG405_SET` holds overrides as a shell would have them, for the Makefile.

    Raises:
        UserError: something is wrong with it.
    """
    if engine not in ENGINES:
        raise UserError(f"ENGINE={engine}: no such engine; there are {' and '.join(ENGINES)}")
    try:
        given = shlex.split(os.environ.get("CSG405_SET", ""))
    except ValueError as error:
        raise UserError(f"SET {os.environ['CSG405_SET']!r}: {error}; put quotes round a value with spaces") from error
    extra = [] if workers is None else [f"engine.workers={workers}"]
    return Run.open(run, config, [*given, *(overrides or []), *extra])


@app.command()
def crawl(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Fetch videos, or take those of a folder: tables `videos` and `attempts`."""
    opened = _open(run, config, overrides, workers, engine)
    with opened.locked("crawl"):
        result = importlib.import_module("csg405.crawl.stage").run(opened)
    counts = ", ".join(f"{status} {count}" for status, count in result.statuses.items())
    _say(f"crawl: {result.fetched} new, {result.whole} already whole; videos: {counts}")
    for video in result.videos:
        if video.status != "ok":
            _say(f"  {video.source}: {video.status}, {video.detail}")


@app.command()
def annotate(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Find candidate clips and measure them: tables `clips`, `measures/*`, `refusals`, and poses."""
    _run_stage("annotate", _open(run, config, overrides, workers, engine), engine)


@app.command("filter")
def filter_(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Decide on every clip by every criterion: tables `decisions` and `verdicts`."""
    opened = _open(run, config, overrides, workers, engine)
    _run_stage("filter", opened, engine)
    _print_funnel(opened)


@app.command()
def postprocess(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Cut and release the clips that were kept: table `release`, media, shards, card."""
    _run_stage("postprocess", _open(run, config, overrides, workers, engine), engine)


@app.command()
def report(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Make the page to look at: work/<run>/report/index.html."""
    opened = _open(run, config, overrides, workers, engine)
    opened.require("postprocess")
    with opened.locked("report"):
        page = importlib.import_module("csg405.report.build").build(opened)
    _say(f"report: open {page}")


def _run_stage(stage: str, run: Run, engine: str) -> None:
    """Run a stage's operators, then what it does once at its end; say what came of it.

    Raises:
        typer.Exit: with status 1 when shards failed.
    """
    from csg405 import engine as engines
    from csg405 import stage as stages

    run.require(STAGES[STAGES.index(stage) - 1])
    common = run.common
    with (
        run.locked(stage),
        contextlib.closing(engines.make(common.engine, kind=engine, device=common.device)) as workers,
    ):
        result = stages.run(run, stage, workers)
        finish = _finish_of(stage)
        if finish is not None and result.accepted:
            finish(run)
    times = ", ".join(f"{name.partition('.')[2]} {seconds:g} s" for name, seconds in result.seconds.items())
    _say(f"{stage}: {result.done} shards made, {result.fresh} up to date" + (f" ({times})" if times else ""))
    if stage == "annotate":
        _print_refusals(run)
    for failure in result.failures:
        said = f"  FAILED {failure.step} on shard {failure.shard}: {failure.error}\n    the whole story: {failure.log}"
        _print(terminal, said, style="bold red")
    if result.failures:
        _say(
            f"{stage}: {len(result.failures)} shards failed; the others are done. Mend and run the same command again."
        )
    if not result.accepted:
        _say(f"  or go on without them: SET=max_failed_shards={len({failure.shard for failure in result.failures})}")
        raise typer.Exit(_FAILED)


def _finish_of(stage: str) -> Any | None:
    """What a stage does once after its shards: the function `finish` of its module of that name."""
    try:
        return importlib.import_module(f"csg405.{stage}.finish").finish
    except ModuleNotFoundError as error:
        if error.name != f"csg405.{stage}.finish":
            raise
        return None


def _print_refusals(run: Run) -> None:
    """Whole videos one by one, spans by their number."""
    sources = {video.video_id: video.source for video in run.videos()}
    spans: dict[str, int] = {}
    for refusal in table.read(run.folders.table(Refusal), Refusal):
        if refusal.start_s is None:
            _say(f"  {sources.get(refusal.video_id, refusal.video_id)}: {refusal.reason}, {refusal.detail}")
        else:
            spans[refusal.reason] = spans.get(refusal.reason, 0) + 1
    for reason, count in sorted(spans.items()):
        _say(f"  {count} spans: {reason}")


def _print_funnel(run: Run) -> None:
    """What came in, what every criterion rejects, what is kept."""
    from csg405.report import summary

    verdicts = summary.read(
        run.folders, Verdict, ["video_id", "duration_s", "kept", "review", "first_reason", "only_reason"]
    )
    totals = summary.totals(run.folders, run.videos(), verdicts)
    for bar in totals.funnel:
        _say(f"  {bar.name:<11} {bar.seconds / 3600:8.3f} h  {bar.says}")
    grid = Table("criterion", "threshold", "does", "fail", "first", "only", "hours lost", box=box.SIMPLE)
    for row in summary.criteria(run.folders, verdicts, bins=2):
        grid.add_row(
            row.name, row.thresholds, row.on_fail, str(row.failed), str(row.first), str(row.only),
            f"{row.lost_s / 3600:.3f}",
        )  # fmt: skip
    out.print(grid)


@app.command()
def status(run: Annotated[str, typer.Argument(help="Name of the run.")]) -> None:
    """What has been done for a run, and what its tables hold."""
    import pyarrow.parquet as pq

    folders = _folders(run)
    stages = Table("stage", "finished", "seconds", "shards", box=box.SIMPLE)
    for stage in STAGES:
        path = folders.work / "stages" / f"{stage}.json"
        facts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        stages.add_row(
            stage, *(str(facts.get(key, empty)) for key, empty in
                     (("finished_at", "not finished"), ("seconds", ""), ("shards", ""))),
        )  # fmt: skip
    tables = Table("table", "rows", "parts", box=box.SIMPLE)
    for record in SHARED:
        found = table.parts(folders.table(record))
        if found:
            rows = sum(pq.read_metadata(path).num_rows for path in found)
            tables.add_row(record.TABLE, str(rows), str(len(found)))
    out.print(stages, tables)


@app.command()
def show(
    clip: Annotated[str, typer.Argument(help="Id of a clip, or the beginning of one.")],
    run: RunName,
) -> None:
    """All that is known of a clip: where it is from, every decision on it, and its files."""
    folders = _folders(run)
    found = [row for row in table.read(folders.table(Clip), Clip) if row.clip_id.startswith(clip)]
    if len(found) != 1:
        seen = f"{len(found)} clips begin so" if found else "no clip begins so"
        raise UserError(f"{clip!r}: {seen}; see manifests/{run}/clips")
    one = found[0]
    video = next(row for row in table.read(folders.table(Video), Video) if row.video_id == one.video_id)
    _say(f"{one.clip_id}\n  from {video.source}, {one.start_s:.2f} to {one.end_s:.2f} s, {one.n_frames} frames")
    for verdict in table.read(folders.table(Verdict), Verdict):
        if verdict.clip_id == one.clip_id:
            _say("  kept" if verdict.kept else f"  rejected: {', '.join(verdict.reasons)}")
            _say(f"  to review: {', '.join(verdict.review) or 'nothing'}")
    grid = Table("criterion", "value", "at least", "at most", "passed", "does", box=box.SIMPLE)
    for row in table.read(folders.table(Decision), Decision):
        if row.clip_id == one.clip_id:
            limits = ["" if limit is None else f"{limit:g}" for limit in (row.at_least, row.at_most)]
            value = "not measured" if row.value is None else f"{row.value:.4g}"
            grid.add_row(row.criterion, value, *limits, "yes" if row.passed else "NO", row.on_fail)
    out.print(grid)
    for cut in table.read(folders.table(Cut), Cut):
        if cut.clip_id == one.clip_id:
            _say(f"  media: work/{run}/{cut.path}")
    for release in table.read(folders.table(Release), Release):
        if release.clip_id == one.clip_id:
            _say(f"  released in {release.split}: work/{run}/release/{release.path}")


def _folders(run: str) -> Folders:
    folders = Folders(Path.cwd(), run)
    if run in {".", ".."} or "/" in run or not folders.work.is_dir():
        raise UserError(f"run {run!r}: there is no folder work/{run} here")
    return folders


@app.command()
def doctor() -> None:
    """What of this machine works, and what to do about the rest."""
    from csg405 import doctor as checks

    grid = Table("", "what", "seen", "what to do", box=box.SIMPLE)
    found = checks.report()
    for check in found:
        grid.add_row(check.level, check.name, check.seen, check.advice)
    out.print(grid)
    if any(check.level == "bad" for check in found):
        raise typer.Exit(_FAILED)


if __name__ == "__main__":
    main()
