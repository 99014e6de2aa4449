"""Pictures and sound of a file by their presentation times, on one clock: the container's own."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from csg405.media.clock import AUDIO_RATE_HZ, on_clock
from csg405.media.probe import Unreadable, video_stream
from csg405.schema import FloatArray, Reason

Image = npt.NDArray[np.uint8]
"""[height, width, 3] RGB."""

_PREROLL_MS = 2000
"""How far before a clip decoding begins, so that no picture at its start lacks what it refers to, ms."""

_SLACK_SAMPLES = AUDIO_RATE_HZ // 200
"""Blocks that are this near to following each other do follow: 5 ms. Matroska counts whole milliseconds, and at
16 kHz a block of AAC is no whole number of samples; taken by the letter, each block would begin with a click."""


class Picture:
    """A decoded picture that is converted only when somebody asks for it, as displayed: upright, square pixels."""

    def __init__(self, frame: Any, base: Fraction, aspect: Fraction | None) -> None:
        self._frame = frame
        self._aspect = aspect or Fraction(1)  # of a pixel: width over height
        self.time_s = float(frame.pts * base)

    def rgb(self, *, height: int | None = None) -> Image:
        """[height, width, 3] RGB; scaled to `height` with the aspect kept where one is given."""
        frame = self._frame
        quarter_turns = round((frame.rotation or 0) / 90) % 4
        width, own_height = self._displayed(quarter_turns)
        if height is not None:
            width, own_height = max(1, round(width * height / own_height)), height
        coded = (own_height, width) if quarter_turns % 2 else (width, own_height)
        shrinks = height is not None and height < min(frame.width, frame.height)
        rgb = frame.reformat(
            width=coded[0], height=coded[1], format="rgb24", interpolation="AREA" if shrinks else "BILINEAR"
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, quarter_turns))

    def _displayed(self, quarter_turns: int) -> tuple[int, int]:
        width, height = max(1, round(self._frame.width * self._aspect)), self._frame.height
        return (height, width) if quarter_turns % 2 else (width, height)


def frames(path: Path) -> Iterator[tuple[int, Picture]]:
    """All pictures of a file, once, in the order of their times: (presentation time in ticks, picture).

    Raises:
        Unreadable: the pictures cannot be decoded or carry no times.
    """
    with _open(path) as container:
        yield from _decode(container, _video(container, path), path)


def frames_on_clock(path: Path, *, start_ms: int, n_frames: int) -> Iterator[Image]:
    """The pictures of a clip, one for each frame of its clock: see `csg405.media.clock`.

    Poses and cuts both ask this function, so a keypoint row and the released picture are of the same moment.

    Args:
        path: the source.
        start_ms: start of the clip on the source's clock.
        n_frames: frames wanted.

    Yields:
        n_frames pictures [height, width, 3] RGB.

    Raises:
        Unreadable: the pictures cannot be decoded.
    """
    with _open(path) as container:
        stream = _video(container, path)
        base = Fraction(stream.time_base)
        pictures = _from(container, stream, path, start_ms - _PREROLL_MS)
        seen, image = None, None
        for ticks, picture in on_clock(pictures, base, start_ms=start_ms, n_frames=n_frames):
            if ticks != seen or image is None:
                seen, image = ticks, picture.rgb()
            yield image
        if image is None:
            raise Unreadable(Reason.UNDECODABLE, "no picture can be decoded")


def _from(container: Any, stream: Any, path: Path, start_ms: int) -> Iterator[tuple[int, Picture]]:
    """Pictures from a key frame at or before `start_ms`; from the beginning where seeking does not get there."""
    target = int(Fraction(start_ms, 1000) / Fraction(stream.time_base))
    if start_ms > 0:
        try:
            container.seek(target, stream=stream, backward=True)
        except FFmpegError:
            container.seek(0, stream=stream, backward=True)
        pictures = _decode(container, stream, path)
        first = next(pictures, None)
        if first is not None and first[0] <= target:
            yield from itertools.chain([first], pictures)
            return
        pictures.close()
        with _open(path) as fresh:
            yield from _decode(fresh, _video(fresh, path), path)
        return
    yield from _decode(container, stream, path)


def _open(path: Path) -> Any:
    try:
        return av.open(str(path))
    except FFmpegError as error:
        raise Unreadable(Reason.UNDECODABLE, f"cannot be opened: {error.strerror}") from error


def _video(container: Any, path: Path) -> Any:
    stream = video_stream(container)
    if stream is None:
        raise Unreadable(Reason.NO_PICTURES, f"{path.name} holds no moving pictures")
    stream.thread_type = "AUTO"
    return stream


def _decode(container: Any, stream: Any, path: Path) -> Generator[tuple[int, Picture]]:
    base = Fraction(stream.time_base)
    last, size = None, None
    try:
        for frame in container.decode(stream):
            if frame.pts is None:
                raise Unreadable(Reason.UNDECODABLE, f"{path.name}: a picture carries no time")
            if size is not None and size != (frame.width, frame.height):
                change = f"from {size[0]}x{size[1]} to {frame.width}x{frame.height}"
                raise Unreadable(Reason.UNDECODABLE, f"the pictures change their size {change}")
            size = (frame.width, frame.height)
            if last is not None and frame.pts <= last:
                continue
            last = frame.pts
            yield frame.pts, Picture(frame, base, stream.sample_aspect_ratio)
    except FFmpegError as error:
        where = "at its start" if last is None else f"after {float(last * base):.2f} s"
        raise Unreadable(Reason.UNDECODABLE, f"pictures {where}: {error.strerror}") from error


def sound(path: Path, *, start_ms: int, n_samples: int) -> FloatArray:
    """The sound of a span, placed by its own times: [n_samples] mono at 16 kHz, -1 to 1, silence where there is none.

    Args:
        path: the source; its first audio stream is read.
        start_ms: start of the span on the source's clock.
        n_samples: samples wanted, at 16 kHz.

    Raises:
        Unreadable: no audio stream, or it cannot be decoded.
    """
    result = np.zeros(n_samples, np.float32)
    origin = start_ms * AUDIO_RATE_HZ // 1000
    with _open(path) as container:
        if not container.streams.audio:
            raise Unreadable(Reason.NO_AUDIO, f"{path.name} has no audio stream")
        for first, samples in _resampled(container, container.streams.audio[0], start_ms):
            begin = first - origin
            if begin >= n_samples:
                break
            skip = max(0, -begin)
            part = samples[skip : n_samples - begin]
            if part.size:
                result[begin + skip : begin + skip + part.size] = part
    return result


def _resampled(container: Any, stream: Any, start_ms: int) -> Iterator[tuple[int, FloatArray]]:
    """Blocks of 16 kHz mono sound with the number of their first sample, counted from time 0."""
    base = Fraction(stream.time_base)
    if start_ms > _PREROLL_MS:
        container.seek(int(Fraction(start_ms - _PREROLL_MS, 1000) / base), stream=stream, backward=True)
    following: int | None = None
    try:
        for block in _mono(container.decode(stream)):
            if block.pts is None:
                continue
            number = round(block.pts * Fraction(block.time_base) * AUDIO_RATE_HZ)
            if following is not None and abs(number - following) <= _SLACK_SAMPLES:
                number = following
            following = number + block.samples
            yield number, block.to_ndarray().reshape(-1)
    except FFmpegError as error:
        raise Unreadable(Reason.UNDECODABLE, f"sound: {error.strerror}") from error


def _mono(frames_: Iterable[Any]) -> Iterator[Any]:
    """Blocks of sound as 16 kHz mono; a stream may change its rate or channels on the way."""
    kind, resampler = None, None
    for frame in frames_:
        if frame.pts is None:
            raise Unreadable(Reason.UNDECODABLE, "a block of sound carries no time")
        seen = (frame.format.name, frame.layout.name, frame.sample_rate)
        if seen != kind:
            if resampler is not None:
                yield from resampler.resample(None)
            kind, resampler = seen, av.AudioResampler(format="flt", layout="mono", rate=AUDIO_RATE_HZ)
        yield from resampler.resample(frame)  # type: ignore[union-attr]
    if resampler is not None:
        yield from resampler.resample(None)


def resize(image: Image, width: int, height: int) -> Image:
    """Scale a picture: by area where it shrinks, by cubic splines where it grows."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
