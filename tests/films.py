"""Small real films whose frames carry their own number in pixels, with clicks at known times.

Upper half: the frame's number as black and white stripes, the highest bit at the left. Lower half: one colour, so a
picture that is turned or whose colours are off is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

BITS = 10
COLOUR = (200, 120, 60)
AUDIO_RATE_HZ = 48_000
TICKS = 90_000
"""Ticks a second of the pictures' times."""

_CLICK_S = 0.0008
"""Standard deviation of a click, s: broad enough for 16 kHz, narrow enough to be placed within a sample."""


def picture(number: int, *, width: int = 160, height: int = 96) -> npt.NDArray[np.uint8]:
    """[height, width, 3] RGB that carries a number."""
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2 :] = COLOUR
    for bit, columns in enumerate(np.array_split(np.arange(width), BITS)):
        if number >> (BITS - 1 - bit) & 1:
            image[: height // 2, columns] = 255
    return image


def number_of(image: npt.NDArray[np.uint8]) -> int:
    """The number that a picture carries, at whatever size."""
    height, width = image.shape[:2]
    band = image[height // 8 : height * 3 // 8].astype(float)
    stripes = np.array_split(np.arange(width), BITS)
    bits = [band[:, columns[len(columns) // 4 : -len(columns) // 4]].mean() > 127 for columns in stripes]
    return sum(int(bit) << (BITS - 1 - place) for place, bit in enumerate(bits))


def steady(fps: Fraction | int, n_frames: int, *, start_s: float = 0.0) -> list[int]:
    """Presentation times of a constant rate, in ticks."""
    return [round(Fraction(number) / fps * TICKS + Fraction(start_s) * TICKS) for number in range(n_frames)]


def clicks(times_s: Sequence[float], *, n_samples: int, rate_hz: int, first_s: float = 0.0) -> npt.NDArray[np.float32]:
    """[n_samples] mono sound, silent but for clicks; the first sample is at `first_s`."""
    time_s = first_s + np.arange(n_samples) / rate_hz
    sound = sum(np.exp(-0.5 * ((time_s - click) / _CLICK_S) ** 2) for click in times_s)
    return np.asarray(0.8 * sound, np.float32)


def lag_samples(seen: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], *, most: int = 4000) -> float:
    """By how many samples `seen` comes later than `wanted`, to a fraction of one."""
    size = 1 << (len(seen) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(seen, size) * np.conj(np.fft.rfft(wanted, size))
    correlation = np.fft.irfft(spectrum, size)
    around = np.concatenate([correlation[-most:], correlation[: most + 1]])
    peak = int(np.clip(np.argmax(around), 1, 2 * most - 1))
    left, top, right = around[peak - 1 : peak + 2]
    return peak - most + 0.5 * (left - right) / (left - 2 * top + right)


def write(
    path: Path,
    ticks: Sequence[int],
    *,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    b_frames: int = 0,
    gop: int = 12,
    aspect: Fraction = Fraction(1),
    click_s: Sequence[float] | None = None,
    audio_codec: str = "aac",
    audio_start_s: float = 0.0,
    audio_s: float | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film with one picture at each of `ticks`, and with sound where clicks are given.

    Args:
        path: the container's format is its suffix.
        ticks: presentation times in 1/90000 s.
        size: width and height as coded.
        codec: encoder of the pictures.
        b_frames: pictures in a row that refer to later ones.
        gop: pictures from one key frame to the next.
        aspect: width of a pixel over its height.
        click_s: times of clicks on the film's clock; no sound at all when missing.
        audio_codec: encoder of the sound.
        audio_start_s: time of the first sample.
        audio_s: length of the sound; to the last picture when missing.
        options: of the container.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, TICKS)
        video.codec_context.gop_size = gop
        video.codec_context.max_b_frames = b_frames
        video.codec_context.sample_aspect_ratio = aspect
        if codec == "libx264":
            video.options = {"crf": "20", "preset": "veryfast", "x264-params": f"scenecut=0:bframes={b_frames}"}
        sound = container.add_stream(audio_codec, rate=AUDIO_RATE_HZ, layout="mono") if click_s else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number, width=size[0], height=size[1]), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = tick, Fraction(1, TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None and click_s is not None:
            length_s = audio_s if audio_s is not None else ticks[-1] / TICKS - audio_start_s
            _write_sound(container, sound, click_s, audio_start_s, length_s)
    return path


def _write_sound(container, stream, click_s, start_s: float, length_s: float) -> None:
    count = round(length_s * AUDIO_RATE_HZ)
    samples = clicks(click_s, n_samples=count, rate_hz=AUDIO_RATE_HZ, first_s=start_s)
    fifo_first = round(start_s * AUDIO_RATE_HZ)
    layout = {"fltp": np.float32, "s16": np.int16, "s16p": np.int16, "flt": np.float32}
    kind = stream.codec_context.format.name
    if layout[kind] is np.int16:
        samples = np.round(samples * 32767).astype(np.int16)
    for first in range(0, count, 1024):
        block = np.ascontiguousarray(samples[first : first + 1024][None])
        frame = av.AudioFrame.from_ndarray(block, format=kind, layout="mono")
        frame.sample_rate = AUDIO_RATE_HZ
        frame.pts, frame.time_base = fifo_first + first, Fraction(1, AUDIO_RATE_HZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
