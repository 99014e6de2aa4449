"""Frames and their sound as a film: H.264 and AAC in mp4, on the clock of a released clip.

25 frames a second, frame i beside samples [640 i, 640 (i + 1)). The encoder is the core's, which writes released clips
too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from csg405 import media
from csg405.errors import UserError
from csg405.media.clock import SAMPLES_PER_FRAME
from csg405.media.decode import Image
from csg405.schema import FloatArray

_CRF = 18
"""x264's constant quality: the one of released clips."""


def write_film(frames: Iterable[Image], wave: FloatArray | None, path: Path, *, crf: int = _CRF) -> int:
    """Encode frames while they come, whole or not at all.

    Args:
        frames: [height, width, 3] RGB, sides even, one for each 40 ms.
        wave: [640 n] mono sound at 16 kHz, -1 to 1, for n frames; a film without sound when missing.
        path: the mp4 to write.
        crf: x264's constant quality, 0 (lossless) to 51.

    Returns:
        The number of frames.

    Raises:
        UserError: no frames, sides that H.264 cannot have, or sound of another length than the frames.
        RuntimeError: ffmpeg failed; the message holds its own words.
    """
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise UserError(f"{path.name}: no frames; give at least one")
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise UserError(f"{path.name}: frames of {width}x{height} px, wanted even sides; scale or cut the picture")
    counted = _Counted(itertools.chain([first], waiting), wave, path.name)
    samples = None if wave is None else media.int16(wave)
    media.write_film(path, counted, samples, size=(width, height), crf=crf, preset="medium")
    return counted.n_frames


class _Counted:
    """Frames that are as many as the sound is long."""

    def __init__(self, frames: Iterable[Image], wave: FloatArray | None, name: str) -> None:
        self.frames, self.wave, self.name = frames, wave, name
        self.n_frames = 0

    def __iter__(self) -> Iterator[Image]:
        for image in self.frames:
            self.n_frames += 1
            yield image
        wanted = self.n_frames * SAMPLES_PER_FRAME
        if self.wave is not None and self.wave.shape != (wanted,):
            raise UserError(
                f"{self.name}: {self.wave.shape} samples of sound for {self.n_frames} frames, wanted [{wanted}]: "
                f"{SAMPLES_PER_FRAME} for each; cut the sound or pad it with silence"
            )
