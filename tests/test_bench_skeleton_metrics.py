"""Metrics of motion that need no network, on motions whose values are known or against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.metric import Accumulator, Key, compute, per_clip
from csg405.benchmark.metrics import accuracy, bones, coverage, frames_check, kinematics, smoothness
from csg405.benchmark.metrics._features import Pick
from csg405.benchmark.metrics._motion import ARMS, GESTURE, HANDS, changes
from tests import bench_motion as motion

FPS = motion.FPS


def value(module: object, system: np.ndarray, truth: np.ndarray, name: str) -> float:
    """A metric's value for one clip."""
    clip = motion.clip(truth)
    rows = {Key("a", 0): module.measure(motion.seen(clip, system))}  # type: ignore[attr-defined]
    found = compute(module, rows, {Key("a", 0): module.measure(motion.seen(clip))})[name]  # type: ignore[arg-type]
    assert found is not None
    return found


def test_changes_of_a_cubic_are_its_derivative() -> None:
    times_s = np.arange(30) / FPS
    points = np.stack([2 * times_s**3, np.zeros(30)], axis=1)[:, None]
    size, whole = changes(points, np.ones((30, 1), bool), order=3)
    np.testing.assert_allclose(size, 12, rtol=1e-5)
    assert size.shape == whole.shape == (27, 1)
    shown = np.ones((30, 1), bool)
    shown[10] = False
    assert np.flatnonzero(~changes(points, shown, order=3)[1]).tolist() == [7, 8, 9, 10]
    assert changes(points[:2], shown[:2], order=3)[0].shape == (0, 1)


# Kinematics


def test_hellinger_is_half_the_distance_of_the_roots() -> None:
    rng = np.random.default_rng(1)
    p, q = rng.integers(0, 50, 40), rng.integers(0, 50, 40)
    wanted = np.linalg.norm(np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) / np.sqrt(2)
    assert kinematics.hellinger(p, q) == pytest.approx(wanted, rel=1e-9)
    assert kinematics.hellinger(p, 3 * p) == pytest.approx(0, abs=1e-7)
    assert kinematics.hellinger(np.array([1, 0]), np.array([0, 5])) == 1
    assert np.isnan(kinematics.hellinger(p, 0 * q))


@pytest.mark.parametrize(("order", "low", "high"), [(1, -2, 2), (2, -2, 4), (3, 0, 6)])
def test_histograms_are_numpys_over_edges_that_are_even_in_the_logarithm(order: int, low: int, high: int) -> None:
    rng = np.random.default_rng(2)
    size = (10 ** rng.uniform(low - 1, high + 1, (200, 114))).astype(np.float32)
    known = rng.random(size.shape) < 0.7
    edges = [0, *np.logspace(low, high, 5 * (high - low) + 1), np.inf]
    groups = (slice(0, 7), slice(7, 47), slice(47, 114))
    numbers = np.repeat([0, 1, 2], [7, 40, 67])
    change = np.stack([0.6 * size, -0.8 * size], axis=-1) / 25.0**order
    found = kinematics.histograms(change.astype(np.float32), np.where(known, numbers, 3), order=order)
    for counts, group in zip(found, groups, strict=True):
        wanted = np.histogram(size[:, group][known[:, group]], edges)[0]
        assert counts.sum() == wanted.sum()
        assert np.abs(counts - wanted).max() <= 1  # rounding at an edge


def test_rest_is_in_the_lowest_bin() -> None:
    row = kinematics.measure(motion.seen(motion.clip(motion.still(50))))
    for name, order in (("speed", 1), ("acceleration", 2), ("jerk", 3)):
        assert row[name][:, 0].tolist() == [7 * (50 - order), 40 * (50 - order), 67 * (50 - order)]
        assert row[name][:, 1:].sum() == 0


def test_whole_body_motion_is_seen_in_the_body_alone() -> None:
    points = motion.still(50)
    points[..., 0] += (5 * np.arange(50))[:, None]  # 0.05 widths a frame: 1.25 a second, the eleventh bin
    points[:, kp.LEFT_HAND.start + 1] += (5 * np.arange(50))[:, None]  # and a finger of its own
    row = kinematics.measure(motion.seen(motion.clip(motion.still(50)), points))
    assert np.flatnonzero(row["speed"][0]).tolist() == [11]
    assert row["speed"][1, 0] == 39 * 49
    assert row["speed"][2, 0] == 67 * 49
    assert row["jerk"][:, 1:].sum() == 0


def test_kinematic_distances_of_the_truth_of_rest_and_of_a_half() -> None:
    lively = motion.lively(200)
    assert value(kinematics, lively, lively, "kin") == pytest.approx(0, abs=1e-7)
    assert value(kinematics, motion.still(200), lively, "kin_speed") > 0.7
    steps = [value(kinematics, motion.still(200) + (lively - motion.still(200)) * part, lively, "kin")
             for part in (0.9, 0.6, 0.3)]  # fmt: skip
    assert 0 < steps[0] < steps[1] < steps[2] < 1


def test_kinematics_leave_out_what_is_not_shown() -> None:
    points = motion.still(60)
    wild = points.copy()
    wild[20:30, HANDS] += np.random.default_rng(1).normal(0, 50, (10, 42, 2))
    clip = motion.hidden(motion.clip(points), slice(20, 30), HANDS)
    row = kinematics.measure(motion.seen(clip, wild))
    assert row["speed"][1].tolist() == [40 * (59 - 11), *[0] * 21]
    assert row["speed"][0].sum() == 7 * 59


# Smoothness


def test_jerk_of_a_cubic_is_exact_and_ratios_are_logarithms() -> None:
    times_s = np.arange(60) / FPS
    points = motion.still(60)
    points[..., 0] += (20 * times_s**3)[:, None]  # third derivative: 120 px/s^3
    row = smoothness.measure(motion.seen(motion.clip(points)))
    assert row["jerks"] == 57 * len(GESTURE)
    assert row["jerk"] / row["jerks"] == pytest.approx(1.2, rel=0.2)  # of 32-bit pixels
    lively = motion.lively(200)
    halved = motion.still(200) + (lively - motion.still(200)) / 2
    assert value(smoothness, halved, lively, "jerk") == pytest.approx(math.log(0.5), abs=1e-3)
    assert value(smoothness, halved, lively, "high_frequency") == pytest.approx(0, abs=1e-3)
    still = value(smoothness, motion.still(200), lively, "jerk")
    assert still < -5
    assert math.isfinite(still)


def test_spectrum_is_welchs() -> None:
    points = np.random.default_rng(5).normal(0, 1, (260, 4, 2)).cumsum(axis=0).astype(np.float32)
    high, total = smoothness.powers(points, np.ones((260, 4), bool))
    frequencies, density = signal.welch(
        np.diff(points.astype(np.float64), axis=0), fs=25, window="hann", nperseg=50, noverlap=25, axis=0
    )
    wanted = density[frequencies > 6].sum() / density.sum()
    assert high / total == pytest.approx(wanted, rel=1e-5)


def test_share_of_two_tones_of_known_power() -> None:
    times_s = np.arange(1001) / FPS
    tones = np.sin(2 * np.pi * 2 * times_s) / 2 + 0.5 * np.sin(2 * np.pi * 9 * times_s) / 9
    points = np.zeros((1001, 4, 2), np.float32)
    points[:, 0, 0] = tones
    high, total = smoothness.powers(points, np.ones((1001, 4), bool))
    # Speeds of amplitudes 1 and 0.5, as forward differences weaken them.
    slow, fast = (np.square(amplitude * np.sinc(hz / 25)) for amplitude, hz in ((1, 2), (0.5, 9)))
    assert high / total == pytest.approx(fast / (slow + fast), rel=1e-3)


def test_windows_with_a_gap_and_short_clips_hold_no_spectrum() -> None:
    points = np.random.default_rng(5).normal(0, 1, (101, 4, 2)).astype(np.float32)
    shown = np.ones((101, 4), bool)
    whole = smoothness.powers(points, shown)
    shown[60, 0] = False
    part = smoothness.powers(points, shown)
    assert 0 < part[1] < whole[1]
    shown[60] = shown[40] = False
    assert smoothness.powers(points, shown) == (0, 0)
    assert smoothness.powers(points[:50], shown[:50]) == (0, 0)
    lively = motion.clip(motion.lively(40))
    rows = {Key("a", 0): smoothness.measure(motion.seen(lively))}
    assert compute(smoothness, rows, rows) == {"jerk": 0, "high_frequency": None}


def test_noise_and_low_passes_lie_on_both_sides_of_zero() -> None:
    lively = motion.lively(250)
    noisy = lively + np.random.default_rng(1).normal(0, 1, lively.shape)
    smooth = signal.sosfiltfilt(signal.butter(4, 3, fs=25, output="sos"), lively, axis=0)
    for name in ("jerk", "high_frequency"):
        assert value(smoothness, noisy, lively, name) > 0.5
        assert value(smoothness, smooth, lively, name) < -0.5


# Coverage


def walk(left: list[tuple[float, float]], right: list[tuple[float, float]]) -> np.ndarray:
    """A motion whose wrists are at these places, in squares of 25 px from the neck, frame by frame."""
    points = motion.still(len(left))
    for wrist, places in ((kp.LEFT_WRIST, left), (kp.RIGHT_WRIST, right)):
        points[:, wrist] = 256 + 25 * (np.array(places) + 0.5)
    return points


def test_dice_of_squares_counted_by_hand() -> None:
    truth = walk([(0, 1), (1, 1), (2, 1), (2, 1)], [(-3, 1)] * 4)  # 3 and 1
    system = walk([(1, 1), (2, 1), (3, 1), (4, 1)], [(-3, 1), (-3, 1), (0, 1), (0, 1)])  # 4 and 2
    # Shared: 2 of the left, 1 of the right; that the right is where the left should be is worth nothing.
    assert value(coverage, system, truth, "coverage") == pytest.approx(2 * 3 / (4 + 6))
    assert value(coverage, truth, truth, "coverage") == 1
    assert value(coverage, truth[::-1], truth, "coverage") == 1
    assert value(coverage, walk([(9, 9)] * 4, [(9, 9)] * 4), truth, "coverage") == 0


def test_noise_loses_coverage_the_more_the_louder() -> None:
    lively = motion.lively(250)
    rng = np.random.default_rng(1)
    found = [value(coverage, lively + rng.normal(0, px, lively.shape), lively, "coverage")
             for px in (2, 10, 40, 160, 640)]  # fmt: skip
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1
    assert value(coverage, lively + rng.normal(0, 1e7, lively.shape), lively, "coverage") == pytest.approx(0, abs=0.01)


def test_coverage_leaves_out_a_wrist_that_is_not_shown() -> None:
    truth, system = walk([(0, 1), (1, 1)], [(0, 0), (0, 0)]), walk([(0, 1), (1, 1)], [(5, 5), (5, 5)])
    clip = motion.hidden(motion.clip(truth), slice(None), [kp.RIGHT_WRIST])
    assert coverage.measure(motion.seen(clip, system))["value"] == 1


# Frames


def test_points_outside_the_picture_are_counted() -> None:
    points = motion.still(10)
    points[:, kp.UPPER_BODY] = 256
    points[:, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] = [(306, 256), (206, 256)]
    points[0, HANDS[:10], 0] = -0.6
    points[1, HANDS[:5], 1] = 511.5
    points[2, HANDS[:5], 1] = 511.4  # the last pixel reaches to 511.5
    points[3, [15, 16], 0] = -100  # feet do not count
    row = frames_check.measure(motion.seen(motion.clip(points)))
    assert row["out_of_frame"] == pytest.approx(15 / (10 * len(kp.UPPER_BODY)))


def test_held_frames_are_counted() -> None:
    lively = motion.lively(101)
    held = lively[np.arange(101) // 4 * 4]
    assert value(frames_check, lively, lively, "static_frames") == 0
    assert value(frames_check, held, lively, "static_frames") == 0.75
    assert value(frames_check, np.repeat(lively[:1], 101, axis=0), lively, "static_frames") == 1
    talking = np.repeat(lively[:1], 101, axis=0)
    talking[:, kp.FACE] = lively[:, kp.FACE]
    assert value(frames_check, talking, lively, "static_frames") == 1


def test_a_step_of_a_thousandth_is_the_edge_of_rest() -> None:
    for step_px, part in ((0.09, 1), (0.12, 0)):
        points = motion.still(20)
        points[:, kp.LEFT_WRIST, 0] += step_px * np.arange(20)
        assert value(frames_check, points, points, "static_frames") == part


# Bones


def test_length_statistics_are_numpys() -> None:
    points = motion.lively(80).astype(np.float32)
    limbs = np.array([(5, 7), (7, 9), (95, 96)])
    shown = np.random.default_rng(1).random((80, 3)) < 0.8
    shown[:, 2] = False
    mean, spread = bones.length_statistics(points, shown, limbs=limbs)
    for number, (first, second) in enumerate(limbs[:2]):
        lengths = np.linalg.norm(points[:, first] - points[:, second], axis=1)[shown[:, number]]
        assert mean[number] == pytest.approx(lengths.mean(), rel=1e-6)
        assert spread[number] == pytest.approx(lengths.std(), rel=1e-4)
    assert np.isnan(mean[2])


def test_bones_of_a_system_that_stretches_them() -> None:
    truth = motion.still(50)
    stretched = truth.copy()
    stretched[:, kp.LEFT_WRIST] = truth[:, kp.LEFT_ELBOW] + 1.5 * (truth[:, kp.LEFT_WRIST] - truth[:, kp.LEFT_ELBOW])
    stretched[:, kp.RIGHT_WRIST] = truth[:, kp.RIGHT_ELBOW] + (truth[:, kp.RIGHT_WRIST] - truth[:, kp.RIGHT_ELBOW]) / 2
    assert value(bones, stretched, truth, "bone_ratio_arms") == pytest.approx((1 + 1 + 1.5 + 2) / 4, rel=1e-5)
    assert value(bones, stretched, truth, "bone_ratio_hands") == pytest.approx(1)
    pulsing = truth.copy()
    pulsing[::2, kp.LEFT_WRIST] = stretched[::2, kp.LEFT_WRIST]
    assert value(bones, pulsing, truth, "bone_cv_arms") == pytest.approx(0.25 / 1.25 / 4, rel=1e-5)
    assert value(bones, pulsing, truth, "bone_cv_hands") == pytest.approx(0, abs=1e-6)


# Accuracy


def test_pck_and_mpjpe_by_hand() -> None:
    truth = walk([(0, 0)] * 10, [(0, 0)] * 10)
    box = truth[:, GESTURE]
    side = (box.max(axis=(0, 1)) - box.min(axis=(0, 1))).max()
    system = truth.copy()
    system[:, HANDS[:21], 0] += 0.21 * side
    system[:, HANDS[21:], 1] -= 0.19 * side
    assert value(accuracy, system, truth, "pck") == pytest.approx(28 / 49)
    wanted = 21 * (0.21 + 0.19) * side / motion.UNIT_PX / 49
    assert value(accuracy, system, truth, "mpjpe") == pytest.approx(wanted, rel=1e-5)


def test_the_best_sample_of_each_clip_counts() -> None:
    truth = motion.lively(60)
    clips = [motion.clip(truth, clip_id=name) for name in "ab"]
    away = {"a": (30, 5, 20), "b": (4, 50, 8)}
    rows, true_rows = {}, {}
    for clip in clips:
        true_rows[Key(clip.clip_id, 0)] = accuracy.measure(motion.seen(clip))
        for seed, px in enumerate(away[clip.clip_id]):
            moved = truth + np.array([px, 0])
            rows[Key(clip.clip_id, seed)] = accuracy.measure(motion.seen(clip, moved))
    found = compute(accuracy, rows, true_rows)
    assert found == {"pck": 1, "mpjpe": pytest.approx((5 + 4) / 2 / clips[0].shoulders_px, rel=1e-4)}
    assert per_clip(accuracy, rows, true_rows) == {}


def test_the_mean_pose_beats_a_true_gesture_of_another_moment() -> None:
    """Why it cannot rank."""
    truth = motion.lively(250)
    mean = np.repeat(truth.mean(axis=0, keepdims=True), 250, axis=0)
    assert value(accuracy, mean, truth, "mpjpe") < value(accuracy, np.roll(truth, 15, axis=0), truth, "mpjpe")


# Sums over clips


@pytest.mark.parametrize("module", [kinematics, smoothness])
def test_pooled_values_are_those_of_the_clips_that_are_picked(module: object) -> None:
    systems, truth = (Accumulator(module), Accumulator(module)), Accumulator(module)  # type: ignore[arg-type]
    for number, name in enumerate("abcd"):
        clip = motion.clip(motion.lively(80 + number, seed=number), clip_id=name)
        truth.update(motion.seen(clip))
        for index, system in enumerate(systems):
            noise = np.random.default_rng(number).normal(0, 1 + index, clip.keypoints_px.shape)
            system.update(motion.seen(clip, clip.keypoints_px + noise))
    cluster_of = {"a": "one", "b": "two", "c": "one", "d": "three"}
    pooled = module.pooled([system.rows for system in systems], truth.rows, cluster_of=cluster_of)  # type: ignore[attr-defined]
    found = pooled([Pick(0, "one"), Pick(1, "two")], ["one", "two"])
    rows = {key: systems[key.clip_id == "b"].rows[key] for key in truth.rows if key.clip_id in "abc"}
    wanted = compute(module, rows, {key: truth.rows[key] for key in rows})  # type: ignore[arg-type]
    assert found == pytest.approx(wanted, rel=1e-12)
    assert set(pooled([], ["one"]).values()) == {None}


@pytest.mark.parametrize("module", [kinematics, smoothness, coverage, frames_check, bones, accuracy])
def test_no_clips_have_no_values(module: object) -> None:
    nothing = Accumulator(module)  # type: ignore[arg-type]
    assert set(nothing.compute(nothing).values()) == {None}


def test_the_arms_are_elbows_and_wrists() -> None:
    assert [kp.NAMES[point] for point in ARMS] == ["left_elbow", "right_elbow", "left_wrist", "right_wrist"]
