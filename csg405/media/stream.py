"""Decoded frames of one stream, from a time on, whatever container they lie in.

Seeking is only a short cut here. Containers without an index, streams that begin late, and demuxers that land inside
a frame are met in the wild; where a seek does not lead to a frame at or before the time that was asked for, decoding
begins at the beginning. What is wrong with the file becomes `Unreadable`, a row; what is wrong with the machine (the
file is gone, the disk fails, no memory) is an error and is tried again.
"""

from __future__ import annotations

import errno
import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError, InvalidDataError

from csg405.errors import UserError
from csg405.media.probe import Unreadable
from csg405.schema import Reason

_MACHINE = {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EINTR}
"""Errors of the machine. EPERM is none of them: FFmpeg's -1, "something went wrong", looks the same."""

_REORDER = 16
"""Pictures that AVI's times are put in order over; H.264 refers to no more."""

Choose = Callable[[Any], Any]
"""Gives the stream of an open container, or raises `Unreadable`."""


def open_media(path: Path) -> Any:
    """An open container.

    Raises:
        Unreadable: it is no media file.
        UserError: the file is not there, or may not be read.
    """
    try:
        return av.open(str(path))
    except FFmpegError as error:
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be opened: {error.strerror}; bring it back and run this again") from error
        raise Unreadable(Reason.UNDECODABLE, f"cannot be opened: {error.strerror}") from error


def frames_from(path: Path, choose: Choose, *, start_ms: int) -> Iterator[Any]:
    """Decoded frames of a stream in the order of their times, the first of them at or before `start_ms` if any is.

    Every frame has a time; one that the container gave none follows the frame before it.

    Raises:
        Unreadable: the stream cannot be decoded.
    """
    if start_ms > 0:
        with open_media(path) as container:
            stream = choose(container)
            target = int(Fraction(start_ms, 1000) / Fraction(stream.time_base))
            frames = _after_seek(container, stream, target)
            first = next(frames, None)
            if first is not None and first.pts <= target:
                yield from itertools.chain([first], frames)
                return
            frames.close()
    with open_media(path) as container:
        stream = choose(container)
        yield from _guarded(_ordered(container, _timed(stream, container.decode(stream))), stream)


def _after_seek(container: Any, stream: Any, target: int) -> Generator[Any]:
    """Frames after a seek; none where it fails. What is decoded before the first whole frame may be garbage."""
    try:
        container.seek(target, stream=stream, backward=True)
    except FFmpegError:
        return
    yield from _guarded(_ordered(container, _timed(stream, _patiently(container, stream))), stream)


def _patiently(container: Any, stream: Any) -> Iterator[Any]:
    begun = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except InvalidDataError:
            if begun:
                raise
            continue
        begun = begun or bool(frames)
        yield from frames


def _timed(stream: Any, frames: Iterable[Any]) -> Iterator[Any]:
    """Frames with a time each; sound without one (in WMV, say) follows what came before."""
    following = stream.start_time or 0
    for frame in frames:
        if frame.pts is None:
            if stream.type != "audio":
                raise Unreadable(Reason.UNDECODABLE, "a picture carries no time")
            frame.pts = following
        if stream.type == "audio":
            base = frame.time_base or stream.time_base
            following = frame.pts + round(Fraction(frame.samples, frame.sample_rate) / Fraction(base))
        yield frame


def _ordered(container: Any, frames: Iterable[Any]) -> Iterator[Any]:
    """Frames with AVI's times put in order: it stores none, and what FFmpeg makes up is in the order of decoding."""
    if container.format.name != "avi":
        yield from frames
        return
    held: list[Any] = []
    times: list[int] = []
    for frame in frames:
        held.append(frame)
        heapq.heappush(times, frame.pts)
        if len(held) > _REORDER:
            yield _at(held.pop(0), heapq.heappop(times))
    for frame in held:
        yield _at(frame, heapq.heappop(times))


def _at(frame: Any, ticks: int) -> Any:
    frame.pts = ticks
    return frame


def _guarded(frames: Iterable[Any], stream: Any) -> Iterator[Any]:
    last: float | None = None
    try:
        for frame in frames:
            last = float(frame.pts * Fraction(frame.time_base or stream.time_base))
            yield frame
    except FFmpegError as error:
        if error.errno in _MACHINE:
            raise
        what = "sound" if stream.type == "audio" else "pictures"
        where = "at the start" if last is None else f"after {last:.2f} s"
        raise Unreadable(Reason.UNDECODABLE, f"{what} {where}: {error.strerror}") from error
