"""The synthetic world by the hour: what is released is the truth, in a release like any other, whoever makes it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from csg405 import keypoints as kp
from csg405 import table
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Release, Sample, Video, Word
from csg405.synth.recordings import Order, pose_of, rows_of, speech_s
from csg405.synth.truth import write_truth
from tests import items

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")

MINUTES, TALKERS, SEED = 1.5, 5, 3
ORDER = Order(minutes=MINUTES, talkers=TALKERS, seed=SEED, clip_s=(4.0, 15.0), validation=0.1, test=0.3)


def files_of(folders: Folders) -> dict[str, str]:
    """Digests of all that a run holds, by path below its root."""
    paths = [path for root in (folders.manifests, folders.work) for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(folders.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A release by two workers."""
    folders = Folders(tmp_path_factory.mktemp("truth"), "hours")
    write_truth(folders, minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=2)
    return folders


# ---- what is in it


def test_it_reads_as_any_release_does(made: Folders) -> None:
    release = pd.read_parquet(made.manifests / "release")
    shards = pd.read_parquet(made.work / "release" / "shards").set_index("clip_id")
    assert set(shards.index) == set(release.clip_id)
    assert release.clip_id.is_unique
    for row in release.itertuples():
        sample = shards.loc[row.clip_id]
        assert len(sample.keypoints_px) == row.n_frames * 133 * 2
        assert len(sample.score) == row.n_frames * 133
        assert len(sample.audio_int16) == row.n_samples == 640 * row.n_frames
        assert (sample.fps, sample.audio_rate_hz, row.size_px) == (25, 16_000, 512)
        assert (sample.split, sample.video_id, sample.n_frames) == (row.split, row.video_id, row.n_frames)
        assert row.end_ms - row.start_ms == 40 * row.n_frames
        assert row.clip_id == f"{row.video_id}_{row.start_ms}_{row.end_ms}_p0"
        own = pd.read_parquet(made.work / "release" / row.shard)
        assert row.clip_id in set(own.clip_id)
    for record in (Release, Sample, Word):
        assert table.problems(made.table(record), record) == []


def test_what_it_has_no_media_for_is_missing(made: Folders) -> None:
    for row in table.read(made.table(Release), Release):
        assert (row.path, row.audio_path, row.sha256) == (None, None, None)
        assert row.video_id.startswith(f"{row.channel}_")
        assert f"seed {SEED}," in row.source


def test_there_is_as_much_speech_as_was_asked_for_and_evenly_spread(made: Folders) -> None:
    summary = write_truth(made, minutes=MINUTES, talkers=TALKERS, seed=SEED)
    words = pd.read_parquet(made.manifests / "words").groupby("clip_id")
    assert summary.speech_s == pytest.approx((words.end_s.max() - words.start_s.min()).sum())
    assert 60 * MINUTES <= summary.speech_s < summary.seconds < 60 * MINUTES * 1.6
    release = pd.read_parquet(made.manifests / "release")
    assert (summary.clips, summary.seconds) == (len(release), release.n_frames.sum() / 25)
    assert release.n_frames.between(100, 375).all()
    assert release.groupby("channel").video_id.nunique().tolist() == [2] * TALKERS
    per_talker = release.groupby("channel").n_frames.sum() / 25
    assert (per_talker >= 60 * MINUTES / TALKERS).all()
    for _, clips in release.sort_values("start_ms").groupby("video_id"):
        assert clips.start_ms.tolist() == [0, *clips.end_ms[:-1]]


def test_no_talker_is_in_two_splits(made: Folders) -> None:
    release = pd.read_parquet(made.manifests / "release")
    assert len(release[["channel", "split"]].drop_duplicates()) == release.channel.nunique() == TALKERS
    talkers = release.groupby("split").channel.nunique().to_dict()
    assert talkers == {"train": 2, "validation": 1, "test": 2}


def test_keypoints_are_the_truth_of_the_takes_in_the_crop(made: Folders) -> None:
    shard, recording = next(iter(ORDER.recordings().items()))
    samples = table.read_part(table.part_path(made.table(Sample), shard), Sample)
    rows = table.read_part(table.part_path(made.table(Release), shard), Release)
    for take, sample, row in zip(recording.takes(), samples, rows, strict=True):
        assert row.channel == f"synth.{take.talker.seed}"
        found = sample.keypoints_px.reshape(-1, 133, 2)
        scale = 512 / row.crop_side_px  # by hand: edges fall on edges, half a pixel outside the centres
        by_hand = (take.keypoints() - np.array([row.crop_x_px, row.crop_y_px]) + 0.5) * scale - 0.5
        np.testing.assert_allclose(found, by_hand, atol=1e-3)
        heard = sample.audio_int16 / 32767
        np.testing.assert_allclose(heard, np.clip(take.samples(), -1, 1), atol=1e-4)


def test_every_confident_point_of_the_upper_body_is_in_the_picture(made: Folders) -> None:
    for sample in table.read(made.table(Sample), Sample):
        points = sample.keypoints_px.reshape(-1, 133, 2)[:, kp.UPPER_BODY]
        score = sample.score.reshape(-1, 133)[:, kp.UPPER_BODY]
        assert set(np.unique(score)) <= {0.0, 1.0}
        assert score.mean() > 0.8
        assert points[score == 1].min() >= -1.5
        assert points[score == 1].max() <= 512.5


def test_a_point_outside_the_source_picture_has_no_score() -> None:
    (take, *_) = ORDER.recordings()["00000"].takes()
    close = dataclasses.replace(take.camera, focal=4.0)
    pose = pose_of(dataclasses.replace(take, camera=close), clip_id="c", video_id="v")
    points, score = pose.keypoints(), pose.scores()
    outside = (points < 0).any(-1) | (points[..., 0] > 1279) | (points[..., 1] > 719)
    assert 0.01 < outside.mean() < 0.99
    np.testing.assert_array_equal(score, ~outside)


def test_words_are_those_of_the_text_in_time(made: Folders) -> None:
    recording = ORDER.recordings()["00003"]
    takes = list(recording.takes())
    rows = rows_of(recording, shard="00003")
    clips = [row.clip_id for row in rows[Release] if isinstance(row, Release)]
    words = table.read_part(table.part_path(made.table(Word), "00003"), Word)
    assert words == rows[Word]
    for clip_id, take in zip(clips, takes, strict=True):
        own = [word for word in words if word.clip_id == clip_id]
        assert len(own) > 0.8 * len(take.text.split())
        assert all(word.word in take.text for word in own)
        edges = list(itertools.chain(*((word.start_s, word.end_s) for word in own)))
        assert edges == sorted(edges)
        assert edges[0] >= 0.3
        assert edges[-1] <= take.n_frames / 25
        assert edges[-1] - edges[0] == pytest.approx(speech_s(take))
        stressed = [word for word in own if word.stress_s is not None]
        assert len(stressed) > 0.3 * len(own)
        assert all(word.start_s <= word.stress_s < word.end_s for word in stressed if word.stress_s is not None)


# ---- how it comes to be


def test_one_worker_gives_the_same_bytes(made: Folders, tmp_path: Path) -> None:
    other = Folders(tmp_path, "hours")
    summary = write_truth(other, minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=1)
    assert (summary.made, summary.fresh) == (2 * TALKERS, 0)
    assert files_of(other) == files_of(made)


def test_the_same_call_again_writes_nothing(made: Folders) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        paths = [path for root in (made.manifests, made.work) for path in root.rglob("*")]
        return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}

    before = state()
    summary = write_truth(made, minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=2)
    assert (summary.made, summary.fresh) == (0, 2 * TALKERS)
    assert state() == before


def test_only_what_is_missing_or_damaged_is_made_again(made: Folders) -> None:
    before = files_of(made)
    table.part_path(made.table(Word), "00001").unlink()
    table.part_path(made.table(Sample), "00004").write_bytes(b"half a shard")
    summary = write_truth(made, minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=1)
    assert (summary.made, summary.fresh) == (2, 2 * TALKERS - 2)
    assert files_of(made) == before


def test_another_seed_gives_other_people_and_other_words(made: Folders, tmp_path: Path) -> None:
    other = Folders(tmp_path, "hours")
    write_truth(other, minutes=0.2, talkers=1, seed=SEED + 1, workers=1)
    ours, theirs = (pd.read_parquet(folders.manifests / "release") for folders in (made, other))
    assert not set(ours.channel) & set(theirs.channel)
    said, heard = (pd.read_parquet(folders.manifests / "words").word.tolist() for folders in (made, other))
    assert said[: len(heard)] != heard
    assert set(theirs.split) == {"train"}  # a single talker is trained on


def test_another_order_takes_the_place_of_the_first(tmp_path: Path) -> None:
    folders, alone = Folders(tmp_path, "hours"), Folders(tmp_path / "alone", "hours")
    write_truth(folders, minutes=0.4, talkers=2, seed=1, workers=2)
    for run in (folders, alone):
        write_truth(run, minutes=0.1, talkers=1, seed=2, workers=1)
    assert files_of(folders) == files_of(alone)


def _write(root: Path) -> None:
    write_truth(Folders(root, "hours"), minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=1)


def test_a_call_that_was_killed_goes_on(made: Folders, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(tmp_path,))
    process.start()
    folders = Folders(tmp_path, "hours")
    deadline = time.monotonic() + 60
    while not table.parts(folders.table(Release)) and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    whole = len(table.parts(folders.table(Release)))
    assert whole > 0
    summary = write_truth(folders, minutes=MINUTES, talkers=TALKERS, seed=SEED, workers=2)
    assert summary.fresh >= whole
    assert files_of(folders) == files_of(made)


# ---- what goes wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minutes": 0.0}, r"minutes=0\.0: wanted more than 0"),
        ({"minutes": float("nan")}, "minutes=nan"),
        ({"talkers": 0}, "talkers=0: wanted 1 to"),
        ({"seed": -1}, "seed=-1: wanted 0 or more"),
        ({"workers": -1}, "workers=-1: wanted 0 or more"),
        ({"clip_s": (15.0, 4.0)}, r"clip_s=\(15\.0, 4\.0\): wanted two rising lengths"),
        ({"test": 0.6, "validation": 0.5}, "together less than 1"),
    ],
)
def test_an_order_that_cannot_be_made_is_told(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        write_truth(Folders(tmp_path, "hours"), **{"minutes": 1.0, "talkers": 2, **change})
    assert list(tmp_path.iterdir()) == []


def test_lengths_that_no_monologue_has_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recording 0000.: clip_s=\(1\.0, 1\.1\): none of 100 monologues"):
        write_truth(Folders(tmp_path, "hours"), minutes=0.1, talkers=1, clip_s=(1.0, 1.1), workers=1)


@pytest.mark.parametrize("record", [Video, Release])
def test_a_run_of_filmed_clips_is_left_alone(made: Folders, tmp_path: Path, record: type) -> None:
    folders = Folders(tmp_path, "films")
    rows = [items.video()] if record is Video else table.read(made.table(Release), Release)
    table.write_part(table.part_path(folders.table(record), "00000"), record, rows)
    before = files_of(folders)
    with pytest.raises(UserError, match="run films holds filmed clips"):
        write_truth(folders, minutes=1, talkers=2)
    assert files_of(folders) == before


def test_a_place_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    folders = Folders(tmp_path, "hours")
    folders.work.mkdir(parents=True)
    (folders.work / "release").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="release"):
        write_truth(folders, minutes=1, talkers=2, workers=1)


def test_splits_have_their_parts_of_the_talkers() -> None:
    counts = {}
    for talkers in (1, 2, 3, 10, 40, 1000):
        splits = dataclasses.replace(ORDER, talkers=talkers).splits()
        counts[talkers] = [splits.count(split) for split in ("train", "validation", "test")]
    assert counts == {
        1: [1, 0, 0], 2: [1, 0, 1], 3: [1, 1, 1], 10: [6, 1, 3], 40: [24, 4, 12], 1000: [600, 100, 300],
    }  # fmt: skip
    drawn = [dataclasses.replace(ORDER, talkers=40, seed=seed).splits() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(dataclasses.replace(ORDER, test=0.0, validation=0.0).splits()) == {"train"}


def test_long_orders_have_more_recordings_not_longer_ones() -> None:
    recordings = dataclasses.replace(ORDER, minutes=600, talkers=40).recordings()
    assert len(recordings) == 40 * 8
    assert {recording.speech_s for recording in recordings.values()} == {112.5}
    assert len({recording.video_id for recording in recordings.values()}) == len(recordings)
    assert list(recordings) == sorted(recordings)
