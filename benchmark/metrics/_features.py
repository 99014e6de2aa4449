"""The features that the distribution metrics share, and how they are laid out.

The kit's autoencoders turn every window of a motion into 32 numbers, for the whole and for its parts. Windows of one
clip overlap and resemble each other, so what is independent is the clip at most: a sample is kept in *pieces*, one
for each clip, and the metrics leave pairs of windows of the same clip out where the theory wants independent pairs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from csg405.benchmark.clip import Seen
from csg405.benchmark.metric import Row, Rows, Values

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PARTS = ("all", "body", "hands", "face")
"""Of a motion, each with an autoencoder of its own."""

_NO_CLUSTER = "all"


class Piece(NamedTuple):
    """The windows of one clip."""

    clip_id: str
    cluster: int
    """Index of what the clip belongs to."""
    features: Floats
    """[windows, d]"""


class Pick(NamedTuple):
    """One system's motions for the clips of one cluster."""

    system: int
    """Index of the system."""
    cluster: str


Pooled = Callable[[Sequence[Pick], Sequence[str]], Values]
"""The values of any union of picks against the truth of any clusters, at little cost.

A metric whose values come from sums over its rows may offer `pooled(systems, truth, *, cluster_of, only)`, which
returns this, with the rows of one system or several, the cluster of each clip, and the one card that is wanted, or
None: resampling and swapping then need no second pass. Where it is a `PooledSums`, all draws are computed at once.
"""

Many = Callable[[Floats, Floats], dict[str, Floats]]
"""By card, the values [draws] of many unions, NaN where there is none.

They are given as how often a cluster is taken: of systems [draws, systems, clusters], of the truth [draws, clusters].
"""


@dataclasses.dataclass(frozen=True)
class PooledSums:
    """A `Pooled` that can do many draws at once."""

    clusters: Sequence[str]
    """In their order."""
    systems: int
    many: Many

    def __call__(self, picks: Sequence[Pick], clusters: Sequence[str]) -> Values:
        """The values of one union."""
        place = {name: number for number, name in enumerate(self.clusters)}
        own, true = np.zeros((1, self.systems, len(place))), np.zeros((1, len(place)))
        for system, cluster in picks:
            if cluster in place:
                own[0, system, place[cluster]] += 1
        for cluster in clusters:
            if cluster in place:
                true[0, place[cluster]] += 1
        return {card: None if math.isnan(value[0]) else float(value[0]) for card, value in self.many(own, true).items()}


class Places(NamedTuple):
    """Clusters in their order, and which of them each clip is of."""

    names: tuple[str, ...]
    of_clip: Mapping[str, int]

    @classmethod
    def of(cls, cluster_of: Mapping[str, str]) -> Places:
        """From the name of each clip's cluster."""
        names = tuple(sorted(set(cluster_of.values())))
        index = {name: number for number, name in enumerate(names)}
        return cls(names, {clip_id: index[name] for clip_id, name in cluster_of.items()})

    def of_rows(self, rows: Rows) -> tuple[int, ...]:
        """The index of the cluster of each row."""
        return tuple(self.of_clip[key.clip_id] for key in rows)


def measure(seen: Seen) -> Row:
    """Features by part, [windows, 32]; nothing without a kit."""
    return dict(seen.features)


def seeds(rows: Rows) -> list[int]:
    """The seeds that rows have, sorted."""
    return sorted({key.seed for key in rows})


def common_seeds(systems: Sequence[Rows]) -> tuple[int, ...]:
    """The seeds that all systems have, sorted."""
    return tuple(sorted(set.intersection(*(set(seeds(rows)) for rows in systems)))) if systems else ()


def pieces(rows: Rows, *, part: str, seed: int, cluster_of: Mapping[str, int] | None = None) -> list[Piece]:
    """The windows of one seed and part by clip, in the clips' order.

    Args:
        rows: of the measure above.
        part: one of `PARTS`.
        seed: whose samples are taken.
        cluster_of: index of each clip's cluster; 0 for all if it is not given.
    """
    return [
        Piece(
            key.clip_id, 0 if cluster_of is None else cluster_of[key.clip_id], np.asarray(rows[key][part], np.float64)
        )
        for key in sorted(rows)
        if key.seed == seed and len(rows[key].get(part, ()))
    ]


def thinned(found: Sequence[Piece], *, most: int) -> tuple[Floats, list[str]]:
    """At most so many windows, at even steps through all of them.

    Returns:
        Features [windows, d], and the clip of each.
    """
    features = np.concatenate([piece.features for piece in found])
    clip_ids = [piece.clip_id for piece in found for _ in piece.features]
    kept = np.arange(len(features))
    if len(features) > most:
        kept = np.linspace(0, len(features) - 1, most).round().astype(np.int64)
    return features[kept], [clip_ids[i] for i in kept]


def same_clip(first: Sequence[str], second: Sequence[str]) -> npt.NDArray[np.bool_]:
    """[n, m] whether two windows are of the same clip."""
    codes = {clip_id: code for code, clip_id in enumerate(sorted({*first, *second}))}
    of_first, of_second = (np.array([codes[clip_id] for clip_id in ids], np.int64) for ids in (first, second))
    return np.asarray(of_first[:, None] == of_second[None, :])


def one_pool(pooled: Callable[..., Pooled], rows: Rows, truth: Rows) -> Values:
    """The values of all rows together, for a metric that offers `Pooled`."""
    together = {key.clip_id: _NO_CLUSTER for key in (*rows, *truth)}
    return pooled([rows], truth, cluster_of=together)([Pick(0, _NO_CLUSTER)], [_NO_CLUSTER])
