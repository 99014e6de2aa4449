"""What can be scored: a system gives motions for a clip. Controls, perturbed truth, and the files of a submission."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from csg405.benchmark.clip import Clip
from csg405.benchmark.controls import BY_NAME, CONTROLS, Context, made
from csg405.benchmark.metric import Perturbation
from csg405.benchmark.perturb import LEVELS, perturbed
from csg405.benchmark.submission.arrays import most_bytes, read
from csg405.benchmark.submission.clips import Wanted
from csg405.benchmark.submission.layout import prediction
from csg405.errors import UserError
from csg405.schema import FloatArray
from csg405.weights import digest


class Given(NamedTuple):
    """One motion that a system gives."""

    seed: int
    clip: Clip
    """The clip, beside the sound that the motion is to be judged by."""
    keypoints_px: FloatArray
    """[n, 133, 2]"""


class System(Protocol):
    """Something that gives motions; small, and picklable."""

    @property
    def name(self) -> str:
        """What its rows are called."""
        ...

    def motions(self, clip: Clip, context: Context) -> Iterator[Given]:
        """Its motions for a clip, one for each seed."""
        ...

    def digest(self, clip_id: str) -> str:
        """Of the files that its motions for a clip are read from; empty where they follow from the code."""
        ...


@dataclasses.dataclass(frozen=True)
class ControlSystem:
    """A control, by name."""

    name: str

    def motions(self, clip: Clip, context: Context) -> Iterator[Given]:
        """See `System`."""
        yield Given(0, *made(BY_NAME[self.name], clip, context))

    def digest(self, clip_id: str) -> str:
        """See `System`."""
        del clip_id
        return ""


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """The truth with something done to it."""

    kind: Perturbation
    level: int

    @property
    def name(self) -> str:
        """See `System`."""
        return f"{self.kind}.{self.level}"

    def motions(self, clip: Clip, context: Context) -> Iterator[Given]:
        """See `System`."""
        yield Given(0, *perturbed(clip, self.kind, self.level, other=context.other))

    def digest(self, clip_id: str) -> str:
        """See `System`."""
        del clip_id
        return ""


@dataclasses.dataclass(frozen=True)
class Submitted:
    """The predictions of a submission, which was validated before."""

    folder: Path
    seeds: int
    name: str = "submission"

    def motions(self, clip: Clip, context: Context | None = None) -> Iterator[Given]:
        """See `System`; the files are read as carefully as when they were validated.

        Raises:
            UserError: a file is no longer what was validated.
        """
        del context
        wanted = Wanted(
            clip_id=clip.clip_id, video_id=clip.video_id, split=clip.split,  # type: ignore[arg-type]
            n_frames=len(clip), size_px=clip.size_px,
        )  # fmt: skip
        for seed in range(self.seeds):
            file = prediction(f"predictions/{clip.clip_id}/seed{seed}.npz")
            if file is None:
                raise UserError(f"{clip.clip_id}: an id that names no folder")
            path = self.folder / file.path
            content = path.read_bytes() if path.is_file() and path.stat().st_size <= most_bytes(wanted) else b""
            motion, findings = read(content, file, wanted, may_freeze=True)
            if motion is None:
                raise UserError(f"{file.path}: {findings[0].rule}: seen {findings[0].seen}; validate it again")
            yield Given(seed, clip, motion.keypoints_px)

    def digest(self, clip_id: str) -> str:
        """See `System`."""
        held = hashlib.sha256()
        for path in sorted((self.folder / "predictions" / clip_id).iterdir()):
            held.update(f"{path.name} {digest(path)}\n".encode())
        return held.hexdigest()


def controls() -> list[System]:
    """All controls, in their order."""
    return [ControlSystem(control.name) for control in CONTROLS]


def perturbations() -> list[System]:
    """The truth with every perturbation at every level."""
    return [Perturbed(kind, level) for kind, values in LEVELS.items() for level in range(len(values))]
