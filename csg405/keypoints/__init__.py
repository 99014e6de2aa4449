"""The 133 keypoints of COCO-WholeBody: names, parts, links, mirror images, and the way into a crop.

Order and names: Jin et al., "Whole-Body Human Pose Estimation in the Wild" (ECCV 2020); the face's 68 points are
those of iBUG 300-W. x to the right, y down, in pixels; (0, 0) is the centre of the top-left pixel. Left and right
are the person's.

`csg405.keypoints.representations` writes them in other ways, `alignment` lays one person's over another's, `drawing`
makes pictures of them.
"""

from __future__ import annotations

import numpy as np

from csg405.schema import FloatArray

COUNT = 133

BODY = slice(0, 17)
FEET = slice(17, 23)
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

PARTS = {"body": BODY, "feet": FEET, "face": FACE, "left_hand": LEFT_HAND, "right_hand": RIGHT_HAND}

_BODY_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_FEET_NAMES = tuple(f"{side}_{point}" for side in ("left", "right") for point in ("big_toe", "small_toe", "heel"))
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND_NAMES = ("hand_root", *(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5)))

NAMES = (
    *_BODY_NAMES, *_FEET_NAMES, *(f"face-{number}" for number in range(68)),
    *(f"left_{name}" for name in _HAND_NAMES), *(f"right_{name}" for name in _HAND_NAMES),
)  # fmt: skip

INDEX = {name: number for number, name in enumerate(NAMES)}

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST, LEFT_HIP, RIGHT_HIP = (
    INDEX[name]
    for name in ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
                 "left_hip", "right_hip")
)  # fmt: skip

UPPER_BODY = np.array([*range(13), *range(FACE.start, COUNT)])
"""All points above the knees: what a co-speech gesture shows."""

JAW = slice(FACE.start, FACE.start + 17)
NOSE_TIP = FACE.start + 30
RIGHT_EYE = slice(FACE.start + 36, FACE.start + 42)
LEFT_EYE = slice(FACE.start + 42, FACE.start + 48)
OUTER_LIPS = slice(FACE.start + 48, FACE.start + 60)
INNER_LIPS = slice(FACE.start + 60, FACE.start + 68)
UPPER_LIP = (FACE.start + 61, FACE.start + 62, FACE.start + 63)
"""Inner edge of the upper lip, from the person's right to left; opposite `LOWER_LIP`, point by point."""
LOWER_LIP = (FACE.start + 67, FACE.start + 66, FACE.start + 65)

_BODY_LINKS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22),
)  # fmt: skip


def _hand_links(root: int) -> tuple[tuple[int, int], ...]:
    fingers = range(root + 1, root + 21, 4)
    return tuple(link for first in fingers for link in ((root, first), *((j, j + 1) for j in range(first, first + 3))))


LINKS = (*_BODY_LINKS, *_hand_links(LEFT_HAND.start), *_hand_links(RIGHT_HAND.start))
"""The 65 links that a skeleton is drawn with; the face is drawn as points."""

_FACE_MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
    41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip


def _mirror() -> list[int]:
    swapped = []
    for number, name in enumerate(NAMES):
        if FACE.start <= number < FACE.stop:
            swapped.append(FACE.start + _FACE_MIRROR[number - FACE.start])
        elif name.startswith("left_"):
            swapped.append(INDEX["right_" + name.removeprefix("left_")])
        elif name.startswith("right_"):
            swapped.append(INDEX["left_" + name.removeprefix("right_")])
        else:
            swapped.append(number)
    return swapped


MIRROR = np.array(_mirror())
"""The point that a point becomes in a mirror; an involution."""


def to_crop(keypoints_px: FloatArray, *, x_px: float, y_px: float, side_px: float, size_px: int) -> FloatArray:
    """Source pixels to pixels of a square crop that is scaled to `size_px`.

    Pixel centres map as an image is scaled: the crop's outer edges fall on the picture's outer edges.

    Args:
        keypoints_px: [..., 2] in the source picture.
        x_px: left edge of the crop: the first column of source pixels that it holds.
        y_px: top edge.
        side_px: side of the crop in source pixels.
        size_px: side of the released picture.

    Returns:
        [..., 2] in the released picture.
    """
    corner = np.array([x_px, y_px], np.float64)
    return ((keypoints_px - corner + 0.5) * (size_px / side_px) - 0.5).astype(np.float32)


def from_crop(keypoints_px: FloatArray, *, x_px: float, y_px: float, side_px: float, size_px: int) -> FloatArray:
    """The inverse of `to_crop`: pixels of a released picture to source pixels."""
    corner = np.array([x_px, y_px], np.float64)
    return ((keypoints_px + 0.5) * (side_px / size_px) - 0.5 + corner).astype(np.float32)
