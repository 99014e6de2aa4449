"""What is said while work goes on."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from csg405 import progress
from csg405.progress import Beat, Progress, under_way


def test_a_beat_is_written_at_most_once_a_second_and_goes_with_its_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_BEAT_EVERY_S", 0.05)
    beat = Beat(tmp_path / "beats", "00007")
    beat(0.1)
    assert under_way(tmp_path / "beats") == 0
    time.sleep(0.06)
    beat(0.25)
    beat(0.9)
    assert under_way(tmp_path / "beats") == pytest.approx(0.25)
    beat.end()
    assert list((tmp_path / "beats").iterdir()) == []


def test_shards_in_hand_are_added_up_and_half_written_beats_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("0.5")
    (tmp_path / "b").write_text("0.25")
    (tmp_path / "c").write_text("")
    assert under_way(tmp_path) == pytest.approx(0.75)
    assert under_way(tmp_path / "nowhere") == 0


def test_without_a_terminal_there_are_lines_with_fractions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)
    monkeypatch.setattr(progress, "_LOOK_EVERY_S", 0.01)
    (tmp_path / "left_by_a_killed_run").write_text("0.9")
    with caplog.at_level(logging.INFO), Progress("scan", total=4, unit="shards", beats=tmp_path) as bar:
        bar.advance()
        (tmp_path / "b").write_text("0.5")
        time.sleep(0.1)
    assert "scan: 1 of 4 shards" in caplog.messages
    assert "scan: 1.5 of 4 shards" in caplog.messages
