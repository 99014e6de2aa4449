"""What is known of a film: where every point is and whether it can be seen, who talks when, and what was made wrong.

It lies beside the film: `<name>.json` for what people read, `<name>.npz` for the arrays.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from csg405.errors import UserError
from csg405.schema import FloatArray
from csg405.synth.footage import Mask
from csg405.table import replace_atomically, write_text

Severity = Literal["mild", "middle", "gross"]

_STEPS_PER_PX = 16
"""Keypoints are kept to so many steps a pixel: finer than anybody measures, and far smaller when packed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Planted:
    """A defect that a take was given."""

    defect: str
    """Its name in `csg405.synth.defects.DEFECTS`."""
    severity: Severity
    like: str | None = None
    """The take that this one repeats: `<film>/<number of the take>`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TakeTruth:
    """What is known of a take."""

    talker: int
    """The talker's number."""
    text: str
    """What their lips say."""
    first: int
    """Number of its first picture in the film."""
    n_frames: int
    start_s: float
    """From the film's beginning."""
    end_s: float
    planted: Planted | None
    """What was made wrong with it; nothing with a sound take."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known of a film."""

    size: tuple[int, int]
    """Width and height, px."""
    fps: float
    keypoints_px: FloatArray
    """[n, 133, 2] in the film's pixels."""
    visible: Mask
    """[n, 133] in the picture and not behind anything."""
    takes: tuple[TakeTruth, ...]
    """In their order; together they are the film."""


def save(film: Path, truth: Truth, *, fingerprint: str = "") -> None:
    """Write a film's truth beside it, the JSON last: where it is, the rest is there too.

    Args:
        film: the film's path.
        truth: what is known of it.
        fingerprint: of all that the film was made from.
    """
    steps = np.round(truth.keypoints_px * _STEPS_PER_PX).astype(np.int32)
    moved = np.diff(steps, axis=0, prepend=steps[:1] * 0)  # small numbers pack well
    replace_atomically(
        film.with_suffix(".npz"),
        lambda temporary: np.savez_compressed(temporary, moved=moved, visible=np.packbits(truth.visible, axis=1)),
    )
    head: dict[str, Any] = {"fingerprint": fingerprint, "width": truth.size[0], "height": truth.size[1]}
    head |= {"fps": truth.fps, "takes": [dataclasses.asdict(take) for take in truth.takes]}
    write_text(film.with_suffix(".json"), json.dumps(head, indent=1) + "\n")


def load(film: Path) -> Truth:
    """Read what lies beside a film.

    Raises:
        UserError: it is not there.
    """
    path = film.with_suffix(".json")
    if not path.is_file():
        raise UserError(f"{film}: no {path.name} beside it; its truth is not known")
    head = json.loads(path.read_text(encoding="utf-8"))
    with np.load(film.with_suffix(".npz")) as arrays:
        steps, packed = np.cumsum(arrays["moved"], axis=0), arrays["visible"]
    return Truth(
        size=(head["width"], head["height"]),
        fps=head["fps"],
        keypoints_px=(steps / _STEPS_PER_PX).astype(np.float32),
        visible=np.unpackbits(packed, axis=1, count=steps.shape[1]).astype(np.bool_),
        takes=tuple(_take(values) for values in head["takes"]),
    )


def _take(values: dict[str, Any]) -> TakeTruth:
    planted = values["planted"]
    return TakeTruth(**{**values, "planted": None if planted is None else Planted(**planted)})


def fingerprint(film: Path) -> str | None:
    """What a film was made from; None where it or its truth is missing."""
    head = film.with_suffix(".json")
    if not (film.is_file() and head.is_file() and film.with_suffix(".npz").is_file()):
        return None
    return str(json.loads(head.read_text(encoding="utf-8"))["fingerprint"])
