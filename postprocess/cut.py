"""Cutting a clip out of its source: its square, at 25 fps, with 16 kHz sound, picture by picture on the clock.

A cut is kept under a name that holds what it was made from, so a changed threshold cuts nothing twice: a clip that
is dropped and comes back finds its media. Rejected clips are cut too where the report shows them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from csg405 import media
from csg405.config import Settings
from csg405.media import AUDIO_RATE_HZ, SAMPLES_PER_FRAME
from csg405.media.decode import Image, resize
from csg405.media.encode import write_sound
from csg405.operator import Item, Resources, Setting
from csg405.run import fan_out
from csg405.schema import Clip, Crop, Cut, IntArray, Record, Refusal, Verdict, Video

VERSION = "2"
SCOPE = "clip"
READS = (Clip, Crop, Verdict)
WRITES = (Cut, Refusal)
FILES = {Cut: ("path", "audio_path")}
NEEDS = Resources()


class Config(Settings):
    """Options of the cut."""

    size_px: int = Field(512, ge=64, multiple_of=2, description="side of the released picture, px; CSG-405's")
    crf: int = Field(18, ge=0, le=51, description="x264's constant quality; 18 is hardly told from the source")
    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = Field("medium", description="x264's speed")
    preview_one_in: int = Field(1, ge=0, description="one in so many rejected clips is cut for the report; 0 cuts none")


class Operator:
    """Cuts clips."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config
        self.work = setting.folders.work

    def __call__(self, item: Item) -> Iterable[Record]:
        """One row for a clip that was kept or is shown; a refusal when its source cannot be decoded."""
        clip, crop, verdict = item.the_clip(), item.one(Crop), item.one(Verdict)
        if crop is None or verdict is None or not (verdict.kept or self._is_shown(clip)):
            return
        stem = f"{clip.clip_id}-{self._key(item.video, clip, crop)}"
        path, audio = (fan_out(self.work / "media", stem, suffix) for suffix in (".mp4", ".wav"))
        try:
            if not (path.exists() and audio.exists()):
                self._cut(item.media, clip, crop, path=path, audio=audio)
        except media.Unreadable as error:
            yield Refusal(reason=error.reason, detail=error.detail, start_s=clip.start_s, end_s=clip.end_s)
            return
        yield Cut(
            clip_id=clip.clip_id,
            video_id=clip.video_id,
            path=path.relative_to(self.work).as_posix(),
            audio_path=audio.relative_to(self.work).as_posix(),
            n_frames=clip.n_frames,
            size_px=self.config.size_px,
        )

    def _is_shown(self, clip: Clip) -> bool:
        """Whether a rejected clip is cut for the report: by its id, so no other clip has a say."""
        number = int(hashlib.sha256(clip.clip_id.encode()).hexdigest()[:8], 16)
        return self.config.preview_one_in > 0 and number % self.config.preview_one_in == 0

    def _key(self, video: Video, clip: Clip, crop: Crop) -> str:
        facts = [VERSION, video.sha256, clip.start_ms, clip.n_frames, crop.x_px, crop.y_px, crop.side_px,
                 self.config.size_px, self.config.crf, self.config.preset]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    def _cut(self, source: Path, clip: Clip, crop: Crop, *, path: Path, audio: Path) -> None:
        samples = media.sound(source, start_ms=clip.start_ms, n_samples=SAMPLES_PER_FRAME * clip.n_frames)
        sound = media.int16(samples)
        media.write_clip(
            path, self._pictures(source, clip, crop), sound, size_px=self.config.size_px, crf=self.config.crf,
            preset=self.config.preset,
        )  # fmt: skip
        write_sound(audio, sound)

    def _pictures(self, source: Path, clip: Clip, crop: Crop) -> Iterator[Image]:
        for image in media.frames_on_clock(source, start_ms=clip.start_ms, n_frames=clip.n_frames):
            yield resize(cut_square(image, crop), self.config.size_px, self.config.size_px)


def cut_square(image: Image, crop: Crop) -> Image:
    """The square of a picture; black where it lies outside."""
    side = crop.side_px
    height, width = image.shape[:2]
    left, top = max(crop.x_px, 0), max(crop.y_px, 0)
    part = image[top : max(min(crop.y_px + side, height), top), left : max(min(crop.x_px + side, width), left)]
    if part.shape[:2] == (side, side):
        return part
    result = np.zeros((side, side, 3), np.uint8)
    y, x = top - crop.y_px, left - crop.x_px
    result[y : y + part.shape[0], x : x + part.shape[1]] = part
    return result


def read_sound(path: Path) -> IntArray:
    """The samples of a cut's wav: [640 n_frames].

    Raises:
        ValueError: it is not 16 kHz mono.
    """
    import soundfile

    samples, rate_hz = soundfile.read(path, dtype="int16")
    if rate_hz != AUDIO_RATE_HZ or samples.ndim != 1:
        raise ValueError(f"{path}: {rate_hz} Hz with {samples.ndim} dimensions, wanted {AUDIO_RATE_HZ} Hz mono")
    return np.asarray(samples, np.int16)
