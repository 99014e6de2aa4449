"""One pass over a video's pictures, without poses: shots, persons and their tracks, and what the pictures look like.

Every picture is decoded once. PySceneDetect's ContentDetector is fed from the small version of each; a few pictures
a second are looked at in full, for persons (YOLOX), sharpness, exposure and change.

Shot threshold and shortest shot: PySceneDetect's own defaults (27; 15 frames), which video2dataset and Data-Juicer
use for the same purpose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from pydantic import Field

from csg405 import media
from csg405.annotate._networks import detector_file, detector_of
from csg405.annotate._tracks import Seen, link
from csg405.config import Settings
from csg405.media.decode import Image, Picture, resize
from csg405.operator import Item, Resources, Setting
from csg405.schema import FloatArray, FrameStat, Reason, Record, Refusal, Shot, Sighting, Video
from csg405.weights import digest

VERSION = "2"
SCOPE = "video"
READS = ()
WRITES = (Shot, Sighting, FrameStat, Refusal)
NEEDS = Resources(gpu=True)

_SMALL_PX = 256
"""Longer side of the pictures that cuts are looked for in, px: PySceneDetect's own working size."""

_CHANGE_PX = 64
"""Height of the pictures whose change is measured, px: small enough that noise and grain do not count."""

_SAME = 0.02
"""Two successive pictures that differ by less, of 255, are the same one: an encoder leaves hardly a trace of what does
not change, and people who sit still differ by more in 99 of 100 pictures of three real films."""

_SHARPNESS_PX = 512
"""Height that the person is scaled to before sharpness is measured, px: about that of the released picture."""


class Config(Settings):
    """Options of the pass."""

    sample_hz: float = Field(5, gt=0, description="pictures a second that are looked at in full, Hz")
    cut_threshold: float = Field(27, gt=0, description="ContentDetector's threshold, 0-255")
    min_shot_s: float = Field(0.6, ge=0, description="shortest shot, s; 15 frames at 25 fps")
    person_score: float = Field(0.5, ge=0, le=1, description="lowest score of a person")
    track_iou: float = Field(0.3, gt=0, lt=1, description="lowest overlap of two sightings of one person")
    track_gap_s: float = Field(1.0, gt=0, description="longest time that a track survives unseen, s")


def weights(setting: Setting) -> list[str]:
    """The detector's digest."""
    return [digest(detector_file(setting.stage.pose))]


def check(setting: Setting) -> None:
    """Load the detector once, so that a wrong file is one message and not one a shard."""
    detector_of(setting.stage.pose, device=setting.device, score_threshold=setting.config.person_score)


@dataclasses.dataclass(frozen=True)
class _Pass:
    """What one pass over the pictures saw."""

    times_s: list[float]
    """Of every picture."""
    cuts: list[int]
    """Numbers of the pictures that begin a shot, but for the first."""
    seen: list[Seen]
    stats: list[FrameStat]


class Operator:
    """Scans videos."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config
        self.detect = detector_of(setting.stage.pose, device=setting.device, score_threshold=self.config.person_score)

    def __call__(self, item: Item) -> Iterable[Record]:
        """Rows of one video; a refusal when nobody is seen or it cannot be decoded."""
        try:
            found = self._look(item)
        except media.Unreadable as error:
            yield Refusal(reason=error.reason, detail=error.detail)
            return
        shots = list(_shots(item.video.video_id, found))
        yield from shots
        yield from found.stats
        sightings = list(self._tracks(item.video.video_id, shots, found.seen))
        yield from sightings
        if not sightings:
            yield Refusal(reason=Reason.NO_PERSON, detail=f"nobody in {len(found.seen)} pictures looked at")

    def _look(self, item: Item) -> _Pass:
        from scenedetect import ContentDetector, FrameTimecode

        video = item.video
        fps = video.fps or float(media.FPS)
        cutter = ContentDetector(
            threshold=self.config.cut_threshold, min_scene_len=max(1, round(self.config.min_shot_s * fps))
        )
        found = _Pass([], [], [], [])
        changes: list[float] = []
        next_s, before = -np.inf, None
        for number, (_, picture) in enumerate(media.frames(item.media)):
            small = picture.rgb(height=_small_height(video))
            found.cuts.extend(
                cut.frame_num for cut in cutter.process_frame(FrameTimecode(number, fps), small[..., ::-1].copy())
            )
            luma = resize(_luma(small), max(1, small.shape[1] * _CHANGE_PX // small.shape[0]), _CHANGE_PX).astype(
                np.int16
            )
            if before is not None:
                changes.append(float(np.abs(luma - before).mean()))
            before = luma
            found.times_s.append(picture.time_s)
            if picture.time_s >= next_s:
                next_s = max(next_s, picture.time_s - 1 / self.config.sample_hz) + 1 / self.config.sample_hz
                self._sample(picture, video.video_id, changes, found)
                item.tick(min(1.0, number / max(video.n_frames or 1, 1)))
                changes = []
        if not found.times_s:
            raise media.Unreadable(Reason.UNDECODABLE, "no picture can be decoded")
        return found

    def _sample(self, picture: Picture, video_id: str, changes: list[float], found: _Pass) -> None:
        image = picture.rgb()
        boxes = self.detect(image)
        found.seen.append(Seen(picture.time_s, boxes))
        found.stats.append(_stat(image, boxes, video_id, picture.time_s, changes))

    def _tracks(self, video_id: str, shots: list[Shot], seen: list[Seen]) -> Iterator[Sighting]:
        first = 0
        for shot in shots:
            within = [sight for sight in seen if shot.start_s <= sight.time_s < shot.end_s]
            linked = link(within, min_iou=self.config.track_iou, max_gap_s=self.config.track_gap_s)
            for time_s, track, box in linked:
                x1, y1, x2, y2 = (float(value) for value in box)
                yield Sighting(
                    video_id=video_id, shot=shot.shot, track=first + track, time_s=time_s, x1_px=x1, y1_px=y1, x2_px=x2,
                    y2_px=y2,
                )  # fmt: skip
            first += max((track for _, track, _ in linked), default=-1) + 1


def _small_height(video: Video) -> int:
    width, height = video.width or 1, video.height or 1
    return max(1, min(height, round(height * _SMALL_PX / max(width, height))))


def _luma(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _shots(video_id: str, found: _Pass) -> Iterator[Shot]:
    times = found.times_s
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / media.FPS
    starts = sorted({0, *(cut for cut in found.cuts if 0 < cut < len(times))})
    ends = [times[start] for start in starts[1:]] + [times[-1] + step]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        yield Shot(video_id=video_id, shot=number, start_s=times[start], end_s=end)


def _stat(image: Image, boxes: FloatArray, video_id: str, time_s: float, changes: list[float]) -> FrameStat:
    luma = _luma(image)
    x1, y1, x2, y2 = (round(float(value)) for value in boxes[0]) if len(boxes) else (0, 0, luma.shape[1], luma.shape[0])
    person = luma[y1:y2, x1:x2]
    if min(person.shape) < 2:
        person = luma
    width = max(1, round(person.shape[1] * _SHARPNESS_PX / person.shape[0]))
    low, high = np.percentile(luma[::4, ::4], [5, 95])
    return FrameStat(
        video_id=video_id,
        time_s=time_s,
        sharpness=float(cv2.Laplacian(resize(person, width, _SHARPNESS_PX), cv2.CV_32F).var()),
        luma_mean=float(luma.mean()),
        luma_low=float(low),
        luma_high=float(high),
        change=max(changes, default=0.0),
        pictures=len(changes),
        repeated=sum(change < _SAME for change in changes),
    )
