"""Films of the synthetic world: takes of talkers, one after the other, with the truth of every picture.

A take is one talker saying one monologue before one camera: a shot. Everything follows from numbers, so the same
seed gives the same film, and a take can be looked at without drawing a picture of it: its keypoints are what a model
can be trained on by the hour. What may be wrong with a take (`csg405.synth.defects`) is a change of its fields.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from csg405 import media
from csg405.media import AUDIO_RATE_HZ
from csg405.media.decode import Image, resize
from csg405.schema import FloatArray, IntArray
from csg405.synth import speech, talker, texts
from csg405.synth.body import Array, Motion, points
from csg405.synth.camera_path import CameraPath, widened, windows
from csg405.synth.cast import Acting, Bystander
from csg405.synth.draw import Shot
from csg405.synth.footage import Effect, Footage, Frame, Mask, Spliced, Warped, frames
from csg405.synth.motion import perform
from csg405.synth.record import Planted, TakeTruth, Truth
from csg405.synth.sound_effects import SoundEffect
from csg405.synth.speech import Voice
from csg405.synth.talker import Camera, Setting, Talker

_S_PER_LETTER = 9.0
"""espeak-ng says a letter in so many seconds over the words a minute that it is told, within a seventh."""


def about_s(text: str, *, words_per_minute: int) -> float:
    """How long a text takes, as far as that can be told before it is spoken, s."""
    return _S_PER_LETTER * len(text) / words_per_minute


@dataclasses.dataclass(frozen=True)
class Cut:
    """Within a take, another camera takes over."""

    at_s: float
    camera: Camera
    setting: Setting
    fade_s: float = 0.0
    """Length of a dissolve about that time; 0 for a hard cut."""


@dataclasses.dataclass(frozen=True)
class Take:
    """One talker, one monologue, one camera."""

    talker: Talker
    text: str
    camera: Camera
    setting: Setting
    seed: int
    """Of the motion."""
    fps: float = 25.0
    lead_s: float = 0.3
    """Silence before and after the monologue."""
    others: tuple[Bystander, ...] = ()
    acting: tuple[Acting, ...] = ()
    cuts: tuple[Cut, ...] = ()
    """In the order of their times; none for a take that is one shot."""
    path: CameraPath | None = None
    """How the camera moves."""
    pictures: tuple[Effect, ...] = ()
    sounds: tuple[SoundEffect, ...] = ()
    planted: Planted | None = None
    """What was made wrong with it."""

    @functools.cached_property
    def speech(self) -> speech.Speech:
        """What the talker says, with silence around it: what lips and hands follow."""
        said = _said(self.text, self.talker.voice)
        lead = np.zeros(round(self.lead_s * AUDIO_RATE_HZ), np.float32)
        words = tuple(
            dataclasses.replace(
                word,
                start_s=word.start_s + self.lead_s,
                end_s=word.end_s + self.lead_s,
                stress_s=None if word.stress_s is None else word.stress_s + self.lead_s,
            )
            for word in said.words
        )
        sounds = tuple(
            dataclasses.replace(sound, start_s=sound.start_s + self.lead_s, end_s=sound.end_s + self.lead_s)
            for sound in said.sounds
        )
        return speech.Speech(np.concatenate([lead, said.samples, lead]), words, sounds)

    @property
    def about_s(self) -> float:
        """Its length, as far as that can be told before a word is spoken."""
        return about_s(self.text, words_per_minute=self.talker.voice.words_per_minute) + 2 * self.lead_s

    @property
    def n_frames(self) -> int:
        """Whole pictures in the take."""
        return int(self.speech.seconds * self.fps)

    @property
    def times_s(self) -> Array:
        """When the pictures are: [n_frames] from the take's beginning."""
        return np.arange(self.n_frames) / self.fps

    @functools.cached_property
    def motion(self) -> Motion:
        """How the talker moves, picture by picture."""
        motion = perform(self.speech, self.talker.style, self.times_s, np.random.default_rng([405, self.seed]))
        for act in self.acting:
            motion = act(motion, self.times_s)
        return motion

    def samples(self) -> FloatArray:
        """The sound that belongs to the pictures: 16 kHz mono."""
        count = round(self.n_frames / self.fps * AUDIO_RATE_HZ)
        samples = np.pad(self.speech.samples, (0, max(0, count - len(self.speech.samples))))[:count]
        for effect in self.sounds:
            samples = effect(samples)
        return samples

    def footage(self) -> Footage:
        """The pictures and their truth, drawn when asked for."""
        footage = self._spliced() if self.cuts else self._filmed(self.camera, self.setting)
        for effect in self.pictures:
            footage = effect(footage, fps=self.fps)
        return footage

    def keypoints(self) -> FloatArray:
        """The 133 points of every picture, [n_frames, 133, 2] in pixels, without drawing the pictures."""
        return self.footage().keypoints

    def draw(self) -> Iterator[Frame]:
        """Every picture [height, width, 3] RGB with which of its points can be seen [133]."""
        return frames(self.footage())

    def _filmed(self, camera: Camera, setting: Setting) -> Footage:
        if self.path is None:
            return _Filmed(self, camera, setting)
        wide = _Filmed(self, widened(camera, self.path.margin), setting)
        return Warped(wide, windows(self.path, camera, self.times_s), size=(camera.width, camera.height))

    def _spliced(self) -> Footage:
        views = [(0.0, 0.0, self.camera, self.setting)]
        views += [(cut.at_s, cut.fade_s, cut.camera, cut.setting) for cut in self.cuts]
        arrived = np.stack([_arrived(self.times_s, at_s, fade_s) for at_s, fade_s, _, _ in views], axis=1)
        left = np.concatenate([arrived[:, 1:], np.zeros((len(arrived), 1))], axis=1)
        shares = (arrived - left).astype(np.float32)
        return Spliced([self._filmed(camera, setting) for _, _, camera, setting in views], shares)


def _arrived(times_s: Array, at_s: float, fade_s: float) -> Array:
    """How much of a camera's picture is there by times: [n], 0 to 1."""
    if at_s <= 0:
        return np.ones(len(times_s))
    return np.clip((times_s - at_s) / fade_s + 0.5, 0, 1) if fade_s else (times_s >= at_s).astype(np.float64)


@functools.lru_cache(maxsize=32)
def _said(text: str, voice: Voice) -> speech.Speech:
    return speech.say(text, voice=voice)


class _Filmed:
    """Footage of a take by one camera, whose room is not drawn before its first picture."""

    def __init__(self, take: Take, camera: Camera, setting: Setting) -> None:
        self.take, self.camera, self.setting = take, camera, setting
        self.size = (camera.width, camera.height)
        self.keypoints: FloatArray = camera.project(points(take.talker.body, take.motion))[..., :2].astype(np.float32)

    @functools.cached_property
    def shot(self) -> Shot:
        """The shot."""
        take = self.take
        others = [other.person(take.times_s, self.camera, self.setting) for other in take.others]
        return Shot(take.talker, take.motion, self.camera, self.setting, others=others)

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        return self.shot.draw(frame)


def take(seed: int, *, who: int | None = None, words: int = 40, width: int = 1280, height: int = 720) -> Take:
    """A sound take: a talker who speaks for a while, hands in the picture.

    Args:
        seed: of text, camera, setting and motion.
        who: the talker's number; the seed's own when missing.
        words: of the monologue, at least.
        width: of the picture, px.
        height: of the picture, px.
    """
    rng = np.random.default_rng([7, seed])
    return Take(
        talker=talker.talker(seed if who is None else who),
        text=texts.monologue(rng, words=words),
        camera=talker.camera(rng, width=width, height=height),
        setting=talker.setting(rng),
        seed=seed,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coding:
    """How takes become a file."""

    height_px: int | None = None
    """Of the pictures in the file; that of the takes when missing."""
    crf: int = 20
    """x264's constant quality, 0 (lossless) to 51."""
    sound_part: float = 1.0
    """Part of the film, from its beginning, that has sound; 0 for no audio stream."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in the file of pictures of a size, px; even, as H.264 wants them."""
        if self.height_px is None:
            return width, height
        return 2 * round(width * self.height_px / height / 2), self.height_px


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """Takes that are to lie in one file."""

    name: str
    takes: tuple[Take, ...]
    coding: Coding = Coding()


def write(
    path: Path, takes: Sequence[Take], *, coding: Coding = Coding(), tick: Callable[[float], None] | None = None
) -> Truth:
    """Draw takes one after the other into a film.

    Args:
        path: the mp4 to write, whole or not at all.
        takes: of one size and rate.
        coding: how.
        tick: told how far it is, 0 to 1, once a picture.

    Returns:
        The truth of every picture.

    Raises:
        ValueError: takes of different sizes or rates.
    """
    kinds = {(one.camera.width, one.camera.height, one.fps) for one in takes}
    if len(kinds) != 1:
        raise ValueError(f"takes of one film have one size and rate, these have {sorted(kinds)}")
    ((width, height, fps),) = kinds
    size = coding.size(width, height)
    visible: list[Mask] = []
    pictures = _ticked(_pictures(takes, size, visible), sum(one.n_frames for one in takes), tick)
    media.write_film(path, pictures, _sound(takes, coding), size=size, fps=fps, crf=coding.crf)
    keypoints = np.concatenate([one.keypoints() for one in takes])
    if size != (width, height):
        keypoints = ((keypoints + 0.5) * (np.array(size) / (width, height)) - 0.5).astype(np.float32)
    return Truth(size=size, fps=fps, keypoints_px=keypoints, visible=np.stack(visible), takes=_truths(takes))


def _pictures(takes: Sequence[Take], size: tuple[int, int], visible: list[Mask]) -> Iterator[Image]:
    for one in takes:
        for picture, seen in one.draw():
            visible.append(seen)
            own = (picture.shape[1], picture.shape[0])
            yield picture if own == size else resize(picture, *size)


def _ticked(pictures: Iterator[Image], count: int, tick: Callable[[float], None] | None) -> Iterator[Image]:
    for number, picture in enumerate(pictures):
        yield picture
        if tick is not None:
            tick((number + 1) / count)


def _sound(takes: Sequence[Take], coding: Coding) -> IntArray | None:
    """The takes' sound as 16-bit numbers."""
    samples = np.concatenate([one.samples() for one in takes])
    kept = samples[: round(coding.sound_part * len(samples))]
    return media.int16(kept) if len(kept) else None


def _truths(takes: Sequence[Take]) -> tuple[TakeTruth, ...]:
    ends = np.cumsum([one.n_frames for one in takes])
    return tuple(
        TakeTruth(
            talker=one.talker.seed, text=one.text, first=int(end) - one.n_frames, n_frames=one.n_frames,
            start_s=(int(end) - one.n_frames) / one.fps, end_s=int(end) / one.fps, planted=one.planted,
        )
        for one, end in zip(takes, ends, strict=True)
    )  # fmt: skip
