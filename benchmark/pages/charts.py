"""Drawings of a score, laid out here and drawn by the templates as inline SVG: rows of values, and curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from csg405.benchmark.pages import says
from csg405.report import words

WIDTH = 360
"""Of every drawing, in its own units; heights differ."""

_NAMES, _VALUES, _ROW, _TOP, _BOTTOM = 118, 62, 19, 6, 24
"""Columns of names and of values beside the axis, a row's height, margins."""

_CURVE_HEIGHT, _LEFT, _RIGHT = 190, 46, 10

_MOST_DOTS = 12
"""Values of a line up to which each has a dot, where not every place has a mark."""

_ROOM_DECADES = 0.25
"""How far the axis of a cloud goes beyond its points."""

_LETTER, _LONGEST, _PLACES = 6.6, 26, 16
"""Width of a letter of a name, letters that are shown, places about a dot that are tried."""

_BEYOND = 0.35
"""How far the axis goes beyond what must be seen on it, as a part of its length: what is farther off is at its end."""

Kind = Literal["own", "truth", "chance", "worst", "plain", "head"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """What a row shows."""

    name: str
    kind: Kind
    value: float | None = None
    interval: tuple[float, float] | None = None
    says: str = ""
    """More of it, for whoever points at the row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the drawing."""

    y: float
    name: str
    kind: Kind
    text: str
    says: str
    x: float | None
    beyond: Literal["", "left", "right"]
    bar: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    at: float
    text: str
    anchor: str = "middle"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """Values below each other, along one axis."""

    height: float
    left: float
    right: float
    base_y: float
    rows: list[Row]
    ticks: list[Tick]
    line_x: float | None
    """Of the truth."""
    chance_x: float | None
    band: tuple[float, float] | None
    """x and width of what is no different from the truth."""


def draw_rows(
    values: Sequence[Value],
    *,
    line: float | None = None,
    floor: float | None = None,
    chance: float | None = None,
    whole: bool = False,
) -> Rows | None:
    """Lay out rows of values.

    Args:
        values: from the top; a `head` has no value.
        line: where a vertical line stands: the truth.
        floor: half of the width of the band about it.
        chance: where another line stands.
        whole: whether the axis reaches all values; if not, the truth, chance and the submission decide how far it goes.

    Returns:
        The drawing; None where there is nothing to see.
    """
    if not any(each.value is not None for each in values):
        return None
    axis = _axis(values, line=line, floor=floor, chance=chance, whole=whole)
    height = _TOP + _ROW * len(values) + _BOTTOM
    rows = [_row(each, _TOP + _ROW * (number + 0.5), axis) for number, each in enumerate(values)]
    return Rows(
        height=height, left=_NAMES, right=WIDTH - _VALUES, base_y=height - _BOTTOM, rows=rows, ticks=axis.ticks(),
        line_x=None if line is None else axis.x(line), chance_x=None if chance is None else axis.x(chance),
        band=None if line is None or not floor else _band(axis, line - floor, line + floor),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    def x(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return round(self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start), 2)

    def beyond(self, value: float) -> Literal["", "left", "right"]:
        return "left" if value < self.low else "right" if value > self.high else ""

    def ticks(self, *, most: int = 4) -> list[Tick]:
        return [Tick(self.x(value), words.number(value)) for value in _round_values(self.low, self.high, most=most)]


def _axis(
    values: Sequence[Value], *, line: float | None, floor: float | None, chance: float | None, whole: bool
) -> _Axis:
    """From the truth, chance and the submission, and on to the others where they are not far, or all are wanted."""
    ends = [line, chance, *(each.value for each in values if each.kind in ("own", "truth", "chance"))]
    if line is not None and floor:
        ends += [line - floor, line + floor]
    ends += [end for each in values if each.kind == "own" and each.interval for end in each.interval]
    others = [each.value for each in values if each.value is not None]
    held = [end for end in ends if end is not None] or others
    low, high = min(held), max(held)
    reach = _BEYOND * (high - low) or max(abs(high) * 0.05, 1e-6)
    near = [value for value in others if whole or low - reach <= value <= high + reach]
    low, high = min(low, *near, high), max(high, *near, low)
    room = 0.04 * (high - low) or reach
    return _Axis(low - room, high + room, _NAMES + 4, WIDTH - _VALUES - 4)


def _row(value: Value, y: float, axis: _Axis) -> Row:
    found = value.value
    text = "" if value.kind == "head" else says.number(found)
    return Row(
        y=y, name=value.name, kind=value.kind, text=text, says=value.says,
        x=None if found is None else axis.x(found), beyond="" if found is None else axis.beyond(found),
        bar=None if value.interval is None else (axis.x(value.interval[0]), axis.x(value.interval[1])),
    )  # fmt: skip


def _band(axis: _Axis, low: float, high: float) -> tuple[float, float]:
    left, right = axis.x(low), axis.x(high)
    return left, round(max(right - left, 0.5), 2)


def _round_values(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers between two, `most` of them or one more."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= most)
    return [step * number for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a curve."""

    name: str
    number: int
    """Of its colour."""
    points: str
    """As an SVG polyline has them."""
    dots: list[tuple[float, float, str]]
    """x, y, and what is said of it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Lines over a common axis."""

    height: float
    left: float
    right: float
    base_y: float
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def draw_curve(
    x: Sequence[float], lines: Sequence[tuple[str, Sequence[float | None]]], *, unit: str, all_ticks: bool = True
) -> Curve | None:
    """Lay out lines over a common axis.

    Args:
        x: [n], rising.
        lines: name and [n] values, None where there is none.
        unit: of x, for what is said of a point.
        all_ticks: whether every x has a mark of the axis, and its values dots; if not, a few round ones have marks, and
            a line has dots only where it has few values.

    Returns:
        The drawing; None with fewer than two places that have a value.
    """
    held = [value for _, values in lines for value in values if value is not None]
    if len(x) < 2 or len(held) < 2:
        return None
    low, high = min(*held, 0.0), max(*held, 0.0)
    room = 0.06 * (high - low) or 1.0
    base = _CURVE_HEIGHT - _BOTTOM
    across = _Axis(x[0], x[-1], _LEFT + 6, WIDTH - _RIGHT - 6)
    up = _Axis(low - room, high + room, base, 8.0)
    drawn = []
    for number, (name, values) in enumerate(lines):
        dots = [
            (across.x(place), up.x(value), f"{name}, {words.number(place)} {unit}: {words.number(value)}")
            for place, value in zip(x, values, strict=True)
            if value is not None
        ]
        if dots:
            points = " ".join(f"{left},{top}" for left, top, _ in dots)
            shown = dots if all_ticks or len(dots) <= _MOST_DOTS else []
            drawn.append(Line(name=name, number=number, points=points, dots=shown))
    return Curve(
        height=_CURVE_HEIGHT, left=_LEFT, right=WIDTH - _RIGHT, base_y=base, lines=drawn,
        x_ticks=[Tick(across.x(place), words.number(place)) for place in x] if all_ticks else across.ticks(most=5),
        y_ticks=up.ticks(),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """A dot of a cloud, with its name beside it."""

    name: str
    number: int
    """Of its colour."""
    x: float
    y: float
    beyond: Literal["", "left", "right"]
    """`left` where it lies below the axis, `right` above."""
    text_x: float
    """Of the middle of its name."""
    text_y: float
    says: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cloud:
    """Points over what they cost."""

    height: float
    left: float
    right: float
    base_y: float
    points: list[Point]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[tuple[float, str]]
    """y and name of what is marked: the truth, chance."""


def draw_cloud(
    points: Sequence[tuple[str, float | None, float | None, str]], *, lines: Sequence[tuple[float, str]], low: float
) -> Cloud | None:
    """Lay out points over a logarithmic axis.

    Args:
        points: name, x above 0, y, and what is said of it; those without x or y are left out.
        lines: values of y with a name, which are always on the axis.
        low: the least y that the axis goes down to, whatever lies below.

    Returns:
        The drawing; None where there is no point.
    """
    held = [(number, name, x, y, text) for number, (name, x, y, text) in enumerate(points)
            if x is not None and y is not None and x > 0]  # fmt: skip
    if not held:
        return None
    decades = [math.log10(x) for _, _, x, _, _ in held]
    across = _Axis(min(decades) - _ROOM_DECADES, max(decades) + _ROOM_DECADES, _LEFT + 6, WIDTH - _RIGHT - 6)
    seen = [max(y, low) for _, _, _, y, _ in held] + [y for y, _ in lines]
    room = 0.08 * (max(seen) - min(seen)) or 1.0
    base = _CURVE_HEIGHT - _BOTTOM
    up = _Axis(min(seen) - room, max(seen) + room, base, 8.0)
    dots = [(number, name, text, across.x(math.log10(x)), y) for number, name, x, y, text in held]
    taken = [_box(left, up.x(y), 11, 11) for _, _, _, left, y in dots]
    taken += [_box(WIDTH - _RIGHT - 20, up.x(y) - 8, 40, 12) for y, _ in lines]
    drawn: list[Point] = []
    for number, name, text, left, y in dots:
        text_x, text_y = _room_for(name, left, up.x(y), taken, base=base)
        drawn.append(Point(name=name, number=number, x=left, y=up.x(y), beyond=up.beyond(y), says=text,
                           text_x=text_x, text_y=text_y))  # fmt: skip
    marks = [(place, words.number(place)) for place in _log_ticks(10**across.low, 10**across.high)]
    return Cloud(
        height=_CURVE_HEIGHT, left=_LEFT, right=WIDTH - _RIGHT, base_y=base, points=drawn,
        x_ticks=[Tick(across.x(math.log10(place)), text) for place, text in marks], y_ticks=up.ticks(),
        lines=[(up.x(y), name) for y, name in lines],
    )  # fmt: skip


_Box = tuple[float, float, float, float]
"""Left, right, top, bottom."""


def _box(x: float, y: float, width: float, height: float) -> _Box:
    return x - width / 2, x + width / 2, y - height / 2, y + height / 2


def _room_for(name: str, x: float, y: float, taken: list[_Box], *, base: float) -> tuple[float, float]:
    """The middle and the base line of a name, above or below its dot, where nothing else is; it is taken then."""
    width = _LETTER * min(len(name), _LONGEST)
    middle = min(max(x, _LEFT + width / 2), WIDTH - _RIGHT - width / 2)
    for number in range(_PLACES):
        row = y + (-13 - 14 * (number // 2) if number % 2 == 0 else 14 + 14 * (number // 2))
        box = _box(middle, row, width, 13)
        clear = not any(box[0] < b[1] and b[0] < box[1] and box[2] < b[3] and b[2] < box[3] for b in taken)
        if clear and box[2] >= 0 and box[3] <= base:
            break
    taken.append(box)
    return round(middle, 2), round(row + 4, 2)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two: powers of ten, and 2 and 5 times these where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1.0,) if last - first > 3 else (1.0, 2.0, 5.0)
    marks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [mark for mark in marks if low <= mark <= high]
