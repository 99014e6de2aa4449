"""Checks of bones: how much the length of a limb changes within a clip, and whether it is the person's.

With m the mean and s the standard deviation of a limb's length in the picture over the frames in which both of its
ends are shown, and m* the mean in the truth,

    bone_cv = mean over limbs of s / m        bone_ratio = mean over limbs of max(m / m*, m* / m)

for the arms (upper arms and forearms) and the hands (20 bones each); values are means over clips.

Unit: none. Better: `bone_cv` nearer to the truth; `bone_ratio` nearer to 1, which is the least that it can be.
Known failures: pictures are flat, so a forearm that points at the camera is short: limbs change in the truth too, and
a mean pose, whose limbs never change, lies below it. Errors that foreshortening hides are not seen.
Source: ours; bone lengths are a usual check of motion in space.
"""

from __future__ import annotations

import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import Bools, Clip, Seen
from csg405.benchmark.metric import Card, Row, Values
from csg405.benchmark.metrics._motion import Floats, given, lengths, mean_or_none
from csg405.schema import FloatArray

_ARMS = np.array([
    (kp.LEFT_SHOULDER, kp.LEFT_ELBOW), (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW),
    (kp.LEFT_ELBOW, kp.LEFT_WRIST), (kp.RIGHT_ELBOW, kp.RIGHT_WRIST),
])  # fmt: skip
_HANDS = np.array([link for link in kp.LINKS if min(link) >= kp.LEFT_HAND.start])

_LIMBS = {"arms": _ARMS, "hands": _HANDS}

CARDS = (
    *(
        Card(
            name=f"bone_cv_{part}",
            title=f"Change of bone lengths, {part}",
            unit="1",
            direction="truth",
            answers=("jitter", "damping"),
            ignores=("time_shift", "other_audio", "lips"),
        )
        for part in _LIMBS
    ),
    Card(
        name="bone_ratio_arms",
        title="Bone lengths over the true ones, arms",
        unit="1",
        direction="one",
        answers=("bones",),
        ignores=("other_audio", "lips"),
    ),
    Card(
        name="bone_ratio_hands",
        title="Bone lengths over the true ones, hands",
        unit="1",
        direction="one",
        answers=("jitter", "damping"),
        ignores=("time_shift", "other_audio", "bones", "lips"),
    ),
)

_LEAST_LENGTH = 1e-3
"""Shoulder widths: keeps a ratio finite where a limb has no length."""


def measure(seen: Seen) -> Row:
    """The four values of one clip."""
    row: Row = {}
    for part, (shown, true_mean) in seen.clip.once(_truth).items():
        mean, spread = length_statistics(seen.points, shown, limbs=_LIMBS[part])
        change = mean_or_none(spread / mean)
        ratio = mean_or_none(np.maximum(mean / true_mean, true_mean / mean))
        row[f"bone_cv_{part}"] = np.array(np.nan if change is None else change)
        row[f"bone_ratio_{part}"] = np.array(np.nan if ratio is None else ratio)
    return row


def _truth(clip: Clip) -> dict[str, tuple[Bools, Floats]]:
    """By part, in which frames its limbs are shown [n, limbs], and their mean lengths [limbs]."""
    shown = {part: np.asarray(clip.shown[:, limbs].all(axis=2), np.bool_) for part, limbs in _LIMBS.items()}
    return {part: (shown[part], length_statistics(clip.points, shown[part], limbs=limbs)[0])
            for part, limbs in _LIMBS.items()}  # fmt: skip


def length_statistics(points: FloatArray, shown: Bools, *, limbs: np.ndarray) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the lengths of limbs, [limbs] each; NaN for a limb that is never shown.

    Args:
        points: [n, 133, 2]
        shown: [n, limbs] frames that count.
        limbs: [limbs, 2] indices of their ends.
    """
    found = lengths(points[:, limbs[:, 0]].astype(np.float64) - points[:, limbs[:, 1]])
    counts = np.where(shown.any(axis=0), shown.sum(axis=0), np.nan)
    mean = np.where(shown, found, 0).sum(axis=0) / counts
    variance = np.where(shown, np.square(found - mean), 0).sum(axis=0) / counts
    return np.maximum(mean, _LEAST_LENGTH), np.sqrt(variance)


def clip_values(row: Row, true_row: Row) -> Values:
    """The four values of one clip."""
    del true_row
    return {card.name: given(row, card.name) for card in CARDS}
