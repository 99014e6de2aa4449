"""The counterfactual part of a submission: motions for sounds that nobody made, where there is no truth to learn.

Up to `MOST_CLIPS` clips of the split get four other sounds each. Which clips they are follows from their ids alone, so
nobody picks those that suit them. A submission of track A may hold the motions of all of them, or none:

    counterfactual/<clip_id>/<kind>.npz

with as many frames as that kind's sound has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import COUNTERFACTUAL, File
from csg405.benchmark.submission.layout import COUNTERFACTUAL_KINDS as KINDS

MOST_CLIPS = 32

_SEED = 405_006

SPEED = dict(zip(KINDS, (1.0, 1.0, 0.8, 1.25), strict=True))
"""Of each kind, how fast its sound goes: another speaker's; none; the clip's own, slower, and faster."""


def chosen(clip_ids: Iterable[str]) -> list[str]:
    """The clips of a split that get counterfactual sounds, sorted."""
    drawn = sorted(clip_ids, key=lambda clip_id: hashlib.sha256(f"{_SEED} {clip_id}".encode()).digest())
    return sorted(drawn[:MOST_CLIPS])


def frames_of(kind: str, n_frames: int) -> int:
    """Frames of a kind's sound, for a clip of so many."""
    return max(round(n_frames / SPEED[kind]), 1)


def path_of(clip_id: str, kind: str) -> str:
    """Of a motion, relative to the submission."""
    return f"{COUNTERFACTUAL}/{clip_id}/{kind}.npz"


def missing_or_extra(given: Iterable[tuple[File, str]], clip_ids: Iterable[str]) -> Iterator[Finding]:
    """What is too much or too little of what is there; nothing where nothing is there.

    Args:
        given: motions and their kinds.
        clip_ids: of all clips of the split.
    """
    wanted = chosen(clip_ids)
    kinds: dict[str, set[str]] = {}
    for file, kind in given:
        kinds.setdefault(file.clip, set()).add(kind)
    for clip in sorted(kinds.keys() - set(wanted)):
        yield found("counterfactual_clip", f"{COUNTERFACTUAL}/{clip}", seen=clip, clip=clip,
                    allowed=f"the {len(wanted)} clips that `csg405 submission counterfactual` writes")  # fmt: skip
    for clip in wanted if kinds else ():
        lacking = [kind for kind in KINDS if kind not in kinds.get(clip, set())]
        if lacking:
            yield found("counterfactual_missing", f"{COUNTERFACTUAL}/{clip}", seen=f"no {', '.join(lacking)}",
                        allowed=f"{', '.join(KINDS)} of {len(wanted)} clips, or no such folder", clip=clip)  # fmt: skip
