"""Progress bars on everything that takes longer than a moment; plain lines where there is no terminal."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

log = logging.getLogger(__name__)

console = Console(stderr=True)

_LINE_EVERY_S = 10.0


class Progress:
    """A bar on a terminal; elsewhere a log line every ten seconds."""

    def __init__(self, title: str, *, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self._last = time.monotonic()
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TextColumn(self.unit),
                TimeElapsedColumn(), TimeRemainingColumn(), console=console,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task(self.title, total=self.total)
        return self

    def advance(self, amount: int = 1) -> None:
        """Count `amount` units as done."""
        self.done += amount
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], amount)
        elif time.monotonic() - self._last > _LINE_EVERY_S:
            self._last = time.monotonic()
            log.info("%s: %d of %d %s", self.title, self.done, self.total, self.unit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
