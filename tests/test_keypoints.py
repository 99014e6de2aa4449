"""The convention of the 133 points against rtmlib's own table."""

from __future__ import annotations

import numpy as np
import pytest
from rtmlib.visualization.skeleton.coco133 import coco133

from csg405 import keypoints

INFO = coco133["keypoint_info"]


def test_names_and_order_are_rtmlibs():
    theirs = [INFO[number]["name"] for number in range(keypoints.COUNT)]
    assert len(keypoints.NAMES) == keypoints.COUNT == len(INFO)
    # rtmlib calls both hands' points by the hand's name as we do; anything else is a mistake of ours.
    assert list(keypoints.NAMES) == theirs


def test_the_mirror_is_rtmlibs():
    for number, name in enumerate(keypoints.NAMES):
        assert keypoints.NAMES[keypoints.MIRROR[number]] == (INFO[number]["swap"] or name)
    assert np.array_equal(keypoints.MIRROR[keypoints.MIRROR], np.arange(keypoints.COUNT))


def test_links_are_rtmlibs():
    theirs = {frozenset(link["link"]) for link in coco133["skeleton_info"].values()}
    ours = {frozenset((keypoints.NAMES[one], keypoints.NAMES[other])) for one, other in keypoints.LINKS}
    assert ours == theirs
    assert len(keypoints.LINKS) == len(theirs) == 65


def test_parts_cover_all_points_once():
    numbers = [number for part in keypoints.PARTS.values() for number in range(keypoints.COUNT)[part]]
    assert numbers == list(range(keypoints.COUNT))


def test_left_and_right_are_where_they_are_said_to_be():
    left_hand = keypoints.MIRROR[np.arange(keypoints.COUNT)[keypoints.RIGHT_HAND]]
    assert np.array_equal(left_hand, np.arange(keypoints.COUNT)[keypoints.LEFT_HAND])
    left_eye = {int(point) for point in keypoints.MIRROR[np.arange(keypoints.COUNT)[keypoints.RIGHT_EYE]]}
    assert left_eye == set(range(keypoints.COUNT)[keypoints.LEFT_EYE])


def test_lips_face_each_other():
    # In a mirror a pair of an upper and a lower point stays a pair: (61, 67) becomes (63, 65).
    pairs = set(zip(keypoints.UPPER_LIP, keypoints.LOWER_LIP, strict=True))
    mirrored = {(int(keypoints.MIRROR[upper]), int(keypoints.MIRROR[lower])) for upper, lower in pairs}
    assert mirrored == pairs
    inner = range(keypoints.COUNT)[keypoints.INNER_LIPS]
    assert all(upper in inner and lower in inner for upper, lower in pairs)


def test_edges_of_the_crop_fall_on_edges_of_the_picture():
    crop = {"x_px": 100, "y_px": 40, "side_px": 256, "size_px": 512}
    # Pixel centres are whole numbers, so the crop's outer corner lies half a pixel before its first centre.
    corners = np.array([[99.5, 39.5], [355.5, 295.5]], np.float32)
    assert keypoints.to_crop(corners, **crop) == pytest.approx(np.array([[-0.5, -0.5], [511.5, 511.5]]))


def test_a_crop_of_its_own_size_only_moves():
    points = np.array([[[10.0, 20.0], [30.5, 7.25]]], np.float32)
    moved = keypoints.to_crop(points, x_px=-5, y_px=3, side_px=512, size_px=512)
    assert moved == pytest.approx(points - np.array([-5, 3], np.float32))


@pytest.mark.parametrize(("side_px", "size_px"), [(512, 512), (301, 512), (1080, 512), (64, 256)])
def test_into_the_crop_and_back(side_px: int, size_px: int):
    points = np.random.default_rng(5).uniform(-50, 2000, (7, keypoints.COUNT, 2)).astype(np.float32)
    crop = {"x_px": 317.0, "y_px": -12.0, "side_px": side_px, "size_px": size_px}
    inside = keypoints.to_crop(points, **crop)
    assert inside.dtype == np.float32
    assert inside.shape == points.shape
    assert np.abs(keypoints.from_crop(inside, **crop) - points).max() < 0.01
