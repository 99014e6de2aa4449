"""The loader for training: windows of a release as batches of tensors, seeded, resumable, and in bounded memory.

`csg405.benchmark.windows` plans an epoch; batch k of the plan goes to rank k mod R, and within a rank to its workers
in turn, which is how PyTorch's `DataLoader` asks them. So the sequence of batches is the same for any number of
workers, R ranks share out what one would see, and a loader that resumes skips batches without reading them.

Memory: the shuffle buffer (`Order.buffer` windows over all workers and ranks), one shard in each worker while it is
read, and `prefetch` batches a worker that wait to be taken.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from csg405.benchmark.clip import Clip
from csg405.benchmark.release import Entry, ReleaseReader, list_digest
from csg405.benchmark.windows import Integers, Order, Plan, Windows, plan
from csg405.errors import UserError
from csg405.media.clock import SAMPLES_PER_FRAME
from csg405.schema import FloatArray, IntArray

Features = Callable[[str], FloatArray]
"""Gives the features of a clip by its id, [n_frames, d], at 25 vectors a second: for example a `FeatureFolder`. It is
called in the workers, so it must be picklable where these are not forked."""

_FULL_SCALE = 32768
"""Of 16-bit samples."""


@dataclasses.dataclass
class Batch:
    """Windows of N frames; what a clip does not fill is 0 and False."""

    keypoints_px: torch.Tensor
    """float32 [b, N, 133, 2] in the released picture."""
    score: torch.Tensor
    """float32 [b, N, 133]"""
    mask: torch.Tensor
    """bool [b, N, 133]: the frame is within the clip, and the point's score is `Windows.seen` or more."""
    within: torch.Tensor
    """bool [b, N]: the frame is within the clip."""
    audio: torch.Tensor | None
    """float32 [b, 640 N] between -1 and 1 at 16 kHz; frame i has samples [640 i, 640 (i+1)). None unless asked for."""
    features: torch.Tensor | None
    """float32 [b, N, d]; None unless given."""
    neck_px: torch.Tensor
    """float32 [b, 2] `Clip.neck_px` of the whole clip."""
    shoulders_px: torch.Tensor
    """float32 [b] `Clip.shoulders_px` of the whole clip, the unit in which metrics measure."""
    size_px: torch.Tensor
    """int64 [b] side of the released picture."""
    start_frame: torch.Tensor
    """int64 [b] frame of the clip in which the window begins."""
    clip_id: list[str]
    speaker: list[str]

    def __len__(self) -> int:
        return len(self.clip_id)

    def to(self, device: torch.device | str) -> Batch:
        """The same on a device; from pinned memory it is copied while the caller goes on."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in pinned memory; `DataLoader` calls this where it is asked to pin."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        values = vars(self).items()
        changed: dict[str, Any] = {name: change(value) for name, value in values if isinstance(value, torch.Tensor)}
        return dataclasses.replace(self, **changed)


@dataclasses.dataclass(frozen=True)
class _Window:
    """A window that was read and waits for its batch: copies, no longer than the clip is."""

    entry: Entry
    start: int
    keypoints_px: FloatArray
    score: FloatArray
    samples: IntArray | None
    features: FloatArray | None
    neck_px: npt.NDArray[np.float64]
    shoulders_px: float


class WindowDataset(IterableDataset[Batch]):
    """What one process reads of one epoch, as whole batches. `loader` puts it to use.

    `epoch`, and `taken` batches of it over all ranks, say where reading begins; they are set between epochs.
    """

    def __init__(
        self,
        reader: ReleaseReader,
        split: str,
        *,
        windows: Windows,
        order: Order,
        rank: int = 0,
        ranks: int = 1,
        audio: bool = True,
        features: Features | None = None,
    ) -> None:
        """Only the table is read. Arguments and errors are those of `loader`."""
        windows.check()
        order.check()
        if not 0 <= rank < ranks:
            raise UserError(f"rank={rank}, ranks={ranks}: wanted a rank from 0 to ranks - 1")
        self.reader = reader
        self.entries = reader.clips(split)
        self.windows = windows
        self.order = order
        self.rank = rank
        self.ranks = ranks
        self.audio = audio
        self.features = features
        self.epoch = 0
        self.taken = 0
        self._planned: tuple[int, Plan] | None = None
        if not len(self.places()):
            raise UserError(
                f"split {split} of run {reader.folders.name}: {len(self.entries)} clips make "
                f"{len(self.plan().batches)} batches of {order.batch} windows of {windows.frames} frames, too few for "
                f"{ranks} ranks; take smaller batches or shorter windows, partial=pad, or drop_last=False"
            )

    def plan(self) -> Plan:
        """The plan of the epoch, for all ranks."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = self.epoch, plan(self.entries, windows=self.windows, order=self.order, epoch=self.epoch)
        return self._planned[1]

    def places(self) -> range:
        """Places in the plan of the batches that this rank still has to give."""
        left = len(self.plan().batches) - self.taken
        if self.order.drop_last:
            left = left // self.ranks * self.ranks
        return range(self.taken + self.rank, self.taken + left, self.ranks)

    def __iter__(self) -> Iterator[Batch]:
        """This rank's batches that are left, or in a worker those that fall to it.

        Raises:
            UserError: a shard is missing or damaged, or features are not those of the clip.
        """
        worker = get_worker_info()
        places = self.places() if worker is None else self.places()[worker.id :: worker.num_workers]
        batches = [self.plan().batches[place] for place in places]
        buffer = Buffer(self, batches)
        for members in batches:
            yield _collate(buffer.take(members), self.windows)

    def read(self, numbers: Integers) -> Iterator[tuple[int, _Window]]:
        """Windows by their numbers in the plan, in the order in which they lie in the shards."""
        planned = self.plan()
        clips: dict[int, list[int]] = {}
        for number in numbers.tolist():
            clips.setdefault(int(planned.clip[number]), []).append(number)
        places = sorted(clips, key=lambda place: (self.entries[place].shard, place))
        found = self.reader.iterate(self.entries[place] for place in places)
        for place, clip in zip(places, found, strict=True):
            features = None if self.features is None else self._features_of(clip)
            for number in clips[place]:
                start = int(planned.start[number])
                yield number, self._window(self.entries[place], clip, features, start)

    def _window(self, entry: Entry, clip: Clip, features: FloatArray | None, start: int) -> _Window:
        frames = slice(start, start + self.windows.frames)
        sound = slice(SAMPLES_PER_FRAME * frames.start, SAMPLES_PER_FRAME * frames.stop)
        return _Window(
            entry=entry,
            start=start,
            keypoints_px=clip.keypoints_px[frames].copy(),
            score=clip.score[frames].copy(),
            samples=clip.sound.samples[sound].copy() if self.audio else None,
            features=None if features is None else features[frames].copy(),
            neck_px=clip.neck_px,
            shoulders_px=clip.shoulders_px,
        )

    def _features_of(self, clip: Clip) -> FloatArray:
        features = np.asarray(self.features(clip.clip_id) if self.features else None, np.float32)
        if features.ndim != 2 or len(features) != len(clip):
            raise UserError(
                f"clip {clip.clip_id}: features of shape {features.shape}, wanted one row for each of {len(clip)} "
                f"frames; compute them anew for this release"
            )
        return features


class Buffer:
    """Windows that a process has read and not given yet: never more than `Order.buffer`."""

    def __init__(self, dataset: WindowDataset, batches: Sequence[Integers]) -> None:
        """Nothing is read yet.

        Args:
            dataset: what reads.
            batches: the windows that are going to be taken.
        """
        self.dataset = dataset
        self.most = 0
        """The most windows that it ever held."""
        self._block = dataset.plan().block
        self._held: dict[int, _Window] = {}
        self._waiting: dict[int, Integers] = {}
        if batches:
            wanted = np.concatenate(batches)
            blocks = self._block[wanted]
            ordered = np.argsort(blocks, kind="stable")
            edges = np.flatnonzero(np.diff(blocks[ordered])) + 1
            self._waiting = {int(self._block[part[0]]): part for part in np.split(wanted[ordered], edges)}

    def take(self, members: Integers) -> list[_Window]:
        """Give windows away; a block is read when the first window of it is asked for."""
        for number in members.tolist():
            if number not in self._held:
                self._held.update(self.dataset.read(self._waiting.pop(int(self._block[number]))))
        self.most = max(self.most, len(self._held))
        return [self._held.pop(number) for number in members.tolist()]


def _collate(members: Sequence[_Window], windows: Windows) -> Batch:
    n = windows.frames
    keypoints_px = _padded([window.keypoints_px for window in members], n)
    score = _padded([window.score for window in members], n)
    within = np.arange(n) < np.array([len(window.score) for window in members])[:, None]
    samples = [window.samples for window in members if window.samples is not None]
    features = [window.features for window in members if window.features is not None]
    return Batch(
        keypoints_px=torch.from_numpy(keypoints_px),
        score=torch.from_numpy(score),
        mask=torch.from_numpy((score >= windows.seen) & within[:, :, None]),
        within=torch.from_numpy(within),
        audio=torch.from_numpy(_padded(samples, SAMPLES_PER_FRAME * n) / np.float32(_FULL_SCALE)) if samples else None,
        features=torch.from_numpy(_padded(features, n)) if features else None,
        neck_px=torch.from_numpy(np.array([window.neck_px for window in members], np.float32)),
        shoulders_px=torch.from_numpy(np.array([window.shoulders_px for window in members], np.float32)),
        size_px=torch.tensor([window.entry.size_px for window in members]),
        start_frame=torch.tensor([window.start for window in members]),
        clip_id=[window.entry.clip_id for window in members],
        speaker=[window.entry.speaker for window in members],
    )


def _padded(arrays: Sequence[npt.NDArray[Any]], length: int) -> FloatArray:
    """Arrays [at most length, ...] one above the other: [arrays, length, ...], 0 behind each one's end."""
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        raise UserError(f"features of {sorted(shape[0] for shape in shapes)} numbers a frame; all clips need as many")
    result = np.zeros((len(arrays), length, *shapes.pop()), np.float32)
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


class WindowLoader:
    """Gives an epoch's batches each time it is gone through, and knows where it is.

    Going through it once more begins the next epoch; where the caller left in the middle, it goes on there. A batch
    counts as taken when it is handed out, so those that wait in workers are never lost.
    """

    def __init__(self, dataset: WindowDataset, *, workers: int = 0, prefetch: int = 2, pin: bool = False) -> None:
        """Workers start with each epoch. Arguments are those of `loader`."""
        self.dataset = dataset
        self._options: dict[str, Any] = {"num_workers": workers, "pin_memory": pin}
        if workers:
            self._options["prefetch_factor"] = prefetch

    @property
    def epoch(self) -> int:
        """The epoch that is gone through, or comes next, from 0."""
        return self._place()[0]

    def __len__(self) -> int:
        """Batches that this rank still has to give in this epoch."""
        self._go_on()
        return len(self.dataset.places())

    def __iter__(self) -> Iterator[Batch]:
        """What is left of the epoch."""
        self._go_on()
        generator = torch.Generator().manual_seed(self.dataset.order.seed)  # else torch's own would be drawn from
        for batch in DataLoader(self.dataset, batch_size=None, generator=generator, **self._options):
            self.dataset.taken += self.dataset.ranks
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where it is, as plain values: all that is needed to go on with the batch after the last one given.

        Number of ranks and workers are no part of it: others may go on. Ranks must have taken equally many batches.
        """
        epoch, taken = self._place()
        return {"epoch": epoch, "taken": taken, "settings": self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader was.

        Raises:
            UserError: it had other clips or other settings, so what it gave cannot be told from what is left.
        """
        mine, its = self._settings(), state["settings"]
        wrong = [f"{key}={its.get(key)!r} (here {mine.get(key)!r})" for key in sorted(mine.keys() | its.keys())
                 if mine.get(key) != its.get(key)]  # fmt: skip
        if wrong:
            raise UserError(f"the loader's state was saved with {', '.join(wrong)}; go on with the same, or begin anew")
        self.dataset.epoch, self.dataset.taken = state["epoch"], state["taken"]

    def _place(self) -> tuple[int, int]:
        if len(self.dataset.places()):
            return self.dataset.epoch, self.dataset.taken
        return self.dataset.epoch + 1, 0

    def _go_on(self) -> None:
        self.dataset.epoch, self.dataset.taken = self._place()

    @functools.cached_property
    def _release(self) -> str:
        return list_digest(self.dataset.entries)

    def _settings(self) -> dict[str, Any]:
        """All that the sequence of batches follows from."""
        return {
            "clips": self._release,
            **dataclasses.asdict(self.dataset.windows),
            **dataclasses.asdict(self.dataset.order),
        }


def loader(
    reader: ReleaseReader,
    split: str,
    *,
    windows: Windows,
    order: Order,
    rank: int = 0,
    ranks: int = 1,
    audio: bool = True,
    features: Features | None = None,
    workers: int = 0,
    prefetch: int = 2,
    pin: bool = False,
) -> WindowLoader:
    """Batches of windows of a split.

    Args:
        reader: of the release.
        split: train, validation or test.
        windows: which windows are cut.
        order: how they are put in order and into batches.
        rank: of this process, among those that train together.
        ranks: how many of them there are; batch k goes to rank k mod `ranks`.
        audio: whether batches carry the sound.
        features: gives what was computed before of each clip.
        workers: processes that read for this rank; 0 reads in this one. Their number changes no batch.
        prefetch: batches that each worker keeps ready.
        pin: whether tensors lie in pinned memory, from which they are copied to a GPU faster.

    Raises:
        UserError: there is no such split, settings cannot be, or a rank would get no batch.
    """
    dataset = WindowDataset(
        reader, split, windows=windows, order=order, rank=rank, ranks=ranks, audio=audio, features=features
    )
    return WindowLoader(dataset, workers=workers, prefetch=prefetch, pin=pin)
