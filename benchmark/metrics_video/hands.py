"""Hands: does the estimator see them as well as in the true video, and do they move as much?

- Confidence: mean score of the hands' keypoints that the release sees, by the core's estimator on the video's frames;
  given again less that of the true video. A sharp, frozen hand can exceed the truth, so nearer to the truth is better.
- Variance ratio: variance over time of the hands' keypoints, in squared shoulder widths, mean over points and axes,
  after a low-pass filter of 6 Hz, over that of the true video. Frozen hands give 0; without the filter jitter would
  pass for life. It is None where the true hands hardly move or are seen on fewer than half of the frames.

Units: score, none. Better: confidence less truth's nearer to 0, ratio nearer to 1. Blind to: the number of fingers;
what is moved where. Source: Lin et al., CyberHost (ICLR 2025), for confidence and variance, there in pixels and with no
truth beside them; ratio, unit and filter are ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.video import SeenVideo, not_computed
from csg405.media.clock import FPS

_NEEDS = ("pose",)

CARDS = (
    Card(name="hand_confidence", title="Confidence of hand keypoints", unit="0-1", direction="truth", track="video",
         needs=_NEEDS),
    Card(name="hand_confidence_over_truth", title="The same, less that of the true video", unit="0-1",
         direction="zero", track="video", needs=_NEEDS),
    Card(name="hand_variance_ratio", title="Variance of hand keypoints over the truth's", unit="1", direction="one",
         track="video", needs=_NEEDS),
)  # fmt: skip

_HANDS = np.r_[kp.LEFT_HAND, kp.RIGHT_HAND]

_PASS_HZ = 6.0
_ORDER = 2
_LEAST_FRAMES = 16
"""Below these the filter has not enough to start from."""

_LEAST_VARIANCE = 1e-4
"""Squared shoulder widths: hands that stray by less than a hundredth do not move."""

Floats = npt.NDArray[np.float64]


def measure(seen: SeenVideo) -> Row:
    """`confidence`, [1] mean score; `variance`, [1] squared shoulder widths; each where it can be told."""
    if not seen.can(CARDS[0]):
        return {}
    counts = seen.clip.shown[:, _HANDS]
    row: Row = {}
    if counts.any():
        row["confidence"] = np.array([seen.estimated.score[:, _HANDS].astype(np.float64)[counts].mean()])
    points = seen.estimated.points_px[:, _HANDS].astype(np.float64) / seen.clip.shoulders_px
    variance = moving_variance(points, counts & seen.estimated.shown[:, _HANDS])
    return row if variance is None else row | {"variance": np.array([variance])}


def moving_variance(points: Floats, shown: Bools) -> float | None:
    """Variance over time of low-passed points, mean over points and axes.

    Args:
        points: [n, points, 2].
        shown: [n, points]; gaps are bridged by lines, and points with fewer than half of the frames are left out.

    Returns:
        None where no point is left or the clip is too short.
    """
    n = len(points)
    kept = shown.mean(axis=0) >= 0.5 if n else np.zeros(shown.shape[1], np.bool_)
    if n < _LEAST_FRAMES or not kept.any():
        return None
    frames = np.arange(n)
    lines = np.stack(
        [
            np.interp(frames, frames[shown[:, point]], points[shown[:, point], point, axis])
            for point in np.flatnonzero(kept)
            for axis in (0, 1)
        ]
    )
    sections = signal.butter(_ORDER, _PASS_HZ, fs=FPS, output="sos")
    return float(signal.sosfiltfilt(sections, lines, axis=1).var(axis=1).mean())


def clip_values(row: Row, true_row: Row) -> Values:
    """The values of a clip; None for what cannot be told."""
    values = not_computed(CARDS)
    if "confidence" in row:
        values["hand_confidence"] = float(row["confidence"][0])
        if "confidence" in true_row:
            values["hand_confidence_over_truth"] = float(row["confidence"][0] - true_row["confidence"][0])
    if "variance" in row and "variance" in true_row and true_row["variance"][0] >= _LEAST_VARIANCE:
        values["hand_variance_ratio"] = float(row["variance"][0] / true_row["variance"][0])
    return values
