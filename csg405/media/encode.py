"""Writing films: H.264 and AAC in mp4, with the very pictures and samples that are given.

ffmpeg-python drives the ffmpeg binary that imageio-ffmpeg ships, one thread, no metadata: the same input gives the
same bytes. A released clip is a square film on the 25 fps clock.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import soundfile

from csg405.media.clock import AUDIO_RATE_HZ, FPS
from csg405.media.decode import Image
from csg405.schema import IntArray
from csg405.table import replace_atomically


def write_clip(
    path: Path, pictures: Iterable[Image], samples: IntArray, *, size_px: int, crf: int = 18, preset: str = "medium"
) -> None:
    """Encode a released clip, whole or not at all.

    Args:
        path: the mp4 to write.
        pictures: [size_px, size_px, 3] RGB, one for each frame of the clock.
        samples: [640 n_frames] mono sound at 16 kHz.
        size_px: side of the picture.
        crf: x264's constant quality, 0 (lossless) to 51.
        preset: x264's speed.

    Raises:
        RuntimeError: ffmpeg failed; the message holds its own words.
    """
    write_film(path, pictures, samples, size=(size_px, size_px), crf=crf, preset=preset)


def write_film(
    path: Path,
    pictures: Iterable[Image],
    samples: IntArray | None,
    *,
    size: tuple[int, int],
    fps: float = FPS,
    crf: int = 20,
    preset: str = "veryfast",
) -> None:
    """Encode a film, whole or not at all.

    Args:
        path: the mp4 to write.
        pictures: [height, width, 3] RGB.
        samples: mono sound at 16 kHz; no audio stream when missing.
        size: width and height, even.
        fps: pictures a second.
        crf: x264's constant quality, 0 (lossless) to 51.
        preset: x264's speed.

    Raises:
        RuntimeError: ffmpeg failed; the message holds its own words.
    """
    with tempfile.TemporaryDirectory() as folder:
        sound = []
        if samples is not None:
            wav = Path(folder) / "sound.wav"
            soundfile.write(wav, samples, AUDIO_RATE_HZ, subtype="PCM_16")
            sound = [ffmpeg.input(str(wav)).audio]
        raw = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{size[0]}x{size[1]}", framerate=fps)
        video = raw.filter("scale", out_color_matrix="bt709", out_range="tv").filter(
            "setparams", colorspace="bt709", color_primaries="bt709", color_trc="bt709", range="tv"
        )
        how = {"vcodec": "libx264", "crf": crf, "preset": preset, "pix_fmt": "yuv420p", "movflags": "+faststart",
               "threads": 1, "map_metadata": -1, "fflags": "+bitexact"}  # fmt: skip
        if sound:
            how |= {"acodec": "aac", "audio_bitrate": "96k"}
        replace_atomically(
            path,
            lambda temporary: _run(ffmpeg.output(video, *sound, str(temporary), **how), pictures, name=path.name),
        )


def write_sound(path: Path, samples: IntArray) -> None:
    """Write mono sound at 16 kHz as a wav, whole or not at all."""
    replace_atomically(path, lambda temporary: soundfile.write(temporary, samples, AUDIO_RATE_HZ, subtype="PCM_16"))


def _run(stream: Any, pictures: Iterable[Image], *, name: str) -> None:
    """Feed pictures to ffmpeg."""
    process = (
        stream.global_args("-hide_banner", "-loglevel", "error", "-nostdin")
        .overwrite_output()
        .run_async(cmd=imageio_ffmpeg.get_ffmpeg_exe(), pipe_stdin=True, pipe_stderr=True)
    )
    try:
        for picture in pictures:
            process.stdin.write(picture.tobytes())
    except BrokenPipeError:
        pass  # ffmpeg ended early; its exit status and words say why
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        words = process.stderr.read().decode(errors="replace").strip()
        status = process.wait()
    if status:
        raise RuntimeError(f"ffmpeg ended with status {status} on {name}: {words}")
