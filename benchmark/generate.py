"""A picture of a person and a recording of speech in, a film of the person speaking with their hands out.

The picture's pose is estimated by the core's networks, the model makes a motion in the picture's own pixels that goes
on from that pose, the renderer draws it frame by frame, and the sound is put beside it on the clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from csg405 import keypoints as kp
from csg405.benchmark.clip import SEEN
from csg405.benchmark.models.base import Sampling
from csg405.benchmark.models.speech import Performer, prepared
from csg405.benchmark.renderers.base import LEAST_SHOULDERS_PX, LEAST_SIDE_PX, Renderer
from csg405.benchmark.renderers.film import write_film
from csg405.benchmark.video_networks import PosePair
from csg405.errors import UserError
from csg405.keypoints import alignment
from csg405.media.clock import AUDIO_RATE_HZ
from csg405.media.decode import Image, resize
from csg405.media.probe import Unreadable
from csg405.media.sound import whole_sound
from csg405.schema import FloatArray

_LONGEST_S = 3600.0

Advance = Callable[[int], None]
"""Is told how many more frames are done."""


@dataclasses.dataclass(frozen=True)
class Person:
    """A person in a picture."""

    image: Image
    """[height, width, 3] RGB"""
    keypoints_px: FloatArray
    """[133, 2]"""
    score: FloatArray
    """[133]"""

    def within(self, most_px: int) -> Person:
        """The same with even sides, none above `most_px`: as large as a film of them is to be.

        Raises:
            UserError: too little of them is left, or their shoulders are beyond the picture's edge.
        """
        height, width = self.image.shape[:2]
        scale = min(1.0, most_px / max(height, width))
        size = [max(2, round(side * scale / 2) * 2) for side in (width, height)]
        if min(size) < LEAST_SIDE_PX:
            raise UserError(f"a film of {size[0]}x{size[1]} px is a strip; give a picture that is less long")
        factors = np.array(size, np.float32) / (width, height)
        points = ((self.keypoints_px + 0.5) * factors - 0.5).astype(np.float32)
        left, right = points[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]]
        wide_px = float(np.linalg.norm(left - right))
        if wide_px < LEAST_SHOULDERS_PX:
            raise UserError(
                f"the person's shoulders are {wide_px:.0f} px wide in a film of {size[0]}x{size[1]} px, wanted "
                f"{LEAST_SHOULDERS_PX:g}; cut the picture to the person, or allow a larger film (--most-px)"
            )
        if not ((left + right) / 2 < size).all() or ((left + right) < 0).any():
            raise UserError("the person's shoulders are beyond the picture's edge; give one from the hips upwards")
        return Person(resize(self.image, *size), points, self.score)


def read_picture(path: Path) -> Image:
    """A picture as RGB, turned as its camera was held.

    Raises:
        UserError: there is no picture in the file, or a strip of one.
    """
    _check_file(path)
    held = np.fromfile(path, np.uint8)
    try:
        read = cv2.imdecode(held, cv2.IMREAD_COLOR) if held.size else None
    except cv2.error as error:
        raise UserError(f"{path}: a picture that cannot be read; is it larger than a camera's?") from error
    if read is None:
        raise UserError(f"{path}: no picture that can be read; give a PNG or JPEG")
    if min(read.shape[:2]) < LEAST_SIDE_PX:
        raise UserError(f"{path}: {read.shape[1]}x{read.shape[0]} px; give sides of {LEAST_SIDE_PX} px at least")
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: {'a folder; give a file' if path.is_dir() else 'there is no such file'}")


def person_in(image: Image, pair: PosePair) -> Person:
    """The largest person in a picture.

    Raises:
        UserError: there is none, or their shoulders are not to be seen.
    """
    boxes = pair.detector(image)
    if not len(boxes):
        raise UserError("nobody was found in the picture; give one of a person seen from the front")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    points, raw = pair.estimator([image], boxes[[int(np.argmax(areas))]])
    score = pair.estimator.calibrated(raw)[0]
    if (score[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]] < SEEN).any():
        raise UserError("the person's shoulders are not to be seen in the picture; give one from the hips upwards")
    return Person(image, points[0], score)


def read_speech(path: Path) -> FloatArray:
    """The sound of a file, as mono at 16 kHz with silence behind it up to a whole frame: float32 [640 n].

    Raises:
        UserError: there is no such file, no sound in it, or too much.
    """
    _check_file(path)
    try:
        samples = whole_sound(path, longest_s=_LONGEST_S)
    except Unreadable as error:
        raise UserError(
            f"{path}: {error.detail}; give a recording of speech of an hour at most, such as a .wav"
        ) from error
    return prepared(samples, rate_hz=AUDIO_RATE_HZ)


def film(
    person: Person,
    wave: FloatArray,
    path: Path,
    *,
    performer: Performer,
    renderer: Renderer,
    seed: int = 0,
    sampling: Sampling | None = None,
    advance: Advance | None = None,
) -> FloatArray:
    """Write the film.

    Args:
        person: who speaks.
        wave: what is said, [640 n] mono at 16 kHz.
        path: the mp4 to write, whole or not at all.
        performer: makes the motion.
        renderer: draws it.
        seed: another one gives another motion.
        sampling: how the model is sampled.
        advance: is told how many more frames are done.

    Returns:
        The motion, [n, 133, 2] px.

    Raises:
        UserError: the renderer or the model cannot take what it is given.
    """
    made = list(
        performer.perform(
            wave, reference_px=person.keypoints_px, reference_score=person.score, seed=seed, sampling=sampling
        )
    )
    motion = _begun(np.concatenate(made), person)
    frames = renderer.render(
        person.image, reference_px=person.keypoints_px, reference_score=person.score, keypoints_px=motion,
        score=np.repeat(_made_points(person)[None], len(motion), axis=0), wave=wave,
    )  # fmt: skip
    write_film(_counted(frames, advance), wave, path)
    return motion


def _begun(motion: FloatArray, person: Person) -> FloatArray:
    """A motion that begins where the person is, in their size: models without it begin near it."""
    fitted = alignment.align(motion, person.keypoints_px, reference_score=person.score)
    return fitted.apply(motion)


def _made_points(person: Person) -> FloatArray:
    """[133] scores of a motion's points: the upper body is made, legs are what the picture shows of them."""
    score = person.score.copy()
    score[kp.UPPER_BODY] = 1
    return score


def _counted(frames: Iterable[Image], advance: Advance | None) -> Iterator[Image]:
    for image in frames:
        yield image
        if advance is not None:
            advance(1)
