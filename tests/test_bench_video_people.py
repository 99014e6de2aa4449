"""Video metrics of the person: pose fidelity, hands, identity, lip synchrony; by hand, and on the synthetic world."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from csg405 import keypoints as kp
from csg405.benchmark.metrics_video import identity, syncnet
from csg405.benchmark.metrics_video._mfcc import mfcc
from csg405.benchmark.metrics_video.hands import moving_variance
from csg405.benchmark.metrics_video.pose_fidelity import mean_speed, speed_lags
from csg405.benchmark.metrics_video.syncnet import face_boxes, offset_distances, sound_windows
from csg405.benchmark.video import SeenVideo, modules
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.benchmark.video_pose import Estimated, chosen_box
from tests import bench_video_kit as kit

POSE = Networks(VideoSettings(pose="synthetic"))
UPPER = len(kp.UPPER_BODY)


def pair(n: int, networks: Networks = POSE) -> tuple[SeenVideo, SeenVideo]:
    """A system's video and the clip's own, of pictures that say nothing."""
    clip, frames = kit.clip(n, shoulders_px=20), kit.noise(n)
    return kit.seen(clip, frames, frames, networks), kit.truth(clip, frames, networks)


# ---- who is looked at


def test_the_box_is_that_of_the_person_who_should_be_there():
    boxes = np.array([[0, 0, 100, 100], [60, 10, 90, 40], [200, 200, 210, 210]], np.float32)
    points = np.array([[62, 12], [88, 38]], np.float32)
    np.testing.assert_array_equal(chosen_box(boxes, points), boxes[1])
    np.testing.assert_array_equal(chosen_box(boxes, points[:0]), boxes[0])
    assert chosen_box(boxes, points + 300) is None
    assert chosen_box(boxes[:0], points) is None


def test_an_empty_picture_shows_nobody():
    clip = kit.clip(7, size=128)
    grey = np.full((7, 128, 128, 3), 114, np.uint8)
    seen = kit.seen(clip, grey, grey, POSE)
    assert not seen.estimated.found.any()
    found = kit.values("pose_fidelity", [seen], [kit.truth(clip, grey, POSE)])
    assert (found["pose_pck"], found["pose_missing"], found["pose_akd"]) == (0, 1, None)
    assert (found["pose_pck_over_floor"], found["pose_lag"], found["pose_in_time"]) == (0, None, None)
    hands = kit.values("hands", [seen], [kit.truth(clip, grey, POSE)])
    assert hands == {"hand_confidence": 0, "hand_confidence_over_truth": 0, "hand_variance_ratio": None}


# ---- pose fidelity


def test_pose_fidelity_by_hand():
    system, truth = pair(2)
    points, score = system.clip.keypoints_px.copy(), np.ones((2, kp.COUNT))
    upper = kp.UPPER_BODY
    points[0, upper[:10], 0] += 1.9  # within a tenth of 20 px
    points[0, upper[10:30], 1] += 4.0  # 0.2 shoulder widths
    score[1, upper[:25]] = 0.29
    points[1, upper[:25]] += 500  # what is not seen does not count for distances
    kit.estimated(system, points, score)
    true_points = truth.clip.keypoints_px.copy()
    true_points[0, upper[:5], 0] += 3.0
    kit.estimated(truth, true_points)
    found = kit.values("pose_fidelity", [system], [truth])
    count = 2 * UPPER
    distance = (10 * 1.9 / 20 + 20 * 4 / 20) / (count - 25)
    assert found["pose_pck"] == pytest.approx((count - 20 - 25) / count, rel=1e-6)
    assert found["pose_akd"] == pytest.approx(distance, rel=1e-5)
    assert found["pose_missing"] == pytest.approx(25 / count)
    assert found["pose_pck_over_floor"] == pytest.approx(-40 / count, rel=1e-6)
    assert found["pose_akd_over_floor"] == pytest.approx(distance - 5 * 3 / 20 / count, rel=1e-5)
    assert found["pose_missing_over_floor"] == pytest.approx(25 / count)


def test_points_that_the_release_does_not_see_count_for_nobody():
    system, truth = pair(3)
    score = np.ones_like(system.clip.score)
    score[:, kp.LEFT_HAND] = 0
    clip = dataclasses.replace(system.clip, score=score)
    system, truth = kit.seen(clip, kit.noise(3), kit.noise(3), POSE), kit.truth(clip, kit.noise(3), POSE)
    points = clip.keypoints_px.copy()
    points[:, kp.LEFT_HAND] += 1000
    found = kit.values("pose_fidelity", [kit.estimated(system, points)], [kit.estimated(truth, clip.keypoints_px)])
    assert (found["pose_pck"], found["pose_akd"]) == (1, 0)


def walk(n: int) -> np.ndarray:
    """[n, 1, 2] a point whose speed changes all the time."""
    return np.cumsum(np.random.default_rng(4).normal(size=(n, 1, 2)), axis=0)


@pytest.mark.parametrize("lag", [-3, -1, 0, 2, 3])
def test_the_lag_of_a_video_is_found(lag: int):
    whole, shown = walk(60), np.ones((50, 1), bool)
    driving, late = whole[5:55], whole[5 - lag : 55 - lag]
    lags = speed_lags(mean_speed(driving, shown), mean_speed(late, shown))
    assert np.argmax(lags) - 3 == lag
    assert lags.max() == pytest.approx(1)


def test_a_correlation_is_numpys_over_the_pairs_that_are_known():
    shown = np.ones((40, 1), bool)
    driving = mean_speed(walk(40), shown)
    shown[[7, 20]] = False
    found = mean_speed(walk(40) + np.random.default_rng(1).normal(size=(40, 1, 2)), shown)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), [6, 7, 19, 20])
    x, y = driving[:-2], found[2:]
    known = np.isfinite(y)
    assert speed_lags(driving, found)[5] == pytest.approx(np.corrcoef(x[known], y[known])[0, 1])


@pytest.mark.parametrize(("n", "known"), [(28, False), (29, True)])
def test_a_clip_that_is_too_short_has_no_lag(n: int, known: bool):
    speed = mean_speed(walk(n), np.ones((n, 1), bool))
    assert (speed_lags(speed, speed) is not None) == known
    assert speed_lags(speed, np.zeros_like(speed)) is None  # a frozen video neither


# ---- hands


def test_confidence_is_the_mean_score_of_the_hands_that_are_seen():
    system, truth = pair(4)
    score = np.full((4, kp.COUNT), 0.9)
    score[:, kp.LEFT_HAND], score[:, kp.RIGHT_HAND] = 0.4, 0.8
    kit.estimated(system, system.clip.keypoints_px, score)
    kit.estimated(truth, system.clip.keypoints_px, np.full((4, kp.COUNT), 0.7))
    found = kit.values("hands", [system], [truth])
    assert found["hand_confidence"] == pytest.approx(0.6)
    assert found["hand_confidence_over_truth"] == pytest.approx(-0.1)
    assert found["hand_variance_ratio"] is None  # four frames


def waving(clip, amplitude_px: float, hz: float = 1.0) -> np.ndarray:
    points = np.repeat(clip.keypoints_px[:1], len(clip), axis=0)
    points[..., 0] += amplitude_px * np.sin(2 * np.pi * hz * np.arange(len(clip)) / 25)[:, None]
    return points


def test_the_ratio_of_hands_that_wave_half_as_far_is_a_quarter():
    system, truth = pair(75)
    kit.estimated(truth, waving(truth.clip, 8))
    found = kit.values("hands", [kit.estimated(system, waving(truth.clip, 4))], [truth])
    assert found["hand_variance_ratio"] == pytest.approx(0.25, rel=1e-4)


def test_jitter_does_not_pass_for_movement_and_frozen_truth_gives_no_ratio():
    system, truth = pair(75)
    still = np.repeat(truth.clip.keypoints_px[:1], 75, axis=0)
    kit.estimated(truth, waving(truth.clip, 8))
    jitter = waving(truth.clip, 8, hz=12)
    found = kit.values("hands", [kit.estimated(system, jitter)], [truth])
    assert found["hand_variance_ratio"] < 0.01
    frozen = kit.values("hands", [truth], [kit.estimated(system, still)])
    assert frozen["hand_variance_ratio"] is None


def test_the_variance_is_that_of_a_slow_wave_in_its_units():
    time = np.arange(250) / 25
    points = np.zeros((250, 1, 2))
    points[:, 0, 0] = 0.5 * np.sin(2 * np.pi * 0.5 * time)
    shown = np.ones((250, 1), bool)
    assert moving_variance(points, shown) == pytest.approx(0.5**2 / 2 / 2, rel=0.01)  # of a sine, over two axes
    points[100:110], shown[100:110] = 1e6, False
    assert moving_variance(points, shown) == pytest.approx(0.5**2 / 4, rel=0.05)  # a gap is bridged
    shown[:126] = False
    assert moving_variance(points, shown) is None


# ---- identity


def faced(seen: SeenVideo, n_without: int = 0) -> SeenVideo:
    """The estimator finds the face where the clip has it, but on the last frames."""
    score = np.ones((len(seen), kp.COUNT))
    score[len(seen) - n_without :, kp.NOSE_TIP] = 0.1
    return kit.estimated(seen, seen.clip.keypoints_px, score)


def test_faces_are_laid_where_the_network_was_trained_to_see_them():
    picture = np.zeros((200, 200, 3), np.uint8)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    places = identity.PLACES @ turn.T * 1.1 + [40, 20]
    points = np.zeros((kp.COUNT, 2), np.float32)
    points[kp.RIGHT_EYE], points[kp.LEFT_EYE], points[kp.NOSE_TIP] = places[:3]
    points[kp.OUTER_LIPS.start], points[kp.OUTER_LIPS.start + 6] = places[3:]
    for (x, y), value in zip(places.round().astype(int), (50, 90, 130, 170, 210), strict=True):
        picture[y - 2 : y + 3, x - 2 : x + 3] = value
    face = identity.face(picture, points)
    x, y = identity.PLACES.round().astype(int).T
    np.testing.assert_array_equal(face[y, x, 0], [50, 90, 130, 170, 210])


def test_cosines_are_those_of_the_embeddings_to_the_references(tmp_path: Path):
    networks = kit.networks(tmp_path, pose="synthetic", face=kit.Halves())
    clip, frames = kit.person(16)
    other = frames.copy()
    other[8:] = 255 - other[8:]
    seen = kit.seen(clip, other, frames, networks)
    faced(seen, n_without=3)
    row = identity.measure(seen)
    assert row["looked"].tolist() == [4, 3]  # of frames 0, 5, 10 and 15, the last without a face
    reference = identity._reference(seen)
    pictures = np.stack([identity.face(other[frame], clip.keypoints_px[frame]) for frame in (0, 5, 10)])
    embedded = kit.Halves()(torch.from_numpy(np.moveaxis(pictures, -1, 1) / 127.5 - 1)).numpy()
    wanted = [v @ reference / np.linalg.norm(v) for v in embedded]
    np.testing.assert_allclose(row["cosine"], wanted, rtol=1e-4)
    assert row["cosine"][2] < 0 < row["cosine"][0]  # a negative has its face on the other side
    found = kit.values("identity", [seen], [kit.truth(clip, frames, networks)])
    assert found["csim"] == pytest.approx(np.mean(wanted), rel=1e-4)
    assert found["csim_p5"] == pytest.approx(np.percentile(wanted, 5), rel=1e-4)
    assert found["face_found"] == 0.75


def test_a_video_without_faces_has_a_detection_rate_and_no_cosine(tmp_path: Path):
    networks = kit.networks(tmp_path, pose="synthetic", face=kit.Halves())
    clip, frames = kit.person(16)
    seen = faced(kit.seen(clip, frames, frames, networks), n_without=16)
    found = kit.values("identity", [seen], [kit.truth(clip, frames, networks)])
    assert found == {"csim": None, "csim_p5": None, "face_found": 0}
    blank = kit.seen(clip, frames, frames, networks, reference=np.full((90, 120, 3), 114, np.uint8))
    assert identity.measure(blank) == {}


# ---- lip synchrony


def mfcc_by_loops(samples: np.ndarray, window: int) -> np.ndarray:
    """[13] of one window, term by term."""
    risen = [float(samples[0])] + [float(b) - 0.97 * float(a) for a, b in itertools.pairwise(samples)]
    cut = (risen + [0.0] * 400)[160 * window : 160 * window + 400]
    angle = -2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512
    power = np.abs(np.exp(angle) @ np.array(cut)) ** 2 / 512
    edges = [700 * (10 ** (2840.0230467083184 * i / 27 / 2595) - 1) for i in range(28)]
    bins = [int(513 * edge / 16000) for edge in edges]
    logs = []
    for band in range(26):
        low, middle, high = bins[band : band + 3]
        rise = sum(power[k] * (k - low) / (middle - low) for k in range(low, middle))
        logs.append(np.log(rise + sum(power[k] * (high - k) / (high - middle) for k in range(middle, high))))
    found = []
    for order in range(13):
        total = sum(value * np.cos(np.pi * order * (2 * i + 1) / 52) for i, value in enumerate(logs))
        scale = np.sqrt(1 / 26) if order == 0 else np.sqrt(2 / 26)
        found.append(total * scale * (1 + 11 * np.sin(np.pi * order / 22)))
    return np.array([np.log(power.sum()), *found[1:]])


def test_coefficients_are_those_of_their_definition():
    samples = np.random.default_rng(6).integers(-9000, 9000, 1600).astype(np.int16)
    found = mfcc(samples)
    assert found.shape == (9, 13)  # 1 + ceil((1600 - 400) / 160), the last filled up
    for window in (0, 4, 8):
        np.testing.assert_allclose(found[window], mfcc_by_loops(samples, window), rtol=1e-6)


def test_silence_has_coefficients():
    assert np.isfinite(mfcc(np.zeros(1600, np.int16))).all()


def test_sound_lies_beside_its_frames():
    n = 40
    samples = np.random.default_rng(6).integers(-9000, 9000, 640 * n).astype(np.int16)
    found, whole = sound_windows(samples, n - 4), mfcc(samples)
    assert found.shape == (36, 1, 13, 20)
    np.testing.assert_allclose(found[7, 0], whole[28:48].T, rtol=1e-6)
    np.testing.assert_allclose(found[35, 0, :, :19], whole[140:159].T, rtol=1e-6)


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_distances_by_offset_by_hand(late: int):
    # v_t = t and a_t = t - late, so |v_t - a_(t + o)| = |late - o| at every t.
    time = np.arange(60, dtype=np.float32)[:, None]
    found = offset_distances(time, time - late)
    np.testing.assert_allclose(found, np.abs(late - np.arange(-15, 16)))


def test_lse_by_hand():
    # 0 once, 1 to 12 twice and 13 to 18 once: the 16th of 31 is 8.
    time = np.arange(60, dtype=np.float32)[:, None]
    row = {"distances": offset_distances(time, time - 3)}
    true = {"distances": offset_distances(2 * time, 2 * time)}  # 0 once, 2 to 30 twice: 16
    found = syncnet.clip_values(row, true)
    assert found == {"lse_c": 8, "lse_d": 0, "lse_c_over_truth": -8, "lse_d_over_truth": 0}


def test_lips_are_cut_from_every_frame_and_go_through_the_network(tmp_path: Path):
    networks = kit.networks(tmp_path, pose="synthetic", syncnet=kit.Lips())
    n = 34
    clip = kit.clip(n)
    frames = np.zeros((n, 64, 64, 3), np.uint8)
    frames[..., 2] = np.arange(n)[:, None, None]  # blue says which frame it is
    seen = kit.estimated(kit.seen(clip, frames, frames, networks), np.repeat(clip.keypoints_px[:1], n, axis=0))
    # v_t = t for 30 windows and a = 0: at offset o the mean of t over max(0, -o) to 30 - max(0, o), that is
    # (29 - o) / 2, least at 15 and in the middle at 0.
    found = kit.values("syncnet", [seen], [seen])
    assert found["lse_d"] == pytest.approx(7, rel=1e-4)
    assert found["lse_c"] == pytest.approx(7.5, rel=1e-4)
    assert (found["lse_c_over_truth"], found["lse_d_over_truth"]) == (0, 0)


@pytest.mark.parametrize(("n", "known"), [(28, False), (29, True)])
def test_a_clip_that_is_too_short_has_no_synchrony(tmp_path: Path, n: int, known: bool):
    networks = kit.networks(tmp_path, pose="synthetic", syncnet=kit.Lips())
    seen = pair(n, networks)[0]
    kit.estimated(seen, seen.clip.keypoints_px)
    assert bool(syncnet.measure(seen)) == known


def test_faces_are_squares_about_the_chin_that_neighbours_lend():
    n = 20
    points = np.zeros((n, kp.COUNT, 2), np.float32)
    points[:, kp.FACE] = [100, 60]
    points[:, kp.FACE.start], points[:, kp.FACE.start + 1] = [80, 50], [120, 80]  # 40 wide: half of 20
    score = np.ones((n, kp.COUNT), np.float32)
    score[4:9, kp.FACE], points[4:9] = 0, 1e6
    boxes = face_boxes(Estimated(points, score, np.ones(n, np.bool_)))
    np.testing.assert_array_equal(boxes, np.tile([100 - 28, 65 - 20, 56], (n, 1)))
    score[:11, kp.FACE] = 0
    assert face_boxes(Estimated(points, score, np.ones(n, np.bool_))) is None


# ---- all of it on the synthetic world


def test_one_frame_is_enough_for_what_needs_no_time(tmp_path: Path):
    networks = kit.networks(
        tmp_path, pose="synthetic", face=kit.Halves(), syncnet=kit.Lips(), lpips=kit.Apart(), inception=kit.Colours()
    )
    clip, frames = kit.person(1)
    truth = kit.truth(clip, frames, networks)
    found = {name: kit.values(name, [truth], [truth]) for name in modules()}
    assert found["pose_fidelity"]["pose_pck"] > 0.9
    assert found["pose_fidelity"]["pose_lag"] is None
    assert found["hands"]["hand_confidence"] > 0.3
    assert found["hands"]["hand_variance_ratio"] is None
    assert found["identity"] == {"csim": pytest.approx(1), "csim_p5": pytest.approx(1), "face_found": 1}
    assert set(found["syncnet"].values()) == {None}
    assert found["ssim"] == {"ssim": pytest.approx(1), "ssim_person": pytest.approx(1)}
    assert found["lpips"] == {"lpips": 0}
    assert found["fid"] == {"fid": None, "kid": None}


def test_the_true_video_is_at_its_floor_and_a_late_or_frozen_one_is_not():
    clip, frames = kit.person(40)
    truth = kit.truth(clip, frames, POSE)
    own = kit.values("pose_fidelity", [truth], [truth])
    assert own["pose_pck"] > 0.9
    assert own["pose_akd"] < 0.1
    assert [own[f"pose_{name}_over_floor"] for name in ("pck", "akd", "missing")] == [0, 0, 0]
    assert (own["pose_lag"], own["pose_in_time"]) == (0, 1)
    late = kit.seen(clip, frames[[0, 0, *range(38)]], frames, POSE)
    found = kit.values("pose_fidelity", [late], [truth])
    assert (found["pose_lag"], found["pose_in_time"]) == (2, 0)
    frozen = kit.seen(clip, frames[[0] * 40], frames, POSE)
    stuck = kit.values("pose_fidelity", [frozen], [truth])
    assert stuck["pose_pck_over_floor"] < -0.02
    assert stuck["pose_akd_over_floor"] > found["pose_akd_over_floor"] > 0
    assert stuck["pose_lag"] is None
    hands = kit.values("hands", [frozen], [truth])
    assert hands["hand_variance_ratio"] == pytest.approx(0, abs=1e-6)
    assert kit.values("hands", [truth], [truth])["hand_variance_ratio"] == 1


def test_the_mirrored_person_does_not_follow_the_skeleton():
    clip, frames = kit.person(10)
    truth = kit.truth(clip, frames, POSE)
    mirrored = kit.seen(clip, frames[:, :, ::-1], frames, POSE)
    assert kit.values("pose_fidelity", [mirrored], [truth])["pose_pck_over_floor"] < -0.5


def test_another_skeleton_is_what_the_video_must_follow():
    clip, frames = kit.person(10)
    truth = kit.truth(clip, frames, POSE)
    shifted = kit.seen(clip, frames, frames, POSE, driving_px=clip.keypoints_px + np.float32(clip.shoulders_px / 2))
    found = kit.values("pose_fidelity", [shifted], [truth])
    assert found["pose_akd"] == pytest.approx(2**0.5 / 2, rel=0.1)
    assert kit.values("psnr", [shifted], [truth])["psnr"] is None
