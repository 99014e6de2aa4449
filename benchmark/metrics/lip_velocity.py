"""Lip velocity difference (LVD): how far the speed of the mouth's points is from the truth's, frame by frame.

The mean over frames, the 20 points of the mouth and both coordinates of

    |(l[t+1] - l[t]) - (l*[t+1] - l*[t])| / d

with l a point relative to the middle of the corners of the eyes, which takes the head's own way out, l* that of the
truth, and d the true distance between the eyes, median over the clip. Only pairs of frames count in which point and
eyes are shown, and the mean is over as many terms as there are (the published evaluation divides by one frame more).
The value is the mean over clips.

Unit: distances between the eyes per frame. Better: lower; the truth has 0 from itself.
Known failures: lips that stand still beat lively ones that are out of time, and frames that are held
long beat those that are held for a moment, so it says little by itself: see
`lip_r`. Turning and nodding of the head is part of it. An estimator's noise in the truth is a floor that no system
passes. It cannot rank.
Source: Yi et al., TalkSHOW (CVPR 2023); the published evaluation of Liu et al., EMAGE (CVPR 2024); there of vertices.
"""

from __future__ import annotations

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics._face import CORNERS, inter_ocular
from csg405.benchmark.metrics._motion import all_shown, given, number
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="lip_velocity",
        title="Lip velocity difference",
        unit="inter-ocular distances/frame",
        direction="lower",
        answers=("jitter", "smoothing", "damping", "freezing", "lips"),
        ignores=("other_audio", "bones"),
    ),
)

_MOUTH = slice(kp.OUTER_LIPS.start, kp.INNER_LIPS.stop)


def measure(seen: Seen) -> Row:
    """The clip's difference."""
    unit, both = seen.clip.once(inter_ocular), seen.clip.once(_both_shown)
    if unit is None or not both.any():
        return number(None)
    apart = np.abs(np.diff(_mouth(seen.points) - seen.clip.once(_true_mouth), axis=0))
    return number(float((apart[..., 0] + apart[..., 1])[both].mean(dtype=np.float64)) / 2 / unit)


def _both_shown(clip: Clip) -> Bools:
    """[n - 1, 20] whether a point of the mouth and the eyes are shown in a frame and in the next."""
    return all_shown(clip.shown[:, _MOUTH] & clip.shown[:, CORNERS].all(axis=1, keepdims=True), order=1)


def _true_mouth(clip: Clip) -> FloatArray:
    return _mouth(clip.points)


def _mouth(points: FloatArray) -> FloatArray:
    return np.asarray(points[:, _MOUTH] - points[:, CORNERS].mean(axis=1, keepdims=True), np.float32)


def clip_values(row: Row, true_row: Row) -> Values:
    """The clip's difference."""
    del true_row
    return {CARDS[0].name: given(row)}
