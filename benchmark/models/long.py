"""Motions of any length, window by window, each going on from what was made before.

A window's first frames are known: the reference at the beginning, the last frames made before it later. Its last
frames, made without the sound that follows them, are made anew by the next window. Where a window goes on, its first
frames are moved so that they go on smoothly from the window before, and what they are moved by dies away: so no join is
seen. Only one window is in memory: `stream` gives frames as soon as their window is made.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from csg405.benchmark.models.base import GestureModel, Request, Sampling, Window
from csg405.benchmark.models.codec import References, references_of
from csg405.benchmark.seeds import mixed
from csg405.errors import UserError
from csg405.schema import FloatArray


def sample(model: GestureModel, requests: Sequence[Request], *, sampling: Sampling | None = None) -> list[FloatArray]:
    """Motions [n, 133, 2] px for requests, made side by side; each is what it would be alone, to rounding.

    Raises:
        UserError: a request cannot be met (see `checked`), or what is made is no motion.
    """
    pieces: list[list[FloatArray]] = [[] for _ in requests]
    for chunk in stream(model, requests, sampling=sampling):
        for held, piece in zip(pieces, chunk, strict=True):
            held.append(piece)
    return [np.concatenate(held) for held in pieces]


def stream(
    model: GestureModel, requests: Sequence[Request], *, sampling: Sampling | None = None
) -> Iterator[list[FloatArray]]:
    """The same, as it is made: for every request the next frames [m, 133, 2] px, none once it is whole."""
    for request in requests:
        checked(model, request)
    if model.training:
        raise ValueError(f"{model.name} is being trained; call eval() first")
    asked = sampling or model.sampling()
    made = [_Made(request, model) for request in requests]
    while any(not one.whole for one in made):
        open_ones = [one for one in made if not one.whole]
        numbers = _window(model, open_ones, asked)
        fresh = {id(one): one.take(part) for one, part in zip(open_ones, numbers, strict=True)}
        yield [fresh.get(id(one), _NONE) for one in made]


_FADE = 8
"""Frames, 0.32 s, in which a window's move to the one before it dies away."""

_ORDER = 2
"""Of the derivative that is kept small over a join: acceleration. With jerk, moves are nearly three times as large."""

_NONE: FloatArray = np.zeros((0, 133, 2), np.float32)


def checked(model: GestureModel, request: Request) -> None:
    """Make sure that a motion can be made.

    Raises:
        UserError: no frames, features of another size, numbers that are none, or a reference without shoulders.
    """
    shape = request.features.shape
    wanted = model.settings.features_dim
    if request.features.ndim != 2 or shape[1] != wanted or not len(request):
        raise UserError(
            f"features of shape {shape}; {model.name} wants [frames, {wanted}] of {model.settings.features!r}, "
            f"a row for each of 1 or more frames"
        )
    for what, array, size in (
        ("the reference", request.reference_px, (133, 2)), ("the reference's score", request.reference_score, (133,)),
    ):  # fmt: skip
        if array.shape != size:
            raise UserError(f"{what} has shape {array.shape}, wanted {size}")
    first = request.first_px
    if first is not None and (not model.lead or first.shape != (model.lead, 133, 2) or len(request) <= model.lead):
        raise UserError(
            f"first frames of shape {first.shape} for a motion of {len(request)}; {model.name} is given {model.lead}, "
            "and makes one more at least"
        )
    shown = request.reference_px[request.reference_score > 0]
    if not (
        np.isfinite(request.features).all() and np.isfinite(shown).all() and np.isfinite(request.reference_score).all()
    ):
        raise UserError("features or the reference hold numbers that are not finite")


@dataclasses.dataclass
class _Made:
    """A motion as far as it is made."""

    request: Request
    model: GestureModel
    done: int = 0
    """Frames that were given away."""
    windows: int = 0
    context: Tensor | None = None
    """[k, d] last numbers made."""
    references: References = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        points = np.where(self.request.reference_score[:, None] > 0, self.request.reference_px, 0)
        self.references = references_of([points], [self.request.reference_score]).to(self.model.device)
        self.base = self._numbers(self.references.keypoints_px)

    @property
    def whole(self) -> bool:
        return self.done == len(self.request)

    @property
    def start(self) -> int:
        """Frame in which the next window begins; below 0 before the clip."""
        if self.context is not None:
            return self.done - self.model.settings.context
        return -self.model.lead if self.request.first_px is None else 0

    @property
    def length(self) -> int:
        """Frames of the next window."""
        size = self.model.settings.frames + self.model.lead
        return min(size, len(self.request) - self.start)

    def known(self) -> Tensor:
        if self.context is not None:
            return self.context
        if self.request.first_px is not None:
            return self._numbers(torch.from_numpy(self.request.first_px).to(self.model.device))
        return self.base.expand(max(self.model.lead, 1), -1)

    def features(self) -> FloatArray:
        rows = np.zeros((self.length, self.request.features.shape[1]), np.float32)
        before = max(-self.start, 0)
        rows[before:] = self.request.features[self.start + before : self.start + self.length]
        return rows

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(mixed(self.request.seed, self.windows))

    def take(self, numbers: Tensor) -> FloatArray:
        """Keep what the next window needs of a window's numbers [n, d], and give what is new as keypoints."""
        numbers = numbers[: self.length]
        if self.context is not None:
            numbers = joined(numbers, known=len(self.context))
        end = self.start + self.length
        kept = end if end == len(self.request) else end - self.model.settings.lookahead
        fresh = numbers[self.done - self.start : kept - self.start]
        self.context = numbers[: kept - self.start][-self.model.settings.context :]
        self.done, self.windows = kept, self.windows + 1
        placed = self.model.codec.decode(fresh[None], self.references)[0]
        if not placed.isfinite().all():
            raise UserError(f"{self.model.name} made numbers that are not finite; sample with less guidance")
        return np.asarray(placed.float().cpu().numpy())

    def _numbers(self, keypoints_px: Tensor) -> Tensor:
        """[n, d] of keypoints [n, 133, 2]; 0 where the reference shows nothing."""
        numbers = self.model.codec.encode(keypoints_px[None], self.references)[0]
        shown = self.references.shown[:, None]
        return torch.where(self.model.codec.mask(shown)[0], numbers, 0)


def joined(numbers: Tensor, *, known: int) -> Tensor:
    """Numbers [n, d] whose new frames go on smoothly from the `known` ones before them.

    The first `_FADE` new frames are moved, later ones stay. Of all such moves it is the one by which the accelerations
    over the join, and those of the move itself after it, have the smallest sum of squares. Where fewer frames are new,
    they are moved like the first of many.
    """
    if known < _ORDER or len(numbers) <= known:
        return numbers
    over = numbers[known - _ORDER : known + _ORDER]
    if len(over) < 2 * _ORDER:  # a single new frame; one that goes on from it is thought of
        over = torch.cat([over, 2 * over[-1:] - over[-2:-1]])
    fresh = numbers[known : known + _FADE]
    moved = fresh + (_move().to(numbers) @ over)[: len(fresh)]
    return torch.cat([numbers[:known], moved, numbers[known + _FADE :]])


@functools.cache
def _move() -> Tensor:
    """[_FADE, 2 _ORDER] from the frames at either side of a join to the move of the new ones."""
    around = torch.eye(_ORDER + _FADE + _ORDER, dtype=torch.float64).diff(n=_ORDER, dim=0)
    over, of_move = around[:_ORDER, : 2 * _ORDER], around[:, _ORDER : _ORDER + _FADE]
    found: Tensor = -torch.linalg.pinv(of_move)[:, :_ORDER] @ over
    return found


@torch.inference_mode()
def _window(model: GestureModel, made: Sequence[_Made], sampling: Sampling) -> list[Tensor]:
    """The next window of each: [n, d]."""
    known = [one.known() for one in made]
    sizes = {len(part) for part in known}
    if len(sizes) > 1:
        raise AssertionError(f"windows with {sorted(sizes)} known frames")
    length = max(one.length for one in made)
    features = np.zeros((len(made), length, model.settings.features_dim), np.float32)
    within = np.zeros((len(made), length), np.bool_)
    for row, one in enumerate(made):
        features[row, : one.length] = one.features()
        within[row, : one.length] = True
    references = References(
        *(torch.cat([getattr(one.references, field.name) for one in made]) for field in dataclasses.fields(References))
    )
    window = Window(
        features=torch.from_numpy(features).to(model.device),
        references=references,
        known=torch.stack(known),
        within=torch.from_numpy(within).to(model.device),
        generators=[one.generator() for one in made],
        rows=model.settings.frames + model.lead,
    )
    return list(model.make(window, sampling))
