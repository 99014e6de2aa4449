r"""Kernel gesture distance: how far the motions of a system are from true ones, as distributions.

The unbiased squared maximum mean discrepancy

.. math:: \mathrm{KGD} = \overline{k(x, x')} - 2\,\overline{k(x, y)} + \overline{k(y, y')},
   \qquad k(a, b) = (a \cdot b / d + 1)^3

between the features x of the system's windows and y of the truth's, d = 32. Each bar is the mean over pairs of windows
of *different clips*. Published kernel distances only leave a window's pair with itself out, which is unbiased for
independent windows; ours overlap, so that form calls every sample of few clips spread out. Leaving the clip's own
pairs out between system and truth as well makes the truth exactly 0 from itself. With several seeds it is the mean of
the seeds' values, each against all of the truth.

Unit: none (that of the kernel). Better: lower; chance is near 0 and may be below it.
Blind to: sound, so other audio and shifts in time; which motion belongs to which clip; what the autoencoders drop.
Their 32 numbers hold what two seconds have in posture and slow motion: jitter up to 2 px is not in them, and hardly
anything faster than 1.5 Hz, so smoothed motion costs nothing; `kin` sees both. It is not comparable between kits.
Whoever replays true motions of other test clips falls slightly below 0.
Sources: Binkowski et al., Demystifying MMD GANs (ICLR 2018), for kernel and estimate, here on features of gestures and
by clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from csg405.benchmark.metric import Card, Perturbation, Rows, Values, of_seed, once
from csg405.benchmark.metrics._distances import KernelSums, Side, discrepancies, pair_sums
from csg405.benchmark.metrics._features import (
    PARTS,
    Floats,
    Places,
    Pooled,
    PooledSums,
    common_seeds,
    measure,
    one_pool,
    pieces,
)
from csg405.benchmark.metrics._motion import known_means

__all__ = ["CARDS", "compute", "measure", "pooled"]

_TITLES = {"all": "", "body": ", body", "hands": ", hands", "face": ", face"}

_ANSWERS: tuple[Perturbation, ...] = ("damping", "freezing")
_IGNORES: tuple[Perturbation, ...] = ("time_shift", "other_audio")

_OF_PARTS: dict[str, tuple[Perturbation, ...]] = {
    "all": ("bones",), "body": ("bones",), "hands": ("smoothing",), "face": ("lips",),
}  # fmt: skip
"""What only some parts answer to. Hands are told from their wrists, so longer arms do not change them, and with less
posture to tell their numbers hold more of what is fast."""

OF_SETS = True
"""Whether clips of other speakers may stand on the other side: then the floor is one half against the other."""

CARDS = tuple(
    Card(
        name="kgd" if part == "all" else f"kgd_{part}",
        title=f"Kernel gesture distance{_TITLES[part]}",
        unit="1",
        direction="lower",
        ranks=part == "all",
        answers=(*_ANSWERS, *_OF_PARTS[part]),
        ignores=(*_IGNORES, "bones") if part == "hands" else _IGNORES,
        needs=("kit",),
    )
    for part in PARTS
)


def compute(rows: Rows, truth: Rows) -> Values:
    """The distance by part; None with fewer than two clips on a side."""
    return one_pool(pooled, rows, truth)


def pooled(systems: Sequence[Rows], truth: Rows, *, cluster_of: Mapping[str, str], only: str | None = None) -> Pooled:
    """The distance for any union of clusters: see `csg405.benchmark.metrics._features.Pooled`.

    Args:
        systems: rows of systems, whose clusters may be put together. Only seeds that all of them have are used.
        truth: rows of the truth.
        cluster_of: name of each clip's cluster.
        only: a card, if no other is wanted.
    """
    common, places = common_seeds(systems), Places.of(cluster_of)
    parts = {card.name: part for card, part in zip(CARDS, PARTS, strict=True) if only in {None, card.name}}
    sums = {name: _sums(systems, truth, part=part, common=common, places=places) for name, part in parts.items()}

    def many(own: Floats, true: Floats) -> dict[str, Floats]:
        of_x = own.reshape(len(own), -1)
        return {
            name: known_means(
                [discrepancies(found, x=of_x, y=true) for found in by_seed] or [np.full(len(own), np.nan)]
            )
            for name, by_seed in sums.items()
        }

    return PooledSums(places.names, len(systems), many)


def _sums(
    systems: Sequence[Rows], truth: Rows, *, part: str, common: Sequence[int], places: Places
) -> list[KernelSums]:
    """The kernel's sums of each seed; the clusters of the second system follow those of the first, and so on."""
    y = side(truth, part=part, places=places)
    yy = pair_sums(y, y)
    found = []
    for seed in common:
        x = Side.of_systems([side(of_seed(rows, seed), part=part, places=places) for rows in systems])
        found.append(KernelSums(xx=pair_sums(x, x), xy=pair_sums(x, y), yy=yy))
    return found


def side(rows: Rows, *, part: str, places: Places) -> Side:
    """The windows of a part in rows of seed 0, and their moments by cluster: taken once."""
    return once(rows, _side, part, places.of_rows(rows), len(places.names))


def _side(rows: Rows, part: str, of_rows: tuple[int, ...], clusters: int) -> Side:
    place = {key.clip_id: cluster for key, cluster in zip(rows, of_rows, strict=True)}
    return Side(pieces(rows, part=part, seed=0, cluster_of=place), clusters)
