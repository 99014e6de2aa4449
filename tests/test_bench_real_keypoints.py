"""The metrics that need nothing run on skeletons that DWPose estimated from films.

The sequences are not part of the project; without them the tests are skipped.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.metric import Accumulator, Values
from tests import bench_motion as motion
from tests.test_bench_contract import FREE

FOLDER = Path(__file__).parents[2] / "shared" / "keypoints"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no DWPose sequences: the folder ../shared is absent")

SIZE_PX = 768

_BODY = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
"""OpenPose's numbers of COCO's points; its neck is between the shoulders."""


def real(name: str) -> Clip:
    """A sequence as a clip: in pixels, in COCO-WholeBody's order, taken as 25 fps, with the folder's one sound."""
    held = np.load(FOLDER / f"{name}.npz")
    n = len(held["body18"])
    points, score = np.zeros((n, kp.COUNT, 2), np.float32), np.zeros((n, kp.COUNT), np.float32)
    points[:, kp.BODY], score[:, kp.BODY] = held["body18"][:, _BODY], held["body_score"][:, 0, _BODY]
    points[:, kp.FACE], score[:, kp.FACE] = held["faces"][:, 0], held["faces_score"][:, 0]
    for number, hand in enumerate((kp.LEFT_HAND, kp.RIGHT_HAND)):
        points[:, hand], score[:, hand] = held["hands"][:, number], held["hands_score"][:, number]
    return Clip(
        clip_id=name,
        video_id=name,
        speaker=name,
        split="test",
        keypoints_px=points * SIZE_PX,
        score=score,
        sound=Sound(np.resize(_speech(), n * 640)),
        size_px=SIZE_PX,
    )


def _speech() -> np.ndarray:
    """The folder's speech at 16 kHz, by linear interpolation; no motion here is known to belong to it."""
    wave, rate_hz = soundfile.read(FOLDER / "dwpose_good.wav", dtype="float32", always_2d=True)
    times_s = np.arange(len(wave) * motion.RATE_HZ // rate_hz) / motion.RATE_HZ
    mono = np.interp(times_s, np.arange(len(wave)) / rate_hz, wave.mean(axis=1))
    return (mono * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [real(name) for name in ("dwpose_01", "dwpose_02", "dwpose_good")]


def values(clips: list[Clip], *, noise_px: float) -> Values:
    found: Values = {}
    for module in FREE.values():
        truth, system = Accumulator(module), Accumulator(module)
        for clip in clips:
            truth.update(motion.seen(clip))
            noise = np.random.default_rng(1).normal(0, 1, clip.keypoints_px.shape)
            system.update(motion.seen(clip, clip.keypoints_px + noise_px * noise))
        found |= system.compute(truth)
    return found


def test_hands_hang_on_the_wrists_of_their_side(clips: list[Clip]) -> None:
    for clip in clips:
        wrists = clip.keypoints_px[:, [kp.LEFT_WRIST, kp.RIGHT_WRIST]]
        roots = clip.keypoints_px[:, [kp.LEFT_HAND.start, kp.RIGHT_HAND.start]]
        apart = np.linalg.norm(wrists - roots, axis=-1)[clip.shown[:, [kp.LEFT_WRIST, kp.RIGHT_WRIST]]]
        assert np.median(apart) < 0.25 * clip.shoulders_px


def test_the_truth_has_its_values(clips: list[Clip]) -> None:
    found = values(clips, noise_px=0)
    missing = {name for name, value in found.items() if value is None}
    assert missing <= {card.name for card in FREE["ba_kappa"].CARDS}, "two of them are calm: no hand stops suddenly"
    assert all(math.isfinite(value) for value in found.values() if value is not None), found
    for name in ("kin", "jerk", "high_frequency", "lip_velocity", "mpjpe"):
        assert found[name] == pytest.approx(0, abs=1e-7)
    for name in ("coverage", "lip_r", "bone_ratio_arms", "bone_ratio_hands", "pck"):
        assert found[name] == pytest.approx(1, abs=1e-7)
    for name in ("beat_legacy_emage", "beat_legacy_ha2g", "bone_cv_arms", "bone_cv_hands"):
        assert 0 < (found[name] or 0) < 1
    assert found["static_frames"] == 0
    assert 0 < (found["blinks"] or 0) < 40


def test_noise_makes_real_motion_worse(clips: list[Clip]) -> None:
    truth, some, more = (values(clips, noise_px=px) for px in (0, 2, 6))
    for name, sign in (("kin", 1), ("jerk", 1), ("high_frequency", 1), ("coverage", -1), ("lip_r", -1)):
        three = [sign * (found[name] or 0) for found in (truth, some, more)]
        assert three == sorted(three), name
        assert three[0] < three[2], name
