"""Which windows an epoch has, and in which order they are taken: a plan that knows all of it before a byte is read.

The plan follows from the clips, the settings, the seed and the epoch, and from nothing else: not from the number of
ranks and workers, which only divide its batches among themselves. Shards are drawn into a random order, and windows
are shuffled within blocks, each as many shards in a row as the shuffle buffer has room for. So whoever needs a window
reads the shards of its block once, and never holds more windows than the buffer's size.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import SEEN
from csg405.benchmark.release import Entry
from csg405.errors import UserError

Integers = npt.NDArray[np.int64]

Partial = Literal["pad", "drop"]
"""What becomes of a window that the clip does not fill: it is kept and padded, or left out."""

_SEED = 405_004
"""Keeps the numbers drawn here apart from those drawn elsewhere."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """Which windows are cut from a clip: `frames` long, one every `stride` frames."""

    frames: int
    stride: int | None = None
    """Frames from one window's start to the next one's; as long as the window when missing."""
    random_offset: bool = False
    """Whether the first window of a clip starts at a frame below `stride` that is drawn anew in every epoch, and not
    at 0. What lies before it is not seen in that epoch. A clip that holds a whole window keeps one."""
    partial: Partial = "pad"
    """`pad`: windows follow until the clip's last frame is in one, or past; `drop`: all are whole, and clips that are
    shorter than one have none."""
    seen: float = SEEN
    """Least score of a point that counts."""

    def check(self) -> None:
        """Make sure that there can be such windows.

        Raises:
            UserError: there cannot.
        """
        if self.frames < 1 or self.step < 1:
            raise UserError(f"frames={self.frames}, stride={self.stride}: wanted 1 or more of both")
        if self.partial not in ("pad", "drop"):
            raise UserError(f"partial={self.partial!r}: wanted pad or drop")

    @property
    def step(self) -> int:
        """Frames from one start to the next."""
        return self.frames if self.stride is None else self.stride

    def offsets(self, n_frames: Integers, rng: np.random.Generator) -> Integers:
        """The start of the first window of each clip, [clips], drawn where it is to be random."""
        if not self.random_offset:
            return np.zeros_like(n_frames)
        most = np.clip(n_frames - self.frames, 0, self.step - 1)
        return np.asarray(rng.integers(0, most, endpoint=True), np.int64)

    def counts(self, n_frames: Integers, offsets: Integers) -> Integers:
        """How many windows each clip has, [clips]."""
        room = n_frames - offsets - self.frames
        if self.partial == "drop":
            return np.where(room >= 0, room // self.step + 1, 0)
        until_covered = 1 - np.minimum(-room, 0) // self.step
        begun_within = -((offsets - n_frames) // self.step)
        return np.asarray(np.minimum(until_covered, begun_within), np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """How windows are put in order and into batches."""

    batch: int
    """Windows in a batch; the last one of an epoch may have fewer."""
    seed: int = 0
    shuffle: bool = True
    """False: clips in the order of the table, each window after the one before it."""
    buffer: int = 1024
    """Windows that are shuffled together, and the most that are held: by all workers of all ranks, taken together. A
    window of n frames takes 2.9 n kB. A shard with more windows than this is read several times."""
    lanes: int = 1
    """In so many lanes, each with a part of the shards and of the buffer, an epoch is made; batches come from them in
    turn. A worker reads the lanes of its batches and no other: with a multiple of ranks x workers, no shard is read by
    two of them. More lanes mix less, for the buffer is divided."""
    drop_last: bool = False
    """Leave out the last batch where it is not full, and batches that are no whole round of the ranks: then all of
    them take as many steps, as training in parallel must."""

    def check(self) -> None:
        """Make sure that it can be done.

        Raises:
            UserError: it cannot.
        """
        if self.batch < 1 or self.lanes < 1 or self.seed < 0:
            raise UserError(
                f"batch={self.batch}, lanes={self.lanes}, seed={self.seed}: wanted 1, 1 and 0, or more of each"
            )
        if self.buffer < self.lanes * self.batch:
            raise UserError(
                f"buffer={self.buffer}: wanted {self.lanes * self.batch} windows or more, a batch of {self.batch} for "
                f"each of {self.lanes} lanes"
            )


@dataclasses.dataclass(frozen=True)
class Plan:
    """All windows of an epoch, and their order."""

    clip: Integers
    """[windows] place of the clip among the entries."""
    start: Integers
    """[windows] its first frame."""
    block: Integers
    """[windows] windows of one block are read together."""
    batches: list[Integers]
    """The windows of every batch, in the order in which batches are taken."""


def plan(entries: Sequence[Entry], *, windows: Windows, order: Order, epoch: int) -> Plan:
    """The plan of an epoch."""
    rng = np.random.default_rng([_SEED, order.seed, epoch])
    clip, start = _cut(entries, windows, rng)
    by_shard = _by_shard(entries, clip)
    if order.shuffle:
        by_shard = [rng.permutation(by_shard[place]) for place in rng.permutation(len(by_shard))]
    block = np.zeros(len(clip), np.int64)
    queues: list[list[Integers]] = []
    rests: list[Integers] = []
    count = 0
    for lane in _lanes(by_shard, order.lanes if order.shuffle else 1):
        blocks = list(_blocks(lane, room=order.buffer // order.lanes - (order.batch - 1)))
        for members in blocks:
            block[members] = count
            count += 1
        batches, rest = _batches(blocks, batch=order.batch, rng=rng if order.shuffle else None)
        queues.append(batches)
        rests.append(rest)
    taken = [batch for turn in itertools.zip_longest(*queues) for batch in turn if batch is not None]
    left, rest = _batches([np.concatenate(rests)], batch=order.batch, rng=rng if order.shuffle else None)
    last = [rest] if len(rest) and not order.drop_last else []
    return Plan(clip, start, block, [*taken, *left, *last])


def _cut(entries: Sequence[Entry], windows: Windows, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """The clip and the first frame of every window."""
    n_frames = np.array([entry.n_frames for entry in entries], np.int64)
    offsets = windows.offsets(n_frames, rng)
    counts = windows.counts(n_frames, offsets)
    clip = np.repeat(np.arange(len(entries)), counts)
    number = np.arange(len(clip)) - np.repeat(np.cumsum(counts) - counts, counts)
    return clip, offsets[clip] + number * windows.step


def _by_shard(entries: Sequence[Entry], clip: Integers) -> list[Integers]:
    """The windows of each shard, shards in the order of their first clip; none for a shard without windows."""
    numbers: dict[str, int] = {}
    shard_of = np.array([numbers.setdefault(entry.shard, len(numbers)) for entry in entries], np.int64)
    shard = shard_of[clip]
    ordered = np.argsort(shard, kind="stable")
    edges = np.flatnonzero(np.diff(shard[ordered])) + 1
    return [part for part in np.split(ordered, edges) if len(part)]


def _lanes(by_shard: Sequence[Integers], count: int) -> list[list[Integers]]:
    """Shards dealt to lanes: each to the one that has the fewest windows so far."""
    lanes: list[list[Integers]] = [[] for _ in range(count)]
    lengths = [0] * count
    for members in by_shard:
        shortest = lengths.index(min(lengths))
        lanes[shortest].append(members)
        lengths[shortest] += len(members)
    return lanes


def _blocks(lane: Sequence[Integers], *, room: int) -> Iterator[Integers]:
    """As many shards in a row as there is room for; a shard that is larger is divided."""
    held: list[Integers] = []
    for shard in lane:
        for first in range(0, len(shard), room):
            piece = shard[first : first + room]
            if sum(map(len, held)) + len(piece) > room:
                yield np.concatenate(held)
                held = []
            held.append(piece)
    if held:
        yield np.concatenate(held)


def _batches(
    blocks: Sequence[Integers], *, batch: int, rng: np.random.Generator | None
) -> tuple[list[Integers], Integers]:
    """Full batches, each from one block and what the block before it left over; and what is left at the end."""
    batches: list[Integers] = []
    rest = np.zeros(0, np.int64)
    for block in blocks:
        held = np.concatenate([rest, block])
        if rng is not None:
            held = rng.permutation(held)
        full = len(held) // batch * batch
        batches += list(held[:full].reshape(-1, batch))
        rest = held[full:]
    return batches, rest
