"""Progress bars on everything that takes longer than a moment; plain lines where there is no terminal.

A worker may be anywhere, so it tells how far it is with the shard in hand through a small file below the run's
folder, and the program that waits for it adds those fractions up.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

log = logging.getLogger(__name__)

console = Console(stderr=True)

_LINE_EVERY_S = 10.0
_LOOK_EVERY_S = 0.5
_BEAT_EVERY_S = 1.0


class Beat:
    """Tells how far a worker is with a shard; at most once a second, so it may be called for every picture."""

    def __init__(self, folder: Path, shard: str) -> None:
        self._path = folder / shard
        self._next = time.monotonic() + _BEAT_EVERY_S

    def __call__(self, fraction: float) -> None:
        """Say that this part of the shard is done, 0 to 1."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _BEAT_EVERY_S
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(f"{fraction:.4f}", encoding="ascii")

    def end(self) -> None:
        """The shard is done: it is counted as a whole one from now on."""
        self._path.unlink(missing_ok=True)


def under_way(folder: Path) -> float:
    """The sum of what workers say of the shards in hand, in shards."""
    total = 0.0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError, ValueError):  # it is being written, or was just done
            total += float(path.read_text(encoding="ascii"))
    return total


class Progress:
    """A bar on a terminal; elsewhere a log line every ten seconds."""

    def __init__(self, title: str, *, total: int, unit: str, beats: Path | None = None) -> None:
        """Begin a bar.

        Args:
            title: what is being done.
            total: units in all.
            unit: what is counted.
            beats: folder in which workers tell how far they are with what they have in hand.
        """
        self.title, self.total, self.unit, self.beats = title, total, unit, beats
        self.done = 0
        self._last = time.monotonic()
        self._bar: RichProgress | None = None
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self.beats is not None:
            for left in self.beats.glob("*"):
                left.unlink()
        if console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn(),
                TextColumn(f"of {self.total} {self.unit}"), TimeElapsedColumn(), TimeRemainingColumn(), console=console,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(self.title, total=self.total)
        self._watcher.start()
        return self

    def advance(self, amount: int = 1) -> None:
        """Count `amount` units as done."""
        self.done += amount
        self._show()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            self._show()

    def _show(self) -> None:
        done = min(self.done + (under_way(self.beats) if self.beats else 0.0), self.total)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
        elif time.monotonic() - self._last > _LINE_EVERY_S:
            self._last = time.monotonic()
            log.info("%s: %.3g of %d %s", self.title, done, self.total, self.unit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join()
        if self._bar is not None:
            self._show()
            self._bar.stop()
