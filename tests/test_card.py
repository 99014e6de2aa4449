"""What is done once a release is complete: the card says what the tables say, and nothing strange is left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from csg405 import table
from csg405.postprocess.finish import card, finish
from csg405.run import Run, fan_out
from csg405.schema import Clip, Crop, Cut, Decision, Record, Release, Verdict
from tests import items

CLIPS = {
    "a": items.clip(start_ms=0, n_frames=250, video_id="file.a", clip_id="file.a_0_10000_p0"),
    "b": items.clip(start_ms=20_000, n_frames=125, video_id="file.a", clip_id="file.a_20000_25000_p0"),
    "c": items.clip(start_ms=0, n_frames=125, video_id="file.c", clip_id="file.c_0_5000_p0"),
    "d": items.clip(start_ms=9000, n_frames=100, video_id="file.c", clip_id="file.c_9000_13000_p0"),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    secret = tmp_path / "home" / "ada" / "net.onnx"
    return Run.open("small", "folder", [f"annotate.pose.detector={secret}"], root=tmp_path)


def write(run: Run, rows: list[Record]) -> None:
    for record in {type(row) for row in rows}:
        path = table.part_path(run.folders.table(record), "00000")
        table.write_part(path, record, [row for row in rows if type(row) is record])


def verdict(clip: Clip, *reasons: str, review: list[str] | None = None) -> Verdict:
    return Verdict(
        clip_id=clip.clip_id, video_id=clip.video_id, duration_s=(clip.end_ms - clip.start_ms) / 1000,
        kept=not reasons, first_reason=reasons[0] if reasons else None,
        only_reason=reasons[0] if len(reasons) == 1 else None, reasons=list(reasons), review=review or [],
    )  # fmt: skip


def decision(clip: Clip, value: float | None, *, passed: bool) -> Decision:
    return Decision(
        clip_id=clip.clip_id, criterion="speech", value=value, at_least=0.5, at_most=None, passed=passed, on_fail="drop"
    )


def released(clip: Clip, split: str, **values: Any) -> Release:
    media = {key: fan_out(Path("clips"), clip.clip_id, end).as_posix() for key, end in
             (("path", ".mp4"), ("audio_path", ".wav"))}  # fmt: skip
    facts: dict[str, Any] = {
        "clip_id": clip.clip_id, "video_id": clip.video_id, "split": split, "shard": "shards/part-00000.parquet",
        "n_frames": clip.n_frames, "n_samples": 640 * clip.n_frames, "start_ms": clip.start_ms, "end_ms": clip.end_ms,
        "source": "a.mp4", "title": None, "channel": None, "licence": None, "source_width": 1280, "source_height": 720,
        "crop_x_px": 0, "crop_y_px": 0, "crop_side_px": 720, "size_px": 512, "review": [], "sha256": "0" * 64,
    }  # fmt: skip
    return Release(**(facts | media | values))


def crop(clip: Clip) -> Crop:
    return Crop(
        clip_id=clip.clip_id, video_id=clip.video_id, x_px=0, y_px=0, side_px=720, black_fraction=0, outside_fraction=0
    )


def cut(clip: Clip, key: str) -> Cut:
    stem = f"{clip.clip_id}-{key}"
    path, audio = (fan_out(Path("media"), stem, suffix).as_posix() for suffix in (".mp4", ".wav"))
    return Cut(
        clip_id=clip.clip_id, video_id=clip.video_id, path=path, audio_path=audio, n_frames=clip.n_frames, size_px=512
    )


RELEASED = [
    released(CLIPS["a"], "train", licence="CC BY 4.0", review=["lip_sync"]),
    released(CLIPS["b"], "train", licence="CC BY 4.0"),
    released(CLIPS["c"], "test"),
]
VERDICTS = [
    verdict(CLIPS["a"], review=["lip_sync"]), verdict(CLIPS["b"]), verdict(CLIPS["c"]), verdict(CLIPS["d"], "speech"),
]  # fmt: skip
DECISIONS = [
    *(decision(CLIPS[name], 0.9, passed=True) for name in "abc"), decision(CLIPS["d"], None, passed=False)
]  # fmt: skip


@pytest.fixture
def text(run: Run) -> str:
    write(run, [*VERDICTS, *DECISIONS])
    return card(run, RELEASED)


def test_the_heading_is_metadata_that_a_hub_reads(text: str) -> None:
    _, heading, body = text.split("---\n", 2)
    metadata = yaml.safe_load(heading)
    assert metadata["pretty_name"] == "small"
    assert metadata["configs"] == [{"config_name": "default", "data_files": "shards/*.parquet"}]
    assert body.lstrip().startswith("# small\n")


def test_the_splits_are_those_of_the_rows(text: str) -> None:
    # 375 frames are 15 s, 0.0042 h; 125 are 5 s, 0.0014 h.
    assert "| train | 2 | 1 | 0.004 |\n| test | 1 | 1 | 0.001 |\n| all | 3 | | 0.006 |\n" in text
    assert "| validation |" not in text
    assert "\n1 of the clips carry a criterion that asks for a look" in text


def test_the_criteria_are_those_that_were_applied(text: str) -> None:
    # One clip of 4 s fails: 0.001 h.
    assert "| speech | at least 0.5 | drop | 1 of 4 | 0.001 |\n" in text


def test_licences_are_counted_and_unknown_ones_called_so(text: str) -> None:
    assert "Licences as the sources state them: CC BY 4.0 (2 clips), unknown (1 clips)." in text


def test_the_settings_are_json_and_tell_no_folder_of_the_makers(text: str, tmp_path: Path) -> None:
    settings = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    assert settings["annotate"]["pose"]["detector"] == "net.onnx"
    assert settings["postprocess"]["cut"]["size_px"] == 512
    assert str(tmp_path) not in text
    assert "ada" not in text


def test_the_way_to_read_a_shard_that_the_card_shows_is_python(text: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(code, "card", "exec")
    assert "reshape(-1, 133, 2)" in code


def test_an_empty_release_has_a_card_too(run: Run) -> None:
    text = card(run, [])
    assert "| all | 0 | | 0.000 |" in text
    assert "None" not in text


def test_finishing_removes_what_no_row_names_and_nothing_else(run: Run) -> None:
    cuts = [cut(CLIPS["a"], "new"), cut(CLIPS["b"], "same")]
    write(run, [*RELEASED[:2], *cuts, *VERDICTS, *DECISIONS, *(crop(CLIPS[name]) for name in "abd")])
    work = run.folders.work
    kept = [work / path for row in cuts for path in (row.path, row.audio_path)]
    kept += [work / "release" / path for row in RELEASED[:2] for path in (row.path, row.audio_path)]
    dropped_for_now = work / cut(CLIPS["d"], "old").path
    replaced = work / cut(CLIPS["a"], "old").path
    of_a_lost_video = work / cut(CLIPS["c"], "old").path
    no_longer_released = work / "release" / RELEASED[2].path
    for path in (*kept, dropped_for_now, replaced, of_a_lost_video, no_longer_released):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"media")
    finish(run)
    assert all(path.exists() for path in (*kept, dropped_for_now))
    assert not any(path.exists() for path in (replaced, of_a_lost_video, no_longer_released))
    assert "# small\n" in (work / "release" / "README.md").read_text(encoding="utf-8")
