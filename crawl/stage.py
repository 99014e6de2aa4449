"""The crawl: brings the tables `videos` and `attempts`, and the media, up to date with the configured sources."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import logging
import time

from csg405 import table
from csg405.crawl import addresses, fetch, local, web
from csg405.crawl.common import Tally
from csg405.crawl.config import Config
from csg405.crawl.ledger import Ledger
from csg405.errors import UserError
from csg405.run import Run
from csg405.schema import Video
from csg405.stage import clean_temporary

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CrawlResult:
    """What came of a crawl."""

    statuses: dict[str, int]
    """Videos by status, of all that the run knows."""
    fetched: int
    """Videos that came to hand in this crawl."""
    whole: int
    """Sources that were at hand already."""
    videos: tuple[Video, ...]
    """All rows of the table, in its order."""


def run(run: Run) -> CrawlResult:
    """Bring a run's videos up to date with its sources; what is whole is neither fetched nor read again.

    A video that cannot be had is a row with its reason. Killed at any time, the next crawl goes on.

    Args:
        run: the run, whose lock the caller holds.

    Raises:
        UserError: no source, or one that holds nothing (before anything is written); or a site refused too often
            in a row (what was fetched until then is on record).
    """
    config: Config = run.section("crawl")
    folders = run.folders
    if config.folder is None and config.urls is None:
        raise UserError("the crawl has no source: set crawl.folder to a folder of videos, or crawl.urls to a list")
    files = local.find(config, folders) if config.folder is not None else []
    asked = addresses.read(config.urls) if config.urls is not None else []
    if asked:
        fetch.check(config)
    started = time.monotonic()
    run.stamp("crawl").unlink(missing_ok=True)
    clean_temporary(folders)
    ledger = Ledger(folders)
    tallies: list[Tally] = []
    if files:
        tallies.append(local.crawl(config, folders, ledger, files))
    if asked:
        tallies.append(web.crawl(config, folders, ledger, asked))
    result = _result(ledger, tallies)
    _stamp(run, result, time.monotonic() - started)
    return result


def _result(ledger: Ledger, tallies: list[Tally]) -> CrawlResult:
    videos = tuple(ledger.videos())
    statuses = dict(sorted(collections.Counter(video.status for video in videos).items()))
    result = CrawlResult(
        statuses, sum(tally.fetched for tally in tallies), sum(tally.whole for tally in tallies), videos
    )
    log.info(
        "crawl: %d videos (%s), %d new, %d at hand already", len(videos),
        ", ".join(f"{count} {status}" for status, count in statuses.items()), result.fetched, result.whole,
    )  # fmt: skip
    return result


def _stamp(run: Run, result: CrawlResult, seconds: float) -> None:
    facts = {
        "stage": "crawl",
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "counts": {**result.statuses, "fetched": result.fetched, "whole": result.whole},
    }
    table.write_text(run.stamp("crawl"), json.dumps(facts, indent=1) + "\n")
