r"""Distances between samples: the maximum mean discrepancy by sums of a kernel, and the Fréchet distance.

The cubic kernel of d numbers, :math:`k(a, b) = (a \cdot b / d + 1)^3`, is the inner product of all products of up to
three of them: binomial(d + 3, 3) numbers, 6545 for d = 32. So the sum of the kernel over all pairs of two samples is
the inner product of two sums of such products, and costs as much as there are windows, not pairs of them. Kept by
cluster, these sums give the discrepancy of any union of clusters without a second look at the windows.

Sources: Gretton et al., A kernel two-sample test (JMLR 2012), for the unbiased discrepancy; Binkowski et al.,
Demystifying MMD GANs (ICLR 2018), for the kernel; Dowson and Landau (1982) for the Fréchet distance of Gaussians.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from csg405.benchmark.metrics._features import Floats, Ints, Piece

_BLOCK = 1024
"""Windows that are worked on at once: 4 MiB of products for d = 32."""

_NARROW = 64
"""Dimensions up to which products of three are held (47,905 numbers a cluster); beyond, pairs are gone through."""

_CUBIC = (1.0, 3.0, 3.0, 1.0)
"""Binomial coefficients of the kernel."""


def cubic_kernel(first: Floats, second: Floats) -> Floats:
    """[..., n, m] the kernel between [..., n, d] and [..., m, d]."""
    told = first @ np.swapaxes(second, -1, -2) / first.shape[-1] + 1.0
    return np.asarray(told * told * told, np.float64)


def cubic_moments(features: Floats) -> Floats:
    """[binomial(d + 3, 3)] sum over [n, d] of the products whose inner product is the kernel."""
    width = features.shape[1]
    i, j, kept, twos, threes = _products(width)
    first, second, third = np.zeros(width), np.zeros(len(i)), np.zeros((len(i), width))
    told = np.ascontiguousarray(features.T) / np.sqrt(width)
    for start in range(0, len(features), _BLOCK):
        block = told[:, start : start + _BLOCK]
        products = block[i] * block[j]
        first += block.sum(axis=1)
        second += products.sum(axis=1)
        third += products @ block.T
    none = [np.sqrt(_CUBIC[0]) * len(features)]
    return np.concatenate([none, np.sqrt(_CUBIC[1]) * first, twos * second, (threes * third)[kept]])


@functools.cache
def _products(width: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_], Floats, Floats]:
    """Pairs i <= j of numbers; which third numbers come after them; and the weights of products of two and three."""
    i, j = np.triu_indices(width)
    third = np.arange(width)[None, :]
    equal = (i == j).astype(int)[:, None] + (third == j[:, None])
    twos = np.sqrt(_CUBIC[2] * np.where(i == j, 1.0, 2.0))
    return i, j, third >= j[:, None], twos, np.sqrt(_CUBIC[3] * np.choose(equal, [6.0, 3.0, 1.0]))


@dataclasses.dataclass(frozen=True)
class Side:
    """One sample, made ready to be compared with others."""

    pieces: Sequence[Piece]
    clusters: int
    """How many there are."""

    @functools.cached_property
    def features(self) -> list[Floats]:
        """[windows, d] by cluster."""
        width = self.pieces[0].features.shape[1] if self.pieces else 1
        held: list[list[Floats]] = [[] for _ in range(self.clusters)]
        for piece in self.pieces:
            held[piece.cluster].append(piece.features)
        return [np.concatenate(found) if found else np.zeros((0, width)) for found in held]

    @property
    def is_narrow(self) -> bool:
        """Whether its moments can be held."""
        return bool(self.pieces) and self.pieces[0].features.shape[1] <= _NARROW

    @functools.cached_property
    def counts(self) -> Floats:
        """[clusters] windows."""
        return np.array([len(found) for found in self.features], np.float64)

    @functools.cached_property
    def moments(self) -> Floats:
        """[clusters, binomial(d + 3, 3)] of `cubic_moments`."""
        return np.stack([cubic_moments(found) for found in self.features])

    @classmethod
    def of_systems(cls, sides: Sequence[Side]) -> Side:
        """Several systems' samples as one: the clusters of the second follow those of the first, and so on."""
        starts = np.cumsum([0, *(side.clusters for side in sides)]).tolist()
        pieces = [piece._replace(cluster=piece.cluster + start)
                  for side, start in zip(sides, starts, strict=False) for piece in side.pieces]  # fmt: skip
        whole = cls(pieces, starts[-1])
        if all(side.is_narrow for side in sides):
            vars(whole)["moments"] = np.concatenate([side.moments for side in sides])
        return whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSums:
    """Sums of the kernel over pairs of windows of different clips, and the number of such pairs, by two clusters."""

    sums: Floats
    pairs: Floats

    def mean(self, first: Ints, second: Ints) -> float | None:
        """Over all pairs of two unions of clusters; None if there is no pair."""
        pairs = self.pairs[np.ix_(first, second)].sum()
        return float(self.sums[np.ix_(first, second)].sum() / pairs) if pairs > 0 else None

    def means(self, first: Floats, second: Floats) -> Floats:
        """[draws] the same for many unions, given as how often each cluster is taken [draws, clusters]; or NaN."""
        sums, pairs = (np.einsum("di,ij,dj->d", first, held, second, optimize=True) for held in (self.sums, self.pairs))
        return np.asarray(np.divide(sums, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), np.float64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelSums:
    """All that the discrepancy of any unions of clusters of x and of y is computed from."""

    xx: PairSums
    xy: PairSums
    yy: PairSums


def pair_sums(x: Side, y: Side) -> PairSums:
    """Sums of the kernel between two samples, pairs of windows of the same clip left out."""
    sums = _totals(x, y)
    pairs = np.outer(x.counts, y.counts)
    for one, other in _of_one_clip(x.pieces, y.pieces):
        clusters = [piece.cluster for piece in one], [piece.cluster for piece in other]
        first, second = (np.stack([piece.features for piece in side]) for side in (one, other))
        np.subtract.at(sums, clusters, cubic_kernel(first, second).sum(axis=(1, 2)))
        np.subtract.at(pairs, clusters, first.shape[1] * second.shape[1])
    return PairSums(sums=sums, pairs=pairs)


def _of_one_clip(x: Sequence[Piece], y: Sequence[Piece]) -> Iterator[tuple[list[Piece], list[Piece]]]:
    """Pairs of pieces that are of the same clip, those of one shape together."""
    of_clip: dict[str, list[Piece]] = {}
    for piece in y:
        of_clip.setdefault(piece.clip_id, []).append(piece)
    held: dict[tuple[int, int], tuple[list[Piece], list[Piece]]] = {}
    for piece in x:
        for other in of_clip.get(piece.clip_id, ()):
            one, two = held.setdefault((len(piece.features), len(other.features)), ([], []))
            one.append(piece)
            two.append(other)
    yield from held.values()


def cluster_sums(x: Side, y: Side) -> KernelSums:
    """Sums of the kernel by clusters.

    Args:
        x: one sample.
        y: the other. Pieces of both that bear the same clip's name are not compared, and no piece with itself: with
            every window a piece of its own, under names that x and y do not share, this is the textbook's estimate.
    """
    return KernelSums(xx=pair_sums(x, x), xy=pair_sums(x, y), yy=pair_sums(y, y))


def mmd_from_sums(sums: KernelSums, *, x: Ints, y: Ints) -> float | None:
    """The unbiased squared discrepancy between unions of clusters; None where a side has no pair of clips.

    Args:
        sums: of `cluster_sums`.
        x: indices of the clusters of one sample.
        y: of the other.
    """
    within_x, across, within_y = sums.xx.mean(x, x), sums.xy.mean(x, y), sums.yy.mean(y, y)
    if within_x is None or across is None or within_y is None:
        return None
    return within_x - 2 * across + within_y


def discrepancies(sums: KernelSums, *, x: Floats, y: Floats) -> Floats:
    """[draws] the same between many unions, given as how often each cluster is taken [draws, clusters]; or NaN."""
    return sums.xx.means(x, x) - 2 * sums.xy.means(x, y) + sums.yy.means(y, y)


def _totals(x: Side, y: Side) -> Floats:
    """[clusters of x, clusters of y] sums of the kernel over all pairs."""
    if not x.pieces or not y.pieces:
        return np.zeros((x.clusters, y.clusters))
    if x.is_narrow:
        return np.asarray(x.moments @ y.moments.T, np.float64)
    return np.array([[_total(first, second) for second in y.features] for first in x.features])


def _total(first: Floats, second: Floats) -> float:
    starts = range(0, len(first), _BLOCK), range(0, len(second), _BLOCK)
    return float(
        sum(cubic_kernel(first[i : i + _BLOCK], second[j : j + _BLOCK]).sum() for i in starts[0] for j in starts[1])
    )


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a sample."""

    mean: Floats
    """[d]"""
    covariance: Floats
    """[d, d] with n - 1 below."""

    @functools.cached_property
    def factor(self) -> Floats:
        """[d, d] L with L times its transpose the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None)), np.float64)


def frechet(x: Gaussian, y: Gaussian) -> float:
    r"""The squared Fréchet distance of two Gaussians.

    :math:`|m_x - m_y|^2 + \mathrm{tr}(S_x + S_y) - 2\,\mathrm{tr}\,(S_x S_y)^{1/2}`. With factors
    :math:`S = L L^T` the last trace is the sum of the singular values of :math:`L_x^T L_y`: real and not negative
    also for singular covariances, and without the loss of half of the digits that a root of eigenvalues brings.
    """
    apart = x.mean - y.mean
    spread = np.trace(x.covariance) + np.trace(y.covariance)
    shared = np.linalg.svd(x.factor.T @ y.factor, compute_uv=False).sum()
    return float(max(apart @ apart + spread - 2 * shared, 0.0))


@dataclasses.dataclass(frozen=True)
class Moments:
    """Sums by unit (a cluster, a clip), from which the Gaussian of any union of units follows."""

    counts: Floats
    """[units]"""
    sums: Floats
    """[units, d]"""
    squares: Floats
    """[units, d, d] sums of outer products."""

    @classmethod
    def of(cls, features: Sequence[Floats], *, centre: Floats) -> Moments:
        """Of units' features, told from a point near their mean, so that few digits are lost.

        Args:
            features: [windows, d] by unit.
            centre: [d]; the same for samples that are to be compared.
        """
        told = [found - centre for found in features]
        return cls(
            np.array([len(found) for found in told], np.float64),
            np.stack([found.sum(axis=0) for found in told]),
            np.stack([found.T @ found for found in told]),
        )

    def gaussian(self, units: Ints) -> Gaussian | None:
        """Of a union of units; None if it has fewer than two windows."""
        return self.gaussians(np.bincount(units, minlength=len(self.counts))[None].astype(np.float64))[0]

    def gaussians(self, taken: Floats) -> list[Gaussian | None]:
        """Of many unions, given as how often each unit is taken [unions, units]."""
        counts = taken @ self.counts
        sums, squares = (np.tensordot(taken, held, 1) for held in (self.sums, self.squares))
        return [_gaussian(*found) for found in zip(counts, sums, squares, strict=True)]


def _gaussian(count: float, sums: Floats, squares: Floats) -> Gaussian | None:
    if count < 2:
        return None
    mean = sums / count
    covariance = (squares - count * np.outer(mean, mean)) / (count - 1)
    return Gaussian(mean, (covariance + covariance.T) / 2)


def distances(first: Floats, second: Floats) -> Floats:
    """[n, m] Euclidean distances: from differences, so that equal points are exactly 0 apart."""
    return np.asarray(cdist(first, second), np.float64)
