"""Examples for training, shaken anew every time they are seen: moved, turned, mirrored, lit, blurred, crushed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import IterableDataset

from csg405 import keypoints as kp
from csg405.media.decode import Image
from csg405.schema import FloatArray
from csg405.synth import talker, texts
from csg405.synth.room import background
from csg405.synth.train.networks import DETECTOR_SIDE, HEIGHT, WIDTH
from csg405.synth.train.pictures import PADDING, VIEW, cut_matrix, through, unpack

Batch = dict[str, torch.Tensor]

_MOST_PERSONS = 4

_EMPTY = 0.12
"""Part of the detector's pictures in which nobody is."""

_THINGS = 0.4
"""Part of them in which things lie about that look a little like heads and bodies."""

_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)


class Store:
    """Archives of examples, in memory as they are packed."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._archives = [dict(np.load(path)) for path in paths]
        self.places = [(a, e) for a, archive in enumerate(self._archives) for e in range(len(archive["keypoints"]))]
        for archive in self._archives:
            archive["boxes_ends"] = np.cumsum(archive["n_boxes"])

    def __len__(self) -> int:
        return len(self.places)

    def picture(self, number: int, kind: str) -> Image:
        """The `cut` or the `view` of an example, [height, width, 3] RGB."""
        archive, row = self.places[number]
        return unpack(np.asarray(self._slice(archive, kind, row), np.uint8))

    def truth(self, number: int) -> tuple[FloatArray, npt.NDArray[np.bool_], FloatArray]:
        """Keypoints [133, 2], visibility [133] and box [4] in the cut."""
        archive, row = self.places[number]
        held = self._archives[archive]
        return held["keypoints"][row], held["visible"][row], held["box"][row]

    def boxes(self, number: int) -> FloatArray:
        """The persons' boxes in the view, [n, 4]."""
        archive, row = self.places[number]
        return np.asarray(self._slice(archive, "boxes", row), np.float32)

    def _slice(self, archive: int, kind: str, row: int) -> npt.NDArray[np.generic]:
        held = self._archives[archive]
        ends = held[f"{kind}_ends"]
        return np.asarray(held[kind][ends[row - 1] if row else 0 : ends[row]])


class PoseExamples(IterableDataset[Batch]):
    """Endless batches for the pose network."""

    def __init__(self, store: Store, *, batch: int, seed: int) -> None:
        self.store, self.batch, self.seed = store, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        while True:
            numbers = rng.integers(len(self.store), size=self.batch)
            made = [self._one(int(number), rng) for number in numbers]
            pixels, points, visible = (np.stack(part) for part in zip(*made, strict=True))
            yield {
                "pixels": torch.from_numpy(pixels),
                "points": torch.from_numpy(points),
                "visible": torch.from_numpy(visible),
            }

    def _one(self, number: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        picture = self.store.picture(number, "cut")
        points, visible, box = self.store.truth(number)
        size = np.tile(box[2:] - box[:2], 2)
        shaken = box + size * rng.normal(0, 0.04, 4)
        matrix = cut_matrix(shaken, (WIDTH, HEIGHT), PADDING * float(rng.uniform(0.88, 1.2)))
        matrix = _turned(matrix, float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)))
        if rng.random() < 0.5:
            matrix = np.array([[-1, 0, WIDTH - 1], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
            points, visible = points[kp.MIRROR], visible[kp.MIRROR]
        points = through(matrix, points)
        seen = cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
        inside = (points >= 0).all(-1) & (points[:, 0] < WIDTH) & (points[:, 1] < HEIGHT)
        pixels = (relit(np.asarray(seen, np.uint8), rng).astype(np.float32) - _MEAN) / _STD
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), points, visible & inside


def _turned(matrix: npt.NDArray[np.float64], angle: float) -> npt.NDArray[np.float64]:
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), np.degrees(angle), 1.0)
    return np.asarray(turn @ np.vstack([matrix, [0, 0, 1]]), np.float64)


class DetectorExamples(IterableDataset[Batch]):
    """Endless batches for the detector: BGR pictures 0-255 and persons' boxes, padded with zeros."""

    def __init__(self, store: Store, *, batch: int, seed: int) -> None:
        self.store, self.batch, self.seed = store, batch, seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self.seed)
        while True:
            made = [self._one(int(number), rng) for number in rng.integers(len(self.store), size=self.batch)]
            pixels, boxes = (np.stack(part) for part in zip(*made, strict=True))
            yield {"pixels": torch.from_numpy(pixels), "boxes": torch.from_numpy(boxes)}

    def _one(self, number: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        view, boxes = self.store.picture(number, "view"), self.store.boxes(number)
        if rng.random() < _EMPTY:
            view, boxes = nobody(rng), boxes[:0]
        if rng.random() < _THINGS:
            view = with_things(view, boxes, rng)
        side = DETECTOR_SIDE / VIEW * float(rng.uniform(0.55, 1.0) if rng.random() < 0.4 else 1.0)
        side = min(side, DETECTOR_SIDE / view.shape[0])
        matrix = np.array([[side, 0, 0], [0, side, 0]], np.float64)
        if rng.random() < 0.3:  # a part of the picture, as black bars or a closer framing would show it
            shift = rng.uniform(-0.25, 0.25, 2) * DETECTOR_SIDE
            matrix[:, 2] = shift
        if rng.random() < 0.5:
            width = view.shape[1] * side
            matrix = np.array([[-1, 0, width], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
        canvas = cv2.warpAffine(
            view, matrix, (DETECTOR_SIDE, DETECTOR_SIDE), flags=cv2.INTER_AREA, borderValue=(114, 114, 114)
        )
        whole = boxes[:, 2:] - boxes[:, :2]
        corners = np.sort(through(matrix, boxes.reshape(-1, 2, 2)), axis=1).reshape(-1, 4)
        clipped = np.clip(corners, 0, DETECTOR_SIDE)
        share = (clipped[:, 2:] - clipped[:, :2]).prod(-1) / np.maximum((whole * side).prod(-1), 1e-6)
        kept = clipped[share > 0.25][:_MOST_PERSONS]
        padded = np.zeros((_MOST_PERSONS, 4), np.float32)
        padded[: len(kept)] = kept
        pixels = relit(np.asarray(canvas, np.uint8), rng)[..., ::-1].astype(np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), padded


def with_things(view: Image, boxes: FloatArray, rng: np.random.Generator) -> Image:
    """The view [height, width, 3] with lamps, posts and patches beside its persons, often at its edge."""
    height, width = view.shape[:2]
    things = view.copy()
    for _ in range(int(rng.integers(1, 6))):
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        x = int(rng.choice([0, width])) if rng.random() < 0.4 else int(rng.integers(width))
        y, size = int(rng.integers(height)), int(rng.integers(4, height // 4))
        if rng.random() < 0.7:
            cv2.circle(things, (x, y), size, (red, green, blue), -1, cv2.LINE_AA)
        else:
            cv2.rectangle(things, (x - size // 2, y - size), (x + size // 2, height), (red, green, blue), -1)
    for x1, y1, x2, y2 in boxes.round().astype(int):
        things[max(y1, 0) : y2, max(x1, 0) : x2] = view[max(y1, 0) : y2, max(x1, 0) : x2]
    return things


def nobody(rng: np.random.Generator) -> Image:
    """A room or a slide with nobody in it: [180, 320, 3] RGB."""
    view = background(talker.setting(rng), VIEW, VIEW * 9 // 16)
    if rng.random() < 0.5:
        view[:] = rng.integers(0, 256, 3) if rng.random() < 0.5 else 240
    height, width = view.shape[:2]
    for _ in range(int(rng.integers(0, 9))):
        red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        kind = rng.random()
        if kind < 0.4:
            size = (int(rng.integers(4, width // 2)), int(rng.integers(3, height // 2)))
            cv2.rectangle(view, (x, y), (x + size[0], y + size[1]), (red, green, blue), -1)
        elif kind < 0.7:
            cv2.circle(view, (x, y), int(rng.integers(2, height // 4)), (red, green, blue), -1, cv2.LINE_AA)
        else:
            words = texts.sentence(rng)[: int(rng.integers(5, 40))]
            scale = float(rng.uniform(0.2, 0.7))
            cv2.putText(view, words, (x // 2, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (red, green, blue), 1, cv2.LINE_AA)
    return view


def relit(picture: Image, rng: np.random.Generator) -> Image:
    """Other light, another camera, a worse encoder."""
    gain, shift = rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3), rng.normal(0, 12)
    kind = rng.random()
    if kind < 0.10:
        gain = gain * rng.uniform(0.12, 0.6)
    elif kind < 0.18:
        gain, shift = gain * rng.uniform(1.2, 2.0), shift + rng.uniform(0, 60)
    table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
    channels = [cv2.LUT(channel, table[:, number]) for number, channel in enumerate(cv2.split(picture))]
    return _worse(np.asarray(cv2.merge(channels), np.uint8), rng)


def _worse(picture: Image, rng: np.random.Generator) -> Image:
    """Grey, blurred, small, crushed or noisy, each now and then."""
    height, width = picture.shape[:2]
    seen: cv2.typing.MatLike = picture
    if rng.random() < 0.05:
        seen = cv2.merge([cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)] * 3)
    if rng.random() < 0.15:
        seen = cv2.GaussianBlur(seen, (0, 0), float(rng.uniform(0.4, 2.5)))
    if rng.random() < 0.12:
        part = float(rng.uniform(0.3, 0.8))
        small = cv2.resize(seen, (round(width * part), round(height * part)), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))]
        seen = unpack(np.asarray(cv2.imencode(".jpg", seen[..., ::-1], quality)[1], np.uint8))
    if rng.random() < 0.2:
        seen = seen + rng.normal(0, rng.uniform(2, 10), (height, width, 1))
    return np.clip(seen, 0, 255).astype(np.uint8)
