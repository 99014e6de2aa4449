r"""Pose fidelity: does the person in the video do what the skeleton said?

Keypoints are estimated again from the frames by the core's estimator and compared with the driving skeleton, at the
points above the knees that the release sees. In shoulder widths, with d the distance of a point:

- PCK: part of the points that are found with d <= 0.1 (a point that is missed counts as wrong);
- AKD: mean d over the points that are found;
- missing rate: part of the points that the estimator does not see (score below 0.3, or nobody there).

The estimator errs on true videos too. So each is given again less its *floor*, what the clip's own video gets against
its own skeleton by the same estimator: 0 says that nothing is lost.

The lag is where the speed of the skeleton (mean over points, frame to frame) correlates best with that of the video,
over lags of -3 to 3 frames; positive: the video comes late. A system that pads a frame shows as 1. It is not computed
for clips below 29 frames, nor where nothing moves.

Only for systems that were given a skeleton. Units: part of points, shoulder widths, frames. Blind to: looks; faults
that the estimator repairs, as it does with hands. Sources: Yang and Ramanan (PAMI 2013) for PCK; Siarohin et al.,
Animating arbitrary objects via deep motion transfer (CVPR 2019) for AKD and missing rate; floor and lag are ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.video import SeenVideo, not_computed
from csg405.benchmark.video_pose import Estimated
from csg405.schema import FloatArray

_NEEDS = ("any_pose", "pose")

CARDS = (
    Card(name="pose_pck", title="Keypoints within 0.1 shoulder widths", unit="0-1", direction="higher",
         track="video", needs=_NEEDS),
    Card(name="pose_pck_over_floor", title="The same, less that of the true video", unit="0-1", direction="higher",
         ranks=True, track="video", needs=_NEEDS),
    Card(name="pose_akd", title="Mean distance of keypoints", unit="shoulder widths", direction="lower",
         track="video", needs=_NEEDS),
    Card(name="pose_akd_over_floor", title="The same, less that of the true video", unit="shoulder widths",
         direction="lower", ranks=True, track="video", needs=_NEEDS),
    Card(name="pose_missing", title="Keypoints that are not found", unit="0-1", direction="lower", track="video",
         needs=_NEEDS),
    Card(name="pose_missing_over_floor", title="The same, less that of the true video", unit="0-1",
         direction="lower", track="video", needs=_NEEDS),
    Card(name="pose_lag", title="Lag of the video behind the skeleton", unit="frames", direction="zero",
         track="video", needs=_NEEDS),
    Card(name="pose_in_time", title="Clips whose video does not lag", unit="0-1", direction="higher", track="video",
         needs=_NEEDS),
)  # fmt: skip

_WITHIN = 0.1
"""Shoulder widths within which a point is right."""

_MOST_LAG = 3
"""Frames: 0.12 s either way."""

_LEAST_SPEEDS = 25
"""Pairs of speeds, a second of them, that a correlation is taken of at the largest lag."""

Floats = npt.NDArray[np.float64]


def measure(seen: SeenVideo) -> Row:
    """`points`: points that count, are right, are found, and the sum of their distances; `lags`: [7] correlations.

    Raises:
        UserError: a film cannot be read.
    """
    if seen.driving_px is None or not seen.can(CARDS[0]):
        return {}
    found, upper = seen.estimated, kp.UPPER_BODY
    counts = seen.clip.shown[:, upper]
    both = counts & found.shown[:, upper]
    row: Row = {"points": point_sums(found, seen.driving_px, seen.clip.shown, unit_px=seen.clip.shoulders_px)}
    lags = speed_lags(mean_speed(seen.driving_px[:, upper], counts), mean_speed(found.points_px[:, upper], both))
    return row if lags is None else row | {"lags": lags}


def point_sums(found: Estimated, driving_px: FloatArray, shown: Bools, *, unit_px: float) -> Floats:
    """Points that count, are right, are found, and the sum of the distances of the latter in the unit: [4].

    Args:
        found: what the estimator sees.
        driving_px: [n, 133, 2] what it should see.
        shown: [n, 133] points of it that count, if they lie above the knees.
        unit_px: width of the shoulders.
    """
    upper = kp.UPPER_BODY
    counts = shown[:, upper]
    both = counts & found.shown[:, upper]
    apart = np.linalg.norm(found.points_px[:, upper].astype(np.float64) - driving_px[:, upper], axis=-1) / unit_px
    right = both & (apart <= _WITHIN)
    return np.array([counts.sum(), right.sum(), both.sum(), apart[both].sum()], np.float64)


def mean_speed(points_px: FloatArray, shown: Bools) -> Floats:
    """How far points go from frame to frame.

    Args:
        points_px: [n, points, 2].
        shown: [n, points]; a step counts where both of its ends are shown.

    Returns:
        [n - 1] px, mean over points; NaN where none is shown.
    """
    steps = np.linalg.norm(np.diff(points_px.astype(np.float64), axis=0), axis=-1)
    pairs = shown[1:] & shown[:-1]
    count = pairs.sum(axis=1)
    total = np.where(pairs, steps, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def speed_lags(driving: Floats, found: Floats) -> Floats | None:
    """Correlation of two speeds by lag.

    Args:
        driving: [m] of the skeleton, NaN where it is not known.
        found: [m] of the video.

    Returns:
        [7] for lags of -3 to 3 frames of the video behind the skeleton; None where they are too short or do not move.
    """
    if len(driving) - _MOST_LAG < _LEAST_SPEEDS:
        return None
    lags = np.array([_correlation(driving, found, lag) for lag in range(-_MOST_LAG, _MOST_LAG + 1)])
    return lags if np.isfinite(lags).all() else None


def _correlation(first: Floats, second: Floats, lag: int) -> float:
    """Pearson's of first[t] and second[t + lag]; NaN where one is constant or too few are known."""
    last = len(first)
    x, y = first[max(-lag, 0) : last - max(lag, 0)], second[max(lag, 0) : last - max(-lag, 0)]
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < _LEAST_SPEEDS or min(float(np.ptp(x)), float(np.ptp(y))) <= 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def clip_values(row: Row, true_row: Row) -> Values:
    """The values of a clip; None for what cannot be told."""
    values = not_computed(CARDS)
    if row:
        values |= _raw(row)
        floor = _raw(true_row) if true_row else {}
        for name in ("pose_pck", "pose_akd", "pose_missing"):
            own, least = values[name], floor.get(name)
            values[f"{name}_over_floor"] = None if own is None or least is None else own - least
    if "lags" in row:
        lag = int(np.argmax(row["lags"])) - _MOST_LAG
        values |= {"pose_lag": float(lag), "pose_in_time": float(lag == 0)}
    return values


def _raw(row: Row) -> Values:
    count, right, found, total = (float(number) for number in row["points"])
    if not count:
        return {"pose_pck": None, "pose_akd": None, "pose_missing": None}
    return {
        "pose_pck": right / count,
        "pose_akd": total / found if found else None,
        "pose_missing": 1 - found / count,
    }
