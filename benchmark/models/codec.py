"""Keypoints as the numbers that models work on, and back: about a reference person, in that person's size.

A frame is the place of its neck, counted from the reference's neck, and its points in the local representation of
`csg405.keypoints.representations`: body about the neck, face about the nose, hands about their wrists; all in widths
of the reference's shoulders. Points whose place says who somebody is (face, trunk, legs) can be told as their distance
from the reference's own, so a person keeps their shape by default. Then every number is brought to mean 0 and
deviation 1 over the training split; both lie in the codec, so a model that is saved has them with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from csg405 import keypoints as kp
from csg405.benchmark.clip import SEEN
from csg405.errors import UserError
from csg405.schema import FloatArray

ROOT = 2
"""Numbers of the root track."""

SHAPE = (*range(7), *range(11, kp.FACE.stop))
"""Points whose place says who somebody is, rather than what they do: all but elbows, wrists and hands."""

_SHOULDERS = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]
_LEAST_UNIT_PX = 1.0
_LEAST_DEVIATION = 0.01
"""Shoulder widths: what moves less is noise."""


@dataclasses.dataclass(frozen=True)
class References:
    """The persons that motions are for."""

    keypoints_px: Tensor
    """[b, 133, 2]"""
    shown: Tensor
    """bool [b, 133]"""
    neck_px: Tensor
    """[b, 2]"""
    unit_px: Tensor
    """[b] width of the shoulders."""

    def __len__(self) -> int:
        return len(self.unit_px)

    @classmethod
    def of(
        cls,
        keypoints_px: Tensor,
        shown: Tensor,
        *,
        neck_px: Tensor | None = None,
        unit_px: Tensor | None = None,
    ) -> References:
        """From poses [b, 133, 2]; neck and unit [b, 2], [b] stand in where shoulders are not shown.

        Raises:
            UserError: shoulders are not shown, and nothing stands in for them.
        """
        pair = keypoints_px[:, _SHOULDERS]
        known = shown[:, _SHOULDERS].all(dim=1)
        own_neck, own_unit = pair.mean(dim=1), (pair[:, 0] - pair[:, 1]).norm(dim=-1)
        if neck_px is None or unit_px is None:
            if not known.all():
                raise UserError("the reference does not show both shoulders; give a picture of the upper body")
            neck_px, unit_px = own_neck, own_unit
        return cls(
            keypoints_px,
            shown,
            torch.where(known[:, None], own_neck, neck_px),
            torch.where(known, own_unit, unit_px).clamp(min=_LEAST_UNIT_PX),
        )

    def to(self, device: torch.device | str) -> References:
        """The same on a device."""
        return References(*(getattr(self, field.name).to(device) for field in dataclasses.fields(self)))


def localised(points: Tensor) -> Tensor:
    """Points [..., 133, 2] in place: body about the neck, face about the nose, hands about their wrists."""
    neck = points[..., _SHOULDERS, :].mean(dim=-2, keepdim=True)
    roots = neck.expand_as(points).clone()
    roots[..., kp.FACE, :] = points[..., kp.NOSE, None, :]
    roots[..., kp.LEFT_HAND, :] = points[..., kp.LEFT_WRIST, None, :]
    roots[..., kp.RIGHT_HAND, :] = points[..., kp.RIGHT_WRIST, None, :]
    return points - roots


def globalised(local: Tensor, root: Tensor) -> Tensor:
    """The inverse of `localised`: the middle of the shoulders comes to the neck's place [..., 2]."""
    apart = local[..., _SHOULDERS, :].mean(dim=-2) - root
    body = local - apart[..., None, :]
    points = body.clone()
    points[..., kp.FACE, :] = local[..., kp.FACE, :] + body[..., kp.NOSE, None, :]
    points[..., kp.LEFT_HAND, :] = local[..., kp.LEFT_HAND, :] + body[..., kp.LEFT_WRIST, None, :]
    points[..., kp.RIGHT_HAND, :] = local[..., kp.RIGHT_HAND, :] + body[..., kp.RIGHT_WRIST, None, :]
    return points


class Codec(nn.Module):
    """Keypoints to numbers, and back.

    `numbers` of a frame: two of the root track, unless it is dropped, then x and y of every point in `points`.
    """

    mean: Tensor
    """[d]"""
    deviation: Tensor
    """[d]"""
    pose: Tensor
    """[133, 2] local mean pose: stands in for what a reference does not show."""

    def __init__(self, points: Sequence[int] = range(kp.COUNT), *, root: bool = True, anchored: bool = True) -> None:
        """It knows nothing of a release yet: see `fit`.

        Args:
            points: that a model has; the others follow from the reference.
            root: whether the neck's track is among the numbers. Without it the person is pinned.
            anchored: whether points of `SHAPE` are told as the distance from the reference's.
        """
        super().__init__()
        self.points = list(points)
        self.root = root
        self.anchored = anchored
        self.numbers = ROOT * root + 2 * len(self.points)
        self.register_buffer("mean", torch.zeros(self.numbers))
        self.register_buffer("deviation", torch.ones(self.numbers))
        self.register_buffer("pose", torch.zeros(kp.COUNT, 2))

    def encode(self, keypoints_px: Tensor, references: References) -> Tensor:
        """Numbers [b, n, d] of keypoints [b, n, 133, 2]."""
        return (self.raw(keypoints_px, references) - self.mean) / self.deviation

    def decode(self, numbers: Tensor, references: References) -> Tensor:
        """Keypoints [b, n, 133, 2] px of numbers [b, n, d]; other points stand as in the reference."""
        raw = numbers * self.deviation + self.mean
        root = raw[..., :ROOT] if self.root else torch.zeros_like(raw[..., :ROOT])
        base = self.shape(references)[:, None]
        local = base.expand(*raw.shape[:2], kp.COUNT, 2).clone()
        told = raw[..., ROOT * self.root :].reshape(*raw.shape[:2], len(self.points), 2)
        local[..., self.points, :] = told + (base * self.anchor)[..., self.points, :]
        placed = globalised(local, root)
        return placed * references.unit_px[:, None, None, None] + references.neck_px[:, None, None]

    def mask(self, shown: Tensor) -> Tensor:
        """[b, n, d] numbers that can be known, from points shown [b, n, 133].

        A number is known where its point is shown, and that about which the point lies.
        """
        of_points = _known(shown)[..., self.points].repeat_interleave(2, dim=-1)
        neck = shown[..., _SHOULDERS].all(dim=-1, keepdim=True)
        return torch.cat([neck, neck, of_points], dim=-1) if self.root else of_points

    def shape(self, references: References) -> Tensor:
        """[b, 133, 2] the references' local poses in their units; the mean pose where they show nothing."""
        local = localised(references.keypoints_px) / references.unit_px[:, None, None]
        known = _known(references.shown)
        return torch.where(known[..., None], local, self.pose)

    def described(self, references: References) -> Tensor:
        """[b, 133 * 3] what a model is told of a reference: its local pose about the mean pose, and what is shown."""
        apart = (self.shape(references) - self.pose).flatten(1)
        return torch.cat([4 * apart, _known(references.shown).to(apart.dtype)], dim=-1)

    def raw(self, keypoints_px: Tensor, references: References) -> Tensor:
        """Numbers [b, n, d] in shoulder widths, before they are normalised."""
        placed = (keypoints_px - references.neck_px[:, None, None]) / references.unit_px[:, None, None, None]
        told = localised(placed) - (self.shape(references) * self.anchor)[:, None]
        numbers = told[..., self.points, :].flatten(-2)
        if not self.root:
            return numbers
        return torch.cat([placed[..., _SHOULDERS, :].mean(dim=-2), numbers], dim=-1)

    @torch.no_grad()
    def fit(self, examples: Iterable[tuple[Tensor, Tensor, References]]) -> None:
        """Learn the mean pose, and each number's mean and deviation.

        Args:
            examples: keypoints [b, n, 133, 2], points shown [b, n, 133], references; gone through twice.

        Raises:
            UserError: there are none.
        """
        held = list(examples)
        if not held:
            raise UserError("no windows to take the mean from; the training split is too small")
        self._fit_pose(held)
        total, square, count = (torch.zeros(self.numbers, dtype=torch.float64) for _ in range(3))
        for keypoints_px, shown, references in held:
            raw = self.raw(keypoints_px, references).double()
            known = self.mask(shown)
            raw = torch.where(known, raw, 0)
            total += raw.sum(dim=(0, 1))
            square += (raw**2).sum(dim=(0, 1))
            count += known.sum(dim=(0, 1))
        mean = total / count.clamp(min=1)
        deviation = (square / count.clamp(min=1) - mean**2).clamp(min=0).sqrt().clamp(min=_LEAST_DEVIATION)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(count > 0, deviation, 1.0))

    def _fit_pose(self, held: Sequence[tuple[Tensor, Tensor, References]]) -> None:
        total, count = torch.zeros(kp.COUNT, 2, dtype=torch.float64), torch.zeros(kp.COUNT, 1, dtype=torch.float64)
        for keypoints_px, shown, references in held:
            local = localised(keypoints_px).double() / references.unit_px[:, None, None, None]
            known = _known(shown)[..., None]
            total += torch.where(known, local, 0).sum(dim=(0, 1))
            count += known.sum(dim=(0, 1))
        self.pose.copy_(total / count.clamp(min=1))

    @property
    def anchor(self) -> Tensor:
        """[133, 1] 1 for points that are told as the distance from the reference's."""
        weights = torch.zeros(kp.COUNT, 1, device=self.pose.device, dtype=self.pose.dtype)
        if self.anchored:
            weights[list(SHAPE)] = 1
        return weights


def _known(shown: Tensor) -> Tensor:
    """[..., 133] points that are shown together with that about which they lie."""
    neck = shown[..., _SHOULDERS].all(dim=-1, keepdim=True)
    known = shown & neck
    for part, root in ((kp.FACE, kp.NOSE), (kp.LEFT_HAND, kp.LEFT_WRIST), (kp.RIGHT_HAND, kp.RIGHT_WRIST)):
        known[..., part] = shown[..., part] & shown[..., root, None]
    return known


def references_of(poses_px: Sequence[FloatArray], scores: Sequence[FloatArray]) -> References:
    """References from poses [133, 2] px and their scores [133].

    Raises:
        UserError: one of them does not show both shoulders.
    """
    points = torch.from_numpy(np.stack(poses_px).astype(np.float32))
    return References.of(points, torch.from_numpy(np.stack(scores) >= SEEN))
