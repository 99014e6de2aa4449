"""The reckoning of the demo: what was planted against hand-written verdicts, refusals and released keypoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from csg405 import keypoints as kp
from csg405 import table
from csg405.run import Folders
from csg405.schema import Clip, Reason, Record, Refusal, Release, Sample, Verdict, Video
from csg405.synth.account import Account, account, nearest
from csg405.synth.record import Planted, TakeTruth, Truth
from tests import items

FPS = 25.0


def take(start_s: float, end_s: float, defect: str | None = None) -> TakeTruth:
    planted = Planted(defect=defect, severity="middle") if defect else None
    return TakeTruth(
        talker=1, text="Hello.", first=round(start_s * FPS), n_frames=round((end_s - start_s) * FPS), start_s=start_s,
        end_s=end_s, planted=planted,
    )  # fmt: skip


def truth(*takes: TakeTruth, fps: float = FPS) -> Truth:
    n = round(takes[-1].end_s * fps)
    points = np.random.default_rng(5).uniform(100, 600, (n, kp.COUNT, 2)).astype(np.float32)
    return Truth(size=(1280, 720), fps=fps, keypoints_px=points, visible=np.ones((n, kp.COUNT), bool), takes=takes)


def clip(start_s: float, end_s: float, *reasons: str) -> tuple[Clip, Verdict]:
    made = items.clip(start_ms=round(start_s * 1000), n_frames=round((end_s - start_s) * 25))
    verdict = Verdict(
        clip_id=made.clip_id, video_id=made.video_id, duration_s=end_s - start_s, kept=not reasons,
        first_reason=None, only_reason=None, reasons=list(reasons), review=[],
    )  # fmt: skip
    return made, verdict


def refusal(reason: Reason, start_s: float | None = None, end_s: float | None = None) -> Refusal:
    row = Refusal(reason=reason, detail="", start_s=start_s, end_s=end_s)
    return dataclasses.replace(row, video_id="file.a")


def reckon(root: Path, film: Truth, *rows: Record | tuple[Clip, Verdict]) -> Account:
    folders = Folders(root, "t")
    flat = [row for entry in rows for row in (entry if isinstance(entry, tuple) else (entry,))]
    by_table: dict[type[Record], Sequence[Record]] = {
        record: [row for row in flat if type(row) is record] for record in (Clip, Verdict, Refusal, Release, Sample)
    }
    by_table[Video] = [items.video(source="http://127.0.0.1:1/film-01.mp4?drawn=abc")]
    for record, found in by_table.items():
        writer = "scan" if record is Refusal else None
        table.write_part(table.part_path(folders.table(record), "00000", writer=writer), record, found)
    return account(folders, {"film-01.mp4": film})


def test_a_defect_is_found_when_all_of_it_is_refused_for_its_reason(tmp_path: Path) -> None:
    film = truth(take(0, 6), take(6, 12, "dark"), take(12, 18, "blur"), take(18, 24, "turned_away"))
    found = reckon(
        tmp_path, film, clip(0.1, 5.8), clip(6.2, 11.9, "exposure", "motion"), clip(12.1, 17.9, "exposure"),
        clip(18.1, 20.5, "frontal"), clip(20.5, 23.9),
    )  # fmt: skip
    assert [(fate.defect, fate.named) for fate in found.fates] == [
        (None, False), ("dark", True), ("blur", False), ("turned_away", False),
    ]  # fmt: skip
    assert found.fates[1].reasons == ("exposure", "motion")
    assert found.recall == pytest.approx(1 / 3)
    assert found.loss == 0


def test_a_refusal_names_a_defect_where_no_candidate_was_left(tmp_path: Path) -> None:
    film = truth(take(0, 6, "too_short"), take(6, 12, "cuts_inside"), take(12, 18, "nobody_speaking"))
    marks = [
        refusal(Reason.TOO_SHORT, 0.3, 3.0), refusal(Reason.NO_SPEECH, 6.1, 8.0), refusal(Reason.TOO_SHORT, 8.0, 10.0),
        refusal(Reason.TOO_SHORT, 12.1, 14.0),
    ]  # fmt: skip
    found = reckon(tmp_path, film, *marks)
    assert [fate.named for fate in found.fates] == [True, True, False]


def test_a_refused_film_is_refused_in_all_its_takes(tmp_path: Path) -> None:
    film = truth(take(0, 6, "slides"), take(6, 12, "slides"))
    found = reckon(tmp_path, film, refusal(Reason.NO_PERSON))
    assert [fate.named for fate in found.fates] == [True, True]


def test_what_nothing_speaks_of_is_neither_named_nor_kept(tmp_path: Path) -> None:
    found = reckon(tmp_path, truth(take(0, 6, "dark"), take(6, 12)))
    assert not found.fates[0].named
    assert found.loss == 1


def test_a_sound_take_is_lost_when_less_than_half_is_kept(tmp_path: Path) -> None:
    film = truth(take(0, 10), take(10, 20), take(20, 30))
    found = reckon(tmp_path, film, clip(0, 5.2), clip(10, 14.8), clip(20.1, 29.8, "speech"))
    assert [fate.lost for fate in found.fates] == [False, True, True]
    assert found.loss == pytest.approx(2 / 3)


def test_a_defect_that_nothing_names_yet_is_listed_and_not_counted(tmp_path: Path) -> None:
    film = truth(take(0, 6, "captions"), take(6, 12, "dark"))
    found = reckon(tmp_path, film, clip(0.1, 5.9), clip(6.1, 11.9, "exposure"))
    assert [fate.defect for fate in found.counted] == ["dark"]
    assert found.recall == 1
    rows = {row.defect: row for row in found.rows()}
    assert (rows["captions"].released, rows["dark"].released) == (1, 0)
    assert rows["captions"].named.startswith("not counted")


def test_errors_are_those_of_visible_points_in_the_released_picture(tmp_path: Path) -> None:
    film = truth(take(0, 6))
    film.visible[:, kp.LEFT_HAND] = False
    made, verdict = clip(1.0, 5.0)
    release = Release(
        clip_id=made.clip_id, video_id=made.video_id, split="train", path="a.mp4", audio_path="a.wav", shard="s",
        n_frames=100, n_samples=64_000, start_ms=1000, end_ms=5000, source="", title=None, channel=None, licence=None,
        source_width=1280, source_height=720, crop_x_px=50, crop_y_px=20, crop_side_px=640, size_px=512, review=[],
        sha256="0",
    )  # fmt: skip
    points = kp.to_crop(film.keypoints_px[25:125], x_px=50, y_px=20, side_px=640, size_px=512)
    points[:, kp.FACE] += [3, 4]
    points[:, kp.LEFT_HAND] += 99
    sample = Sample(
        clip_id=made.clip_id, video_id=made.video_id, split="train", fps=25, n_frames=100,
        keypoints_px=points.ravel(), score=np.ones(100 * kp.COUNT, np.float32), audio_rate_hz=16_000,
        audio_int16=np.zeros(64_000, np.int16),
    )  # fmt: skip
    errors = reckon(tmp_path, film, made, verdict, release, sample).errors_px
    assert errors["body"] == pytest.approx(0, abs=1e-3)
    assert errors["face"] == pytest.approx(5, abs=1e-3)
    assert errors["right_hand"] == pytest.approx(0, abs=1e-3)
    assert "left_hand" not in errors


def test_the_nearest_picture_is_the_clocks_own() -> None:
    film = truth(take(0, 6), fps=30.0)
    # 0, 40, 80 ms: pictures at 0, 33.3, 66.7, 100 ms; 3.33 at 110 ms; and never one after the last.
    assert nearest(0, 3, film).tolist() == [0, 1, 2]
    assert nearest(1000, 3, film).tolist() == [30, 31, 32]
    assert nearest(5990, 3, film).tolist() == [179, 179, 179]
    even = truth(take(0, 6), fps=50.0)
    assert nearest(10, 2, even).tolist() == [0, 2]  # a tie goes to the earlier one
