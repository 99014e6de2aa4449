"""The two networks, in PyTorch: small, and wholly convolutional.

The pose network looks twice. A coarse view of the person gives body and feet, and says where hands and face are;
three close views, cut out of the full input by bilinear sampling, give the 21 points of each hand (one network, the
right hand seen in a mirror) and the 68 of the face. Points are expectations over heatmaps (Sun et al., "Integral Human
Pose Regression", ECCV 2018), so they lie between pixels. For RTMPose's contract each is written as two curves over the
SimCC bins (Li et al., ECCV 2022), whose peak is the probability that the point can be seen.

The detector is YOLOX in small (Ge et al., 2021): three levels of stride 8, 16 and 32 with a decoupled head, no anchors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from csg405 import keypoints as kp

WIDTH, HEIGHT = 288, 384
"""Of the pose network's input, px."""

COARSE = 3
"""The coarse view is so many times smaller."""

CLOSE = 64
"""Side of a close view, px."""

BODY_POINTS = kp.FEET.stop
PARTS = (kp.LEFT_HAND, kp.RIGHT_HAND, kp.FACE)
HAND_POINTS, FACE_POINTS = 21, 68
BINS_PER_PX = 2
PEAK_BINS = 3.0
"""Deviation of the curves over the SimCC bins."""

DETECTOR_SIDE = 256
EVEN = 0.4
"""The detector's probability at which about as many persons are missed as invented; it is moved to 0.5."""
STRIDES = (8, 16, 32)


class _Unit(nn.Sequential):
    """Convolution, normalisation, activation."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _Unit(width, width), _Unit(width, width)

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = self.second(self.first(x))
        return x + refined


class Hourglass(nn.Module):
    """Heatmaps of half the input's size, and features of the whole view."""

    def __init__(self, widths: tuple[int, int, int], points: int) -> None:
        super().__init__()
        fine, middle, deep = widths
        self.stem = _Unit(3, fine, stride=2)
        self.fine = _Residual(fine)
        self.middle = nn.Sequential(_Unit(fine, middle, stride=2), _Residual(middle), _Residual(middle))
        self.deep = nn.Sequential(_Unit(middle, deep, stride=2), _Residual(deep), _Residual(deep))
        self.deep_up, self.middle_up = _Unit(deep, middle, kernel=1), _Unit(middle, fine, kernel=1)
        self.middle_out, self.fine_out = _Residual(middle), _Residual(fine)
        self.heat = nn.Conv2d(fine, points, 1)
        self.deep_width = deep

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[n, 3, h, w] to heatmaps [n, points, h / 2, w / 2] and features [n, 2 * deep]."""
        fine = self.fine(self.stem(x))
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = self.middle_out(middle + _larger(self.deep_up(deep)))
        fine = self.fine_out(fine + _larger(self.middle_up(middle)))
        whole = torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1)
        return self.heat(fine), whole


def _larger(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def expected(heat: Tensor) -> Tensor:
    """Heatmaps [n, k, h, w] of half the size as expected places [n, k, 2], in pixels of the view."""
    height, width = heat.shape[2:]
    shares = torch.softmax(heat.flatten(2), dim=-1).reshape(heat.shape)
    columns = torch.arange(width, dtype=heat.dtype) * 2 + 0.5
    rows = torch.arange(height, dtype=heat.dtype) * 2 + 0.5
    return torch.stack([(shares.sum(dim=2) * columns).sum(-1), (shares.sum(dim=3) * rows).sum(-1)], dim=-1)


class PoseNetwork(nn.Module):
    """133 points of one person in a cut."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = Hourglass((32, 64, 128), BODY_POINTS + len(PARTS))
        self.coarse_seen = nn.Linear(256, BODY_POINTS)
        self.sizes = nn.Linear(256, len(PARTS))
        self.hand = Hourglass((28, 56, 96), HAND_POINTS)
        self.hand_seen = nn.Linear(192, HAND_POINTS)
        self.face = Hourglass((28, 56, 96), FACE_POINTS)
        self.face_seen = nn.Linear(192, FACE_POINTS)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The coarse view.

        Args:
            x: [n, 3, HEIGHT, WIDTH], normalised as RTMPose's input.

        Returns:
            Heatmaps of body, feet and the parts' middles; logits of what can be seen of body and feet [n, 23];
            squares [n, 3, 3] around the parts: x and y of the middle, and the side, in pixels; the points [n, 23, 2].
        """
        heat, whole = self.coarse(functional.avg_pool2d(x, COARSE))
        places = expected(heat) * COARSE + (COARSE - 1) / 2
        sides = (self.sizes(whole).clamp(-3, 3).exp() * 60).unsqueeze(-1)
        squares = torch.cat([places[:, BODY_POINTS:], sides], dim=-1)
        return heat, self.coarse_seen(whole), squares, places[:, :BODY_POINTS]

    def closer(self, x: Tensor, squares: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The close views.

        Args:
            x: [n, 3, HEIGHT, WIDTH].
            squares: [n, 3, 3] around left hand, right hand and face.

        Returns:
            Heatmaps and logits of the hands, [2 n, 21, 32, 32] and [2 n, 21], left ones first, right ones in a
            mirror; and of the face, [n, 68, 32, 32] and [n, 68].
        """
        views = close_views(x, squares)
        hand_heat, hand_whole = self.hand(torch.cat([views[0], views[1].flip(-1)]))
        face_heat, face_whole = self.face(views[2])
        return hand_heat, self.hand_seen(hand_whole), face_heat, self.face_seen(face_whole)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[n, 3, HEIGHT, WIDTH] to simcc_x [n, 133, 2 WIDTH] and simcc_y [n, 133, 2 HEIGHT]."""
        _, seen, squares, body = self.look(x)
        hand_heat, hand_seen, face_heat, face_seen = self.closer(x, squares)
        n = x.shape[0]
        hands = expected(hand_heat)
        left = hands[:n]
        right = torch.cat([CLOSE - 1 - hands[n:, :, :1], hands[n:, :, 1:]], dim=-1)
        views = (left, right, expected(face_heat))
        left, right, face = (outward(points, squares[:, number]) for number, points in enumerate(views))
        points = torch.cat([body, face, left, right], dim=1)
        logits = torch.cat([seen, face_seen, hand_seen[:n], hand_seen[n:]], dim=1)
        return _curves(points[..., 0], logits, WIDTH), _curves(points[..., 1], logits, HEIGHT)


def _curves(places: Tensor, logits: Tensor, size: int) -> Tensor:
    """Curves over the SimCC bins [n, 133, 2 size] with their peak at a place, as high as the point is likely seen."""
    bins = torch.arange(size * BINS_PER_PX, dtype=places.dtype)
    apart = (bins - (places.clamp(0, size - 0.5) * BINS_PER_PX).unsqueeze(-1)) / PEAK_BINS
    return torch.exp(-0.5 * apart * apart) * torch.sigmoid(logits).unsqueeze(-1)


def close_views(x: Tensor, squares: Tensor) -> list[Tensor]:
    """Squares [n, 3, 3] cut out of pictures [n, 3, HEIGHT, WIDTH]: three times [n, 3, CLOSE, CLOSE]."""
    steps = (torch.arange(CLOSE, dtype=x.dtype) + 0.5) / CLOSE - 0.5
    views = []
    for part in range(len(PARTS)):
        middle, side = squares[:, part, :2], squares[:, part, 2:]
        columns = (middle[:, :1] + side * steps + 0.5) * (2 / WIDTH) - 1
        rows = (middle[:, 1:] + side * steps + 0.5) * (2 / HEIGHT) - 1
        grid = torch.stack(
            [columns.unsqueeze(1).expand(-1, CLOSE, -1), rows.unsqueeze(2).expand(-1, -1, CLOSE)], dim=-1
        )
        views.append(functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    return views


def outward(points: Tensor, square: Tensor) -> Tensor:
    """Points [n, k, 2] of a close view in pixels of the input, from its square [n, 3]."""
    return square[:, None, :2] + ((points + 0.5) / CLOSE - 0.5) * square[:, None, 2:]


def inward(points: Tensor, square: Tensor) -> Tensor:
    """The inverse of `outward`."""
    return ((points - square[:, None, :2]) / square[:, None, 2:] + 0.5) * CLOSE - 0.5


class Detector(nn.Module):
    """Persons in a picture of 256x256."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_Unit(3, 16, stride=2), _Unit(16, 24, stride=2), _Residual(24))
        self.levels = nn.ModuleList(
            [
                nn.Sequential(_Unit(24, 48, stride=2), _Residual(48)),
                nn.Sequential(_Unit(48, 64, stride=2), _Residual(64)),
                nn.Sequential(_Unit(64, 96, stride=2), _Residual(96), _Residual(96)),
            ]
        )
        self.down = nn.ModuleList([_Unit(64, 48, kernel=1), _Unit(96, 64, kernel=1)])
        self.mix = nn.ModuleList([_Residual(48), _Residual(64), _Residual(96)])
        self.heads = nn.ModuleList([nn.Sequential(_Unit(width, 48), nn.Conv2d(48, 5, 1)) for width in (48, 64, 96)])

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, 256, 256] BGR, 0-255, to YOLOX's raw output [n, 1344, 6]."""
        raw = self.raw(x)
        seen = torch.sigmoid(raw[..., 4:5] - math.log(EVEN / (1 - EVEN)))
        return torch.cat([raw[..., :4], seen, torch.ones_like(seen)], dim=-1)  # there is one class

    def raw(self, x: Tensor) -> Tensor:
        """The same with logits in place of probabilities."""
        fine = self.stem((x - 114) / 58)
        found = []
        for level in self.levels:
            fine = level(fine)
            found.append(fine)
        found[1] = found[1] + _larger(self.down[1](found[2]))
        found[0] = found[0] + _larger(self.down[0](found[1]))
        outputs = [head(mix(level)) for head, mix, level in zip(self.heads, self.mix, found, strict=True)]
        return torch.cat([output.flatten(2).transpose(1, 2) for output in outputs], dim=1)
