"""How near the best of several samples comes to the true motion: PCK@0.2 and the mean distance of points (MPJPE).

Over frames and the shown points of body and hands (nose, shoulders, elbows, wrists, and 21 of each hand), of a sample
    PCK@0.2  is the part that lies within 0.2 b of its true place, with b the larger side of the box that holds all
             of these points of the truth over the clip;
    MPJPE    is the mean distance to the true place.
The best of the samples of a clip, the highest PCK and the lowest MPJPE, counts for it; the values are means over clips.
A system that gives more samples has an advantage, so compare only equal numbers.

Unit: none, 0 to 1, and shoulder widths. Better: nothing. It cannot rank.
Known failures: the same words can go with many gestures, and a mean pose that never moves is nearer to the true one
than a real gesture of another kind.
Sources: PCK of Yang and Ramanan (PAMI 2013), with the box and factor of Ginosar et al. (CVPR 2019), there for each
frame; the best of K from trajectory forecasting (Gupta et al., CVPR 2018).
"""

from __future__ import annotations

import numpy as np

from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Rows, Values
from csg405.benchmark.metrics._motion import GESTURE, Floats, given, lengths, mean_or_none

CARDS = (
    Card(
        name="pck",
        title="PCK@0.2, best sample",
        unit="0-1",
        direction="none",
        ignores=("other_audio", "lips"),
    ),
    Card(
        name="mpjpe",
        title="Mean distance of points, best sample",
        unit="shoulder widths",
        direction="none",
        ignores=("other_audio", "lips"),
    ),
)

_ALPHA = 0.2


def measure(seen: Seen) -> Row:
    """Both values of one sample."""
    true, shown, side = seen.clip.once(_truth)
    if not shown.any():
        return {"pck": np.array(np.nan), "mpjpe": np.array(np.nan)}
    apart, count = lengths(seen.points[:, GESTURE] - true), np.count_nonzero(shown)
    near = np.count_nonzero((apart <= _ALPHA * side) & shown)
    return {"pck": np.array(near / count), "mpjpe": np.array(np.where(shown, apart, 0).sum() / count)}


def _truth(clip: Clip) -> tuple[Floats, Bools, float]:
    """The true points [n, 49, 2], which of them are shown [n, 49], and the side of the box that holds these."""
    true, shown = clip.points[:, GESTURE].astype(np.float64), clip.shown[:, GESTURE]
    low, high = (np.where(shown[..., None], true, edge) for edge in (np.inf, -np.inf))
    return true, shown, float((high.max(axis=(0, 1)) - low.min(axis=(0, 1))).max())


def compute(rows: Rows, truth: Rows) -> Values:
    """Means over clips of the best samples; None where nothing is shown."""
    del truth
    best: dict[str, list[float]] = {}
    for key, row in rows.items():
        pck, mpjpe = given(row, "pck"), given(row, "mpjpe")
        if pck is None or mpjpe is None:
            continue
        held = best.setdefault(key.clip_id, [pck, mpjpe])
        held[:] = [max(held[0], pck), min(held[1], mpjpe)]
    values = np.array(list(best.values())).reshape(-1, 2)
    return {"pck": mean_or_none(values[:, 0]), "mpjpe": mean_or_none(values[:, 1])}
