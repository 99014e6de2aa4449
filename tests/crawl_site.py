"""The web server that misbehaves, for the tests of the crawl, with small real films on it."""

from __future__ import annotations

import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import imageio_ffmpeg

from csg405 import table
from csg405.crawl import stage
from csg405.schema import Video
from csg405.synth import server
from csg405.synth.server import Fault, Site
from tests.crawl_kit import QUICK, make_film, make_run

FAULTS = {
    **{f"code{status}": Fault(status=status) for status in (401, 403, 410, 429, 451, 503)},
    **{f"code429-{number}": Fault(status=429) for number in range(6)},
    "cut-film0.mp4": Fault(cut_at=0.5),
    "late.mp4": Fault(delay_s=5),
}


def make_pages(folder: Path) -> None:
    """Fill a folder with what the server serves."""
    for number in range(4):
        make_film(folder / f"film{number}.mp4", seed=number)
    make_film(folder / "talk.mp4", seed=4)
    (folder / "cut-film0.mp4").write_bytes((folder / "film0.mp4").read_bytes())
    (folder / "deep").mkdir()
    (folder / "deep/film0.mp4").write_bytes((folder / "film1.mp4").read_bytes())
    (folder / "text.mp4").write_text("this is no film\n" * 99)
    (folder / "empty.mp4").touch()
    (folder / "page.html").write_text("<title>A talk</title><video src='/talk.mp4'></video>")
    (folder / "two.html").write_text(
        "<title>Two</title><video src='/film2.mp4'></video><video src='/film3.mp4'></video>"
    )
    (folder / "plain.html").write_text("<title>Nothing</title><p>no film here</p>")
    _make_hls(folder)


def _make_hls(folder: Path) -> None:
    """Pictures of two heights and the sound, each in its own playlist, as sites serve them."""
    playlist = ["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"]
    film = str(folder / "film3.mp4")
    for name, options in (
        ("sound", ["-map", "0:a", "-c", "copy"]),
        ("low", ["-map", "0:v", "-c", "copy"]),
        ("high", ["-map", "0:v", "-vf", "scale=128:96", "-c:v", "libx264", "-preset", "ultrafast"]),
    ):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", film, *options, *playlist]
        subprocess.run([*command, str(folder / f"{name}.m3u8")], check=True)
    lines = ["#EXTM3U", '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="sound.m3u8"']
    for name, size in (("low", "64x48"), ("high", "128x96")):
        rate = 100_000 if name == "low" else 400_000
        codecs = 'CODECS="avc1.64000a,mp4a.40.2"'
        lines += [f'#EXT-X-STREAM-INF:BANDWIDTH={rate},RESOLUTION={size},{codecs},AUDIO="a"', f"{name}.m3u8"]
    endless = (folder / "low.m3u8").read_text().replace("#EXT-X-ENDLIST", "").replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "")
    (folder / "live.m3u8").write_text(endless)
    (folder / "master.m3u8").write_text("\n".join(lines) + "\n")


def serving(folder: Path) -> AbstractContextManager[Site]:
    """The server at work on a folder."""
    return server.serving(folder, faults=FAULTS)


def crawl(root: Path, site: Site, *names: str, **options: object) -> stage.CrawlResult:
    listed = root / "list.txt"
    listed.write_text("\n".join(site.url(name) for name in names) + "\n")
    return stage.run(make_run(root, urls=listed, **{**QUICK, **options}))


def leftovers(root: Path) -> list[Path]:
    """Files below `work` that no row, stamp or lock accounts for."""
    known = {row.path for row in table.read(root / "manifests/t/videos", Video)}
    files = [path for path in (root / "work/t").rglob("*") if path.is_file()]
    known |= {"work/t/.lock", "work/t/stages/crawl.json"}
    return [path for path in files if str(path.relative_to(root)) not in known]
