"""A small release whose clips speak and move, and a kit that is trained on it in a second or two.

Speech is bursts of a voice at known times, and arms make strokes that stop at known times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from csg405 import keypoints as kp
from csg405 import table
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.kit import Kit
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.measure import one_thread
from csg405.engine import Outcome, Worker, attempt
from csg405.operator import Resources
from csg405.run import Folders
from csg405.schema import Release, Sample
from tests import bench_motion as motion

T = TypeVar("T")

RATE_HZ, FPS = motion.RATE_HZ, motion.FPS

SPEAKERS = {"ann": "train", "bea": "train", "cid": "train", "dan": "validation", "eva": "test", "fay": "test"}
CLIPS = 3
"""Of every speaker."""
FRAMES = 120

TINY = KitSettings(
    seed=7, encoders=2, width=8, steps=4, batch=8, tower_width=8, tower_steps=4, tower_batch=4, tower_frames=50
)

STROKE_S = 0.24
"""How long an arm speeds up before it stops."""


def speech(n_frames: int, times_s: Iterable[float], *, floor: float = 1e-4, loud: float = 0.3, seed: int = 0) -> Sound:
    """Vowels of 150 ms that begin at given times, over a little noise."""
    wave = floor * np.random.default_rng(seed).standard_normal(640 * n_frames)
    since_s = np.arange(round(0.15 * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * 120 * k * since_s + k) / np.sqrt(k) for k in range(3, 20))
    vowel = loud * voice / np.abs(voice).max() * np.clip(since_s / 0.02, 0, 1) * np.clip((0.15 - since_s) / 0.04, 0, 1)
    for time_s in times_s:
        first = round(time_s * RATE_HZ)
        wave[first : first + len(vowel)] += vowel[: len(wave) - first]
    return Sound((32767 * wave).clip(-32768, 32767).astype(np.int16))


def beating(n_frames: int, times_s: Iterable[float], *, wrists: Sequence[int] = (kp.RIGHT_WRIST,)) -> np.ndarray:
    """[n, 133, 2] px: wrists speed up to 3.3 shoulder widths/s, to and fro, and stop at given times; all else rests."""
    points = motion.still(n_frames)
    path = np.zeros(n_frames)
    clock_s = np.arange(n_frames) / FPS
    for number, time_s in enumerate(times_s):
        way = np.clip((clock_s - time_s + STROKE_S) / STROKE_S, 0, 1) ** 2
        path += (-1) ** number * 40 * way
    points[:, list(wrists), 1] += path[:, None]
    return points


def times(n_frames: int, *, seed: int, gap_s: tuple[float, float] = (0.5, 1.1)) -> np.ndarray:
    """Irregular times on the clock of the frames, s."""
    rng = np.random.default_rng(seed)
    found = 0.6 + np.cumsum(rng.uniform(*gap_s, size=n_frames))
    return np.asarray(np.round(found[found < n_frames / FPS - 0.4] * FPS) / FPS)


def talking(clip_id: str, *, speaker: str, split: str, n: int = FRAMES, seed: int = 0) -> Clip:
    """A clip of somebody whose arms beat as they speak."""
    when = times(n, seed=seed)
    clip = motion.clip(
        motion.lively(n, seed=seed) + beating(n, when) - motion.still(n), clip_id=clip_id, sound=speech(n, when)
    )
    return dataclasses.replace(clip, speaker=speaker, split=split, video_id=f"video.{clip_id}")


def clips(
    speakers: dict[str, str] = SPEAKERS, *, count: int = CLIPS, length: Callable[[int], int] = lambda number: FRAMES
) -> list[Clip]:
    """The clips of a release."""
    return [
        talking(f"{name}.{number}", speaker=name, split=split, n=length(number), seed=100 * place + number)
        for place, (name, split) in enumerate(speakers.items())
        for number in range(count)
    ]


def write(root: Path, held: Iterable[Clip] | None = None, *, run: str = "small") -> ReleaseReader:
    """Write clips as a release, each speaker's in a shard."""
    folders = Folders(root, run)
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips() if held is None else held:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    for speaker, own in by_speaker.items():
        table.write_part(table.part_path(folders.table(Sample), speaker), Sample, [_sample(clip) for clip in own])
        rows = [_row(clip, shard=f"shards/part-{speaker}.parquet") for clip in own]
        table.write_part(table.part_path(folders.table(Release), speaker), Release, rows)
    return ReleaseReader(folders)


def _sample(clip: Clip) -> Sample:
    return Sample(
        clip_id=clip.clip_id, video_id=clip.video_id, split=clip.split, fps=FPS, n_frames=len(clip),
        keypoints_px=clip.keypoints_px.ravel(), score=clip.score.ravel(), audio_rate_hz=RATE_HZ,
        audio_int16=clip.sound.samples,
    )  # fmt: skip


def _row(clip: Clip, *, shard: str) -> Release:
    n = len(clip)
    return Release(
        clip_id=clip.clip_id, video_id=clip.video_id, split=clip.split, path=None, audio_path=None, shard=shard,
        n_frames=n, n_samples=640 * n, start_ms=0, end_ms=40 * n, source="ours", title=None, channel=clip.speaker,
        licence=None, source_width=640, source_height=480, crop_x_px=0, crop_y_px=0, crop_side_px=480,
        size_px=clip.size_px, review=[], sha256=None,
    )  # fmt: skip


def train(reader: ReleaseReader, folder: Path, settings: KitSettings = TINY) -> Kit:
    """A kit; on one thread, so that machines with few cores are not fought over."""
    from csg405.benchmark.kit.train import train as train_kit

    with one_thread():
        train_kit(reader, folder, settings)
    return Kit.open(folder)


class Here:
    """An engine that does all in this process, and notes what it was asked to do."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def map(
        self, make_worker: Callable[[], Worker[T]], shards: Sequence[str], needs: Resources, *, media_s: float = 0.0
    ) -> Iterator[Outcome[T]]:
        self.asked += shards
        return iter([attempt(make_worker, shard) for shard in shards])

    def close(self) -> None:
        pass
