"""What precision and recall share with diversity: how far a sample's windows are from each other.

A sample is the windows of the whole motion, thinned to at most 2,000, and windows of the same clip are not compared.
One matrix of distances serves both metrics, and is let go: what is kept of it is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from csg405.benchmark.metric import Rows, once
from csg405.benchmark.metrics._distances import distances
from csg405.benchmark.metrics._features import Floats, pieces, same_clip, thinned

NEIGHBOURS = 5
"""k, from Naeem et al."""

_MOST = 2000
"""Windows of a sample: a matrix of 32 MB."""

_PART = "all"


class Sample(NamedTuple):
    """Windows and whose they are."""

    features: Floats
    """[n, d]"""
    clip_ids: Sequence[str]
    """[n]"""


class Spread(NamedTuple):
    """How far a sample's windows are from each other."""

    sample: Sample
    reach: Floats
    """[n] distance to the k-th nearest window of another clip; infinite where there are fewer."""
    between: float | None
    """Mean distance of windows of different clips; None with a single clip."""


def spread_of(rows: Rows) -> Spread | None:
    """Of rows of seed 0, found once; None without windows."""
    return once(rows, _spread_of)


def _spread_of(rows: Rows) -> Spread | None:
    found = pieces(rows, part=_PART, seed=0)
    return spread(Sample(*thinned(found, most=_MOST)), k=NEIGHBOURS) if found else None


def spread(sample: Sample, *, k: int) -> Spread:
    """How far a sample's windows are from each other.

    Args:
        sample: the windows.
        k: which neighbour is meant by reach.
    """
    apart, same = distances(sample.features, sample.features), same_clip(sample.clip_ids, sample.clip_ids)
    others = same.size - np.count_nonzero(same)
    between = float((apart.sum() - apart[same].sum()) / others) if others else None
    if len(apart) <= k:
        return Spread(sample, np.full(len(apart), np.inf), between)
    apart[same] = np.inf
    apart.partition(k - 1, axis=1)
    return Spread(sample, apart[:, k - 1].copy(), between)


def across(x: Sample, y: Sample) -> Floats:
    """[n, m] distances between two samples; infinite within a clip."""
    apart = distances(x.features, y.features)
    apart[same_clip(x.clip_ids, y.clip_ids)] = np.inf
    return apart
