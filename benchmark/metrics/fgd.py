r"""Fréchet gesture distance, as published and extrapolated to a test set without end.

.. math:: \mathrm{FGD} = |m_x - m_y|^2 + \mathrm{tr}(S_x + S_y - 2 (S_x S_y)^{1/2})

between means and covariances of the features of the system's windows and of the truth's. It is biased: two samples of
one distribution are apart by an amount that falls as 1 / N, and at the size of test sets this is often most of the
value. Hence

.. math:: \mathrm{FGD}_\infty = \lim_{1/N \to 0} \mathrm{FGD}_N,

the intercept of a line through the distances of subsets of N clips, from a third to all, against 1 / N. Subsets are
of whole clips, the same on both sides, since windows of one clip are not independent and subsets of windows would
extrapolate too little. They are drawn with a fixed seed. It is not computed with at most 2 d windows or too few clips.
With several seeds each is the mean of the seeds' values.

Unit: squared units of the features. Better: lower. An interval for the plain distance is one for its value at this size
of test set; a bootstrap would add its own bias and is not to be used.
Blind to: sound; all but mean and covariance of the features; jitter, as far as the autoencoders drop it. They are not
comparable between kits, and the plain one not between sizes of test set.
Sources: Yoon et al., Speech gesture generation from the trimodal context (SIGGRAPH Asia 2020); Chong and Forsyth,
Effectively unbiased FID (CVPR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405.benchmark.metric import Card, Perturbation, Rows, Values, known_mean
from csg405.benchmark.metrics._distances import Gaussian, Moments, frechet
from csg405.benchmark.metrics._features import (
    Floats,
    Pick,
    Piece,
    Pooled,
    measure,
    one_pool,
    pieces,
    seeds,
)

__all__ = ["CARDS", "compute", "extrapolated", "measure", "pooled"]

_ANSWERS: tuple[Perturbation, ...] = ("smoothing", "damping", "freezing", "bones")

OF_SETS = True
"""Whether clips of other speakers may stand on the other side: then the floor is one half against the other."""

CARDS = (
    Card(
        name="fgd",
        title="Fréchet gesture distance",
        unit="1",
        direction="lower",
        answers=_ANSWERS,
        ignores=("time_shift", "other_audio"),
        needs=("kit",),
    ),
    Card(
        name="fgd_inf",
        title="Fréchet gesture distance, extrapolated",
        unit="1",
        direction="lower",
        answers=_ANSWERS,
        ignores=("time_shift", "other_audio"),
        needs=("kit",),
    ),
)

_PART = "all"

_LEAST_WINDOWS = 2
"""Windows a dimension, which must be exceeded. From there on, in a simulation of independent Gaussians, the intercept
was off by at most 0.6 of its spread, where the plain distance was off by 8 of its own."""

_LEAST_CLIPS = 12
"""So that the smallest subset is of four clips."""

_SIZES = 8
"""Sizes of subsets, evenly from a third to all."""

_DRAWS = 5
"""Subsets of each size."""

_SMALLEST = 1 / 3
"""Part of the clips in the smallest subset."""

_SEED = 20260801
"""Of the subsets."""


def compute(rows: Rows, truth: Rows) -> Values:
    """Both distances; None with no more windows than dimensions, or too few to extrapolate."""
    true = pieces(truth, part=_PART, seed=0)
    far = known_mean(extrapolated(pieces(rows, part=_PART, seed=seed), true) for seed in seeds(rows))
    return {**one_pool(pooled, rows, truth), "fgd_inf": far}


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """The plain distance for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`.

    Args:
        systems: rows of systems, whose clusters may be put together. Only seeds that all of them have are used.
        truth: rows of the truth.
        cluster_of: name of each clip's cluster.
        only: a card, if no other is wanted; there is one only.
    """
    del only
    names = sorted(set(cluster_of.values()))
    index = {name: i for i, name in enumerate(names)}
    place = {clip_id: index[name] for clip_id, name in cluster_of.items()}
    true = pieces(truth, part=_PART, seed=0, cluster_of=place)
    common = sorted(set.intersection(*(set(seeds(rows)) for rows in systems))) if systems and true else []
    centre = _centre(true)
    y = _by_cluster([true], len(names), centre=centre)
    x = [
        _by_cluster(
            [pieces(rows, part=_PART, seed=seed, cluster_of=place) for rows in systems], len(names), centre=centre
        )
        for seed in common
    ]

    def values(picks: Sequence[Pick], clusters: Sequence[str]) -> Values:
        of_x = np.array([pick.system * len(names) + index[pick.cluster] for pick in picks], np.int64)
        of_y = np.array([index[name] for name in clusters], np.int64)
        true = y.gaussian(of_y) if y.counts[of_y].sum() > len(centre) else None
        enough = (found.gaussian(of_x) for found in x if found.counts[of_x].sum() > len(centre))
        return {"fgd": known_mean(_apart(found, true) for found in enough)}

    return values


def extrapolated(x: Sequence[Piece], y: Sequence[Piece]) -> float | None:
    """The distance that a test set without end would show.

    Args:
        x: the system's windows by clip.
        y: the truth's.
    """
    if min(len(x), len(y)) < _LEAST_CLIPS:
        return None
    width = y[0].features.shape[1]
    if min(sum(len(piece.features) for piece in side) for side in (x, y)) <= _LEAST_WINDOWS * width:
        return None
    order, centre = sorted({piece.clip_id for piece in (*x, *y)}), _centre(y)
    rng = np.random.default_rng(_SEED)
    parts = [part for part in np.linspace(_SMALLEST, 1.0, _SIZES) for _ in range(_DRAWS if part < 1 else 1)]
    ranks = [dict(zip(order, rng.permutation(len(order)), strict=True)) for _ in parts]
    own, true = (_subsets(side, ranks, parts, centre=centre) for side in (x, y))
    found = [(clips, value) for (clips, one), (_, other) in zip(own, true, strict=True)
             if (value := _apart(one, other)) is not None]  # fmt: skip
    return _intercept([1 / clips for clips, _ in found], [value for _, value in found])


def _subsets(
    side: Sequence[Piece], ranks: Sequence[Mapping[str, int]], parts: Sequence[float], *, centre: Floats
) -> list[tuple[int, Gaussian | None]]:
    """Of every subset, the number of its clips, those that come first by rank, and their Gaussian."""
    taken = np.zeros((len(parts), len(side)))
    for row, rank, part in zip(taken, ranks, parts, strict=True):
        order = np.argsort([rank[piece.clip_id] for piece in side])
        row[order[: max(round(part * len(side)), 1)]] = 1
    gaussians = Moments.of([piece.features for piece in side], centre=centre).gaussians(taken)
    return list(zip(taken.sum(axis=1).astype(int).tolist(), gaussians, strict=True))


def _intercept(inverse: Sequence[float], found: Sequence[float]) -> float | None:
    if len(set(inverse)) < 2:
        return None
    at = np.stack([np.ones(len(inverse)), np.array(inverse)], axis=1)
    return float(np.linalg.lstsq(at, np.array(found))[0][0])


def _apart(x: Gaussian | None, y: Gaussian | None) -> float | None:
    return None if x is None or y is None else frechet(x, y)


def _centre(true: Sequence[Piece]) -> Floats:
    return np.concatenate([piece.features for piece in true]).mean(axis=0) if true else np.zeros(1)


def _by_cluster(systems: Sequence[Sequence[Piece]], clusters: int, *, centre: Floats) -> Moments:
    """Sums by cluster; the clusters of the second system follow those of the first, and so on."""
    held: list[list[Floats]] = [[] for _ in range(clusters * len(systems))]
    for number, found in enumerate(systems):
        for piece in found:
            held[number * clusters + piece.cluster].append(piece.features)
    none = np.zeros((0, len(centre)))
    return Moments.of([np.concatenate([none, *windows]) for windows in held], centre=centre)
