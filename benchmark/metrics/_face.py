"""What the metrics of the face share: its unit of length, and how far the lips are open."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip
from csg405.benchmark.metrics._motion import lengths
from csg405.schema import FloatArray

Floats = npt.NDArray[np.float64]

CORNERS = [kp.RIGHT_EYE.start, kp.RIGHT_EYE.start + 3, kp.LEFT_EYE.start, kp.LEFT_EYE.start + 3]
"""Of the eyes, from the person's right to left: what moves least in a face."""

_LIPS = [*kp.UPPER_LIP, *kp.LOWER_LIP]

_LEAST_INTER_OCULAR = 1e-3
"""Shoulder widths: no face is smaller."""


def inter_ocular(clip: Clip) -> float | None:
    """Distance between the centres of the eyes in the truth, median over the clip, shoulder widths.

    None where the eyes are never shown. The centre of an eye is the middle of its corners.
    """
    shown = clip.shown[:, CORNERS].all(axis=1)
    if not shown.any():
        return None
    corners = clip.points[:, CORNERS][shown]
    apart = np.linalg.norm(corners[:, :2].mean(axis=1) - corners[:, 2:].mean(axis=1), axis=-1)
    return max(float(np.median(apart)), _LEAST_INTER_OCULAR)


def aperture(points: FloatArray, *, unit: float) -> Floats:
    """How far the inner edges of the lips are apart, [n] in the unit: mean over three pairs of points.

    Args:
        points: [n, 133, 2]
        unit: length.
    """
    gaps = points[:, kp.UPPER_LIP].astype(np.float64) - points[:, kp.LOWER_LIP]
    return np.asarray(lengths(gaps).mean(axis=1) / unit, np.float64)


def lips_shown(clip: Clip) -> Bools:
    """[n] whether all of these points are shown."""
    return np.asarray(clip.shown[:, _LIPS].all(axis=1), np.bool_)
