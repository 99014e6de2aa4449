"""Representations of the 133 points: hand-computed cases, and the way back of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405 import keypoints as kp
from csg405.keypoints import representations as rep
from tests import bench_motion

FACE_OF_123, LEFT_OF_123, RIGHT_OF_123 = slice(13, 81), slice(81, 102), slice(102, 123)

FAR_PX = {np.float32: 2e-3, np.float64: 1e-10}
"""Rounding over three sums of thousands of pixels."""


def somebody(dtype: type = np.float64) -> np.ndarray:
    return bench_motion.pose().astype(dtype)


def anywhere(seed: int, dtype: type, lead: tuple[int, ...], missing: float) -> np.ndarray:
    """Points all over a large picture, some missing."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-500, 2000, (*lead, kp.COUNT, 2)).astype(dtype)
    points[rng.random((*lead, kp.COUNT)) < missing] = np.nan
    return points


poses = st.builds(
    anywhere,
    st.integers(0, 2**32),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([(), (4,), (2, 3), (0,)]),
    st.sampled_from([0.0, 0.1, 0.6, 1.0]),
)


def assert_back(points: np.ndarray, back: np.ndarray) -> None:
    assert back.dtype == points.dtype
    np.testing.assert_allclose(back, points, rtol=0, atol=FAR_PX[points.dtype.type], equal_nan=True)


# ---- unit square


def test_edges_of_the_picture_are_minus_one_and_one():
    points = np.array([[-0.5, 511.5], [255.5, 0.0]])
    assert rep.to_unit(points, size_px=512) == pytest.approx(np.array([[-1, 1], [0, -511 / 512]]))


def test_the_unit_square_is_the_same_at_every_size():
    large = np.array([[100.0, 31.0]])
    small = kp.to_crop(large, x_px=0, y_px=0, side_px=512, size_px=64)
    assert rep.to_unit(small, size_px=64) == pytest.approx(rep.to_unit(large, size_px=512), abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(poses, st.sampled_from([64, 511, 512, 1080]))
def test_into_the_unit_square_and_back(points: np.ndarray, size_px: int):
    assert_back(points, rep.from_unit(rep.to_unit(points, size_px=size_px), size_px=size_px))


# ---- rooted


def test_the_neck_is_the_middle_of_the_shoulders():
    assert rep.neck(somebody()).tolist() == [256, 256]


def test_rooted_points_lie_about_the_neck_and_the_neck_in_its_place():
    rooted = rep.to_rooted(somebody())
    assert rooted.shape == (134, 2)
    assert rooted[0].tolist() == [256, 256]
    assert rooted[1 + kp.NOSE].tolist() == [0, -76]
    assert rooted[1 + kp.LEFT_WRIST].tolist() == [40, 160]
    assert rooted[1 + kp.RIGHT_HAND.start].tolist() == [-40, 160]


def test_a_step_aside_moves_only_the_root():
    at, moved = rep.to_rooted(somebody()), rep.to_rooted(somebody() + np.array([30, -8]))
    assert (moved - at)[0].tolist() == [30, -8]
    np.testing.assert_allclose(moved[1:], at[1:], atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(poses)
def test_rooted_and_back(points: np.ndarray):
    assert_back(points, rep.from_rooted(rep.to_rooted(points)))


# ---- local


def test_parts_lie_about_the_joints_that_they_hang_on():
    pose = somebody()
    local = rep.to_local(pose)
    assert local.root.tolist() == [256, 256]
    assert local.points[kp.LEFT_ELBOW].tolist() == [70, 90]
    assert local.points[kp.NOSE].tolist() == [0, -76]
    assert local.points[kp.UPPER_LIP[1]].tolist() == [0, 30]  # 210 px down, the nose 180
    assert local.points[kp.LEFT_HAND.start].tolist() == [0, 0]
    np.testing.assert_allclose(local.points[kp.RIGHT_HAND], pose[kp.RIGHT_HAND] - [216, 416])
    np.testing.assert_allclose(local.points[kp.FEET], pose[kp.FEET] - [256, 256])


def test_a_nod_leaves_the_face_and_a_raised_arm_the_hand():
    pose = somebody()
    nod = pose.copy()
    nod[[kp.NOSE, *range(kp.FACE.start, kp.FACE.stop)]] += [0, 9]
    raised = pose.copy()
    raised[[kp.LEFT_WRIST, *range(kp.LEFT_HAND.start, kp.LEFT_HAND.stop)]] += [20, -70]
    still = rep.to_local(pose).points
    assert np.flatnonzero(np.abs(rep.to_local(nod).points - still).max(axis=1) > 1e-9).tolist() == [kp.NOSE]
    assert np.flatnonzero(np.abs(rep.to_local(raised).points - still).max(axis=1) > 1e-9).tolist() == [kp.LEFT_WRIST]


def test_without_its_track_the_neck_is_pinned():
    motion = bench_motion.lively(40)
    local = rep.to_local(motion)
    pinned = rep.from_local(rep.Local(np.broadcast_to(local.root[:1], local.root.shape), local.points))
    assert np.ptp(rep.neck(motion), axis=0).min() > 1
    assert np.ptp(rep.neck(pinned), axis=0).max() < 1e-9


@settings(deadline=None, max_examples=40)
@given(poses)
def test_local_and_back(points: np.ndarray):
    local = rep.to_local(points)
    assert local.root.dtype == local.points.dtype == points.dtype
    assert local.root.shape == (*points.shape[:-2], 2)
    assert_back(points, rep.from_local(local))


# ---- what is missing


@pytest.mark.parametrize("joint", [kp.NOSE, kp.LEFT_WRIST, kp.RIGHT_WRIST, kp.LEFT_SHOULDER, kp.LEFT_HAND.start, 60])
def test_a_missing_point_takes_no_other_along(joint: int):
    pose = somebody()
    pose[joint] = np.nan
    for form in (rep.to_local(pose).points, rep.to_rooted(pose)[1:], rep.to_unit(pose, size_px=512)):
        assert np.flatnonzero(np.isnan(form).any(axis=1)).tolist() == [joint]


def test_a_hand_without_its_wrist_hangs_on_the_neck():
    pose = somebody()
    pose[kp.LEFT_WRIST] = np.nan
    np.testing.assert_allclose(rep.to_local(pose).points[kp.LEFT_HAND], pose[kp.LEFT_HAND] - [256, 256])


def test_without_shoulders_there_is_no_neck_and_points_stay():
    pose = somebody()
    pose[kp.LEFT_SHOULDER] = np.nan
    assert rep.neck(pose).tolist() == pose[kp.RIGHT_SHOULDER].tolist()
    pose[kp.RIGHT_SHOULDER] = np.nan
    rooted = rep.to_rooted(pose)
    assert np.isnan(rooted[0]).all()
    np.testing.assert_array_equal(rooted[1:], pose)


# ---- the reference's 123


def test_the_123_are_the_reference_systems():
    numbers = np.repeat(np.arange(kp.COUNT, dtype=np.float32)[:, None], 2, axis=1)
    kept = rep.to_upper_body(numbers)[:, 0].astype(int)
    assert len(kept) == 123
    assert kept[:13].tolist() == list(range(13))
    assert kp.NAMES[kept[12]] == "right_hip"
    for ours, theirs in ((kp.FACE, FACE_OF_123), (kp.LEFT_HAND, LEFT_OF_123), (kp.RIGHT_HAND, RIGHT_OF_123)):
        assert kept[theirs].tolist() == list(range(ours.start, ours.stop))


def test_what_the_123_lack_comes_from_the_pose_at_the_same_neck():
    pose, motion = somebody(), bench_motion.lively(5)
    full, score = rep.from_upper_body(rep.to_upper_body(motion), pose=pose)
    lacking = list(range(13, 23))
    others = np.setdiff1d(np.arange(kp.COUNT), lacking)
    np.testing.assert_array_equal(full[:, others], motion[:, others])
    expected = pose[lacking] + (rep.neck(motion) - rep.neck(pose))[:, None]
    np.testing.assert_allclose(full[:, lacking], expected, atol=1e-9)
    assert (score[:, lacking] == 0).all()
    assert (score[:, others] == 1).all()
    assert score.shape == (5, kp.COUNT)


def test_scores_of_the_123_are_kept():
    given_score = np.linspace(0, 1, 123, dtype=np.float32)
    _, score = rep.from_upper_body(rep.to_upper_body(somebody()), pose=somebody(), score=given_score)
    np.testing.assert_array_equal(score[kp.UPPER_BODY], given_score)


@settings(deadline=None, max_examples=40)
@given(poses)
def test_to_the_123_and_back(points: np.ndarray):
    full, _ = rep.from_upper_body(rep.to_upper_body(points), pose=points)
    assert_back(points, full)
    np.testing.assert_array_equal(rep.to_upper_body(full), rep.to_upper_body(points))


def test_points_are_not_changed_and_their_number_is_checked():
    points = somebody(np.float32)
    before = points.copy()
    rep.from_local(rep.to_local(points))
    rep.from_upper_body(rep.to_upper_body(points), pose=points)
    np.testing.assert_array_equal(points, before)
    with pytest.raises(ValueError, match="134"):
        rep.from_rooted(points)
    with pytest.raises(ValueError, match="133"):
        rep.to_local(points[:123])
