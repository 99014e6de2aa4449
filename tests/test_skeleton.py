"""The measure of keypoints, on hand-made poses."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405 import keypoints as kp
from csg405.annotate.skeleton import Operator, Skeleton
from csg405.schema import Pose
from tests import items

N = 200
CLIP = items.clip(n_frames=N)
SHOULDERS_PX = 200.0
MIDDLE = np.array([640.0, 360.0])


def person(n: int = N) -> np.ndarray:
    """[n, 133, 2]: somebody who looks at the camera and does not move, everything within 1280x720."""
    points = np.tile(MIDDLE, (133, 1))
    points[kp.NOSE] += (0, -150)
    points[kp.LEFT_SHOULDER] += (SHOULDERS_PX / 2, 0)
    points[kp.RIGHT_SHOULDER] += (-SHOULDERS_PX / 2, 0)
    for wrist, hand, x in ((kp.LEFT_WRIST, kp.LEFT_HAND, 150), (kp.RIGHT_WRIST, kp.RIGHT_HAND, -150)):
        points[wrist] += (x, 100)
        points[hand] = points[wrist] + np.stack([np.arange(21), np.arange(21)], axis=1)
    face = np.tile(MIDDLE + np.array([0, -150]), (68, 1))
    # Jaw from the person's right (left in the picture) to the left, brows on top, nose in the middle.
    face[:17, 0] += np.linspace(-40, 40, 17)
    face[:17, 1] += 50 * np.sin(np.linspace(0, np.pi, 17))
    face[17:27, 1] -= 30
    points[kp.FACE] = face
    return np.repeat(points[None], n, axis=0)


def measure(points: np.ndarray, scores: object = 1.0, **config: float) -> Skeleton:
    clip = items.clip(n_frames=len(points))
    made = Operator(items.setting("annotate.skeleton", items.Path(), **config))
    (row,) = made(items.item(items.pose(clip, points, scores), of=clip))
    assert isinstance(row, Skeleton)
    return row


def test_somebody_still_and_frontal_by_hand() -> None:
    row = measure(person())
    assert row.shoulder_width_px == pytest.approx(SHOULDERS_PX)
    assert row.face_height_px == pytest.approx(80)
    assert (row.confidence, row.face_confidence) == (1.0, 1.0)
    assert (row.frontal_fraction, row.in_frame_fraction, row.hands_fraction) == (1.0, 1.0, 1.0)
    assert row.jitter == pytest.approx(0, abs=1e-6)
    assert row.motion == pytest.approx(0, abs=1e-6)


def test_no_pose_no_row() -> None:
    made = Operator(items.setting("annotate.skeleton", items.Path()))
    assert list(made(items.item(of=CLIP, reads=(Pose,)))) == []


def test_confidence_is_the_median_over_frames_of_head_and_arms() -> None:
    scores = np.full((N, 133), 0.9)
    scores[:, 11:17] = 0.0  # hips, knees and ankles do not count
    scores[: N // 2 - 1, :11] = 0.2
    row = measure(person(), scores)
    assert row.confidence == pytest.approx(0.9)
    assert row.face_confidence == pytest.approx(0.9)


@pytest.mark.parametrize("noise_px", [0.5, 2.0, 8.0])
def test_jitter_of_white_noise_is_what_theory_says(noise_px: float) -> None:
    points = person(2000)
    points += np.random.default_rng(2).normal(0, noise_px, points.shape)
    # A quadratic over seven frames keeps a third of the variance (centre weight 7/21), so the rest has two thirds;
    # the mean length of a plane's normal vector of deviation s is s sqrt(pi / 2).
    residual = noise_px * math.sqrt(2 / 3) * math.sqrt(math.pi / 2)
    assert measure(points).jitter == pytest.approx(residual / SHOULDERS_PX, rel=0.05)


def test_jitter_grows_with_the_noise_and_not_with_the_persons_size() -> None:
    noise = np.random.default_rng(3).normal(0, 1, person().shape)
    found = [measure(person() + size * noise).jitter for size in (0.5, 1, 2, 4)]
    assert all(one < following for one, following in itertools.pairwise(found))
    halved = measure((person() + 2 * noise) / 2)
    assert halved.jitter == pytest.approx(found[2], rel=1e-4)


def test_smooth_movement_is_no_jitter() -> None:
    points = person()
    points[..., 0] += np.linspace(0, 300, N)[:, None] + 2e-3 * np.arange(N)[:, None] ** 2
    assert measure(points).jitter == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("radius_px", "period_s"), [(50, 1.0), (50, 2.0), (120, 2.0)])
def test_motion_of_a_wrist_on_a_circle(radius_px: float, period_s: float) -> None:
    points = person()
    angle = 2 * np.pi * np.arange(N) / 25 / period_s
    circle = radius_px * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points[:, kp.RIGHT_WRIST] += circle
    points[:, kp.LEFT_WRIST] += circle / 10  # the faster one counts
    step = 2 * np.pi / 25 / period_s
    kept = (7 + 2 * (6 * np.cos(step) + 3 * np.cos(2 * step) - 2 * np.cos(3 * step))) / 21
    speed = kept * 2 * radius_px * np.sin(step / 2) * 25 / SHOULDERS_PX
    assert measure(points).motion == pytest.approx(speed, rel=0.01)


def test_a_wrist_that_is_seldom_seen_does_not_count() -> None:
    points = person()
    points[:, kp.LEFT_WRIST, 0] += np.where(np.arange(N) % 20 < 10, 100, 0)
    scores = np.ones((N, 133))
    scores[: N // 2, kp.LEFT_WRIST] = 0.1
    assert measure(points).motion > 1
    assert measure(points, scores).motion == pytest.approx(0, abs=1e-6)
    scores[:, kp.RIGHT_WRIST] = 0.1
    assert measure(points, scores).motion is None


def test_hands_are_measured_apart_and_the_worse_one_counts() -> None:
    scores = np.ones((N, 133))
    scores[: N // 4, kp.LEFT_HAND] = 0.1
    scores[: N // 2, kp.RIGHT_HAND] = 0.1
    row = measure(person(), scores)
    assert (row.left_hand_fraction, row.right_hand_fraction, row.hands_fraction) == (0.75, 0.5, 0.5)


@pytest.mark.parametrize(("hidden", "seen"), [(10, 1.0), (11, 0.0)])
def test_a_hand_is_seen_when_most_of_its_points_are(hidden: int, seen: float) -> None:
    scores = np.ones((N, 133))
    scores[:, kp.LEFT_HAND.start : kp.LEFT_HAND.start + hidden] = 0.1
    assert measure(person(), scores).left_hand_fraction == seen


def test_confident_points_outside_the_picture_are_not_seen() -> None:
    points = person()
    points[: N // 2, kp.LEFT_HAND, 1] += 1000  # below
    points[: N // 4, kp.RIGHT_HAND, 0] -= 1000  # left
    points[: N // 5, kp.NOSE, 1] = -0.5  # above
    row = measure(points)
    assert (row.left_hand_fraction, row.right_hand_fraction) == (0.5, 0.75)
    assert row.in_frame_fraction == 0.8


def test_the_pictures_edge_is_exclusive() -> None:
    points = person()
    points[:, kp.LEFT_ELBOW] = (1279.9, 719.9)
    assert measure(points).in_frame_fraction == 1
    points[:, kp.LEFT_ELBOW] = (1280, 719)
    assert measure(points).in_frame_fraction == 0


@pytest.mark.parametrize(("nose", "frontal"), [(0.5, 1.0), (0.26, 1.0), (0.24, 0.0), (0.74, 1.0), (0.76, 0.0)])
def test_a_face_is_frontal_by_where_its_nose_lies_between_the_ends_of_the_jaw(nose: float, frontal: float) -> None:
    points = person()
    jaw_right, jaw_left = points[:, kp.FACE.start, 0], points[:, kp.FACE.start + 16, 0]
    points[:, kp.NOSE_TIP, 0] = jaw_right + nose * (jaw_left - jaw_right)
    assert measure(points).frontal_fraction == frontal


def test_a_head_turned_round_an_axis_is_frontal_up_to_some_angle() -> None:
    # A head as a sphere of radius 40 px: the jaw's ends at its sides, the nose 45 px in front of its middle.
    fractions = []
    for degrees in range(0, 90, 5):
        turn = math.radians(degrees)
        points = person()
        middle = points[:, kp.NOSE, 0]
        points[:, kp.FACE.start, 0] = middle - 40 * math.cos(turn)
        points[:, kp.FACE.start + 16, 0] = middle + 40 * math.cos(turn)
        points[:, kp.NOSE_TIP, 0] = middle + 45 * math.sin(turn)
        fractions.append(measure(points).frontal_fraction)
    assert fractions == sorted(fractions, reverse=True)
    # 45 sin / 80 cos <= 0.25 holds up to atan(0.444) = 24 degrees.
    assert fractions.index(0.0) == 5


def test_a_jaw_edge_on_or_with_its_ends_swapped_is_not_frontal() -> None:
    edge_on, from_behind = person(), person()
    edge_on[:, kp.JAW, 0] = MIDDLE[0]
    from_behind[:, kp.FACE, 0] = 2 * MIDDLE[0] - from_behind[:, kp.FACE, 0]
    assert measure(edge_on).frontal_fraction == 0
    assert measure(from_behind).frontal_fraction == 0


def test_what_is_never_seen_is_missing_and_not_zero() -> None:
    row = measure(person(), 0.0)
    assert (row.face_height_px, row.frontal_fraction, row.shoulder_width_px) == (None, None, None)
    assert (row.jitter, row.motion) == (None, None)
    assert (row.confidence, row.in_frame_fraction, row.hands_fraction) == (0.0, 0.0, 0.0)


def test_a_clip_shorter_than_the_smoothing_has_no_jitter_and_no_motion() -> None:
    row = measure(person(6))
    assert (row.jitter, row.motion) == (None, None)
    assert row.shoulder_width_px is not None


def test_the_threshold_of_confidence_is_an_option() -> None:
    assert measure(person(), 0.4).hands_fraction == 1
    assert measure(person(), 0.4, confident=0.5).hands_fraction == 0


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.0, 1e-3, 50.0, 5000.0]),
    certain=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
)
def test_no_pose_however_odd_gives_a_number_that_is_none(n: int, seed: int, spread: float, certain: float) -> None:
    rng = np.random.default_rng(seed)
    points = MIDDLE + rng.normal(0, 1, (n, 133, 2)) * spread
    scores = np.where(rng.random((n, 133)) < certain, rng.random((n, 133)), 0)
    row = measure(points, scores)
    for name, value in dataclasses.asdict(row).items():
        assert value is None or isinstance(value, str) or math.isfinite(value), name
    for name in ("frontal_fraction", "in_frame_fraction", "left_hand_fraction", "right_hand_fraction"):
        value = getattr(row, name)
        assert value is None or 0 <= value <= 1
