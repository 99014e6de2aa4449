"""Metrics of lips and eyes, on faces whose values are known or against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from csg405 import keypoints as kp
from csg405.benchmark.clip import Sound
from csg405.benchmark.metric import Key, compute
from csg405.benchmark.metrics import blinks, lip_velocity, lips
from csg405.benchmark.metrics._face import aperture, inter_ocular
from tests import bench_motion as motion

FPS, RATE_HZ = motion.FPS, motion.RATE_HZ

MOUTH = slice(kp.OUTER_LIPS.start, kp.INNER_LIPS.stop)


def mouthing(gap_px: np.ndarray) -> np.ndarray:
    """The pose, with lips that are so far apart."""
    points = motion.still(len(gap_px))
    points[:, list(kp.LOWER_LIP)] = points[:, list(kp.UPPER_LIP)]
    points[:, list(kp.LOWER_LIP), 1] += gap_px[:, None]
    return points


def babble(n: int, *, seed: int = 1) -> np.ndarray:
    """Opening of lips, px."""
    return 5 + 2 * np.convolve(np.random.default_rng(seed).normal(0, 1, n + 4), np.ones(5) / 5, "valid")


def test_opening_is_in_distances_between_the_eyes() -> None:
    seen = motion.seen(motion.clip(mouthing(np.array([0.0, 4.0, 10.0]))))
    unit = inter_ocular(seen)
    assert unit == pytest.approx(0.4)
    assert unit is not None
    np.testing.assert_allclose(aperture(seen.points, unit=unit), [0, 0.1, 0.25], atol=1e-6)


def test_correlation_is_pearsons_at_the_best_of_five_lags() -> None:
    mine, theirs = babble(200), babble(200, seed=2)
    shown = np.ones(200, bool)
    each = [stats.pearsonr(mine[lag:], theirs[: 200 - lag])[0] for lag in range(3)]
    each += [stats.pearsonr(mine[: 200 - lag], theirs[lag:])[0] for lag in (1, 2)]
    assert lips.best_correlation(mine, theirs, shown=shown) == pytest.approx(max(each), rel=1e-9)
    shown[50:80] = False
    only = lips.best_correlation(np.where(shown, mine, 99), np.where(shown, mine, -99), shown=shown)
    assert only == pytest.approx(1)


@pytest.mark.parametrize(("late", "whole"), [(0, True), (2, True), (-2, True), (3, False), (-3, False)])
def test_two_frames_of_lag_are_free_and_three_are_not(late: int, whole: bool) -> None:
    gap = babble(110)
    clip = motion.clip(mouthing(gap[5:105]))
    found = float(lips.measure(motion.seen(clip, mouthing(gap[5 - late : 105 - late])))["lip_r"])
    assert (found > 0.9999) == whole
    assert found < 1.0001


def test_size_of_the_opening_does_not_matter_and_rest_is_zero() -> None:
    gap = babble(100)
    clip = motion.clip(mouthing(gap))
    assert lips.measure(motion.seen(clip, mouthing(3 + gap / 4)))["lip_r"] == pytest.approx(1, abs=1e-4)
    assert lips.measure(motion.seen(clip, mouthing(12 - gap)))["lip_r"] < 0.9
    assert lips.measure(motion.seen(clip, mouthing(np.full(100, 5.0))))["lip_r"] == 0


def test_clips_whose_true_lips_rest_or_are_hardly_shown_have_no_value() -> None:
    gap = babble(100)
    resting = motion.clip(mouthing(5 + 0.1 * (gap - 5)), clip_id="a")
    moving = motion.clip(mouthing(gap), clip_id="b")
    hidden = motion.hidden(motion.clip(mouthing(gap), clip_id="c"), slice(24, None), [kp.UPPER_LIP[1]])
    rows = {Key(clip.clip_id, 0): lips.measure(motion.seen(clip)) for clip in (resting, moving, hidden)}
    for name in "ac":
        assert lips.clip_values(rows[Key(name, 0)], rows[Key(name, 0)]) == {"lip_r": None, "lip_envelope": None}
    assert compute(lips, rows, rows)["lip_r"] == pytest.approx(1)


def test_band_level_is_the_root_mean_square_of_what_lies_in_the_band() -> None:
    times_s = np.arange(10 * 640) / RATE_HZ
    for hz, share in ((1000, 1), (100, 0), (5000, 0)):
        sound = Sound((0.5 * 32767 * np.sin(2 * np.pi * hz * times_s)).astype(np.int16))
        np.testing.assert_allclose(lips.band_level(sound), share * 0.5 / np.sqrt(2), atol=2e-3)


def loud(level: np.ndarray) -> Sound:
    """A tone of 1 kHz that is so loud in each frame."""
    times_s = np.arange(len(level) * 640) / RATE_HZ
    return Sound((32767 * np.repeat(level, 640) * np.sin(2 * np.pi * 1000 * times_s)).astype(np.int16))


def test_lips_that_follow_the_sound_correlate_with_it() -> None:
    gap = babble(150)
    level = (gap - gap.min()) / 20
    clip = motion.clip(mouthing(gap), sound=loud(level))
    assert lips.measure(motion.seen(clip))["lip_envelope"] == pytest.approx(1, abs=1e-3)
    other = motion.clip(mouthing(gap), sound=loud(level[::-1]))
    assert lips.measure(motion.seen(other))["lip_envelope"] < 0.5
    silent = motion.clip(mouthing(gap), sound=Sound(np.zeros(150 * 640, np.int16)))
    row = lips.measure(motion.seen(silent))
    assert np.isnan(row["lip_envelope"])
    assert row["lip_r"] == pytest.approx(1)


def difference(system: np.ndarray, truth: np.ndarray) -> float:
    return float(lip_velocity.measure(motion.seen(motion.clip(truth), system))["value"])


def test_lip_velocity_by_hand_with_as_many_terms_as_there_are() -> None:
    truth, system = motion.still(4), motion.still(4)
    system[:, MOUTH, 0] += (2 * np.arange(4))[:, None]  # 2 px a frame in x, none in y: mean 1 of 40 px
    assert difference(system, truth) == pytest.approx(1 / 40, rel=1e-5)
    system[:, MOUTH, 0] = motion.still(4)[:, MOUTH, 0]
    system[3, MOUTH] += 4  # one of three steps, both coordinates
    assert difference(system, truth) == pytest.approx(4 / 3 / 40, rel=1e-5)
    assert difference(truth, truth) == 0


def test_lip_velocity_is_free_of_the_heads_way_and_of_what_is_not_shown() -> None:
    truth = motion.lively(50)
    swaying = truth + 30 * np.sin(np.arange(50) / 5)[:, None, None]
    assert difference(swaying, truth) == pytest.approx(0, abs=1e-5)
    wild = truth.copy()
    wild[20:25, MOUTH] += np.random.default_rng(1).normal(0, 9, (5, 20, 2))
    clip = motion.hidden(motion.clip(truth), slice(20, 25), np.arange(133)[MOUTH])
    assert lip_velocity.measure(motion.seen(clip, wild))["value"] == 0


def test_resting_lips_beat_lively_ones_that_are_late() -> None:
    """Why it cannot rank."""
    gap = babble(200)
    truth, late = mouthing(gap), mouthing(np.roll(gap, 40))
    assert difference(mouthing(np.full(200, 5.0)), truth) < difference(late, truth)


def blinking(n: int, closed: dict[int, int]) -> np.ndarray:
    """Eyes that close at given frames for so many."""
    points = motion.still(n)
    for first, length in closed.items():
        for eye in (kp.RIGHT_EYE, kp.LEFT_EYE):
            lids = points[first : first + length, eye.start + 1 : eye.stop]
            lids[:, [0, 1, 3, 4], 1] = 170 + 0.2 * (lids[:, [0, 1, 3, 4], 1] - 170)
    return points


def test_aspect_ratio_of_an_eye_by_hand() -> None:
    points = motion.seen(motion.clip(blinking(4, {2: 1}))).points
    # 12 px wide, 8 px high at both pairs of lid points.
    np.testing.assert_allclose(blinks.aspect_ratio(points), [16 / 24, 16 / 24, 3.2 / 24, 16 / 24], rtol=1e-4)


def test_runs_of_two_to_eight_frames_are_blinks() -> None:
    closed = {5: 1, 10: 2, 20: 5, 40: 8, 60: 9, 80: 20}
    row = blinks.measure(motion.seen(motion.clip(blinking(150, closed))))
    assert row["blinks"] == 3
    assert row["minutes"] == pytest.approx(0.1)
    rows = {Key("a", 0): row, Key("b", 0): blinks.measure(motion.seen(motion.clip(motion.still(75), clip_id="b")))}
    assert compute(blinks, rows, rows) == {"blinks": pytest.approx(3 / 0.15)}


def test_hidden_eyes_hold_no_blinks_and_no_time() -> None:
    clip = motion.hidden(motion.clip(blinking(150, {10: 4, 100: 4})), slice(75, None), [kp.LEFT_EYE.start])
    row = blinks.measure(motion.seen(clip))
    assert row["blinks"] == 1
    assert row["minutes"] == pytest.approx(0.05)


def test_run_lengths() -> None:
    assert blinks.run_lengths(np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool)) == [2, 1, 3]
    assert blinks.run_lengths(np.zeros(3, bool)) == []
