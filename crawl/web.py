"""Videos from a list of addresses, each fetched once, in the order of the list.

A list may be long and a site may tire: what is fetched is on record at once, what is gone is not asked for again, and
a site that keeps saying "too many requests" stops the crawl, since asking on would only lengthen the ban.
"""

from __future__ import annotations

import dataclasses
import logging
import time

from csg405 import weights
from csg405.crawl import common
from csg405.crawl.causes import Refused
from csg405.crawl.common import OK, SITE, Tally, Try
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

_OFF_LIST = "no longer on the list"
"""Detail of a row whose address was taken off the list: gone from what is made here, not from its site."""


class WebCrawl:
    """Brings the rows of a list's addresses up to date."""

    def __init__(self, config: Config, folders: Folders, ledger: Ledger) -> None:
        self._config = config
        self._folders = folders
        self._ledger = ledger
        self._incoming = folders.work / "crawl" / "incoming"
        self._listed: set[str] = set()
        self._tried: set[str] = set()
        self._walls = 0
        self._tally = Tally()

    def run(self, addresses: list[str]) -> Tally:
        """Take every address once, and note the videos to which none leads any more.

        Raises:
            UserError: sites refused too often in a row, or the disk or the cookies are the trouble.
        """
        self._listed = set(addresses)
        try:
            waiting = [address for address in addresses if not self._is_known(address)]
            if waiting:
                self._take_all(waiting, len(addresses))
            self._note_removed()
        finally:
            self._ledger.flush()
        return self._tally

    def _take_all(self, waiting: list[str], total: int) -> None:
        with (
            Fetcher(self._config, self._incoming) as fetcher,
            Progress("crawl addresses", total=total, unit="addresses") as progress,
        ):
            progress.advance(total - len(waiting))
            for address in waiting:
                self._take(address, fetcher)
                self._ledger.flush_if_due()
                progress.advance()

    def _is_known(self, address: str) -> bool:
        """Whether an address needs no request, as its video is settled, or is once its media are taken back."""
        clock = Try()
        row = self._ledger.find(address)
        settled = row and self._settled(row)
        if row is None or settled is None:
            return False
        self._tally.whole += row.status == OK
        self._claim(address, settled, clock)
        return True

    def _settled(self, row: Video) -> Video | None:
        """The row of a video that needs no further request in this run, its media taken back; None for any other."""
        row = self._with_media(row)
        return row if self._is_settled(row) else None

    def _is_settled(self, row: Video) -> bool:
        """Whether a video needs no further request in this run."""
        if row.video_id in self._tried or common.is_whole(row, self._folders):
            return True
        return row.status == Reason.GONE and row.detail != _OFF_LIST and not self._config.retry_gone

    def _with_media(self, row: Video) -> Video:
        """The row of a video that was off the list as it was before, if its media are still there; any other as is."""
        if row.status != Reason.GONE or row.detail != _OFF_LIST:
            return row
        for path in common.place(self._folders, row.video_id, "").parent.glob(f"{row.video_id}.*"):
            back = dataclasses.replace(row, status=OK, detail="", path=common.relative(self._folders, path))
            if (
                path.stem == row.video_id
                and common.is_whole(back, self._folders)
                and weights.digest(path) == row.sha256
            ):
                return back
        return row

    def _claim(self, address: str, row: Video, clock: Try) -> None:
        """Record that an address leads to a settled video, whose row takes it where its own is no longer listed."""
        if row.source not in self._listed:
            row = dataclasses.replace(row, source=address)
        old = self._ledger.get(row.video_id)
        if old is not None and old != row:
            self._tally.fetched += old.status != row.status
            self._ledger.put(row)
            self._ledger.attempt(clock.row(address, row.video_id, row.status, row.detail))
        elif not self._ledger.knows(address, row.video_id):
            self._ledger.attempt(clock.row(address, row.video_id, row.status, f"the same video as {row.source}"))

    def _note_removed(self) -> None:
        """Let go of what came from a list and is on it no more. Media stay, for the day the address is back."""
        for row in self._ledger.videos():
            if row.video_id.startswith(SITE) or row.source in self._listed or row.status == Reason.GONE:
                continue
            self._ledger.leave(row, _OFF_LIST)

    def _take(self, address: str, fetcher: Fetcher) -> None:
        clock = Try()
        row = self._ledger.find(address)
        guess = row.video_id if row else fetcher.guess(address)
        row = row or self._ledger.get(guess)
        settled = row and self._settled(row)
        if settled is not None:
            self._claim(address, settled, clock)
            return
        self._pause()
        old = row or common.empty_row(guess, address)
        new = self._try(fetcher, dataclasses.replace(old, source=address))
        self._tried |= {old.video_id, new.video_id}
        if new.source != address:
            if row is not None:
                self._ledger.drop(row.video_id)
            self._claim(address, new, clock)
            return
        self._ledger.put(new, instead_of=old.video_id)
        self._ledger.attempt(clock.row(address, new.video_id, new.status, new.detail))
        if new.status == OK:
            self._tally.fetched += 1
            self._ledger.flush()
        self._mind_walls(new)

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
        settled = self._settled(twin) if twin is not None and twin.source != old.source else None
        if settled is not None:
            return settled
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
        digest, size = weights.digest(file), file.stat().st_size
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
