"""Blinks a minute.

The aspect ratio of an eye, with its corners p1 and p4, the upper lid's points p2 and p3 and the lower lid's p6 and p5
below them, is

    EAR = (|p2 - p6| + |p3 - p5|) / (2 |p1 - p4|)

averaged over both eyes. A blink is a run of 2 to 8 frames (80 to 320 ms) in which it lies under 0.6 of its median over
the clip. The value is the number of blinks of all clips over their minutes, counting frames in which the eyes are
shown.

Unit: per minute. Better: nearer to the truth.
Known failures: in small faces an eye is a few pixels high, and noise makes blinks or hides them. Who looks down for
long has no blinks, whoever looks down for a moment has one. A blink of one frame is missed, on purpose. Rates of
single clips mean little: a clip of 10 s has three.
Source: the aspect ratio is that of Soukupova and Cech, Real-time eye blink detection using facial landmarks (2016);
the thresholds are ours, relative, since eyes differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled, one_pool
from csg405.benchmark.metrics._motion import Floats, pooled_sums, quotient
from csg405.media.clock import FPS
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="blinks",
        title="Blinks",
        unit="1/min",
        direction="truth",
        answers=("freezing",),
        ignores=("time_shift", "other_audio", "bones", "lips"),
    ),
)

_CLOSED = 0.6
"""Of the clip's median aspect ratio."""
_FRAMES = (2, 8)
_LEAST_WIDTH = 1e-6
"""Of an eye, shoulder widths: keeps a ratio finite."""

_EYES = np.array([[eye.start + point for point in range(6)] for eye in (kp.RIGHT_EYE, kp.LEFT_EYE)])


def measure(seen: Seen) -> Row:
    """The number of blinks, and the minutes in which the eyes are shown."""
    shown = seen.shown[:, _EYES].all(axis=(1, 2))
    count = 0
    if shown.any():
        ratio = aspect_ratio(seen.points)
        closed = shown & (ratio < _CLOSED * np.median(ratio[shown]))
        count = len([n for n in run_lengths(closed) if _FRAMES[0] <= n <= _FRAMES[1]])
    return {"blinks": np.array(float(count)), "minutes": np.array(shown.sum() / FPS / 60)}


def aspect_ratio(points: FloatArray) -> Floats:
    """Mean aspect ratio of the eyes, [n]."""
    eyes = points[:, _EYES].astype(np.float64)
    first, second, width = (np.linalg.norm(eyes[:, :, a] - eyes[:, :, b], axis=-1) for a, b in ((1, 5), (2, 4), (0, 3)))
    return np.asarray(((first + second) / (2 * np.maximum(width, _LEAST_WIDTH))).mean(axis=1), np.float64)


def run_lengths(mask: Bools) -> list[int]:
    """Lengths of the runs of true values, in their order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [int(length) for length in edges[1::2] - edges[::2]]


def compute(rows: Rows, truth: Rows) -> Values:
    """Blinks a minute; None where no eyes are shown."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """See `csg405.benchmark.metrics._motion.pooled_sums`; all cards come from the same sums."""
    del only
    return pooled_sums(_from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row) -> dict[str, Floats]:
    del true
    return {CARDS[0].name: quotient(system["blinks"], system["minutes"])}
