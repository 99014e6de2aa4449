"""The README's moving picture: a generated clip beside the truth, from what `bench.quality` has trained.

    python -m bench.front      # after make bench-models; writes docs/generated.webp

A talker of the synthetic world whom no split of the bench's release knows is drawn speaking; the first picture and the
sound are given to `csg405 generate`. Left is the film that the world drew, right what was made.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from bench import quality
from bench.common import ROOT
from csg405.media.clock import FPS
from csg405.media.decode import Image, frames_on_clock
from csg405.table import replace_atomically

OUT = ROOT / "docs" / "generated.webp"
FIRST_S = 1.0
SECONDS = 6.0
EVERY = 2
"""Frames of the film for one of the picture."""
SIDE_PX = 300
QUALITY = 55
BAND_PX = 26
TITLES = ("truth", "generated from its first picture and the sound")


def main() -> None:
    """Write the picture."""
    root = Path.cwd() / "work" / "bench" / "models"
    quality.generate(root)
    first, count = round(FIRST_S * FPS), round(SECONDS * FPS)
    true = (frame for frame, _ in quality.talking().draw())
    made = frames_on_clock(root / "film.mp4", start_ms=0, n_frames=first + count)
    pairs = itertools.islice(zip(true, made, strict=False), first, first + count, EVERY)
    pictures = [_beside(pair) for pair in pairs]
    save = functools.partial(
        pictures[0].save, format="WEBP", save_all=True, append_images=pictures[1:], loop=0,
        duration=round(1000 * EVERY / FPS), quality=QUALITY, method=6,
    )  # fmt: skip
    replace_atomically(OUT, save)
    print(f"{OUT}: {len(pictures)} pictures, {OUT.stat().st_size / 1e3:.0f} kB")


def _beside(pair: tuple[Image, Image]) -> PIL.Image.Image:
    whole = PIL.Image.new("RGB", (2 * SIDE_PX + 4, SIDE_PX + BAND_PX), "white")
    pen = PIL.ImageDraw.Draw(whole)
    for column, (frame, title) in enumerate(zip(pair, TITLES, strict=True)):
        left = column * (SIDE_PX + 4)
        small = PIL.Image.fromarray(np.asarray(frame)).resize((SIDE_PX, SIDE_PX), PIL.Image.Resampling.LANCZOS)
        whole.paste(small, (left, BAND_PX))
        pen.text((left + 4, 6), title, fill="black", font=PIL.ImageFont.load_default(13))
    return whole


if __name__ == "__main__":
    main()
