"""Values as a histogram: counted by numpy, laid out here, drawn by the template as inline SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from csg405.report import words

WIDTH, HEIGHT = 380, 196
"""Of the drawing, in its own units."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 54, 28
"""Margins: the labels of the thresholds stand above the bars, those of the axis below."""

_TAIL_PERCENT = 0.5
"""Values far beyond this percentile on either side are counted in the outermost bar."""

_FAR = 0.25
"""How far is far: as a part of the distance between the percentiles."""

_ROOM_FOR_LABEL = 96
"""What a threshold's label takes beside its line."""

_WHOLE_AT_MOST = 30
"""Whole numbers spread over no more than this get one bar each."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar, passed values below and failed ones on top."""

    x: float
    width: float
    y_passed: float
    height_passed: float
    y_failed: float
    height_failed: float
    says: str


@dataclasses.dataclass(frozen=True)
class Line:
    """One threshold."""

    x: float
    text: str
    text_y: float
    text_x: float
    anchor: str


@dataclasses.dataclass(frozen=True)
class Tick:
    """One mark of the axis."""

    x: float
    text: str
    anchor: str


@dataclasses.dataclass(frozen=True)
class Histogram:
    """The drawing, and the counts that it shows."""

    bars: list[Bar]
    lines: list[Line]
    ticks: list[Tick]
    most: int
    """Values in the highest bar."""
    beyond: int
    """Values outside the axis, counted in the outermost bars."""
    base_y: float = HEIGHT - _BOTTOM
    top_y: float = _TOP


def draw(
    values: npt.NDArray[np.float64],
    passed: npt.NDArray[np.bool_],
    *,
    at_least: Sequence[float] = (),
    at_most: Sequence[float] = (),
    bins: int,
) -> Histogram | None:
    """Lay out a histogram.

    Args:
        values: [n]; NaN where there is no measurement.
        passed: [n], whether the value passed.
        at_least: lower thresholds.
        at_most: upper thresholds.
        bins: bars at most.

    Returns:
        The drawing; None where no value is finite.
    """
    finite = np.isfinite(values)
    values, passed = values[finite], passed[finite]
    if not values.size:
        return None
    limits = [*at_least, *at_most]
    whole = _is_whole(np.array([*values, *limits]))
    edges = _edges(values, limits, bins, whole=whole)
    inside = np.clip(values, edges[0], edges[-1])
    good = np.histogram(inside[passed], edges)[0]
    bad = np.histogram(inside[~passed], edges)[0]
    scale = _Scale(float(edges[0]), float(edges[-1]), int((good + bad).max()), whole)
    lines = [_line(limit, f"at least {words.number(limit)}", 14, scale) for limit in at_least]
    lines += [_line(limit, f"at most {words.number(limit)}", 30, scale) for limit in at_most]
    return Histogram(
        bars=_bars(edges, good, bad, scale),
        lines=lines,
        ticks=_ticks(scale),
        most=scale.most,
        beyond=int(((values < edges[0]) | (values > edges[-1])).sum()),
    )


@dataclasses.dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    most: int
    whole: bool

    def x(self, value: float) -> float:
        return round(_LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - _LEFT - _RIGHT), 2)

    def tall(self, number: int) -> float:
        return round(number / self.most * (HEIGHT - _TOP - _BOTTOM), 2)


def _edges(values: npt.NDArray[np.float64], limits: list[float], bins: int, *, whole: bool) -> npt.NDArray[np.float64]:
    low, high = _extent(values)
    low, high = min(low, *limits, high), max(high, *limits, low)
    if whole and high - low <= min(bins - 1, _WHOLE_AT_MOST):
        return np.arange(math.floor(low) - 0.5, math.ceil(high) + 1)
    room = 0.03 * (high - low) or max(abs(high) * 0.05, 0.05)
    start = max(low - room, 0.0) if low >= 0 else low - room
    return np.linspace(start, high + room, bins + 1)


def _extent(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Smallest and largest value, or the percentiles where the extremes lie far outside them."""
    low, high = (float(edge) for edge in np.percentile(values, [_TAIL_PERCENT, 100 - _TAIL_PERCENT]))
    far = _FAR * (high - low)
    smallest, largest = float(values.min()), float(values.max())
    return (smallest if smallest >= low - far else low), (largest if largest <= high + far else high)


def _is_whole(values: npt.NDArray[np.float64]) -> bool:
    return bool(np.array_equal(values, np.round(values)))


def _bars(
    edges: npt.NDArray[np.float64],
    good: npt.NDArray[np.int64],
    bad: npt.NDArray[np.int64],
    scale: _Scale,
) -> list[Bar]:
    base = HEIGHT - _BOTTOM
    bars = []
    for number, (n_good, n_bad) in enumerate(zip(good.tolist(), bad.tolist(), strict=True)):
        if not n_good + n_bad:
            continue
        left, right = scale.x(edges[number]), scale.x(edges[number + 1])
        span = f"{words.number(edges[number])} to {words.number(edges[number + 1])}"
        if scale.whole and edges[number + 1] - edges[number] == 1:
            span = words.number(edges[number] + 0.5)
        tall_good, tall_bad = scale.tall(n_good), scale.tall(n_bad)
        bars.append(
            Bar(
                x=left + 0.6,
                width=round(max(right - left - 1.2, 0.8), 2),
                y_passed=round(base - tall_good, 2),
                height_passed=tall_good,
                y_failed=round(base - tall_good - tall_bad, 2),
                height_failed=tall_bad,
                says=f"{span}: {n_good:,} passed, {n_bad:,} failed",
            )
        )
    return bars


def _line(limit: float, text: str, text_y: float, scale: _Scale) -> Line:
    x = scale.x(limit)
    if x > WIDTH - _ROOM_FOR_LABEL:
        return Line(x, text, text_y, x - 5, "end")
    return Line(x, text, text_y, x + 5, "start")


def _ticks(scale: _Scale) -> list[Tick]:
    """Round numbers along the axis, four or five of them."""
    span = scale.high - scale.low
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 5)
    if scale.whole:
        step = max(round(step), 1)
    ticks = []
    for number in range(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1):
        x = scale.x(step * number)
        anchor = "start" if x < _LEFT + 16 else "end" if x > WIDTH - _RIGHT - 16 else "middle"
        ticks.append(Tick(x, words.number(step * number, digits=4), anchor))
    return ticks
