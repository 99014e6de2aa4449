r"""Diversity between clips, and between a system's samples for one clip, against the truth's.

With the features f of windows,

.. math:: D = \text{mean of } |f_i - f_j| \text{ over pairs of windows of different clips},

diversity is the system's D over the truth's. A side with more windows than 2,000 is thinned to so many, at even steps
through its clips. With several seeds it is the mean of the seeds' values.

Multimodality is the mean distance between the features of the same window in two seeds for the same clip, over pairs
of seeds, windows and clips, over the truth's D. It needs three seeds. Nobody has said one clip's words three times,
so there is no truth for it: 0 is a system that always does the same, 1 one whose samples for one clip differ as much
as true motions of different clips.

Unit: none. Better: a diversity nearer to 1; of multimodality nothing is better.
Blind to: sound, and to whether the motions are real: noise adds to both. It has been proposed to leave what is faster
than 6 Hz out first; that would need a second pass of every motion through the autoencoders, whose 32 numbers for two
seconds hold little that is as fast, so the shared features are used as they are, and the jerk metrics tell of noise.
Sources: Guo et al., Action2Motion (ACM MM 2020) for both in this form; as ratios, without pairs drawn at random and
without pairs of one clip, ours.
"""

from __future__ import annotations

import itertools

import numpy as np

from csg405.benchmark.metric import Card, Rows, Values, known_mean, of_seed
from csg405.benchmark.metrics._features import (
    Floats,
    Piece,
    measure,
    pieces,
    seeds,
)
from csg405.benchmark.metrics._neighbours import spread_of

__all__ = ["CARDS", "compute", "measure"]

OF_SETS = True
"""Whether clips of other speakers may stand on the other side: then the floor is one half against the other."""

CARDS = (
    Card(
        name="diversity",
        title="Diversity over the truth's",
        unit="1",
        direction="one",
        answers=("smoothing", "damping", "freezing"),
        ignores=("time_shift", "other_audio"),
        needs=("kit",),
    ),
    Card(
        name="multimodality",
        title="Difference of samples for one clip over the truth's diversity",
        unit="1",
        direction="none",
        needs=("kit", "seeds"),
    ),
)

_LEAST_SEEDS = 3
"""Samples of a clip: three pairs."""

_PART = "all"


def compute(rows: Rows, truth: Rows) -> Values:
    """Both ratios; None without two clips, the latter without three seeds."""
    true = spread_of(truth)
    if true is None or not true.between:
        return {"diversity": None, "multimodality": None}
    spreads = [spread_of(of_seed(rows, seed)) for seed in seeds(rows)]
    between = known_mean(own.between for own in spreads if own is not None)
    within = _between_seeds({seed: pieces(rows, part=_PART, seed=seed) for seed in seeds(rows)})
    return {
        "diversity": None if between is None else between / true.between,
        "multimodality": None if within is None else within / true.between,
    }


def _between_seeds(by_seed: dict[int, list[Piece]]) -> float | None:
    """Mean over clips of the mean distance of the same window in two seeds; clips with too few seeds are left out."""
    of_clip: dict[str, list[Floats]] = {}
    for found in by_seed.values():
        for piece in found:
            of_clip.setdefault(piece.clip_id, []).append(piece.features)
    return known_mean(
        float(np.mean([np.linalg.norm(a - b, axis=1).mean() for a, b in itertools.combinations(samples, 2)]))
        for _, samples in sorted(of_clip.items())
        if len(samples) >= _LEAST_SEEDS
    )
