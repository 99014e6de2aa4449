"""Controls and perturbations: each does what it says, to what it says, and the same every time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.controls import BY_NAME, CONTROLS, ESTIMATOR_PX, Context, made
from csg405.benchmark.kit import Kit
from csg405.benchmark.metric import Perturbation
from csg405.benchmark.perturb import LEVELS, UNITS, perturbed
from tests import bench_motion as motion
from tests import bench_release as small

NAMES = [control.name for control in CONTROLS]
KINDS = list(LEVELS)
FPS = 25


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    root = tmp_path_factory.mktemp("kit")
    settings = small.TINY.model_copy(update={"encoders": 1, "towers": False, "steps": 1})
    return small.train(small.write(root), root / "kit", settings)


def talking(n: int, *, clip_id: str = "a", seed: int = 3) -> Clip:
    return small.talking(clip_id, speaker="one", split="test", n=n, seed=seed)


def other_sound(n: int) -> Sound:
    return small.speech(n, small.times(n, seed=77))


def control(name: str, clip: Clip, kit: Kit) -> np.ndarray:
    return made(BY_NAME[name], clip, Context(kit, other_sound(len(clip))))[1]


# ---- controls


@pytest.mark.parametrize("n", [1, 5, 300])
@pytest.mark.parametrize("name", NAMES)
def test_a_control_gives_numbers_for_every_frame_and_the_same_every_time(kit: Kit, name: str, n: int) -> None:
    clip = talking(n)
    context = Context(kit, other_sound(n))
    before = clip.keypoints_px.copy()
    heard, found = made(BY_NAME[name], clip, context)
    assert found.shape == (n, kp.COUNT, 2)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.array_equal(found, made(BY_NAME[name], clip, context)[1])
    assert np.array_equal(clip.keypoints_px, before)
    assert heard.sound is (context.other if name == "other_audio" else clip.sound)
    assert dataclasses.replace(heard, sound=clip.sound) == clip


@pytest.mark.parametrize("name", ["truth_estimated", "noise_1px", "white_noise", "random_clip", "smooth"])
def test_what_is_drawn_at_random_is_drawn_anew_for_every_clip(kit: Kit, name: str) -> None:
    clip = talking(200)
    assert np.abs(control(name, clip, kit) - control(name, dataclasses.replace(clip, clip_id="b"), kit)).max() > 1


def test_the_truth_is_the_truth(kit: Kit) -> None:
    clip = talking(100)
    assert np.array_equal(control("truth", clip, kit), clip.keypoints_px)
    assert np.array_equal(control("other_audio", clip, kit), clip.keypoints_px)


def test_what_stands_still_stands_where_it_says(kit: Kit) -> None:
    clip = talking(100)
    pose = control("mean_pose", clip, kit)
    assert np.ptp(pose, axis=0).max() == 0
    np.testing.assert_allclose(clip.placed(pose)[50], kit.mean_pose, atol=1e-4)
    frozen = control("frozen_reference", clip, kit)
    assert np.array_equal(frozen, np.repeat(clip.keypoints_px[:1], 100, axis=0))
    noise = control("white_noise", clip, kit) - frozen
    assert noise.std() == pytest.approx(4, rel=0.02)
    assert lag_one(noise) == pytest.approx(0, abs=0.02)


def lag_one(noise: np.ndarray) -> float:
    """Correlation of a frame with the one before it."""
    return float(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1])


@pytest.mark.parametrize("sd_px", [1, 2, 4])
def test_noise_has_the_deviation_that_it_says(kit: Kit, sd_px: int) -> None:
    clip = talking(300)
    noise = control(f"noise_{sd_px}px", clip, kit) - clip.keypoints_px
    assert noise.std() == pytest.approx(sd_px, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.05 * sd_px)
    assert lag_one(noise) == pytest.approx(0, abs=0.02)


def test_an_estimators_noise_is_of_another_size_for_each_part_and_stays(kit: Kit) -> None:
    clips = [talking(300, clip_id=f"c{number}") for number in range(6)]
    noise = np.stack([control("truth_estimated", clip, kit) - clip.keypoints_px for clip in clips])
    for part, places in kp.PARTS.items():
        assert noise[:, :, places].std() == pytest.approx(ESTIMATOR_PX[part], rel=0.06)
    assert noise[:, 0, kp.FACE].std() == pytest.approx(ESTIMATOR_PX["face"], rel=0.12)  # from the first frame on
    assert lag_one(noise[0]) == pytest.approx(0.8, abs=0.03)


def test_the_low_pass_keeps_what_is_slow_and_leaves_out_what_is_fast(kit: Kit) -> None:
    clock_s = np.arange(300)[:, None, None] / FPS
    slow, fast = (20 * np.sin(2 * np.pi * hz * clock_s) for hz in (0.5, 9))
    clip = motion.clip(motion.still(300) + slow + fast)
    found = control("low_pass_3hz", clip, kit)[50:-50] - motion.still(300)[50:-50]
    np.testing.assert_allclose(found, np.broadcast_to(slow[50:-50], found.shape), atol=0.5)


def test_what_is_late_waits_for_half_a_second(kit: Kit) -> None:
    clip = talking(100)
    found = control("time_shift", clip, kit)
    assert np.array_equal(found[12:], clip.keypoints_px[:-12])
    assert np.ptp(found[:13], axis=0).max() == 0


def test_a_random_clip_is_of_the_training_split_and_worn_by_this_person(kit: Kit) -> None:
    found = control("random_clip", talking(100), kit)
    apart = [np.abs(kit.bank.random(100, np.random.default_rng(seed)) - talking(100).placed(found)).max()
             for seed in range(3)]  # fmt: skip
    assert min(apart) > 0.01  # the seed is the clip's own
    clip = talking(100)
    held = np.asarray(kit.bank.points, np.float32)
    first = clip.placed(found)[0]
    assert np.abs(held - first).max(axis=(1, 2)).min() < 1e-4


def test_retrieval_goes_by_the_sound_alone(kit: Kit) -> None:
    clip = talking(100)
    found = control("audio_retrieval", clip, kit)
    sound = small.talking("x", speaker="ann", split="train", seed=1).sound  # of ann.1, who is in the bank
    heard = dataclasses.replace(clip, sound=Sound(sound.samples[: 640 * 100]))
    own = control("audio_retrieval", heard, kit)
    assert not np.array_equal(found, own)
    wanted = small.talking("x", speaker="ann", split="train", seed=1).points[:100]
    np.testing.assert_allclose(heard.placed(own), wanted, atol=2e-3)


@pytest.mark.parametrize("name", [control.name for control in CONTROLS if control.is_chance])
def test_chance_does_not_hear(kit: Kit, name: str) -> None:
    clip = talking(150)
    heard = dataclasses.replace(clip, sound=other_sound(150))
    assert np.array_equal(control(name, clip, kit), control(name, heard, kit))


def test_smooth_motion_knows_neither_the_sound_nor_when_the_truth_moves(kit: Kit) -> None:
    clip = talking(250)
    found = control("smooth", clip, kit)
    backward = dataclasses.replace(clip, keypoints_px=clip.keypoints_px[::-1].copy())
    np.testing.assert_allclose(found, control("smooth", backward, kit), atol=1e-3)


def test_smooth_motion_goes_as_far_as_the_truth_and_no_faster_than_arms(kit: Kit) -> None:
    clip = talking(300)
    found = control("smooth", clip, kit)
    arms = [kp.LEFT_ELBOW, kp.LEFT_WRIST, kp.RIGHT_ELBOW, kp.RIGHT_WRIST]
    true = clip.keypoints_px.astype(np.float64)
    np.testing.assert_allclose(found[:, arms].std(axis=0), true[:, arms].std(axis=0), rtol=1e-3)
    np.testing.assert_allclose(found[:, arms].mean(axis=0), true[:, arms].mean(axis=0), atol=15)
    power = np.abs(np.fft.rfft(found[:, arms] - found[:, arms].mean(axis=0), axis=0)) ** 2
    hz = np.fft.rfftfreq(300, 1 / FPS)
    assert power[hz > 3].sum() < 0.03 * power.sum()
    for wrist, hand in ((kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND)):
        carried = found[:, hand] - found[:, wrist, None]
        assert np.ptp(carried, axis=0).max() < 1e-3
    rest = [point for point in range(kp.LEFT_HAND.start) if point not in arms]
    assert np.ptp(found[:, rest], axis=0).max() == 0


def test_smooth_motion_with_noise_is_smooth_motion_with_noise(kit: Kit) -> None:
    found = control("smooth_jittered", talking(300), kit)
    head = found[:, kp.FACE] - found[:, kp.FACE].mean(axis=0)
    assert head.std() == pytest.approx(4, rel=0.03)
    assert lag_one(head) == pytest.approx(0, abs=0.03)


# ---- perturbations


def change(clip: Clip, kind: Perturbation, level: int) -> np.ndarray:
    return perturbed(clip, kind, level, other=other_sound(len(clip)))[1].astype(np.float64)


def levels(clip: Clip, kind: Perturbation) -> list[np.ndarray]:
    return [change(clip, kind, level) for level in range(5)]


def rises(values: list[float]) -> bool:
    return bool((np.diff(values) > 0).all())


def test_there_are_five_levels_of_each_with_a_unit() -> None:
    assert {kind: len(values) for kind, values in LEVELS.items()} == dict.fromkeys(UNITS, 5)
    for values in LEVELS.values():
        assert rises(list(values)) or rises([-value for value in values])


@pytest.mark.parametrize("n", [1, 5, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_a_perturbation_gives_numbers_and_the_same_every_time(kind: Perturbation, n: int) -> None:
    clip, other = talking(n), other_sound(n)
    before = clip.keypoints_px.copy()
    for level in range(5):
        heard, found = perturbed(clip, kind, level, other=other)
        assert found.shape == (n, kp.COUNT, 2)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert np.array_equal(found, perturbed(clip, kind, level, other=other)[1])
        assert np.array_equal(clip.keypoints_px, before)
        if kind == "other_audio":
            assert heard.sound in (clip.sound, other)
            assert np.array_equal(found, clip.keypoints_px)
        else:
            assert heard is clip


DISTANCE_RISES = [kind for kind in KINDS if kind != "other_audio"]


@pytest.mark.parametrize("kind", DISTANCE_RISES)
def test_the_harder_the_farther_from_the_truth(kind: Perturbation) -> None:
    for seed in range(3):
        clip = talking(300, clip_id=f"c{seed}", seed=seed)
        assert rises([0, *(float(np.abs(found - clip.keypoints_px).mean()) for found in levels(clip, kind))])


def test_jitter_is_the_same_noise_at_every_size() -> None:
    clip = talking(300)
    for level, found in zip(LEVELS["jitter"], levels(clip, "jitter"), strict=True):
        noise = found - clip.keypoints_px
        assert noise.std() == pytest.approx(level, rel=0.02)
        np.testing.assert_allclose(noise / level, (change(clip, "jitter", 2) - clip.keypoints_px) / 2, atol=1e-3)


def test_smoothing_takes_what_is_faster_and_no_other() -> None:
    clock_s = np.arange(500)[:, None, None] / FPS
    rng = np.random.default_rng(0)
    hz = np.array([0.2, 1.0, 2.0, 4.0, 6.5, 10.0])
    waves = [10 * np.sin(2 * np.pi * one * clock_s + rng.uniform(0, 6, (1, kp.COUNT, 2))) for one in hz]
    clip = motion.clip(motion.still(500) + sum(waves))
    places = np.round(hz * 300 / FPS).astype(int)
    for edge, found in zip(LEVELS["smoothing"], levels(clip, "smoothing"), strict=True):
        kept, had = (
            np.abs(np.fft.rfft(points[100:-100], axis=0))[places].mean(axis=(1, 2))
            for points in (found, clip.keypoints_px.astype(np.float64))
        )
        ratio = kept / had
        assert (ratio[hz < edge / 2] > 0.9).all(), edge
        assert (ratio[hz > 2 * edge] < 0.15).all(), edge


def test_a_time_shift_is_so_many_frames() -> None:
    clip = talking(100)
    for frames, found in zip(LEVELS["time_shift"], levels(clip, "time_shift"), strict=True):
        late = int(frames)
        assert np.array_equal(found[late:], clip.keypoints_px[:-late])
        assert (found[:late] == clip.keypoints_px[0]).all()


def test_damping_draws_all_points_to_their_mean() -> None:
    clip = talking(100)
    true = clip.keypoints_px.astype(np.float64)
    for part, found in zip(LEVELS["damping"], levels(clip, "damping"), strict=True):
        np.testing.assert_allclose(found.mean(axis=0), true.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(found.std(axis=0), part * true.std(axis=0), rtol=1e-3, atol=1e-4)


def test_freezing_stops_so_much_of_the_clip_at_its_end() -> None:
    clip = talking(200)
    for part, found in zip(LEVELS["freezing"], levels(clip, "freezing"), strict=True):
        moving = np.flatnonzero(np.abs(np.diff(found, axis=0)).max(axis=(1, 2)))
        last = int(moving[-1]) + 1
        assert np.array_equal(found[: last + 1], clip.keypoints_px[: last + 1])
        assert (199 - last) / 200 == pytest.approx(part, abs=0.005)


def test_other_audio_takes_so_many_clips_and_those_of_lower_levels_too() -> None:
    clip, other = motion.clip(motion.still(1)), other_sound(1)
    chosen = []
    for level in range(5):
        ids = set()
        for number in range(600):
            heard, _ = perturbed(dataclasses.replace(clip, clip_id=f"c{number}"), "other_audio", level, other=other)
            if heard.sound is other:
                ids.add(number)
        assert len(ids) / 600 == pytest.approx(LEVELS["other_audio"][level], abs=0.05)
        chosen.append(ids)
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3] < chosen[4]
    assert len(chosen[4]) == 600


def test_bones_are_longer_or_shorter_throughout_and_nothing_else_moves() -> None:
    links = [(kp.LEFT_SHOULDER, kp.LEFT_ELBOW), (kp.LEFT_ELBOW, kp.LEFT_WRIST), (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW),
             (kp.RIGHT_ELBOW, kp.RIGHT_WRIST)]  # fmt: skip
    moved = {kp.LEFT_ELBOW, kp.LEFT_WRIST, kp.RIGHT_ELBOW, kp.RIGHT_WRIST, *range(91, 133)}
    rest = [point for point in range(kp.COUNT) if point not in moved]
    ratios = []
    for number in range(60):
        clip = talking(20, clip_id=f"c{number}")
        true = clip.keypoints_px.astype(np.float64)
        found = change(clip, "bones", 4)
        assert np.array_equal(found[:, rest], true[:, rest])
        for wrist, hand in ((kp.LEFT_WRIST, kp.LEFT_HAND), (kp.RIGHT_WRIST, kp.RIGHT_HAND)):
            apart = (found[:, hand] - found[:, wrist, None]) - (true[:, hand] - true[:, wrist, None])
            assert np.abs(apart).max() < 1e-3
        for one, other in links:
            ratio = np.linalg.norm(found[:, other] - found[:, one], axis=-1) / np.linalg.norm(
                true[:, other] - true[:, one], axis=-1
            )
            assert np.ptp(ratio) < 1e-3
            ratios.append(np.log(ratio.mean()))
    assert np.std(ratios) == pytest.approx(LEVELS["bones"][4], rel=0.12)
    assert np.mean(ratios) == pytest.approx(0, abs=0.08)


def test_lips_close_and_nothing_else_moves() -> None:
    clip = talking(100)
    true = clip.keypoints_px.astype(np.float64)
    lips = range(kp.OUTER_LIPS.start, kp.INNER_LIPS.stop)
    rest = [point for point in range(kp.COUNT) if point not in lips]

    def opening(points: np.ndarray) -> np.ndarray:
        return np.asarray((points[:, list(kp.LOWER_LIP), 1] - points[:, list(kp.UPPER_LIP), 1]).mean(axis=1))

    assert opening(true).min() > 0.1
    for part, found in zip(LEVELS["lips"], levels(clip, "lips"), strict=True):
        assert np.array_equal(found[:, rest], true[:, rest])
        assert np.array_equal(found[..., 0], true[..., 0])
        np.testing.assert_allclose(opening(found), part * opening(true), atol=1e-3)


@pytest.mark.parametrize("kind", ["damping", "freezing", "smoothing"])
def test_what_takes_motion_away_takes_more_of_it(kind: Perturbation) -> None:
    speed = [float(np.abs(np.diff(found, axis=0)).mean()) for found in levels(talking(300), kind)]
    assert rises([-value for value in speed])


def test_beside_another_sound_the_truth_stays_known() -> None:
    clip, other = motion.clip(motion.lively(60)), Sound(np.ones(60 * 640, np.int16))
    asked = []

    def width(one: Clip) -> float:
        asked.append(one)
        return float(np.ptp(one.points[..., 0]))

    found = clip.once(width)
    heard = clip.beside(other)
    assert (heard.sound, clip.sound is other) == (other, False)
    assert heard.once(width) == found == clip.once(width)
    assert asked == [clip]
    assert heard.points is clip.points
