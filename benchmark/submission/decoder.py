"""The worker that decodes films of a submission: `python -P -m csg405.benchmark.submission.decoder`.

It reads requests from its standard input, one JSON object a line, {"path", "most_frames"}, and answers each with a
line: `Facts`. Only the mov/mp4 demuxer is allowed, and only files: a playlist that names other files or addresses is
no film here. Frames are counted by decoding them, never by what a header says.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from csg405.benchmark.submission import confined

CODEC = "h264"

CPU_S = 60
"""Processor time for a film, s; and as much again for each minute of it."""

_BLOCK_PX = 16
_STILL_LEVELS = 1.0
"""A frame in which no block of 16 by 16 changes its mean by so much, of 255, repeats the one before: an encoder moves
those of a still picture by 0.3, a white square of one block that moves a pixel by 3."""

_MOST_SIDE_PX = 4096


@dataclasses.dataclass(kw_only=True)
class Facts:
    """What is in a film."""

    error: str | None = None
    """FFmpeg's words, where it cannot be decoded to its end."""
    streams: dict[str, int] = dataclasses.field(default_factory=dict)
    codec: str = ""
    pixels: str = ""
    width: int = 0
    height: int = 0
    shape: str = ""
    """What makes the displayed picture another than the coded one; nothing in a good film."""
    n_frames: int = 0
    """Decoded; counting ends above `most_frames`."""
    times_s: list[float] = dataclasses.field(default_factory=list)
    """Presentation time of every frame."""
    still: float = 0.0
    """Part of the frames that repeat the one before."""


def facts_of(path: Path, *, most_frames: int) -> Facts:
    """What is in a film.

    Args:
        path: an mp4.
        most_frames: no more are counted than this and one.
    """
    import av
    from av.error import FFmpegError

    facts = Facts()
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            facts.error = "no mp4 file"
            return facts
    options = {"protocol_whitelist": "file", "codec_whitelist": f"{CODEC},aac", "enable_drefs": "0"}
    try:
        with av.open(str(path), format="mov", options=options, metadata_errors="ignore") as container:
            _look(container, facts, most_frames)
    except FFmpegError as error:
        facts.error = error.strerror or type(error).__name__
    except (ValueError, MemoryError, OverflowError, RuntimeError) as error:  # PyAV's, for what it does not expect
        facts.error = str(error) or type(error).__name__
    return facts


def _look(container: Any, facts: Facts, most_frames: int) -> None:
    for stream in container.streams:
        facts.streams[stream.type] = facts.streams.get(stream.type, 0) + 1
    if not container.streams.video:
        return
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        facts.error = "no decoder for its pictures"
        return
    facts.codec, facts.pixels = context.name, context.pix_fmt or ""
    facts.width, facts.height = context.width, context.height
    if context.name != CODEC or max(context.width, context.height) > _MOST_SIDE_PX:
        return  # refused for that; no other decoder is let near it
    aspect = stream.sample_aspect_ratio
    if aspect not in (None, 0, 1):
        facts.shape = f"pixels of {aspect.numerator}:{aspect.denominator}"
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(_MOST_SIDE_PX**2)}
    _decode(container, stream, facts, most_frames)


def _decode(container: Any, stream: Any, facts: Facts, most_frames: int) -> None:
    last: npt.NDArray[np.float32] | None = None
    still = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            facts.error = "a damaged packet"
        for frame in packet.decode():
            facts.n_frames += 1
            if frame.pts is None or frame.is_corrupt:
                facts.error = "a frame without a time" if frame.pts is None else "a damaged frame"
                return
            facts.times_s.append(float(frame.pts * Fraction(frame.time_base or stream.time_base)))
            if (frame.width, frame.height) != (facts.width, facts.height):
                facts.shape = f"frames of {frame.width}x{frame.height} among others"
            elif frame.rotation:
                facts.shape = f"turned by {frame.rotation} degrees"
            means = _block_means(frame)
            still += last is not None and means.shape == last.shape and _repeats(means, last)
            last = means
            if facts.n_frames > most_frames:
                return
    facts.still = still / max(facts.n_frames - 1, 1)


def _repeats(means: npt.NDArray[np.float32], last: npt.NDArray[np.float32]) -> bool:
    return bool(np.abs(means - last).max(initial=0) < _STILL_LEVELS)


def _block_means(frame: Any) -> npt.NDArray[np.float32]:
    """Mean of the first plane's bytes over blocks: [height // 16, width // 16]."""
    plane = frame.planes[0]
    rows, columns = frame.height // _BLOCK_PX, frame.width // _BLOCK_PX
    values = np.frombuffer(plane, np.uint8)[: plane.line_size * frame.height].reshape(frame.height, plane.line_size)
    blocks = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def serve() -> None:
    """Answer requests until there are no more."""
    confined.limit(file_bytes=0)
    for line in sys.stdin:
        request = json.loads(line)
        confined.limit_cpu(CPU_S + CPU_S * request["most_frames"] // (25 * 60))
        facts = facts_of(Path(request["path"]), most_frames=request["most_frames"])
        sys.stdout.write(json.dumps(dataclasses.asdict(facts)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
