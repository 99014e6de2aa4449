"""The stages: one command each."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from rich import box
from rich.table import Table

from csg405 import table
from csg405.cli._shared import (
    FAILED,
    ConfigName,
    EngineName,
    Overrides,
    RunName,
    Workers,
    open_run,
    out,
    say,
    show,
    working,
)
from csg405.config import STAGES
from csg405.progress import console as terminal
from csg405.run import Run
from csg405.schema import Refusal, Verdict


def crawl(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Fetch videos, or take those of a folder: tables `videos` and `attempts`."""
    opened = open_run(run, config, overrides, workers, engine)
    with opened.locked("crawl"):
        result = importlib.import_module("csg405.crawl.stage").run(opened)
    counts = ", ".join(f"{status} {count}" for status, count in result.statuses.items())
    say(f"crawl: {result.fetched} new, {result.whole} already whole; videos: {counts}")
    for video in result.videos:
        if video.status != "ok":
            say(f"  {video.source}: {video.status}, {video.detail}")


def annotate(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Find candidate clips and measure them: tables `clips`, `measures/*`, `refusals`, and poses."""
    _run_stage("annotate", open_run(run, config, overrides, workers, engine), engine)


def filter_(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Decide on every clip by every criterion: tables `decisions` and `verdicts`."""
    opened = open_run(run, config, overrides, workers, engine)
    _run_stage("filter", opened, engine)
    _print_funnel(opened)


def postprocess(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Cut and release the clips that were kept: table `release`, media, shards, card."""
    _run_stage("postprocess", open_run(run, config, overrides, workers, engine), engine)


def report(
    run: RunName,
    config: ConfigName = "folder",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Make the page to look at: work/<run>/report/index.html."""
    opened = open_run(run, config, overrides, workers, engine)
    opened.require("postprocess")
    with opened.locked("report"):
        page = importlib.import_module("csg405.report.build").build(opened)
    say(f"report: open {page}")


def _run_stage(stage: str, run: Run, engine: str) -> None:
    """Run a stage's operators, then what it does once at its end; say what came of it.

    Raises:
        typer.Exit: with status 1 when shards failed.
    """
    from csg405 import stage as stages

    run.require(STAGES[STAGES.index(stage) - 1])
    with run.locked(stage), working(run, engine) as workers:
        result = stages.run(run, stage, workers)
        finish = _finish_of(stage)
        if finish is not None and result.accepted:
            finish(run)
    times = ", ".join(f"{name.partition('.')[2]} {seconds:g} s" for name, seconds in result.seconds.items())
    say(f"{stage}: {result.done} shards made, {result.fresh} up to date" + (f" ({times})" if times else ""))
    if stage == "annotate":
        _print_refusals(run)
    for failure in result.failures:
        said = f"  FAILED {failure.step} on shard {failure.shard}: {failure.error}\n    the whole story: {failure.log}"
        show(terminal, said, style="bold red")
    if result.failures:
        say(f"{stage}: {len(result.failures)} shards failed; the others are done. Mend and run the same command again.")
    if not result.accepted:
        say(f"  or go on without them: SET=max_failed_shards={len({failure.shard for failure in result.failures})}")
        raise typer.Exit(FAILED)


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
            say(f"  {sources.get(refusal.video_id, refusal.video_id)}: {refusal.reason}, {refusal.detail}")
        else:
            spans[refusal.reason] = spans.get(refusal.reason, 0) + 1
    for reason, count in sorted(spans.items()):
        say(f"  {count} spans: {reason}")


def _print_funnel(run: Run) -> None:
    """What came in, what every criterion rejects, what is kept."""
    from csg405.report import summary

    verdicts = summary.read(
        run.folders, Verdict, ["video_id", "duration_s", "kept", "review", "first_reason", "only_reason"]
    )
    totals = summary.totals(run.folders, run.videos(), verdicts)
    for bar in totals.funnel:
        say(f"  {bar.name:<11} {bar.seconds / 3600:8.3f} h  {bar.says}")
    grid = Table("criterion", "threshold", "does", "fail", "first", "only", "hours lost", box=box.SIMPLE)
    for row in summary.criteria(run.folders, verdicts, bins=2):
        grid.add_row(
            row.name, row.thresholds, row.on_fail, str(row.failed), str(row.first), str(row.only),
            f"{row.lost_s / 3600:.3f}",
        )  # fmt: skip
    out.print(grid)
