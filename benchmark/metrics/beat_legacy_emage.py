r"""Beat consistency in EMAGE's form: how near a joint's moments of least speed come to the sound's onsets.

For each joint j the beats B_j are the local minima of speed over 7 frames to both sides whose speed is above 0.1 of
the joint's mean speed in the truth, and

.. math:: s = \frac1J \sum_j \frac{1}{|A|} \sum_{a \in A} \exp\Big(-\frac{\min_{b \in B_j} (a - b)^2}{2\sigma^2}\Big),
   \qquad \sigma = 0.3\,\mathrm{s}

over the onsets A between 2 s after the clip's start and 2 s before its end, where the beats lie too. A joint without
beats gives 0. The value is the mean over clips, weighted by their length. Clips without such onsets are left out.

Unit: none, 0 to 1 (the published tables show ten times that). Better: nearer to the truth. It cannot rank.
The card declares what the score is used for in the literature, synchrony with the speech, so that its test shows.
Known failures: onsets are so many, and sigma so wide, that motion which has nothing to do with the sound scores as
high as true motion or higher, and so does noise on a pose that stands still. Frames that are held twice leave no
strict minimum, and nothing at all.
Source: Liu et al., EMAGE (CVPR 2024), and its published evaluation, with these differences. There speeds are of the
rotations of 13 joints of the upper body; here of the 7 points that a picture shows of them (nose, shoulders, elbows,
wrists), in two dimensions. There the floor comes from a mean speed of the whole data set; here from the clip's truth.
There minima are indexed from the start of the span and the floor from that of the clip; here both from the span's.
There onsets are found in the cut sound, here in the whole one and cut afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import signal

from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._beats import nearness
from csg405.benchmark.metrics._features import Ints, Pooled, one_pool
from csg405.benchmark.metrics._motion import BODY, Floats, lengths, pooled_sums, quotient
from csg405.benchmark.onsets import librosa_onsets_s
from csg405.media.clock import FPS
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="beat_legacy_emage",
        title="Beat consistency, EMAGE's form",
        unit="0-1",
        direction="truth",
        answers=("time_shift", "other_audio"),
    ),
)

_SIGMA_S = 0.3
_ORDER = 7
_LEAST_SPEED = 0.10
"""Of the joint's mean speed."""
_LEAST_SHOWN = 0.5
"""Part of the frames in which the speed of a joint that counts is known."""
_EDGE_S = 2
"""At the start and at the end, s."""


def measure(seen: Seen) -> Row:
    """The clip's score times the length that was looked at, and that length, s."""
    start, stop = _EDGE_S * FPS, len(seen) - _EDGE_S * FPS
    onsets_s = librosa_onsets_s(seen.clip.sound) - _EDGE_S
    onsets_s = onsets_s[(onsets_s >= 0) & (onsets_s < (stop - start) / FPS)]
    nothing = {"score_s": np.array(0.0), "length_s": np.array(0.0)}
    if stop <= start or not len(onsets_s):
        return nothing
    joints, known, floor = seen.clip.once(_truth)
    if not len(joints):
        return nothing
    beats = beat_mask(_speed(seen.points[:, joints])[start:stop], known[start:stop], floor=floor)
    scores = [nearness(onsets_s, np.flatnonzero(of_joint) / FPS, sigma_s=_SIGMA_S) for of_joint in beats.T]
    length_s = (stop - start) / FPS
    return {"score_s": np.array(np.mean(scores) / len(onsets_s) * length_s), "length_s": np.array(length_s)}


def _truth(clip: Clip) -> tuple[Ints, Bools, Floats]:
    """The joints that count [j], in which frames their speed is known [n, j], and the floor of each [j]."""
    known = _known(clip.shown[:, BODY])
    often = known.mean(axis=0) > _LEAST_SHOWN
    joints, known = BODY[often], known[:, often]
    return joints, known, _LEAST_SPEED * np.mean(_speed(clip.points[:, joints]), axis=0, where=known)


def beat_mask(speed: Floats, known: Bools, *, floor: Floats) -> Bools:
    """Local minima of speed that lie above a floor.

    Args:
        speed: [n, j]
        known: [n, j] whether a speed was measured; no beat lies beside one that was not.
        floor: [j]
    """
    held = np.where(known, speed, np.inf)
    beats = np.zeros(held.shape, np.bool_)
    beats[signal.argrelextrema(held, np.less, axis=0, order=_ORDER)] = True
    return np.asarray(beats & _known(known) & (held > floor), np.bool_)


def _speed(points: FloatArray) -> Floats:
    """[n, j] by central differences, one-sided at the ends."""
    change = np.gradient(points.astype(np.float64), axis=0)
    return lengths(change) * FPS


def _known(shown: Bools) -> Bools:
    """[n, j] whether the frames that go into a speed are shown."""
    known = shown.copy()
    known[1:] &= shown[:-1]
    known[:-1] &= shown[1:]
    return known


def compute(rows: Rows, truth: Rows) -> Values:
    """The mean over clips by length; None where no clip has onsets in its middle."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """See `csg405.benchmark.metrics._motion.pooled_sums`; all cards come from the same sums."""
    del only
    return pooled_sums(_from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row) -> dict[str, Floats]:
    del true
    return {CARDS[0].name: quotient(system["score_s"], system["length_s"])}
