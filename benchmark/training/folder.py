"""The folder of a training: whose it is, who writes it, and what is kept there to go on from.

`training.json` says which training it is: of which network, by which settings. `checkpoints/` holds the last two, each
whole or not there; `history.jsonl` is the log; `model/` is what came of it. A folder without checkpoint and model is
nobody's yet, so a start that failed can be mended and made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csg405 import lock
from csg405.benchmark.pretrained import CONFIG, WEIGHTS
from csg405.benchmark.submission.layout import TRAINING_IDS
from csg405.benchmark.training.checkpoints import Checkpoints, History, Processes, step_of
from csg405.errors import UserError
from csg405.table import make_folder, remove_leftovers, write_text

_OTHERWISE = "take another folder, or delete this one"


class TrainingFolder:
    """The folder of one training."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self.path = path
        self.record = path / "training.json"
        self.model = path / "model"
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.history = History(path / "history.jsonl")

    def is_done(self, steps: int) -> bool:
        """Whether the model of a training of so many batches is there, whole."""
        last = self.checkpoints.last()
        return last is not None and step_of(last) == steps and (self.model / CONFIG).is_file()

    @contextmanager
    def claimed(self, told: Mapping[str, Any], processes: Processes, *, command: str) -> Iterator[None]:
        """Hold the folder while a training writes it.

        Args:
            told: what the training is: values of JSON, two trainings with the same being one.
            processes: all of the training's; the main one holds the folder for the others.
            command: of csg405 that trains.

        Raises:
            UserError: another program holds the folder, what lies there is another training's, or it is no folder.
        """
        if not processes.is_main_process:
            yield
            return
        make_folder(self.path, what=f"{self.path}")
        with lock.locked(self.path / ".lock", what=f"{self.path}", command=command):
            self._claim(json.loads(json.dumps(told)))
            self._tidy()
            try:
                yield
            finally:
                self._tidy()

    def _claim(self, told: dict[str, Any]) -> None:
        """Say whose the folder is, unless it says so already."""
        if self.checkpoints.last() is None and not self.model.is_dir():
            write_text(self.record, json.dumps(told, indent=1) + "\n")
            return
        others = differences(self._held(), told)
        if others:
            raise UserError(f"{self.path} holds a training with another {'; '.join(others)}; {_OTHERWISE}")

    def _held(self) -> dict[str, Any]:
        try:
            held = json.loads(self.record.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{self.record} does not say whose training lies there ({error}); {_OTHERWISE}") from error
        if not isinstance(held, dict):
            raise UserError(f"{self.record} does not say whose training lies there; {_OTHERWISE}")
        return held

    def _tidy(self) -> None:
        """Remove what was left half-written, by this program or one that was killed."""
        kept = (self.record, self.history.path, *(self.model / name for name in (CONFIG, WEIGHTS, TRAINING_IDS)))
        for path in kept:
            remove_leftovers(path)
        for path in self.checkpoints.unfinished():
            shutil.rmtree(path, ignore_errors=True)


def differences(held: Mapping[str, Any], told: Mapping[str, Any], within: str = "") -> list[str]:
    """What is told and held otherwise: dotted names, with what is there and what is wanted."""
    found = []
    for name, wanted in told.items():
        there = held.get(name)
        if isinstance(there, dict) and isinstance(wanted, dict):
            found += differences(there, wanted, f"{within}{name}.")
        elif there != wanted:
            found.append(f"{within}{name}, {json.dumps(there)}, not {json.dumps(wanted)}")
    return found
