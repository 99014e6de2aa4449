r"""Beat consistency in the form of HA2G and DiffGesture: how near the arms' moments of least turning come to onsets.

The turning of frame t is the mean over four pairs of neighbouring bones (line of the shoulders and upper arm, upper
arm and forearm, left and right) of the change of the angle between them since the frame before, each over a constant:
the pair's mean turning in the data set. Beats B are strict local minima of turning that are at least 0.03 lower than
one of their neighbours, and

.. math:: s = \frac{1}{|A|} \sum_{a \in A} \exp\Big(-\frac{\min_{b \in B} (a - b)^2}{2\sigma^2}\Big),
   \qquad \sigma = 0.1\,\mathrm{s}

over all onsets A of all clips together.

Unit: none, 0 to 1. Better: nearer to the truth. It cannot rank.
The card declares what the score is used for in the literature, synchrony with the speech, so that its test shows.
Known failures: noise makes a beat of every third frame, and so comes near every onset. So does motion of which only
every second frame is new; held for three frames and more, motion has no strict minimum left. A forearm that points at
the camera is short in the picture, and its angle jumps.
Sources: Liu et al., HA2G (CVPR 2022); Zhu et al., DiffGesture (CVPR 2023); with these differences. A clip without
motion beats gives 0 for its onsets; there it is skipped, so standing still costs nothing. Angles are those in the
picture, not in space; the constants are theirs (mean of both sides, as turning per second), since the change of a
projected angle is of the same size. Clips are taken whole, at 25 frames a second; there in windows of 34 frames at 15.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._beats import nearness
from csg405.benchmark.metrics._features import Pooled, one_pool
from csg405.benchmark.metrics._motion import Floats, pooled_sums, quotient
from csg405.benchmark.onsets import librosa_onsets_s
from csg405.media.clock import FPS
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="beat_legacy_ha2g",
        title="Beat consistency, HA2G's form",
        unit="0-1",
        direction="truth",
        answers=("time_shift", "other_audio"),
    ),
)

_SIGMA_S = 0.1
_LEAST_DROP = 0.03

_SHOULDER_RAD_S = 0.00347 * math.pi * 15
"""Mean turning of an upper arm against the shoulders in TED: published in units of pi, per frame at 15 frames/s."""
_ELBOW_RAD_S = 0.00712 * math.pi * 15
"""The same of a forearm against its upper arm."""

_CHAINS = np.array(
    [
        [kp.RIGHT_SHOULDER, kp.LEFT_SHOULDER, kp.LEFT_ELBOW],
        [kp.LEFT_SHOULDER, kp.LEFT_ELBOW, kp.LEFT_WRIST],
        [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW],
        [kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, kp.RIGHT_WRIST],
    ]
)
"""Two bones each, from their first point over the joint to the last."""

_MEAN_RAD_S = np.array([_SHOULDER_RAD_S, _ELBOW_RAD_S] * 2)


def measure(seen: Seen) -> Row:
    """The sum of nearness over the clip's onsets, and their number."""
    onsets_s = librosa_onsets_s(seen.clip.sound)
    onsets_s = onsets_s[onsets_s < len(seen) / FPS]
    known = np.asarray(seen.shown[:, _CHAINS].all(axis=2), np.bool_)
    if not known.any():
        onsets_s = onsets_s[:0]
    beats_s = np.flatnonzero(beat_mask(turning(seen.points, known))) / FPS
    return {
        "nearness": np.array(nearness(onsets_s, beats_s, sigma_s=_SIGMA_S)),
        "onsets": np.array(float(len(onsets_s))),
    }


def turning(points: FloatArray, known: Bools) -> Floats:
    """Mean turning of the pairs over their constants, [n]; NaN in frame 0, and where no pair is known.

    Args:
        points: [n, 133, 2]
        known: [n, 4] pairs whose points are shown.
    """
    chains = points[:, _CHAINS].astype(np.float64)
    bones = np.diff(chains, axis=2)
    lengths = np.linalg.norm(bones, axis=-1).prod(axis=-1)
    cosines = (bones[:, :, 0] * bones[:, :, 1]).sum(axis=-1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    angles = np.arccos(cosines.clip(-1, 1))
    turned = np.abs(np.diff(angles, axis=0)) * FPS / _MEAN_RAD_S
    both = known[1:] & known[:-1]
    counts = both.sum(axis=1)
    found = np.full(len(points), np.nan)
    sums = np.where(both, turned, 0).sum(axis=1)
    found[1:] = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return found


def beat_mask(values: Floats) -> Bools:
    """Strict local minima that drop far enough on one side, [n]; none beside what is NaN."""
    beats = np.zeros(len(values), np.bool_)
    before, here, after = values[:-2], values[1:-1], values[2:]
    drop = np.maximum(before - here, after - here)
    beats[1:-1] = (here < before) & (here < after) & (drop >= _LEAST_DROP)
    return beats


def compute(rows: Rows, truth: Rows) -> Values:
    """The mean over all onsets; None where there are none."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """See `csg405.benchmark.metrics._motion.pooled_sums`; all cards come from the same sums."""
    del only
    return pooled_sums(_from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row) -> dict[str, Floats]:
    del true
    return {CARDS[0].name: quotient(system["nearness"], system["onsets"])}
