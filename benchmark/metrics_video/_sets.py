"""Distances between sets of features of videos, by the numerics of the skeleton's metrics.

A seed's set is compared with all of the truth; the value is the mean over seeds. Rows hold [samples, d] under one
name. Means and covariances are taken of all samples together, for a table of sums by clip would be d squared numbers
a clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from csg405.benchmark.metric import Rows
from csg405.benchmark.metrics._distances import Gaussian, KernelSums, Side, frechet, mmd_from_sums, pair_sums
from csg405.benchmark.metrics._features import Floats, Piece, mean_over_seeds, pieces, seeds

_ALL = np.zeros(1, np.int64)
"""The one cluster that there is."""


def frechet_of(rows: Rows, truth: Rows, *, name: str) -> float | None:
    """The Fréchet distance; None with no more samples than dimensions on a side.

    Args:
        rows: of a system.
        truth: of the clips' own videos.
        name: under which rows hold features.
    """
    true = gaussian_of(_together(pieces(truth, part=name, seed=0)))
    if true is None:
        return None
    found = (gaussian_of(_together(pieces(rows, part=name, seed=seed))) for seed in seeds(rows))
    return mean_over_seeds(frechet(one, true) for one in found if one is not None)


def mmd_of(rows: Rows, truth: Rows, *, name: str) -> float | None:
    """The unbiased squared discrepancy under the cubic kernel, pairs within one clip left out; None below two clips.

    Args:
        rows: of a system.
        truth: of the clips' own videos.
        name: under which rows hold features.
    """
    y = Side(pieces(truth, part=name, seed=0), 1)
    yy = pair_sums(y, y)
    sides = (Side(pieces(rows, part=name, seed=seed), 1) for seed in seeds(rows))
    found = (KernelSums(xx=pair_sums(x, x), xy=pair_sums(x, y), yy=yy) for x in sides)
    return mean_over_seeds(mmd_from_sums(sums, x=_ALL, y=_ALL) for sums in found)


def gaussian_of(features: Floats) -> Gaussian | None:
    """Mean and covariance of [n, d]; None unless n exceeds d, for they would not fix a covariance."""
    if len(features) <= features.shape[1]:
        return None
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def _together(found: Sequence[Piece]) -> Floats:
    return np.concatenate([piece.features for piece in found]) if found else np.zeros((0, 1))
