"""Checkpoints of a training: whole or not at all, the last two kept, and a log that never tells a step twice."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError

from csg405.errors import UserError, first_line
from csg405.table import replace_atomically, sync

log = logging.getLogger(__name__)

_KEPT = 2
_PREFIX = "step-"

_UNREADABLE = (
    FileNotFoundError, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
"""What torch, safetensors and accelerate raise over files that are damaged or missing."""


def step_of(checkpoint: Path) -> int:
    """Batches after which it was written."""
    return int(checkpoint.name.removeprefix(_PREFIX))


class Processes(Protocol):
    """What is asked of accelerate's `Accelerator`."""

    is_main_process: bool
    num_processes: int

    def wait_for_everyone(self) -> None:
        """Until all processes are here."""

    def save_state(self, output_dir: Path) -> object:
        """Write all that is needed to go on to a folder."""

    def load_state(self, input_dir: Path) -> object:
        """Go on from it."""


class Checkpoints:
    """The checkpoints below a folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder
        self._damaged: list[Path] = []

    def last(self) -> Path | None:
        """The newest."""
        return max(self._all(), default=None)

    def unfinished(self) -> list[Path]:
        """Those that a program was killed over."""
        return list(self.folder.glob(f".{_PREFIX}*"))

    def load_last(self, processes: Processes) -> bool:
        """Go on from the newest that every process can read; newer ones are put aside by the next `write`.

        Returns:
            Whether there was one.

        Raises:
            UserError: there are some, and none can be read.
        """
        reasons: list[str] = []
        for path in sorted(self._all(), reverse=True):
            reason = _load(path, processes)
            if reason is None:
                return True
            log.warning("%s cannot be read (%s); one before it is looked for", path, reason)
            self._damaged.append(path)
            reasons.append(f"{path.name}: {reason}")
        if reasons:
            raise UserError(
                f"{self.folder}: no checkpoint can be read ({'; '.join(reasons)}); move them away to begin anew"
            )
        return False

    def write(self, step: int, processes: Processes) -> None:
        """Write a checkpoint, and remove those before the last ones; called in every process.

        Args:
            step: batches that were learnt from.
            processes: all of the training's.

        Raises:
            UserError: torch or safetensors cannot write it, mostly for want of room.
            OSError: the disk is full.
        """
        temporary = self.folder / f".{_PREFIX}{step:09d}"
        leads = processes.is_main_process
        if leads:
            shutil.rmtree(temporary, ignore_errors=True)
        processes.wait_for_everyone()
        try:
            processes.save_state(temporary)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, SafetensorError) as error:
            raise UserError(
                f"{self.folder}: the checkpoint after {step} batches cannot be written ({first_line(error)}); make "
                "room, and run the same command again"
            ) from error
        processes.wait_for_everyone()
        if leads:
            self._put_aside()
            self._name(temporary)
            for path in sorted(self._all())[:-_KEPT]:
                self._remove(path)
        processes.wait_for_everyone()

    def _name(self, temporary: Path) -> None:
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        final = self.folder / temporary.name.removeprefix(".")
        if final.exists():
            self._remove(final)
        temporary.rename(final)
        sync(self.folder)

    def _remove(self, path: Path) -> None:
        """A folder that is seen under its name is whole."""
        hidden = path.with_name(f".{path.name}.old")
        path.rename(hidden)
        shutil.rmtree(hidden)

    def _put_aside(self) -> None:
        for path in self._damaged:
            aside = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        self._damaged.clear()

    def _all(self) -> list[Path]:
        found = self.folder.glob(f"{_PREFIX}*")
        return [path for path in found if path.is_dir() and path.name.removeprefix(_PREFIX).isdecimal()]


def _load(path: Path, processes: Processes) -> str | None:
    """Why some process cannot read a checkpoint; None where all have."""
    reason = None
    try:
        processes.load_state(path)
    except torch.OutOfMemoryError:
        raise
    except _UNREADABLE as error:
        reason = first_line(error)
    if processes.num_processes == 1:
        return reason
    from accelerate.utils import gather_object

    return next((one for one in gather_object([reason]) if one is not None), None)


class History:
    """What is told of a training, a line of JSON each; lines of steps that are made anew are taken back."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self.path = path

    def go_on_from(self, step: int) -> None:
        """Keep what was told up to a step; nothing where it is below 0."""
        kept = [line for line in self.lines() if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        replace_atomically(self.path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def tell(self, values: Mapping[str, Any]) -> None:
        """Add a line; it has a `step`."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All of them, up to one that was cut off or is no line of ours."""
        if not self.path.is_file():
            return []
        found: list[dict[str, Any]] = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                break
            if not isinstance(told, dict) or not isinstance(told.get("step"), int):
                break
            found.append(told)
        return found
