"""Training of a kit on the training split of a release; see `csg405.benchmark.kit` for what it holds.

The training split is sampled up to `minutes` of it, clip by clip in an order that follows from the seed, so memory is
bounded for a release of any size. One seed gives one kit on one machine; nothing of another split is ever read.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from csg405.benchmark.clip import Clip, truth_of
from csg405.benchmark.kit import FORMAT
from csg405.benchmark.kit.bank import CLIPS, Bank
from csg405.benchmark.kit.hearing import NUMBERS, heard
from csg405.benchmark.kit.networks import Autoencoder, TwoTower
from csg405.benchmark.kit.parts import GESTURE, POINTS, WINDOW, Normaliser, counted, numbers_of, rooted, windows
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.metrics.ba_kappa import threshold
from csg405.benchmark.release import ReleaseReader, clip_digest, digest_of
from csg405.errors import UserError
from csg405.media.clock import FPS
from csg405.schema import FloatArray
from csg405.table import replace_atomically, write_text

log = logging.getLogger(__name__)

_SAY_EVERY = 200

_LEAST_RISING = 20
"""Steps from which on the learning rate rises before it falls; with fewer it begins at its highest."""


@dataclasses.dataclass(frozen=True)
class _Heard:
    """What training keeps of a clip."""

    numbers: dict[str, FloatArray]
    """[n, d] by part, and `gesture`."""
    sound: FloatArray
    """[n, 160]"""


def train(reader: ReleaseReader, folder: Path, settings: KitSettings) -> dict[str, Any]:
    """Train a kit and write it to a folder.

    Args:
        reader: of the release; only its training split is read.
        folder: becomes the kit; written at the end, `kit.json` last, so a kit that was stopped is none.
        settings: see `KitSettings`.

    Returns:
        What `kit.json` says.

    Raises:
        UserError: there is too little to train on.
    """
    clips, digests = _sample(reader, settings)
    normaliser, mean_pose = _normaliser(clips)
    held = [_heard(clip, normaliser) for clip in clips]
    log.info("kit: %d clips, %.1f min of the training split", len(held), sum(map(len, clips)) / FPS / 60)
    arrays: dict[str, FloatArray] = {
        "mean": normaliser.mean, "deviation": normaliser.deviation, "mean_pose": mean_pose,
    }  # fmt: skip
    weights: dict[str, torch.Tensor] = {}
    losses: dict[str, float] = {}
    for encoder in range(settings.encoders):
        for part in POINTS:
            name = f"{part}.{encoder}"
            network, losses[name] = _autoencoder(name, [clip.numbers[part] for clip in held], settings, encoder)
            mean, deviation = _spread(network, [clip.numbers[part] for clip in held])
            arrays |= {f"{name}.mean": mean, f"{name}.deviation": deviation}
            weights |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        if settings.towers:
            name = f"towers.{encoder}"
            towers, losses[name] = _towers(name, held, settings, encoder)
            weights |= {f"{name}.{key}": value for key, value in towers.state_dict().items()}
    facts = {
        "format": FORMAT, "trained_on": digest_of(digests), "clips": len(clips),
        "hit": round(threshold(map(truth_of, clips)), 4),
        "used_minutes": round(sum(map(len, clips)) / FPS / 60, 2), **settings.model_dump(),
        "losses": {name: round(value, 4) for name, value in losses.items()}, "torch": torch.__version__,
    }  # fmt: skip
    _write(folder, facts, arrays, weights, Bank.of(clips[:CLIPS]))
    return facts


def _sample(reader: ReleaseReader, settings: KitSettings) -> tuple[list[Clip], dict[str, str]]:
    entries = [entry for entry in reader.clips("train") if entry.n_frames >= WINDOW]
    order = np.random.default_rng([settings.seed, 1]).permutation(len(entries))
    most, chosen = settings.minutes * 60 * FPS, []
    for place in order:
        if most <= 0:
            break
        chosen.append(entries[place])
        most -= entries[place].n_frames
    if len(chosen) < 2:
        raise UserError(
            f"the release's training split has {len(chosen)} clips of {WINDOW / FPS:g} s or more; wanted 2 at least"
        )
    clips = list(reader.iterate(sorted(chosen, key=lambda entry: (entry.shard, entry.clip_id))))
    return clips, {clip.clip_id: clip_digest(clip) for clip in clips}


def _normaliser(clips: list[Clip]) -> tuple[Normaliser, FloatArray]:
    """Of what is seen, and the mean pose."""
    total, square, count, pose, frames = (np.zeros((133, size)) for size in (2, 2, 1, 2, 1))
    for clip in clips:
        seen = truth_of(clip)
        known, shown = counted(seen)[..., None], seen.shown[..., None]
        points = np.where(known, rooted(seen).astype(np.float64), 0)
        total, square, count = total + points.sum(0), square + (points**2).sum(0), count + known.sum(0)
        pose, frames = pose + np.where(shown, seen.points.astype(np.float64), 0).sum(0), frames + shown.sum(0)
    count = np.maximum(count, 1)
    mean = total / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
    normaliser = Normaliser(
        np.asarray(mean, np.float32), np.asarray(np.maximum(deviation, Normaliser.LEAST), np.float32)
    )
    return normaliser, np.asarray(pose / np.maximum(frames, 1), np.float32)


def _heard(clip: Clip, normaliser: Normaliser) -> _Heard:
    seen = truth_of(clip)
    numbers = normaliser(seen)
    of_parts = {part: numbers_of(numbers, points) for part, points in (POINTS | {"gesture": GESTURE}).items()}
    return _Heard(of_parts, heard(clip.sound))


def _draw(arrays: list[list[FloatArray]], *, frames: int, batch: int, rng: np.random.Generator) -> list[torch.Tensor]:
    """A batch of windows at random places, the same places in every list of arrays: [batch, frames, d] each."""
    lengths = np.array([len(array) - frames + 1 for array in arrays[0]], np.float64)
    picked = rng.choice(len(lengths), size=batch, p=lengths / lengths.sum())
    starts = [int(rng.integers(int(lengths[clip]))) for clip in picked]
    places = list(zip(picked, starts, strict=True))
    return [
        torch.from_numpy(np.stack([held[clip][start : start + frames] for clip, start in places])) for held in arrays
    ]


def _autoencoder(
    name: str, numbers: list[FloatArray], settings: KitSettings, encoder: int
) -> tuple[Autoencoder, float]:
    rng = _seeded(name, settings, encoder)
    network = Autoencoder(numbers[0].shape[1], width=settings.width)

    def loss() -> torch.Tensor:
        (cut,) = _draw([numbers], frames=WINDOW, batch=settings.batch, rng=rng)
        return nn.functional.mse_loss(network(cut), cut)

    return network, _fit(name, network, loss, steps=settings.steps, rate=settings.rate)


def _towers(name: str, held: list[_Heard], settings: KitSettings, encoder: int) -> tuple[TwoTower, float]:
    rng = _seeded(name, settings, encoder)
    frames = settings.tower_frames
    long = [clip for clip in held if len(clip.sound) >= frames]
    if len(long) < 2:
        raise UserError(f"two towers: {len(long)} clips of {frames / FPS:g} s in the training split; wanted 2 at least")
    motions, sounds = [clip.numbers["gesture"] for clip in long], [clip.sound for clip in long]
    network = TwoTower(motions[0].shape[1], NUMBERS, width=settings.tower_width)
    same = torch.arange(settings.tower_batch)

    def loss() -> torch.Tensor:
        motion, sound = _draw([motions, sounds], frames=frames, batch=settings.tower_batch, rng=rng)
        motion = motion + 0.1 * torch.from_numpy(rng.standard_normal(motion.shape, np.float32))
        scores = network(motion, sound)
        one, other = (nn.functional.cross_entropy(table, same) for table in (scores, scores.T))
        return (one + other) / 2

    return network, _fit(name, network, loss, steps=settings.tower_steps, rate=settings.rate / 2)


def _seeded(name: str, settings: KitSettings, encoder: int) -> np.random.Generator:
    words = [settings.seed, encoder, *name.encode()]
    torch.manual_seed(int(np.random.default_rng(words).integers(2**31)))
    return np.random.default_rng([*words, 1])


def _fit(name: str, network: nn.Module, loss_of: Any, *, steps: int, rate: float) -> float:
    """Train a network; returns the mean loss of the last tenth."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    rising = 2 / steps if steps >= _LEAST_RISING else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=rising)
    started, last = time.monotonic(), []
    network.train()
    for step in range(steps):
        loss = loss_of()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step >= steps * 9 // 10:
            last.append(float(loss.detach()))
        if (step + 1) % _SAY_EVERY == 0 or step + 1 == steps:
            log.info("kit: %s, step %d of %d, %.0f s: loss %.4f", name, step + 1, steps, time.monotonic() - started,
                     float(loss.detach()))  # fmt: skip
    network.eval()
    return float(np.mean(last))


@torch.inference_mode()
def _spread(network: Autoencoder, numbers: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation [32] of the features over windows of the training split."""
    found = [network.encode(torch.from_numpy(windows(array))) for array in numbers]
    features = torch.cat(found).double()
    deviation = features.std(dim=0, correction=0).clamp(min=1e-6)
    return features.mean(dim=0).float().numpy(), deviation.float().numpy()


def _write(
    folder: Path, facts: dict[str, Any], arrays: dict[str, FloatArray], weights: dict[str, torch.Tensor], bank: Bank
) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kit.json").unlink(missing_ok=True)

    for name, held in (("normaliser", arrays), ("bank", bank.arrays())):
        replace_atomically(folder / f"{name}.npz", functools.partial(_save, arrays=held))
    whole = {name: value.contiguous() for name, value in weights.items()}
    replace_atomically(folder / "weights.safetensors", lambda path: save_file(whole, path))
    write_text(folder / "kit.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _save(path: Path, *, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
