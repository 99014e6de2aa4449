"""Values of metrics as people read them: numbers, intervals, what is better, and why there is no value."""

from __future__ import annotations

from csg405.benchmark.pages.scores import Metric
from csg405.report import words

DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "truth": "best where the truth is",
    "zero": "best at 0",
    "one": "best at 1",
    "none": "neither is better",
}

TRACKS = {"A": "audio to skeleton", "B": "given skeleton to video", "C": "audio to video"}

_LEAST_PER_CENT = -999

_ROUNDING = 1e-9

_NO_UNITS = ("1", "0-1", "kappa", "AUC")


def number(value: float | None) -> str:
    """A value; a dash where there is none, and 0 for what a sum's rounding leaves."""
    if value is None:
        return "\N{EN DASH}"
    return words.number(0.0 if abs(value) < _ROUNDING else value)


def interval(bounds: tuple[float, float] | None) -> str:
    """Of 95 per cent; empty where there is none."""
    return "" if bounds is None else f"{number(bounds[0])} to {number(bounds[1])}"


def per_cent(value: float | None) -> str:
    """A place between chance, 0, and the truth, 100; whole, since no score knows it better."""
    if value is None:
        return "\N{EN DASH}"
    if value < _LEAST_PER_CENT:
        return f"under {words.number(_LEAST_PER_CENT)} %"
    return f"{words.number(round(value), digits=4)} %"


def unit(metric: Metric) -> str:
    """Its unit, where it has one that says something."""
    return "" if metric.unit in _NO_UNITS else words.unit(metric.unit)


def against_truth(metric: Metric) -> str:
    """Whether a value can be told from the truth's."""
    short = metric.shortfall(metric.value)
    if metric.tied_with_truth is None or short is None or metric.floor is None:
        return "not compared with the truth"
    floor = number(metric.floor)
    if metric.tied_with_truth:
        return "as good as the truth" if short == 0 else f"tied with the truth: {number(short)} from it, floor {floor}"
    return f"short of the truth by {number(short)}, floor {floor}"


def missing(metric: Metric) -> str:
    """Why there is no value."""
    return f"not computed: {metric.why_not or 'no reason is given'}"
