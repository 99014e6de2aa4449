"""Checkpoints of a training: whole or not at all, the last two kept, and a log that never tells a step twice."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from csg405.errors import UserError
from csg405.table import replace_atomically

log = logging.getLogger(__name__)

_KEPT = 2
_PREFIX = "step-"

_UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError)
"""What torch, safetensors and accelerate raise over files that are damaged or missing."""

_UNWRITABLE = (RuntimeError, SafetensorError)
"""What they raise over a full disk, beside `OSError`."""


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

    def load_last(self, load: Callable[[Path], object]) -> bool:
        """Load the newest that can be read; those that cannot are put aside by the next `write`.

        Args:
            load: reads all of it from a folder; called in every process.

        Returns:
            Whether there was one.

        Raises:
            UserError: there are some, and none can be read.
        """
        for path in sorted(self._all(), reverse=True):
            try:
                load(path)
            except torch.OutOfMemoryError:
                raise
            except _UNREADABLE as error:
                log.warning("%s cannot be read (%s); the one before it is taken", path, error)
                self._damaged.append(path)
                continue
            return True
        if self._damaged:
            raise UserError(f"{self.folder}: none of the checkpoints can be read; delete them to begin anew")
        return False

    def write(self, step: int, save: Callable[[Path], object], *, leads: bool) -> None:
        """Write a checkpoint, and remove those before the last ones.

        Args:
            step: batches that were learnt from.
            save: writes all of it to a folder that is given; called in every process.
            leads: whether this process is the one that names and removes.

        Raises:
            UserError: it cannot be written, mostly for want of room.
        """
        temporary = self.folder / f".{_PREFIX}{step:09d}"
        if leads:
            shutil.rmtree(temporary, ignore_errors=True)
        try:
            save(temporary)
        except _UNWRITABLE as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise UserError(
                f"{self.folder}: the checkpoint after {step} batches cannot be written ({error}); make room, and run "
                "the same command again"
            ) from error
        if leads:
            self._put_aside()
            final = self.folder / temporary.name.removeprefix(".")
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for path in sorted(self._all())[:-_KEPT]:
                shutil.rmtree(path)

    def _put_aside(self) -> None:
        for path in self._damaged:
            aside = path.with_name(f"damaged-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        self._damaged.clear()

    def _all(self) -> list[Path]:
        return list(self.folder.glob(f"{_PREFIX}*"))


class History:
    """What is told of a training, a line of JSON each; lines of steps that are made anew are taken back."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self.path = path

    def go_on_from(self, step: int) -> None:
        """Keep what was told up to a step."""
        kept = [line for line in self.lines() if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        replace_atomically(self.path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def tell(self, values: Mapping[str, Any]) -> None:
        """Add a line; it has a `step`."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All of them; a last line that was cut off counts for nothing."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found
