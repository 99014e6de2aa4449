"""What a planted defect is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import get_args

import numpy as np

from csg405.synth.film import Coding, Take
from csg405.synth.record import Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""`mild`: at the edge, a filter may miss it; `middle`: a careful person would reject it; `gross`: obvious."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that can be wrong with a take, or with the file that it lies in."""

    name: str
    what: str
    """In words."""
    names: tuple[str, ...] = ()
    """Refusals (`csg405.schema.Reason`) and criteria (files of filter/criteria) that count as naming it."""
    awaits: str = ""
    """Where nothing names it yet: the criterion that would. Such a defect is listed and not counted."""
    unit: str
    """Of its size."""
    sizes: tuple[float, float, float]
    """How large it is: mild, middle and gross."""

    def size(self, severity: Severity) -> float:
        """How large it is at a severity."""
        return self.sizes[SEVERITIES.index(severity)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TakeDefect(Defect):
    """A defect of one take."""

    plant: Callable[[Take, float, np.random.Generator], Take]
    """Gives a take with the defect from a sound one, the defect's size and whatever else is drawn."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileDefect(Defect):
    """A defect of a whole film, made when its file is written."""

    code: Callable[[Coding, float], Coding]
    """Gives the coding with the defect from a sound one and the defect's size."""
