"""Videos and spans that were not taken further, grouped by reason, each reason with its sentence."""

from __future__ import annotations

import ast
import collections
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from csg405.schema import Reason, Refusal, Video

LISTED = 25
"""Videos named for one reason; more are only counted."""


@dataclasses.dataclass(frozen=True)
class Named:
    """One video in a reason's list."""

    video_id: str
    name: str
    detail: str
    """What was seen the first time."""
    spans: int
    """Spans refused for this reason; 0 where it was the whole video."""


@dataclasses.dataclass(frozen=True)
class Group:
    """All that was refused for one reason."""

    reason: str
    sentence: str
    where: str
    """The stage or the operators that refused."""
    videos: int
    spans: int
    span_s: float
    """Length of the spans together."""
    listed: list[Named]

    @property
    def unlisted(self) -> int:
        """Videos that are counted and not named."""
        return self.videos - len(self.listed)


def name_of(video: Video) -> str:
    """What a person calls the video: its title, or else what was asked for."""
    return video.title or video.source


def group(videos: Sequence[Video], refusals: Sequence[Refusal]) -> list[Group]:
    """Refusals by reason, the most frequent first; those of the crawl are told by the videos' status."""
    crawled = [
        Refusal(reason=video.status, detail=video.detail, video_id=video.video_id, operator="crawl")
        for video in videos
        if video.status != "ok"
    ]
    told = {(row.video_id, row.reason) for row in crawled}
    rows = crawled + [row for row in refusals if (row.video_id, row.reason) not in told]
    names = {video.video_id: name_of(video) for video in videos}
    by_reason: dict[str, list[Refusal]] = collections.defaultdict(list)
    for row in rows:
        by_reason[row.reason].append(row)
    groups = [_group(reason, found, names) for reason, found in by_reason.items()]
    return sorted(groups, key=lambda found: (-found.videos, -found.spans, found.reason))


def _group(reason: str, rows: list[Refusal], names: dict[str, str]) -> Group:
    by_video: dict[str, list[Refusal]] = collections.defaultdict(list)
    for row in rows:
        by_video[row.video_id].append(row)
    spans = [row.end_s - row.start_s for row in rows if row.start_s is not None and row.end_s is not None]
    listed = [
        Named(
            video_id=video_id,
            name=names.get(video_id, video_id),
            detail=found[0].detail,
            spans=sum(row.start_s is not None for row in found),
        )
        for video_id, found in list(by_video.items())[:LISTED]
    ]
    return Group(
        reason=reason,
        sentence=sentences().get(reason, ""),
        where=", ".join(sorted({row.operator for row in rows if row.operator})),
        videos=len(by_video),
        spans=len(spans),
        span_s=sum(spans),
        listed=listed,
    )


@functools.cache
def sentences() -> dict[str, str]:
    """The sentence that stands below each member of `Reason` in its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(Reason)))
    definition = tree.body[0]
    found: dict[str, str] = {}
    if not isinstance(definition, ast.ClassDef):
        return found
    for before, after in pairwise(definition.body):
        match before, after:
            case (
                ast.Assign(value=ast.Constant(value=str(reason))),
                ast.Expr(value=ast.Constant(value=str(sentence))),
            ):
                found[reason] = " ".join(sentence.split())
    return found
