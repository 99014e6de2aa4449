"""Videos from a list of addresses, each fetched once, in the order of the list.

A list may be long and a site may tire: what is fetched is on record at once, what is gone is not asked for again, and
a site that keeps saying "too many requests" stops the crawl, since asking on would only lengthen the ban.
"""

from __future__ import annotations

import dataclasses
import logging
import time

from csg405.crawl import common
from csg405.crawl.causes import Refused
from csg405.crawl.common import OK, Tally, Try
from csg405.crawl.config import Config
from csg405.crawl.fetch import Fetcher, Found
from csg405.crawl.ledger import Ledger
from csg405.errors import UserError
from csg405.media import Unreadable, probe
from csg405.progress import Progress
from csg405.run import Folders
from csg405.schema import Reason, Video

log = logging.getLogger(__name__)

_WALLS = {Reason.RATE_LIMITED, Reason.BOT_WALL}


class WebCrawl:
    """Brings the rows of a list's addresses up to date."""

    def __init__(self, config: Config, folders: Folders, ledger: Ledger) -> None:
        self._config = config
        self._folders = folders
        self._ledger = ledger
        self._incoming = folders.work / "crawl" / "incoming"
        self._tried: set[str] = set()
        self._walls = 0
        self._tally = Tally()

    def run(self, addresses: list[str]) -> Tally:
        """Take every address once.

        Raises:
            UserError: sites refused too often in a row, or the disk or the cookies are the trouble.
        """
        waiting = []
        for address in addresses:
            row = self._ledger.find(address)
            if row is not None and self._is_settled(row):
                self._tally.whole += row.status == OK
            else:
                waiting.append(address)
        if not waiting:
            return self._tally
        try:
            with (
                Fetcher(self._config, self._incoming) as fetcher,
                Progress("crawl addresses", total=len(addresses), unit="addresses") as progress,
            ):
                progress.advance(len(addresses) - len(waiting))
                for address in waiting:
                    self._take(address, fetcher)
                    self._ledger.flush_if_due()
                    progress.advance()
        finally:
            self._ledger.flush()
        return self._tally

    def _is_settled(self, row: Video) -> bool:
        """Whether a video needs no further request in this run."""
        if row.video_id in self._tried or common.is_whole(row, self._folders):
            return True
        return row.status == Reason.GONE and not self._config.retry_gone

    def _take(self, address: str, fetcher: Fetcher) -> None:
        clock = Try()
        row = self._ledger.find(address)
        guess = row.video_id if row else fetcher.guess(address)
        row = row or self._ledger.get(guess)
        if row is not None and self._is_settled(row):
            self._note_twin(address, row, clock)
            return
        self._pause()
        old = row or common.empty_row(guess, address)
        new = self._try(fetcher, dataclasses.replace(old, source=address))
        self._tried |= {old.video_id, new.video_id}
        if new.source != address:
            if row is not None:
                self._ledger.drop(row.video_id)
            self._note_twin(address, new, clock)
            return
        self._ledger.put(new, instead_of=old.video_id)
        self._ledger.attempt(clock.row(address, new.video_id, new.status, new.detail))
        if new.status == OK:
            self._tally.fetched += 1
            self._ledger.flush()
        self._mind_walls(new)

    def _note_twin(self, address: str, row: Video, clock: Try) -> None:
        """Put an address on record that leads to a video which another address has already led to."""
        if not self._ledger.knows(address, row.video_id):
            self._ledger.attempt(clock.row(address, row.video_id, row.status, f"the same video as {row.source}"))

    def _pause(self) -> None:
        if self._tried:
            time.sleep(self._config.pause_s)

    def _try(self, fetcher: Fetcher, old: Video) -> Video:
        """The row after one try; another address' row where that has the same video already."""
        try:
            found = fetcher.look(old.source)
        except Refused as refusal:
            return common.refused(old, refusal.reason, refusal.detail)
        twin = self._ledger.get(found.video_id)
        if twin is not None and twin.source != old.source and self._is_settled(twin):
            return twin
        row = _described(old, found)
        try:
            return self._bring(fetcher, row, found)
        except (Refused, Unreadable) as refusal:
            return common.refused(row, refusal.reason, refusal.detail)
        finally:
            fetcher.discard()

    def _bring(self, fetcher: Fetcher, row: Video, found: Found) -> Video:
        """Fetch the media, look into it, and only when it is whole give it its place."""
        file = fetcher.fetch(found)
        row = common.with_probe(row, probe(file))
        path = common.place(self._folders, row.video_id, file.suffix)
        digest, size = common.sha256(file), file.stat().st_size
        common.move(file, path)
        name = common.relative(self._folders, path)
        return dataclasses.replace(row, status=OK, detail="", path=name, sha256=digest, size_bytes=size)

    def _mind_walls(self, row: Video) -> None:
        self._walls = self._walls + 1 if row.status in _WALLS else 0
        if self._walls >= self._config.breaker:
            raise UserError(
                f"{row.source}: {row.status} ({row.detail}); crawl.breaker allows fewer than {self._walls} of these in "
                "a row, so the crawl stopped, lest the ban grow longer. What was fetched is saved: wait an hour, then "
                "run the same command; a longer crawl.pause_s, or crawl.cookies, helps"
            )


def _described(row: Video, found: Found) -> Video:
    return dataclasses.replace(
        row,
        video_id=found.video_id,
        title=found.title,
        channel=found.channel,
        licence=found.licence,
        upload_date=found.upload_date,
    )


def crawl(config: Config, folders: Folders, ledger: Ledger, addresses: list[str]) -> Tally:
    """Bring the rows of a list's addresses up to date."""
    return WebCrawl(config, folders, ledger).run(addresses)
