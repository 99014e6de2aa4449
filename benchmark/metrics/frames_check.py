"""Checks of frames: how much of a motion lies outside the picture, and how much of it stands still.

`out_of_frame` is the part of the upper body's points, over all frames, that lie outside the picture, [-0.5, side - 0.5)
since pixels are counted by their centres. `static_frames` is the part of the frames, from the second, in which no
point of body and hands moves by more than 0.001 shoulder widths (a tenth of a pixel in a usual picture) since the one
before: held frames and frozen poses, not people at rest, whom an estimator's noise keeps moving. Points that are not
shown count for neither. Values are means over clips.

Unit: none, 0 to 1. Better: nearer to the truth.
Known failures: people do leave the picture, with their hands above all, so 0 is not the aim. Any noise at all hides a
frozen pose from `static_frames`; `kin` sees it.
Source: ours.
"""

from __future__ import annotations

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics._motion import GESTURE, all_shown, given, lengths

CARDS = (
    Card(
        name="out_of_frame",
        title="Points outside the picture",
        unit="0-1",
        direction="truth",
        ignores=("other_audio", "lips"),
    ),
    Card(
        name="static_frames",
        title="Frames that stand still",
        unit="0-1",
        direction="truth",
        answers=("freezing",),
        ignores=("jitter", "other_audio", "bones", "lips"),
    ),
)

_LEAST_STEP = 1e-3
"""Shoulder widths."""


def measure(seen: Seen) -> Row:
    """Both parts of one clip."""
    return {"out_of_frame": np.array(_outside(seen)), "static_frames": np.array(_static(seen))}


def _outside(seen: Seen) -> float:
    looked = seen.clip.once(_upper_shown)
    beyond = (seen.keypoints_px < -0.5) | (seen.keypoints_px >= seen.clip.size_px - 0.5)
    outside = (beyond[..., 0] | beyond[..., 1]) & looked
    return float(outside.sum() / looked.sum()) if looked.any() else np.nan


def _upper_shown(clip: Clip) -> Bools:
    """[n, 133] the points of the upper body that are shown."""
    looked = np.zeros_like(clip.shown)
    looked[:, kp.UPPER_BODY] = clip.shown[:, kp.UPPER_BODY]
    return looked


def _static(seen: Seen) -> float:
    known = seen.clip.once(_known)
    looked = known.any(axis=1)
    step = lengths(np.diff(seen.points[:, GESTURE], axis=0))
    moved = ((step > _LEAST_STEP) & known).any(axis=1)
    return 1 - float(moved.sum() / looked.sum()) if looked.any() else np.nan


def _known(clip: Clip) -> Bools:
    """[n - 1, 49] the steps whose both frames are shown."""
    return all_shown(clip.shown[:, GESTURE], order=1)


def clip_values(row: Row, true_row: Row) -> Values:
    """Both parts of one clip."""
    del true_row
    return {card.name: given(row, card.name) for card in CARDS}
