"""Commands that look at what is there: a run, a clip, this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from csg405 import table
from csg405.cli._shared import FAILED, RunName, out, say
from csg405.config import STAGES
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import SHARED, Clip, Cut, Decision, Release, Verdict, Video


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


def show_clip(
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
    say(f"{one.clip_id}\n  from {video.source}, {one.start_s:.2f} to {one.end_s:.2f} s, {one.n_frames} frames")
    for verdict in table.read(folders.table(Verdict), Verdict):
        if verdict.clip_id == one.clip_id:
            say("  kept" if verdict.kept else f"  rejected: {', '.join(verdict.reasons)}")
            say(f"  to review: {', '.join(verdict.review) or 'nothing'}")
    grid = Table("criterion", "value", "at least", "at most", "passed", "does", box=box.SIMPLE)
    for row in table.read(folders.table(Decision), Decision):
        if row.clip_id == one.clip_id:
            limits = ["" if limit is None else f"{limit:g}" for limit in (row.at_least, row.at_most)]
            value = "not measured" if row.value is None else f"{row.value:.4g}"
            grid.add_row(row.criterion, value, *limits, "yes" if row.passed else "NO", row.on_fail)
    out.print(grid)
    for cut in table.read(folders.table(Cut), Cut):
        if cut.clip_id == one.clip_id:
            say(f"  media: work/{run}/{cut.path}")
    for release in table.read(folders.table(Release), Release):
        if release.clip_id == one.clip_id:
            say(f"  released in {release.split}: work/{run}/release/{release.path}")


def _folders(run: str) -> Folders:
    folders = Folders(Path.cwd(), run)
    if run in {".", ".."} or "/" in run or not folders.work.is_dir():
        raise UserError(f"run {run!r}: there is no folder work/{run} here")
    return folders


def doctor() -> None:
    """What of this machine works, and what to do about the rest."""
    from csg405 import doctor as checks

    grid = Table("", "what", "seen", "what to do", box=box.SIMPLE)
    found = checks.report()
    for check in found:
        grid.add_row(check.level, check.name, check.seen, check.advice)
    out.print(grid)
    if any(check.level == "bad" for check in found):
        raise typer.Exit(FAILED)
