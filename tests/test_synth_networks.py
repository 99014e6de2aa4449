"""The networks that come with the package: their contracts, their record, and how they do on people never seen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rtmlib

from csg405 import keypoints as kp
from csg405 import weights
from csg405.pose import Detector, Estimator
from csg405.synth import film, judge
from csg405.synth.judge import Judged
from tests.sources import ROOT

PERSON, POSE = (network.shipped for network in weights.MODES["synthetic"])
RECORD = json.loads((ROOT / "csg405/synth/networks/record.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")
    return film.take(judge.HELD_OUT + 900, words=6).footage().draw(30)[0]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(PERSON, channels="bgr")


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator(POSE, channels="rgb")


def test_the_files_are_those_of_the_record_and_small():
    files = {"person": PERSON, "pose": POSE}
    assert {name: weights.digest(path) for name, path in files.items()} == RECORD["sha256"]
    assert {name: path.stat().st_size for name, path in files.items()} == RECORD["bytes"]
    assert sum(RECORD["bytes"].values()) <= 8_000_000


def test_rtmlibs_own_classes_run_them_unchanged(picture: np.ndarray, detector: Detector, estimator: Estimator):
    found = rtmlib.YOLOX(str(PERSON), model_input_size=(256, 256), score_thr=0.5)(picture[..., ::-1].copy())
    np.testing.assert_allclose(np.clip(found, 0, [[1280, 720, 1280, 720]]), detector(picture), atol=1e-3)
    assert len(found) == 1
    points, scores = rtmlib.RTMPose(str(POSE), model_input_size=(288, 384))(picture, found)
    own_points, own_scores = estimator([picture], found.astype(np.float32))
    np.testing.assert_allclose(points, own_points, atol=1e-2)
    np.testing.assert_allclose(scores, own_scores, atol=1e-4)
    assert points.shape == (1, 133, 2)


def test_a_batch_gives_what_its_pictures_give_one_by_one(picture: np.ndarray, estimator: Estimator):
    boxes = np.array([[300, 20, 900, 720], [350, 60, 880, 700], [0, 0, 1280, 720]], np.float32)
    together = estimator([picture] * 3, boxes)
    for number in range(3):
        points, scores = estimator([picture], boxes[number : number + 1])
        np.testing.assert_allclose(points[0], together[0][number], atol=0.6 * 1280 / 288)  # at most the next bin
        np.testing.assert_allclose(scores[0], together[1][number], atol=1e-4)


def test_scores_are_probabilities(picture: np.ndarray, detector: Detector, estimator: Estimator):
    _, scores = estimator([picture], detector(picture)[:1])
    assert scores.min() > 0
    assert scores.max() <= 1
    assert scores[0, kp.FACE].mean() > 0.7
    assert scores[0, kp.FEET].max() < 0.3  # out of the picture


@pytest.mark.parametrize("colour", [0, 114, 255])
def test_nobody_is_found_where_nobody_is(detector: Detector, colour: int):
    assert len(detector(np.full((720, 1280, 3), colour, np.uint8))) == 0


def test_the_record_holds_what_was_asked_for():
    figures = RECORD["figures"]
    for part in judge.PARTS:
        assert figures[f"pck_0.1_{part}"] >= 0.90, part
        assert 0 < figures[f"pck_0.05_{part}"] <= figures[f"pck_0.1_{part}"]
    assert figures["median_opening_error_px"] <= 1.5


def test_people_never_seen_are_found_as_well_as_the_record_says(detector: Detector, estimator: Estimator):
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")
    figures = judge.judge(detector, estimator, talkers=12, pictures=3, first=judge.HELD_OUT + 1000)
    assert figures["persons_found"] == 1
    for part in judge.PARTS:
        assert figures[f"pck_0.1_{part}"] >= 0.88, part  # 36 pictures; the record's 300 must reach 0.90
    assert figures["median_opening_error_px"] <= 1.5
    assert figures["seen_of_visible"] > 0.9


# ---- the figures themselves


def judged(found_px: np.ndarray, *, visible: np.ndarray | None = None, scale: float = 1.0) -> Judged:
    truth = np.zeros((133, 2), np.float32)
    truth[:, 0], truth[:, 1] = np.arange(133), 2 * np.arange(133)
    visible = np.ones(133, bool) if visible is None else visible
    return Judged(truth, visible, (truth + found_px).astype(np.float32), np.ones(133, np.float32), scale)


def test_pck_is_of_the_parts_own_box():
    # A hand's 21 points span 40 px: its tenth is 4 px. The body's 17 span 32 px, so 3.5 px are over its tenth.
    off = np.zeros((133, 2))
    off[:, 0] = 3.5
    figures = judge.figures([judged(off)])
    assert figures["pck_0.1_left_hand"] == 1
    assert figures["pck_0.05_left_hand"] == 0
    assert figures["pck_0.1_body"] == 0
    assert figures["pck_0.05_face"] == 1  # its 68 points span 134 px
    assert figures["median_error_px_body"] == pytest.approx(3.5)


def test_hidden_points_do_not_count_and_missed_people_count_as_wrong():
    off = np.zeros((133, 2))
    off[kp.LEFT_HAND] = 50
    visible = np.ones(133, bool)
    visible[kp.LEFT_HAND.start + 1 : kp.LEFT_HAND.stop] = False
    nobody = judged(np.full((133, 2), np.nan))
    figures = judge.figures([judged(off, visible=visible), nobody])
    assert figures["pck_0.1_right_hand"] == 0.5
    assert figures["pck_0.1_left_hand"] == 0
    assert figures["persons_found"] == 0.5
    assert figures["unseen_of_hidden"] == 0  # every score is 1
    assert figures["seen_of_visible"] == 1


def test_errors_are_told_in_pixels_of_the_released_picture():
    off = np.zeros((133, 2))
    off[list(kp.UPPER_LIP), 1] = -2.0
    figures = judge.figures([judged(off, scale=0.5)])
    # Upper lip points lie 12 rows above the lower ones, on a slope of 2; the opening grows by what the ends move.
    truth = np.stack([np.arange(133), 2 * np.arange(133)], 1).astype(float)
    upper, lower = truth[list(kp.UPPER_LIP)], truth[list(kp.LOWER_LIP)]
    before = np.linalg.norm(upper - lower, axis=1).mean()
    after = np.linalg.norm(upper + np.array([0, -2]) - lower, axis=1).mean()
    assert figures["median_opening_error_px"] == pytest.approx(0.5 * abs(after - before), rel=1e-5)
