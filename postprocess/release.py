"""The release: kept clips with their media, keypoints in the crop, samples, and a split by source video.

All clips of a video are in one split. The split is drawn from the video's id, so a video keeps its split when others
are added: a model trained on one release is never tested on what it has seen in another.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from csg405 import keypoints as kp
from csg405.config import Settings
from csg405.media import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.operator import Item, Resources, Setting
from csg405.postprocess.cut import read_sound
from csg405.run import fan_out
from csg405.schema import Clip, Crop, Cut, Pose, Record, Release, Sample, Verdict, Video
from csg405.table import part_path, replace_atomically
from csg405.weights import digest

VERSION = "1"
SCOPE = "clip"
READS = (Video, Clip, Verdict, Crop, Cut, Pose)
WRITES = (Release, Sample)
FILES = {Release: ("release/path", "release/audio_path")}
NEEDS = Resources()


class Config(Settings):
    """Options of the release."""

    validation: float = Field(0.05, ge=0, lt=0.5, description="part of the videos for validation")
    test: float = Field(0.1, ge=0, lt=0.5, description="part of the videos for testing")
    seed: int = Field(405, description="another seed draws another split")


class Operator:
    """Releases clips."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config
        self.work = setting.folders.work
        self.folder = setting.folders.work / "release"

    def __call__(self, item: Item) -> Iterable[Record]:
        """Two rows for a clip that was kept: of the table, and of the shard.

        Raises:
            ValueError: frames, keypoint rows and samples do not agree; nothing of that shard is released.
        """
        clip, verdict = item.the_clip(), item.one(Verdict)
        crop, cut, pose = item.one(Crop), item.one(Cut), item.one(Pose)
        if verdict is None or not verdict.kept or crop is None or cut is None or pose is None:
            return
        samples = read_sound(self.work / cut.audio_path)
        if not clip.n_frames == pose.n_frames == cut.n_frames == len(samples) / SAMPLES_PER_FRAME:
            raise ValueError(
                f"{clip.clip_id}: {cut.n_frames} frames, {pose.n_frames} keypoint rows, {len(samples)} samples"
            )
        path, audio = self._place(cut.path, clip.clip_id, ".mp4"), self._place(cut.audio_path, clip.clip_id, ".wav")
        split = split_of(clip.video_id, self.config)
        points = kp.to_crop(pose.keypoints(), x_px=crop.x_px, y_px=crop.y_px, side_px=crop.side_px, size_px=cut.size_px)
        yield Sample(
            clip_id=clip.clip_id, video_id=clip.video_id, split=split, fps=FPS, n_frames=clip.n_frames,
            keypoints_px=points.ravel(), score=pose.score, audio_rate_hz=AUDIO_RATE_HZ, audio_int16=samples,
        )  # fmt: skip
        video = item.video
        yield Release(
            clip_id=clip.clip_id, video_id=clip.video_id, split=split, path=path, audio_path=audio,
            shard=part_path(Path("shards"), item.shard).as_posix(), n_frames=clip.n_frames, n_samples=len(samples),
            start_ms=clip.start_ms, end_ms=clip.end_ms, source=video.source, title=video.title, channel=video.channel,
            licence=video.licence, source_width=clip.width, source_height=clip.height, crop_x_px=crop.x_px,
            crop_y_px=crop.y_px, crop_side_px=crop.side_px, size_px=cut.size_px, review=verdict.review,
            sha256=digest(self.folder / path),
        )  # fmt: skip

    def _place(self, source: str, clip_id: str, suffix: str) -> str:
        """Link a cut's file into the release, and say where it lies there."""
        target = fan_out(self.folder / "clips", clip_id, suffix)
        if not (target.exists() and target.samefile(self.work / source)):
            replace_atomically(target, lambda temporary: link_or_copy(self.work / source, temporary))
        return target.relative_to(self.folder).as_posix()


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, which takes no space; a copy where the file system has none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def split_of(video_id: str, config: Config) -> str:
    """The split of a video: by its id and the seed alone."""
    number = int(hashlib.sha256(f"{config.seed}:{video_id}".encode()).hexdigest()[:12], 16) / 16**12
    if number < config.test:
        return "test"
    return "validation" if number < config.test + config.validation else "train"
