"""A small run for the tests of the report: tables as the stages write them, and clips whose marks move.

On frame i of a clip a red disc lies on the nose, a green one on the left wrist and a blue one on the right wrist, and
the tables hold exactly these places, in source pixels.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from csg405 import keypoints, table
from csg405.config import Stage
from csg405.media import SAMPLES_PER_FRAME, write_clip
from csg405.report.config import Config
from csg405.run import Folders, Run
from csg405.schema import Clip, Crop, Cut, Decision, FloatArray, Pose, Record, Refusal, Release, Verdict, Video, column

N_FRAMES = 50
SIZE_PX = 512
CROP = {"x_px": 80, "y_px": -20, "side_px": 400}
HOSTILE = '<script>alert("hit")</script> & <b>talk</b>'

COLOURS = {keypoints.NOSE: (235, 30, 30), keypoints.LEFT_WRIST: (20, 170, 40), keypoints.RIGHT_WRIST: (30, 60, 230)}
"""RGB of the disc on each marked point."""


class Settings(Stage):
    """The part of a configuration that the report needs."""

    report: Config = Config()


def empty(root: Path, **options: object) -> Run:
    """A run without any table."""
    return Run(Folders(root, "tiny"), Settings.model_validate({"report": options}))


def places(frame: int) -> np.ndarray:
    """[133, 2]: where the points lie in the released picture of a frame, px."""
    angle = 2 * np.pi * frame / N_FRAMES
    points = np.tile([256.0, 256.0], (keypoints.COUNT, 1))
    points[keypoints.NOSE] = (256, 120)
    points[keypoints.LEFT_SHOULDER], points[keypoints.RIGHT_SHOULDER] = (340, 200), (172, 200)
    points[keypoints.LEFT_ELBOW], points[keypoints.RIGHT_ELBOW] = (390, 290), (122, 290)
    points[keypoints.LEFT_WRIST] = (380 + 60 * np.cos(angle), 300 + 90 * np.sin(angle))
    points[keypoints.RIGHT_WRIST] = (130 + 60 * np.sin(angle), 320 + 90 * np.cos(angle))
    face = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points[keypoints.FACE] = points[keypoints.NOSE] + 45 * np.stack([np.cos(face), 1.3 * np.sin(face)], -1)
    for hand, wrist in ((keypoints.LEFT_HAND, keypoints.LEFT_WRIST), (keypoints.RIGHT_HAND, keypoints.RIGHT_WRIST)):
        for number in range(21):
            finger, joint = divmod(number - 1, 4)
            turn = np.pi * (1.15 + 0.175 * finger)
            reach = 0 if number == 0 else 14 + 11 * joint
            points[hand.start + number] = points[wrist] + reach * np.array([np.cos(turn), np.sin(turn)])
    return points


def picture(frame: int) -> np.ndarray:
    """[512, 512, 3] RGB with a disc on each marked point."""
    image = np.full((SIZE_PX, SIZE_PX, 3), (214, 208, 200), np.uint8)
    for point, colour in COLOURS.items():
        x, y = places(frame)[point]
        cv2.circle(image, (round(x), round(y)), 16, colour, -1, cv2.LINE_AA)
    return image


def pose(clip_id: str, video_id: str) -> Pose:
    """The clip's keypoints in the source picture; points below the hips have no score."""
    points = np.stack([places(frame) for frame in range(N_FRAMES)])
    score = np.full((N_FRAMES, keypoints.COUNT), 0.9, np.float32)
    score[:, 11:23] = 0.1
    return Pose(
        clip_id=clip_id, video_id=video_id, n_frames=N_FRAMES, width=640, height=360,
        keypoints_px=keypoints.from_crop(points, **CROP, size_px=SIZE_PX).reshape(-1),
        score_raw=score.reshape(-1), score=score.reshape(-1),
    )  # fmt: skip


def video(video_id: str, **changes: object) -> Video:
    """A video at hand."""
    facts: dict[str, object] = {
        "video_id": video_id, "source": f"{video_id}.mp4", "status": "ok", "detail": "", "title": None, "channel": None,
        "licence": None, "upload_date": None, "path": f"work/tiny/media/{video_id}.mp4", "sha256": "0" * 64,
        "size_bytes": 1, "duration_s": 60.0, "width": 640, "height": 360, "fps": 25.0, "n_frames": 1500,
        "video_codec": "h264", "audio_codec": "aac", "audio_rate_hz": 48_000,
    }  # fmt: skip
    return Video(**(facts | changes))  # type: ignore[arg-type]


CLIPS = {
    # clip: (video, start_ms, end_ms, sharpness, speech, lip_sync)
    "file.a_0_6000_p0": ("file.a", 0, 6000, 80.0, 0.95, 3.0),
    "file.a_6000_14000_p0": ("file.a", 6000, 14000, 70.0, 0.9, 0.5),
    "file.a_14000_19000_p0": ("file.a", 14000, 19000, 12.0, 0.97, 4.0),
    "file.a_20000_25000_p1": ("file.a", 20000, 25000, 8.0, 0.2, 4.0),
    "file.b_0_4000_p0": ("file.b", 0, 4000, 95.0, None, None),
}
CUT = ("file.a_0_6000_p0", "file.a_14000_19000_p0")
"""The clips of which there are pictures."""


def decide(clip_id: str) -> tuple[list[Decision], Verdict]:
    """Three criteria: sharpness at least 20, speech at least 0.5, and lip_sync at least 2, which only flags."""
    video_id, start_ms, end_ms, *values = CLIPS[clip_id]
    criteria = (("sharpness", 20.0, "drop"), ("speech", 0.5, "drop"), ("lip_sync", 2.0, "review"))
    decisions = [
        Decision(
            clip_id=clip_id, criterion=name, value=value, at_least=limit, at_most=None,
            passed=value is not None and value >= limit, on_fail=on_fail,
        )
        for (name, limit, on_fail), value in zip(criteria, values, strict=True)
    ]  # fmt: skip
    reasons = [each.criterion for each in decisions if not each.passed and each.on_fail == "drop"]
    verdict = Verdict(
        clip_id=clip_id, video_id=video_id, duration_s=(end_ms - start_ms) / 1000, kept=not reasons,
        first_reason=reasons[0] if reasons else None, only_reason=reasons[0] if len(reasons) == 1 else None,
        reasons=reasons, review=[each.criterion for each in decisions if not each.passed and each.on_fail == "review"],
    )  # fmt: skip
    return decisions, verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quality(Record):
    """A measure's table, which the report knows by name only."""

    TABLE: ClassVar[str] = "measures/quality"

    clip_id: str = column("the clip")
    sharpness: float | None = column("how sharp", unit="luma^2")
    curve: FloatArray = column("a series, of which no histogram is drawn")


def full(root: Path, **options: object) -> Run:
    """A run with every table: two videos at hand, two that are not, five candidate clips, two of them kept."""
    run = empty(root, **options)
    _write_sources(run)
    for shard, video_id in (("00000", "file.a"), ("00001", "file.b")):
        mine = [clip_id for clip_id, facts in CLIPS.items() if facts[0] == video_id]
        judged = [decide(clip_id) for clip_id in mine]
        put(run, Clip, shard, [_clip(clip_id) for clip_id in mine])
        put(run, Decision, shard, [decision for decisions, _ in judged for decision in decisions])
        put(run, Verdict, shard, [verdict for _, verdict in judged])
        put(run, Pose, shard, [pose(clip_id, video_id) for clip_id in mine])
        put(run, Crop, shard, [Crop(clip_id=clip_id, video_id=video_id, black_fraction=0.05, outside_fraction=0.0,
                                    **CROP) for clip_id in mine])  # fmt: skip
        put(run, Cut, shard, [_cut(run, clip_id) for clip_id in mine if clip_id in CUT])
        put(run, Release, shard, [_release(clip_id) for clip_id in mine if decide(clip_id)[1].kept])
        curve = np.zeros(3, np.float32)
        put(run, Quality, shard, [Quality(clip_id=c, sharpness=CLIPS[c][3], curve=curve) for c in mine])
    return run


def put(run: Run, record: type[Record], shard: str, rows: list[Record]) -> None:
    """Write one part of a table."""
    table.write_part(table.part_path(run.folders.table(record), shard), record, rows)


def _write_sources(run: Run) -> None:
    gone = {"path": None, "duration_s": None}
    put(run, Video, "00000", [
        video("file.a", title=HOSTILE, duration_s=120.0),
        video("file.b", source="it's \"b\" <i>.mp4"),
        video("youtube.c", status="private", detail="This video is private", **gone),
        video("youtube.d", status="gone", detail="Removed by <u>the uploader</u>", **gone),
    ])  # fmt: skip
    spans = [Refusal(reason="too_short", detail="2.0 s of speech, wanted 4 s", video_id="file.b", operator="candidates",
                     start_s=start, end_s=start + 2) for start in (10.0, 30.0)]  # fmt: skip
    path = table.part_path(run.folders.table(Refusal), "00001", writer="candidates")
    table.write_part(path, Refusal, spans)
    for stage, when in (("crawl", "2026-03-01T10:00:00+00:00"), ("filter", "2026-03-02T11:30:00+00:00")):
        facts = {
            "finished_at": when,
            "configuration": {"criteria": {"sharpness": {"unit": "luma^2", "why": "no blur"}}},
        }
        table.write_text(run.stamp(stage), json.dumps(facts))


def _clip(clip_id: str) -> Clip:
    video_id, start_ms, end_ms, *_ = CLIPS[clip_id]
    return Clip(clip_id=clip_id, video_id=video_id, shot=0, track=0, start_ms=start_ms, end_ms=end_ms,
                n_frames=(end_ms - start_ms) // 40, width=640, height=360)  # fmt: skip


def _cut(run: Run, clip_id: str) -> Cut:
    path = f"media/{clip_id}.mp4"
    beat = 8000 * np.sin(2 * np.pi * 440 * np.arange(N_FRAMES * SAMPLES_PER_FRAME) / 16_000)
    pictures = (picture(frame) for frame in range(N_FRAMES))
    write_clip(run.folders.work / path, pictures, beat.astype(np.int16), size_px=SIZE_PX, preset="veryfast")
    return Cut(clip_id=clip_id, video_id=CLIPS[clip_id][0], path=path, audio_path=f"media/{clip_id}.wav",
               n_frames=N_FRAMES, size_px=SIZE_PX)  # fmt: skip


def _release(clip_id: str) -> Release:
    video_id, start_ms, end_ms, *_ = CLIPS[clip_id]
    return Release(
        clip_id=clip_id, video_id=video_id, split="train", path=f"clips/{clip_id}.mp4",
        audio_path=f"clips/{clip_id}.wav", shard="shards/train-00000.parquet", n_frames=N_FRAMES,
        n_samples=N_FRAMES * SAMPLES_PER_FRAME, start_ms=start_ms, end_ms=end_ms, source=f"{video_id}.mp4", title=None,
        channel=None, licence=None, source_width=640, source_height=360, crop_x_px=CROP["x_px"],
        crop_y_px=CROP["y_px"], crop_side_px=CROP["side_px"], size_px=SIZE_PX, review=decide(clip_id)[1].review,
        sha256="0" * 64,
    )  # fmt: skip
