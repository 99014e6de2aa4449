"""Configuration of the crawl: where videos come from, and how politely they are fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from csg405.config import Settings

Extension = Annotated[str, StringConstraints(pattern=r"^\.[a-z0-9]+$")]
"""A file name's ending with its dot, in small letters."""


class Config(Settings):
    """Options of the crawl. One of `folder` and `urls` must be given, or both."""

    folder: Path | None = Field(None, description="folder of video files; searched with all folders below it")
    urls: Path | None = Field(
        None, description="list of addresses: a text file, one a line, # for comments; or a CSV with a column url"
    )
    extensions: tuple[Extension, ...] = Field(
        (
            ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
            ".ogv", ".3gp",
        ),
        min_length=1,
        description="what a video file's name ends with, capitals or not; the containers that FFmpeg reads most often",
    )  # fmt: skip
    max_height: int = Field(
        1080, ge=1, description="greatest height of a fetched picture, px; 1080 leaves a 512 px crop its detail"
    )
    cookies: Path | None = Field(None, description="cookies in Netscape's text format, as browsers export them")
    proxy: str | None = Field(
        None, description="address of an HTTP or SOCKS proxy; none takes the environment's, if it has one"
    )
    sleep_s: float = Field(
        0.75, ge=0, description="pause before each request for metadata, s; yt-dlp's preset `sleep` has 0.75"
    )
    pause_s: float = Field(
        5, ge=0, description="pause between two videos, s; yt-dlp's wiki advises 5 to 10 against YouTube's limit"
    )
    timeout_s: float = Field(30, gt=0, description="a connection silent for so long has failed, s")
    retries: int = Field(3, ge=0, description="further tries at a request that failed on the network")
    breaker: int = Field(
        5, ge=1, description="stop after so many answers in a row that say `rate_limited` or `bot_wall`"
    )
    retry_gone: bool = Field(False, description="try addresses again whose video was gone")
