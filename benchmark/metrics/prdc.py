r"""Precision, recall, density and coverage: are a system's motions real ones, and are all real ones among them?

With a ball round every window that reaches its k-th nearest neighbour on its own side, k = 5:

.. math::
   \mathrm{precision} &= \text{part of the system's windows in at least one ball of the truth} \\
   \mathrm{recall} &= \text{part of the true windows in at least one ball of the system} \\
   \mathrm{density} &= \frac{1}{k\,n} \sum_{j=1}^{n} \text{number of true balls that hold the system's window } j \\
   \mathrm{coverage} &= \text{part of the truth's balls that hold at least one window of the system}

Windows of one clip overlap, so that their nearest neighbours would always be each other and all balls tiny: windows of
the same clip are infinitely far apart here, on one side and between both. The truth against itself has then a density
and coverage of exactly 1. Its precision and recall are lower (0.8 for normal features of 32 dimensions), since in many
dimensions some points are nobody's neighbours. A side with more windows than 2,000 is thinned to so many, at even steps
through its clips. With several seeds each is the mean of the seeds' values.

Unit: none. Better: higher, but for density, which is best at 1: a system that only makes the commonest motions has
more. All depend on the number of windows. They are not computed where a window has fewer than k others to compare with.
Blind to: sound; precision and density to missing variety, which recall and coverage see; a few motions kept in all
clips have a good precision, and motions damped to the mean pose a better one than the truth. So precision claims to
answer to other bones only.
Sources: Kynkäänniemi et al., Improved precision and recall metric (NeurIPS 2019); Naeem et al., Reliable fidelity and
diversity metrics (ICML 2020).
"""

from __future__ import annotations

import numpy as np

from csg405.benchmark.metric import Card, Perturbation, Rows, Values, known_mean, of_seed
from csg405.benchmark.metrics._features import measure, seeds
from csg405.benchmark.metrics._neighbours import NEIGHBOURS, Sample, Spread, across, spread, spread_of

__all__ = ["CARDS", "Sample", "compute", "measure", "prdc"]

_IGNORES: tuple[Perturbation, ...] = ("time_shift", "other_audio")

OF_SETS = True
"""Whether clips of other speakers may stand on the other side: then the floor is one half against the other."""

CARDS = (
    Card(
        name="prdc_precision",
        title="Precision",
        unit="1",
        direction="higher",
        answers=("bones",),
        ignores=_IGNORES,
        needs=("kit",),
    ),
    Card(
        name="prdc_recall",
        title="Recall",
        unit="1",
        direction="higher",
        answers=("smoothing", "damping", "freezing"),
        ignores=_IGNORES,
        needs=("kit",),
    ),
    Card(
        name="prdc_density",
        title="Density",
        unit="1",
        direction="one",
        answers=("damping", "freezing"),
        ignores=_IGNORES,
        needs=("kit",),
    ),
    Card(
        name="prdc_coverage",
        title="Coverage",
        unit="1",
        direction="higher",
        answers=("smoothing", "damping", "freezing"),
        ignores=_IGNORES,
        needs=("kit",),
    ),
)


def compute(rows: Rows, truth: Rows) -> Values:
    """All four, on the features of the whole motion."""
    true = spread_of(truth)
    if true is None:
        return {card.name: None for card in CARDS}
    by_seed = [_values(own, true, k=NEIGHBOURS)
               for seed in seeds(rows) if (own := spread_of(of_seed(rows, seed))) is not None]  # fmt: skip
    return {card.name: known_mean(values[card.name] for values in by_seed) for card in CARDS}


def prdc(x: Sample, y: Sample, *, k: int = NEIGHBOURS) -> Values:
    """All four of a system's windows against the truth's.

    Args:
        x: the system's.
        y: the truth's. With a name of its own for every window of both this is the published form.
        k: which neighbour the balls reach to.
    """
    return _values(spread(x, k=k), spread(y, k=k), k=k)


def _values(own: Spread, true: Spread, *, k: int) -> Values:
    if not (np.isfinite(true.reach).all() and np.isfinite(own.reach).all()):
        return {card.name: None for card in CARDS}
    apart = across(own.sample, true.sample)
    in_truth = apart <= true.reach
    return {
        "prdc_precision": float(in_truth.any(axis=1).mean()),
        "prdc_recall": float((apart <= own.reach[:, None]).any(axis=0).mean()),
        "prdc_density": float(in_truth.sum() / (k * len(apart))),
        "prdc_coverage": float(in_truth.any(axis=0).mean()),
    }
