"""A model's motions for the clips of a split: what a submission holds, and what training is validated by.

What a model is given of a clip is its sound and a reference, its first frame that shows both shoulders; nothing else.
A model with the fault `seed_from_target` is given the clip's first second, so what it makes begins with truth.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip
from csg405.benchmark.data import Features
from csg405.benchmark.models.base import GestureModel, Request, Sampling
from csg405.benchmark.models.long import sample
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.submission.layout import PREDICTIONS
from csg405.errors import UserError
from csg405.progress import Progress
from csg405.schema import FloatArray
from csg405.table import remove_leftovers, replace_atomically

BATCH = 16
"""Motions that are made side by side."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """A motion that was made for a clip."""

    clip: Clip
    seed: int
    keypoints_px: FloatArray
    """[n, 133, 2]"""


def request(model: GestureModel, clip: Clip, features: FloatArray, *, seed: int) -> Request:
    """What is asked of a model for a clip."""
    reference = first_shown(clip)
    given = is_given_frames(model) and len(clip) > model.lead
    return Request(
        features=features,
        reference_px=clip.keypoints_px[reference],
        reference_score=clip.score[reference],
        seed=seed_of(clip.clip_id, seed),
        first_px=clip.keypoints_px[: model.lead] if given else None,
    )


def is_given_frames(model: GestureModel) -> bool:
    """Whether a model has the fault of being given the first frames of what it is to make."""
    return bool(getattr(model.settings, "seed_from_target", False))


def first_shown(clip: Clip) -> int:
    """The first frame that shows both shoulders.

    Raises:
        UserError: none does.
    """
    both = clip.shown[:, kp.LEFT_SHOULDER] & clip.shown[:, kp.RIGHT_SHOULDER]
    if not both.any():
        raise UserError(
            f"clip {clip.clip_id}: no frame shows both shoulders, so there is no reference; keep such clips out of the "
            "release: filter.criteria.upper_body_in_frame"
        )
    return int(np.argmax(both))


def seed_of(clip_id: str, seed: int) -> int:
    """A seed for a clip: the same sample of two clips has nothing in common."""
    return int.from_bytes(hashlib.sha256(f"{clip_id} {seed}".encode()).digest()[:6], "big")


def motions(
    model: GestureModel, wanted: Iterable[tuple[Clip, int]], features: Features, *, sampling: Sampling | None = None
) -> Iterator[Motion]:
    """Motions for clips and seeds, in their order, some at a time."""
    waiting = iter(wanted)
    while held := list(itertools.islice(waiting, BATCH)):
        asked = [request(model, clip, features(clip.clip_id), seed=seed) for clip, seed in held]
        for (clip, seed), made in zip(held, sample(model, asked, sampling=sampling), strict=True):
            yield Motion(clip, seed, made)


def write_predictions(
    model: GestureModel,
    reader: ReleaseReader,
    features: Features,
    folder: Path,
    *,
    split: str,
    seeds: int,
    sampling: Sampling | None = None,
) -> int:
    """Write a submission's predictions; what is there already is not made again.

    Args:
        model: ready to sample.
        reader: of the release.
        features: of its sound.
        folder: of the submission.
        split: to predict.
        seeds: samples of each clip.
        sampling: how; the model's own way if nothing is said.

    Returns:
        The number of files that were written.
    """
    entries = reader.clips(split)
    missing = {
        entry.clip_id: [
            seed for seed in range(seeds) if not _is_whole(_path(folder, entry.clip_id, seed), entry.n_frames)
        ]
        for entry in entries
    }
    count = sum(map(len, missing.values()))
    clips = reader.iterate(entry for entry in entries if missing[entry.clip_id])
    wanted = ((clip, seed) for clip in clips for seed in missing[clip.clip_id])
    with Progress("sample", total=len(entries) * seeds, unit="motions") as progress:
        progress.advance(len(entries) * seeds - count)
        for motion in motions(model, wanted, features, sampling=sampling):
            path = _path(folder, motion.clip.clip_id, motion.seed)
            replace_atomically(path, functools.partial(_save, keypoints_px=motion.keypoints_px))
            progress.advance()
    return count


def _save(path: Path, *, keypoints_px: FloatArray) -> None:
    with path.open("wb") as file:
        np.savez(file, keypoints=keypoints_px)


def _is_whole(path: Path, n_frames: int) -> bool:
    """Whether a prediction is there and can be read; what a program that was killed left of it is removed."""
    remove_leftovers(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return bool(file["keypoints"].shape == (n_frames, kp.COUNT, 2))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _path(folder: Path, clip_id: str, seed: int) -> Path:
    return folder / PREDICTIONS / clip_id / f"seed{seed}.npz"
