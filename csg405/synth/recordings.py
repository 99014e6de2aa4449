"""Recordings that were never drawn: who of the synthetic world says what in an hour of truth, and the rows of it.

An `Order` is divided into recordings, evenly over its talkers; a recording is what would be a source video: takes of
one talker one after the other, each of which becomes a clip. All follows from the order's seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from csg405 import keypoints as kp
from csg405 import table
from csg405.crop import Framing, around, extent, kept_points
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, FPS, FRAME_MS
from csg405.media.sound import int16
from csg405.schema import Pose, Record, Release, Sample, Word
from csg405.synth import talker, texts
from csg405.synth.film import Take

VERSION = "1"
"""Changes whenever the same order gives other rows, also when talkers come to move, speak or be framed otherwise."""

SIZE_PX = 512
"""Side of the picture that keypoints lie in."""

LICENCE = "synthetic: no person, film or recording is in it"

_TALKERS_MOST = 100_000
"""Talkers of one seed; those of the next are numbered after them, so no two seeds share one."""

_RECORDING_S = 120.0
"""Most speech that is asked of a recording, s; its last clip may end later. 9 MB of arrays."""

_RECORDINGS_LEAST = 2
"""Of a talker."""

_PACE = 0.88
"""How long a word takes, in parts of what the voice's words a minute say: espeak-ng, over 30 voices."""

_MORE_WORDS = 6
"""By so many words a monologue is longer than asked for, for it ends with a sentence."""

_TRIES = 100
"""Monologues that are spoken to find one of a length that is allowed; usually the first or second is."""

RECORDS: tuple[type[Record], ...] = (Sample, Word, Release)
"""What is written, in this order: a row of `release` never names a shard that is not there."""

_SEED = 405_133
"""Keeps the numbers drawn here apart from those drawn elsewhere in the world."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """What is wanted."""

    minutes: float
    talkers: int
    seed: int
    clip_s: tuple[float, float]
    validation: float
    test: float

    def check(self) -> None:
        """Make sure that it can be made.

        Raises:
            UserError: it cannot.
        """
        low_s, high_s = self.clip_s
        wanted = (
            (math.isfinite(self.minutes) and self.minutes > 0, f"minutes={self.minutes}: wanted more than 0"),
            (1 <= self.talkers <= _TALKERS_MOST, f"talkers={self.talkers}: wanted 1 to {_TALKERS_MOST}"),
            (self.seed >= 0, f"seed={self.seed}: wanted 0 or more"),
            (1 <= low_s < high_s <= 60, f"clip_s={self.clip_s}: wanted two rising lengths from 1 to 60 s"),
            (
                min(self.validation, self.test) >= 0 and self.validation + self.test < 1,
                f"validation={self.validation}, test={self.test}: wanted parts of the talkers, together less than 1",
            ),
        )
        for allowed, words in wanted:
            if not allowed:
                raise UserError(words)

    def splits(self) -> list[str]:
        """The split of every talker: drawn, but with the wanted share in each."""
        test = _share(self.test, self.talkers, least=2)
        validation = min(_share(self.validation, self.talkers, least=3), self.talkers - 1 - test)
        names = ["test"] * test + ["validation"] * validation
        names += ["train"] * (self.talkers - len(names))
        order = np.random.default_rng([_SEED, self.seed]).permutation(self.talkers)
        return [names[place] for place in order]

    def recordings(self) -> dict[str, Recording]:
        """All recordings by shard; each talker has the same part of the minutes, and each recording of theirs."""
        part_s = 60 * self.minutes / self.talkers
        count = max(_RECORDINGS_LEAST, math.ceil(part_s / _RECORDING_S))
        splits = self.splits()
        return {
            f"{who * count + number:05d}": Recording(
                seed=self.seed,
                who=self.seed * _TALKERS_MOST + who,
                number=number,
                split=splits[who],
                speech_s=part_s / count,
                clip_s=self.clip_s,
            )
            for who in range(self.talkers)
            for number in range(count)
        }


def _share(part: float, talkers: int, *, least: int) -> int:
    """Talkers in a split: its part, but one at least where there are `least` of them, and one is left for training."""
    wanted = round(part * talkers)
    if part > 0 and talkers >= least:
        wanted = max(wanted, 1)
    return min(wanted, talkers - 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
    """What would be a source video: takes of one talker, one after the other."""

    seed: int
    """Of the order."""
    who: int
    """The talker's number in the world."""
    number: int
    """Of the recording, among the talker's."""
    split: str
    speech_s: float
    """Speech in it, at least, s."""
    clip_s: tuple[float, float]
    """Shortest and longest take."""

    @property
    def talker_id(self) -> str:
        """The talker, as the channel of what they say."""
        return f"synth.{self.who}"

    @property
    def video_id(self) -> str:
        """The recording, as a source video."""
        return f"{self.talker_id}_{self.number}"

    def takes(self) -> Iterator[Take]:
        """Its takes, each with a monologue, a camera, a setting and a motion of its own.

        Raises:
            UserError: no monologue has a length that is allowed, or espeak-ng is not installed.
        """
        spoken_s, count = 0.0, 0
        while spoken_s < self.speech_s:
            take = self._take(count, self.speech_s - spoken_s)
            yield take
            spoken_s += speech_s(take)
            count += 1

    def _take(self, number: int, left_s: float) -> Take:
        """A take of a length that is drawn evenly among those allowed; no longer than what is left, if it can be."""
        low_s, high_s = self.clip_s
        person = talker.talker(self.who)
        for attempt in range(_TRIES):
            rng = np.random.default_rng([_SEED, self.who, self.number, number, attempt])
            wanted_s = min(rng.uniform(low_s, high_s), max(low_s, left_s))
            words = round(wanted_s * person.voice.words_per_minute / 60 / _PACE) - _MORE_WORDS
            take = Take(
                talker=person,
                text=texts.monologue(rng, words=max(1, words)),
                camera=talker.camera(rng),
                setting=talker.setting(rng),
                seed=int(rng.integers(2**32)),
                fps=FPS,
            )
            if low_s <= take.n_frames / FPS <= high_s:
                return take
        raise UserError(f"clip_s={self.clip_s}: none of {_TRIES} monologues is so long; allow more lengths")


def speech_s(take: Take) -> float:
    """From the first word of a take to the end of its last, in seconds."""
    words = take.speech.words
    return words[-1].end_s - words[0].start_s


# ---- rows


def rows_of(recording: Recording, *, shard: str) -> dict[type[Record], list[Record]]:
    """The rows of a recording: of its clips in the release, of their arrays, and of their words."""
    made: dict[type[Record], list[Record]] = {record: [] for record in RECORDS}
    start_ms = 0
    for take in recording.takes():
        for row in _rows(recording, take, start_ms, shard):
            made[type(row)].append(row)
        start_ms += FRAME_MS * take.n_frames
    return made


def _rows(recording: Recording, take: Take, start_ms: int, shard: str) -> Iterator[Record]:
    n, width, height = take.n_frames, take.camera.width, take.camera.height
    end_ms = start_ms + FRAME_MS * n
    clip_id = f"{recording.video_id}_{start_ms}_{end_ms}_p0"
    pose = pose_of(take, clip_id=clip_id, video_id=recording.video_id)
    framing = Framing()
    needed = extent(kept_points(pose, framing.confident), stray_percent=0)  # no point of the truth strays
    x, y, side = around(needed, pose, framing)
    points = kp.to_crop(pose.keypoints(), x_px=x, y_px=y, side_px=side, size_px=SIZE_PX)
    samples = int16(take.samples())
    yield Sample(
        clip_id=clip_id, video_id=recording.video_id, split=recording.split, fps=FPS, n_frames=n,
        keypoints_px=points.ravel(), score=pose.score, audio_rate_hz=AUDIO_RATE_HZ, audio_int16=samples,
    )  # fmt: skip
    yield Release(
        clip_id=clip_id, video_id=recording.video_id, split=recording.split, path=None, audio_path=None,
        shard=table.part_path(Path("shards"), shard).as_posix(), n_frames=n, n_samples=len(samples),
        start_ms=start_ms, end_ms=end_ms,
        source=f"csg405.synth {VERSION}, seed {recording.seed}, talker {recording.who}, recording {recording.number}",
        title=None, channel=recording.talker_id, licence=LICENCE, source_width=width, source_height=height,
        crop_x_px=x, crop_y_px=y, crop_side_px=side, size_px=SIZE_PX, review=[], sha256=None,
    )  # fmt: skip
    for word in take.speech.words:
        yield Word(clip_id=clip_id, word=word.text, start_s=word.start_s, end_s=word.end_s, stress_s=word.stress_s)


def pose_of(take: Take, *, clip_id: str, video_id: str) -> Pose:
    """The truth of a take in source pixels, as a pose.

    The score of a point is 1 where it lies in the picture, and 0 where it lies outside. A point that is hidden by
    the talker's own body has 1: its place is known, and only a drawn picture would tell that it cannot be seen.
    """
    width, height = take.camera.width, take.camera.height
    points = take.keypoints()
    inside = (points >= 0).all(axis=-1) & (points[..., 0] <= width - 1) & (points[..., 1] <= height - 1)
    score = inside.astype(np.float32).ravel()
    return Pose(
        clip_id=clip_id, video_id=video_id, n_frames=len(points), width=width, height=height,
        keypoints_px=points.ravel(), score_raw=score, score=score,
    )  # fmt: skip
