"""Cutting the person out of the reference for `warp`.

GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004) between the colours of person and room, told by the skeleton what
is surely the one and surely the other.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.media.decode import Image
from csg405.schema import FloatArray

Mask = npt.NDArray[np.uint8]
"""[height, width], 0 or 255."""

_SEED = 405

_CUT_SIDE_PX = 512
"""Longer side at which the person is cut out: beyond it only time grows."""

_ROUNDS = 4

_BINS = 16
_BIN = 256 // _BINS
"""Levels of a colour that count as one."""

_COMMON, _TIMES = 0.002, 4
"""A colour is the room's when so much of the room has it, and so many times as much as of the person."""

_KNEES = (kp.INDEX["left_knee"], kp.INDEX["right_knee"])

_LAP = 1.0
"""A knee that is not seen may be so far from its hip, in shoulder widths."""

_LEAST_FACE = 0.6
"""Part of the face's points that must be seen for the head to be cut out by them."""

_BONES = ((kp.LEFT_SHOULDER, kp.LEFT_ELBOW, 0.15), (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, 0.15),
          (kp.LEFT_ELBOW, kp.LEFT_WRIST, 0.12), (kp.RIGHT_ELBOW, kp.RIGHT_WRIST, 0.12),
          (kp.LEFT_HIP, _KNEES[0], 0.22), (kp.RIGHT_HIP, _KNEES[1], 0.22),
          (_KNEES[0], kp.INDEX["left_ankle"], 0.17), (_KNEES[1], kp.INDEX["right_ankle"], 0.17))  # fmt: skip
"""Ends of a limb, and half its width in shoulder widths."""


_FAR_PX = 16
"""From this radius on, masks grow by the distance to them: its cost does not rise with the radius."""


def person_matte(image: Image, px: FloatArray, seen: Bools, *, shoulders_px: float) -> FloatArray:
    """How much of each pixel is the person's: [height, width], 0 to 1.

    Args:
        image: [height, width, 3].
        px: [133, 2].
        seen: [133].
        shoulders_px: width of the shoulders.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _CUT_SIDE_PX / max(height, width))
    size = (round(width * scale), round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    trimap = _trimap(size, (px + 0.5) * scale - 0.5, seen, shoulders_px * scale)
    labels = _cut(small, _by_colour(small, trimap))
    solid = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    solid = _one_piece(solid, trimap == cv2.GC_FGD)
    soft = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 1.0)
    soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(2 * soft - 0.5, 0, 1), np.float32)


def _trimap(size: tuple[int, int], px: FloatArray, seen: Bools, unit: float) -> Mask:
    """GrabCut's four labels, from the skeleton."""
    width, height = size
    core, likely = (np.zeros((height, width), np.uint8) for _ in range(2))
    torso = torso_corners(px, seen, unit, height)
    _fill(core, torso.mean(axis=0) + (torso - torso.mean(axis=0)) * [0.7, 0.9])
    _fill(likely, torso.mean(axis=0) + (torso - torso.mean(axis=0)) * [1.15, 1.03])
    for start, end, half in _BONES:
        if seen[[start, end]].all():
            line(core, px[[start, end]], 0.7 * half * unit)
            line(likely, px[[start, end]], 2 * 1.2 * half * unit)
    for hand in (kp.LEFT_HAND, kp.RIGHT_HAND):
        if seen[hand].all():
            for start, end in kp.LINKS[25:]:
                if hand.start <= start < hand.stop:
                    line(core, px[[start, end]], 0.03 * unit)
                    line(likely, px[[start, end]], 0.09 * unit)
    _head(core, likely, px, seen, torso)
    near = _grown(likely, 0.25 * unit)
    for hip, knee in zip(torso[2:], reversed(_KNEES), strict=True):
        if not seen[knee]:
            cv2.circle(near, (round(float(hip[0])), round(float(hip[1]))), round(_LAP * unit), 255, -1)
    trimap = np.full((height, width), cv2.GC_BGD, np.uint8)
    trimap[near > 0] = cv2.GC_PR_BGD
    trimap[likely > 0] = cv2.GC_PR_FGD
    trimap[core > 0] = cv2.GC_FGD
    return trimap


def torso_corners(px: FloatArray, seen: Bools, unit: float, height: int) -> FloatArray:
    """[4, 2] right shoulder, left shoulder, left hip, right hip; hips that are not seen are put below the shoulders."""
    shoulders = px[[kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER]]
    hips = px[[kp.RIGHT_HIP, kp.LEFT_HIP]]
    if not seen[[kp.RIGHT_HIP, kp.LEFT_HIP]].all():
        middle = shoulders.mean(axis=0)
        hips = middle + 0.8 * (shoulders - middle) + np.array([0, max(1.4 * unit, height - middle[1])], np.float32)
    wide = hips.mean(axis=0) + (hips - hips.mean(axis=0)) * 1.35
    return np.stack([shoulders[0], shoulders[1], wide[1], wide[0]])


def _head(core: Mask, likely: Mask, px: FloatArray, seen: Bools, torso: FloatArray) -> None:
    """Face, hair and neck."""
    face, shown = px[kp.FACE], seen[kp.FACE]
    if shown.mean() < _LEAST_FACE:
        return
    _fill(core, np.asarray(cv2.convexHull(face[shown])[:, 0], np.float32))
    chin, brow = face[8], face[[19, 24]].mean(axis=0)
    up, middle = brow - chin, (brow + chin) / 2
    wide = float(np.linalg.norm(face[16] - face[0]))
    angle = float(np.degrees(np.arctan2(up[1], up[0])))
    length = float(np.linalg.norm(up))
    for mask, ahead, half in ((core, 0.2, 0.42), (likely, 0.42, 0.68)):
        centre = middle + up * ahead
        axes = (round((0.5 + ahead) * length * 16), round(half * wide * 16))
        place = tuple(round(float(value) * 16) for value in centre)
        cv2.ellipse(mask, place, axes, angle, 0, 360, 255, -1, cv2.LINE_8, 4)
    neck = np.stack([chin, torso[:2].mean(axis=0)])
    line(core, neck, 0.4 * wide)
    line(likely, neck, 0.9 * wide)


def _by_colour(image: Image, trimap: Mask) -> Mask:
    """Labels in which what is likely the person's, but has a colour of the room and none of theirs, is not likely."""
    wide = image.astype(np.int32) // _BIN
    bins = (wide[..., 0] * _BINS + wide[..., 1]) * _BINS + wide[..., 2]
    room, person = (
        np.bincount(bins[trimap == label], minlength=_BINS**3) / max(int((trimap == label).sum()), 1)
        for label in (cv2.GC_BGD, cv2.GC_FGD)
    )
    of_room = (room > _COMMON) & (room > _TIMES * person)
    changed = (trimap == cv2.GC_PR_FGD) & of_room[bins]
    return np.where(changed, np.uint8(cv2.GC_PR_BGD), trimap)


def _cut(image: Image, trimap: Mask) -> Mask:
    """GrabCut's labels; the trimap's own where there is nothing to decide."""
    background = np.isin(trimap, (cv2.GC_BGD, cv2.GC_PR_BGD))
    if background.all() or not background.any():
        return trimap
    labels, room, person = trimap.copy(), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(_SEED)  # GrabCut begins with k-means
    cv2.grabCut(
        np.ascontiguousarray(image[..., ::-1]), labels, (0, 0, 1, 1), room, person, _ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    return labels


def grown(mask: Bools, radius_px: float) -> Bools:
    """A mask [height, width] and all within a distance of it."""
    return np.asarray(_grown(mask.astype(np.uint8), radius_px) > 0)


def _one_piece(solid: Mask, sure: Bools) -> Mask:
    """Without patches that do not touch the skeleton, without threads, and without pinholes."""
    _, pieces = cv2.connectedComponents(solid)
    kept = np.zeros(int(pieces.max()) + 1, np.bool_)
    kept[np.unique(pieces[sure])] = True
    kept[0] = False
    whole = kept[pieces].astype(np.uint8)
    thick = np.asarray(cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)
    whole = whole & (_grown(thick, 3) | sure.astype(np.uint8))
    return np.asarray(cv2.morphologyEx(whole, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), np.uint8)


def _fill(mask: Mask, corners: npt.NDArray[np.floating[Any]]) -> None:
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_8, 4)


def line(mask: Mask, ends: npt.NDArray[np.floating[Any]], thickness: float) -> None:
    """Draw a line [2, 2] of 255 on a mask; its thickness is whole pixels."""
    start, end = (tuple(round(float(value) * 16) for value in place) for place in ends)
    cv2.line(mask, start, end, 255, max(1, round(thickness)), cv2.LINE_8, 4)


def opened(mask: Mask, radius_px: float) -> Mask:
    """A mask [height, width] of 0 and 1 without what no disc of a radius fits into."""
    if radius_px > _FAR_PX:
        inner = cv2.distanceTransform(mask, cv2.DIST_L2, 5) > radius_px
        return _grown(inner.astype(np.uint8), radius_px)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(radius_px)), np.uint8)


def closed(mask: Mask, radius_px: float) -> Mask:
    """A mask of 0 and 1 with what no disc of a radius fits into beside it; it goes on at the edges as it is there."""
    side = 2 * round(radius_px) + 1
    whole = np.pad(mask, side, mode="edge")
    if radius_px > _FAR_PX:
        found = 1 - opened(1 - whole, radius_px)
    else:
        found = np.asarray(cv2.morphologyEx(whole, cv2.MORPH_CLOSE, _disc(radius_px)), np.uint8)
    return found[side:-side, side:-side]


def _grown(mask: Mask, radius_px: float) -> Mask:
    if radius_px > _FAR_PX:
        near = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5) <= radius_px
        return np.asarray(near * mask.max(), np.uint8)
    return np.asarray(cv2.dilate(mask, _disc(radius_px)), np.uint8)


def _disc(radius_px: float) -> Mask:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
