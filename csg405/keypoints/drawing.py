"""The skeleton as a picture, drawn the way that pose-to-video networks were taught to read it.

The convention is OpenPose's (Cao et al., TPAMI 2021), as DWPose (Yang et al., ICCV 2023 workshops) draws it and as
MimicMotion and StableAnimator scale it. Of the body OpenPose's 18 joints, with the neck in the middle of the shoulders:
limbs are ellipses in the colours of an even hue wheel, at 0.6 of their brightness, below the joints' dots. A hand is 20
lines, once around the wheel, below blue dots. The face is 68 white dots; feet are not drawn. Brightness goes with the
score, a line's with both ends'. Sizes are those of a picture of 2160 px, which is made smaller.

The reference system (Yang et al., "Democratizing High-Fidelity Co-Speech Gesture Video Generation", ICCV 2025) draws so
with StableAnimator's code. Here places are finer than a pixel, a joint in the middle of the picture is a joint and not
a missing one, and where the score is low hands and face are left out as the body is. Red comes first, as in the files
that StableAnimator reads; MimicMotion hands its drawing on blue first: give it `[..., ::-1]`.

Every mark is a convex polygon, filled with smoothing on a canvas up to four times larger, which is averaged down. So a
mark that moves by a part of a pixel neither jumps nor flickers, and the same pose gives the same bytes.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

NECK = kp.COUNT
"""The neck's number, behind the 133."""

OPENPOSE = (0, NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""OpenPose's 18 in its order: nose, neck, right arm, left arm, right leg, left leg, right and left eye, then ear."""

LIMBS = tuple(
    (OPENPOSE[one], OPENPOSE[other])
    for one, other in (
        (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
        (0, 14), (14, 16), (0, 15), (15, 17),
    )
)  # fmt: skip
"""The 17 limbs in OpenPose's order: a later one covers an earlier one."""

LEAST_SCORE = 0.3
"""DWPose's, and StableAnimator's for the body; the reference system takes 0.6 for the body and none for the rest."""

DRAWN_AT_PX = 2160
"""Shorter side of the picture for which the sizes of marks are told; the wider, the finer they are."""

_DIMMED = 0.6
_BLUE, _WHITE = (0.0, 0.0, 255.0), (255.0, 255.0, 255.0)

_FAR = 8
"""A point that lies so many pictures away is nowhere: OpenCV's whole numbers end."""

_SHIFT = 4
"""Corners of polygons are whole sixteenths of the canvas's pixels."""

_LIMB_PX, _LINE_PX, _DOT_PX, _FACE_DOT_PX = 4.5, 1.4, 4.0, 3.0
"""Half widths, px at `DRAWN_AT_PX`: what OpenCV fills there for an ellipse of 4, a line of 2, circles of 4 and 3."""

_SMOOTHED_PX = 0.6
"""What the smoothed fill adds to half a width, px of the canvas; measured."""

_LARGEST_CANVAS_PX = 2880
"""Shorter side: 4 times a picture of 720 px, twice one of 1440."""


def _wheel(count: int) -> Floats:
    """Colours of an even hue wheel: [count, 3] RGB, 0-255."""
    return np.rint([[255 * round(part, 6) for part in colorsys.hsv_to_rgb(n / count, 1, 1)] for n in range(count)])


def _circle(corners: int) -> Floats:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_ELLIPSE, _DISC = _circle(32), _circle(16)
_BAR = np.array([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)])


@dataclasses.dataclass(frozen=True, eq=False)
class _Layer:
    """Marks of one kind; those of a later layer cover those of an earlier one."""

    points: npt.NDArray[np.int64]
    """[m, 2] both ends of each limb or line, or [m, 1] where each dot lies."""
    colours: Floats
    """[m, 3] at a score of 1."""
    half_px: float
    """Half the width, in a picture of `DRAWN_AT_PX`."""
    outline: Floats
    """[k, 2] corners along the mark, from end to end -1 to 1, and across it."""

    def corners(self, points: Floats, unit: float) -> Floats:
        """Polygons [m, k, 2] at points [134, 2] of a canvas in which a pixel of `DRAWN_AT_PX` is `unit` px long."""
        ends, half = points[self.points], max(self.half_px * unit - _SMOOTHED_PX, 0)
        if ends.shape[1] == 1:
            return ends + self.outline * half
        along = (ends[:, 1] - ends[:, 0]) / 2
        length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        across = along[:, ::-1] * (-half, half) / length
        middle = ends.mean(axis=1)[:, None]
        return np.asarray(middle + self.outline[:, :1] * along[:, None] + self.outline[:, 1:] * across[:, None])


def _hand(hand: slice) -> tuple[_Layer, _Layer]:
    lines = [link for link in kp.LINKS if hand.start <= min(link) and max(link) < hand.stop]
    return (
        _Layer(np.array(lines), _wheel(len(lines)), _LINE_PX, _BAR),
        _dots(range(hand.start, hand.stop), _BLUE, _DOT_PX),
    )


def _dots(points: Iterable[int], colour: npt.ArrayLike, radius_px: float) -> _Layer:
    where = np.array([*points])[:, None]
    return _Layer(where, np.broadcast_to(colour, (len(where), 3)), radius_px, _DISC)


_LAYERS = (
    _Layer(np.array(LIMBS), _wheel(len(OPENPOSE))[: len(LIMBS)] * _DIMMED, _LIMB_PX, _ELLIPSE),
    _dots(OPENPOSE, _wheel(len(OPENPOSE)), _DOT_PX),
    *_hand(kp.LEFT_HAND),
    *_hand(kp.RIGHT_HAND),
    _dots(range(kp.FACE.start, kp.FACE.stop), _WHITE, _FACE_DOT_PX),
)


def draw(
    keypoints_px: npt.NDArray[Any],
    score: npt.NDArray[Any] | None,
    size_px: int | tuple[int, int],
    *,
    least_score: float = LEAST_SCORE,
    drawn_at_px: float = DRAWN_AT_PX,
) -> Image:
    """One frame's skeleton.

    Args:
        keypoints_px: [133, 2] in the picture; (0, 0) is the centre of its top-left pixel. A point that is nan or more
            than eight pictures away leaves no mark.
        score: [133], 0-1; 1 where there is none.
        size_px: side of a square picture, or its height and width.
        least_score: points below it leave no mark; the neck needs both shoulders.
        drawn_at_px: shorter side of a picture in which dots have a radius of 4 px; 512 gives ControlNet's broad limbs.

    Returns:
        [height, width, 3] RGB on black.
    """
    scores = None if score is None else score[None]
    return next(frames(keypoints_px[None], scores, size_px, least_score=least_score, drawn_at_px=drawn_at_px))


def frames(
    keypoints_px: npt.NDArray[Any],
    score: npt.NDArray[Any] | None,
    size_px: int | tuple[int, int],
    *,
    least_score: float = LEAST_SCORE,
    drawn_at_px: float = DRAWN_AT_PX,
) -> Iterator[Image]:
    """Every frame's skeleton, one at a time.

    Args:
        keypoints_px: [n, 133, 2], see `draw`.
        score: [n, 133], 0-1; 1 where there is none.
        size_px: side of a square picture, or its height and width.
        least_score: see `draw`.
        drawn_at_px: see `draw`.

    Yields:
        [height, width, 3] RGB on black.
    """
    if score is None:
        score = np.ones(keypoints_px.shape[:2])
    if keypoints_px.shape[1:] != (kp.COUNT, 2) or score.shape != keypoints_px.shape[:2]:
        raise ValueError(f"points {keypoints_px.shape} and scores {score.shape}; wanted [n, 133, 2] and [n, 133]")
    height, width = size_px if isinstance(size_px, tuple) else (size_px, size_px)
    times = next(times for times in (4, 2, 1) if times == 1 or times * min(height, width) <= _LARGEST_CANVAS_PX)
    canvas = np.zeros((height * times, width * times, 3), np.uint8)
    unit = times * min(height, width) / drawn_at_px
    for points, scores in zip(keypoints_px, score, strict=True):
        shown = (scores >= least_score) & (np.abs(points) <= _FAR * max(height, width)).all(axis=1)  # nan is not
        places, bright = _with_neck(np.where(shown[:, None], points, 0), np.where(shown, np.clip(scores, 0, 1), 0))
        canvas[:] = 0
        _paint(canvas, (places + 0.5) * times - 0.5, bright, unit)
        yield _smaller(canvas, times)


def _with_neck(points: npt.NDArray[Any], score: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Points and scores of 134, the neck behind the 133; as DWPose has it, its score is 1 or 0."""
    shoulders = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]
    places = np.concatenate([points, points[shoulders].mean(axis=0, keepdims=True)], dtype=np.float64)
    return places, np.append(score, (score[shoulders] > 0).all()).astype(np.float64)


def _paint(canvas: Image, places: Floats, bright: Floats, unit: float) -> None:
    for layer in _LAYERS:
        brightness = bright[layer.points].prod(axis=1)
        polygons = np.rint(layer.corners(places, unit) * (1 << _SHIFT)).astype(np.int32)
        colours = np.rint(layer.colours * brightness[:, None]).tolist()
        for number in np.flatnonzero(brightness):
            cv2.fillConvexPoly(canvas, polygons[number], colours[number], cv2.LINE_AA, _SHIFT)


def _smaller(canvas: Image, times: int) -> Image:
    """A copy, averaged down by halves: OpenCV is three times as fast with two halves as with a quarter."""
    picture = canvas.copy() if times == 1 else canvas
    while times > 1:
        height, width = picture.shape[:2]
        half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        picture, times = np.asarray(half, np.uint8), times // 2
    return picture
