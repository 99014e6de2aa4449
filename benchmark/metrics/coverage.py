"""Dice score of the area that the wrists pass through: does a motion use the space that the true one uses?

The plane is cut into squares of 0.25 shoulder widths, about a hand's width, from the clip's neck. With A the squares in
which a wrist of the system's motion ever is and B those of the truth, left and right wrist apart,

    Dice = (2 |A_left n B_left| + 2 |A_right n B_right|) / (|A_left| + |B_left| + |A_right| + |B_right|)

for each clip; the value is the mean over clips. Frames in which a wrist is not shown are left out for it; so are clips
in which none is.

Unit: none, 0 to 1. Better: higher; the truth has 1 from itself. A square that is only the system's costs as much as
one that is only the truth's, so noise, which reaches ever more squares, loses.
Blind to: sound, order and time. A good gesture at another place than the true one counts as a wrong one, so the best
that a system can be asked for is what another take of the same speech would have. A clip in which the hands rest has
few squares, and a small step aside loses them all.
Source: after the gesture area coverage analysis of the GENEA challenge 2023 ("Gesture area coverage to assess gesture
expressiveness and human-likeness", openreview Iso5lbByDI), whose abstract finds its Dice score nearer to ratings of
human-likeness than the Frechet distance; the squares and their size are ours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics._motion import given, number
from csg405.schema import FloatArray

CARDS = (
    Card(
        name="coverage",
        title="Gesture area coverage, Dice",
        unit="0-1",
        direction="higher",
        ranks=True,
        answers=("jitter", "damping", "freezing", "bones"),
        ignores=("time_shift", "other_audio", "lips"),
    ),
)

_SQUARE = 0.25
"""Side, shoulder widths."""

_REACH = 1 << 12
"""Squares to each side; what lies beyond counts as there."""

_WRISTS = [kp.LEFT_WRIST, kp.RIGHT_WRIST]


def measure(seen: Seen) -> Row:
    """The clip's score."""
    shown = seen.shown[:, _WRISTS]
    if not shown.any():
        return number(None)
    mine, true = squares(seen.points[:, _WRISTS], shown), seen.clip.once(_true_squares)
    shared = len(np.intersect1d(mine, true, assume_unique=True))
    return number(2 * shared / (len(mine) + len(true)))


def _true_squares(clip: Clip) -> npt.NDArray[np.int64]:
    return squares(clip.points[:, _WRISTS], clip.shown[:, _WRISTS])


def squares(wrists: FloatArray, shown: Bools) -> npt.NDArray[np.int64]:
    """The squares that are touched, as numbers; those of the two wrists never coincide.

    Args:
        wrists: [n, 2, 2] left and right, in shoulder widths.
        shown: [n, 2]
    """
    place = np.floor(wrists / _SQUARE).clip(-_REACH, _REACH - 1).astype(np.int64) + _REACH
    side = 2 * _REACH
    return np.unique((np.arange(2) * side + place[..., 0])[shown] * side + place[..., 1][shown])


def clip_values(row: Row, true_row: Row) -> Values:
    """The clip's score."""
    del true_row
    return {CARDS[0].name: given(row)}
