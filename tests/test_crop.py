"""The square of a clip: random persons in random pictures, and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405 import keypoints as kp
from csg405.crop import square
from csg405.postprocess.crop import Config, Operator
from csg405.postprocess.cut import cut_square
from csg405.schema import Crop, Pose, Sighting
from tests import items

CONFIG = Config()


@st.composite
def needs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int, int]:
    """What must be inside, what should be, and the picture's width and height."""
    width, height = draw(st.integers(16, 2000)), draw(st.integers(16, 2000))
    edges = []
    for size in (width, height):
        first, second = sorted((draw(st.floats(0, 1)) * size, draw(st.floats(0, 1)) * size))
        edges.append((first, min(max(second, first + 1), size)))
    needed = np.array([edges[0][0], edges[1][0], edges[0][1], edges[1][1]])
    wanted = needed.copy()
    wanted[1] -= draw(st.floats(0, 300))
    return needed, wanted, width, height


@settings(max_examples=500, deadline=None)
@given(needs(), st.sampled_from([CONFIG, Config(margin=0.0), Config(margin=0.3, min_side_px=201)]))
def test_squares_of_random_needs_keep_the_rules(need: tuple, config: Config) -> None:
    needed, wanted, width, height = need
    x, y, side = square(needed, wanted, width, height, config)
    assert all(isinstance(value, int) for value in (x, y, side))
    assert side % 2 == 0
    assert side >= config.min_side_px
    # What is needed is inside to half a pixel, which is where a pixel ends.
    assert x <= needed[0] + 0.5
    assert y <= needed[1] + 0.5
    assert x + side >= needed[2] - 0.5
    assert y + side >= needed[3] - 0.5
    for start, size in ((x, width), (y, height)):
        if side <= size:
            assert 0 <= start <= size - side, "outside the picture, though it fits"
        else:
            assert start <= 0
            assert abs((start + side - size) - -start) <= 1, "black on one side only"
    room = min(width, height)
    if side > room:
        least = float((needed[2:] - needed[:2]).max())
        assert config.min_side_px > room - 1 or least > room - 1, "black, though nothing needs it"


@settings(max_examples=300, deadline=None)
@given(needs())
def test_no_square_is_larger_than_person_hair_and_margin_ask_for(need: tuple) -> None:
    needed, wanted, width, height = need
    _, _, side = square(needed, wanted, width, height, CONFIG)
    ideal = float((wanted[2:] - wanted[:2]).max()) * (1 + 2 * CONFIG.margin)
    assert side <= max(np.ceil(ideal / 2) * 2, CONFIG.min_side_px)


def test_by_hand() -> None:
    # 300 x 400 with hair 40 above: 440 with 8 % on both sides is 510.4, so 512, around (450, 380).
    needed, wanted = np.array([300.0, 200, 600, 600]), np.array([300.0, 160, 600, 600])
    assert square(needed, wanted, 1280, 720, CONFIG) == (194, 124, 512)


def test_headroom_is_given_where_there_is_room_and_taken_back_where_there_is_none() -> None:
    needed, wanted = np.array([600.0, 100, 700, 700]), np.array([600.0, 0, 700, 700])
    x, y, side = square(needed, wanted, 1280, 1080, CONFIG)
    assert y <= wanted[1] + 0.5
    assert y + side >= 700
    # In a picture of 650 rows nothing but the person has room; the square is no larger than the picture.
    low = np.array([600.0, 0, 700, 650])
    assert square(low, low - np.array([0, 100, 0, 0]), 1280, 650, CONFIG)[1:] == (0, 650)
    assert x == 650 - side // 2


def test_a_picture_of_an_odd_height_gets_no_black_row() -> None:
    needed = np.array([100.0, 50, 500, 700])
    x, y, side = square(needed, needed, 405, 719, CONFIG)
    assert side == 650  # the person is taller than the picture is wide
    assert (x, y) == ((405 - 650) // 2, 50)
    wide = np.array([100.0, 50, 600, 600])
    assert square(wide, wide - np.array([0, 100, 0, 0]), 1281, 601, CONFIG)[1:] == (0, 600)


def person(n: int = 50) -> np.ndarray:
    """[n, 133, 2]: shoulders at y = 300, face 80 px high from y = 200, hands at the sides."""
    points = np.full((133, 2), (640.0, 320.0))
    points[kp.LEFT_SHOULDER], points[kp.RIGHT_SHOULDER] = (700, 300), (580, 300)
    face = np.full((68, 2), (640.0, 240.0))
    face[:17, 1] = np.linspace(210, 280, 17)
    face[17:27, 1] = 200
    points[kp.FACE] = face
    points[:5] = (640, 240)
    points[kp.LEFT_HAND], points[kp.RIGHT_HAND] = (760, 420), (520, 420)
    points[13:23] = (640, 700)  # knees and feet: no part of the upper body
    return np.repeat(points[None], n, axis=0)


def crop(points: np.ndarray, scores: object = 1.0, *sightings: Sighting) -> Crop:
    clip = items.clip(n_frames=len(points))
    item = items.item(items.pose(clip, points, scores), *sightings, of=clip, reads=(Sighting,))
    (row,) = Operator(items.setting("postprocess.crop", items.Path()))(item)
    assert isinstance(row, Crop)
    return row


def test_the_crop_holds_face_hair_and_hands_and_leaves_the_feet() -> None:
    row = crop(person())
    # Wide from 520 to 761; high from 200 less 0.8 of the face's 80 px to 421: 285 with margins is 330.6.
    assert row.side_px == 332
    assert (row.x_px, row.y_px) == (round(640.5 - 166), round((200 - 64 + 421) / 2 - 166))
    assert (row.black_fraction, row.outside_fraction) == (0, 0)


def test_uncertain_points_have_no_say() -> None:
    points, scores = person(), np.ones((50, 133))
    points[:, kp.LEFT_WRIST] = (1200, 700)
    scores[:, kp.LEFT_WRIST] = 0.2
    assert crop(points, scores) == crop(person())


def test_a_jump_of_a_frame_has_no_say_but_is_counted_as_outside() -> None:
    points = person(200)
    points[7, kp.LEFT_HAND] = (1270, 710)
    row = crop(points)
    assert row.side_px == 332
    assert row.outside_fraction == pytest.approx(21 / (200 * len(kp.UPPER_BODY)))


def test_a_gesture_that_lasts_is_inside_on_every_frame() -> None:
    points = person(200)
    points[50:150, kp.LEFT_HAND] = (1000, 150)
    row = crop(points)
    assert row.outside_fraction == 0
    assert row.x_px <= 520
    assert row.x_px + row.side_px >= 1000


def test_without_a_single_certain_point_the_persons_boxes_are_taken() -> None:
    def sight(time_s: float, track: int, x1: float) -> Sighting:
        return Sighting(
            video_id="file.a", shot=0, track=track, time_s=time_s, x1_px=x1, y1_px=100, x2_px=x1 + 200, y2_px=400
        )

    row = crop(person(), 0.0, sight(0, 0, 300), sight(1, 0, 350), sight(1, 1, 900), sight(9, 0, 800))
    assert row.side_px == 348  # 300 high with margins
    assert (row.x_px, row.y_px) == (425 - 174, 250 - 174)
    assert crop(person(), 0.0).side_px == 1280  # no box either: all of the picture


def test_no_pose_no_crop() -> None:
    clip = items.clip()
    made = Operator(items.setting("postprocess.crop", items.Path()))
    assert list(made(items.item(of=clip, reads=(Pose, Sighting)))) == []


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), spread=st.floats(1, 300))
def test_random_persons_are_inside_and_fractions_are_right(seed: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform((100, 100), (1180, 620)) + rng.normal(0, spread, (n, 133, 2))
    scores = rng.random((n, 133))
    row = crop(points, scores)
    upper = points[:, kp.UPPER_BODY].astype(np.float32)
    counted = (scores[:, kp.UPPER_BODY].astype(np.float32) >= CONFIG.confident) & (upper >= 0).all(-1)
    counted &= (upper[..., 0] < 1280) & (upper[..., 1] < 720)
    if not counted.any():
        return
    assert row.outside_fraction <= 0.02 + 4 / counted.sum()
    shown = cut_square(np.ones((720, 1280, 3), np.uint8), row)[..., 0]
    assert row.black_fraction == pytest.approx(1 - shown.mean(), abs=1e-9)
