"""The whole line on drawn films: from a folder to a release and a page, and what happens when it is run again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import soundfile

from csg405 import keypoints as kp
from csg405 import media, table
from csg405.schema import SHARED, Refusal
from tests import talker

SENTENCES = (
    "Good morning everyone, and thank you all for coming here today.",
    "We are going to talk about the way in which our hands move while we speak.",
)
STAGES = ("crawl", "annotate", "filter", "postprocess", "report")
RUN = "line"


def csg405(root: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line in a folder of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "csg405.cli", *words], cwd=root, capture_output=True, text=True, timeout=300, check=False
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


def options(root: Path, *overrides: str, run: str = RUN) -> list[str]:
    """What every stage is told."""
    sets = [
        "crawl.folder=films", f"annotate.pose.detector={root / 'detector.onnx'}",
        f"annotate.pose.pose={root / 'pose.onnx'}", "annotate.pose.channels=rgb",
        "postprocess.cut.preset=ultrafast", *overrides,
    ]  # fmt: skip
    return ["--run", run, "--config", "folder", *(word for text in sets for word in ("--set", text))]


def run_all(root: Path, *overrides: str, stages: tuple[str, ...] = STAGES, run: str = RUN) -> str:
    """All stages in order; what they said."""
    return "".join(csg405(root, stage, *options(root, *overrides, run=run)).stdout for stage in stages)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the line has been run once over films of every kind."""
    root = tmp_path_factory.mktemp("line")
    films = root / "films"
    (films / "deeper").mkdir(parents=True)
    talker.write_pose(root / "pose.onnx")
    talker.write_detector(root / "detector.onnx")
    spoken = talker.monologue(*SENTENCES)
    length = len(spoken) / talker.RATE_HZ
    quiet = 0.001 * np.random.default_rng(1).standard_normal(len(spoken)).astype(np.float32)
    talker.write_film(films / "deeper" / "good.mp4", spoken, seconds=length)
    talker.write_film(films / "hands_hidden.mp4", spoken, seconds=length, scene=talker.Scene(hands=False))
    talker.write_film(films / "silent.mp4", quiet, seconds=length)
    talker.write_film(films / "nobody.mp4", spoken, seconds=length, scene=talker.Scene(person=False))
    talker.write_film(films / "no_audio.mp4", None, seconds=5)
    talker.write_film(films / "short.mp4", spoken, seconds=2)
    whole = (films / "deeper" / "good.mp4").read_bytes()
    (films / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (films / "empty.mp4").touch()
    (films / "letter.mp4").write_text("Dear reader, this is no film.\n" * 50)
    talker.write_wav(films / "voice.mp4", spoken)
    run_all(root)
    return root


def parquet(root: Path, name: str, run: str = RUN) -> pd.DataFrame:
    """A table of the run."""
    return pd.read_parquet(root / "manifests" / run / name)


def test_every_film_ends_where_it_should(line: Path) -> None:
    videos = parquet(line, "videos").set_index("source").status.to_dict()
    assert videos["truncated.mp4"] == "truncated"
    assert videos["empty.mp4"] == "empty_file"
    assert videos["letter.mp4"] == "not_a_video"
    assert videos["voice.mp4"] == "no_pictures"
    refused = parquet(line, "refusals").merge(parquet(line, "videos")[["video_id", "source"]])
    reasons = refused.groupby("source").reason.agg(set).to_dict()
    assert reasons["nobody.mp4"] == {"no_person"}
    assert reasons["silent.mp4"] == {"no_speech"}
    assert "no_audio" in reasons["no_audio.mp4"]
    assert reasons["short.mp4"] == {"too_short"}
    assert "deeper/good.mp4" not in reasons
    kept = parquet(line, "release")
    assert set(kept.source) == {"deeper/good.mp4"}
    verdicts = parquet(line, "verdicts").merge(parquet(line, "videos")[["video_id", "source"]])
    hidden = verdicts[verdicts.source == "hands_hidden.mp4"]
    assert len(hidden) > 0
    assert {"hands_visible"} == {reason for reasons in hidden.reasons for reason in reasons}


def test_every_table_is_valid_and_every_criterion_is_scored(line: Path) -> None:
    for record in SHARED:
        root = line / ("manifests" if record.ROOT == "manifests" else "work") / RUN
        assert table.parts(root / record.TABLE), record.TABLE
        assert table.problems(root / record.TABLE, record) == []
    clips, decisions = parquet(line, "clips"), parquet(line, "decisions")
    assert decisions.value.notna().all()
    assert (decisions.groupby("clip_id").size() == decisions.criterion.nunique()).all()
    assert set(decisions.clip_id) == set(clips.clip_id)


def test_frames_rows_and_samples_agree_and_keypoints_map_back(line: Path) -> None:
    release = line / "work" / RUN / "release"
    shards = pd.read_parquet(release / "shards").set_index("clip_id")
    poses = pd.read_parquet(line / "work" / RUN / "poses").set_index("clip_id")
    for row in parquet(line, "release").itertuples():
        sample = shards.loc[row.clip_id]
        points = np.asarray(sample.keypoints_px).reshape(-1, 133, 2)
        assert media.probe(release / row.path).n_frames == row.n_frames == sample.n_frames == len(points)
        assert soundfile.info(release / row.audio_path).frames == len(sample.audio_int16) == 640 * row.n_frames
        back = kp.from_crop(
            points, x_px=row.crop_x_px, y_px=row.crop_y_px, side_px=row.crop_side_px, size_px=row.size_px
        )
        source = np.asarray(poses.loc[row.clip_id].keypoints_px).reshape(-1, 133, 2)
        np.testing.assert_allclose(back, source, atol=0.1)


def test_released_keypoints_lie_on_what_was_drawn(line: Path) -> None:
    release = line / "work" / RUN / "release"
    shards = pd.read_parquet(release / "shards").set_index("clip_id")
    for row in parquet(line, "release").itertuples():
        points = np.asarray(shards.loc[row.clip_id].keypoints_px).reshape(-1, 133, 2)
        for frame, (_, picture) in enumerate(media.frames(release / row.path)):
            for name, point in (("left_hand", kp.LEFT_WRIST), ("right_hand", kp.RIGHT_WRIST), ("head", kp.NOSE)):
                mask = np.abs(picture.rgb().astype(int) - talker.COLOURS[name]).sum(axis=-1) < 100
                y, x = (axis.mean() for axis in np.nonzero(mask))
                # The head's centre is below the middle of what the mouth leaves of its disc.
                assert np.hypot(*(points[frame, point] - (x, y))) < 6, (name, frame)


def test_pictures_and_sound_are_of_the_same_moment(line: Path) -> None:
    """The drawn mouth opens by the loudness of the very 40 ms: in the release it still does."""
    release = line / "work" / RUN / "release"
    shards = pd.read_parquet(release / "shards")
    for sample in shards.itertuples():
        points = np.asarray(sample.keypoints_px).reshape(-1, 133, 2)
        gap = points[:, kp.LOWER_LIP[1], 1] - points[:, kp.UPPER_LIP[1], 1]
        samples = np.asarray(sample.audio_int16, float).reshape(sample.n_frames, -1)
        loudness = np.sqrt(np.square(samples).mean(axis=1))
        scores = [np.corrcoef(gap[5:-5], np.roll(loudness, lag)[5:-5])[0, 1] for lag in range(-4, 5)]
        assert int(np.argmax(scores)) - 4 == 0, scores
        assert max(scores) > 0.9
    lips = parquet(line, "measures/lip_sync")
    assert set(lips[lips.clip_id.isin(shards.clip_id)].lag_frames) == {0}


def test_duckdb_reads_the_release(line: Path) -> None:
    path = line / "manifests" / RUN / "release" / "*.parquet"
    ((count,),) = duckdb.sql(f"select count(*) from '{path}'").fetchall()
    assert count == len(parquet(line, "release")) > 0


def test_card_states_what_is_released(line: Path) -> None:
    card = (line / "work" / RUN / "release" / "README.md").read_text()
    rows = parquet(line, "release")
    assert f"| all | {len(rows)} | | {rows.n_frames.sum() / 25 / 3600:.3f} |" in card
    assert str(line) not in card


def snapshot(root: Path, run: str = RUN) -> dict[str, tuple[int, int]]:
    """Inode and modification time of every file that a run holds, times of day apart."""
    folders = [root / "manifests" / run, root / "work" / run]
    skipped = {"stages", "plans", "logs", "report", "crawl", "attempts"}
    return {
        str(path.relative_to(root)): (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not skipped & set(path.relative_to(folder).parts) and path.name != ".lock"
    }


def contents(root: Path, run: str = RUN) -> dict[str, bytes]:
    """The bytes of every table's part and every medium of a run."""
    return {path: (root / path).read_bytes() for path in snapshot(root, run)}


@pytest.fixture
def copy(line: Path, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    shutil.copytree(line, tmp_path / "copy", symlinks=True)
    root = tmp_path / "copy"
    for link in (root / "work" / RUN / "videos").rglob("*"):
        if link.is_symlink():
            target = Path(str(link.readlink()).replace(str(line), str(root)))
            link.unlink()
            link.symlink_to(target)
    return root


def test_the_same_command_again_does_nothing(line: Path) -> None:
    before = snapshot(line)
    said = run_all(line)
    assert snapshot(line) == before
    assert "annotate: 0 shards made" in said
    assert "postprocess: 0 shards made" in said


def test_a_changed_threshold_reruns_the_filter_and_decodes_nothing(copy: Path) -> None:
    before = snapshot(copy)
    for link in (copy / "work" / RUN / "videos").rglob("*.mp4"):
        link.unlink()  # nothing can be decoded now
    said = run_all(copy, "filter.criteria.hands_visible.at_least=0", stages=("filter", "postprocess", "report"))
    assert "filter: 0 shards made" not in said
    assert set(parquet(copy, "release").source) == {"deeper/good.mp4", "hands_hidden.mp4"}
    after = snapshot(copy)
    same = ("clips/", "measures/", "poses/", "shots/", "media/", "crops/")
    kept = [path for path in before if any(part in path for part in same) and "release" not in path]
    assert kept
    assert all(after[path] == before[path] for path in kept)
    run_all(copy, stages=("filter", "postprocess", "report"))
    assert set(parquet(copy, "release").source) == {"deeper/good.mp4"}
    assert len(list((copy / "work" / RUN / "release" / "clips").rglob("*.mp4"))) == len(parquet(copy, "release"))


def test_one_more_film_touches_nothing_else(copy: Path) -> None:
    before, release = snapshot(copy), parquet(copy, "release")
    spoken = talker.monologue(SENTENCES[1], SENTENCES[0])
    talker.write_film(copy / "films" / "another.mp4", spoken, seconds=len(spoken) / talker.RATE_HZ)
    same_films = "crawl.folder=films"
    run_all(copy, same_films)
    after = snapshot(copy)
    changed = [
        path for path in before if after.get(path) != before[path] and not path.endswith(("README.md", "shards.json"))
    ]
    assert changed == []
    grown = parquet(copy, "release")
    assert set(grown.source) == {"deeper/good.mp4", "another.mp4"}
    pd.testing.assert_frame_equal(grown[grown.source == "deeper/good.mp4"].reset_index(drop=True), release)


@pytest.mark.parametrize(
    ("stage", "override", "words"),
    [
        ("crawl", "crawl.folder=nowhere", ["nowhere"]),
        ("crawl", "crawl.folder=void", ["void", ".mp4"]),
        ("crawl", "crawl.foldr=films", ["crawl.foldr", "no such key", "folder"]),
        ("filter", "filter.criteria.duration.at_least=long", ["filter.criteria.duration.at_least", "'long'"]),
        ("filter", "filter.criteria.duration.at_lest=3", ["at_lest", "at_least"]),
        ("filter", "filter.criteria.duration.at_least=30", ["at_least 30 is above at_most 15"]),
        ("filter", "filter.criteria.motion.measure=skeleton.speed", ["'skeleton.speed'", "skeleton.motion"]),
        ("annotate", "annotate.pose.pose=films/letter.mp4", ["films/letter.mp4", "no ONNX network"]),
        ("annotate", "annotate.pose.pose=detector.onnx", ["detector.onnx", "dets [1, 1, 5]", "133"]),
        ("annotate", "annotate.pose.detector=pose.onnx", ["pose.onnx", "simcc_x", "wanted YOLOX"]),
        ("annotate", "annotate.pose.detector=missing.onnx", ["annotate.pose.detector", "missing.onnx"]),
    ],
)
def test_bad_input_is_one_clear_message(copy: Path, stage: str, override: str, words: list[str]) -> None:
    (copy / "void").mkdir()
    before = contents(copy)
    done = csg405(copy, stage, *options(copy, override), check=False)
    assert done.returncode == 2
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert contents(copy) == before


def test_without_network_and_without_files_the_message_says_what_to_do(copy: Path) -> None:
    words = ["--run", RUN, "--config", "folder", "--set", "crawl.folder=films"]
    environment = {**os.environ, "CSG405_WEIGHTS": str(copy / "none"), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "csg405.cli", "annotate", *words], cwd=copy, capture_output=True, text=True,
        timeout=120, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 2
    assert "annotate.pose.detector=PATH annotate.pose.pose=PATH" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_film_that_goes_bad_is_a_row_and_the_rest_goes_on(copy: Path) -> None:
    """A medium that is damaged after the crawl has seen it."""
    good = copy / "films" / "deeper" / "good.mp4"
    data = bytearray(good.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    (copy / "films" / "damaged.mp4").write_bytes(bytes(data))
    run_all(copy)
    assert "deeper/good.mp4" in set(parquet(copy, "release").source)
    videos = parquet(copy, "videos").set_index("source")
    refusals = table.read(copy / "manifests" / RUN / "refusals", Refusal)
    seen = {row.reason for row in refusals if row.video_id == videos.loc["damaged.mp4"].video_id}
    released = set(parquet(copy, "release").video_id)
    assert videos.loc["damaged.mp4"].status != "ok" or seen or videos.loc["damaged.mp4"].video_id in released


def test_a_renamed_film_is_not_looked_at_again(copy: Path) -> None:
    (copy / "films" / "deeper" / "good.mp4").rename(copy / "films" / "better.mp4")
    said = run_all(copy)
    assert "annotate: 0 shards made" in said
    assert set(parquet(copy, "release").source) == {"better.mp4"}


def test_films_that_are_away_for_a_moment_are_an_error_and_no_refusal(copy: Path) -> None:
    before = parquet(copy, "refusals")
    (copy / "films").rename(copy / "away")
    changed = options(copy, "annotate.speech.threshold=0.45")
    done = csg405(copy, "annotate", *changed, check=False)
    assert done.returncode == 1
    assert "FAILED annotate.speech" in done.stderr
    assert "cannot be opened: No such file" in done.stderr
    assert csg405(copy, "filter", *changed, check=False).returncode == 2
    (copy / "away").rename(copy / "films")
    csg405(copy, "annotate", *changed)
    pd.testing.assert_frame_equal(parquet(copy, "refusals")[["reason", "video_id"]], before[["reason", "video_id"]])


def test_a_run_goes_on_without_what_fails_if_it_is_told_to(copy: Path) -> None:
    """One film is away while the rest is annotated anew."""
    (copy / "films" / "deeper" / "good.mp4").rename(copy / "good.mp4")
    changed = ["annotate.speech.threshold=0.45", "max_failed_shards=1"]
    done = csg405(copy, "annotate", *options(copy, *changed))
    assert "FAILED annotate.speech" in done.stderr
    run_all(copy, *changed, stages=("filter", "postprocess", "report"))
    assert len(parquet(copy, "release")) == 0
    assert len(parquet(copy, "verdicts")) > 0
    (copy / "good.mp4").rename(copy / "films" / "deeper" / "good.mp4")
    run_all(copy, *changed)
    assert set(parquet(copy, "release").source) == {"deeper/good.mp4"}


def test_a_stage_wants_those_before_it_run_on_what_there_is(copy: Path) -> None:
    changed = options(copy, "annotate.candidates.max_s=6")
    csg405(copy, "annotate", *changed)
    for stage in ("postprocess", "report"):
        done = csg405(copy, stage, *changed, check=False)
        assert done.returncode == 2
        assert "has not finished" in done.stderr
    run_all(copy, "annotate.candidates.max_s=6", stages=("filter", "postprocess", "report"))


@pytest.mark.parametrize("damage", ["empty", "half", "footer"])
def test_a_damaged_part_is_named_or_made_anew(copy: Path, damage: str) -> None:
    for name in ("clips", "release"):
        part = max((copy / "manifests" / RUN / name).glob("*.parquet"), key=lambda path: path.stat().st_size)
        data = part.read_bytes()
        part.write_bytes(
            {"empty": b"", "half": data[: len(data) // 2], "footer": data[:-40] + bytes(32) + data[-8:]}[damage]
        )
    run_all(copy, stages=("annotate", "filter", "postprocess", "report"))
    assert set(parquet(copy, "release").source) == {"deeper/good.mp4"}
    part = next((copy / "manifests" / RUN / "videos").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    done = csg405(copy, "crawl", *options(copy), check=False)
    assert done.returncode == 2
    assert part.name in done.stderr
    assert "delete it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_card_says_what_the_poses_were_made_with(copy: Path) -> None:
    """Though the last command was given nothing of it."""
    words = ["--run", RUN, "--config", "folder", "--set", "filter.criteria.motion.at_least=0.06"]
    for stage in ("filter", "postprocess"):
        csg405(copy, stage, *words)
    card = (copy / "work" / RUN / "release" / "README.md").read_text()
    assert '"pose": "pose.onnx"' in card
    assert '"channels": "rgb"' in card


def test_media_that_somebody_deleted_are_made_anew(copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / "work" / RUN / "release").rglob("*.mp4")}
    assert before
    for path in [*before, *(copy / "work" / RUN / "media").rglob("*.wav")]:
        path.unlink()
    run_all(copy, stages=("postprocess", "report"))
    assert {path: path.read_bytes() for path in before} == before


def test_status_and_show(line: Path) -> None:
    said = csg405(line, "status", RUN).stdout
    assert "postprocess" in said
    assert "release" in said
    clip_id = parquet(line, "release").clip_id[0]
    said = csg405(line, "show", clip_id, "--run", RUN).stdout
    assert "kept" in said
    assert "hands_visible" in said
    assert csg405(line, "show", "nothing", "--run", RUN, check=False).returncode == 2


@pytest.mark.long
@pytest.mark.parametrize("stage", ["annotate", "filter", "postprocess"])
def test_killed_at_any_time_the_same_tables_come_out(line: Path, tmp_path: Path, stage: str) -> None:
    """SIGKILL at several moments of a stage, then the command again: byte for byte what an undisturbed run made."""
    wanted = contents(line)
    root = tmp_path / "killed"
    root.mkdir()
    for name in ("films", "pose.onnx", "detector.onnx"):
        (root / name).symlink_to(line / name)
    run_all(root, stages=STAGES[: STAGES.index(stage)])
    for delay_s in (1.5, 2.5, 4.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "csg405.cli", stage, *options(root)], cwd=root, stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run_all(root, stages=STAGES[STAGES.index(stage) :])
    seen = contents(root)
    assert seen.keys() == wanted.keys()
    different = [path for path in wanted if seen[path] != wanted[path] and not path.endswith("README.md")]
    assert different == []


@pytest.mark.long
def test_ray_makes_the_same_bytes(line: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    root = tmp_path / "ray"
    root.mkdir()
    for name in ("films", "pose.onnx", "detector.onnx"):
        (root / name).symlink_to(line / name)
    csg405(root, "crawl", *options(root))
    for stage in ("annotate", "filter", "postprocess"):
        csg405(root, stage, "--engine", "ray", *options(root))
    seen, wanted = contents(root), contents(line)
    assert seen.keys() == wanted.keys()
    assert [path for path in wanted if seen[path] != wanted[path] and not path.endswith("README.md")] == []


def test_stage_stamps_hold_the_configuration(line: Path) -> None:
    facts = json.loads((line / "work" / RUN / "stages" / "annotate.json").read_text())
    assert facts["configuration"]["pose"]["channels"] == "rgb"
    assert facts["shards"] == parquet(line, "videos").status.eq("ok").sum()
