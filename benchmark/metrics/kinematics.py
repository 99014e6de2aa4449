r"""Distances between the distributions of speed, acceleration and jerk of a system's motion and of true motion.

.. math:: H = \sqrt{1 - \textstyle\sum_b \sqrt{p_b q_b}}

between the histograms p of the system and q of the truth, each pooled over clips, frames and the points of a group;
the value is the mean over three groups: body (nose, shoulders, elbows, wrists), hands (fingers relative to the root of
their hand) and face (its points relative to the tip of the nose). Derivatives are forward differences in shoulder
widths per s^k. Bins are even in the logarithm, five to a decade: 0.01 to 100 for speed, 0.01 to 10^4 for acceleration,
1 to 10^6 for jerk; what lies below and above has a bin each, so motion that stands still is seen. Points that are not
shown in all frames of a difference are left out. `kin` is the mean of the three distances.

Unit: none, 0 to 1. Better: lower; the truth has 0 from itself, two halves of a test set a little more.
Blind to: sound; which way and where things move; in which clip; any reordering in time that is slower than a jerk.
Truth's own noise is part of what it asks for: on truth without any (the synthetic world's), truth with a pose network's
noise is farther away than another clip, so compare systems whose noise is alike, and look at `jerk` beside.
Source: the Hellinger distance of speed histograms in the GENEA challenges (Kucherenko et al., IUI 2021), there of
single joints in space and even bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Seen
from csg405.benchmark.metric import Card, Perturbation, Row, Rows, Values
from csg405.benchmark.metrics._features import Pooled, one_pool
from csg405.benchmark.metrics._motion import BODY, Floats, all_shown, known_means, pooled_sums, quotient
from csg405.media.clock import FPS
from csg405.schema import FloatArray

Counts = npt.NDArray[np.int64]

_ANSWERS: tuple[Perturbation, ...] = ("jitter", "smoothing", "damping", "freezing")

_NAMES = {"speed": 1, "acceleration": 2, "jerk": 3}
"""Order of the derivative."""

OF_SETS = True
"""Whether clips of other speakers may stand on the other side: then the floor is one half against the other."""

CARDS = (
    Card(
        name="kin",
        title="Kinematic distance",
        unit="0-1",
        direction="lower",
        ranks=True,
        answers=_ANSWERS,
        ignores=("other_audio",),
    ),
    *(
        Card(
            name=f"kin_{name}",
            title=f"Hellinger distance of {name}",
            unit="0-1",
            direction="lower",
            answers=_ANSWERS,
            ignores=("other_audio",),
        )
        for name in _NAMES
    ),
)

_BINS_A_DECADE = 5
_DECADES = {1: (-2, 2), 2: (-2, 4), 3: (0, 6)}
"""Powers of ten by order: below is under the noise of 32-bit pixels, above is not human."""

_DOUBT = 1e-4
"""Bins: more than 32 bits are off."""

_LEAST, _LEAST_SQUARE = np.float32(1e-20), np.float32(1e-30)
"""Keep the logarithm of rest finite."""

_ORIGINS = (
    *((point, None) for point in BODY),
    *((point, hand.start) for hand in (kp.LEFT_HAND, kp.RIGHT_HAND) for point in range(hand.start + 1, hand.stop)),
    *((point, kp.NOSE_TIP) for point in range(kp.FACE.start, kp.FACE.stop) if point != kp.NOSE_TIP),
)
"""Points, and what they are told from; body, hands, face."""

_POINTS = np.array([point for point, _ in _ORIGINS])
_RELATIVE = len(BODY)
"""From this one on they have an origin."""
_FROM = np.array([origin for _, origin in _ORIGINS if origin is not None])
_GROUP_SIZES = (len(BODY), 2 * 20, 67)
_GROUP = np.repeat(np.arange(len(_GROUP_SIZES)), _GROUP_SIZES)
_NOBODY = len(_GROUP_SIZES)
"""The group of what does not count."""


def measure(seen: Seen) -> Row:
    """Counts by group and bin, [3, bins] for each derivative."""
    groups, row = seen.clip.once(_groups), {}
    change = seen.points[:, _POINTS]
    change[:, _RELATIVE:] -= seen.points[:, _FROM]
    for name, order in _NAMES.items():
        change = np.diff(change, axis=0)
        row[name] = histograms(change, groups[name], order=order)
    return row


def _groups(clip: Clip) -> dict[str, Counts]:
    """[n - order, 114] by derivative, the group of its values; `_NOBODY` where they do not count."""
    shown = clip.shown[:, _POINTS]
    shown[:, _RELATIVE:] &= clip.shown[:, _FROM]
    return {name: np.where(all_shown(shown, order=order), _GROUP, _NOBODY) for name, order in _NAMES.items()}


def histograms(change: FloatArray, groups: Counts, *, order: int) -> Counts:
    """Counts of a derivative by group, [3, bins]: below, the bins of its decades, above.

    Args:
        change: [n, j, 2] differences from frame to frame.
        groups: [n, j] which group each is of; 3 for none.
        order: 1 for speed, 2 for acceleration, 3 for jerk.
    """
    low, high = _DECADES[order]
    bins = (high - low) * _BINS_A_DECADE
    x, y = (np.ascontiguousarray(change[..., axis].T).ravel() for axis in range(2))
    # Natural logarithms of squares are quick; what they put beside an edge is looked at again.
    place = np.log(np.maximum(x * x + y * y, _LEAST_SQUARE)) * np.float32(_BINS_A_DECADE / math.log(100))
    place += np.float32((order * math.log10(FPS) - low) * _BINS_A_DECADE)
    doubtful = np.flatnonzero(np.abs(place - np.rint(place)) < _DOUBT)
    size = np.hypot(x[doubtful], y[doubtful]) * np.float32(float(FPS) ** order)
    place[doubtful] = (np.log10(np.maximum(size, _LEAST)) - low) * _BINS_A_DECADE
    each = bins + 2
    numbers = np.ascontiguousarray(groups.T).ravel() * each + np.floor(place).clip(-1, bins).astype(np.int64) + 1
    counts = np.bincount(numbers, minlength=(_NOBODY + 1) * each)
    return np.asarray(counts.reshape(-1, each)[:_NOBODY], np.int64)


def hellinger(first: Floats | Counts, second: Floats | Counts) -> Floats:
    """Hellinger distances [...] of histograms of counts [..., bins]; NaN where one is empty."""
    p, q = (
        quotient(counts, np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape))
        for counts in (first, second)
    )
    return np.asarray(np.sqrt(np.maximum(1 - np.sqrt(p * q).sum(axis=-1), 0.0)))


def compute(rows: Rows, truth: Rows) -> Values:
    """The distances; None where nothing is shown."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """See `csg405.benchmark.metrics._motion.pooled_sums`; all cards come from the same sums."""
    del only
    return pooled_sums(_from_sums, CARDS, systems, truth, cluster_of=cluster_of)


def _from_sums(system: Row, true: Row) -> dict[str, Floats]:
    values = {f"kin_{name}": known_means(list(hellinger(system[name], true[name]).T)) for name in _NAMES}
    return {"kin": known_means(list(values.values())), **values}
