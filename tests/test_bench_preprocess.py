"""What pictures go through before networks see them, against torch's and against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from csg405.benchmark.preprocess import aligned, crop, normalise, planes, resize, signed, similarity

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("height", "width", "side"), [(64, 64, 24), (37, 53, 20), (20, 31, 47), (16, 16, 16)])
def test_resizing_is_torchs(height: int, width: int, side: int, antialias: bool):
    pictures = RNG.integers(0, 256, (3, height, width, 3), np.uint8)
    given = torch.from_numpy(planes(pictures)).double()
    how = {"mode": "bilinear", "align_corners": False, "antialias": antialias}
    wanted = torch.nn.functional.interpolate(given, (side, side), **how).numpy()
    np.testing.assert_allclose(planes(resize(pictures, side, antialias=antialias)), wanted, rtol=1e-6, atol=5e-5)


def test_only_the_filter_keeps_a_fine_pattern_at_its_mean():
    checkers = np.indices((60, 60)).sum(axis=0) % 2 * 255
    pictures = np.repeat(checkers[None, ..., None], 3, axis=-1).astype(np.uint8)
    inside = slice(2, -2)
    assert np.ptp(resize(pictures, 20)[0, inside, inside]) < 20
    assert np.ptp(resize(pictures, 20, antialias=False)[0, inside, inside]) == 255


def test_a_picture_half_as_large_by_hand():
    # Triangles of reach 2 about 1.0: pixels at 0.5, 1.5 have 3/4, those at -0.5 (none) and 2.5 have 1/4.
    row = np.array([0, 70, 140, 210], np.uint8)
    pictures = np.repeat(np.tile(row, (4, 1))[None, ..., None], 3, axis=-1)
    first = (0.75 * 0 + 0.75 * 70 + 0.25 * 140) / 1.75
    np.testing.assert_allclose(resize(pictures, 2)[0, 0, :, 0], [first, 210 - first], rtol=1e-6)


@pytest.mark.parametrize(("x", "y", "side"), [(2, 3, 4), (-3, -2, 6), (5, 4, 9), (-40, 0, 5), (0, 0, 1)])
def test_a_crop_is_filled_outside_the_picture(x: int, y: int, side: int):
    picture = RNG.integers(0, 256, (8, 10, 3), np.uint8)
    room = np.pad(picture, ((50, 50), (50, 50), (0, 0)), constant_values=7)
    wanted = room[50 + y : 50 + y + side, 50 + x : 50 + x + side]
    np.testing.assert_array_equal(crop(picture, x=x, y=y, side=side, fill=7), wanted)


def test_values_are_scaled():
    pictures = np.array([[[[0, 51, 255]]]], np.uint8)
    np.testing.assert_allclose(signed(pictures)[0, 0, 0], [-1, -0.6, 1], rtol=1e-6)
    found = normalise(pictures, mean=(0.5, 0.1, 0), std=(0.5, 0.1, 2))
    np.testing.assert_allclose(found[0, 0, 0], [-1, 1, 0.5], rtol=1e-6)


def test_a_similarity_is_found_again():
    points = RNG.normal(size=(5, 2))
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    found = similarity(points, points @ turn.T + [3, -2])
    np.testing.assert_allclose(found, np.column_stack([turn, [3, -2]]), rtol=1e-9)


def test_a_similarity_is_the_least_squares_one():
    source, target = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    x, y = source.T
    one, none = np.ones(5), np.zeros(5)
    of_x, of_y = np.stack([x, -y, one, none], axis=1), np.stack([y, x, none, one], axis=1)
    a, b, c, d = np.linalg.lstsq(np.concatenate([of_x, of_y]), np.concatenate(target.T))[0]
    np.testing.assert_allclose(similarity(source, target), [[a, -b, c], [b, a, d]], rtol=1e-9)


def test_a_picture_is_laid_where_the_similarity_says():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:13, 20:23] = 255
    moved = aligned(picture, np.array([[2.0, 0, -30], [0, 2.0, -10]]), 24)
    rows, columns = np.nonzero(moved[..., 0] > 200)
    assert (rows.mean().round(), columns.mean().round()) == (2 * 11 - 10, 2 * 21 - 30)
