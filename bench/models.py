"""What models cost and how good they are: sampling, training, and a table of both through the evaluator.

Costs are taken at one size for both (512 wide, 8 layers), side by side in one run. The reference's way is what its
released program does: 100 steps with guidance, two passes each, and the audio encoder, of wav2vec2-base's size, run
anew in every pass; in training the encoder within the step, float32, no compilation. Weights are random: they change no
cost. Quality is taken by `bench.quality`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import quality
from bench.common import Figure, write
from csg405.benchmark import models
from csg405.benchmark.models.base import Example, GestureModel, Request
from csg405.benchmark.models.codec import references_of
from csg405.benchmark.models.long import sample
from csg405.media.clock import FPS

SIZE: dict[str, Any] = {"width": 512, "layers": 8, "heads": 8}
SECONDS = 10
RUNS = 3
REFERENCE_STEPS = 4
"""Of the reference's 100 that are timed: all cost the same."""


def main() -> None:
    """Measure, and write work/bench/models.json."""
    root = Path.cwd() / "work" / "bench" / "models"
    costs: dict[str, list[float]] = {
        name: [] for name in ("reference", "mdm", "flow20", "flow10", "flow5", "reference_step", "flow_step")
    }
    for _ in range(RUNS):
        for name, seconds in _costs().items():
            costs[name].append(seconds)
    figures = [*_cost_figures(costs), *quality.figures(root)]
    print(write("models", figures, Path.cwd() / "work"))


# ---- costs


def _costs() -> dict[str, float]:
    """Seconds for 10 s of motion, and for a training step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    _encoder()
    mdm, flow = _made("mdm-ddpm", feed=1024).eval(), _made("flow-dit").eval()
    held = {
        "reference": _timed(functools.partial(_sampled_the_reference_way, mdm)) * 100 / REFERENCE_STEPS,
        "mdm": _timed(functools.partial(_sampled, mdm, steps=100)),
        "flow20": _timed(functools.partial(_sampled, flow, steps=20)),
        "flow10": _timed(functools.partial(_sampled, flow, steps=10)),
        "flow5": _timed(functools.partial(_sampled, flow, steps=5)),
    }
    held["reference_step"] = _timed(_learning(mdm.train(), encoder=_encoder()))
    held["flow_step"] = _timed(_learning(flow.train(), encoder=None))
    torch.set_num_threads(threads)
    return held


def _made(name: str, **settings: Any) -> GestureModel:
    torch.manual_seed(0)
    return models.create(name, features_dim=768, frames=SECONDS * FPS, **SIZE, **settings)


@functools.cache
def _encoder() -> Any:
    """Of wav2vec2-base's size, with random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return Wav2Vec2Model(Wav2Vec2Config()).train(mode=False)


def _heard(encoder: Any, wave: torch.Tensor, frames: int) -> torch.Tensor:
    found = encoder(wave).last_hidden_state.transpose(1, 2)
    return torch.nn.functional.interpolate(found, size=frames, mode="linear").transpose(1, 2)


def _request(model: GestureModel) -> Request:
    rng = np.random.default_rng(0)
    pose = _pose()
    rows = rng.standard_normal((SECONDS * FPS, model.settings.features_dim), np.float32)
    return Request(features=rows, reference_px=pose, reference_score=np.ones(133, np.float32))


def _pose() -> np.ndarray:
    pose = np.random.default_rng(1).uniform(150, 350, (133, 2)).astype(np.float32)
    pose[5], pose[6] = (310, 250), (200, 250)
    return pose


def _sampled(model: GestureModel, *, steps: int) -> None:
    sample(model, [_request(model)], sampling=model.sampling(steps=steps))


@torch.inference_mode()
def _sampled_the_reference_way(model: Any) -> None:
    """Some of the steps, the encoder run in each of the two passes of a step."""
    wave, frames = torch.randn(1, 16_000 * SECONDS), SECONDS * FPS
    moving = torch.randn(1, model.lead + frames, model.codec.numbers)
    within = torch.ones(moving.shape[:2], dtype=torch.bool)
    for step in range(99, 99 - REFERENCE_STEPS, -1):
        passes = []
        for _ in range(2):
            rows = torch.nn.functional.pad(_heard(_encoder(), wave, frames), (0, 0, model.lead, 0))
            passes.append(model(moving, torch.tensor([step]), model.hear(rows), within))
        moving = torch.lerp(passes[1], passes[0], 3.5)


def _learning(model: Any, *, encoder: Any) -> Callable[[], None]:
    """A step of training on 8 windows of 10 s."""
    frames = model.settings.frames + model.lead
    references = references_of([_pose()] * 8, [np.ones(133, np.float32)] * 8)
    wave = torch.randn(8, 640 * frames)
    rows = torch.randn(8, frames, 768)
    numbers = torch.randn(8, frames, model.codec.numbers)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=encoder is None)

    def step() -> None:
        heard = rows
        if encoder is not None:
            with torch.no_grad():
                heard = _heard(encoder, wave, frames)
        whole = torch.ones_like(numbers, dtype=torch.bool)
        example = Example(
            numbers=numbers, mask=whole, within=whole[..., 0], features=heard, references=references
        )  # fmt: skip
        model.loss(example)["loss"].backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    step()
    return step


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _cost_figures(costs: dict[str, list[float]]) -> list[Figure]:
    def ratios(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(costs[one], costs[other], strict=True)]

    way = f"100 steps, guidance, encoder in the loop ({REFERENCE_STEPS} steps timed)"
    told = [
        Figure(name="sampling_cost_ratio_vs_reference", runs=ratios("reference", "flow10"), unit="ratio",
               better="higher", bar=10, against=f"mdm-ddpm the reference's way, {way}, over flow-dit in 10 steps"),
        Figure(name="training_speed_ratio_vs_reference", runs=ratios("reference_step", "flow_step"), unit="ratio",
               better="higher", bar=3, against="steps/s of flow-dit over mdm-ddpm with the encoder in the step"),
    ]  # fmt: skip
    for name, seconds in costs.items():
        per = "step" if name.endswith("step") else "s of motion"
        scale = 1 if name.endswith("step") else SECONDS
        told.append(
            Figure(name=f"{name}_s", runs=[value / scale for value in seconds], unit=f"s/{per}", better="lower",
                   bar=None, against="width 512, 8 layers, 2 threads")
        )  # fmt: skip
    return told


if __name__ == "__main__":
    main()
