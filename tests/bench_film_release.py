"""A small release with pictures, and submissions of films for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

from csg405 import media, table
from csg405.benchmark.clip import Clip
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.submission import init, layout, schema
from csg405.benchmark.submission.clips import of_run
from csg405.run import Folders
from csg405.schema import Release
from csg405.weights import digest
from tests import bench_release
from tests import bench_video_kit as video_kit

RUN = "films"
SIZE = 64
FRAMES = 30
SPEAKERS = {"ann": "train", "bea": "train"} | dict.fromkeys(("cid", "dan", "eva", "fay", "gus", "hal"), "test")

Change = Callable[[np.ndarray, int], np.ndarray]
"""Of a clip's true pictures [n, side, side, 3] and a seed, what a system gives."""


Draw = Callable[[str, int], np.ndarray]
"""Of a clip's id and the number of its frames, its true pictures."""


def clips() -> list[Clip]:
    """One clip of every speaker in pictures of 64 px; those for training are longer, for a kit needs windows."""
    return [small(clip) for clip in bench_release.clips(SPEAKERS, count=1, length=lambda _: 80)]


def small(clip: Clip) -> Clip:
    n = len(clip) if clip.split == "train" else FRAMES
    return dataclasses.replace(
        clip, keypoints_px=clip.keypoints_px[:n] * np.float32(SIZE / clip.size_px), score=clip.score[:n],
        sound=dataclasses.replace(clip.sound, samples=clip.sound.samples[: 640 * n]), size_px=SIZE,
    )  # fmt: skip


def grey(clip_id: str, n: int = FRAMES) -> np.ndarray:
    """[n, 64, 64, 3] nothing."""
    return np.full((n, SIZE, SIZE, 3), 114, np.uint8)


def pictures(clip_id: str, n: int = FRAMES) -> np.ndarray:
    """[n, 64, 64, 3] blots that change slowly, of other colours in each clip."""
    ends = video_kit.noise(2, size=SIZE, seed=sum(clip_id.encode())).astype(np.float64)
    part = np.linspace(0, 1, n)[:, None, None, None]
    return np.round((1 - part) * ends[0] + part * ends[1]).astype(np.uint8)


def write(root: Path, *, draw: Draw = pictures) -> ReleaseReader:
    """The release, with a film for every clip."""
    held = clips()
    reader = bench_release.write(root, held, run=RUN)
    for part in table.parts(reader.folders.table(Release)):
        rows = [_filmed(reader.folders, row, draw) for row in table.read_part(part, Release)]
        table.write_part(part, Release, rows)
    return ReleaseReader(reader.folders)


def _filmed(folders: Folders, row: Release, draw: Draw) -> Release:
    path = folders.work / "release" / "clips" / f"{row.clip_id}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_film(path, draw(row.clip_id, row.n_frames), None, size=(SIZE, SIZE), crf=12)
    return dataclasses.replace(row, path=f"clips/{row.clip_id}.mp4", sha256=digest(path))


def submit(folder: Path, reader: ReleaseReader, change: Change, *, track: str = "B", name: str = "Painter",
           seeds: int = 1, draw: Draw = pictures) -> Path:  # fmt: skip
    """A good submission, whose films are the true pictures, changed."""
    init.write_template(folder, of_run(reader.folders.root, RUN), split="test", track=track)
    for entry in reader.clips("test"):
        for seed in range(seeds):
            path = folder / layout.PREDICTIONS / entry.clip_id / f"seed{seed}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            media.write_film(path, change(draw(entry.clip_id, FRAMES), seed), None, size=(SIZE, SIZE), crf=12)
    described(folder, name=name, seeds=seeds)
    return folder


def described(folder: Path, *, name: str, seeds: int = 1) -> None:
    """Fill in submission.yaml, and seal."""
    held = yaml.safe_load((folder / schema.FILE).read_text())
    held["system"]["name"], held["contact"] = name, "somebody@example.org"
    held["inference"]["seeds"] = seeds
    held["frozen_declared"] = True  # blots change slowly
    (folder / schema.FILE).write_text(yaml.safe_dump(held))
    init.seal(folder, video_ids=[])
