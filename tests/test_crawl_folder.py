"""The crawl of a folder: real films, good and bad, that come, change, go and come back."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from csg405 import media, table
from csg405.crawl import local, stage
from csg405.errors import UserError
from csg405.schema import Attempt, Video
from tests.crawl_kit import make_film, make_run


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    make_film(folder / "b.mp4", seed=1)
    make_film(folder / "deep" / "A.MKV", seed=2)
    return folder


def crawl(root: Path, folder: Path, **options: object) -> stage.CrawlResult:
    return stage.run(make_run(root, folder=folder, **options))


def attempts(root: Path) -> list[Attempt]:
    return table.read(root / "manifests/t/attempts", Attempt)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of the tables, with the number that changes when it is replaced."""
    files = sorted((root / "manifests").rglob("*.parquet"))
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in files}


def test_rows_say_what_the_films_hold(tmp_path, films):
    result = crawl(tmp_path, films)
    assert result.statuses == {"ok": 2}
    assert (result.fetched, result.whole) == (2, 0)
    rows = {row.source: row for row in table.read(tmp_path / "manifests/t/videos", Video)}
    assert list(rows) == ["b.mp4", "deep/A.MKV"]
    row, original = rows["deep/A.MKV"], films / "deep/A.MKV"
    digest = hashlib.sha256(original.read_bytes()).hexdigest()
    assert row.video_id == f"file.{digest[:16]}"
    assert (row.sha256, row.size_bytes) == (digest, original.stat().st_size)
    assert (row.width, row.height, row.n_frames, row.video_codec) == (64, 48, 50, "h264")
    assert row.fps == pytest.approx(25, abs=0.1)
    assert row.duration_s == pytest.approx(2, abs=0.05)
    assert (row.audio_codec, row.audio_rate_hz, row.title, row.detail) == ("aac", 16_000, None, "")
    assert row.path is not None
    assert row.path.startswith("work/t/videos/")
    assert row.path.endswith(f"{row.video_id}.mkv")
    assert (tmp_path / row.path).is_symlink()
    assert (tmp_path / row.path).resolve() == original.resolve()
    assert len(pd.read_parquet(tmp_path / "manifests/t/videos")) == 2


def test_second_run_writes_no_row_and_opens_no_film(tmp_path, films, monkeypatch):
    (films / "bad.mp4").write_text("no film")
    first = crawl(tmp_path, films)
    before = snapshot(tmp_path)
    opened = []
    monkeypatch.setattr(local, "probe", lambda path: opened.append(path) or media.probe(path))
    monkeypatch.setattr(local.weights, "digest", lambda path: opened.append(path) or "0" * 64)
    second = crawl(tmp_path, films)
    assert opened == []
    assert snapshot(tmp_path) == before
    assert (second.fetched, second.whole) == (0, 2)
    assert second.videos == first.videos


def test_bad_files_are_rows_with_reasons(tmp_path, films):
    (films / "empty.mp4").touch()
    (films / "text.mp4").write_text("this is no film\n" * 99)
    make_film(films / "sound.mp4", pictures=False)
    whole = make_film(films / "cut.mp4", seed=7).read_bytes()
    (films / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    result = crawl(tmp_path, films)
    status = {row.source: row.status for row in result.videos}
    assert status == {
        "b.mp4": "ok", "deep/A.MKV": "ok", "empty.mp4": "empty_file", "text.mp4": "not_a_video",
        "sound.mp4": "no_pictures", "cut.mp4": "truncated",
    }  # fmt: skip
    bad = [row for row in result.videos if row.status != "ok"]
    assert all(row.path is None and row.detail and row.sha256 for row in bad)
    assert {row.video_id for row in bad if row.source == "empty.mp4"} == {"file.e3b0c44298fc1c14"}
    assert len([path for path in (tmp_path / "work/t/videos").rglob("*") if not path.is_dir()]) == 2


def test_film_without_sound_is_a_video(tmp_path):
    make_film(tmp_path / "films/silent.mp4", sound=False)
    (row,) = crawl(tmp_path, tmp_path / "films").videos
    assert (row.status, row.audio_codec, row.audio_rate_hz) == ("ok", None, None)


def test_same_content_twice_is_one_video(tmp_path, films):
    (films / "c.mp4").write_bytes((films / "b.mp4").read_bytes())
    result = crawl(tmp_path, films)
    assert [row.source for row in result.videos] == ["b.mp4", "deep/A.MKV"]
    tries = attempts(tmp_path)
    assert [(row.source, row.status) for row in tries] == [("b.mp4", "ok"), ("c.mp4", "ok"), ("deep/A.MKV", "ok")]
    assert tries[1].detail == "the same content as b.mp4"
    crawl(tmp_path, films)
    assert attempts(tmp_path) == tries


def test_one_more_film_leaves_all_else_as_it_was(tmp_path, films):
    crawl(tmp_path, films)
    before = snapshot(tmp_path)
    make_film(films / "0.mp4", seed=3)
    (films / "1.mp4").write_bytes((films / "b.mp4").read_bytes())
    result = crawl(tmp_path, films)
    assert [row.source for row in result.videos] == ["b.mp4", "deep/A.MKV", "0.mp4"]
    after = snapshot(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_removed_film_is_gone_and_comes_back(tmp_path, films):
    first = crawl(tmp_path, films)
    kept = (films / "b.mp4").read_bytes()
    (films / "b.mp4").unlink()
    gone = crawl(tmp_path, films)
    assert gone.statuses == {"gone": 1, "ok": 1}
    row = gone.videos[0]
    assert (row.source, row.status, row.path, row.sha256) == ("b.mp4", "gone", None, first.videos[0].sha256)
    assert not (tmp_path / str(first.videos[0].path)).is_symlink()
    (films / "b.mp4").write_bytes(kept)
    assert crawl(tmp_path, films).videos == first.videos
    assert [row.status for row in attempts(tmp_path)] == ["ok", "ok", "gone", "ok"]


def test_renamed_film_keeps_its_id(tmp_path, films):
    first = crawl(tmp_path, films).videos[0]
    (films / "b.mp4").rename(films / "z.mov")
    row = next(row for row in crawl(tmp_path, films).videos if row.video_id == first.video_id)
    assert (row.status, row.source) == ("ok", "z.mov")
    assert (tmp_path / str(row.path)).samefile(films / "z.mov")
    assert not (tmp_path / str(first.path)).is_symlink()


def test_changed_film_is_another_video(tmp_path, films):
    first = crawl(tmp_path, films).videos[0]
    make_film(films / "b.mp4", seed=9)
    rows = crawl(tmp_path, films).videos
    assert [(row.source, row.status) for row in rows] == [("b.mp4", "gone"), ("deep/A.MKV", "ok"), ("b.mp4", "ok")]
    assert rows[2].video_id != first.video_id


def test_lost_link_is_made_again(tmp_path, films):
    row = crawl(tmp_path, films).videos[0]
    (tmp_path / str(row.path)).unlink()
    before = snapshot(tmp_path)
    crawl(tmp_path, films)
    assert (tmp_path / str(row.path)).samefile(films / "b.mp4")
    assert snapshot(tmp_path) == before


def test_hidden_files_and_the_work_folder_are_passed_over(tmp_path, films):
    make_film(tmp_path / ".trash/x.mp4", seed=4)
    make_film(films / "._b.mp4", seed=5)
    make_film(tmp_path / "work/t/release/clip.mp4", seed=6)
    rows = crawl(tmp_path, tmp_path).videos
    assert [row.source for row in rows] == ["films/b.mp4", "films/deep/A.MKV"]


def test_stamp_holds_the_counts_and_is_gone_while_running(tmp_path, films, monkeypatch):
    crawl(tmp_path, films)
    stamp = tmp_path / "work/t/stages/crawl.json"
    facts = json.loads(stamp.read_text())
    assert facts["stage"] == "crawl"
    assert facts["counts"] == {"ok": 2, "fetched": 2, "whole": 0}
    assert {"finished_at", "seconds"} <= set(facts)
    make_film(films / "n.mp4", seed=8)
    seen = []
    monkeypatch.setattr(local, "probe", lambda path: seen.append(stamp.exists()) or media.probe(path))
    crawl(tmp_path, films)
    assert seen == [False]
    assert stamp.exists()


def test_interrupted_run_keeps_what_it_had(tmp_path, films, monkeypatch):
    def interrupt(path: Path) -> media.Probe:
        if path.suffix == ".MKV":
            raise KeyboardInterrupt
        return media.probe(path)

    monkeypatch.setattr(local, "probe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        crawl(tmp_path, films)
    assert [row.source for row in table.read(tmp_path / "manifests/t/videos", Video)] == ["b.mp4"]
    assert not (tmp_path / "work/t/stages/crawl.json").exists()
    monkeypatch.undo()
    assert [row.source for row in crawl(tmp_path, films).videos] == ["b.mp4", "deep/A.MKV"]


def test_no_source_is_told_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"crawl\.folder.*crawl\.urls"):
        stage.run(make_run(tmp_path))
    with pytest.raises(UserError, match="nowhere: no such folder"):
        crawl(tmp_path, tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_crawl_that_fails_on_its_sources_leaves_no_folder(tmp_path):
    (tmp_path / "films").mkdir()
    listed = tmp_path / "list.txt"
    listed.write_text("# nothing yet\n")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("these are no cookies\n")
    address = tmp_path / "one.txt"
    address.write_text("http://127.0.0.1:1/film.mp4\n")
    before = sorted(tmp_path.rglob("*"))
    wrong: list[dict[str, Path]] = [
        {}, {"folder": tmp_path / "nowhere"}, {"folder": tmp_path / "films"}, {"urls": tmp_path / "none.txt"},
        {"urls": listed}, {"urls": address, "cookies": cookies},
    ]  # fmt: skip
    for sources in wrong:
        run = make_run(tmp_path, **sources)
        with pytest.raises(UserError), run.locked("crawl"):
            stage.run(run)
        assert sorted(tmp_path.rglob("*")) == before


def test_folder_without_a_film_says_what_was_looked_for(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    for name in ("a.txt", "b.pdf"):
        (folder / name).write_text(name)
    with pytest.raises(UserError, match=r"no video among the 2 files .*\.mp4, .*\.webm"):
        crawl(tmp_path, folder)
    with pytest.raises(UserError, match=r"no video among the 2 files .*looked for \.mp4;"):
        crawl(tmp_path, folder, extensions=(".mp4",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["papers"]


def odd_film(folder: Path, name: bytes, seed: int) -> Path:
    film = make_film(folder / "odd.mp4", seed=seed)
    try:
        return film.rename(folder / os.fsdecode(name))
    except OSError as error:
        pytest.skip(f"this file system takes no name that is not UTF-8: {error}")


def test_name_that_is_not_utf_8_is_a_row_and_is_read_once(tmp_path, films, monkeypatch):
    odd = odd_film(films, b"bad\xff.mp4", seed=10)
    make_film(films / "bad\\xff.mp4", seed=11)
    (films / "deep" / odd.name).write_text("no film")
    (films / "link.mp4").symlink_to(odd.name)
    first = crawl(tmp_path, films)
    assert sorted((row.source, row.status) for row in first.videos) == [
        ("b.mp4", "ok"), ("bad\\xff.mp4", "ok"), ("bad\\xff.mp4", "ok"), ("deep/A.MKV", "ok"),
        ("deep/bad\\xff.mp4", "not_a_video"),
    ]  # fmt: skip
    paths = [tmp_path / row.path for row in first.videos if row.path]
    assert any(path.samefile(odd) for path in paths)
    twin = next(row for row in attempts(tmp_path) if row.source == "link.mp4")
    assert twin.detail == "the same content as bad\\xff.mp4"
    before = snapshot(tmp_path)
    monkeypatch.setattr(local, "probe", lambda path: pytest.fail(f"{path!r} is probed again"))
    monkeypatch.setattr(local.weights, "digest", lambda path: pytest.fail(f"{path!r} is read again"))
    assert crawl(tmp_path, films).videos == first.videos
    assert snapshot(tmp_path) == before
    odd.unlink()
    (films / "link.mp4").unlink()
    gone = [row for row in crawl(tmp_path, films).videos if row.status == "gone"]
    assert [row.source for row in gone] == ["bad\\xff.mp4"]


def test_film_that_is_linked_to_from_a_plain_name_keeps_that_name_s_ending(tmp_path, films):
    odd = odd_film(tmp_path, b"blob.\xff", seed=12)
    (films / "c.mp4").symlink_to(odd)
    row = next(row for row in crawl(tmp_path, films).videos if row.source == "c.mp4")
    assert row.status == "ok"
    assert str(row.path).endswith(f"{row.video_id}.mp4")
    assert (tmp_path / str(row.path)).samefile(odd)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_named(tmp_path, films):
    (films / "b.mp4").chmod(0)
    with pytest.raises(UserError, match=r"b\.mp4: may not be read"):
        crawl(tmp_path, films)
