"""Pictures for training: talkers in every posture, framing and light that the world knows, with their truth.

A scene is one talker in one place before one camera, now and then with somebody beside or before them; a few pictures
are drawn of it. Poses are those of speech, shaken so that also what talkers seldom do is seen. A picture gives a cut
of its person for the pose network and a small view of the whole for the detector, both as JPEG.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from csg405.media.decode import Image
from csg405.schema import FloatArray
from csg405.synth import speech, talker, texts
from csg405.synth.body import SIDES, STANDING_M, Array, Motion
from csg405.synth.draw import Person, Shot
from csg405.synth.motion import perform
from csg405.synth.talker import Camera
from csg405.table import replace_atomically

FIRST_TALKER = 10_000_000
"""Talkers from this number on are trained on; `HELD_OUT` and on are for judging, and films use those below."""

HELD_OUT = 20_000_000

CUT = (384, 512)
"""Width and height of the cut of a person, px: what rtmlib cuts out for 288x384, and a third more around it."""

CUT_MARGIN = 4 / 3

VIEW = 320
"""Width of the small view, px."""

PADDING = 1.25
"""rtmlib enlarges a person's box by so much."""

PER_SCENE = 12

_SPEECHES = 160
"""Monologues that the training talkers share; each has a motion of its own."""

_NEAR, _FAR = 0.12, 0.18
"""Parts of the scenes that show little more than a head, and somebody standing far away."""

_LEAST_PX = 24.0
"""Shorter side of a person's box who counts, px."""

_LIMB_M = 0.03
"""What is drawn around a person's points, m."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One person in one picture."""

    cut: bytes
    """JPEG of `CUT`."""
    keypoints: FloatArray
    """[133, 2] in pixels of the cut."""
    visible: npt.NDArray[np.bool_]
    """[133]"""
    box: FloatArray
    """[4] x1, y1, x2, y2 of what is seen of the person, in pixels of the cut."""
    view: bytes
    """JPEG of the whole picture, `VIEW` wide."""
    boxes: FloatArray
    """[n, 4] all persons of the whole picture, in pixels of the view."""


def write(path: Path, *, first: int, scenes: int) -> None:
    """Draw scenes by number into an archive, whole or not at all."""
    examples = [example for number in range(first, first + scenes) for example in scene(number)]
    arrays = {
        "keypoints": np.stack([example.keypoints for example in examples]),
        "visible": np.stack([example.visible for example in examples]),
        "box": np.stack([example.box for example in examples]),
        "boxes": np.concatenate([example.boxes for example in examples]),
        "n_boxes": np.array([len(example.boxes) for example in examples]),
    }
    for name in ("cut", "view"):
        blobs: list[bytes] = [getattr(example, name) for example in examples]
        arrays[name] = np.frombuffer(b"".join(blobs), np.uint8)
        arrays[f"{name}_ends"] = np.cumsum([len(blob) for blob in blobs])
    replace_atomically(path, lambda temporary: _save(temporary, arrays))


def _save(path: Path, arrays: dict[str, npt.NDArray[np.generic]]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def scene(number: int) -> list[Example]:
    """The examples of a scene: `PER_SCENE` pictures of one talker."""
    rng = np.random.default_rng([133, number])
    camera = _camera(rng)
    others = [_other(rng, number, camera)] if rng.random() < 0.25 else []
    place = talker.setting(rng)
    person, moved = _actor(rng, FIRST_TALKER + number)
    kind = rng.random()
    if kind < _NEAR:
        camera = _near(camera, person, rng)
    elif kind < _NEAR + _FAR:
        person, camera = _far(camera, person, rng)
    shot = Shot(person, moved, camera, place, others=others)
    found = (_example(shot, frame, rng) for frame in range(PER_SCENE))
    return [example for example in found if example is not None]


@functools.lru_cache(maxsize=32)
def _speech(number: int) -> speech.Speech:
    person = talker.talker(FIRST_TALKER + number)
    return speech.say(texts.monologue(np.random.default_rng([134, number]), words=60), voice=person.voice)


def _actor(rng: np.random.Generator, who: int) -> tuple[talker.Talker, Motion]:
    """A talker, and their posture in `PER_SCENE` pictures."""
    person = talker.talker(who)
    said = _speech(who // 8 % _SPEECHES)
    rest = None
    if rng.random() < 0.5:
        rest = [
            np.array([sign * rng.uniform(0, 0.35), rng.uniform(-0.1, 0.35), rng.uniform(0.05, 0.3)]) for sign in SIDES
        ]
    style = dataclasses.replace(person.style, amplitude=person.style.amplitude * float(rng.uniform(0.8, 1.4)))
    times_s = np.sort(rng.uniform(0, said.seconds, PER_SCENE))
    moved = perform(said, style, times_s, rng, rest=rest)
    return person, _shaken(moved, style.mouth_m, rng)


def _shaken(motion: Motion, mouth_m: float, rng: np.random.Generator) -> Motion:
    """A motion with every picture's posture moved at random: more than talkers do."""
    n = len(motion)
    any_mouth, any_hand = rng.random(n) < 0.4, rng.random((n, 2, 1)) < 0.3
    fingers = np.where(any_hand, rng.uniform(0, 1, (n, 2, 5)), motion.fingers + rng.normal(0, 0.08, (n, 2, 5)))
    return dataclasses.replace(
        motion,
        torso=motion.torso + rng.normal(0, 0.04, (n, 3)),
        head=motion.head + rng.normal(0, 1, (n, 3)) * [0.16, 0.09, 0.07],
        wrists=motion.wrists + rng.normal(0, 0.035, (n, 2, 3)),
        fingers=np.clip(fingers, 0, 1),
        palms=np.clip(motion.palms + rng.normal(0, 0.3, (n, 2)), -1.2, 1.2),
        mouth_open=np.where(any_mouth, rng.uniform(0, 1.05 * mouth_m, n), motion.mouth_open),
        mouth_wide=np.where(any_mouth, rng.uniform(-1, 1, n), motion.mouth_wide),
        blink=np.where(rng.random(n) < 0.1, rng.uniform(0, 1, n), motion.blink),
    )


def _camera(rng: np.random.Generator) -> Camera:
    width, height = ((1280, 720), (1280, 720), (960, 720), (720, 720))[rng.integers(4)]
    camera = talker.camera(rng, width=width, height=height)
    kind = rng.random()
    camera = dataclasses.replace(
        camera,
        distance_m=camera.distance_m * float(rng.uniform(0.8, 1.2)),
        turn=float(rng.uniform(-0.4, 0.4)),
        roll=float(rng.normal(0, 0.03)),
    )
    if kind < 0.3:
        camera = dataclasses.replace(
            camera,
            distance_m=float(rng.uniform(1.2, 5.0)),
            level_m=float(rng.uniform(0.15, 0.75)),
            aside_m=float(rng.uniform(-0.5, 0.5)),
        )
    if rng.random() < 0.15:
        camera = dataclasses.replace(camera, turn=float(rng.uniform(-np.pi, np.pi)))
    return camera


def _near(camera: Camera, person: talker.Talker, rng: np.random.Generator) -> Camera:
    """A framing of the head and some of the chest."""
    body = person.body
    low = rng.uniform(0.3, 1.05) * body.torso
    high = body.torso + body.neck + rng.uniform(0.2, 0.5) * body.head
    return dataclasses.replace(camera, focal=camera.distance_m / (high - low), level_m=(low + high) / 2)


def _far(camera: Camera, person: talker.Talker, rng: np.random.Generator) -> tuple[talker.Talker, Camera]:
    """Somebody on their feet, far away."""
    standing = dataclasses.replace(person, body=dataclasses.replace(person.body, stands=True))
    distance_m = float(np.exp(rng.uniform(np.log(3.5), np.log(14))))
    aside_m, level_m = distance_m * rng.uniform(-0.25, 0.25), distance_m * rng.uniform(-0.06, 0.1)
    return standing, dataclasses.replace(camera, distance_m=distance_m, aside_m=aside_m, level_m=level_m)


def _other(rng: np.random.Generator, number: int, camera: Camera) -> Person:
    """Somebody beside, behind or before the talker, sitting or on their feet."""
    aside_m = float(rng.choice([-1, 1]) * rng.uniform(0.35, 1.2))
    beside = dataclasses.replace(
        camera,
        aside_m=camera.aside_m + aside_m,
        distance_m=camera.distance_m * float(rng.uniform(0.8, 1.6)),
        turn=float(rng.choice([0.0, rng.uniform(-1.6, 1.6)])),
    )
    person, moved = _actor(rng, FIRST_TALKER + 5_000_000 + number)
    if rng.random() < 0.5:
        person = dataclasses.replace(person, body=dataclasses.replace(person.body, stands=True))
        moved = dataclasses.replace(moved, root=moved.root + np.array([0, STANDING_M, 0]))
    return Person(person, moved, beside, talker.setting(rng))


def _example(shot: Shot, frame: int, rng: np.random.Generator) -> Example | None:
    picture, visible = shot.draw(frame)
    size = (picture.shape[1], picture.shape[0])
    box = extent(shot, frame, size)
    if box is None or not visible.any():
        return None
    _clutter(picture, rng)
    others = [extent(person, frame, size) for person in shot.others]
    boxes = [box, *(found for found in others if found is not None)]
    matrix = cut_matrix(box, CUT, PADDING * CUT_MARGIN)
    cut = cv2.warpAffine(picture, matrix, CUT, flags=cv2.INTER_AREA if matrix[0, 0] < 1 else cv2.INTER_LINEAR)
    scale = VIEW / picture.shape[1]
    view = cv2.resize(picture, (VIEW, round(picture.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    return Example(
        cut=_jpeg(cut, int(rng.integers(70, 96))),
        keypoints=through(matrix, shot.keypoints[frame, :, :2]),
        visible=visible,
        box=through(matrix, box.reshape(2, 2)).ravel(),
        view=_jpeg(view, 92),
        boxes=np.stack(boxes).astype(np.float32) * np.float32(scale),
    )


def extent(person: Person, frame: int, size: tuple[int, int]) -> Array | None:
    """The box [4] x1, y1, x2, y2 around what of a person lies in a picture of a size; None for hardly anything."""
    drawn = (person.skull, person.back, person.chest, person.keypoints)
    points = np.concatenate([part[frame, :, :2] for part in drawn])
    thick = _LIMB_M * person.camera.pixels_per_m
    edge = np.array(size)
    low, high = (np.clip(corner, 0, edge) for corner in (points.min(axis=0) - thick, points.max(axis=0) + thick))
    return np.concatenate([low, high]) if (high - low).min() >= _LEAST_PX else None


def _clutter(picture: Image, rng: np.random.Generator) -> None:
    """What editors lay over pictures: captions, and pictures in pictures."""
    height, width = picture.shape[:2]
    if rng.random() < 0.08:
        place = (int(rng.uniform(0.05, 0.4) * width), int(rng.uniform(0.8, 0.95) * height))
        text = texts.sentence(rng)[:50]
        for thick, colour in ((8, (0, 0, 0)), (2, (255, 255, 255))):
            cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, width / 1200, colour, thick, cv2.LINE_AA)
    if rng.random() < 0.04:
        corner = (int(rng.uniform(0, 0.2) * width), int(rng.uniform(0, 0.3) * height))
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        cv2.rectangle(picture, corner, (corner[0] + width // 6, corner[1] + height // 6), (red, green, blue), -1)


def cut_matrix(box: Array | FloatArray, size: tuple[int, int], padding: float) -> Array:
    """The affine map [2, 3] that cuts a box out, as rtmlib does: enlarged, at the size's ratio, about its centre."""
    width, height = size
    centre = (box[:2] + box[2:]) / 2
    wide, high = (box[2:] - box[:2]) * padding
    scale = width / max(wide, high * width / height)
    shift = np.array([width, height]) / 2 - scale * centre
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def through(matrix: Array, points: Array | FloatArray) -> FloatArray:
    """Points [..., 2] through an affine map."""
    mapped: FloatArray = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return mapped


def _jpeg(picture: cv2.typing.MatLike, quality: int) -> bytes:
    done, blob = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("a picture could not be packed as JPEG")
    return bytes(blob)


def unpack(blob: npt.NDArray[np.uint8]) -> Image:
    """A JPEG as [height, width, 3] RGB."""
    return np.asarray(cv2.imdecode(blob, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
