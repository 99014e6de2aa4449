"""Every table that stages share: one frozen record per table, with the meaning and unit on each field.

The Arrow schema, the JSON Schema in `manifests/schema/`, the page `docs/tables.md` and the validator are all
derived from these records, so they cannot disagree; `python -m csg405.schema_docs` writes the pages anew. An
operator's own measurements are declared beside the operator, with the same `column`.

Times are presentation timestamps as the video's container gives them, in seconds (`_s`) or whole milliseconds
(`_ms`); a span contains its start and not its end. Pixels are counted from the centre of the top-left one, x to
the right, y down.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA_VERSION = "1.1"
"""Major: a reader of another major refuses. Minor: columns were added, or may be missing that never were."""

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int16]

Root = Literal["manifests", "work"]


class Reason(enum.StrEnum):
    """Why a video or a span of one was not taken further. Expected outcomes; anything else is a failure."""

    # crawl
    GONE = "gone"
    """The site says that the video no longer exists, or it was taken out of the folder or off the list."""
    PRIVATE = "private"
    """The site wants an account that may see the video."""
    AGE_RESTRICTED = "age_restricted"
    """The site wants a signed-in adult."""
    GEO_BLOCKED = "geo_blocked"
    """The site does not show the video in this country."""
    BOT_WALL = "bot_wall"
    """The site asks to confirm that this is not a robot: slow down, or give cookies."""
    RATE_LIMITED = "rate_limited"
    """HTTP 429, or the site's own words for it."""
    FORBIDDEN = "forbidden"
    """HTTP 403."""
    NETWORK = "network"
    """No connection, a time-out, or a body that ended early; worth another try."""
    UNSUPPORTED = "unsupported"
    """yt-dlp knows no way to find a video at this address, or in no format that was asked for."""
    EMPTY_FILE = "empty_file"
    """The file holds no bytes."""
    NOT_A_VIDEO = "not_a_video"
    """The file is no media container that FFmpeg can open."""
    NO_PICTURES = "no_pictures"
    """The container holds no moving pictures."""
    TRUNCATED = "truncated"
    """The container announces more than the file holds."""
    # annotate
    UNDECODABLE = "undecodable"
    """The pictures or the sound cannot be decoded, or carry no timestamps."""
    NO_AUDIO = "no_audio"
    """The video has no audio stream."""
    NO_SPEECH = "no_speech"
    """Nobody is heard speaking."""
    NO_PERSON = "no_person"
    """Nobody is seen."""
    TOO_SHORT = "too_short"
    """A run of one person, or the speech in it, is shorter than a clip."""


def column(meaning: str, *, unit: str = "", arrow: pa.DataType | None = None, default: Any = ...) -> Any:
    """A record's field with its meaning, its unit, and where needed its Arrow type and default."""
    metadata = {"meaning": meaning, "unit": unit, "arrow": arrow}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(metadata=metadata, default=default)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A row. Subclasses name their table, and the root below which its parts lie."""

    TABLE: ClassVar[str]
    ROOT: ClassVar[Root] = "manifests"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video(Record):
    """One source video that the crawl knows of, whatever became of it."""

    TABLE: ClassVar[str] = "videos"

    video_id: str = column("`<site>.<id>`; for a local file `file.` and the first 16 hex digits of its sha256")
    source: str = column("what was asked for: an address, or a file's path below the source folder")
    status: str = column("`ok`, or the reason why the video is not at hand")
    detail: str = column("what was seen, in words; empty when ok")
    title: str | None = column("title given by the site")
    channel: str | None = column("channel or uploader given by the site")
    licence: str | None = column("licence given by the site; unknown when missing")
    upload_date: str | None = column("day of publication, YYYYMMDD")
    path: str | None = column("media file, relative to the project's root; missing unless ok")
    sha256: str | None = column("digest of the media file")
    size_bytes: int | None = column("size of the media file", unit="bytes")
    duration_s: float | None = column("end of the last picture less the start of the first", unit="s")
    width: int | None = column("width as displayed: rotated, with square pixels", unit="px")
    height: int | None = column("height as displayed: rotated, with square pixels", unit="px")
    fps: float | None = column("mean frame rate", unit="frames/s")
    n_frames: int | None = column("pictures in the video stream", unit="frames")
    video_codec: str | None = column("codec of the pictures")
    audio_codec: str | None = column("codec of the first audio stream; missing where there is none")
    audio_rate_hz: int | None = column("sampling rate of the first audio stream", unit="Hz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt(Record):
    """One try at a source, dated. Append-only: nothing here is ever rewritten."""

    TABLE: ClassVar[str] = "attempts"

    source: str = column("what was asked for")
    video_id: str | None = column("id of the video, where it got that far")
    status: str = column("`ok`, or the reason of the failure")
    detail: str = column("what was seen, in words")
    started_at: str = column("UTC, ISO 8601")
    seconds: float = column("how long the try took", unit="s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusal(Record):
    """One video, or one span of it, that was not taken further."""

    TABLE: ClassVar[str] = "refusals"

    reason: str = column("one of the reasons that `csg405.schema.Reason` lists")
    detail: str = column("what was seen and what was wanted, in words")
    video_id: str = column("the video", default="")
    operator: str = column("the operator that refused", default="")
    clip_id: str | None = column("the clip, where it was one", default=None)
    start_s: float | None = column("start of the span; missing when it is the whole video", unit="s", default=None)
    end_s: float | None = column("end of the span", unit="s", default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shot(Record):
    """One shot: pictures between two cuts."""

    TABLE: ClassVar[str] = "shots"

    video_id: str = column("the video")
    shot: int = column("number of the shot within the video, from 0")
    start_s: float = column("time of the first picture", unit="s")
    end_s: float = column("end of the last picture", unit="s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sighting(Record):
    """One person on one sampled frame."""

    TABLE: ClassVar[str] = "sightings"

    video_id: str = column("the video")
    shot: int = column("the shot; a track never crosses a cut")
    track: int = column("the person's track, numbered over the whole video from 0")
    time_s: float = column("time of the frame", unit="s")
    x1_px: float = column("left edge of the person's box", unit="px")
    y1_px: float = column("top edge", unit="px")
    x2_px: float = column("right edge", unit="px")
    y2_px: float = column("bottom edge", unit="px")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameStat(Record):
    """What one sampled frame looks like."""

    TABLE: ClassVar[str] = "frames"

    video_id: str = column("the video")
    time_s: float = column("time of the frame", unit="s")
    sharpness: float = column(
        "variance of the Laplacian of the luma of the largest person's box, or of the frame where there is nobody, "
        "scaled to 512 px height",
        unit="luma^2",
    )
    luma_mean: float = column("mean luma", unit="0-255")
    luma_low: float = column("5th percentile of the luma", unit="0-255")
    luma_high: float = column("95th percentile of the luma", unit="0-255")
    change: float = column(
        "largest mean difference of two successive frames (64 px high, luma) since the sample before", unit="0-255"
    )
    pictures: int = column("frames since the sample before, this one included", unit="frames")
    repeated: int = column("how many of them are the same as the frame before them", unit="frames")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechSpan(Record):
    """One span of the sound in which somebody is heard speaking."""

    TABLE: ClassVar[str] = "speech"

    video_id: str = column("the video")
    start_s: float = column("start, on the clock of the pictures", unit="s")
    end_s: float = column("end", unit="s")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip(Record):
    """One candidate: a run of one main person inside one shot, cut at pauses of the speech."""

    TABLE: ClassVar[str] = "clips"

    clip_id: str = column("`<video_id>_<start_ms>_<end_ms>_p<track>`; never parsed to find a field")
    video_id: str = column("the video")
    shot: int = column("the shot")
    track: int = column("the main person's track")
    start_ms: int = column("start, rounded half up", unit="ms")
    end_ms: int = column("end, exclusive, rounded half up", unit="ms")
    n_frames: int = column("frames of the 25 fps clock", unit="frames")
    width: int = column("width of the source picture", unit="px")
    height: int = column("height of the source picture", unit="px")

    @property
    def start_s(self) -> float:
        """Start in seconds."""
        return self.start_ms / 1000

    @property
    def end_s(self) -> float:
        """End in seconds, exclusive."""
        return self.end_ms / 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pose(Record):
    """The main person's 133 keypoints on every frame of the clip's clock, in source pixels."""

    TABLE: ClassVar[str] = "poses"
    ROOT: ClassVar[Root] = "work"

    clip_id: str = column("the clip")
    video_id: str = column("the video")
    n_frames: int = column("rows of the arrays", unit="frames")
    width: int = column("width of the source picture", unit="px")
    height: int = column("height of the source picture", unit="px")
    keypoints_px: FloatArray = column("[n_frames, 133, 2] flattened: x, y in the source picture", unit="px")
    score_raw: FloatArray = column("[n_frames, 133] flattened: as rtmlib gives it, mean of the two SimCC peaks")
    score: FloatArray = column("[n_frames, 133] flattened: calibrated for the network that made it", unit="0-1")

    def keypoints(self) -> FloatArray:
        """Coordinates as [n_frames, 133, 2]."""
        return self.keypoints_px.reshape(self.n_frames, -1, 2)

    def scores(self) -> FloatArray:
        """Calibrated scores as [n_frames, 133]."""
        return self.score.reshape(self.n_frames, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision(Record):
    """One criterion on one clip. Every criterion is scored on every clip."""

    TABLE: ClassVar[str] = "decisions"

    clip_id: str = column("the clip")
    criterion: str = column("name of the criterion")
    value: float | None = column("the measurement; missing where it could not be made")
    at_least: float | None = column("lower threshold; missing where there is none")
    at_most: float | None = column("upper threshold; missing where there is none")
    passed: bool = column("whether the value lies within the thresholds")
    on_fail: str = column("`drop`: a failure rejects the clip; `review`: it is only flagged")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict(Record):
    """What became of a clip."""

    TABLE: ClassVar[str] = "verdicts"

    clip_id: str = column("the clip")
    video_id: str = column("the video")
    duration_s: float = column("length", unit="s")
    kept: bool = column("no dropping criterion failed")
    first_reason: str | None = column("first dropping criterion that failed, in the order of the criteria")
    only_reason: str | None = column("the dropping criterion that failed, where it was the only one")
    reasons: list[str] = column("all dropping criteria that failed")
    review: list[str] = column("all reviewing criteria that failed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crop(Record):
    """The square that is cut out of every frame of a clip."""

    TABLE: ClassVar[str] = "crops"

    clip_id: str = column("the clip")
    video_id: str = column("the video")
    x_px: int = column("left edge in the source picture; negative where black is added", unit="px")
    y_px: int = column("top edge", unit="px")
    side_px: int = column("side of the square", unit="px")
    black_fraction: float = column("part of the square that lies outside the picture", unit="0-1")
    outside_fraction: float = column("part of the confident upper-body points outside the square", unit="0-1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut(Record):
    """The media of a clip that was kept, or that the report shows: its square, at 25 fps, with its sound."""

    TABLE: ClassVar[str] = "cuts"

    clip_id: str = column("the clip")
    video_id: str = column("the video")
    path: str = column("mp4 with sound, relative to work/<run>")
    audio_path: str = column("16 kHz mono wav, relative to work/<run>")
    n_frames: int = column("frames", unit="frames")
    size_px: int = column("side of the picture", unit="px")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release(Record):
    """One released clip: constant 25 fps, frame i and samples [640 i, 640 (i+1)) are the same 40 ms."""

    TABLE: ClassVar[str] = "release"

    clip_id: str = column("the clip")
    video_id: str = column("the source video")
    split: str = column("train, validation or test; all clips of a video are in one")
    path: str | None = column(
        "mp4 with sound, relative to the release folder; missing in a release without pictures, as of synthetic truth"
    )
    audio_path: str | None = column(
        "16 kHz mono wav, relative to the release folder; missing with `path`: the samples are in the shard"
    )
    shard: str = column("Parquet file with keypoints and samples, relative to the release folder")
    n_frames: int = column("frames, and keypoint rows", unit="frames")
    n_samples: int = column("audio samples at 16 kHz: 640 a frame", unit="samples")
    start_ms: int = column("start in the source", unit="ms")
    end_ms: int = column("end in the source, exclusive", unit="ms")
    source: str = column("address or file name of the source video; of a synthetic one, the numbers it follows from")
    title: str | None = column("title given by the site")
    channel: str | None = column("channel given by the site; of a synthetic video, the talker")
    licence: str | None = column("licence given by the site; unknown when missing")
    source_width: int = column("width of the source picture", unit="px")
    source_height: int = column("height of the source picture", unit="px")
    crop_x_px: int = column("left edge of the crop in the source picture", unit="px")
    crop_y_px: int = column("top edge", unit="px")
    crop_side_px: int = column("side of the crop", unit="px")
    size_px: int = column("side of the released picture", unit="px")
    review: list[str] = column("criteria that ask for a look at this clip")
    sha256: str | None = column("digest of the mp4; missing with `path`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """One released clip's arrays: a row of a release shard."""

    TABLE: ClassVar[str] = "release/shards"
    ROOT: ClassVar[Root] = "work"

    clip_id: str = column("the clip")
    video_id: str = column("the source video")
    split: str = column("train, validation or test")
    fps: int = column("frames a second", unit="frames/s")
    n_frames: int = column("frames", unit="frames")
    keypoints_px: FloatArray = column("[n_frames, 133, 2] flattened: x, y in the released picture", unit="px")
    score: FloatArray = column("[n_frames, 133] flattened", unit="0-1")
    audio_rate_hz: int = column("sampling rate", unit="Hz")
    audio_int16: IntArray = column("[640 n_frames]: mono sound", unit="1/32768")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Word(Record):
    """One word of a released clip, where it is heard; rows in the order in which the words are spoken."""

    TABLE: ClassVar[str] = "words"

    clip_id: str = column("the clip")
    word: str = column("the word as written, without punctuation")
    start_s: float = column("start, counted from the clip's start", unit="s")
    end_s: float = column("end, counted from the clip's start", unit="s")
    stress_s: float | None = column(
        "start of its stressed vowel, counted from the clip's start; missing where it has none, or nobody knows",
        unit="s",
    )


SHARED: tuple[type[Record], ...] = (
    Video, Attempt, Refusal, Shot, Sighting, FrameStat, SpeechSpan, Clip, Pose, Decision, Verdict, Crop,
    Cut, Release, Sample,
)  # fmt: skip
"""The tables that stages share, in the order in which they come to be."""
