"""Pictures of a submission's films for the metrics, decoded by a worker that may use little.

The worker is `python -P -m csg405.benchmark.submission.frames`, under the limits of the one that validates
(`csg405.benchmark.submission.decoder`): memory, processor time, no files, no core file; the mp4 demuxer and the H.264
decoder alone. It reads requests from its standard input, one JSON object a line, {"path", "most_frames"}, and answers
with pictures: `F`, height and width in 4 bytes each, and the bytes of [height, width, 3] RGB; then `E`, a length, and
FFmpeg's words, of which none says that the film is whole. Pictures come one by one, so the memory of both is bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from csg405.benchmark.submission import confined
from csg405.benchmark.submission.decoder import CODEC, CPU_S
from csg405.errors import UserError

if TYPE_CHECKING:
    from csg405.media.decode import Image

DEADLINE_S = 4 * CPU_S
"""Time that may be waited for the pictures of a film, s; and as much again for each minute of it."""

_HEAD = struct.Struct("<II")

_FRAME, _END = b"F", b"E"

_MOST_SIDE_PX = 4096
_MOST_WORDS = 10_000

_FRAMES_A_MINUTE = 25 * 60


class Reader:
    """Reads films by a worker, which is kept for the next film."""

    def __init__(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Start nothing yet.

        Args:
            deadline_s: for a film, s, and as much again for each minute of it; time between pictures is not counted.
        """
        self.deadline_s = deadline_s
        self._idle: subprocess.Popen[str] | None = None

    def frames(self, path: Path, *, most_frames: int) -> Iterator[Image]:
        """The pictures of a film, [height, width, 3] RGB, at most one more than `most_frames`.

        Raises:
            UserError: it cannot be decoded to its end within the limits.
        """
        process, self._idle = self._idle or confined.start(__name__), None
        whole = False
        try:
            _ask(process, path, most_frames)
            wait = _Waiting(process, path.name, self.deadline_s * (1 + most_frames / _FRAMES_A_MINUTE))
            while (kind := wait.take(1)) == _FRAME:
                height, width = _HEAD.unpack(wait.take(_HEAD.size))
                if not 0 < max(height, width) <= _MOST_SIDE_PX:
                    raise UserError(f"{path.name}: the decoder gives pictures of {width}x{height}")
                yield np.frombuffer(wait.take(3 * height * width), np.uint8).reshape(height, width, 3)
            words = wait.words() if kind == _END else "the decoder's answer is none"
            if words:
                raise UserError(f"{path.name}: cannot be decoded ({words}); validate the submission again")
            whole = True
        finally:
            if whole and self._idle is None:
                self._idle = process
            else:  # it failed, or nobody wanted the rest
                _end(process)

    def close(self) -> None:
        """Let the worker go."""
        process, self._idle = self._idle, None
        if process is not None:
            _end(process)


def _ask(process: subprocess.Popen[str], path: Path, most_frames: int) -> None:
    if process.stdin is None:
        raise RuntimeError("the decoder has no input")
    try:
        process.stdin.write(json.dumps({"path": str(path), "most_frames": most_frames}) + "\n")
        process.stdin.flush()
    except BrokenPipeError as error:
        raise UserError(f"{path.name}: the decoder died before it began; score again") from error


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was still to be written has nobody to read it
                pipe.close()


class _Waiting:
    """What a worker writes, and how long may still be waited for it."""

    def __init__(self, process: subprocess.Popen[str], name: str, left_s: float) -> None:
        if process.stdout is None:
            raise RuntimeError("the decoder has no output")
        self.process, self.name, self.allowed_s, self.left_s = process, name, left_s, left_s
        self.pipe = process.stdout.fileno()

    def take(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            UserError: the worker died, or took too long.
        """
        held = bytearray()
        while len(held) < size:
            begun = time.monotonic()
            ready = select.select([self.pipe], [], [], max(self.left_s, 0))[0]
            self.left_s -= time.monotonic() - begun
            if not ready:
                raise UserError(
                    f"{self.name}: not decoded within {self.allowed_s:g} s; give a film that decodes faster"
                )
            block = os.read(self.pipe, min(size - len(held), 1 << 20))
            if not block:
                raise UserError(
                    f"{self.name}: the decoder died of it (status {self.process.wait()}); give another film"
                )
            held += block
        return bytes(held)

    def words(self) -> str:
        """The words that a worker ends with."""
        (length,) = struct.unpack("<I", self.take(4))
        return self.take(min(length, _MOST_WORDS)).decode("utf-8", "replace")


# ---- in the worker


def _serve() -> None:
    """Answer requests until there are no more."""
    confined.limit(file_bytes=0)
    output = sys.stdout.buffer
    for line in sys.stdin:
        request = json.loads(line)
        confined.limit_cpu(CPU_S + CPU_S * request["most_frames"] // _FRAMES_A_MINUTE)
        words = _decode(Path(request["path"]), request["most_frames"], output.write).encode()[:_MOST_WORDS]
        output.write(_END + struct.pack("<I", len(words)) + words)
        output.flush()


def _decode(path: Path, most_frames: int, write: Callable[[bytes], Any]) -> str:
    """Write the pictures of a film; returns what is wrong with it, or nothing."""
    import av
    from av.error import FFmpegError

    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return "no mp4 file"
    options = {"protocol_whitelist": "file", "codec_whitelist": f"{CODEC},aac", "enable_drefs": "0"}
    try:
        with av.open(str(path), format="mov", options=options, metadata_errors="ignore") as container:
            return _pictures(container, most_frames, write)
    except FFmpegError as error:
        return error.strerror or type(error).__name__
    except (ValueError, MemoryError, OverflowError, RuntimeError) as error:  # PyAV's, for what it does not expect
        return str(error) or type(error).__name__


def _pictures(container: Any, most_frames: int, write: Callable[[bytes], Any]) -> str:
    from csg405.media.decode import Picture

    if not container.streams.video:
        return "no pictures"
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None or context.name != CODEC or max(context.width, context.height) > _MOST_SIDE_PX:
        return f"no {CODEC} of at most {_MOST_SIDE_PX} px"
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(_MOST_SIDE_PX**2)}
    for count, frame in enumerate(container.decode(stream)):
        if count > most_frames:
            return ""
        if frame.pts is None or frame.is_corrupt or max(frame.width, frame.height) > _MOST_SIDE_PX:
            return f"frame {count} is damaged"
        aspect = stream.sample_aspect_ratio
        image = Picture(frame, Fraction(aspect) if aspect else None).rgb()
        write(_FRAME + _HEAD.pack(*image.shape[:2]))
        write(image.tobytes())
    return ""


if __name__ == "__main__":
    _serve()
