"""Training loops: losses, a schedule that ends at zero, and an average of the weights that is kept."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from csg405.synth.train import networks
from csg405.synth.train.networks import BODY_POINTS, CLOSE, COARSE, PARTS, PoseNetwork, expected, inward

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]

N = TypeVar("N", bound=nn.Module)

Loss = Callable[[Batch, float], dict[str, Tensor]]
"""Losses by name, from a batch and the part of the training that is done."""

_HIDDEN = 0.25
"""Weight of a point that lies in the picture and cannot be seen."""

_ROOM = (1.5, 1.5, 1.35)
"""Side of a close view over that of what it is to hold: left hand, right hand, face."""

_LEAST_SIDE_PX = 20.0

_AVERAGE = 0.999
_PEAK_CELLS = 1.0


def fit(
    network: N,
    examples: IterableDataset[Batch],
    loss_of: Loss,
    *,
    steps: int,
    rate: float,
    say_every: int = 100,
    each: Callable[[int, N], None] | None = None,
) -> N:
    """Train a network.

    Args:
        network: it is changed.
        examples: endless batches.
        loss_of: gives losses whose sum is lowered.
        steps: batches.
        rate: highest learning rate.
        say_every: steps from one log line to the next.
        each: called now and then with the step and the averaged network.

    Returns:
        The network whose weights are the running average, in evaluation mode.
    """
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    average = copy.deepcopy(network)
    loader = DataLoader(examples, batch_size=None, num_workers=1, prefetch_factor=4)
    sums: dict[str, float] = {}
    started = time.monotonic()
    for step, batch in enumerate(loader):
        if step == steps:
            break
        network.train()
        losses = loss_of(batch, step / steps)
        loss = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        _follow(average, network, min(_AVERAGE, (1 + step) / (10 + step)))
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / say_every
        if (step + 1) % say_every == 0:
            told = ", ".join(f"{name} {value:.3f}" for name, value in sums.items())
            log.info("step %d of %d, %.0f s: %s", step + 1, steps, time.monotonic() - started, told)
            sums = {}
            if each is not None:
                each(step + 1, average)
    return average.eval()


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
        mine.data.lerp_(theirs.data, 1 - keep)
    for held, fresh in zip(average.buffers(), network.buffers(), strict=True):
        held.copy_(fresh)


# ---- the pose network


class PoseLoss:
    """Losses of the pose network on a batch."""

    def __init__(self, network: PoseNetwork, *, seed: int = 0) -> None:
        self.network = network
        self.draw = torch.Generator().manual_seed(seed)

    def __call__(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            batch: `pixels` [n, 3, HEIGHT, WIDTH], `points` [n, 133, 2] and `visible` [n, 133].
            done: part of the training that is done; later on half of the close views are the network's own.
        """
        pixels, points, visible = batch["pixels"], batch["points"], batch["visible"]
        inside = _inside(points, torch.tensor([networks.WIDTH, networks.HEIGHT]))
        weight = torch.where(visible, 1.0, torch.where(inside, _HIDDEN, 0.0))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        squares, held = truth_squares(points, visible, inside)
        with torch.autocast("cpu", torch.bfloat16):
            heat, seen, found, _ = self.network.look(pixels)
        losses = _coarse(heat.float(), seen.float(), found.float(), points, visible, weight, squares, held)
        own = torch.rand(held.shape, generator=self.draw) < (0.5 if done > 0.25 else 0.0)
        views = torch.where((own | (held == 0))[..., None], found.float().detach(), self._shaken(squares))
        with torch.autocast("cpu", torch.bfloat16):
            hand_heat, hand_seen, face_heat, face_seen = self.network.closer(pixels, views)
        return losses | _close(
            (hand_heat.float(), hand_seen.float(), face_heat.float(), face_seen.float()), points, visible, weight, views
        )

    def _shaken(self, squares: Tensor) -> Tensor:
        noise = torch.randn(squares.shape, generator=self.draw)
        side = squares[..., 2:]
        return torch.cat([squares[..., :2] + 0.07 * side * noise[..., :2], side * (0.15 * noise[..., 2:]).exp()], -1)


def _inside(points: Tensor, size: Tensor) -> Tensor:
    return ((points >= 0) & (points < size)).all(-1)


def truth_squares(points: Tensor, visible: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The squares [n, 3, 3] that hold hands and face, and how much each counts [n, 3]."""
    squares, held = [], []
    for part, room in zip(PARTS, _ROOM, strict=True):
        own = points[:, part]
        low, high = own.amin(1), own.amax(1)
        side = (high - low).amax(-1, keepdim=True).clamp(min=_LEAST_SIDE_PX) * room
        squares.append(torch.cat([(low + high) / 2, side], -1))
        seen, there = visible[:, part].float().mean(1), inside[:, part].float().mean(1)
        held.append(torch.where(seen > 0.2, 1.0, torch.where(there > 0.5, _HIDDEN, 0.0)))
    return torch.stack(squares, 1), torch.stack(held, 1)


def _coarse(
    heat: Tensor, seen: Tensor, found: Tensor, points: Tensor, visible: Tensor, weight: Tensor, squares: Tensor,
    held: Tensor,
) -> dict[str, Tensor]:  # fmt: skip
    body = points[:, :BODY_POINTS]
    wanted = torch.cat([body, squares[..., :2]], 1)
    counts = torch.cat([weight[:, :BODY_POINTS], held], 1)
    sizes = (found[..., 2].log() - squares[..., 2].log()).abs() * held
    return {
        "body": _points_loss(heat, (wanted - (COARSE - 1) / 2) / COARSE, counts),
        "sizes": sizes.sum() / held.sum().clamp(min=1),
        "body seen": functional.binary_cross_entropy_with_logits(seen, visible[:, :BODY_POINTS].float()),
    }


def _close(
    outputs: tuple[Tensor, Tensor, Tensor, Tensor], points: Tensor, visible: Tensor, weight: Tensor, views: Tensor
) -> dict[str, Tensor]:
    hand_heat, hand_seen, face_heat, face_seen = outputs
    places = [inward(points[:, part], views[:, number]) for number, part in enumerate(PARTS)]
    places[1] = torch.cat([CLOSE - 1 - places[1][..., :1], places[1][..., 1:]], -1)
    edge = torch.tensor([CLOSE, CLOSE])
    inside = [_inside(place, edge) for place in places]
    counts = [weight[:, part] * inside[number] for number, part in enumerate(PARTS)]
    shown = [(visible[:, part] & inside[number]).float() for number, part in enumerate(PARTS)]
    return {
        "hands": _points_loss(hand_heat, torch.cat(places[:2]), torch.cat(counts[:2])),
        "face": _points_loss(face_heat, places[2], counts[2]),
        "hands seen": functional.binary_cross_entropy_with_logits(hand_seen, torch.cat(shown[:2])),
        "face seen": functional.binary_cross_entropy_with_logits(face_seen, shown[2]),
    }


def _points_loss(heat: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy with a small hill at the truth, and the distance of the expectation from it.

    Args:
        heat: [n, k, h, w], of half the view's size.
        wanted: [n, k, 2] in pixels of the view.
        weight: [n, k].
    """
    height, width = heat.shape[2:]
    cells = (wanted - 0.5) / 2
    columns = torch.arange(width) - cells[..., :1]
    rows = torch.arange(height) - cells[..., 1:]
    across, down = (torch.softmax(-0.5 * (apart / _PEAK_CELLS) ** 2, -1) for apart in (columns, rows))
    logs = torch.log_softmax(heat.flatten(2), -1).reshape(heat.shape)
    likely = -(logs * (down[..., None] * across[..., None, :])).sum((2, 3))
    apart = functional.smooth_l1_loss(expected(heat), wanted, reduction="none", beta=0.5).sum(-1)
    total: Tensor = ((0.3 * likely + apart.clamp(max=20)) * weight).sum()
    return total / weight.sum().clamp(min=1)


# ---- the detector


class DetectorLoss:
    """YOLOX's losses: cells near the middle of a box on the level of its size are to find it."""

    def __init__(self, network: networks.Detector) -> None:
        self.network = network
        self.centres, self.strides = _cells()

    def __call__(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """Losses of a batch: `pixels` [n, 3, side, side], `boxes` [n, m, 4] padded with zeros."""
        del done
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            raw = self.network.raw(pixels)
        raw = raw.float()
        matched, target = self._match(batch["boxes"])
        places = (raw[..., :2] * self.strides) + self.centres - self.strides / 2
        sizes = raw[..., 2:4].clamp(-4, 4).exp() * self.strides
        found = torch.cat([places - sizes / 2, places + sizes / 2], -1)
        hits = matched.float()
        overlap = _overlap(found[matched], target[matched])
        objects = functional.binary_cross_entropy_with_logits(raw[..., 4], hits, reduction="sum")
        many = hits.sum().clamp(min=1)
        return {"boxes": 5 * (1 - overlap).sum() / many, "objects": objects / many}

    def _match(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Which cells are to find a box [n, cells], and which one [n, cells, 4]; the smaller box first."""
        n, cells = boxes.shape[0], len(self.centres)
        target, matched = torch.zeros(n, cells, 4), torch.zeros(n, cells, dtype=torch.bool)
        sizes = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
        longest = sizes.amax(-1)
        wanted = torch.full_like(longest, 32.0)
        wanted[longest < 128] = 16.0
        wanted[longest < 48] = 8.0
        order = torch.argsort(-sizes.prod(-1), dim=1)
        for place in range(boxes.shape[1]):
            row = order[:, place]
            box = boxes[torch.arange(n), row]
            middle, stride = (box[:, :2] + box[:, 2:]) / 2, wanted[torch.arange(n), row]
            near = ((self.centres[None] - middle[:, None]).abs() <= 1.3 * stride[:, None, None]).all(-1)
            inside = ((self.centres[None] >= box[:, None, :2]) & (self.centres[None] <= box[:, None, 2:])).all(-1)
            hit = near & inside & (self.strides[None, :, 0] == stride[:, None]) & (box[:, 2:3] > box[:, :1])
            target = torch.where(hit[..., None], box[:, None], target)
            matched |= hit
        return matched, target


def _cells() -> tuple[Tensor, Tensor]:
    """Middles [cells, 2] and strides [cells, 1] of the output's cells."""
    centres, strides = [], []
    for stride in networks.STRIDES:
        count = networks.DETECTOR_SIDE // stride
        y, x = torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij")
        centres.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((count * count, 1), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes [n, 4], pair by pair."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    both = shared.prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-6)


def parameters(network: nn.Module) -> int:
    """How many numbers a network has learnt."""
    return sum(parameter.numel() for parameter in network.parameters())
