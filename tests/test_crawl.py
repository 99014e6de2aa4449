"""The parts of the crawl that need no film: causes, lists of addresses, ids, configuration, the ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from csg405 import config, table
from csg405.crawl import addresses, causes, ledger
from csg405.crawl.common import empty_row
from csg405.crawl.config import Config
from csg405.crawl.fetch import video_id
from csg405.crawl.ledger import Ledger
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Attempt, Reason, Video

HINT = (
    "Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies"
)
LIMIT = (
    "This content isn't available, try again later. The current session has been rate-limited by YouTube for up to an "
    "hour. It is recommended to use `-t sleep` to add a delay between video requests to avoid exceeding the rate limit."
)
YOUTUBE = "ERROR: [youtube] aaaaaaaaaaa: "
REFUSED = "Failed to establish a new connection: [Errno 111] Connection refused"

MESSAGES = [
    (f"ERROR: [youtube] 4HA6k17QjAo: Video unavailable. {LIMIT}", "rate_limited"),
    (f"ERROR: [youtube] y5W-c0UwcpQ: {LIMIT}", "rate_limited"),
    ("ERROR: unable to download video data: HTTP Error 429: Too Many Requests", "rate_limited"),
    (f"ERROR: [youtube] Q1i3iDqIDBQ: Sign in to confirm you\u2019re not a bot. {HINT}", "bot_wall"),
    (f"ERROR: [youtube] rVXeIRY6H9c: Sign in to confirm you're not a bot. {HINT}", "bot_wall"),
    (
        YOUTUBE + "Video unavailable. YouTube is requiring a captcha challenge before playback",
        "bot_wall",
    ),
    (YOUTUBE + f"Sign in to confirm your age. This video may be inappropriate for some users. {HINT}",
     "age_restricted"),
    (("ERROR: [youtube] ltcd1B8WyTM: The uploader has not made this video available in your country\n"
     "This video is available in Japan.\nYou might want to use a VPN or a proxy server (with --proxy) to workaround."),
     "geo_blocked"),
    (YOUTUBE + "Video unavailable. This video contains content from WMG, who has blocked it in your "
     "country on copyright grounds", "geo_blocked"),
    ("ERROR: [x] 1: This video is not available from your location due to geo restriction", "geo_blocked"),
    (YOUTUBE + "Private video. Sign in if you've been granted access to this video. " + HINT,
     "private"),
    (YOUTUBE + "Video unavailable. This video is private", "private"),
    (YOUTUBE + "Join this channel to get access to members-only content like this video.", "private"),
    ("ERROR: [vimeo] 1: This video is only available for registered users. " + HINT, "private"),
    (YOUTUBE + "Video unavailable", "gone"),
    (YOUTUBE + "Video unavailable. This video has been removed by the uploader", "gone"),
    (YOUTUBE + "Video unavailable. This video is no longer available because the YouTube account "
     "associated with this video has been terminated.", "gone"),
    (YOUTUBE + "This video has been removed for violating YouTube's policy on hate speech", "gone"),
    (YOUTUBE + "Video unavailable. This video is no longer available due to a copyright claim by X",
     "gone"),
    ("ERROR: [generic] x: Unable to download webpage: HTTP Error 404: Not Found (caused by <HTTPError 404: Not Found>)",
     "gone"),
    ("ERROR: [generic] login: Unable to download webpage: HTTP Error 410: Gone", "gone"),
    ("ERROR: unable to download video data: HTTP Error 403: Forbidden", "forbidden"),
    ("ERROR: \r[download] Got error: HTTP Error 404: Not Found. Giving up after 3 retries", "network"),
    ("ERROR: \r[download] Got error: 14671 bytes read, 14672 more expected. Giving up after 1 retries", "network"),
    (("ERROR: [generic] x: Unable to download webpage: HTTPConnectionPool(host='a', port=1): Read timed out. "
     "(read timeout=2.0)"), "network"),
    ((f"ERROR: [generic] x: Unable to download webpage: HTTPConnection(host='a', port=1): {REFUSED} (caused by "
     f"TransportError(\"HTTPConnection(host='a', port=1): {REFUSED}\"))"), "network"),
    (("ERROR: [youtube] NBMTc71yrpk: Unable to download API page: HTTPSConnection(host='www.youtube.com', port=443): "
     "Failed to resolve 'www.youtube.com' ([Errno -2] Name or service not known)"), "network"),
    ("ERROR: [x] 1: Unable to download webpage: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "network"),
    ("ERROR: Did not get any data blocks", "empty_file"),
    ("ERROR: The downloaded file is empty", "empty_file"),
    ("ERROR: Unsupported URL: https://example.org/private-video/login", "unsupported"),
    (YOUTUBE + "Requested format is not available. Use --list-formats for a list", "unsupported"),
    ("ERROR: [x] private video: No video formats found!; please report this issue on  https://github.com/yt-dlp/yt-dlp",
     "unsupported"),
    ("ERROR: [x] 1: This video is DRM protected", "unsupported"),
    (YOUTUBE + "Premieres in 3 hours", "unsupported"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "reason"), MESSAGES)
def test_what_yt_dlp_says_has_a_reason(message, reason):
    assert causes.reason_of(message) == reason


def test_messages_lose_what_differs_from_run_to_run():
    said = (
        "\x1b[0;31mERROR:\x1b[0m [x] 1: Unable: <urllib3.connection.HTTPSConnection object at 0x7f3b>: refused\n"
        "again (caused by TransportError('<urllib3.connection.HTTPSConnection object at 0x7f3b>'))"
    )
    assert causes.clean(said) == "[x] 1: Unable: refused again"
    assert causes.clean("a; please report this issue on  https://example.org/issues?q= , filling out") == "a"
    assert len(causes.clean("word " * 1000)) == 500


def test_only_this_machine_s_own_errors_stop_the_crawl():
    assert causes.is_local("ERROR: unable to write data: [Errno 28] No space left on device")
    assert causes.is_local("ERROR: unable to open for writing: [Errno 13] Permission denied: 'media.mp4.part'")
    assert not causes.is_local("ERROR: [x] 1: Permission denied")
    assert not causes.is_local("[Errno 111] Connection refused")


def test_text_list(tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(
        "\ufeff# talks\nhttps://a.org/1  # the first\n\n  http://b.org/x#t=3\nhttps://a.org/1\r\nhttps://a.org/2",
        "utf-8",
    )
    assert addresses.read(listed) == ["https://a.org/1", "http://b.org/x#t=3", "https://a.org/2"]


@pytest.mark.parametrize(("name", "head"), [("a.csv", "URL,Start"), ("a.csv", "start, url "), ("a.TSV", "x\tUrl")])
def test_table_list(tmp_path, name, head):
    separator = "\t" if "\t" in head else ","
    column = [cell.strip().lower() for cell in head.split(separator)].index("url")
    rows = [["x", "x"] for _ in range(4)]
    for row, address in zip(rows, ["https://a.org/1", "https://a.org/2", "", "https://a.org/1"], strict=True):
        row[column] = address
    (tmp_path / name).write_text("\n".join([head, *(separator.join(row) for row in rows)]))
    assert addresses.read(tmp_path / name) == ["https://a.org/1", "https://a.org/2"]


def test_published_list():
    path = Path("../shared/source_lists/emtd_segments.csv")
    if not path.exists():
        pytest.skip("../shared is not there")
    found = addresses.read(path)
    assert len(found) == 40
    assert {video_id("Youtube", address.partition("v=")[2], address)[:8] for address in found} == {"youtube."}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "no such file"),
        ("a.txt", b"# only words\n\n", "holds no address"),
        ("a.csv", b"link,start\nhttps://a.org,1\n", "no column url; the columns are link, start"),
        ("a.csv", b"", "no column url; the columns are none"),
        ("a.txt", b"https://a.org/1\nNBMTc71yrpk\n", "line 2: wanted an http or https address, saw 'NBMTc71yrpk'"),
        ("a.txt", b"file:///etc/passwd\n", "line 1: wanted an http"),
        ("a.txt", b"https:///path\n", "line 1: wanted an http"),
        ("a.txt", b"https://[bad/\n", "line 1: wanted an http"),
        ("a.csv", b"url\nhttps://a.org/1\nnope\n", "line 3: wanted an http"),
        ("a.txt", b"https://a.org/\xff\n", "not UTF-8"),
    ],
)
def test_bad_lists_are_told(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"crawl\.urls=.*{name}.*{words}"):
        addresses.read(tmp_path / name)


def test_ids_are_fit_for_file_names():
    assert video_id("Youtube", "NBMTc71y-_k", "https://a") == "youtube.NBMTc71y-_k"
    assert video_id("X", "a/b c~é", "https://a") == "x.a~2fb~20c~7e~c3~a9"
    assert video_id("X", "../../etc", "https://a") == "x...~2f..~2fetc"
    long = video_id("X", "/" * 50, "https://a")
    assert len(long) < 60
    assert long != video_id("X", "/" * 51, "https://a")


def test_extractors_without_ids_of_their_own_go_by_the_address():
    ids = {video_id(key, "clip", address) for key in ("Generic",) for address in ("https://a/clip", "https://b/clip")}
    assert len(ids) == 2
    assert all(name.startswith("web.") and len(name) == 20 for name in ids)
    assert video_id("HTML5MediaEmbed", "clip-1", "https://a/clip") in ids
    assert video_id("Vimeo", None, "https://a/clip").startswith("vimeo.")


def test_configuration_has_defaults_and_says_its_units():
    assert (Config().folder, Config().urls) == (None, None)
    described = {name: field.description for name, field in Config.model_fields.items()}
    assert all(described.values())
    made = config.validate(Config, {"folder": "films", "extensions": [".mp4"], "max_height": 720}, where="test")
    assert (made.folder, made.extensions) == (Path("films"), (".mp4",))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_height": "high"}, "max_height: .*saw 'high'"),
        ({"extensions": ["mp4"]}, r"extensions\.0: .*saw 'mp4'"),
        ({"foldr": "x"}, "foldr: no such key; did you mean folder"),
        ({"breaker": 0}, "breaker: "),
    ],
)
def test_wrong_configuration_is_told(values, words):
    with pytest.raises(UserError, match=words):
        config.validate(Config, values, where="test")


def row(number: int, **facts: object) -> Video:
    made = dataclasses.replace(empty_row(f"x.{number}", f"https://a/{number}"), status="ok")
    return dataclasses.replace(made, **facts)


def try_at(number: int) -> Attempt:
    return Attempt(
        source=f"https://a/{number}", video_id=f"x.{number}", status="ok", detail="", started_at="", seconds=0.0
    )


def names(folder: Path) -> list[tuple[str, int]]:
    return [(path.name, path.stat().st_ino) for path in table.parts(folder)]


def test_ledger_touches_only_the_part_of_a_changed_row(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "_ROWS_PER_PART", 3)
    folders = Folders(tmp_path, "t")
    book = Ledger(folders)
    for number in range(7):
        book.put(row(number))
        book.attempt(try_at(number))
        book.flush()
    videos, tries = folders.table(Video), folders.table(Attempt)
    assert [len(table.read_part(path, Video)) for path in table.parts(videos)] == [3, 3, 1]
    assert len(table.read(tries, Attempt)) == 7
    before, tried = names(videos), names(tries)
    book = Ledger(folders)
    book.put(row(1))
    book.flush()
    assert (names(videos), names(tries)) == (before, tried)
    book.put(row(4, detail="changed"))
    book.put(row(7))
    book.attempt(try_at(7))
    book.flush()
    after = names(videos)
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert [name for name, _ in after] == [f"part-{number:05d}.parquet" for number in range(4)]
    assert names(tries)[: len(tried)] == tried
    assert [made.video_id for made in table.read(videos, Video)] == [f"x.{number}" for number in range(8)]
    assert Ledger(folders).videos() == book.videos()


def test_ledger_knows_a_video_by_all_its_sources(tmp_path):
    folders = Folders(tmp_path, "t")
    book = Ledger(folders)
    book.put(row(1))
    book.attempt(dataclasses.replace(try_at(1), source="https://other"))
    book.flush()
    for seen in (book, Ledger(folders)):
        assert seen.find("https://a/1") == seen.find("https://other") == row(1)
        assert seen.knows("https://other", "x.1")
        assert not seen.knows("https://other", "x.2")
        assert seen.find("https://stranger") is None


def test_ledger_replaces_a_row_whose_source_is_another_video(tmp_path):
    folders = Folders(tmp_path, "t")
    book = Ledger(folders)
    for number in range(3):
        book.put(row(number, status="network"))
    found = row(9, source="https://a/1")
    book.put(found, instead_of="x.1")
    assert [made.video_id for made in book.videos()] == ["x.0", "x.9", "x.2"]
    assert book.find("https://a/1") == found
    book.put(row(9, source="https://a/2"), instead_of="x.2")
    book.flush()
    assert [(made.video_id, made.source) for made in Ledger(folders).videos()] == [
        ("x.0", "https://a/0"), ("x.9", "https://a/2"),
    ]  # fmt: skip


def test_every_cause_is_a_reason_of_the_schema():
    assert {reason for _, reason in MESSAGES} <= {str(reason) for reason in Reason}
