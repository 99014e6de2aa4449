"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Sequence

_MOST_DIGITS = 7


def number(value: float, *, digits: int = 3) -> str:
    """A measurement with `digits` significant digits, whole from there up; the minus sign is a real one."""
    if value != value:
        return "none"
    text = f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return "0" if text in ("-0", "0") else text.replace("-", "\N{MINUS SIGN}")


def apart(value: float, limits: Sequence[float]) -> list[str]:
    """A value and the limits that it is compared with, with digits enough that unequal ones look unequal."""
    for digits in range(3, _MOST_DIGITS):
        texts = [number(each, digits=digits) for each in (value, *limits)]
        if all((text == texts[0]) == (limit == value) for text, limit in zip(texts[1:], limits, strict=True)):
            return texts
    return [number(each, digits=_MOST_DIGITS) for each in (value, *limits)]


def count(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


def percent(share: float) -> str:
    """A share (0-1) in per cent; never 0 % for something, nor 100 % for less than all."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def length(seconds: float) -> tuple[str, str]:
    """A length of time as a number and its unit: seconds, minutes or hours, whichever reads best."""
    if seconds < 60:
        return f"{seconds:.1f}".removesuffix(".0"), "s"
    if seconds < 3600:
        return f"{seconds / 60:.1f}", "min"
    return f"{seconds / 3600:,.1f}", "h"


def clock(milliseconds: int) -> str:
    """A time within a video: minutes, seconds and tenths, and hours where there are any."""
    tenths = milliseconds // 100
    seconds, minutes, hours = tenths // 10 % 60, tenths // 600 % 60, tenths // 36_000
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{head}:{seconds:02d}.{tenths % 10}"


def label(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")


def unit(name: str) -> str:
    """A unit as it is printed."""
    return name.replace("^2", "\N{SUPERSCRIPT TWO}")
