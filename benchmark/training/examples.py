"""From windows of a release to what a model learns from: numbers, what counts of them, and a reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from csg405 import keypoints as kp
from csg405.benchmark.clip import SEEN
from csg405.benchmark.data import Batch, Features, WindowLoader, loader
from csg405.benchmark.models.base import Example, GestureModel
from csg405.benchmark.models.codec import References
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.training.settings import TrainSettings
from csg405.benchmark.windows import Order, Windows
from csg405.errors import UserError

_BEGUN = 0.3
"""Part of the windows whose reference is their first frame."""

_FIT_BATCHES = 64
"""Batches that mean and deviation are taken from."""


def windows_of(
    model: GestureModel,
    reader: ReleaseReader,
    features: Features,
    settings: TrainSettings,
    *,
    rank: int = 0,
    ranks: int = 1,
    pin: bool = False,
) -> WindowLoader:
    """The training split's windows for a model, shuffled, as long as it wants them."""
    frames = model.settings.frames + model.lead
    return loader(
        reader, "train",
        windows=Windows(frames=frames, stride=settings.stride, random_offset=True),
        order=Order(batch=settings.batch, seed=settings.seed, drop_last=True, buffer=max(1024, 4 * settings.batch)),
        rank=rank, ranks=ranks, audio=False, features=features, workers=settings.workers, pin=pin,
    )  # fmt: skip


def example(model: GestureModel, batch: Batch, *, voices: float = 0.0) -> Example:
    """What a model learns from a batch; the reference is a frame of the window, drawn from torch's own generator.

    Args:
        model: whose codec tells keypoints as numbers.
        batch: windows.
        voices: part of them that is learnt in the voice of another one; see `in_other_voices`.
    """
    references = references_in(batch)
    numbers = model.codec.encode(batch.keypoints_px, references)
    mask = model.codec.mask(batch.mask)
    return Example(
        numbers=torch.where(mask, numbers, 0),
        mask=mask,
        within=batch.within,
        features=in_other_voices(_features(batch), batch.within, part=voices),
        references=references,
    )


def in_other_voices(features: Tensor, within: Tensor, *, part: float) -> Tensor:
    """Some windows' features with the mean of the window before them in the batch.

    The mean is what a voice and a recording sound like; what is said, and how, is what goes on about it. With few
    talkers a model would know everybody by the voice, and give somebody new the gestures of whoever sounds alike. After
    Zhou et al., "Domain Generalization with MixStyle" (ICLR 2021), who mix statistics of features within a batch.
    Windows are shuffled, so the one before is mostly another talker's; a batch of one stays as it is.

    Args:
        features: [b, n, f]
        within: bool [b, n] frames that count.
        part: of the windows.

    Returns:
        [b, n, f]; 0 stays where no frame is.
    """
    counted = within[..., None].to(features.dtype)
    mean = (features * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
    chosen = torch.rand(len(features), device=features.device) < part
    apart = torch.where(chosen[:, None], mean.roll(1, dims=0) - mean, 0)
    return features + apart[:, None] * counted


def references_in(batch: Batch) -> References:
    """A frame of each window, of those that show both shoulders if any does; of some the first, as in a new clip."""
    both = batch.mask[..., kp.LEFT_SHOULDER] & batch.mask[..., kp.RIGHT_SHOULDER]
    fitness = torch.rand(batch.within.shape, device=batch.within.device) + both + batch.within
    fitness[:, 0] += torch.rand(len(fitness), device=fitness.device) < _BEGUN
    chosen = fitness.argmax(dim=1)
    rows = torch.arange(len(chosen), device=chosen.device)
    return References.of(
        batch.keypoints_px[rows, chosen],
        batch.score[rows, chosen] >= SEEN,
        neck_px=batch.neck_px,
        unit_px=batch.shoulders_px,
    )


@torch.no_grad()
def fit(model: GestureModel, windows: WindowLoader, *, seed: int) -> None:
    """Give a model the training split's mean pose, and how its numbers and the sound's features are spread."""
    torch.manual_seed(seed)
    batches = list(itertools.islice(windows, _FIT_BATCHES))
    held = [(batch.keypoints_px, batch.mask, references_in(batch)) for batch in batches]
    model.codec.fit(held)
    heard = torch.cat([_features(batch)[batch.within] for batch in batches]).double()
    model.heard.copy_(torch.stack([heard.mean(dim=0), heard.std(dim=0).clamp(min=1e-3)]))


def endless(windows: WindowLoader) -> Iterator[Batch]:
    """Epoch after epoch."""
    while True:
        yield from windows


def _features(batch: Batch) -> Tensor:
    if batch.features is None:
        raise UserError("the batch carries no features of the sound")
    return batch.features
