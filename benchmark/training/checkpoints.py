"""Checkpoints of a training: whole or not at all, the last two kept, and a log that never tells a step twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from csg405.table import replace_atomically

_KEPT = 2
_PREFIX = "step-"


class Checkpoints:
    """The checkpoints below a folder."""

    def __init__(self, folder: Path) -> None:
        """Nothing is written yet."""
        self.folder = folder

    def last(self) -> Path | None:
        """The newest."""
        return max(self._all(), key=lambda path: path.name, default=None)

    def write(self, step: int, save: Any, *, leads: bool) -> None:
        """Write a checkpoint, and remove those before the last ones.

        Args:
            step: batches that were learnt from.
            save: writes all of it to a folder that is given; called in every process.
            leads: whether this process is the one that names and removes.
        """
        temporary = self.folder / f".{_PREFIX}{step:09d}"
        if leads:
            shutil.rmtree(temporary, ignore_errors=True)
        save(temporary)
        if leads:
            final = self.folder / temporary.name.removeprefix(".")
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            for path in sorted(self._all(), key=lambda path: path.name)[:-_KEPT]:
                shutil.rmtree(path)

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
