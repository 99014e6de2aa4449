"""A generated skeleton laid over a reference's person."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from csg405 import keypoints as kp
from csg405.errors import UserError
from csg405.keypoints.alignment import JOINTS, Alignment, align
from tests import bench_motion

ALL = np.ones(kp.COUNT, np.float32)


def shown(*joints: int) -> np.ndarray:
    """Scores of somebody of whom only these joints can be seen."""
    score = np.zeros(kp.COUNT, np.float32)
    score[list(joints)] = 0.9
    return score


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_moved_and_scaled_person_is_found_again(dtype: type):
    motion = bench_motion.lively(10).astype(dtype)
    planted = Alignment(scale=0.62, offset_px=(31.5, -12.25))
    found = align(motion, planted.apply(motion[0]), reference_score=ALL)
    assert found.scale == pytest.approx(planted.scale, rel=1e-5)
    assert found.offset_px == pytest.approx(planted.offset_px, abs=1e-2)
    placed = found.apply(motion)
    assert placed.dtype == found.invert(placed).dtype == dtype
    np.testing.assert_allclose(found.invert(placed), motion, atol=1e-3)


def test_only_the_first_frame_says_where():
    motion = bench_motion.lively(10)
    later = motion.copy()
    later[1:] += 500
    reference = bench_motion.pose()
    assert align(later, reference, reference_score=ALL) == align(motion, reference, reference_score=ALL)


def test_it_is_the_weighted_least_squares():
    rng = np.random.default_rng(2)
    ours, theirs = bench_motion.pose(), bench_motion.pose() * 1.4 + rng.normal(0, 12, (kp.COUNT, 2))
    score, reference_score = rng.uniform(0.3, 1, (2, kp.COUNT))
    weight = np.sqrt(score * reference_score)[JOINTS, None]

    def misses(guess: np.ndarray) -> np.ndarray:
        return (weight * (guess[0] * ours[JOINTS] + guess[1:] - theirs[JOINTS])).ravel()

    best = least_squares(misses, [1, 0, 0], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    found = align(ours[None], theirs, reference_score=reference_score, score=score[None])
    assert [found.scale, *found.offset_px] == pytest.approx(best.tolist(), abs=1e-5)


def test_width_counts_as_height_does():
    """Two shoulders at one height say nothing of y; a fit to y alone has no answer."""
    ours, pair = bench_motion.pose(), [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]
    theirs = ours * 0.5 + [10, 20]
    found = align(ours[None], theirs, reference_score=shown(*pair))
    assert found.scale == pytest.approx(0.5)
    assert found.offset_px == pytest.approx((10, 20))


def test_hands_and_arms_do_not_matter():
    ours, theirs = bench_motion.pose(), bench_motion.pose() * 1.1
    waved = ours.copy()
    waved[[kp.LEFT_ELBOW, kp.LEFT_WRIST, *range(kp.LEFT_HAND.start, kp.COUNT)]] -= 90
    assert align(waved[None], theirs, reference_score=ALL) == align(ours[None], theirs, reference_score=ALL)
    assert set(JOINTS.tolist()) == {0, 1, 2, 3, 4, 5, 6, 11, 12}


def test_what_one_of_them_does_not_show_is_left_out():
    ours, theirs = bench_motion.pose(), bench_motion.pose() * 2.0
    wild = theirs.copy()
    wild[[kp.LEFT_HIP, kp.RIGHT_HIP]] = 9999
    score = ALL.copy()
    score[[kp.LEFT_HIP, kp.RIGHT_HIP]] = 0.2
    assert align(ours[None], wild, reference_score=score).scale == pytest.approx(2)
    assert align(ours[None], wild, reference_score=ALL, score=score[None]).scale == pytest.approx(2)
    wild[[kp.LEFT_HIP, kp.RIGHT_HIP]] = np.nan
    assert align(ours[None], wild, reference_score=ALL).scale == pytest.approx(2)


def test_one_joint_is_too_few():
    ours = bench_motion.pose()
    with pytest.raises(UserError, match=r"9 joints in its first frame, 1 in the reference picture and 1 in both"):
        align(ours[None], ours, reference_score=shown(kp.NOSE))
    with pytest.raises(UserError, match="0 in both"):
        align(ours[None], ours, reference_score=shown(0, 1, 2), score=shown(3, 4, 5, 6)[None])
    with pytest.raises(UserError, match="0 in both"):
        align(ours[None], ours, reference_score=ALL * 0, least_score=0)


def test_a_person_of_no_size_or_upside_down_is_refused():
    ours = bench_motion.pose()
    with pytest.raises(UserError, match="no size"):
        align(ours[None] * 1e-3, ours, reference_score=ALL)
    with pytest.raises(UserError, match="upside down"):
        align(-ours[None], ours, reference_score=ALL)
