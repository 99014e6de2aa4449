"""Pictures of a file by their presentation times, on one clock: the container's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Colorspace

from csg405.media.clock import on_clock
from csg405.media.probe import Unreadable, video_stream
from csg405.media.stream import frames_from
from csg405.schema import Reason

Image = npt.NDArray[np.uint8]
"""[height, width, 3] RGB."""

_PREROLL_MS = 2000
"""How far before a clip decoding begins, so that no picture at its start lacks what it refers to, ms."""

_UNSPECIFIED = 2
"""FFmpeg's number for pictures that do not say how their colours are coded."""

_HD_PX = 720
"""Pictures that do not say it and are at least so high are coded by BT.709, lower ones by BT.601, as players do."""

_STUMBLES = 5
"""Pictures whose time is not after the one before are passed over; more than these, and 2 %, are a broken file."""


class Picture:
    """A decoded picture that is converted only when somebody asks for it, as displayed: upright, square pixels."""

    def __init__(self, frame: Any, aspect: Fraction | None) -> None:
        self._frame = frame
        self._aspect = aspect or Fraction(1)  # of a pixel: width over height
        self.time_base = Fraction(frame.time_base)
        self.time_s = float(frame.pts * self.time_base)

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
            width=coded[0],
            height=coded[1],
            format="rgb24",
            src_colorspace=_matrix(frame),
            interpolation="AREA" if shrinks else "BILINEAR",
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, quarter_turns))

    def _displayed(self, quarter_turns: int) -> tuple[int, int]:
        width, height = max(1, round(self._frame.width * self._aspect)), self._frame.height
        return (height, width) if quarter_turns % 2 else (width, height)


def _matrix(frame: Any) -> Any:
    if frame.colorspace != _UNSPECIFIED:
        return None
    return Colorspace.ITU709 if min(frame.width, frame.height) >= _HD_PX else Colorspace.ITU601


def frames(path: Path) -> Iterator[tuple[int, Picture]]:
    """All pictures of a file, once, in the order of their times: (presentation time in ticks, picture).

    Raises:
        Unreadable: the pictures cannot be decoded or carry no times.
    """
    yield from _pictures(path, start_ms=0)


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
    pictures = _pictures(path, start_ms=start_ms - _PREROLL_MS)
    first = next(pictures, None)
    if first is None:
        raise Unreadable(Reason.UNDECODABLE, "no picture can be decoded")
    base = first[1].time_base
    seen, image = None, None
    for ticks, picture in on_clock(itertools.chain([first], pictures), base, start_ms=start_ms, n_frames=n_frames):
        if ticks != seen or image is None:
            seen, image = ticks, picture.rgb()
        yield image


def _first_video(container: Any) -> Any:
    stream = video_stream(container)
    if stream is None:
        raise Unreadable(Reason.NO_PICTURES, "the file holds no moving pictures")
    stream.thread_type = "AUTO"
    return stream


def _pictures(path: Path, *, start_ms: int) -> Iterator[tuple[int, Picture]]:
    """Pictures whose times rise, the first at or before `start_ms` if any is."""
    aspect: Fraction | None = None

    def choose(container: Any) -> Any:
        nonlocal aspect
        stream = _first_video(container)
        aspect = stream.sample_aspect_ratio
        return stream

    last, size, passed, stumbles = None, None, 0, 0
    for frame in frames_from(path, choose, start_ms=start_ms):
        if size is not None and size != (frame.width, frame.height):
            change = f"from {size[0]}x{size[1]} to {frame.width}x{frame.height}"
            raise Unreadable(Reason.UNDECODABLE, f"the pictures change their size {change}")
        size = (frame.width, frame.height)
        if last is not None and frame.pts <= last:
            stumbles += 1
            if stumbles > max(_STUMBLES, 0.02 * passed):
                raise Unreadable(Reason.UNDECODABLE, f"{stumbles} of {passed + stumbles} pictures come out of order")
            continue
        last, passed = frame.pts, passed + 1
        yield frame.pts, Picture(frame, aspect)


def resize(image: Image, width: int, height: int) -> Image:
    """Scale a picture: by area where it shrinks, by cubic splines where it grows."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
