"""Making up what a picture hides, for `warp`: by shifted copies of what it shows.

Rooms and clothes repeat themselves: shelves along a row, a wall everywhere. So the hidden region is patched from the
picture itself, shifted by those few offsets at which the picture agrees best with itself round the region's edge (as in
He and Sun, Statistics of patch offsets for image completion, ECCV 2012, with the offsets weighed locally instead of by
a graph cut). Where no offset reaches, it is inpainted (Telea, JGT 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Bools
from csg405.media.decode import Image
from csg405.schema import FloatArray

_SIDE_PX = 192
"""Longer side at which offsets are weighed."""

_STEP_PX = 4
_REACH = (0.25, 0.6)
"""How far an offset goes down and across, in the sides of the picture."""

_BAND_PX = 5
"""Width of the region's edge in which the picture is compared with itself."""

_KEPT = 24
"""Offsets that are weighed."""

_REACHES_PX = (81, 31, 11)
"""Sides of the neighbourhoods in which agreement counts: the nearer, the more, where there is something to see."""

_FAR = 20.0
"""Levels of disagreement that an offset of the whole picture's side counts for."""

_LIFT = 40.0
"""Levels by which light may differ between two places; more is another thing."""

_UNKNOWN = 1e4

_PROBES = 500
"""Pixels of the band, and of the region, by which offsets are chosen."""

Offset = tuple[int, int]
"""Rows and columns."""


def extended(image: Image, known: Bools) -> Image:
    """A picture whose unknown pixels have the colour of the nearest known one."""
    if known.all() or not known.any():
        return image.copy()
    unknown = (~known).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(unknown, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[known]] = image[known]
    return np.where(known[..., None], image, colours[nearest])


def made_up(image: Image, hidden: Bools, *, known: Bools) -> Image:
    """A picture whose hidden pixels are made up.

    Args:
        image: [height, width, 3].
        hidden: [height, width] what is wanted.
        known: [height, width] what may be gone by.
    """
    known = known & ~hidden
    if not hidden.any() or not known.any():
        return image.copy()
    height, width = hidden.shape
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(extended(image, known), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    wanted = cv2.resize(hidden.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    sure = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.99
    coarse = cv2.inpaint(small.astype(np.uint8), (~sure).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    result = np.where(hidden[..., None], cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), image)
    band = sure & (cv2.dilate(wanted.astype(np.uint8), np.ones((2 * _BAND_PX + 1,) * 2, np.uint8)) > 0)
    if not band.any():
        return result
    offsets = _offsets(small, wanted, sure, band)
    if not offsets:
        return result
    costs = np.stack([_cost(small, sure, band, offset) for offset in offsets])
    lift = cv2.resize(_lift(small, band, costs, offsets), (width, height), interpolation=cv2.INTER_LINEAR)
    scale = (height / size[1], width / size[0])
    return _patched(image, result, hidden, known, costs, offsets, scale, lift.astype(np.float32))


def _offsets(small: FloatArray, wanted: Bools, sure: Bools, band: Bools) -> list[Offset]:
    """The offsets at which the picture agrees best with itself along the band, and that reach much of the region."""
    height, width = wanted.shape
    down, across = (int(part * side) // _STEP_PX * _STEP_PX for part, side in zip(_REACH, wanted.shape, strict=True))
    edge, hole = (np.argwhere(mask) for mask in (band, wanted))
    rows, columns = edge[:: 1 + len(edge) // _PROBES].T
    hole = hole[:: 1 + len(hole) // _PROBES]
    padded = np.pad(small, ((height, height), (width, width), (0, 0)))
    there = np.pad(sure, ((height, height), (width, width)))
    scored = []
    for dy in range(-down, down + 1, _STEP_PX):
        for dx in range(-across, across + 1, _STEP_PX):
            if abs(dy) + abs(dx) < _STEP_PX:
                continue
            covered = there[hole[:, 0] + dy + height, hole[:, 1] + dx + width].mean()
            shown = there[rows + dy + height, columns + dx + width]
            if covered < 0.1 or shown.mean() < 0.1:
                continue
            moved = padded[rows + dy + height, columns + dx + width]
            apart = np.abs(moved - small[rows, columns]).mean(axis=-1)[shown]
            scored.append((float(np.minimum(apart, 60).mean()) - 12 * covered + _far((dy, dx), wanted.shape), (dy, dx)))
    scored.sort()
    return [offset for _, offset in scored[:_KEPT]]


def _far(offset: Offset, shape: tuple[int, ...]) -> float:
    return _FAR * (abs(offset[0]) + abs(offset[1])) / max(shape)


def _cost(small: FloatArray, sure: Bools, band: Bools, offset: Offset) -> FloatArray:
    """Of every pixel, how badly the picture agrees with its shifted self at the band near it: [height, width]."""
    moved, there = _shifted(small, offset), _shifted(sure.astype(np.float32), offset) > 0
    apart = np.where(band & there, np.minimum(np.abs(moved - small).mean(axis=-1), 60), 0).astype(np.float32)
    share = (band & there).astype(np.float32)
    cost = np.full(band.shape, 60.0, np.float32)
    for reach in _REACHES_PX:
        weight = _meaned(share, reach)
        local = _meaned(apart, reach) / np.maximum(weight, 1e-6)
        trust = np.clip(weight / 0.02, 0, 1)
        cost = cost + trust * (local - cost)
    return np.asarray(np.where(there, cost + _far(offset, band.shape), _UNKNOWN), np.float32)


def _lift(small: FloatArray, band: Bools, costs: FloatArray, offsets: Sequence[Offset]) -> FloatArray:
    """What has to be added to the copies so that they go on where the region ends: [height, width, 3]."""
    best = costs.argmin(axis=0)
    copied = np.zeros_like(small)
    for number in np.unique(best):
        copied = np.where((best == number)[..., None], _shifted(small, offsets[number]), copied)
    apart = small - copied
    fits = band & (costs.min(axis=0) < _UNKNOWN) & (np.abs(apart).max(axis=-1) < _LIFT)
    share, apart = fits.astype(np.float32), np.where(fits[..., None], apart, 0).astype(np.float32)
    found = np.zeros_like(small)
    for reach in _REACHES_PX:
        weight = _meaned(share, reach)[..., None]
        found += np.clip(weight / 0.02, 0, 1) * (_meaned(apart, reach) / np.maximum(weight, 1e-6) - found)
    return found


def _meaned(values: FloatArray, side_px: int) -> FloatArray:
    once = cv2.blur(values, (side_px, side_px), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.blur(once, (side_px, side_px), borderType=cv2.BORDER_REFLECT), np.float32)


def _patched(
    image: Image, result: Image, hidden: Bools, known: Bools, costs: FloatArray, offsets: Sequence[Offset],
    scale: tuple[float, float], lift: FloatArray,
) -> Image:  # fmt: skip
    """The hidden pixels of a result, from the shifted picture where an offset reaches; seams are soft."""
    height, width = hidden.shape
    best = costs.argmin(axis=0)
    total = np.zeros((height, width, 3), np.float32)
    weight = np.zeros((height, width), np.float32)
    for number in np.unique(best):
        share = cv2.GaussianBlur(((best == number) & (costs[number] < _UNKNOWN)).astype(np.float32), (0, 0), 0.8)
        share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
        offset = (round(offsets[number][0] * scale[0]), round(offsets[number][1] * scale[1]))
        share *= _shifted(known.astype(np.float32), offset) > 0
        total += share[..., None] * _shifted(image, offset)
        weight += share
    trust = np.clip(weight / 0.25, 0, 1)[..., None]
    copied = np.clip(total / np.maximum(weight, 1e-6)[..., None] + lift, 0, 255)
    mixed = trust * copied + (1 - trust) * result
    return np.where(hidden[..., None], np.round(mixed).astype(np.uint8), result)


def _shifted(values: npt.NDArray[Any], offset: Offset) -> npt.NDArray[Any]:
    """Values at the place of each pixel plus an offset; 0 beyond the picture."""
    result = np.zeros_like(values)
    height, width = values.shape[:2]
    dy, dx = offset
    to_y, from_y = (slice(max(0, -shift), height - max(0, shift)) for shift in (dy, -dy))
    to_x, from_x = (slice(max(0, -shift), width - max(0, shift)) for shift in (dx, -dx))
    result[to_y, to_x] = values[from_y, from_x]
    return result
