"""Distances between sets of features of videos, by the numerics of the skeleton's metrics.

A seed's set is compared with all of the truth; the value is the mean over seeds. Rows hold [samples, d] under one
name. Means and covariances are taken of all samples together, for a table of sums by clip would be d squared numbers
a clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405.benchmark.metric import Rows, Values, known_mean
from csg405.benchmark.metrics._distances import Gaussian, KernelSums, Side, frechet, mmd_from_sums, pair_sums
from csg405.benchmark.metrics._features import Floats, Pick, Piece, Pooled, pieces, seeds

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
    return known_mean(frechet(one, true) for one in found if one is not None)


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
    return known_mean(mmd_from_sums(sums, x=_ALL, y=_ALL) for sums in found)


def mmd_pooled(systems: Sequence[Rows], truth: Rows, *, card: str, name: str, cluster_of: Mapping[str, str]) -> Pooled:
    """The same for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`.

    Args:
        systems: rows of systems. Only seeds that all of them have are used.
        truth: rows of the truth.
        card: that the value is called by.
        name: under which rows hold features.
        cluster_of: name of each clip's cluster.
    """
    names = sorted(set(cluster_of.values()))
    index = {cluster: i for i, cluster in enumerate(names)}
    place = {clip_id: index[cluster] for clip_id, cluster in cluster_of.items()}
    y = Side(pieces(truth, part=name, seed=0, cluster_of=place), len(names))
    yy = pair_sums(y, y)
    by_seed = []
    for seed in sorted(set.intersection(*(set(seeds(rows)) for rows in systems))) if systems else []:
        held = [
            piece._replace(cluster=piece.cluster + number * len(names))
            for number, rows in enumerate(systems)
            for piece in pieces(rows, part=name, seed=seed, cluster_of=place)
        ]
        x = Side(held, len(names) * len(systems))
        by_seed.append(KernelSums(xx=pair_sums(x, x), xy=pair_sums(x, y), yy=yy))

    def values(picks: Sequence[Pick], clusters: Sequence[str]) -> Values:
        own = np.array([pick.system * len(names) + index[pick.cluster] for pick in picks], np.int64)
        true = np.array([index[cluster] for cluster in clusters], np.int64)
        return {card: known_mean(mmd_from_sums(sums, x=own, y=true) for sums in by_seed)}

    return values


def gaussian_of(features: Floats) -> Gaussian | None:
    """Mean and covariance of [n, d]; None unless n exceeds d, for they would not fix a covariance."""
    if len(features) <= features.shape[1]:
        return None
    return Gaussian(features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False)))


def _together(found: Sequence[Piece]) -> Floats:
    return np.concatenate([piece.features for piece in found]) if found else np.zeros((0, 1))
