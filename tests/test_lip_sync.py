"""Lips against sound: planted lags, an independent correlation, and what chance gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405 import keypoints as kp
from csg405.annotate.lip_sync import LipSync, Operator, envelope, lip_opening, synchrony
from csg405.schema import Pose
from tests import films, items

MAX_LAG = 15


def curves(n: int, *, lag: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lips of syllables' pace, and a sound that comes `lag` frames later."""
    rng = np.random.default_rng(seed)
    talk = np.convolve(rng.normal(size=n + 100), np.hanning(5), mode="same")
    lips, sound = talk[50 : 50 + n], talk[50 - lag : 50 - lag + n]
    return lips + noise * rng.normal(size=n), sound + noise * rng.normal(size=n)


@pytest.mark.parametrize("lag", range(-10, 11))
def test_a_planted_lag_is_found(lag: int) -> None:
    found, correlation, strength = synchrony(*curves(250, lag=lag, seed=lag + 50), max_lag=MAX_LAG)
    assert found == lag
    assert correlation is not None
    assert correlation > 0.85
    assert strength is not None
    assert strength > 5


@pytest.mark.parametrize("lag", [-4, 0, 7])
def test_a_planted_lag_is_found_in_noise_and_drift(lag: int) -> None:
    lips, sound = curves(300, lag=lag, noise=1.0, seed=9)
    time = np.arange(300)
    lips = lips + 20 * np.sin(time / 60)
    sound = 7 * sound + 0.1 * time - 40
    assert synchrony(lips, sound, max_lag=MAX_LAG)[0] == lag


def without_drift(curve: np.ndarray) -> np.ndarray:
    """The curve less its mean over 25 frames around each, mirrored at the ends; of mean 0 and deviation 1."""
    n, moving = len(curve), []
    for centre in range(n):
        around = [abs(i) if i < n else 2 * (n - 1) - i for i in range(centre - 12, centre + 13)]
        moving.append(curve[centre] - sum(curve[i] for i in around) / 25)
    result = np.array(moving) - np.mean(moving)
    return result / np.sqrt(np.mean(result**2))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(90, 180), max_lag=st.integers(1, 15), seed=st.integers(0, 2**32 - 1), noise=st.floats(0.1, 10))
def test_it_equals_a_circular_correlation_written_out(n: int, max_lag: int, seed: int, noise: float) -> None:
    lips, sound = curves(n, lag=seed % 7 - 3, noise=noise, seed=seed)
    first, second = without_drift(lips), without_drift(sound)
    turned = {lag: float(np.mean(first * np.roll(second, -lag))) for lag in range(-max_lag, n)}
    best = max(range(-max_lag, max_lag + 1), key=lambda lag: turned[lag])
    chance = np.array([turned[lag] for lag in range(2 * max_lag + 1, n - 2 * max_lag)])
    lag, correlation, strength = synchrony(lips, sound, max_lag=max_lag)
    assert lag == best
    assert correlation == pytest.approx(turned[best], abs=1e-9)
    assert strength == pytest.approx((turned[best] - chance.mean()) / chance.std(), abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("pace", [1, 7])
def test_without_a_relation_the_strength_is_what_chance_gives(pace: int) -> None:
    # The best of 31 lags: its median lies near 2, so only values well above that say something.
    rng = np.random.default_rng(12)
    kernel = np.hanning(pace + 2)
    strengths = []
    for _ in range(300):
        lips, sound = (np.convolve(rng.normal(size=260), kernel, mode="same")[:250] for _ in range(2))
        strengths.append(synchrony(lips, sound, max_lag=MAX_LAG)[2])
    assert None not in strengths
    below_three = np.mean(np.array(strengths, float) < 3)
    assert 0.93 < below_three < 1
    assert 1.5 < np.median(np.array(strengths, float)) < 2.3


def test_what_does_not_move_has_no_lag() -> None:
    lips, _ = curves(250, lag=0)
    flat = np.full(250, 0.3)
    for pair in ((flat, lips), (lips, flat), (flat, flat)):
        assert synchrony(*pair, max_lag=MAX_LAG) == (None, None, None)


@pytest.mark.parametrize(("n", "known"), [(20, False), (85, False), (86, True)])
def test_a_clip_too_short_for_a_control_has_no_lag(n: int, known: bool) -> None:
    # Turns by 31 to n - 31 frames are controls; 25 are needed.
    lag, correlation, strength = synchrony(*curves(n, lag=2, seed=3), max_lag=MAX_LAG)
    assert (lag is not None, correlation is not None, strength is not None) == (known,) * 3


def test_lip_opening_is_the_gap_over_the_distance_of_the_eyes() -> None:
    points = np.zeros((3, 133, 2), np.float32)
    points[:, kp.RIGHT_EYE] = (100, 100)
    points[:, kp.LEFT_EYE] = (160, 100)
    for gap, frame in ((0, 0), (6, 1), (30, 2)):
        points[frame, kp.UPPER_LIP] = (130, 150)
        points[frame, kp.LOWER_LIP] = (130, 150 + gap)
    assert lip_opening(points) == pytest.approx([0, 0.1, 0.5])
    assert lip_opening(3 * points + 7) == pytest.approx([0, 0.1, 0.5])


def test_the_envelope_is_the_fourth_root_of_each_frames_power() -> None:
    samples = np.concatenate([np.zeros(640), np.full(640, 0.25), np.tile([0.5, -0.5], 320)]).astype(np.float32)
    assert envelope(samples) == pytest.approx([0, 0.5, np.sqrt(0.5)])


def face(opening: np.ndarray) -> np.ndarray:
    points = np.zeros((len(opening), 133, 2), np.float32)
    points[:, kp.RIGHT_EYE], points[:, kp.LEFT_EYE] = (100, 100), (200, 100)
    points[:, kp.UPPER_LIP] = (150, 200)
    points[:, kp.LOWER_LIP] = np.stack([np.full(len(opening), 150), 200 + 100 * opening], axis=1)[:, None]
    return points


def test_the_operator_reads_sound_and_pose_of_the_same_span(tmp_path: Path) -> None:
    n = 200
    lips, sound = (curve - curve.min() for curve in curves(n, lag=3, seed=21))
    loudness = np.concatenate([np.zeros(50), sound**2])  # the clip begins at 2 s
    carrier = np.random.default_rng(0).choice([-1.0, 1.0], 640 * len(loudness))
    samples = np.repeat(loudness / loudness.max(), 640) * carrier
    soundfile.write(tmp_path / "talk.wav", samples, 16_000, subtype="FLOAT")
    clip = items.clip(start_ms=2000, n_frames=n)
    item = items.item(items.pose(clip, face(lips / 20)), of=clip, media=tmp_path / "talk.wav")
    (row,) = Operator(items.setting("annotate.lip_sync", tmp_path))(item)
    assert isinstance(row, LipSync)
    assert row.lag_frames == 3
    assert row.correlation > 0.9
    assert row.strength > 5
    assert row.opening == pytest.approx(np.percentile(lips / 20, 95), abs=1e-4)


def test_no_pose_or_no_sound_gives_no_row(tmp_path: Path) -> None:
    made = Operator(items.setting("annotate.lip_sync", tmp_path))
    clip = items.clip(n_frames=25)
    assert list(made(items.item(of=clip, reads=(Pose,)))) == []
    mute = films.write(tmp_path / "mute.mp4", films.steady(25, 30))
    assert list(made(items.item(items.pose(clip, face(np.zeros(25))), of=clip, media=mute))) == []


def test_closed_lips_in_a_clip_with_sound_are_a_row_without_a_lag(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 64_000), 16_000)
    clip = items.clip(n_frames=100)
    item = items.item(items.pose(clip, face(np.zeros(100))), of=clip, media=tmp_path / "a.wav")
    assert list(Operator(items.setting("annotate.lip_sync", tmp_path))(item)) == [
        LipSync(clip_id=clip.clip_id, lag_frames=None, correlation=None, strength=None, opening=0.0)
    ]
