"""One address through yt-dlp: what video is there, and its file.

yt-dlp is a browser that knows how over a thousand sites play their videos. Here it is told to choose the best format
up to a height with its sound, to join the two without encoding anything again, and to leave nothing out silently.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
import shutil
import types
from pathlib import Path
from typing import Any, Self

import imageio_ffmpeg

from csg405.crawl.causes import Refused, clean, is_local, reason_of
from csg405.crawl.config import Config
from csg405.errors import UserError
from csg405.schema import Reason

log = logging.getLogger(__name__)

_BY_ADDRESS = {"Generic", "HTML5MediaEmbed"}
"""Extractors whose ids are the last part of the address, which many addresses share."""

_LONGEST_ID = 100
"""Characters of an id that still make a file name on every file system, with room for a clip's times."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A video that an address leads to, not yet fetched."""

    video_id: str
    title: str | None
    channel: str | None
    licence: str | None
    upload_date: str | None
    info: dict[str, Any]
    """yt-dlp's own description."""


def check(config: Config) -> None:
    """Make sure of what fetching needs, before anything is written.

    Raises:
        UserError: the file of cookies is not there.
    """
    if config.cookies is not None and not config.cookies.is_file():
        raise UserError(f"crawl.cookies={config.cookies}: no such file; export the cookies of a browser there")


class Fetcher:
    """yt-dlp, set up once for all addresses, so that a site sees one session."""

    def __init__(self, config: Config, incoming: Path) -> None:
        import yt_dlp

        self._incoming = incoming
        self._errors = yt_dlp.utils.YoutubeDLError
        try:
            self._yt_dlp = yt_dlp.YoutubeDL(_options(config, incoming))
            _ = self._yt_dlp.cookiejar  # read now, so that a bad file is told once and not for each address
        except self._errors as error:
            said = clean(str(error))
            raise UserError(f"crawl.cookies={config.cookies}: no cookies in Netscape's text format: {said}") from error
        self._empty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._yt_dlp.close()
        self._empty()

    def guess(self, address: str) -> str:
        """The id of the video at an address as far as the address alone tells; no request is made."""
        for key, extractor in self._yt_dlp._ies.items():  # it has no public list
            if extractor.suitable(address):
                return video_id(key, extractor.get_temp_id(address), address)
        return video_id("Generic", None, address)

    def look(self, address: str) -> Found:
        """Ask the site about an address.

        Raises:
            Refused: the site gives no video there.
            UserError: this machine's disk is the trouble.
        """
        info = self._ask(lambda: self._yt_dlp.extract_info(address, download=False))
        if info is None:
            raise Refused(Reason.UNSUPPORTED, "yt-dlp found nothing at this address")
        if info.get("_type", "video") != "video":
            count = info.get("playlist_count") or "several"
            raise Refused(Reason.UNSUPPORTED, f"a list of {count} videos; give the address of each")
        if info.get("is_live") or info.get("live_status") in {"is_live", "is_upcoming"}:
            raise Refused(Reason.UNSUPPORTED, "a live stream; try again when it has ended")
        return Found(
            video_id(info["extractor_key"], info.get("id"), address),
            info.get("title"),
            info.get("channel") or info.get("uploader"),
            info.get("license"),
            info.get("upload_date"),
            info,
        )

    def fetch(self, found: Found) -> Path:
        """Fetch a video's best format, and return its file, which is the caller's to move away.

        Raises:
            Refused: the fetch failed.
            UserError: this machine's disk is the trouble.
        """
        self._empty()
        done = self._ask(lambda: self._yt_dlp.process_ie_result(found.info, download=True))
        files = [Path(part["filepath"]) for part in (done or {}).get("requested_downloads", []) if "filepath" in part]
        if len(files) != 1 or not files[0].is_file():
            raise Refused(Reason.UNSUPPORTED, "yt-dlp ended without a file")
        return files[0]

    def discard(self) -> None:
        """Delete what the last fetch left."""
        self._empty()

    def _empty(self) -> None:
        if self._incoming.exists():
            shutil.rmtree(self._incoming)
        self._incoming.mkdir(parents=True)

    def _ask(self, question: Any) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] | None = question()
        except (self._errors, OSError) as error:
            said = str(error)
            if is_local(said):
                raise UserError(
                    f"{self._incoming}: cannot be written: {clean(said)}; make room, and run again"
                ) from error
            raise Refused(reason_of(said), clean(said)) from error
        except Exception as error:
            # yt-dlp reads pages that change every day; an extractor that stumbles over one costs that address.
            said = f"yt-dlp failed: {type(error).__name__}: {error}"
            log.warning("%s", said)
            raise Refused(Reason.UNSUPPORTED, clean(said)) from error
        return answer


def _options(config: Config, incoming: Path) -> dict[str, Any]:
    height = config.max_height
    return {
        "format": f"bv*[height<=?{height}]+ba/b[height<=?{height}]",
        "outtmpl": {"default": str(incoming / "media.%(ext)s")},
        "ffmpeg_location": imageio_ffmpeg.get_ffmpeg_exe(),
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlist_items": "1",  # a channel is told from a video by its first page
        "skip_unavailable_fragments": False,
        "retries": config.retries,
        "fragment_retries": config.retries,
        "extractor_retries": config.retries,
        "socket_timeout": config.timeout_s,
        "sleep_interval_requests": config.sleep_s,
        "cookiefile": None if config.cookies is None else str(config.cookies),
        "proxy": config.proxy,
        "updatetime": False,
        "noprogress": True,
        "color": {"stdout": "never", "stderr": "never"},
        "logger": _Log(),
    }


class _Log:
    """Hands yt-dlp's lines to logging; its errors come as exceptions too, and are told from there."""

    def debug(self, line: str) -> None:
        log.debug("%s", line)

    def info(self, line: str) -> None:
        log.debug("%s", line)

    def warning(self, line: str) -> None:
        log.debug("%s", line)

    def error(self, line: str) -> None:
        log.debug("%s", line)


def video_id(extractor: str, own_id: str | None, address: str) -> str:
    """The id of a video: `<site>.<id>`, fit to be a file name.

    A character other than letters, digits, `.`, `_` and `-` becomes `~` and two hexadecimal digits for each of its
    bytes in UTF-8, which can be undone; an id that would grow too long is hashed.

    Args:
        extractor: yt-dlp's name for its extractor of the site.
        own_id: the site's id; None where the site has none.
        address: the address, which names the video where no site does.
    """
    if extractor in _BY_ADDRESS or not own_id:
        site = "web" if extractor in _BY_ADDRESS else extractor.lower()
        return f"{site}.{hashlib.sha256(address.encode()).hexdigest()[:16]}"
    safe = re.sub(r"[^A-Za-z0-9._-]", _escaped, str(own_id))
    if len(safe) > _LONGEST_ID:
        safe = "sha256-" + hashlib.sha256(str(own_id).encode()).hexdigest()[:32]
    return f"{extractor.lower()}.{safe}"


def _escaped(character: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in character[0].encode())
