"""133 keypoints of the main person on every frame of a candidate's 25 fps clock.

The person's box on a frame lies on the line between the sightings before and after it; rtmlib enlarges it by a
quarter before it cuts the person out, which covers what moves between two sightings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from csg405 import media
from csg405.annotate._networks import estimator_of, pose_file
from csg405.config import Settings
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, FloatArray, Pose, Record, Refusal, Sighting
from csg405.weights import Channels, digest

VERSION = "1"
SCOPE = "clip"
READS = (Clip, Sighting)
WRITES = (Pose, Refusal)
NEEDS = Resources(gpu=True)
IGNORED = ("mode", "batch")
"""The network counts by its digest, and a batch gives what its pictures give one by one."""


class Config(Settings):
    """Which networks are used, and how."""

    mode: Literal["lightweight", "balanced", "performance", "synthetic"] = Field(
        "balanced",
        description="published pair of detector and RTMW network, by rtmlib's names, fetched on first use; or "
        "`synthetic`, the pair of the synthetic world, which knows no real people",
    )
    detector: Path | None = Field(None, description="an ONNX file with YOLOX's contract, in place of the published one")
    pose: Path | None = Field(None, description="an ONNX file with RTMPose's whole-body contract, in place of it")
    channels: Channels | None = Field(None, description="channel order of `pose`; RTMPose and RTMW want rgb")
    score_scale: float | None = Field(None, gt=0, description="raw score of `pose` that counts as certain")
    batch: int = Field(8, ge=1, description="pictures a call of the network, where its batch is free")


def weights(setting: Setting) -> list[str]:
    """The pose network's digest."""
    return [digest(pose_file(setting.config))]


def check(setting: Setting) -> None:
    """Load the network once, so that a wrong file is one message and not one a shard."""
    estimator_of(setting.config, device=setting.device)


class Operator:
    """Estimates poses."""

    def __init__(self, setting: Setting) -> None:
        self.estimate = estimator_of(setting.config, device=setting.device)
        self.batch = max(setting.config.batch, self.estimate.batch)

    def __call__(self, item: Item) -> Iterable[Record]:
        """The clip's poses; a refusal when its pictures cannot be decoded."""
        clip = item.the_clip()
        boxes = boxes_on_clock(clip, item.read(Sighting))
        try:
            parts = list(self._estimate(item, boxes))
        except media.Unreadable as error:
            yield Refusal(reason=error.reason, detail=error.detail, start_s=clip.start_s, end_s=clip.end_s)
            return
        points = np.concatenate([points for points, _ in parts])
        raw = np.concatenate([raw for _, raw in parts])
        yield Pose(
            clip_id=clip.clip_id, video_id=clip.video_id, n_frames=len(points), width=clip.width, height=clip.height,
            keypoints_px=points.ravel(), score_raw=raw.ravel(), score=self.estimate.calibrated(raw).ravel(),
        )  # fmt: skip

    def _estimate(self, item: Item, boxes: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        clip = item.the_clip()
        pictures = media.frames_on_clock(item.media, start_ms=clip.start_ms, n_frames=clip.n_frames)
        for first in range(0, clip.n_frames, self.batch):
            images = list(itertools.islice(pictures, self.batch))
            yield self.estimate(images, boxes[first : first + len(images)])
            item.tick(first / clip.n_frames)


def boxes_on_clock(clip: Clip, sightings: list[Sighting]) -> FloatArray:
    """The main person's box on every frame of the clock.

    Args:
        clip: the clip.
        sightings: all sightings in the clip's video.

    Returns:
        [n_frames, 4] x1, y1, x2, y2 in source pixels.
    """
    own = [sight for sight in sightings if sight.track == clip.track]
    seen_s = np.array([sight.time_s for sight in own])
    corners = np.array([[sight.x1_px, sight.y1_px, sight.x2_px, sight.y2_px] for sight in own])
    wanted_s = clip.start_s + np.arange(clip.n_frames) / media.FPS
    return np.stack([np.interp(wanted_s, seen_s, corner) for corner in corners.T], axis=1).astype(np.float32)
