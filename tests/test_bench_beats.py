"""Onsets and the two published beat scores, on clicks and motions whose beats are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark.clip import Sound
from csg405.benchmark.metric import Accumulator, Key, compute
from csg405.benchmark.metrics import _beats, beat_legacy_emage, beat_legacy_ha2g
from csg405.benchmark.metrics._motion import BODY
from csg405.benchmark.onsets import librosa_onsets_s
from tests import bench_motion as motion

FPS = motion.FPS


def test_onsets_lie_where_the_clicks_are() -> None:
    times_s = np.array([0.5, 1.3, 2.0, 3.1])
    found = librosa_onsets_s(motion.clicks(100, times_s))
    after = found[:, None] - times_s
    assert np.abs(after).min(axis=0).max() < 0.04  # a hop is 32 ms
    late = after[np.arange(len(found)), np.abs(after).argmin(axis=1)]
    assert late.min() > -0.04
    assert late.max() < 0.08
    assert len(found) > 4  # with the published settings one click has several


def test_onsets_are_found_once_and_kept_with_their_sound() -> None:
    sound, other = motion.clicks(100, [0.5, 1.3]), motion.clicks(100, [0.9])
    first = librosa_onsets_s(sound)
    assert librosa_onsets_s(sound) is first
    assert np.all(np.abs(librosa_onsets_s(other) - 0.9) < 0.08)
    assert np.all(librosa_onsets_s(sound, backtrack=True) <= first)


@pytest.mark.parametrize("samples", [0, 640, 64_000])
def test_silence_has_no_onsets(samples: int) -> None:
    assert len(librosa_onsets_s(Sound(np.zeros(samples, np.int16)))) == 0


def test_nearness_is_that_of_the_nearest_beat() -> None:
    rng = np.random.default_rng(3)
    onsets, beats = np.sort(rng.uniform(0, 10, 40)), np.sort(rng.uniform(0, 10, 13))
    wanted = sum(np.exp(-min((b - a) ** 2 for b in beats) / (2 * 0.3**2)) for a in onsets)
    assert _beats.nearness(onsets, beats, sigma_s=0.3) == pytest.approx(wanted, rel=1e-9)
    assert _beats.nearness(np.array([1.0]), np.array([1.1, 3.0]), sigma_s=0.1) == pytest.approx(np.exp(-0.5))
    assert _beats.nearness(onsets, np.zeros(0), sigma_s=0.3) == 0
    assert _beats.nearness(np.zeros(0), beats, sigma_s=0.3) == 0


def test_emage_minima_are_those_of_each_joint_alone() -> None:
    speed = np.abs(np.random.default_rng(1).normal(1, 0.5, (300, 5)))
    floor = np.array([0.0, 0.1, 0.3, 0.5, 9.0])
    found = beat_legacy_emage.beat_mask(speed, np.ones(speed.shape, bool), floor=floor)
    for joint in range(5):
        minima = signal.argrelextrema(speed[:, joint], np.less, order=7)[0]
        wanted = [frame for frame in minima if speed[frame, joint] > floor[joint]]
        assert np.flatnonzero(found[:, joint]).tolist() == wanted
    assert found[:, 0].any()
    assert not found[:, 4].any()


def test_emage_has_no_beat_beside_what_is_not_shown() -> None:
    speed = 1 + (np.arange(60.0) - 30)[:, None] ** 2
    known = np.ones(speed.shape, bool)
    assert np.flatnonzero(beat_legacy_emage.beat_mask(speed, known, floor=np.zeros(1))).tolist() == [30]
    known[31] = False
    assert not beat_legacy_emage.beat_mask(speed, known, floor=np.zeros(1)).any()


def waving(n: int, *, period_s: float = 2.0, from_s: float = 0.0) -> np.ndarray:
    """Body and all waves across while it drifts down: least speed, not rest, at the turns, period_s / 2 apart."""
    times_s = np.arange(n) / FPS
    moved = np.maximum(times_s - from_s, 0)
    points = motion.still(n)
    points[..., 0] += (-30 * np.cos(2 * np.pi * moved / period_s))[:, None]
    points[..., 1] += (30 * moved)[:, None]
    return points


def test_emage_score_of_a_wave_and_clicks_at_a_known_distance() -> None:
    # Turns at whole seconds; clicks 0.3 s later, one sigma. That at 2 s lies at the edge, and is no minimum.
    clip = motion.clip(waving(250), sound=motion.clicks(250, np.arange(0.3, 10, 1.0)))
    apart = librosa_onsets_s(clip.sound)
    apart = apart[(apart >= 2) & (apart < 8)]
    assert len(apart) >= 6
    turns = np.arange(3, 8)
    wanted = np.mean(np.exp(-(np.abs(apart[:, None] - turns).min(axis=1) ** 2) / (2 * 0.3**2)))
    assert 0.4 < wanted < np.exp(-0.5)
    row = beat_legacy_emage.measure(motion.seen(clip))
    assert row["length_s"] == 6
    assert row["score_s"] / 6 == pytest.approx(wanted, rel=1e-6)


def test_emage_takes_floor_and_minima_from_the_same_span() -> None:
    """With the published index bug, beats whose number lies in the still start would be thrown away."""
    n = 200
    clip = motion.clip(waving(n, from_s=2.0), sound=motion.clicks(n, np.arange(3.0, 6.0, 1.0)))
    row = beat_legacy_emage.measure(motion.seen(clip))
    assert row["score_s"] / row["length_s"] > 0.95


def test_emage_weighs_clips_by_length_and_leaves_out_those_without_onsets() -> None:
    short = motion.clip(motion.still(150), clip_id="a", sound=motion.clicks(150, [2.5, 3.5]))
    long = motion.clip(waving(250), clip_id="b", sound=motion.clicks(250, np.arange(1.0, 10, 1.0)))
    mute = motion.clip(waving(250), clip_id="c", sound=Sound(np.zeros(160_000, np.int16)))
    brief = motion.clip(waving(90), clip_id="d")  # 3.6 s: nothing between the edges
    held = Accumulator(beat_legacy_emage)
    for clip in (short, long, mute, brief):
        held.update(motion.seen(clip))
    lengths = {key.clip_id: float(row["length_s"]) for key, row in held.rows.items()}
    assert lengths == {"a": 2, "b": 6, "c": 0, "d": 0}
    alone = beat_legacy_emage.measure(motion.seen(long))
    wanted = (2 * 0 + float(alone["score_s"])) / 8
    assert held.compute(held) == {"beat_legacy_emage": pytest.approx(wanted)}
    assert wanted > 0.5


def test_emage_leaves_out_a_joint_that_is_hardly_shown() -> None:
    clip = motion.clip(waving(250))
    whole = beat_legacy_emage.measure(motion.seen(clip))
    part = beat_legacy_emage.measure(motion.seen(motion.hidden(clip, slice(None), [kp.LEFT_WRIST])))
    assert part["score_s"] == pytest.approx(whole["score_s"])  # all joints move alike
    none = beat_legacy_emage.measure(motion.seen(motion.hidden(clip, np.arange(0, 250, 2), BODY)))
    assert none["length_s"] == 0


def test_the_faults_of_legacy_scores() -> None:
    """Noise on a pose that stands still scores as high as motion that is made for the sound."""
    aligned = motion.clip(waving(250), sound=motion.clicks(250, np.arange(0.5, 10, 1.0)))
    noise = motion.still(250) + np.random.default_rng(1).normal(0, 4, (250, kp.COUNT, 2))
    row = beat_legacy_emage.measure(motion.seen(aligned, noise))
    assert row["score_s"] / row["length_s"] > 0.6
    row = beat_legacy_ha2g.measure(motion.seen(aligned, noise))
    assert row["nearness"] / row["onsets"] > 0.8


def bending(n: int, *, rad_a_frame: np.ndarray | float) -> np.ndarray:
    """The left forearm turns about its elbow; all else stands still."""
    points = motion.still(n)
    turned = np.cumsum(np.broadcast_to(rad_a_frame, n)) - np.broadcast_to(rad_a_frame, n)[0]
    elbow = points[0, kp.LEFT_ELBOW]
    points[:, kp.LEFT_WRIST] = elbow + 70 * np.stack([np.cos(0.3 + turned), np.sin(0.3 + turned)], axis=1)
    return points


def test_turning_of_one_forearm_is_over_the_published_constant_and_the_four_pairs() -> None:
    known = np.ones((40, 4), bool)
    points = motion.seen(motion.clip(bending(40, rad_a_frame=0.02))).points
    found = beat_legacy_ha2g.turning(points, known)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], 0.02 * 25 / (0.00712 * np.pi * 15) / 4, rtol=2e-3)  # 32-bit points
    known[10] = False
    found = beat_legacy_ha2g.turning(points, known)
    assert np.flatnonzero(np.isnan(found)).tolist() == [0, 10, 11]


def test_ha2g_beats_drop_far_enough_on_one_side() -> None:
    values = np.random.default_rng(2).uniform(0, 0.1, 400)
    wanted = [
        t
        for t in range(1, 399)
        if values[t] < values[t - 1]
        and values[t] < values[t + 1]
        and (values[t - 1] - values[t] >= 0.03 or values[t + 1] - values[t] >= 0.03)
    ]
    assert np.flatnonzero(beat_legacy_ha2g.beat_mask(values)).tolist() == wanted
    held = values.copy()
    held[wanted[0] + 1] = np.nan
    assert wanted[0] not in np.flatnonzero(beat_legacy_ha2g.beat_mask(held))


def test_ha2g_score_of_a_forearm_that_slows_at_known_times() -> None:
    n = 100
    speed = np.full(n, 0.03)
    speed[[25, 50, 75]] = 0.01  # turning from frame 24 to 25 is slow, and so on
    clip = motion.clip(bending(n, rad_a_frame=speed), sound=motion.clicks(n, [1.1, 2.1, 3.1]))
    row = beat_legacy_ha2g.measure(motion.seen(clip))
    onsets = librosa_onsets_s(clip.sound)
    wanted = np.exp(-((onsets - onsets.round()) ** 2) / (2 * 0.1**2)).sum()
    assert row["onsets"] == len(onsets) >= 3
    assert row["nearness"] == pytest.approx(wanted, rel=1e-6)


def test_ha2g_counts_clips_that_stand_still_as_zero() -> None:
    n = 100
    speed = np.full(n, 0.03)
    speed[[25, 50, 75]] = 0.01
    moving = motion.clip(bending(n, rad_a_frame=speed), clip_id="a", sound=motion.clicks(n, [1.0, 2.0, 3.0]))
    frozen = motion.clip(motion.still(n), clip_id="b", sound=motion.clicks(n, [1.0]))
    of_moving, of_frozen = (len(librosa_onsets_s(clip.sound)) for clip in (moving, frozen))
    one, both = Accumulator(beat_legacy_ha2g), Accumulator(beat_legacy_ha2g)
    for held in (one, both):
        held.update(motion.seen(moving))
    both.update(motion.seen(frozen))
    alone = one.compute(one)["beat_legacy_ha2g"]
    assert alone is not None
    assert alone > 0.8
    assert of_frozen > 0
    assert both.compute(both) == {"beat_legacy_ha2g": pytest.approx(alone * of_moving / (of_moving + of_frozen))}


def test_seeds_of_one_clip_count_alike() -> None:
    clip = motion.clip(motion.lively(250))
    rows = {
        Key("a", seed): beat_legacy_ha2g.measure(motion.seen(clip, motion.lively(250, seed=seed))) for seed in range(3)
    }
    truth = {Key("a", 0): beat_legacy_ha2g.measure(motion.seen(clip))}
    each = [compute(beat_legacy_ha2g, {key: row}, truth)["beat_legacy_ha2g"] for key, row in rows.items()]
    assert compute(beat_legacy_ha2g, rows, truth)["beat_legacy_ha2g"] == pytest.approx(np.mean(np.array(each, float)))
