"""Crawls that are killed, and go on: the tables and media are those of a crawl that was left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csg405 import table
from csg405.crawl import stage
from csg405.schema import Video
from csg405.synth.server import Site
from tests.crawl_kit import make_film, make_run
from tests.crawl_site import crawl, leftovers, make_pages, serving


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    make_pages(folder)
    return folder


@pytest.fixture
def site(pages: Path) -> Iterator[Site]:
    with serving(pages) as server:
        yield server


def _killed_once(root: Path, kind: str, source: Path, ready: Callable[[], bool]) -> None:
    """Crawl in another process, and kill it when `ready`."""
    process = subprocess.Popen([sys.executable, "-m", "tests.crawl_kit", str(root), kind, str(source)])
    try:
        deadline = time.monotonic() + 60
        while not ready():
            assert process.poll() is None, "the crawl ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["film1.mp4", "film2.mp4", "sound1.ts", "page.html"])
def test_killed_crawl_of_addresses_goes_on(tmp_path, site, moment):
    names = ["film0.mp4", "film1.mp4", "nothing.mp4", "film2.mp4", "master.m3u8", "text.mp4", "page.html"]
    (tmp_path / "whole").mkdir()
    wanted = crawl(tmp_path / "whole", site, *names).videos
    site.requests.clear()
    root = tmp_path / "killed"
    root.mkdir()
    reached = threading.Event()
    site.before = lambda name: (reached.set(), site.closing.wait(1)) if name == moment else None
    _killed_once(root, "urls", tmp_path / "whole/list.txt", reached.is_set)
    saved = table.read(root / "manifests/t/videos", Video)
    at_hand = [row.source for row in saved if row.status == "ok"]
    assert saved == list(wanted[: len(saved)])
    assert not (root / "work/t/stages/crawl.json").exists()
    site.requests.clear()
    site.before = lambda name: None
    assert crawl(root, site, *names).videos == wanted
    assert not {site.url(name) for name in site.requests} & set(at_hand)
    assert leftovers(root) == []
    for row in wanted:
        if row.path:
            assert (root / row.path).read_bytes() == (tmp_path / "whole" / row.path).read_bytes()


@pytest.mark.long
def test_killed_crawl_of_a_folder_goes_on(tmp_path):
    for number in range(120):
        make_film(tmp_path / f"films/{number:03d}.mp4", seed=number, seconds=0.2)
    wanted = stage.run(make_run(tmp_path / "whole", folder=tmp_path / "films")).videos
    root = tmp_path / "killed"
    _killed_once(root, "folder", tmp_path / "films", lambda: any((root / "manifests").rglob("part-*.parquet")))
    saved = table.read(root / "manifests/t/videos", Video)
    assert 0 < len(saved) < len(wanted)
    result = stage.run(make_run(root, folder=tmp_path / "films"))
    assert result.videos == wanted
    assert result.whole == len(saved)
    assert not list(root.rglob(".*.tmp*"))
