"""The whole line on real films, cut short: the right clips come out, and each other film is refused for its reason.

The films and networks are not part of the project; without them the tests are skipped.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest

from csg405 import keypoints as kp
from csg405 import media
from tests.test_line import STAGES, csg405

SHARED = Path(__file__).parents[2] / "shared"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (SHARED / "media").is_dir(), reason="no real films: the folder ../shared is absent"),
]

SECONDS = {
    "speaker_seated_hands_gesturing.mp4": 7,
    "speaker_seated_hands_in_lap.mp4": 5,
    "upper_body_not_speaking.mp4": 6,
    "nature_cuts_and_fades_no_person.mp4": 8,
    "slides_with_narration_no_person.mp4": 12,
    "nasa_two_audio_streams_narration.mp4": 13,
    "delayed_start_pts.mp4": 4,
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the line has been run over the first seconds of each film."""
    root = tmp_path_factory.mktemp("real")
    (root / "films").mkdir()
    for name, seconds in SECONDS.items():
        source, target = SHARED / "media" / "video" / name, root / "films" / name
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-copyts", "-i", source, "-t", str(seconds)]
        subprocess.run([*command, "-map", "0", "-c", "copy", target], check=True)
    models = SHARED / "models"
    sets = [
        "crawl.folder=films",
        f"annotate.pose.detector={models / 'yolox_nano.onnx'}",
        f"annotate.pose.pose={models / 'mp_wholebody_simcc_256x192.onnx'}",
        "annotate.pose.channels=bgr",
    ]
    words = [word for text in sets for word in ("--set", text)]
    for stage in STAGES:
        csg405(root, stage, "--run", "real", "--config", "folder", *words)
    return root


def test_the_man_who_gestures_is_released_and_no_other_film_that_should_not_be(real: Path) -> None:
    released = set(pd.read_parquet(real / "manifests" / "real" / "release").source)
    assert "speaker_seated_hands_gesturing.mp4" in released
    assert released <= {"speaker_seated_hands_gesturing.mp4", "speaker_seated_hands_in_lap.mp4"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("slides_with_narration_no_person.mp4", "no_person"),
        ("nature_cuts_and_fades_no_person.mp4", "no_person"),
        ("nasa_two_audio_streams_narration.mp4", "too_short"),
        ("delayed_start_pts.mp4", "no_audio"),
        ("upper_body_not_speaking.mp4", "no_speech"),
    ],
)
def test_the_others_are_refused_for_the_right_reason(real: Path, name: str, reason: str) -> None:
    tables = real / "manifests" / "real"
    videos = pd.read_parquet(tables / "videos").set_index("source")
    refusals = pd.read_parquet(tables / "refusals")
    assert reason in set(refusals[refusals.video_id == videos.loc[name].video_id].reason)
    clips = pd.read_parquet(tables / "clips")
    assert not (clips.video_id == videos.loc[name].video_id).any()


def test_released_keypoints_map_back_to_the_pose_table(real: Path) -> None:
    release = real / "work" / "real" / "release"
    shards = pd.read_parquet(release / "shards").set_index("clip_id")
    poses = pd.read_parquet(real / "work" / "real" / "poses").set_index("clip_id")
    rows = pd.read_parquet(real / "manifests" / "real" / "release")
    for row in rows.itertuples():
        points = np.asarray(shards.loc[row.clip_id].keypoints_px).reshape(-1, 133, 2)
        assert len(points) == row.n_frames == media.probe(release / row.path).n_frames
        assert len(shards.loc[row.clip_id].audio_int16) == 640 * row.n_frames
        back = kp.from_crop(
            points, x_px=row.crop_x_px, y_px=row.crop_y_px, side_px=row.crop_side_px, size_px=row.size_px
        )
        np.testing.assert_allclose(back.ravel(), np.asarray(poses.loc[row.clip_id].keypoints_px), atol=0.1)


def test_the_skeleton_lies_on_the_man(real: Path) -> None:
    """Where the hands are said to be, the released picture has the colour of his face, and his shirt has not."""
    release = real / "work" / "real" / "release"
    rows = pd.read_parquet(real / "manifests" / "real" / "release")
    row = rows[rows.source == "speaker_seated_hands_gesturing.mp4"].iloc[0]
    shards = pd.read_parquet(release / "shards").set_index("clip_id")
    points = np.asarray(shards.loc[row.clip_id].keypoints_px).reshape(-1, 133, 2)
    score = np.asarray(shards.loc[row.clip_id].score).reshape(-1, 133)
    on_hand, on_chest = [], []
    for frame, (_, picture) in enumerate(media.frames(release / row.path)):
        image = picture.rgb().astype(float)
        face = _colour(image, points[frame, kp.NOSE_TIP])
        chest = points[frame, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_HIP, kp.RIGHT_HIP]].mean(axis=0)
        on_chest.append(_redness(_colour(image, chest)) - _redness(face))
        for hand in (kp.LEFT_HAND, kp.RIGHT_HAND):
            if score[frame, hand].mean() > 0.8:
                palm = points[frame, hand][[0, 5, 9, 13, 17]].mean(axis=0)
                on_hand.append(_redness(_colour(image, palm)) - _redness(face))
    assert len(on_hand) > 50
    assert abs(np.median(on_hand)) < 0.5 * abs(np.median(on_chest))


def _colour(image: np.ndarray, point: np.ndarray) -> np.ndarray:
    x, y = (int(np.clip(round(float(value)), 3, 508)) for value in point)
    return image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)


def _redness(colour: np.ndarray) -> float:
    return float((colour[0] - colour[2]) / colour.sum())
