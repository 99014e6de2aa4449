"""A small good submission, and what tests change in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml

from csg405 import media
from csg405.benchmark.submission import layout, lists, schema, validate
from csg405.benchmark.submission.clips import ClipList, Wanted
from csg405.benchmark.submission.validate import Report

SIZE_PX = 512
N_FRAMES = {"site.one_0_1200_p0": 30, "site.two_0_1000_p0": 25, "site.three_0_800_p1": 20}
ONE, TWO, THREE = N_FRAMES
SEEDS = 2


def wanted(clip_id: str, n_frames: int, split: str = "test") -> Wanted:
    return Wanted(clip_id=clip_id, video_id=clip_id[:8], split=split, n_frames=n_frames, size_px=SIZE_PX)


CLIPS = ClipList((
    *(wanted(clip, n_frames) for clip, n_frames in N_FRAMES.items()),
    wanted("site.val_0_1000_p0", 25, "validation"), wanted("site.trn_0_1000_p0", 25, "train"),
))  # fmt: skip


def values(track: str = "A") -> dict:
    return {
        "schema_version": 1,
        "benchmark": {"name": schema.BENCHMARK_NAME, "version": schema.BENCHMARK_VERSION},
        "split": "test",
        "track": track,
        "system": {"name": "Wavers", "version": "1"},
        "training": {"datasets": ["ours"], "hours": 1.5},
        "inference": {"seeds": SEEDS, "reference_frame_policy": "none"},
        "declared_use_of_test": False,
        "contact": "somebody@example.org",
    }


def motion(n_frames: int, *, seed: int = 0) -> np.ndarray:
    """[n, 133, 2] float32: points that move a little, within the picture."""
    rng = np.random.default_rng(seed)
    home = rng.uniform(100, 400, (133, 2))
    sway = 10 * np.sin(np.arange(n_frames)[:, None] / 5 + rng.uniform(0, 6, 2))
    return (home + sway[:, None]).astype(np.float32)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(header: str, data: bytes, *, version: int = 1) -> bytes:
    """An .npy with any header."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + data


def zipped(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, how)
    return buffer.getvalue()


def place(folder: Path, clip: str = ONE, *, seed: int = 0, kind: str = "npz") -> Path:
    return folder / layout.PREDICTIONS / clip / f"seed{seed}.{kind}"


def change(folder: Path, update: Callable[[dict], object]) -> None:
    """Change submission.yaml."""
    path = folder / schema.FILE
    held = yaml.safe_load(path.read_text())
    update(held)
    path.write_text(yaml.safe_dump(held))


def pictures(n_frames: int, *, size_px: int = SIZE_PX, still: bool = False) -> Iterator[np.ndarray]:
    """A bright square that moves, or does not."""
    for number in range(n_frames):
        picture = np.full((size_px, size_px, 3), 90, np.uint8)
        left = 0 if still else 6 * number % (size_px - 64)
        picture[60:124, left : left + 64] = 220
        yield picture


def film(path: Path, n_frames: int, *, size_px: int = SIZE_PX, fps: float = 25, still: bool = False) -> None:
    media.write_film(
        path, pictures(n_frames, size_px=size_px, still=still), None, size=(size_px, size_px), fps=fps,
        preset="ultrafast",
    )  # fmt: skip


def write(folder: Path, *, track: str = "A") -> Path:
    """A good submission."""
    for clip, n_frames in N_FRAMES.items():
        for seed in range(SEEDS):
            path = place(folder, clip, seed=seed, kind=schema.SUFFIX[track])
            path.parent.mkdir(parents=True, exist_ok=True)
            if track == "A":
                score = np.ones((n_frames, 133), np.float32)
                path.write_bytes(npz(keypoints=motion(n_frames, seed=seed), score=score))
            else:
                film(path, n_frames)
    (folder / schema.FILE).write_text(yaml.safe_dump(values(track)))
    (folder / layout.REPORT).write_text("# Wavers\n\nThey wave.\n")
    lists.write_training_ids(folder, ["site.a", "site.b", "site.c"])
    lists.write_checksums(folder)
    return folder


def sealed(folder: Path) -> None:
    """Write checksums again, whatever lies in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
        if path.name != layout.CHECKSUMS and path.name.isprintable()
    ]
    (folder / layout.CHECKSUMS).write_text("".join(lines))


def ids(folder: Path, *lines: str) -> None:
    """Write training ids as they are given."""
    (folder / layout.TRAINING_IDS).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def checked(path: Path, *, known: ClipList | None = CLIPS) -> Report:
    return validate.validate(path, known=known, work=path.parent / "work", workers=1)
