"""Building the page: the tables in, one folder out, which replaces the old one as a whole."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import jinja2

from csg405 import table
from csg405.progress import Progress
from csg405.report import gallery, histogram, refusals, summary, words
from csg405.report.config import Config
from csg405.run import Folders, Run
from csg405.schema import Attempt, Cut, Pose, Refusal, Verdict, Video
from csg405.weights import digest

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent

_RECORD = "made_from.txt"
"""In a page's folder: a digest of what it was made from."""

STATIC = ("style.css", "player.js")
"""Files of this package that lie beside a page."""

_VERDICT_COLUMNS = ["clip_id", "video_id", "duration_s", "kept", "first_reason", "only_reason", "review"]


def build(run: Run) -> Path:
    """Write the report of a run into `work/<run>/report`, in place of an older one.

    The folder is made under another name and renamed when it is whole; the caller holds the run's lock.

    Args:
        run: the run; every table of it may be empty or missing.

    Returns:
        The page, to be opened from disk. One that was made from the same tables is left as it is.

    Raises:
        UserError: a table names a file that is not there.
    """
    folder = run.folders.work / "report"
    made_from = _made_from(run)

    def fill(new: Path) -> None:
        (new / _RECORD).write_text(made_from, encoding="ascii")
        _fill(new, run.folders, run.section("report"))

    replace_folder(folder, fill, made_from=made_from)
    return folder / "index.html"


def replace_folder(folder: Path, fill: Callable[[Path], None], *, made_from: str | None = None) -> None:
    """Make a page's folder under another name, and put it in place of the old one when it is whole.

    Args:
        folder: the page's.
        fill: writes everything into the empty folder that it is given.
        made_from: a digest; a folder whose `made_from.txt` says the same is left as it is.
    """
    new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    record = folder / _RECORD
    if made_from is not None and record.exists() and record.read_text(encoding="ascii") == made_from:
        return
    new.mkdir(parents=True)
    fill(new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _made_from(run: Run) -> str:
    """A digest of all that the page depends on: tables, options, and this package's own files."""
    tables = [*run.folders.manifests.glob("**/part-*.parquet"), *run.folders.table(Pose).glob("part-*.parquet")]
    facts = [
        (path.relative_to(run.folders.root).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(tables)
        if path.parent.name != Attempt.TABLE
    ]
    facts += [(name, (run.folders.work / name).exists(), 0) for name in _cuts(run.folders)]
    own = [digest(path) for path in sorted(_HERE.iterdir()) if path.is_file()]
    return hashlib.sha256(json.dumps([facts, run.section("report").model_dump(), own]).encode()).hexdigest()


def _cuts(folders: Folders) -> list[str]:
    return [str(name) for name in summary.read(folders, Cut, ["path"])["path"].to_pylist()]


def _fill(folder: Path, folders: Folders, config: Config) -> None:
    with Progress("report", total=4, unit="sections") as progress:
        videos = table.read(folders.table(Video), Video)
        verdicts = summary.read(folders, Verdict, _VERDICT_COLUMNS)
        page: dict[str, object] = {
            "run": folders.name,
            "date": newest_stamp(folders),
            "totals": summary.totals(folders, videos, verdicts),
            "splits": summary.splits(folders),
            "refused": refusals.group(videos, table.read(folders.table(Refusal), Refusal)),
        }
        progress.advance()
        page["criteria"] = summary.criteria(folders, verdicts, bins=config.bins)
        progress.advance()
        page["measures"] = summary.measures(folders, bins=config.bins)
        progress.advance()
        by_id = {video.video_id: video for video in videos}
        page["cards"] = cards = gallery.fill(folder, folders, by_id, verdicts, most=config.clips)
        page["reasons"], page["sources"] = gallery.names_in(cards)
        page["skeleton"], page["score_threshold"] = gallery.skeleton(), config.score_threshold
        progress.advance()
    html = environment(_HERE).get_template("page.html.j2").render(page)
    (folder / "index.html").write_text(html, encoding="utf-8")
    copy_static(folder)
    log.info("report of %s: %d clips shown", folders.name, len(cards))


def newest_stamp(folders: Folders) -> str | None:
    """When the last stage that finished did so: `2026-11-22 20:34 UTC`; none where no stage has."""
    stamps = [
        json.loads(path.read_text(encoding="utf-8"))["finished_at"] for path in (folders.work / "stages").glob("*.json")
    ]
    if not stamps:
        return None
    newest = max(datetime.datetime.fromisoformat(stamp) for stamp in stamps)
    return newest.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def copy_static(folder: Path) -> None:
    """Put the style and the player beside a page."""
    for name in STATIC:
        shutil.copyfile(_HERE / name, folder / name)


def environment(templates: Path) -> jinja2.Environment:
    """Templates of a folder, whatever they print escaped, with numbers as `words` prints them."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=words.count,
        number=words.number,
        label=words.label,
        hours=words.length,
        unit=words.unit,
        percent=words.percent,
    )
    environment.globals.update(chart_width=histogram.WIDTH, chart_height=histogram.HEIGHT)
    return environment
