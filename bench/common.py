"""What benches share: a figure, where it was taken, and the memory of a process with all its children."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Of the repository."""

_EVERY_S = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value."""

    name: str
    runs: Sequence[float]
    unit: str
    better: str
    """`lower` or `higher`."""
    bar: float | None
    """What it must reach; None for a figure that is only told."""
    against: str
    """What it is compared with, or how it was taken."""

    @property
    def value(self) -> float:
        """Median of the runs."""
        return statistics.median(self.runs)

    @property
    def reached(self) -> bool:
        """Whether the bar is reached, if there is one."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.better == "lower" else self.value >= self.bar


def write(name: str, figures: Sequence[Figure], work: Path) -> Path:
    """Write figures to work/bench/<name>.json, and print them."""
    path = work / "bench" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    told = [
        dataclasses.asdict(figure) | {"value": figure.value, "machine": machine, "commit": commit()}
        for figure in figures
    ]
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for figure in figures:
        says = "" if figure.bar is None else f"bar {figure.bar:g}: {'reached' if figure.reached else 'NOT REACHED'}"
        print(f"{figure.name:<32} {figure.value:10.4g} {figure.unit:<14} {says}".rstrip())
    return path


def commit() -> str:
    """The repository's commit; empty where there is none."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


class Memory:
    """The largest memory that this process and its children held together, MiB."""

    def __init__(self) -> None:
        self.peak_mib = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch until the end of the block."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_EVERY_S):
                self.peak_mib = max(self.peak_mib, _tree_mib(os.getpid()))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _tree_mib(process: int) -> float:
    """Proportional memory of a process and all below it: what they share is counted once."""
    total = _pss_mib(process)
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(_tree_mib(int(child)) for child in (task / "children").read_text().split())
    return total


def _pss_mib(process: int) -> float:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
