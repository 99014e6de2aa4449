"""Other ways to write the 133 points, each with its way back: a unit square, rooted, local, the reference's 123.

They are those of Yang et al., "Democratizing High-Fidelity Co-Speech Gesture Video Generation" (ICCV 2025), whose
dataset is kept about the neck, the face about the nose and each hand about its wrist. Its model then drops the neck,
which pins the body to one place; here the neck's track is part of every form, and who drops it does so by name.

Points are [..., 133, 2] in any unit, unless a function says which; float32 and float64 stay what they are. What is
missing is nan and stays so, and takes nothing else along: what hangs on a missing wrist or nose hangs on the neck
instead; on one missing shoulder, on the other; on a missing neck, on the origin. The way back knows that too.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp

T = TypeVar("T", np.float32, np.float64)

ROOTED_COUNT = 1 + kp.COUNT
"""Points of the rooted form: the neck before the 133."""

_BRANCHES = ((kp.NOSE, kp.FACE), (kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND))
"""The joints of the body that parts hang on in the local form."""

_LOWER = np.setdiff1d(np.arange(kp.COUNT), kp.UPPER_BODY)


@dataclasses.dataclass(frozen=True, eq=False)
class Local(Generic[T]):
    """Points about the joints that they hang on, and where the neck goes."""

    root: npt.NDArray[T]
    """[..., 2] the neck, in its place; another one moves the whole person, a constant one pins them."""
    points: npt.NDArray[T]
    """[..., 133, 2] body and feet about the neck, the face about the nose, each hand about the body's wrist."""


def to_unit(keypoints_px: npt.NDArray[T], *, size_px: int) -> npt.NDArray[T]:
    """Pixels of a square picture to [-1, 1]: the outer edges of the picture are -1 and 1.

    Args:
        keypoints_px: [..., 2]; (0, 0) is the centre of the top-left pixel, so the edges lie at -0.5 and size - 0.5.
        size_px: side of the picture.

    Returns:
        [..., 2], x to the right, y down.
    """
    return _as(keypoints_px, (keypoints_px + 0.5) * (2 / size_px) - 1)


def from_unit(points: npt.NDArray[T], *, size_px: int) -> npt.NDArray[T]:
    """The inverse of `to_unit`: [..., 2] in pixels of a picture of `size_px`."""
    return _as(points, (points + 1) * (size_px / 2) - 0.5)


def neck(points: npt.NDArray[T]) -> npt.NDArray[T]:
    """The middle of the shoulders, [..., 2]: the seen one where the other is missing, nan where both are."""
    _check(points, kp.COUNT)
    left, right = points[..., kp.LEFT_SHOULDER, :], points[..., kp.RIGHT_SHOULDER, :]
    return _as(points, (_or(left, right) + _or(right, left)) / 2)


def to_rooted(points: npt.NDArray[T]) -> npt.NDArray[T]:
    """The neck in its place, then every point about the neck.

    Args:
        points: [..., 133, 2]

    Returns:
        [..., 134, 2]; point i of the 133 is number i + 1.
    """
    root = neck(points)[..., None, :]
    return np.concatenate([root, points - _or(root, 0)], axis=-2)


def from_rooted(rooted: npt.NDArray[T]) -> npt.NDArray[T]:
    """The inverse of `to_rooted`: [..., 134, 2] to [..., 133, 2]."""
    _check(rooted, ROOTED_COUNT)
    return _as(rooted, rooted[..., 1:, :] + _or(rooted[..., :1, :], 0))


def to_local(points: npt.NDArray[T]) -> Local[T]:
    """Body and feet about the neck, the face about the nose, each hand about its wrist, and the neck's track.

    Args:
        points: [..., 133, 2]
    """
    root = neck(points)
    origin = _or(root, 0)[..., None, :]
    local = points - origin
    for joint, part in _BRANCHES:
        local[..., part, :] = points[..., part, :] - _or(points[..., joint, None, :], origin)
    return Local(root, _as(points, local))


def from_local(local: Local[T]) -> npt.NDArray[T]:
    """The inverse of `to_local`: [..., 133, 2]."""
    _check(local.points, kp.COUNT)
    origin = _or(local.root, 0)[..., None, :]
    points = local.points + origin
    for joint, part in _BRANCHES:
        points[..., part, :] = local.points[..., part, :] + _or(points[..., joint, None, :], origin)
    return _as(local.points, points)


def to_upper_body(points: npt.NDArray[T]) -> npt.NDArray[T]:
    """The 123 points that the reference system models: body 0-12, face 13-80, left hand 81-101, right hand 102-122.

    Args:
        points: [..., 133, 2]

    Returns:
        [..., 123, 2] the points `keypoints.UPPER_BODY`; knees, ankles and feet are left out.
    """
    _check(points, kp.COUNT)
    return points[..., kp.UPPER_BODY, :]


def from_upper_body(
    points: npt.NDArray[T], *, pose: npt.NDArray[T], score: npt.NDArray[np.float32] | None = None
) -> tuple[npt.NDArray[T], npt.NDArray[np.float32]]:
    """All 133 points from the reference's 123; the others are taken from a pose, which is moved to the same neck.

    Args:
        points: [..., 123, 2]
        pose: [133, 2] or [..., 133, 2] of the same person, in the same unit. It is moved, not scaled; where it or
            the points have no neck it stays.
        score: [..., 123] of the points; 1 where there is none.

    Returns:
        [..., 133, 2], and scores [..., 133], which are 0 for the points that come from the pose.
    """
    _check(points, len(kp.UPPER_BODY))
    _check(pose, kp.COUNT)
    full = np.broadcast_to(pose, (*points.shape[:-2], kp.COUNT, 2)).astype(points.dtype)
    full[..., kp.UPPER_BODY, :] = points
    full[..., _LOWER, :] += _or(neck(full) - neck(pose), 0)[..., None, :]
    scores = np.zeros(full.shape[:-1], np.float32)
    scores[..., kp.UPPER_BODY] = 1 if score is None else score
    return full, scores


def _or(points: npt.NDArray[T], others: npt.NDArray[T] | float) -> npt.NDArray[T]:
    """Points, and others where they are missing."""
    return _as(points, np.where(np.isnan(points), others, points))


def _as(like: npt.NDArray[T], points: npt.NDArray[Any]) -> npt.NDArray[T]:
    return points.astype(like.dtype, copy=False)


def _check(points: npt.NDArray[Any], count: int) -> None:
    if points.shape[-2:] != (count, 2):
        raise ValueError(f"points of shape {points.shape}; wanted [..., {count}, 2]")
