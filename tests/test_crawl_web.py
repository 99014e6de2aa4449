"""The crawl of addresses: yt-dlp, ffmpeg and a real server that misbehaves in every way the crawl has a word for."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from csg405 import table
from csg405.crawl import common, stage
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Attempt, Video
from csg405.synth.server import Fault, Site
from tests.crawl_kit import QUICK, make_film, make_run
from tests.crawl_site import crawl, leftovers, make_pages, serving

OFF = "no longer on the list"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make_pages(folder)
    return folder


@pytest.fixture
def site(pages: Path) -> Iterator[Site]:
    with serving(pages) as server:
        yield server


def attempts(root: Path) -> list[Attempt]:
    return table.read(root / "manifests/t/attempts", Attempt)


def test_direct_address(tmp_path, site):
    result = crawl(tmp_path, site, "film0.mp4")
    (row,) = result.videos
    original = site.folder / "film0.mp4"
    assert (row.status, row.detail, row.source) == ("ok", "", site.url("film0.mp4"))
    assert re.fullmatch(r"web\.[0-9a-f]{16}", row.video_id)
    assert (tmp_path / str(row.path)).read_bytes() == original.read_bytes()
    assert row.size_bytes == original.stat().st_size
    assert (row.width, row.height, row.n_frames, row.audio_codec) == (64, 48, 50, "aac")
    assert (result.fetched, result.whole, result.statuses) == (1, 0, {"ok": 1})
    assert leftovers(tmp_path) == []


def test_same_last_part_of_two_addresses_are_two_videos(tmp_path, site):
    rows = crawl(tmp_path, site, "film0.mp4", "deep/film0.mp4").videos
    assert [row.status for row in rows] == ["ok", "ok"]
    assert rows[0].sha256 != rows[1].sha256
    assert rows[0].video_id != rows[1].video_id


def test_page_with_a_video(tmp_path, site):
    (row,) = crawl(tmp_path, site, "page.html").videos
    assert (row.status, row.title) == ("ok", "A talk (1)")
    assert row.video_id.startswith("web.")
    assert (tmp_path / str(row.path)).read_bytes() == (site.folder / "talk.mp4").read_bytes()


@pytest.mark.parametrize(("greatest", "height"), [(1080, 96), (50, 48)])
def test_pictures_and_sound_are_merged_up_to_a_height(tmp_path, site, greatest, height):
    (row,) = crawl(tmp_path, site, "master.m3u8", max_height=greatest).videos
    assert (row.status, row.height, row.n_frames, row.audio_codec) == ("ok", height, 50, "aac")
    with av.open(str(tmp_path / str(row.path))) as merged, av.open(str(site.folder / "film3.mp4")) as source:
        sizes = [len(bytes(packet)) for packet in merged.demux(merged.streams.audio[0])]
        assert sum(sizes) == sum(len(bytes(packet)) for packet in source.demux(source.streams.audio[0]))
    assert leftovers(tmp_path) == []


def test_no_format_within_the_height_is_unsupported(tmp_path, site):
    (row,) = crawl(tmp_path, site, "master.m3u8", max_height=20).videos
    assert row.status == "unsupported"
    assert "Requested format is not available" in row.detail


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("nothing.mp4", "gone", "HTTP Error 404: Not Found"),
        ("code410", "gone", "HTTP Error 410: Gone"),
        ("code403", "forbidden", "HTTP Error 403: Forbidden"),
        ("code429", "rate_limited", "HTTP Error 429: Too Many Requests"),
        ("code401", "private", "HTTP Error 401: Unauthorized"),
        ("code451", "geo_blocked", "HTTP Error 451: Unavailable For Legal Reasons"),
        ("code503", "network", "HTTP Error 503: Service Unavailable"),
        ("cut-film0.mp4", "network", "more expected"),
        ("late.mp4", "network", "Read timed out"),
        ("text.mp4", "not_a_video", "no media container"),
        ("empty.mp4", "empty_file", "Did not get any data blocks"),
        ("plain.html", "unsupported", "Unsupported URL"),
        ("two.html", "unsupported", "a list of 2 videos"),
        ("live.m3u8", "unsupported", "a live stream"),
    ],
)
def test_failure_is_a_row_with_its_cause(tmp_path, site, name, status, detail):
    (row,) = crawl(tmp_path, site, name).videos
    assert row.status == status
    assert detail in row.detail
    assert "ERROR" not in row.detail
    assert "caused by" not in row.detail
    assert (row.path, row.sha256, row.n_frames) == (None, None, None)
    (tried,) = attempts(tmp_path)
    assert (tried.source, tried.video_id, tried.status, tried.detail) == (
        row.source, row.video_id, row.status, row.detail,
    )  # fmt: skip
    assert leftovers(tmp_path) == []


def test_missing_segment_fails_the_video(tmp_path, site):
    site.faults["sound1.ts"] = Fault(status=404)
    (row,) = crawl(tmp_path, site, "master.m3u8").videos
    assert (row.status, row.detail) == ("network", "[download] Got error: HTTP Error 404: Not Found")
    assert leftovers(tmp_path) == []


def test_connection_refused_is_network(tmp_path, site):
    listed = tmp_path / "list.txt"
    listed.write_text("http://127.0.0.1:1/film.mp4\n")
    (row,) = stage.run(make_run(tmp_path, urls=listed, **QUICK)).videos
    assert row.status == "network"
    assert "refused" in row.detail


def test_second_run_asks_for_nothing_that_is_whole_or_gone(tmp_path, site):
    names = ["film0.mp4", "nothing.mp4", "page.html", "code403"]
    first = crawl(tmp_path, site, *names)
    assert first.statuses == {"forbidden": 1, "gone": 1, "ok": 2}
    parts = {path: path.stat().st_ino for path in (tmp_path / "manifests").rglob("*.parquet")}
    site.requests.clear()
    second = crawl(tmp_path, site, *names)
    assert set(site.requests) == {"code403"}
    assert second.videos == first.videos
    assert (second.fetched, second.whole) == (0, 2)
    assert {path: path.stat().st_ino for path in parts} == parts
    assert [row.status for row in attempts(tmp_path)] == ["ok", "gone", "ok", "forbidden", "forbidden"]
    site.requests.clear()
    crawl(tmp_path, site, *names, retry_gone=True)
    assert set(site.requests) == {"code403", "nothing.mp4"}


def test_failed_video_that_mends_is_fetched_in_its_row(tmp_path, site):
    site.faults["film1.mp4"] = Fault(status=503)
    names = ["film0.mp4", "film1.mp4", "film2.mp4"]
    assert [row.status for row in crawl(tmp_path, site, *names).videos] == ["ok", "network", "ok"]
    site.faults.clear()
    result = crawl(tmp_path, site, *names)
    assert [(row.source, row.status) for row in result.videos] == [(site.url(name), "ok") for name in names]
    assert len(table.parts(tmp_path / "manifests/t/videos")) == 1


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_lost_media_are_fetched_again(tmp_path, site, damage):
    first = crawl(tmp_path, site, "film0.mp4", "film1.mp4")
    path = tmp_path / str(first.videos[1].path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    site.requests.clear()
    second = crawl(tmp_path, site, "film0.mp4", "film1.mp4")
    assert set(site.requests) == {"film1.mp4"}
    assert second.videos == first.videos
    assert path.read_bytes() == (site.folder / "film1.mp4").read_bytes()


def test_new_addresses_make_new_parts(tmp_path, site):
    crawl(tmp_path, site, "film0.mp4")
    (part,) = table.parts(tmp_path / "manifests/t/videos")
    before = part.stat().st_ino, part.read_bytes()
    rows = crawl(tmp_path, site, "film1.mp4", "film0.mp4").videos
    assert [row.source for row in rows] == [site.url("film0.mp4"), site.url("film1.mp4")]
    assert (part.stat().st_ino, part.read_bytes()) == before


def test_breaker_stops_and_saves(tmp_path, site):
    names = ["film0.mp4", *(f"code429-{number}" for number in range(6)), "film1.mp4"]
    with pytest.raises(UserError, match=r"code429-2: rate_limited .*3 of these in a row.*saved"):
        crawl(tmp_path, site, *names, breaker=3)
    assert [row.status for row in table.read(tmp_path / "manifests/t/videos", Video)] == ["ok", *["rate_limited"] * 3]
    assert len(attempts(tmp_path)) == 4
    assert "film1.mp4" not in site.requests
    assert not (tmp_path / "work/t/stages/crawl.json").exists()


def test_breaker_counts_only_in_a_row(tmp_path, site):
    names = ["code429-0", "code429-1", "film0.mp4", "code429-2", "code429-3", "film1.mp4"]
    assert crawl(tmp_path, site, *names, breaker=3).statuses == {"ok": 2, "rate_limited": 4}


def test_folder_and_list_together(tmp_path, site):
    make_film(tmp_path / "films/own.mp4", seed=20)
    result = crawl(tmp_path, site, "film0.mp4", folder=tmp_path / "films")
    assert [row.video_id.partition(".")[0] for row in result.videos] == ["file", "web"]
    alone = crawl(tmp_path, site, "film0.mp4")
    assert alone.videos == result.videos


def test_address_off_the_list_is_gone_and_comes_back_without_a_request(tmp_path, site):
    names = ["film0.mp4", "film1.mp4", "code403", "nothing.mp4"]
    first = crawl(tmp_path, site, *names)
    media = tmp_path / str(first.videos[1].path)
    off = crawl(tmp_path, site, "film0.mp4")
    assert [(row.status, row.detail) for row in off.videos[:3]] == [("ok", ""), *[("gone", OFF)] * 2]
    assert off.videos[3] == first.videos[3]
    assert off.videos[1] == dataclasses.replace(first.videos[1], status="gone", detail=OFF, path=None)
    assert media.is_file()
    assert [(row.source, row.detail) for row in attempts(tmp_path)[4:]] == [
        (site.url("film1.mp4"), OFF), (site.url("code403"), OFF),
    ]  # fmt: skip
    assert crawl(tmp_path, site, "film0.mp4").videos == off.videos
    assert len(attempts(tmp_path)) == 6
    site.requests.clear()
    back = crawl(tmp_path, site, *names)
    assert back.videos == first.videos
    assert set(site.requests) == {"code403"}
    assert (back.fetched, back.whole) == (1, 1)


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_address_back_on_the_list_is_fetched_where_its_media_are_not_there(tmp_path, site, damage):
    first = crawl(tmp_path, site, "film0.mp4", "film1.mp4")
    media = tmp_path / str(first.videos[1].path)
    crawl(tmp_path, site, "film0.mp4")
    if damage == "missing":
        media.unlink()
    else:
        media.write_bytes(bytes(media.stat().st_size))
    site.requests.clear()
    assert crawl(tmp_path, site, "film0.mp4", "film1.mp4").videos == first.videos
    assert set(site.requests) == {"film1.mp4"}
    assert media.read_bytes() == (site.folder / "film1.mp4").read_bytes()


def test_takedown_holds_with_a_folder_too_and_spares_its_films(tmp_path, site):
    films = tmp_path / "films"
    make_film(films / "own.mp4", seed=20)
    crawl(tmp_path, site, "film0.mp4", "film1.mp4", folder=films)
    rows = crawl(tmp_path, site, "film1.mp4").videos
    assert [(row.source, row.status) for row in rows] == [
        ("own.mp4", "ok"), (site.url("film0.mp4"), "gone"), (site.url("film1.mp4"), "ok"),
    ]  # fmt: skip
    assert stage.run(make_run(tmp_path, folder=films)).videos == rows


def test_video_stays_while_one_of_its_addresses_is_listed(tmp_path, site):
    """Without a network: the film is put where the crawl of a YouTube address would have put it."""
    forms = ["https://www.youtube.com/watch?v=NBMTc71yrpk", "https://youtu.be/NBMTc71yrpk"]
    fetched = crawl(tmp_path, site, "film0.mp4").videos[0]
    folders = Folders(tmp_path, "t")
    path = common.place(folders, "youtube.NBMTc71yrpk", ".mp4")
    common.move(tmp_path / str(fetched.path), path)
    row = dataclasses.replace(
        fetched, video_id="youtube.NBMTc71yrpk", source=forms[0], path=common.relative(folders, path)
    )
    table.write_part(table.part_path(folders.table(Video), "00000"), Video, [row])
    listed = tmp_path / "list.txt"
    for addresses, wanted in (
        (forms, row),
        (forms[1:], dataclasses.replace(row, source=forms[1])),
        (["http://127.0.0.1:1/x"], dataclasses.replace(row, source=forms[1], status="gone", detail=OFF, path=None)),
        (forms[:1], row),
    ):
        listed.write_text("\n".join(addresses))
        result = stage.run(make_run(tmp_path, urls=listed, **QUICK, proxy="http://127.0.0.1:1"))
        assert result.videos[0] == wanted


@pytest.mark.parametrize("text", [None, "these are no cookies\n"])
def test_bad_cookies_are_told_once(tmp_path, site, text):
    cookies = tmp_path / "cookies.txt"
    if text is not None:
        cookies.write_text(text)
    with pytest.raises(UserError, match=r"crawl\.cookies=.*cookies\.txt: no "):
        crawl(tmp_path, site, "film0.mp4", cookies=cookies)
    assert not (tmp_path / "manifests").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk_stops_the_crawl(tmp_path, site):
    def fill(name: str) -> None:
        if site.requests[name] == 2:
            (tmp_path / "work/t/crawl/incoming/media.mp4.part").symlink_to("/dev/full")

    site.before = fill
    with pytest.raises(UserError, match=r"incoming: cannot be written: .*No space left.* make room"):
        crawl(tmp_path, site, "film0.mp4", "film1.mp4")
    assert "film1.mp4" not in site.requests
    assert leftovers(tmp_path) == []


def test_nothing_of_a_list_is_fetched_twice_by_two_addresses_of_one_video(tmp_path, site):
    names = ["film0.mp4", "film0.mp4", "film0.mp4?from=here"]
    rows = crawl(tmp_path, site, *names).videos
    assert [row.source for row in rows] == [site.url("film0.mp4"), site.url("film0.mp4?from=here")]


def test_two_addresses_of_one_failing_video_are_tried_once(tmp_path):
    """Two forms of a YouTube address are one video by their looks. The proxy is not there, so nothing goes out."""
    listed = tmp_path / "list.txt"
    forms = ["https://www.youtube.com/watch?v=NBMTc71yrpk", "https://youtu.be/NBMTc71yrpk"]
    listed.write_text("\n".join(forms))
    options = {**QUICK, "urls": listed, "proxy": "http://127.0.0.1:1"}
    (row,) = stage.run(make_run(tmp_path, **options)).videos
    assert (row.video_id, row.source, row.status) == ("youtube.NBMTc71yrpk", forms[0], "network")
    assert [(tried.source, tried.video_id) for tried in attempts(tmp_path)] == [(form, row.video_id) for form in forms]
    assert attempts(tmp_path)[1].detail == f"the same video as {forms[0]}"
