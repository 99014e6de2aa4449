"""Fetching networks from a server on this machine that also misbehaves."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from csg405 import weights
from csg405.errors import UserError
from csg405.weights import Network

CONTENT = b"the bytes of a network " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


GOOD = archive(**{"20230831/yolox/end2end.onnx": CONTENT, "20230831/yolox/detail.json": b"{}"})


BODIES = {
    "/good.zip": GOOD,
    "/other.zip": archive(**{"a.onnx": b"another network"}),
    "/empty.zip": archive(**{"readme.txt": b"nothing"}),
    "/page.zip": b"<html>log in first</html>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        if self.path in BODIES:
            self._answer(BODIES[self.path], announced=len(BODIES[self.path]))
        elif self.path == "/cut.zip":
            self._answer(GOOD[: len(GOOD) // 2], announced=len(GOOD))
        elif self.path == "/slow.zip":
            self._answer(GOOD[: len(GOOD) // 2], announced=len(GOOD))
            self.wfile.flush()
            time.sleep(60)
        else:
            self.send_error(404)

    def _answer(self, body: bytes, *, announced: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class Site:
    """A server on this machine, and the addresses that it was asked for."""

    def __init__(self) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.asked: list[str] = []
        self.server.asked = self.asked  # type: ignore[attr-defined]

    def network(self, *paths: str, sha256: str | None = None) -> Network:
        base = f"http://127.0.0.1:{self.server.server_port}/"
        urls = tuple(path if "://" in path else base + path for path in paths)
        return Network(name="toy", urls=urls, licence="none", channels="rgb", input_size=(8, 8), sha256=sha256)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CSG405_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unused_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/net.zip"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_network_is_fetched_once_and_its_digest_recorded(site: Site, cache: Path) -> None:
    network = site.network("good.zip")
    path = weights.fetch(network)
    assert path == cache / "toy.onnx"
    assert path.read_bytes() == CONTENT
    assert (cache / "toy.sha256").read_text() == SHA256 + "\n"
    assert names(cache) == ["toy.onnx", "toy.sha256"]
    assert weights.fetch(network) == path
    assert site.asked == ["/good.zip"]


def test_a_file_that_changed_since_is_refused(site: Site, cache: Path) -> None:
    network = site.network("good.zip")
    path = weights.fetch(network)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(UserError, match=rf"toy: sha256 .*recorded {SHA256[:16]}.*delete it from .*cache"):
        weights.fetch(network)
    path.unlink()
    assert weights.fetch(network).read_bytes() == CONTENT


def test_another_download_than_the_recorded_one_is_refused(site: Site, cache: Path) -> None:
    weights.fetch(site.network("good.zip")).unlink()
    with pytest.raises(UserError, match=f"recorded {SHA256[:16]}"):
        weights.fetch(site.network("other.zip"))


def test_a_known_digest_is_checked_before_the_file_is_kept(site: Site, cache: Path) -> None:
    assert weights.fetch(site.network("good.zip", sha256=SHA256)).read_bytes() == CONTENT
    for path in cache.iterdir():
        path.unlink()
    with pytest.raises(UserError, match="recorded ffffffffffffffff"):
        weights.fetch(site.network("good.zip", sha256="f" * 64))
    assert names(cache) == []


@pytest.mark.parametrize("first", ["missing.zip", "cut.zip"])
def test_the_mirror_is_asked_when_the_first_address_fails(site: Site, cache: Path, first: str) -> None:
    assert weights.fetch(site.network(first, "good.zip")).read_bytes() == CONTENT
    assert site.asked == [f"/{first}", "/good.zip"]


def test_a_download_that_ends_early_leaves_nothing_and_says_so(site: Site, cache: Path) -> None:
    with pytest.raises(UserError, match=r"cannot fetch toy .*IncompleteRead"):
        weights.fetch(site.network("cut.zip"))
    assert names(cache) == []


@pytest.mark.parametrize("path", ["empty.zip", "page.zip"])
def test_an_archive_without_a_network_is_named_and_nothing_kept(site: Site, cache: Path, path: str) -> None:
    with pytest.raises(UserError, match="toy: the download is no archive with an ONNX file in it"):
        weights.fetch(site.network(path))
    assert names(cache) == []


def test_without_a_connection_one_line_says_what_to_do(site: Site, cache: Path) -> None:
    network = site.network(unused_address(), "http://no-such-host.invalid/net.zip")
    with pytest.raises(UserError) as raised:
        weights.fetch(network)
    message = str(raised.value)
    assert "\n" not in message
    for part in ("cannot fetch toy", "annotate.pose.detector=PATH", "annotate.pose.pose=PATH", "channels=rgb|bgr"):
        assert part in message
    assert names(cache) == []


def test_a_network_at_hand_needs_no_connection(site: Site, cache: Path) -> None:
    weights.fetch(site.network("good.zip"))
    assert weights.fetch(site.network(unused_address())).read_bytes() == CONTENT


@pytest.mark.long
def test_a_kill_while_fetching_leaves_no_half_file(site: Site, cache: Path) -> None:
    network = site.network("slow.zip")
    code = (
        "from csg405 import weights\n"
        f"weights.fetch(weights.Network(name='toy', urls={network.urls!r}, licence='', channels='rgb',"
        " input_size=(8, 8)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"CSG405_WEIGHTS": str(cache)})
    deadline = time.monotonic() + 60
    while not site.asked and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.asked == ["/slow.zip"]
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert names(cache) == []
    assert weights.fetch(site.network("good.zip")).read_bytes() == CONTENT


def test_every_mode_names_an_address_a_licence_and_a_score_scale() -> None:
    for mode, (detector, pose) in weights.MODES.items():
        for network in (detector, pose):
            assert (network.shipped is None) == (mode != "synthetic")
            assert all(url.startswith("https://") and url.endswith(".zip") for url in network.urls)
            assert len(network.urls) == (2 if network.shipped is None else 0)
            assert network.licence
        assert (detector.channels, pose.channels) == ("bgr", "rgb")
        assert weights.SCORE_SCALE.get(pose.name, 1.0) > 0
