"""The sound of a span as 16 kHz mono, placed by its own times on the pictures' clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from csg405.media.clock import AUDIO_RATE_HZ
from csg405.media.probe import Unreadable
from csg405.media.stream import frames_from
from csg405.schema import FloatArray, IntArray, Reason

_PREROLL_MS = 2000
"""How far before a span decoding begins, so that the decoder has settled when it begins, ms."""

_SLACK_SAMPLES = AUDIO_RATE_HZ // 200
"""Blocks that are this near to following each other do follow: 5 ms. Matroska counts whole milliseconds, and at
16 kHz a block of AAC is no whole number of samples; taken by the letter, each block would begin with a click."""


_FULL_SCALE = 2.0**31
"""Of 32-bit samples. Of integers FFmpeg's mixture of channels is their weighted mean; of floats it would be a sum that
keeps the power, 3 dB louder where two channels are alike, and clipped when it is written."""


def sound(path: Path, *, start_ms: int, n_samples: int) -> FloatArray:
    """The sound of a span: [n_samples] mono at 16 kHz, -1 to 1, silence where there is none.

    Args:
        path: the source; its first audio stream is read.
        start_ms: start of the span on the source's clock.
        n_samples: samples wanted, at 16 kHz.

    Raises:
        Unreadable: no audio stream, or it cannot be decoded.
    """
    result = np.zeros(n_samples, np.float32)
    origin = start_ms * AUDIO_RATE_HZ // 1000
    for first, samples in _placed(_mono(frames_from(path, _first_audio, start_ms=start_ms - _PREROLL_MS))):
        begin = first - origin
        if begin >= n_samples:
            break
        skip = max(0, -begin)
        part = samples[skip : n_samples - begin]
        if part.size:
            result[begin + skip : begin + skip + part.size] = part
    return result


def whole_sound(path: Path, *, longest_s: float) -> FloatArray:
    """All the sound of a file from its first sample on: [n] mono at 16 kHz, -1 to 1, gaps filled with silence.

    Args:
        path: of the first audio stream of which it is read.
        longest_s: no more is taken, s.

    Raises:
        Unreadable: no audio stream, nothing in it, more than is taken, or it cannot be decoded.
    """
    most = round(longest_s * AUDIO_RATE_HZ)
    pieces: list[FloatArray] = []
    origin, length = 0, 0
    for first, samples in _placed(_mono(frames_from(path, _first_audio, start_ms=0))):
        if not pieces:
            origin = first
        gap = first - origin - length
        if max(gap, 0) + length + len(samples) > most:
            raise Unreadable(Reason.NO_AUDIO, f"it has more than {longest_s:g} s of sound")
        if gap > 0:
            pieces.append(np.zeros(gap, np.float32))
        pieces.append(samples[max(-gap, 0) :])
        length = max(length, first - origin + len(samples))
    if not length:
        raise Unreadable(Reason.NO_AUDIO, "the file has an audio stream with nothing in it")
    return np.concatenate(pieces)


def int16(samples: FloatArray) -> IntArray:
    """Samples between -1 and 1 as 16-bit numbers; what is beyond is clipped."""
    return np.rint(np.clip(samples, -1, 1) * np.iinfo(np.int16).max).astype(np.int16)


def _first_audio(container: Any) -> Any:
    if not container.streams.audio:
        raise Unreadable(Reason.NO_AUDIO, "the file has no audio stream")
    return container.streams.audio[0]


def _placed(blocks: Iterable[Any]) -> Iterator[tuple[int, FloatArray]]:
    """Blocks with the number of their first sample, counted from time 0."""
    following: int | None = None
    for block in blocks:
        if block.pts is None:
            continue
        number = round(block.pts * Fraction(block.time_base) * AUDIO_RATE_HZ)
        if following is not None and abs(number - following) <= _SLACK_SAMPLES:
            number = following
        following = number + block.samples
        yield number, (block.to_ndarray().reshape(-1) / _FULL_SCALE).astype(np.float32)


def _mono(frames: Iterable[Any]) -> Iterator[Any]:
    """Blocks of sound as 16 kHz mono; a stream may change its rate or channels on the way."""
    kind, resampler = None, None
    for frame in frames:
        seen = (frame.format.name, frame.layout.name, frame.sample_rate)
        if seen != kind:
            if resampler is not None:
                yield from resampler.resample(None)
            kind, resampler = seen, av.AudioResampler(format="s32", layout="mono", rate=AUDIO_RATE_HZ)
        yield from resampler.resample(frame)  # type: ignore[union-attr]
    if resampler is not None:
        yield from resampler.resample(None)
