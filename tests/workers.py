"""Worker factories for the engines' tests, in a module of their own since spawned processes import them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from csg405.errors import UserError


class Script:
    """Does what a shard's name says, and notes in `notes` each time that a worker is built."""

    def __init__(self, notes: Path) -> None:
        with (notes / f"built-{os.getpid()}").open("a", encoding="utf-8") as file:
            file.write("x")

    def __call__(self, shard: str) -> tuple[str, int]:
        action = shard.partition("-")[0]
        actions: dict[str, Callable[[], object]] = {
            "value": lambda: None,
            "slow": lambda: time.sleep(0.2),
            "raise": self._fail,
            "refuse": self._refuse,
            "exit": lambda: os._exit(3),
            "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "hang": lambda: threading.Event().wait(300),
        }
        actions[action]()
        return shard, os.getpid()

    def _fail(self) -> None:
        raise ZeroDivisionError("seven by nought")

    def _refuse(self) -> None:
        raise UserError("model.onnx: not an ONNX file; give another")


class Unbuildable:
    """A worker whose networks cannot be loaded."""

    def __init__(self, notes: Path) -> None:
        raise UserError(f"{notes.name}: no network here")
