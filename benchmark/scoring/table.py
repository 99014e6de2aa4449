"""The systems of a run in one table: controls, and baselines that were scored; what `make benchmark` prints."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from csg405.benchmark.metric import Values
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import control_book, control_values
from csg405.engine import Engine
from csg405.table import write_text

COLUMNS = ("kgd", "sga_auc", "ba_kappa", "kin", "coverage", "lip_r", "kgd_hands", "fgd", "jerk")
"""Values that are shown, those that rank first; the files hold all."""

Kind = Literal["control", "model"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A system."""

    name: str
    kind: Kind
    values: Values
    parameters_m: float | None = None
    """Millions."""
    cost: float | None = None
    """Seconds of computing for a second of motion."""

    def cells(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Values of columns as text."""
        return tuple(_cell(self.values.get(column)) for column in columns)


@dataclasses.dataclass(frozen=True)
class Shown:
    """A table."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    path: Path
    """A file that holds all values of the controls."""

    @property
    def controls(self) -> dict[str, Values]:
        """The controls' values."""
        return {row.name: row.values for row in self.rows if row.kind == "control"}

    @property
    def models(self) -> list[Row]:
        """The models' rows."""
        return [row for row in self.rows if row.kind == "model"]


def of_systems(place: Place, engine: Engine, scores: Mapping[str, Path] | None = None) -> Shown:
    """All controls on a split, scored where that was not done before, and models that were scored.

    Args:
        place: the run, the kit and the split.
        engine: local or Ray.
        scores: folders of the models' scores, by the name that a table has for them.

    Returns:
        The truth, the models, and the other controls.
    """
    path = place.home / f"controls-{place.split}.json"
    values = _held(path, place.digests)
    if values is None:
        with one_thread():
            values = control_values(control_book(place, engine, with_towers=place.kit.has_towers))
        write_text(path, json.dumps({"digests": place.digests, "values": values}, indent=1) + "\n")
    truth, *others = [Row(name=name, kind="control", values=held) for name, held in values.items()]
    rows = (truth, *(_model(name, folder) for name, folder in (scores or {}).items()), *others)
    columns = tuple(name for name in COLUMNS if any(row.values.get(name) is not None for row in rows))
    return Shown(columns, rows, path)


def _held(path: Path, digests: Mapping[str, str]) -> dict[str, Values] | None:
    """The controls' values, if they were computed from the same."""
    try:
        held: dict[str, Any] = json.loads(path.read_bytes())
        return held["values"] if held["digests"] == digests else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _model(name: str, folder: Path) -> Row:
    held = json.loads((folder / "results.json").read_bytes())
    cost = held["submission"].get("cost") or {}
    return Row(
        name=name, kind="model", values={card: told["value"] for card, told in held["metrics"].items()},
        parameters_m=cost.get("parameters_m"), cost=cost.get("seconds_per_video_second"),
    )  # fmt: skip


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
