"""What a failed fetch means: yt-dlp's own words to one of the reasons.

yt-dlp says why in words only, most of them the site's, so this is a table of patterns, the first match counting.
Order matters: YouTube puts "Video unavailable" before nearly everything it says. The words are those of yt-dlp
2026.8.19 and of reports in its issue tracker (10507, 11426, 2692).
"""

from __future__ import annotations

import re

from csg405.schema import Reason

_TABLE: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (
        Reason.RATE_LIMITED,
        ("HTTP Error 429", "too many requests", "rate-limit", "content isn.t available, try again later"),
    ),
    (Reason.BOT_WALL, ("not a (ro)?bot", "captcha", "unusual traffic", "cloudflare anti-bot")),
    (
        Reason.AGE_RESTRICTED,
        ("confirm your age", "age.restricted", "inappropriate for some users", "adults? only"),
    ),
    (
        Reason.GEO_BLOCKED,
        ("HTTP Error 451", "(in|from) your (country|location|region)", "geo.?restrict", "geo.?block"),
    ),
    (
        Reason.PRIVATE,
        ("HTTP Error 401", "is private", "private video", "members.only", "join this channel", "premium members",
         "sign in", r"\blog ?in\b", "registered users", "password", "requires? (an account|payment|purchase)"),
    ),
    (Reason.NETWORK, ("got error: HTTP Error (404|410)",)),  # one segment of a video that is there
    (
        Reason.GONE,
        ("HTTP Error (404|410)", "no longer (available|exists)", "(been|was) (removed|deleted|terminated)",
         "does(n.t| not) exist", "removed by", "copyright (claim|grounds)", "violati(ng|on of) youtube",
         "video not found", "(video|this content) is(n.t| not) available", "video unavailable"),
    ),
    (Reason.FORBIDDEN, ("HTTP Error 403",)),
    (Reason.EMPTY_FILE, ("did not get any data blocks", "downloaded file is empty")),
    (
        Reason.NETWORK,
        (r"HTTP Error (408|5\d\d)", "timed? ?out", "connection (refused|reset|aborted|broken)", "remote end closed",
         "failed to resolve", "name resolution", "name or service not known", "network is unreachable",
         "failed to establish", "no route to host", "unable to connect", "more expected", "content too short",
         r"downloaded \d+ bytes, expected", "incomplete (read|data)", "proxy ?error", r"\bssl", "eof occurred",
         r"fragment \d+ not found", "giving up after"),
    ),
)  # fmt: skip

_PATTERNS = tuple((re.compile("|".join(words), re.IGNORECASE), reason) for reason, words in _TABLE)

_LOCAL = re.compile(r"\[Errno (13|28|30|122)\]")
"""Permission denied, no space left, read-only file system, quota exceeded."""

_NOISE = re.compile(
    r"\x1b\[[0-9;]*m"  # colours
    r"|ERROR:"
    r"| \(caused by .*\)$"  # the same again, with addresses of objects in it
    r"|; please report this issue on .*$"
    r"|<[\w.]+ object at 0x[0-9a-f]+>:? ?",
    re.DOTALL,
)

_LONGEST = 500
"""Characters of a message that are kept."""


class Refused(Exception):  # noqa: N818 - an expected outcome, not an error
    """An address that gives no video now, with the reason and the words that go into a row."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def reason_of(message: str) -> Reason:
    """The reason that a message of yt-dlp means; `unsupported` where the table knows none."""
    # Addresses and names of formats may hold any word, so they do not count.
    words = re.sub(r"https?://\S+|^\[(?!download\])[^\]]*\] [^:]*: ", " ", clean(message))
    return next((reason for pattern, reason in _PATTERNS if pattern.search(words)), Reason.UNSUPPORTED)


def is_local(message: str) -> bool:
    """Whether a message is about this machine's disk, which no other address would mend."""
    return _LOCAL.search(message) is not None


def clean(message: str) -> str:
    """A message in one line, without colours, addresses of objects, and the wish for a report."""
    return " ".join(_NOISE.sub(" ", message).split())[:_LONGEST]
