"""How a split is divided for measuring, and whose sound a clip is given where it is to have another's.

A chunk is some of the release's shards in a row, so that each shard is read once. Both follow from the release alone:
never from the number of workers.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.media.clock import SAMPLES_PER_FRAME

CHUNK_CLIPS = 16
"""A chunk is closed when it has so many clips."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Clips that one worker measures at once."""

    name: str
    clip_ids: tuple[str, ...]


def chunks(entries: Sequence[Entry]) -> list[Chunk]:
    """The chunks of a split."""
    by_shard: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_shard[entry.shard].append(entry.clip_id)
    made: list[Chunk] = []
    held: list[str] = []
    for shard in sorted(by_shard):
        held += sorted(by_shard[shard])
        if len(held) >= CHUNK_CLIPS:
            made.append(Chunk(f"{len(made):05d}", tuple(held)))
            held = []
    return [*made, Chunk(f"{len(made):05d}", tuple(held))] if held else made


def partners(entries: Sequence[Entry]) -> dict[str, str]:
    """Of every clip, the one whose sound takes the place of its own: the speaker's next, or else anybody's.

    A clip that is the only one of its release is its own.
    """
    by_speaker: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.clip_id):
        by_speaker[entry.speaker].append(entry)
    lonely = sorted(entry.clip_id for held in by_speaker.values() if len(held) == 1 for entry in held)
    everybody = sorted(entry.clip_id for entry in entries)
    found = {clip_id: everybody[(everybody.index(clip_id) + 1) % len(everybody)] for clip_id in lonely}
    for held in by_speaker.values():
        if len(held) > 1:
            found |= {entry.clip_id: held[(place + 1) % len(held)].clip_id for place, entry in enumerate(held)}
    return found


class Sounds:
    """Other clips' sounds, read when they are asked for; the latest shard's stay."""

    def __init__(self, reader: ReleaseReader, partner_of: dict[str, str]) -> None:
        self.reader, self.partner_of = reader, partner_of

    def other(self, clip: Clip, near: dict[str, Clip]) -> Sound:
        """Another clip's sound, as long as this one's: from its start, and again from there if it is too short.

        Args:
            clip: the clip.
            near: clips that are in memory.
        """
        partner = self.partner_of[clip.clip_id]
        held = near[partner] if partner in near else self.reader.read(partner)
        if len(held) == len(clip):
            return held.sound
        return Sound(np.resize(held.sound.samples, SAMPLES_PER_FRAME * len(clip)))
