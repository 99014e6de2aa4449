"""What the tests of the crawl share: small real films, a run without the other stages, and a program to kill."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from csg405.config import Stage
from csg405.crawl.config import Config
from csg405.run import Folders, Run

QUICK = {"sleep_s": 0.0, "pause_s": 0.0, "retries": 0, "timeout_s": 1.0}
"""Manners that a server in the same process can do without."""


class Settings(Stage):
    crawl: Config = Config()


def make_run(root: Path, **crawl: Any) -> Run:
    return Run(Folders(root, "t"), Settings(crawl=Config(**crawl)))


def make_film(path: Path, *, seed: int = 0, seconds: float = 2, pictures: bool = True, sound: bool = True) -> Path:
    """Write a film of 64x48 at 25 fps with a tone; `seed` makes films that differ in every byte of their pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grain = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"}) if pictures else None
        audio = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for _ in range(round(seconds * 25)):
                frame = av.VideoFrame.from_ndarray(grain.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None:
            tone = np.sin(np.arange(round(seconds * 16_000)) * 0.2 * (1 + seed)).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def main() -> None:
    """Crawl `root` from a list or a folder in a process of its own: `crawl_kit.py ROOT urls|folder SOURCE`."""
    from csg405.crawl import stage

    root, kind, source = sys.argv[1:]
    made = make_run(Path(root), **{kind: Path(source)}, **QUICK)
    with made.locked("crawl"):
        stage.run(made)


if __name__ == "__main__":
    main()
