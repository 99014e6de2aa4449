"""The drawn skeleton: pixels at known places, and rtmlib's own drawing beside it."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from rtmlib.visualization.draw import draw_skeleton
from rtmlib.visualization.skeleton.openpose134 import openpose134

from csg405 import keypoints as kp
from csg405.keypoints.drawing import LIMBS, NECK, OPENPOSE, draw, frames
from tests import bench_motion

SIZE_PX = 512

NAMES = (*kp.NAMES, "neck")
JOINT_COLOURS = [openpose134["keypoint_info"][number]["color"] for number in range(18)]
LINK_COLOURS = [openpose134["skeleton_info"][number]["color"] for number in range(37)]
# Two of rtmlib's are not those that OpenPose's wheel of 18 has at these places.
assert (LINK_COLOURS[9], LINK_COLOURS[13]) == ([0, 255, 225], [255, 0, 170])
LINK_COLOURS[9], LINK_COLOURS[13] = [0, 255, 255], [85, 0, 255]

STANDING = {
    "nose": (256, 100), "left_eye": (276, 84), "right_eye": (236, 84), "left_ear": (304, 92), "right_ear": (208, 92),
    "left_shoulder": (336, 160), "right_shoulder": (176, 160), "left_elbow": (376, 240), "right_elbow": (136, 240),
    "left_wrist": (396, 320), "right_wrist": (116, 320), "left_hip": (296, 340), "right_hip": (216, 340),
    "left_knee": (304, 420), "right_knee": (208, 420), "left_ankle": (300, 492), "right_ankle": (212, 492),
}  # fmt: skip


def standing() -> tuple[np.ndarray, np.ndarray]:
    """A body of which every joint, and the middle of every limb, is the centre of a pixel; hands and face hidden."""
    points, score = np.zeros((kp.COUNT, 2)), np.zeros(kp.COUNT)
    for name, place in STANDING.items():
        points[kp.INDEX[name]], score[kp.INDEX[name]] = place, 1
    return points, score


def only(*places: tuple[float, float], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Points from `first` on, at these places, and no other."""
    points, score = np.zeros((kp.COUNT, 2)), np.zeros(kp.COUNT)
    for number, place in enumerate(places, first):
        points[number], score[number] = place, 1
    return points, score


def place(points: np.ndarray, joint: int) -> np.ndarray:
    """Of a joint, or of the neck."""
    return points[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0) if joint == NECK else points[joint]


def pixel(picture: np.ndarray, at: np.ndarray) -> list[int]:
    x, y = at.astype(int)
    return picture[y, x].tolist()


# ---- the convention


def test_joints_and_limbs_are_openposes():
    info = openpose134["keypoint_info"]
    assert [NAMES[joint] for joint in OPENPOSE] == [info[number]["name"] for number in range(18)]
    theirs = [openpose134["skeleton_info"][number]["link"] for number in range(17)]
    assert [(NAMES[one], NAMES[other]) for one, other in LIMBS] == theirs


def test_joints_have_openposes_colours():
    points, score = standing()
    picture = draw(points, score, SIZE_PX)
    assert [pixel(picture, place(points, joint)) for joint in OPENPOSE] == JOINT_COLOURS


def test_limbs_have_openposes_colours_dimmed():
    points, score = standing()
    picture = draw(points, score, SIZE_PX)
    found = [pixel(picture, (place(points, one) + place(points, other)) / 2) for one, other in LIMBS]
    assert found == [[round(value * 0.6) for value in colour] for colour in LINK_COLOURS[:17]]


@pytest.mark.parametrize("hand", [kp.LEFT_HAND, kp.RIGHT_HAND])
def test_hands_are_a_rainbow_with_blue_dots(hand: slice):
    fingers = [(100 + 80 * finger, 300 - 50 * joint) for finger in range(5) for joint in range(4)]
    points, score = only((260, 440), *fingers, first=hand.start)
    broad = draw(points, score, SIZE_PX, drawn_at_px=SIZE_PX)
    links = [openpose134["skeleton_info"][number]["link"] for number in range(17, 37)]
    for (one, other), colour in zip(links, LINK_COLOURS[17:], strict=True):
        ends = [hand.start + kp.INDEX[name] - kp.LEFT_HAND.start for name in (one, other)]
        assert pixel(broad, points[ends].mean(axis=0)) == colour
    assert {tuple(pixel(draw(points, score, SIZE_PX), at)) for at in points[hand]} == {(0, 0, 255)}


def test_the_face_is_white_dots():
    points, score = only(*((20 + 30 * (number % 16), 50 + 30 * (number // 16)) for number in range(68)), first=23)
    picture = draw(points, score, SIZE_PX)
    assert {tuple(pixel(picture, at)) for at in points[kp.FACE]} == {(255, 255, 255)}
    lit = cv2.connectedComponents((picture.max(axis=2) > 0).astype(np.uint8))[0] - 1
    assert lit == 68


def test_feet_are_not_drawn():
    points, score = only(*((100 + 20 * number, 200) for number in range(6)), first=kp.FEET.start)
    assert not draw(points, score, SIZE_PX).any()


def test_all_else_is_black():
    points, score = standing()
    picture = draw(points, score, SIZE_PX)
    near = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    for one, other in LIMBS:
        ends = [np.rint(place(points, joint)).astype(int).tolist() for joint in (one, other)]
        cv2.line(near, *ends, 255, 7)
    assert not picture[near == 0].any()
    assert picture.dtype == np.uint8
    assert picture.shape == (SIZE_PX, SIZE_PX, 3)


def test_marks_lie_where_rtmlib_draws_them():
    """rtmlib fills the same shapes, at 2160 px without smoothing; made smaller, they lie where ours do."""
    size = 540
    large = np.rint(bench_motion.pose() * (2160 / SIZE_PX) / 2) * 2  # rtmlib draws whole pixels
    points, score = (large + 0.5) / 4 - 0.5, np.ones(kp.COUNT)
    neck = large[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(axis=0)
    large = np.concatenate([np.stack([neck if joint == NECK else large[joint] for joint in OPENPOSE]), large[17:]])
    canvas = np.zeros((2160, 2160, 3), np.uint8)
    canvas = draw_skeleton(canvas, large[None], score[None, :1].repeat(134, 1), openpose_skeleton=True)
    covered = cv2.resize((canvas.max(axis=2) > 0).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    theirs, ours = covered > 0.4, draw(points, score, size).max(axis=2) > 60
    # Its limbs are turned by whole degrees, which moves their ends by up to a pixel.
    assert not (ours & ~grown(theirs)).any()
    assert not (theirs & ~grown(ours)).any()
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.8
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.1)


def grown(mask: np.ndarray) -> np.ndarray:
    """With the pixels around it."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def test_marks_cover_as_much_as_they_do_at_2160_px():
    """There OpenCV fills 29 and 49 pixels for circles of 3 and 4, and rows of 9 pixels for ellipses of 4."""
    shrunk = SIZE_PX / 2160
    for first, pixels in ((kp.FACE.start, 29), (kp.LEFT_HAND.start, 49)):
        light = draw(*only((100.3, 200.6), first=first), SIZE_PX).max(axis=2) / 255
        assert light.sum() == pytest.approx(pixels * shrunk**2, rel=0.05)
    points, score = only((100, 200.2), first=kp.LEFT_ELBOW)
    points[kp.LEFT_WRIST], score[kp.LEFT_WRIST] = (400, 200.2), 1
    across = draw(points, score, SIZE_PX)[:, 250, 1] / (255 * 0.6)
    assert across.sum() == pytest.approx(9 * shrunk, rel=0.05)


# ---- places


def test_a_dot_lies_where_its_point_does_and_does_not_flicker():
    grid = np.mgrid[0:512, 0:512][::-1].reshape(2, -1)
    sums = []
    for x_px in np.linspace(100, 101, 41):
        at = (x_px, 300.5 - x_px / 2)
        light = draw(*only(at, first=23), SIZE_PX)[..., 0].ravel().astype(float)
        assert grid @ light / light.sum() == pytest.approx(at, abs=0.04)
        sums.append(light.sum())
    assert np.std(sums) / np.mean(sums) < 0.02


def test_motion_by_a_tenth_of_a_pixel_is_seen():
    points, score = standing()
    still = draw(points, score, SIZE_PX)
    moved = draw(points + np.array([0.1, 0]), score, SIZE_PX)
    assert (still != moved).any()
    assert np.abs(still.astype(int) - moved).max() < 100


def test_a_joint_in_the_middle_is_a_joint():
    middle = (SIZE_PX - 1) / 2
    picture = draw(*only((middle, middle), first=kp.NOSE), SIZE_PX)
    quarter = np.pi * (4 * SIZE_PX / 2160) ** 2 / 4  # of the dot lies in each of the four pixels around
    assert picture[255:257, 255:257, 0] == pytest.approx(np.full((2, 2), 255 * quarter), abs=6)


def test_sizes_go_with_the_picture():
    points, score = standing()
    small, large = draw(points, score, 512), draw((points + 0.5) * 2 - 0.5, score, 1024)
    shrunk = cv2.resize(large, (512, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shrunk).mean() < 0.1
    assert small.astype(float).sum() == pytest.approx(shrunk.astype(float).sum(), rel=0.03)


def test_a_picture_may_be_wider_than_high():
    points, score = standing()
    wide = draw(points + np.array([100, 0]), score, (512, 704))
    assert wide.shape == (512, 704, 3)
    np.testing.assert_array_equal(wide[:, 100:612], draw(points, score, 512))


# ---- scores


@pytest.mark.parametrize("score", [1.0, 0.8, 0.5, 0.3])
def test_brightness_is_the_score(score: float):
    points, shown = standing()
    picture = draw(points, shown * score, SIZE_PX)
    assert pixel(picture, points[kp.NOSE]) == [round(255 * score), 0, 0]
    forearm = (points[kp.LEFT_ELBOW] + points[kp.LEFT_WRIST]) / 2
    assert pixel(picture, forearm) == [round(85 * 0.6 * score**2), round(255 * 0.6 * score**2), 0]
    assert pixel(picture, place(points, NECK)) == [255, 85, 0]  # as DWPose has it: there or not


def test_ends_of_a_limb_count_both():
    points, score = standing()
    score[[kp.LEFT_ELBOW, kp.LEFT_WRIST]] = 0.5, 0.8
    forearm = (points[kp.LEFT_ELBOW] + points[kp.LEFT_WRIST]) / 2
    assert pixel(draw(points, score, SIZE_PX), forearm) == [round(51 * 0.4), round(153 * 0.4), 0]


def test_dots_fade_evenly():
    points, score = only(*((20.3 + 30 * (number % 16), 50.6) for number in range(16)), first=23)
    full, half = draw(points, score, SIZE_PX).astype(float), draw(points, score * 0.5, SIZE_PX)
    assert np.abs(full / 2 - half).max() <= 1


def test_scores_above_one_are_one():
    points, score = standing()
    np.testing.assert_array_equal(draw(points, score * 1.7, SIZE_PX), draw(points, score, SIZE_PX))
    np.testing.assert_array_equal(draw(points, None, 64), draw(points, np.ones(kp.COUNT), 64))


@pytest.mark.parametrize("low", [0.299, 0.0, -1.0, np.nan])
def test_a_point_with_a_low_score_leaves_no_mark(low: float):
    points, score = standing()
    score[kp.LEFT_WRIST] = low
    picture = draw(points, score, SIZE_PX)
    assert pixel(picture, points[kp.LEFT_WRIST]) == [0, 0, 0]
    assert pixel(picture, (points[kp.LEFT_ELBOW] + points[kp.LEFT_WRIST]) / 2) == [0, 0, 0]
    assert pixel(picture, points[kp.LEFT_ELBOW]) == JOINT_COLOURS[6]
    again = draw(points, score, SIZE_PX, least_score=0.2)
    assert pixel(again, points[kp.LEFT_WRIST]) == ([0, round(255 * low), round(85 * low)] if low > 0.2 else [0, 0, 0])


def test_the_neck_needs_both_shoulders():
    points, score = standing()
    score[kp.LEFT_SHOULDER] = 0
    picture = draw(points, score, SIZE_PX)
    assert pixel(picture, place(points, NECK)) == [0, 0, 0]
    assert pixel(picture, (points[kp.NOSE] + place(points, NECK)) / 2) == [0, 0, 0]


# ---- what lies outside, and what is missing


def test_a_picture_is_a_window():
    """What is drawn does not depend on where the picture ends: half a person is half the drawing of a whole one."""
    points, score = np.concatenate([standing()[0][:17], bench_motion.pose()[17:]]), np.ones(kp.COUNT)
    whole = draw(points, score, 640, drawn_at_px=2700)
    for x, y in ((130, 90), (300, 10), (0, 240)):
        part, same = draw(points - [x, y], score, 320, drawn_at_px=1350), whole[y : y + 320, x : x + 320]
        np.testing.assert_array_equal(part[1:-1, 1:-1], same[1:-1, 1:-1])
        assert np.abs(part.astype(int) - same).max() < 40  # OpenCV smooths no edge that it cuts
        assert part.any()


@pytest.mark.parametrize("joint", [kp.LEFT_WRIST, kp.RIGHT_SHOULDER])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -4200.0])
def test_a_point_that_is_nowhere_leaves_no_mark(value: float, joint: int):
    points, score = standing()
    without = score.copy()
    without[joint] = 0
    points[joint] = (value, 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(draw(points, score, SIZE_PX), draw(points, without, SIZE_PX))


def test_a_limb_to_a_joint_far_outside_ends_at_the_edge():
    points, score = standing()
    points[kp.LEFT_WRIST] = (4000, 240)  # beside the elbow, seven pictures away
    picture = draw(points, score, SIZE_PX)
    assert picture[240, 500:] == pytest.approx(np.full((12, 3), [51, 153, 0]), abs=10)
    assert not picture[230, 400:].any()


def test_limbs_without_length_do_no_harm():
    points, score = standing()
    points[kp.LEFT_WRIST] = points[kp.LEFT_ELBOW]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixel(draw(points, score, SIZE_PX), points[kp.LEFT_WRIST]) == JOINT_COLOURS[7]


# ---- many frames


def test_frames_are_drawn_one_by_one_and_leave_nothing_behind():
    motion = bench_motion.lively(4).astype(np.float32)
    score = np.random.default_rng(3).uniform(0, 1, motion.shape[:2]).astype(np.float32)
    score[2] = 0
    drawn = frames(motion, score, SIZE_PX)
    pictures = list(drawn)
    assert len(pictures) == 4
    assert not pictures[2].any()
    for number in (0, 1, 3):
        np.testing.assert_array_equal(pictures[number], draw(motion[number], score[number], SIZE_PX))
        assert pictures[number].any()


def test_points_and_scores_are_not_changed():
    points, score = standing()
    points[kp.NOSE] = np.nan
    before = points.copy(), score.copy()
    draw(points, score, 64)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(score, before[1])


def test_the_wrong_number_of_points_is_refused():
    points, score = standing()
    with pytest.raises(ValueError, match="132"):
        draw(points[:132], score[:132], SIZE_PX)
    with pytest.raises(ValueError, match="132"):
        draw(points, score[:132], SIZE_PX)
