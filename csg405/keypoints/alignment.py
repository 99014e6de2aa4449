"""A generated skeleton laid over the person of a reference picture: one scale and one place for the whole sequence.

The joints that say how large somebody is and where (head, shoulders, hips) of the first generated frame are fitted to
the reference's by least squares. A single fit keeps the motion as it is, and the limbs as long as they were made.

The reference system (Yang et al., ICCV 2025) does so too, as StableAnimator does with all frames, but with less: it
fits the scale to y alone, so a head that is bent forward or joints that lie at one height decide it badly; it counts
every joint above 0.6 alike; and the neck, which follows from the shoulders, counts beside them. Here x and y of a joint
count alike, each pair by the product of its scores, and a fit that cannot be is an error. Neither turns the skeleton.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.errors import UserError

T = TypeVar("T", np.float32, np.float64)

JOINTS = np.array([*range(kp.LEFT_SHOULDER), kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP])
"""Nose, eyes, ears, shoulders, hips: what stays while somebody talks."""

LEAST_JOINTS = 2
"""A scale and a place need so many."""

_LEAST_SPREAD_PX = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alignment:
    """Where generated points go in the reference's picture: times `scale`, plus `offset_px`."""

    scale: float
    offset_px: tuple[float, float]
    """x, y."""

    def apply(self, keypoints_px: npt.NDArray[T]) -> npt.NDArray[T]:
        """Generated points [..., 2] in the reference's picture; float32 and float64 stay what they are."""
        return np.asarray(keypoints_px * self.scale + np.array(self.offset_px), keypoints_px.dtype)

    def invert(self, keypoints_px: npt.NDArray[T]) -> npt.NDArray[T]:
        """The inverse of `apply`."""
        return np.asarray((keypoints_px - np.array(self.offset_px)) / self.scale, keypoints_px.dtype)


def align(
    keypoints_px: npt.NDArray[Any],
    reference_px: npt.NDArray[Any],
    *,
    reference_score: npt.NDArray[Any],
    score: npt.NDArray[Any] | None = None,
    least_score: float = 0.3,
) -> Alignment:
    """The scale and the place at which a generated skeleton's first frame lies best over the reference's.

    Args:
        keypoints_px: [n, 133, 2] as generated; the first frame is used.
        reference_px: [133, 2] of the person in the reference picture.
        reference_score: [133]
        score: [n, 133] of the generated points; 1 where there is none.
        least_score: from which on a joint can be seen. 0.3 is rtmlib's usual threshold.

    Raises:
        UserError: fewer than two of the joints can be seen in both, they lie in one place, or fit only upside down.
    """
    ours, theirs, weight = _pairs(keypoints_px, reference_px, score, reference_score, least_score)
    centre, target = weight @ ours, weight @ theirs
    apart, wanted = ours - centre, theirs - target
    spread = float(weight @ (apart**2).sum(axis=1))
    if spread < _LEAST_SPREAD_PX**2:
        raise UserError(
            f"generated skeleton: its visible joints lie within {spread**0.5:.2g} px in the first frame, so it has no "
            f"size; wanted {_LEAST_SPREAD_PX:g} px or more; are these pixels?"
        )
    scale = float(weight @ (apart * wanted).sum(axis=1)) / spread
    if scale <= 0:
        raise UserError(
            f"generated skeleton: it fits the reference's only upside down (scale {scale:.3g}); y must go down in both"
        )
    x, y = (target - scale * centre).tolist()
    return Alignment(scale=scale, offset_px=(x, y))


def _pairs(
    keypoints_px: npt.NDArray[Any],
    reference_px: npt.NDArray[Any],
    score: npt.NDArray[Any] | None,
    reference_score: npt.NDArray[Any],
    least_score: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The joints that both show: [k, 2] generated, [k, 2] of the reference, and weights [k] that add up to 1."""
    ours, theirs = keypoints_px[0, JOINTS].astype(np.float64), reference_px[JOINTS].astype(np.float64)
    score_of_ours = np.ones(len(JOINTS)) if score is None else score[0, JOINTS].astype(np.float64)
    score_of_theirs = reference_score[JOINTS].astype(np.float64)
    in_ours, in_theirs = _shown(ours, score_of_ours, least_score), _shown(theirs, score_of_theirs, least_score)
    shown = in_ours & in_theirs
    if shown.sum() < LEAST_JOINTS:
        raise UserError(
            f"generated skeleton: head, shoulders and hips show {in_ours.sum()} joints in its first frame, "
            f"{in_theirs.sum()} in the reference picture and {shown.sum()} in both; wanted {LEAST_JOINTS} in both, "
            f"with a score of {least_score:g} or more; take a picture that shows head and shoulders"
        )
    weight = score_of_ours[shown] * score_of_theirs[shown]
    return ours[shown], theirs[shown], weight / weight.sum()


def _shown(
    points: npt.NDArray[np.float64], score: npt.NDArray[np.float64], least_score: float
) -> npt.NDArray[np.bool_]:
    return np.asarray((score >= least_score) & (score > 0) & np.isfinite(points).all(axis=1))
