"""What a media file holds, and whether it is whole: every packet is read, no picture but the first is decoded."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from csg405.schema import Reason

_LOST_S = 1.0
"""A stream that ends this much before its announced end is truncated, s. Containers round durations by less."""

_LOST_FRACTION = 0.02
"""The same, as a part of the announced duration."""


class Unreadable(Exception):  # noqa: N818 - an expected outcome, not an error
    """A file that cannot be used, with the reason that goes into a row."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What a video file holds."""

    start_s: float
    """Presentation time of the first picture."""
    duration_s: float
    """From the first picture to the end of the last one."""
    width: int
    """Of the picture as displayed: rotated, with square pixels."""
    height: int
    fps: float
    """Pictures over duration: the mean rate of a file with a variable one."""
    n_frames: int
    video_codec: str
    audio_codec: str | None
    audio_rate_hz: int | None


def probe(path: Path) -> Probe:
    """Read a file's headers and all its packets, and decode its first picture.

    Raises:
        Unreadable: empty, no media container, no moving pictures, truncated, or undecodable.
    """
    if path.stat().st_size == 0:
        raise Unreadable(Reason.EMPTY_FILE, "0 bytes")
    try:
        with av.open(str(path)) as container:
            return _probe(container, path)
    except FFmpegError as error:
        raise _explain(error, path) from error


def _probe(container: Any, path: Path) -> Probe:
    stream = video_stream(container)
    if stream is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise Unreadable(Reason.NO_PICTURES, f"the file holds {kinds}")
    sound = container.streams.audio[0] if container.streams.audio else None
    first, end, count = _extent(container, stream)
    if count == 0:
        raise Unreadable(Reason.TRUNCATED if stream.frames else Reason.NO_PICTURES, "no pictures in the file")
    base = Fraction(stream.time_base)
    duration = float((end - first) * base)
    _check_whole(container, stream, first=first * base, end=end * base)
    width, height = _displayed_size(path)
    return Probe(
        start_s=float(first * base),
        duration_s=duration,
        width=width,
        height=height,
        fps=count / duration if duration else 0.0,
        n_frames=count,
        video_codec=stream.codec_context.name,
        audio_codec=sound.codec_context.name if sound else None,
        audio_rate_hz=sound.rate if sound else None,
    )


def _check_whole(container: Any, stream: Any, *, first: Fraction, end: Fraction) -> None:
    """Compare what is there with what is announced: by the stream, or by a container that says it only as a whole."""
    if stream.duration:
        seen, announced, what = end - first, stream.duration * Fraction(stream.time_base), "pictures"
    elif container.duration and container.format.name.startswith("matroska"):
        seen, announced, what = (
            max([end, *_ends_of_sound(container)]),
            Fraction(container.duration, av.time_base),
            "film",
        )
    else:
        return
    if announced - seen > max(_LOST_S, _LOST_FRACTION * announced):
        raise Unreadable(
            Reason.TRUNCATED, f"{float(seen):.2f} s of {what} in the file, {float(announced):.2f} s announced"
        )


def _ends_of_sound(container: Any) -> list[Fraction]:
    """Where the packets of the first audio stream end."""
    if not container.streams.audio:
        return []
    container.seek(0)
    return [
        (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
        for packet in container.demux(audio=0)
        if packet.pts is not None and packet.size
    ]


def video_stream(container: Any) -> Any | None:
    """The first stream of moving pictures; a cover picture in a sound file is none."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def _extent(container: Any, stream: Any) -> tuple[int, int, int]:
    """First presentation time, end of the last picture (in ticks), and number of pictures."""
    first: int | None = None
    last, last_duration, count = 0, 0, 0
    for packet in container.demux(stream):
        if packet.pts is None or packet.size == 0:
            continue
        count += 1
        first = packet.pts if first is None else min(first, packet.pts)
        if packet.pts >= last:
            last, last_duration = packet.pts, packet.duration or 0
    if first is None:
        return 0, 0, 0
    if not last_duration and stream.average_rate:
        last_duration = round(1 / (stream.average_rate * Fraction(stream.time_base)))
    return first, last + last_duration, count


def _displayed_size(path: Path) -> tuple[int, int]:
    from csg405.media.decode import frames

    for _, picture in frames(path):
        height, width = picture.rgb().shape[:2]
        return width, height
    raise Unreadable(Reason.UNDECODABLE, "no picture can be decoded")


def _explain(error: FFmpegError, path: Path) -> Unreadable:
    with path.open("rb") as file:
        head = file.read(12)
    known = head[4:8] in {b"ftyp", b"moov", b"mdat"} or head[:4] == b"\x1a\x45\xdf\xa3"
    said = error.strerror or str(error)
    if known:
        return Unreadable(Reason.TRUNCATED, f"a media container that cannot be opened: {said}")
    return Unreadable(Reason.NOT_A_VIDEO, f"no media container: {said}")
