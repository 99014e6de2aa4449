"""What can be done to a take's pictures after they are drawn. Sizes are parts of the picture's height."""

from __future__ import annotations

import dataclasses
import functools
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np

from csg405.media.decode import Image
from csg405.synth.footage import Affine, Changed, Covered, Footage, Frame, Retimed, Warped

Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Blurred:
    """Out of focus."""

    sigma: float

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        return Changed(footage, self._blur)

    def _blur(self, picture: Image) -> Image:
        height, width = picture.shape[:2]
        sigma = self.sigma * height
        part = max(1, int(sigma / 1.5))  # a broad blur is made on a smaller picture
        small = cv2.resize(picture, (width // part, height // part), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(small, (0, 0), sigma / part)
        return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


@dataclasses.dataclass(frozen=True)
class Exposed:
    """Too little light, or so much that all whitens."""

    luma: float
    """Mean of the first picture, 0-255."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        table: list[Image] = []

        def expose(picture: Image) -> Image:
            if not table:  # the same light for all pictures, whichever is drawn first
                table.append(self._table(footage.draw(0)[0]))
            return np.asarray(cv2.LUT(picture, table[0]), np.uint8)

        return Changed(footage, expose)

    def _table(self, picture: Image) -> Image:
        """What becomes of each value: [256], by the light that gives the mean."""
        part = np.ascontiguousarray(picture[::4, ::4])
        low, high = -1.0, 1.0
        for _ in range(20):
            light = (low + high) / 2
            luma = float(cv2.cvtColor(cv2.LUT(part, _lit(light)), cv2.COLOR_RGB2GRAY).mean())
            low, high = (light, high) if luma < self.luma else (low, light)
        return _lit(low)


def _lit(light: float) -> Image:
    """What becomes of each value: [256]; -1 is no light, 0 leaves all as it is, and at 1 all is white."""
    values = np.arange(256.0)
    if light <= 0:
        return (values * (1 + light)).astype(np.uint8)
    return np.asarray(np.minimum(values * (1 + 2 * light) + 255 * light, 255), np.uint8)


@dataclasses.dataclass(frozen=True)
class Frozen:
    """The picture stops for a while."""

    begin: float
    """Part of the take before it stops."""
    part: float
    """Of the take."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        n = len(footage.keypoints)
        order, first = np.arange(n), int(self.begin * n)
        order[first : first + round(self.part * n)] = first
        return Retimed(footage, order)


@dataclasses.dataclass(frozen=True)
class Repeated:
    """Fewer pictures, some or all of them shown several times."""

    part: float
    """Of the pictures that are the same as the one before: a half where each is shown twice."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        kept = np.floor(np.arange(len(footage.keypoints)) * (1 - self.part) + 1e-9)
        return Retimed(footage, np.ceil(kept / (1 - self.part) - 1e-9).astype(np.int64))


@dataclasses.dataclass(frozen=True)
class Still:
    """A photograph, perhaps with a slow zoom."""

    zoom: float
    """How much larger at the end."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        n = len(footage.keypoints)
        first = Retimed(footage, np.zeros(n, np.int64))
        return Zoomed(self.zoom).over(first, np.linspace(0, 1, n)) if self.zoom else first


@dataclasses.dataclass(frozen=True)
class Zoomed:
    """A part of the picture, enlarged, a little brighter."""

    zoom: float
    gain: float = 1.0

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        table = np.minimum(np.arange(256) * self.gain, 255).astype(np.uint8)
        whole = np.ones(len(footage.keypoints))
        moved = self.over(footage, whole) if self.zoom else footage
        return Changed(moved, lambda picture: np.asarray(cv2.LUT(picture, table), np.uint8))

    def over(self, footage: Footage, parts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Footage:
        """Zoomed by a part of it on each picture: [n]."""
        width, height = footage.size
        scales = 1 + self.zoom * parts
        middle = np.array([width - 1, height - 1]) / 2
        matrices = np.zeros((len(parts), 2, 3))
        matrices[:, 0, 0] = matrices[:, 1, 1] = scales
        matrices[:, :, 2] = middle * (1 - scales[:, None])
        return Warped(footage, matrices)


@dataclasses.dataclass(frozen=True)
class Barred:
    """Black bars left and right."""

    part: float
    """Of the picture that is black."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        return Covered(footage, self._cover)

    def _cover(self, picture: Image, frame: int) -> Sequence[Box]:
        del frame
        height, width = picture.shape[:2]
        bar = round(width * self.part / 2)
        picture[:, :bar] = 0
        picture[:, width - bar :] = 0
        return [(-1, -1, bar, height), (width - bar, -1, width, height)]


@dataclasses.dataclass(frozen=True)
class Captioned:
    """What is said is written into the picture, line after line."""

    text: str
    height: float
    """Of a line."""

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        del fps
        n = len(footage.keypoints)
        lines = self._lines()
        ends = np.cumsum([len(line) for line in lines])

        def cover(picture: Image, frame: int) -> Sequence[Box]:
            return self._write(picture, lines[int(np.searchsorted(ends, frame / n * ends[-1], "right"))])

        return Covered(footage, cover)

    def _lines(self) -> list[str]:
        """As many words to a line as fit into three quarters of a wide picture."""
        most = max(8, int(0.75 * 16 / 9 / (0.5 * self.height)))
        lines = [""]
        for word in self.text.split():
            if len(lines[-1]) + len(word) + 1 > most and lines[-1]:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
        return lines

    def _write(self, picture: Image, line: str) -> Sequence[Box]:
        height, width = picture.shape[:2]
        tall = self.height * height
        scale, thick = tall / 40, max(1, round(tall / 16))
        (wide, high), below = cv2.getTextSize(line, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        pad = round(0.3 * tall)
        left, base = (width - wide) // 2, round(0.93 * height) - below
        box = (left - pad, base - high - pad, left + wide + pad, base + below + pad)
        cv2.rectangle(picture, box[:2], box[2:], (12, 12, 12), -1)
        cv2.putText(picture, line, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, (245, 245, 235), thick, cv2.LINE_AA)
        return [box]


@dataclasses.dataclass(frozen=True)
class Slides:
    """Slides instead of the talker, who is perhaps left in a corner."""

    lines: tuple[str, ...]
    seed: int
    inset: float
    """Height of the talker's picture; 0 for none."""
    every_s: float = 2.4

    def __call__(self, footage: Footage, *, fps: float) -> Footage:
        """See `Effect`."""
        return _SlideShow(footage, self, every=max(1, round(self.every_s * fps)))


class _SlideShow:
    """Footage of slides."""

    def __init__(self, footage: Footage, slides: Slides, *, every: int) -> None:
        self.slides, self.every = slides, every
        self.size = width, height = footage.size
        part = slides.inset
        self.corner = (round(width * (0.97 - part)), round(height * (0.96 - part)))
        n = len(footage.keypoints)
        matrix: Affine = np.array([[part, 0, self.corner[0]], [0, part, self.corner[1]]])
        self.footage = Warped(footage, np.broadcast_to(matrix, (n, 2, 3))) if part else footage
        self.keypoints = self.footage.keypoints
        self._slide = functools.lru_cache(maxsize=1)(self._draw_slide)

    def draw(self, frame: int) -> Frame:
        """See `Footage.draw`."""
        slide = self._slide(frame // self.every).copy()
        if not self.slides.inset:
            return slide, np.zeros(self.keypoints.shape[1], np.bool_)
        picture, visible = self.footage.draw(frame)
        (left, top), (width, height) = self.corner, self.size
        right, bottom = left + round(width * self.slides.inset), top + round(height * self.slides.inset)
        slide[top:bottom, left:right] = picture[top:bottom, left:right]
        x, y = self.keypoints[frame].T
        return slide, visible & (x >= left) & (y >= top) & (x < right) & (y < bottom)

    def _draw_slide(self, number: int) -> Image:
        """A title and, one more on each slide, lines or bars."""
        width, height = self.size
        rng = np.random.default_rng([411, self.slides.seed, number // 3])
        paper, ink, accent = (240, 240, 234), (30, 34, 44), tuple(int(value) for value in rng.integers(40, 200, 3))
        slide = np.full((height, width, 3), paper, np.uint8)
        cv2.rectangle(slide, (0, 0), (width, height // 6), accent, -1)
        self._write(slide, self.slides.lines[number // 3 % len(self.slides.lines)], 0.11, (250, 250, 250), 0.055)
        for row in range(number % 3 + 2):
            top = 0.30 + 0.16 * row
            if rng.random() < 0.5:
                self._write(slide, self.slides.lines[(number // 3 + row + 1) % len(self.slides.lines)], top, ink, 0.04)
                cv2.circle(slide, (round(0.04 * width), round((top - 0.015) * height)), height // 80, accent, -1)
            else:
                right = round(float(rng.uniform(0.25, 0.65)) * width)
                corner = (round(0.06 * width), round((top - 0.06) * height))
                cv2.rectangle(slide, corner, (right, round((top + 0.02) * height)), accent, -1)
        return slide

    def _write(self, slide: Image, line: str, level: float, colour: tuple[int, int, int], tall: float) -> None:
        width, height = self.size
        place = (round(0.06 * width), round(level * height))
        thick = max(1, round(tall * height / 18))
        cv2.putText(
            slide,
            textwrap.shorten(line, 48, placeholder=""),
            place,
            cv2.FONT_HERSHEY_SIMPLEX,
            tall * height / 40,
            colour,
            thick,
            cv2.LINE_AA,
        )
