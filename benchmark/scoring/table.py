"""The systems that need no training in one table: what `make benchmark` prints first."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from csg405.benchmark.metric import Values
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import control_book, control_values
from csg405.engine import Engine
from csg405.table import write_text

COLUMNS = (
    "kgd", "kgd_hands", "fgd", "ba_kappa", "sga_auc", "kin", "coverage", "lip_r", "jerk", "beat_legacy_emage",
)  # fmt: skip
"""Values that are shown, those that rank first; the file holds all."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """A table."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    values: dict[str, Values]
    path: Path
    """A file that holds all values."""


def of_controls(place: Place, engine: Engine) -> Shown:
    """Score all controls on a split."""
    with one_thread():
        book = control_book(place, engine, with_towers=place.kit.has_towers)
        values = control_values(book)
    columns = tuple(name for name in COLUMNS if any(held.get(name) is not None for held in values.values()))
    rows = tuple((name, tuple(_cell(held.get(column)) for column in columns)) for name, held in values.items())
    path = place.home / f"controls-{place.split}.json"
    write_text(path, json.dumps({"digests": place.digests, "values": values}, indent=1) + "\n")
    return Shown(columns, rows, values, path)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
