"""Clips, films and tiny networks for the tests of the video metrics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from csg405 import crop
from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.metric import Accumulator, Values
from csg405.benchmark.video import SeenVideo, film_of_array, modules, truth_of
from csg405.benchmark.video_networks import Given, Networks, VideoSettings
from csg405.benchmark.video_pose import Estimated
from csg405.media.clock import SAMPLES_PER_FRAME
from csg405.media.decode import resize
from csg405.weights import digest

SIZE = 64


def clip(n: int, *, clip_id: str = "a", size: int = SIZE, shoulders_px: float = 20, seed: int = 0) -> Clip:
    """A clip whose points lie about the middle, all seen, with shoulders of a known width that never move."""
    rng = np.random.default_rng(seed)
    points = size / 2 + rng.uniform(-size / 4, size / 4, (n, kp.COUNT, 2))
    points[:, kp.LEFT_SHOULDER] = [size / 2 + shoulders_px / 2, size / 2]
    points[:, kp.RIGHT_SHOULDER] = [size / 2 - shoulders_px / 2, size / 2]
    return Clip(
        clip_id=clip_id, video_id=clip_id, speaker=clip_id, split="test", keypoints_px=points.astype(np.float32),
        score=np.ones((n, kp.COUNT), np.float32),
        sound=Sound(rng.integers(-3000, 3000, SAMPLES_PER_FRAME * n).astype(np.int16)), size_px=size,
    )  # fmt: skip


def noise(n: int, *, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """[n, size, size, 3] pictures that are smooth enough to survive a filter."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (n, 3, 9, 9)))
    fine = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 255)
    return np.moveaxis(fine.numpy(), 1, -1).round().astype(np.uint8)


def seen(
    of: Clip, frames: np.ndarray, true: np.ndarray, networks: Networks | None = None, **changes: object
) -> SeenVideo:
    """A system's video that follows the clip's own skeleton, unless another is given."""
    return SeenVideo(
        clip=of, film=film_of_array(frames, name="system"), true_film=film_of_array(true, name="truth"),
        networks=networks or Networks(), **{"driving_px": of.keypoints_px} | changes,
    )  # fmt: skip


def estimated(of: SeenVideo, points: np.ndarray, score: np.ndarray | None = None) -> SeenVideo:
    """The same, on whose frames the estimator is known to find these points."""
    score = np.ones((len(of), kp.COUNT)) if score is None else score
    vars(of)["estimated"] = Estimated(
        points.astype(np.float32), score.astype(np.float32), np.ones(len(of), np.bool_)
    )  # as its cached property would be
    return of


def values(name: str, systems: Sequence[SeenVideo], truths: Sequence[SeenVideo]) -> Values:
    """A metric's values of one seed for each clip."""
    own, true = Accumulator(modules()[name]), Accumulator(modules()[name])
    for one in systems:
        own.update(one)
    for one in truths:
        true.update(one)
    return own.compute(true)


# ---- networks


def given(path: Path, **fields: object) -> Given:
    return Given(file=str(path), sha256=digest(path), **fields)


def networks(folder: Path, *, pose: str | None = None, **scripts: torch.nn.Module) -> Networks:
    """Networks that are scripted into a folder."""
    found = {}
    for name, module in scripts.items():
        path = folder / f"{name}.pt"
        torch.jit.script(module).save(str(path))
        found[name] = given(path)
    return Networks(VideoSettings(pose=pose, **found))


class Colours(torch.nn.Module):
    """Mean and spread of each colour, [n, 6], of pictures or windows [n, 3, ...]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        return torch.cat([flat.mean(2), flat.std(2)], 1) / 100


class Level(torch.nn.Module):
    """The mean of everything, [n, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).mean(1, keepdim=True)


class Published(torch.nn.Module):
    """An I3D with the arguments of the published port; says what it was told in its last column."""

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        told = torch.full([x.shape[0], 1], 4.0 * rescale + 2.0 * resize + 1.0 * return_features)
        return torch.cat([x.flatten(2).mean(2), told], 1)


class Apart(torch.nn.Module):
    """Mean absolute difference of two pictures, [n, 1, 1, 1]."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x - y).abs().mean([1, 2, 3], keepdim=True)


class Halves(torch.nn.Module):
    """A face embedding: mean of the upper and of the lower half, by colour."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :, :56].mean([2, 3]), x[:, :, 56:].mean([2, 3])], 1)


class Lips(torch.nn.Module):
    """A SyncNet whose lips say how blue the first frame of a window is, and whose sound says nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def forward_lip(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0].mean([1, 2]).unsqueeze(1)

    @torch.jit.export
    def forward_aud(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x[:, 0, 0, :1])


# ---- people of the synthetic world


@functools.cache
def person(n: int, *, first: int = 10, size: int = 256) -> tuple[Clip, np.ndarray]:
    """A talker's clip and its frames [n, size, size, 3]."""
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")
    from csg405.synth import film, judge
    from csg405.synth.draw import Shot

    take = film.take(judge.HELD_OUT + 900, words=6)
    shot = Shot(take.talker, take.motion, take.camera, take.setting)
    points = shot.keypoints[first : first + n, :, :2].astype(np.float32)
    drawn = [shot.draw(frame) for frame in range(first, first + n)]
    visible = np.stack([seen for _, seen in drawn])
    box = crop.extent(points[:, kp.UPPER_BODY][visible[:, kp.UPPER_BODY]])
    x, y, side = crop.square(box, box, take.camera.width, take.camera.height, crop.Framing())
    frames = np.stack([resize(_cut(image, x, y, side), size, size) for image, _ in drawn])
    samples = np.random.default_rng(5).integers(-3000, 3000, SAMPLES_PER_FRAME * n).astype(np.int16)
    return Clip(
        clip_id="talker", video_id="talker", speaker="talker", split="test",
        keypoints_px=kp.to_crop(points, x_px=x, y_px=y, side_px=side, size_px=size),
        score=visible.astype(np.float32), sound=Sound(samples), size_px=size,
    ), frames  # fmt: skip


def _cut(image: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    room = np.pad(image, ((side, side), (side, side), (0, 0)))
    return room[y + side : y + 2 * side, x + side : x + 2 * side]


def truth(of: Clip, frames: np.ndarray, networks: Networks | None = None) -> SeenVideo:
    return truth_of(of, film_of_array(frames, name="truth"), networks or Networks())
