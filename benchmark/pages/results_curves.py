"""How the baselines learnt: losses, and values on the validation split, over batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from csg405.benchmark.baselines import Done
from csg405.benchmark.pages import charts
from csg405.benchmark.training.checkpoints import History

_MOST_PLACES = 60
"""Places along a curve; where a history has more lines, each place is the mean of some."""

_SHOWN = {
    "validation_kgd": "Kernel gesture distance",
    "validation_kgd_hands": "Kernel gesture distance, hands",
    "validation_sga_auc": "SGA",
    "validation_ba_kappa": "BA-kappa",
    "validation_kin": "Kinematic distance",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning:
    """A training."""

    title: str
    batches: int
    batch: int | None
    """Windows in a batch."""
    batches_per_s: float | None
    drawing: charts.Curve | None


def learning(done: Sequence[Done]) -> list[Learning]:
    """The losses of all trainings; a loss of one model says nothing of another's."""
    found = []
    for number, each in enumerate(done):
        lines = History(each.training / "history.jsonl").lines()
        told = [line for line in lines if "loss" in line]
        if not told:
            continue
        speeds = [line["batches_per_s"] for line in told if "batches_per_s" in line]
        steps, losses = thinned([line["step"] for line in told], [line["loss"] for line in told])
        found.append(
            Learning(
                title=each.title, batches=int(told[-1]["step"]), batch=_batch(each.training),
                batches_per_s=median(speeds) if speeds else None,
                drawing=_coloured(number, charts.draw_curve(
                    steps, [(each.title, losses)], unit="batches", all_ticks=False
                )),
            )
        )  # fmt: skip
    return found


def _coloured(number: int, drawing: charts.Curve | None) -> charts.Curve | None:
    """In the colour that the model has everywhere on the page."""
    if drawing is None:
        return None
    lines = [dataclasses.replace(line, number=number) for line in drawing.lines]
    return dataclasses.replace(drawing, lines=lines)


def validations(done: Sequence[Done]) -> list[tuple[str, charts.Curve]]:
    """Values on the validation split: title and drawing, with a line for each model."""
    histories = {each.title: History(each.training / "history.jsonl").lines() for each in done}
    found = []
    for key, title in _SHOWN.items():
        held = {
            name: {line["step"]: line[key] for line in lines if line.get(key) is not None}
            for name, lines in histories.items()
        }
        steps = sorted({step for values in held.values() for step in values})
        lines = [(name, [values.get(step) for step in steps]) for name, values in held.items()]
        drawing = charts.draw_curve(steps, lines, unit="batches", all_ticks=False)
        if drawing is not None:
            found.append((title, drawing))
    return found


def thinned(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """Means of values that stand beside each other, where there are too many to be drawn."""
    size = -(-len(x) // _MOST_PLACES)
    starts = range(0, len(x), size) if size else ()
    return [fmean(x[first : first + size]) for first in starts], [fmean(y[first : first + size]) for first in starts]


def _batch(training: Path) -> int | None:
    path = training / "training.json"
    return int(json.loads(path.read_bytes())["training"]["batch"]) if path.is_file() else None
