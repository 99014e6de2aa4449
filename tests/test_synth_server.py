"""The web server that misbehaves: real requests, and the real crawl, which must call each fault by its name."""

from __future__ import annotations

import http.client
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from csg405.errors import UserError
from csg405.synth.server import Fault, Site, serving
from tests.crawl_kit import make_film
from tests.crawl_site import crawl

TEN = b"0123456789"
LONG = bytes(range(256)) * 1000
"""More than one block, and none like the one before it where blocks are 64 KiB."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "films"
    (made / "below").mkdir(parents=True)
    (made / "ten.mp4").write_bytes(TEN)
    (made / "long.mp4").write_bytes(LONG)
    (made / "below/page.html").write_text("<p>here</p>")
    (made / "empty.ts").touch()
    (tmp_path / "secret.mp4").write_text("secret")
    return made


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    with serving(folder) as made:
        yield made


def ask(site: Site, path: str, *, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send one request with the path as it is: no client between that would tidy it."""
    connection = http.client.HTTPConnection("127.0.0.1", site.server_port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def status(site: Site, name: str) -> int:
    return ask(site, f"/{name}")[0]


# A well-behaved server.


@pytest.mark.parametrize(
    ("name", "kind", "body"),
    [
        ("ten.mp4", "video/mp4", TEN),
        ("long.mp4", "video/mp4", LONG),
        ("below/page.html", "text/html; charset=utf-8", b"<p>here</p>"),
        ("empty.ts", "video/mp2t", b""),
    ],
)
def test_a_file_and_its_head(site, name, kind, body):
    code, headers, got = ask(site, f"/{name}")
    assert (code, got, headers["Content-Type"]) == (200, body, kind)
    assert (headers["Content-Length"], headers["Accept-Ranges"]) == (str(len(body)), "bytes")
    code, only, got = ask(site, f"/{name}", method="HEAD")
    assert (code, got) == (200, b"")
    assert {key: value for key, value in only.items() if key != "Date"} == {
        key: value for key, value in headers.items() if key != "Date"
    }
    assert not {"Last-Modified", "Content-Range"} & set(headers)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".m3u8", "application/vnd.apple.mpegurl"), (".MP4", "video/mp4"), (".txt", "text/plain; charset=utf-8"),
     (".npz", "application/octet-stream"), ("", "application/octet-stream")],
)  # fmt: skip
def test_type_by_the_names_ending(site, suffix, kind):
    (site.folder / f"file{suffix}").touch()
    assert ask(site, f"/file{suffix}")[1]["Content-Type"] == kind


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("2-5", 2, 5), ("7-", 7, 9), ("0-", 0, 9), ("9-9", 9, 9), ("4-99", 4, 9), ("-3", 7, 9),
     ("-10", 0, 9), ("-99", 0, 9)],
)  # fmt: skip
def test_a_range(site, asked, first, last):
    code, headers, body = ask(site, "/ten.mp4", Range=f"bytes={asked}")
    assert (code, body) == (206, TEN[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/10"
    assert (headers["Content-Length"], headers["Content-Type"]) == (str(len(body)), "video/mp4")


def test_a_range_over_the_edges_of_blocks(site):
    assert ask(site, "/long.mp4", Range="bytes=65535-196609")[2] == LONG[65535:196610]
    assert ask(site, "/long.mp4", Range="bytes=65536-131071")[2] == LONG[65536:131072]


@pytest.mark.parametrize("asked", ["10-", "10-20", "99-", "-0"])
def test_a_range_behind_the_end(site, asked):
    code, headers, body = ask(site, "/ten.mp4", Range=f"bytes={asked}")
    assert (code, headers["Content-Range"]) == (416, "bytes */10")
    assert TEN not in body
    assert ask(site, "/empty.ts", Range=f"bytes={asked}")[1]["Content-Range"] == "bytes */0"


@pytest.mark.parametrize(
    "header", ["bytes=-", "bytes=5-2", "bytes=0-1,4-5", "bytes=a-b", "lines=0-1", "bytes=1", "", f"bytes={'9' * 5000}-"]
)
def test_what_is_no_single_range_is_ignored(site, header):
    code, headers, body = ask(site, "/ten.mp4", Range=header)
    assert (code, body, headers["Content-Range"]) == (200, TEN, None)


def test_head_has_no_ranges(site):
    code, headers, _ = ask(site, "/ten.mp4", method="HEAD", Range="bytes=2-3")
    assert (code, headers["Content-Length"], headers["Content-Range"]) == (200, "10", None)


def test_names_that_need_quoting(site):
    for name in ("zwei Wörter.mp4", "50%.mp4", "a#b.mp4", "%2e%2e.mp4"):
        (site.folder / name).write_text(name)
        with urllib.request.urlopen(site.url(name), timeout=10) as answer:
            assert answer.read().decode() == name
        assert site.requests[name] == 1


def test_a_query_is_of_no_account(site):
    with urllib.request.urlopen(site.url("ten.mp4?drawn=1%2F2&x"), timeout=10) as answer:
        assert answer.read() == TEN
    assert dict(site.requests) == {"ten.mp4": 1}


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.mp4", "/%2e%2e/secret.mp4", "/%2e%2e%2fsecret.mp4", "/below/../../secret.mp4", "/..%2Fsecret.mp4",
        "/below/%2e%2e/%2E%2E/secret.mp4", "../secret.mp4", "/../films-too/secret.mp4", "/{above}/secret.mp4",
        "//{above}/secret.mp4", "/%2f{above}/secret.mp4", "{above}/secret.mp4", "/out.mp4", "/outside/secret.mp4",
        "/outside/films/../secret.mp4", "/", "/below", "/pipe.mp4", "/circle.mp4", "/dangling.mp4", "/nul%00.mp4",
        f"/{'n' * 300}.mp4", "/%252e%252e/secret.mp4", "/ten.mp4/below",
    ],
)  # fmt: skip
def test_nothing_but_regular_files_of_the_folder(site, path):
    above = site.folder.parent
    (above / "films-too").mkdir()
    (above / "films-too/secret.mp4").write_text("secret")
    (site.folder / "out.mp4").symlink_to(above / "secret.mp4")
    (site.folder / "outside").symlink_to(above)
    (site.folder / "circle.mp4").symlink_to("circle.mp4")
    (site.folder / "dangling.mp4").symlink_to("nothing.mp4")
    os.mkfifo(site.folder / "pipe.mp4")
    code, _, body = ask(site, path.format(above=above))
    assert (code, body) == (404, b"404 Not Found\n")


def test_a_link_within_the_folder_is_served(site):
    (site.folder / "again.mp4").symlink_to("ten.mp4")
    assert ask(site, "/again.mp4")[2] == ask(site, "/below/../ten.mp4")[2] == TEN


def test_other_methods_are_refused(site):
    assert ask(site, "/ten.mp4", method="POST")[0] == 501
    assert ask(site, "/ten.mp4", method="DELETE")[0] == 501


def test_bodies_are_streamed(site):
    size = 64 << 20
    with (site.folder / "big.mp4").open("wb") as file:
        file.truncate(size)
    got = 0
    tracemalloc.start()
    try:
        with urllib.request.urlopen(site.url("big.mp4"), timeout=10) as answer:
            while block := answer.read(1 << 20):
                got += len(block)
        assert tracemalloc.get_traced_memory()[1] < size / 8
    finally:
        tracemalloc.stop()
    assert got == size


# What goes wrong when it is told to.


@pytest.mark.parametrize("code", [401, 403, 404, 410, 429, 451, 500, 503, 599])
def test_a_status(site, code):
    site.faults["ten.mp4"] = Fault(status=code)
    for method in ("GET", "HEAD", "GET"):
        got, headers, body = ask(site, "/ten.mp4", method=method, Range="bytes=2-3")
        assert (got, headers["Retry-After"]) == (code, None)
        assert TEN not in body
        assert bool(body) == (method == "GET")
    assert status(site, "long.mp4") == 200


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [("HEAD", 404, b"404 Not Found"), ("HEAD", 200, b"200 OK"), ("GET", 204, b"204 No Content"),
     ("GET", 304, b"304 Not Modified")],
)  # fmt: skip
def test_what_has_no_body_ends_with_its_head(site, method, code, said):
    if code != 200:
        site.faults["ten.mp4"] = Fault(status=code)
    with socket.create_connection(("127.0.0.1", site.server_port), timeout=10) as client:
        client.sendall(f"{method} /ten.mp4 HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 " + said)
    assert answer.index(b"\r\n\r\n") == len(answer) - 4
    assert (b"Content-Length" in answer) == (method == "HEAD")


def test_a_status_needs_no_file(site):
    site.faults["nowhere.mp4"] = Fault(status=503)
    assert status(site, "nowhere.mp4") == 503


def test_too_many_requests(site):
    site.faults["ten.mp4"] = Fault(status=429, retry_after_s=7)
    code, headers, _ = ask(site, "/ten.mp4")
    assert (code, headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize(("part", "sent"), [(0, 0), (0.25, 64_000), (0.999, 255_744)])
def test_a_cut_body(site, part, sent):
    site.faults["long.mp4"] = Fault(cut_at=part)
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(site, "/long.mp4")
    assert caught.value.partial == LONG[:sent]
    assert caught.value.expected == len(LONG) - sent
    code, headers, body = ask(site, "/long.mp4", method="HEAD")
    assert (code, headers["Content-Length"], body) == (200, str(len(LONG)), b"")


def test_a_range_is_cut_at_the_same_place(site):
    site.faults["ten.mp4"] = Fault(cut_at=0.5)
    assert ask(site, "/ten.mp4", Range="bytes=1-4")[::2] == (206, TEN[1:5])
    for asked, sent in (("3-7", b"34"), ("5-", b""), ("-2", b"")):
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(site, "/ten.mp4", Range=f"bytes={asked}")
        assert caught.value.partial == sent


def test_text_in_place_of_a_film(site):
    site.faults |= {"ten.mp4": Fault(text="ein schönes Wort"), "none.mp4": Fault(text="12345678", cut_at=0.5)}
    code, headers, body = ask(site, "/ten.mp4")
    assert (code, body.decode(), headers["Content-Type"]) == (200, "ein schönes Wort", "video/mp4")
    assert headers["Content-Length"] == "17"
    assert ask(site, "/ten.mp4", Range="bytes=0-2")[::2] == (206, b"ein")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(site, "/none.mp4")
    assert caught.value.partial == b"1234"


def test_a_late_answer(site):
    site.faults["ten.mp4"] = Fault(delay_s=1, times=1)
    for least, most in ((1, 9), (0, 1)):
        began = time.monotonic()
        assert ask(site, "/ten.mp4")[2] == TEN
        assert least <= time.monotonic() - began < most


def test_a_fault_ends_after_its_times(folder):
    faults = {"ten.mp4": Fault(status=503, times=2), "long.mp4": Fault(status=403), "empty.ts": Fault(text="", times=1)}
    with serving(folder, faults=faults) as site:
        assert [status(site, "ten.mp4") for _ in range(4)] == [503, 503, 200, 200]
        assert [status(site, "long.mp4") for _ in range(4)] == [403] * 4
        (folder / "empty.ts").write_bytes(b"no more")
        assert [ask(site, "/empty.ts?x")[2] for _ in range(2)] == [b"", b"no more"]
        assert site.faults == {"long.mp4": Fault(status=403)}
        site.faults["ten.mp4"] = faults["ten.mp4"]
        assert [status(site, "ten.mp4") for _ in range(3)] == [503, 503, 200]
    assert faults["ten.mp4"].times == 2
    with serving(folder, faults=faults) as site:
        assert status(site, "ten.mp4") == 503


def test_head_meets_a_fault_without_using_it_up(site):
    site.faults["ten.mp4"] = Fault(status=404, times=1)
    assert [ask(site, "/ten.mp4", method=method)[0] for method in ("HEAD", "HEAD", "GET", "HEAD", "GET")] == [
        404, 404, 404, 200, 200,
    ]  # fmt: skip
    assert site.requests["ten.mp4"] == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"times": 1}, {"status": 404, "text": "a"}, {"status": 404, "cut_at": 0.5}, {"status": 100},
        {"status": 404, "delay_s": 1, "text": ""}, {"status": 600}, {"retry_after_s": 3}, {"cut_at": 1.0},
        {"status": 429, "retry_after_s": -1}, {"cut_at": -0.1}, {"text": "a", "retry_after_s": 3},
        {"status": 404, "times": 0}, {"delay_s": -1.0},
    ],
)  # fmt: skip
def test_a_fault_that_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="wanted"):
        Fault(**wrong)


# Threads, ports, and people who hang up.


def test_requests_are_answered_side_by_side(site):
    meeting = threading.Barrier(8)
    site.before = lambda name: meeting.wait(10)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: ask(site, "/long.mp4")[2] == LONG, range(8))) == [True] * 8


def test_nothing_is_miscounted_by_threads(site):
    site.faults["ten.mp4"] = Fault(status=503, times=400)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            met = list(pool.map(lambda _: site.meet("ten.mp4", use=True), range(8000)))
    finally:
        sys.setswitchinterval(interval)
    assert sum(fault is not None for fault in met) == 400
    assert (dict(site.requests), site.faults) == ({"ten.mp4": 8000}, {})


def test_clients_that_hang_up_are_nothing_to_tell(folder, capfd, caplog):
    with (folder / "big.mp4").open("wb") as file:
        file.truncate(64 << 20)
    threads = threading.active_count()
    with serving(folder) as site:
        for asked in (b"", b"GET /big.m", b"GET /big.mp4 HTTP/1.1\r\n\r\n"):
            client = socket.create_connection(("127.0.0.1", site.server_port), timeout=10)
            client.sendall(asked)
            if asked.endswith(b"\n"):
                client.recv(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # hang up by a reset
            client.close()
        deadline = time.monotonic() + 10
        while threading.active_count() > threads + 1:  # the one that listens
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert ask(site, "/ten.mp4")[2] == TEN
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_mistake_of_ours_is_told(site, caplog):
    def fail(name: str) -> None:
        raise KeyError(name)

    site.before = fail
    with pytest.raises(http.client.RemoteDisconnected):
        ask(site, "/ten.mp4")
    site.stop()
    told = [str(record.exc_info) for record in caplog.records if record.levelno > logging.INFO]
    assert ["KeyError" in words for words in told] == [True]


def test_it_ends_at_once_and_leaves_nothing(folder):
    before = set(threading.enumerate())
    with (folder / "big.mp4").open("wb") as file:
        file.truncate(64 << 20)
    with serving(folder, faults={"ten.mp4": Fault(delay_s=60)}) as site:
        clients = [socket.create_connection(("127.0.0.1", site.server_port), timeout=10) for _ in range(3)]
        clients[1].sendall(b"GET /ten.mp4 HTTP/1.1\r\n\r\n")
        clients[2].sendall(b"GET /big.mp4 HTTP/1.1\r\n\r\n")
        clients[2].recv(1)  # and reads no further
        deadline = time.monotonic() + 10
        while site.requests.total() < 2 or len(set(threading.enumerate()) - before) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.server_port), timeout=10)
    for client in clients:
        client.close()


def test_a_port_is_free_again_at_once(folder):
    with serving(folder) as site:
        assert status(site, "ten.mp4") == 200
        port = site.server_port
    with serving(folder, port=port) as site:
        assert site.url("ten.mp4") == f"http://127.0.0.1:{port}/ten.mp4"
        assert status(site, "ten.mp4") == 200


def test_no_other_address_is_listened_to(site):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", site.server_port), timeout=10)


def test_a_port_that_is_taken(folder, site):
    with pytest.raises(UserError, match=rf"^port {site.server_port}: another program .* give another port"):
        serving(folder, port=site.server_port).__enter__()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none(folder, port):
    with pytest.raises(UserError, match=rf"^port {port}: ports are 0 to 65535"):
        serving(folder, port=port).__enter__()


FIRST_FREE = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


@pytest.mark.skipif(
    not FIRST_FREE.exists() or int(FIRST_FREE.read_text()) <= 1, reason="anybody may have port 1 on this machine"
)
def test_a_port_that_is_not_allowed():
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)  # nobody
    try:
        with pytest.raises(UserError, match=r"^port 1: .* does not allow .* 1024 or more"):
            serving(Path("/usr"), port=1).__enter__()
    finally:
        os.seteuid(user)


def test_a_folder_that_is_not_there(folder):
    for path in (folder / "nowhere", folder / "ten.mp4"):
        with pytest.raises(UserError, match=f"^{re.escape(str(path))}: no such folder"):
            serving(path).__enter__()


def test_a_person_serves_a_folder_until_control_c(folder):
    code = (
        "import logging, pathlib, sys; from csg405.synth.server import serve_forever;"
        "logging.basicConfig(level=logging.INFO, format='%(message)s');"
        "serve_forever(pathlib.Path(sys.argv[1]), port=0)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = process.stderr.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/", told)
            with urllib.request.urlopen(f"{address[0]}ten.mp4", timeout=10) as answer:
                assert answer.read() == TEN
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert str(folder) in told


# With the crawl.


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("films")
    for number in range(6):
        make_film(made / f"film{number}.mp4", seed=number)
    (made / "page.html").write_text("<title>A talk</title><video src='/film5.mp4'></video>")
    return made


FAULTS = {
    "film0.mp4": (Fault(status=404, times=1), "gone", "HTTP Error 404: Not Found"),
    "film1.mp4": (Fault(status=403, times=1), "forbidden", "HTTP Error 403: Forbidden"),
    "film2.mp4": (Fault(status=429, retry_after_s=60, times=1), "rate_limited", "HTTP Error 429: Too Many Requests"),
    "film3.mp4": (Fault(cut_at=0.5, times=2), "network", "more expected"),
    "film4.mp4": (Fault(text="<html>Enable JavaScript.</html>", times=2), "not_a_video", "no media container"),
}
"""Each goes wrong in one crawl, and what the crawl calls it."""


def test_the_crawl_calls_each_fault_by_its_name_and_the_next_one_heals_it(tmp_path, films):
    names = [*FAULTS, "film5.mp4"]
    with serving(films, faults={name: fault for name, (fault, _, _) in FAULTS.items()}) as site:
        first = crawl(tmp_path, site, *names).videos
        assert [row.status for row in first] == [*(reason for _, reason, _ in FAULTS.values()), "ok"]
        for row, (_, _, detail) in zip(first, FAULTS.values(), strict=False):
            assert detail in row.detail
        assert site.faults == {}
        second = crawl(tmp_path, site, *names, retry_gone=True).videos
    assert [(row.source, row.status) for row in second] == [(row.source, "ok") for row in first]
    for row, name in zip(second, names, strict=True):
        assert (tmp_path / str(row.path)).read_bytes() == (films / name).read_bytes()
        assert row.upload_date is None


@pytest.mark.parametrize(
    "fault", [Fault(status=404), Fault(status=429), Fault(cut_at=0.5), Fault(text="no film")], ids=str
)
def test_a_lasting_fault_stays(tmp_path, films, fault):
    with serving(films, faults={"film0.mp4": fault}) as site:
        first, second = (crawl(tmp_path, site, "film0.mp4", retry_gone=True).videos for _ in range(2))
    assert first == second
    assert first[0].status != "ok"


def test_how_often_the_crawl_asks(tmp_path, films):
    """What the module says of yt-dlp, and of the `times` that follow from it."""
    with serving(films, faults={"film1.mp4": Fault(status=503)}) as site:
        crawl(tmp_path, site, "film0.mp4", "film1.mp4", "page.html", retries=2)
        assert dict(site.requests) == {"film0.mp4": 2, "film1.mp4": 1, "page.html": 1, "film5.mp4": 1}


def test_a_body_is_noticed_the_second_time_only(tmp_path, films):
    faults = {"film0.mp4": Fault(cut_at=0.5, times=1), "film1.mp4": Fault(text="no film", times=1)}
    with serving(films, faults=faults) as site:
        assert crawl(tmp_path, site, *faults).statuses == {"ok": 2}


def test_a_retry_goes_on_where_the_body_broke_off(tmp_path, films):
    size = (films / "film0.mp4").stat().st_size
    with serving(films, faults={"film0.mp4": Fault(cut_at=0.5, times=2)}) as site:
        (row,) = crawl(tmp_path, site, "film0.mp4", retries=1).videos
        assert (row.status, row.size_bytes, dict(site.requests)) == ("ok", size, {"film0.mp4": 3})
    assert (tmp_path / str(row.path)).read_bytes() == (films / "film0.mp4").read_bytes()
