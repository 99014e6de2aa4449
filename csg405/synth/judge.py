"""How well networks do in the synthetic world: keypoints against the truth of talkers that they never saw.

The figures say something of this world alone. Pictures go the whole way that those of a film go: the detector's box,
rtmlib's cut, the network, and back to pixels of the picture. Points are judged where they can be seen; a person who is
not found, or a point that is missed, counts as wrong.

PCK is the part of the points that lie within a part of the longer side of the *part's own* box: a tenth of a hand for
the points of a hand (the usual tenth of the whole person would let a finger lie on the other hand).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from csg405 import crop
from csg405 import keypoints as kp
from csg405.pose import Detector, Estimator
from csg405.schema import FloatArray
from csg405.synth import film
from csg405.synth.draw import Shot

HELD_OUT = 20_000_000
"""Talkers from this number on are judged on; none of them is trained on."""

SIZE_PX = 512
"""Side of the released picture, in whose pixels errors are told."""

PARTS = {"body": kp.BODY, "face": kp.FACE, "left_hand": kp.LEFT_HAND, "right_hand": kp.RIGHT_HAND}

SEEN = 0.3
"""A score from here on says that a point can be seen: rtmlib's usual threshold."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """One picture: what was found against what is so."""

    truth_px: FloatArray
    """[133, 2] in pixels of the picture."""
    visible: npt.NDArray[np.bool_]
    """[133]"""
    found_px: FloatArray
    """[133, 2]; NaN where the person was not found."""
    score: FloatArray
    """[133]"""
    scale: float
    """Pixels of the released picture in one of the source."""

    def errors_px(self, part: slice) -> FloatArray:
        """Errors of the part's visible points, in pixels of the released picture; NaN where nobody was found."""
        apart: FloatArray = np.linalg.norm(self.found_px - self.truth_px, axis=-1) * self.scale
        return apart[part][self.visible[part]]

    def side_px(self, part: slice) -> float:
        """Longer side of the part's box, in pixels of the released picture."""
        return float(np.ptp(self.truth_px[part], axis=0).max()) * self.scale

    def opening_error_px(self) -> float | None:
        """Error of the distance of the lips, in pixels of the released picture; None where they cannot be seen."""
        lips = [*kp.UPPER_LIP, *kp.LOWER_LIP]
        if not self.visible[lips].all():
            return None
        found, true = (_opening(points) for points in (self.found_px, self.truth_px))
        return abs(found - true) * self.scale


def _opening(points: FloatArray) -> float:
    upper, lower = points[list(kp.UPPER_LIP)], points[list(kp.LOWER_LIP)]
    return float(np.linalg.norm(upper - lower, axis=-1).mean())


def judge(
    detector: Detector, estimator: Estimator, *, talkers: int = 60, pictures: int = 5, first: int = HELD_OUT
) -> dict[str, float]:
    """Judge two networks on pictures of talkers who speak to the camera.

    Args:
        detector: of persons.
        estimator: of keypoints.
        talkers: how many, each in a place of their own.
        pictures: of each, evenly spread over what they say.
        first: number of the first talker.

    Returns:
        Figures by name: see `figures`.
    """
    numbers = range(first, first + talkers)
    return figures([judged for number in numbers for judged in _talker(detector, estimator, number, pictures)])


def _talker(detector: Detector, estimator: Estimator, number: int, pictures: int) -> Iterator[Judged]:
    take = film.take(number, words=16)
    shot = Shot(take.talker, take.motion, take.camera, take.setting)
    true = shot.keypoints[..., :2].astype(np.float32)
    scale = SIZE_PX / _crop_side(true, take.camera.width, take.camera.height)
    for frame in np.linspace(5, len(shot) - 6, pictures).astype(int):
        picture, visible = shot.draw(int(frame))
        boxes = detector(picture)
        if len(boxes):
            points, scores = estimator([picture], boxes[:1])
            yield Judged(true[frame], visible, points[0], estimator.calibrated(scores)[0], scale)
        else:
            nothing = np.full((kp.COUNT, 2), np.nan, np.float32)
            yield Judged(true[frame], visible, nothing, np.zeros(kp.COUNT, np.float32), scale)


def _crop_side(points: FloatArray, width: int, height: int) -> int:
    """Side of the square that the release would cut out, px."""
    upper = points[:, kp.UPPER_BODY].reshape(-1, 2)
    inside = ((upper >= 0) & (upper < [width, height])).all(-1)
    box = crop.extent(upper[inside])
    return crop.square(box, box, width, height, crop.Framing())[2]


def figures(pictures: Sequence[Judged]) -> dict[str, float]:
    """What many pictures say together.

    Returns:
        `pck_0.1_<part>` and `pck_0.05_<part>`, `median_error_px_<part>` in the released picture,
        `median_opening_error_px`, `persons_found`, and the parts of the points that are scored rightly:
        `seen_of_visible` and `unseen_of_hidden`.
    """
    result: dict[str, float] = {}
    for name, part in PARTS.items():
        errors = [picture.errors_px(part) for picture in pictures]
        shares = np.concatenate([one / picture.side_px(part) for one, picture in zip(errors, pictures, strict=True)])
        for limit in (0.1, 0.05):
            result[f"pck_{limit}_{name}"] = float((shares <= limit).mean())
        result[f"median_error_px_{name}"] = float(np.median(np.nan_to_num(np.concatenate(errors), nan=np.inf)))
    openings = [error for picture in pictures if (error := picture.opening_error_px()) is not None]
    result["median_opening_error_px"] = float(np.median(np.nan_to_num(openings, nan=np.inf)))
    visible, score = (np.stack([getattr(picture, name) for picture in pictures]) for name in ("visible", "score"))
    for name, marked in (("seen_of_visible", score[visible] >= SEEN), ("unseen_of_hidden", score[~visible] < SEEN)):
        if marked.size:
            result[name] = float(marked.mean())
    result["persons_found"] = float(np.mean([np.isfinite(picture.found_px).all() for picture in pictures]))
    return result
