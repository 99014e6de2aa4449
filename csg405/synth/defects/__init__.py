"""Planted defects: what may be wrong with a talker's film, in three severities, and what ought to find it.

A defect is an entry of `DEFECTS`, a change of a few fields of a `Take` or of a film's `Coding`; the truth follows by
itself. They are kept by what they touch: who is in the picture, what the talker does, how it is filmed, the pictures,
the sound, the file. The sizes are set by how the annotations measure and where the filter's thresholds lie: `middle`
is clearly beyond the threshold, `mild` near it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from csg405.synth.defects import acting, file, filming, people, pictures, sound
from csg405.synth.defects._defect import SEVERITIES, Defect, FileDefect, TakeDefect
from csg405.synth.film import Film, Take
from csg405.synth.record import Planted, Severity

__all__ = ["DEFECTS", "SEVERITIES", "Defect", "FileDefect", "TakeDefect", "plant", "plant_in_film"]

DEFECTS: dict[str, Defect] = {
    defect.name: defect for group in (people, acting, filming, pictures, sound, file) for defect in group.DEFECTS
}
"""All of them, by name."""


def plant(take: Take, *, defect: str, severity: Severity, rng: np.random.Generator) -> Take:
    """A take with a defect.

    Args:
        take: a sound one.
        defect: the name of a defect of takes.
        severity: of it.
        rng: decides what the severity leaves open: which hand, which kind of noise.

    Raises:
        ValueError: the defect is one of whole films.
    """
    entry = DEFECTS[defect]
    if not isinstance(entry, TakeDefect):
        raise ValueError(f"{defect} is no defect of a take but of a film: plant_in_film")
    changed = entry.plant(take, entry.size(severity), rng)
    return dataclasses.replace(changed, planted=Planted(defect=defect, severity=severity))


def plant_in_film(film: Film, *, defect: str, severity: Severity) -> Film:
    """A film with a defect that all its takes have.

    Args:
        film: of sound takes.
        defect: the name of a defect of whole films.
        severity: of it.

    Raises:
        ValueError: the defect is one of single takes.
    """
    entry = DEFECTS[defect]
    if not isinstance(entry, FileDefect):
        raise ValueError(f"{defect} is no defect of a film but of a take: plant")
    planted = Planted(defect=defect, severity=severity)
    return dataclasses.replace(
        film,
        takes=tuple(dataclasses.replace(take, planted=planted) for take in film.takes),
        coding=entry.code(film.coding, entry.size(severity)),
    )
