"""The README's moving picture: a generated clip beside the truth, from what `bench.quality` has trained.

    python -m bench.front      # after make bench-models; writes docs/generated.webp

A talker of the synthetic world whom no split of the bench's release knows is drawn speaking; the first picture and the
sound are given to `csg405 generate`. Left is the film that the world drew, right what was made.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from bench import quality
from csg405.media.clock import FPS
from csg405.media.decode import Image, frames_on_clock

OUT = Path("docs") / "generated.webp"
FIRST_S = 1.0
SECONDS = 6.0
EVERY = 2
"""Frames of the film for one of the picture."""
SIDE_PX = 300
_QUALITY = 55
_BAND_PX = 26
_TITLES = ("truth", "generated from its first picture and the sound")


def main() -> None:
    """Write the picture."""
    root = Path.cwd() / "work" / "bench" / "models"
    quality.generate(root)
    first, count = round(FIRST_S * FPS), round(SECONDS * FPS)
    true = (frame for frame, _ in quality.talking().draw())
    made = frames_on_clock(root / "film.mp4", start_ms=0, n_frames=first + count)
    pairs = itertools.islice(zip(true, made, strict=False), first, first + count, EVERY)
    pictures = [_beside(pair) for pair in pairs]
    pictures[0].save(
        OUT, save_all=True, append_images=pictures[1:], duration=round(1000 * EVERY / FPS), loop=0, quality=_QUALITY,
        method=6,
    )  # fmt: skip
    print(f"{OUT}: {len(pictures)} pictures, {OUT.stat().st_size / 1e3:.0f} kB")


def _beside(pair: tuple[Image, Image]) -> Pictures.Image:
    whole = Pictures.new("RGB", (2 * SIDE_PX + 4, SIDE_PX + _BAND_PX), "white")
    pen = ImageDraw.Draw(whole)
    for column, (frame, title) in enumerate(zip(pair, _TITLES, strict=True)):
        left = column * (SIDE_PX + 4)
        small = Pictures.fromarray(np.asarray(frame)).resize((SIDE_PX, SIDE_PX), Pictures.Resampling.LANCZOS)
        whole.paste(small, (left, _BAND_PX))
        pen.text((left + 4, 6), title, fill="black", font=ImageFont.load_default(13))
    return whole


if __name__ == "__main__":
    main()
