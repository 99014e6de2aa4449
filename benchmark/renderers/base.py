"""What a renderer is: a picture of a person and a motion in, frames of that person out.

A renderer is a class with a name whose settings are the arguments of its constructor; it says in `needs` which of
them have no default. `render` is the same for all: it checks what it is given before anything is computed, and
checks every frame that comes out. A subclass writes `frames`, a generator over a `Job` that has been checked: it
holds a few frames at a time, whatever the length, and the same job gives the same frames.

Keypoints are those of the picture that is shown: the motion is in the reference's pixels, so whoever has a motion of
another person or another framing aligns it first (`csg405.keypoints.alignment`).
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any, ClassVar, cast

import numpy as np
from pydantic import TypeAdapter, ValidationError

from csg405 import keypoints as kp
from csg405.benchmark.clip import SEEN, Bools
from csg405.errors import UserError
from csg405.media.clock import SAMPLES_PER_FRAME
from csg405.media.decode import Image
from csg405.schema import FloatArray

_PLACES = {
    "copy-reference": "copy_reference:CopyReference",
    "warp": "warp:Warp",
    "command": "command:Command",
    "pose-diffusion": "pose_diffusion.renderer:PoseDiffusion",
    "wan-animate": "wan_animate:WanAnimate",
}
"""Module below this package and class; imported when asked for, since some load torch."""

NAMES = tuple(_PLACES)
"""Of all renderers."""

LEAST_SIDE_PX = 32
MOST_SIDE_PX = 4096

LEAST_SHOULDERS_PX = 8.0
"""Of the reference: below this nothing is left of a hand."""

_SHOULDERS = [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """What is to be rendered; checked when it is made.

    Raises:
        UserError: it cannot be rendered, and why.
    """

    reference_image: Image
    """[height, width, 3] RGB: the person."""
    reference_px: FloatArray
    """[133, 2] their keypoints in that picture, (0, 0) being the centre of its top-left pixel."""
    reference_score: FloatArray
    """[133] between 0 and 1; a point below `SEEN` is not seen in the picture, whatever its place."""
    keypoints_px: FloatArray
    """[n, 133, 2] where the points are to be, in pixels of the same picture; they may lie outside of it."""
    score: FloatArray
    """[n, 133] between 0 and 1; a point below `SEEN` is not to be relied on."""
    wave: FloatArray | None = None
    """[640 n] the sound at 16 kHz, between -1 and 1, for renderers that listen too."""

    def __post_init__(self) -> None:
        _check_image(self.reference_image)
        _check_array(self.reference_px, (kp.COUNT, 2), name="reference_px")
        _check_score(self.reference_score, (kp.COUNT,), name="reference_score")
        count = self.keypoints_px.shape[0] if self.keypoints_px.ndim == 3 else None
        if count == 0:
            raise UserError("keypoints_px: no frames; give a motion of at least one")
        _check_array(self.keypoints_px, (count or "n", kp.COUNT, 2), name="keypoints_px")
        _check_score(self.score, (count or "n", kp.COUNT), name="score")
        self._check_shoulders()
        if self.wave is not None:
            _check_array(self.wave, (len(self) * SAMPLES_PER_FRAME,), name="wave")

    def _check_shoulders(self) -> None:
        if not self.reference_seen[_SHOULDERS].all():
            left, right = self.reference_score[_SHOULDERS]
            raise UserError(
                f"reference_score: the shoulders have {left:.2f} (left) and {right:.2f} (right), wanted at least "
                f"{SEEN} each; give a picture that shows the person from the front, down to the chest at least"
            )
        if self.shoulders_px < LEAST_SHOULDERS_PX:
            raise UserError(
                f"reference_px: the shoulders are {self.shoulders_px:.1f} px apart, wanted at least "
                f"{LEAST_SHOULDERS_PX:g} px; give a larger picture of the person, not seen from the side"
            )
        neck, (height, width) = self.reference_px[_SHOULDERS].mean(axis=0), self.reference_image.shape[:2]
        if not (0 <= neck[0] < width and 0 <= neck[1] < height):
            raise UserError(
                f"reference_px: the middle of the shoulders is at x {neck[0]:.0f}, y {neck[1]:.0f}, outside of the "
                f"picture of {width}x{height} px; give the keypoints in pixels of that very picture"
            )

    def __len__(self) -> int:
        return len(self.keypoints_px)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames, px."""
        return self.reference_image.shape[1], self.reference_image.shape[0]

    @functools.cached_property
    def reference_seen(self) -> Bools:
        """[133] points that the reference shows."""
        return np.asarray(self.reference_score >= SEEN)

    @functools.cached_property
    def seen(self) -> Bools:
        """[n, 133] points of the motion that are to be relied on."""
        return np.asarray(self.score >= SEEN)

    @functools.cached_property
    def shoulders_px(self) -> float:
        """Width of the shoulders in the reference: the unit of length."""
        left, right = self.reference_px[_SHOULDERS].astype(np.float64)
        return float(np.linalg.norm(left - right))


class Renderer(abc.ABC):
    """See the head of this file."""

    name: ClassVar[str]
    """A key of the registry."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Settings that must be given."""

    @abc.abstractmethod
    def frames(self, job: Job) -> Iterator[Image]:
        """As many pictures as the job has frames, of the reference's size."""

    def render(
        self,
        reference_image: Image,
        *,
        reference_px: FloatArray,
        reference_score: FloatArray,
        keypoints_px: FloatArray,
        score: FloatArray | None = None,
        wave: FloatArray | None = None,
    ) -> Iterator[Image]:
        """Frames one by one, [height, width, 3] RGB of the reference's size; see `Job` for the arguments.

        What is given is checked at once, before the first frame is asked for.

        Args:
            reference_image: [height, width, 3] RGB.
            reference_px: [133, 2].
            reference_score: [133].
            keypoints_px: [n, 133, 2].
            score: [n, 133]; all points are relied on when missing.
            wave: [640 n], where there is sound.

        Raises:
            UserError: it cannot be rendered, and why.
        """
        score = np.ones(np.shape(keypoints_px)[:2], np.float32) if score is None else score
        job = Job(
            reference_image=reference_image, reference_px=reference_px, reference_score=reference_score,
            keypoints_px=keypoints_px, score=score, wave=wave,
        )  # fmt: skip
        return self._checked(job)

    def _checked(self, job: Job) -> Iterator[Image]:
        """The frames, each with its type and size checked, and their number.

        Raises:
            ValueError: the renderer gives other frames than its contract says.
        """
        count = 0
        for image in self.frames(job):
            if image.dtype != np.uint8 or image.shape != job.reference_image.shape:
                raise ValueError(
                    f"{self.name}: frame {count} is {image.dtype} {image.shape}, not uint8 {job.reference_image.shape}"
                )
            count += 1
            yield image
        if count != len(job):
            raise ValueError(f"{self.name}: {count} frames for a motion of {len(job)}")


def renderer(name: str, **settings: Any) -> Renderer:
    """A renderer by name.

    Args:
        name: one of `NAMES`.
        settings: arguments of its class.

    Raises:
        UserError: there is none of that name, or it has no such setting, or one that it needs is missing.
    """
    if name not in _PLACES:
        raise UserError(f"renderer {name}: there is none; there are {', '.join(NAMES)}")
    module, cls = _PLACES[name].split(":")
    made = cast(type[Renderer], getattr(importlib.import_module(f"{__package__}.{module}"), cls))
    known = inspect.signature(made).parameters
    if unknown := sorted(settings.keys() - known.keys()):
        allowed = ", ".join(known) or "none"
        raise UserError(f"renderer {name}: no such setting: {', '.join(unknown)}; there are {allowed}")
    if missing := [need for need in made.needs if settings.get(need) is None]:
        raise UserError(f"renderer {name}: needs {', '.join(missing)}; see docs/renderers.md")
    types = typing.get_type_hints(made.__init__)
    return made(**{key: _typed(f"renderer {name}: {key}", value, types[key]) for key, value in settings.items()})


def _typed(what: str, value: Any, hint: Any) -> Any:
    """A setting as its type wants it: on the command line all are texts.

    Raises:
        UserError: it cannot be.
    """
    if not isinstance(value, str):
        return value
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{what}: {error.errors()[0]['msg']}; seen {value!r}") from error


def _check_image(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"reference_image: {image.dtype} {_shape(image.shape)}, wanted uint8 [height, width, 3] RGB")
    height, width = image.shape[:2]
    if not LEAST_SIDE_PX <= min(height, width) <= max(height, width) <= MOST_SIDE_PX:
        raise UserError(
            f"reference_image: {width}x{height} px, wanted sides of {LEAST_SIDE_PX} to {MOST_SIDE_PX} px; scale it"
        )


def _check_array(values: FloatArray, wanted: tuple[int | str, ...], *, name: str) -> None:
    """Raise unless an array is floating, of a shape, and finite."""
    shape = values.shape
    fits = len(shape) == len(wanted) and all(want in (have, "n") for have, want in zip(shape, wanted, strict=True))
    if not fits or not np.issubdtype(values.dtype, np.floating):
        raise UserError(f"{name}: {values.dtype} {_shape(shape)}, wanted float32 {_shape(wanted)}")
    finite = np.isfinite(values)
    if not finite.all():
        place = _shape(tuple(int(index) for index in np.argwhere(~finite)[0]))
        raise UserError(
            f"{name}: {int((~finite).sum())} values are not finite, the first at {place}; "
            "give every point a place, and a score of 0 where it is not known"
        )


def _check_score(values: FloatArray, wanted: tuple[int | str, ...], *, name: str) -> None:
    _check_array(values, wanted, name=name)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        raise UserError(f"{name}: {low:.3g} to {high:.3g}, wanted 0 to 1")


def _shape(sizes: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, sizes))}]"
