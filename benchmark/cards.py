"""Metric cards: what a metric claims of itself, put to the test on the truth of a split.

Eight perturbations of the truth at five levels each (`csg405.benchmark.perturb`) are scored like systems. Three rules:

- A metric *answers to* a perturbation when its shortfall from the best value rises with the level: Spearman's
  correlation of level and shortfall, the truth being level 0, is at least `LEAST_RHO`, and the gross level lies further
  from the best value than what is *allowed*. A metric that is better the higher or the lower it is may come down to
  chance before the gross level. Then it has nothing more to lose: if at every level from there on more than half of the
  way to chance stays lost, these levels count as being in order. Without this no measure of synchrony could pass:
  speech has a rhythm, a motion that is late by half a beat falls between the beats, which is worse than chance, and one
  that is late by a whole one meets the next.
- It *ignores* one when no level takes its value further from the truth's than what is allowed.
- No control may come out better than the truth by more than the floor. Only a metric that is better the higher or
  the lower it is can fail this.

The *floor* is how far apart values of the same truth lie (`csg405.benchmark.scoring.values.Book.floors`). *Allowed* is
the floor, or `LEAST_PART` of the way from the truth to chance where that is more: a metric that is taken against the
clip's own truth has a floor of 0 (the coverage of the truth by itself is exactly 1), and would be held to the last bit
otherwise. For a metric of which nothing is better (direction `none`) there is no such way, and it must stay to the bit.

A metric that fails any of its claims is shown, and cannot rank. `docs/metrics.md` shows the cards as measured on the
synthetic world (`csg405.benchmark.cards_page`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from csg405.benchmark.metric import Card, Values
from csg405.benchmark.perturb import LEVELS
from csg405.table import write_text

if TYPE_CHECKING:
    from csg405.benchmark.scoring.place import Place
    from csg405.engine import Engine

LEAST_RHO = 0.9
"""Of six levels with the truth's, two neighbours may be in the wrong order (0.94), not more (0.89)."""

LEAST_PART = 0.05
"""Of the way from the truth to chance: what counts as no change in any case."""

_DIGITS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of the claim to answer to a perturbation."""

    rho: float
    """Spearman's correlation of level and shortfall; levels that are lost to chance count as being in order."""
    at_chance: int | None
    """The level, from 1, from which on the metric is lost to chance; None where it is not."""
    shortfall: float | None
    """At the gross level."""
    held: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stay:
    """What became of the claim to ignore a perturbation."""

    change: float | None
    """The largest change from the truth's value over the levels; None where a value is missing."""
    held: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examined:
    """What became of a card's claims."""

    name: str
    title: str
    unit: str
    direction: str
    ranks: bool
    """Whether it may rank where it passes."""
    truth: float | None
    chance: float | None
    """The value of the best control that knows nothing of the speech."""
    floor: float | None
    """How far apart values of the same truth lie."""
    allowed: float
    """What counts as no change."""
    answers: dict[str, Answer]
    ignores: dict[str, Stay]
    beyond: tuple[str, ...]
    """Controls that are better than the truth by more than the floor."""
    controls: dict[str, float | None]
    """Values by control."""
    curves: dict[str, tuple[float | None, ...]]
    """Values by perturbation, from the lowest level to the highest."""

    @property
    def passed(self) -> bool:
        """Whether all claims hold."""
        claims: list[Answer | Stay] = [*self.answers.values(), *self.ignores.values()]
        return all(claim.held for claim in claims) and not self.beyond

    def as_json(self) -> dict[str, Any]:
        """All of it, and whether it passed."""
        return dataclasses.asdict(self) | {"passed": self.passed}

    def words(self) -> tuple[str, str, str]:
        """The claims in words: what it answers to, what it ignores, which controls are beyond the truth."""
        answers = ", ".join(
            f"{name} {claim.rho:+.2f}{'' if claim.held else ' FAILS'}" for name, claim in self.answers.items()
        )
        ignores = ", ".join(
            f"{name}{'' if claim.held else f' FAILS ({claim.change})'}" for name, claim in self.ignores.items()
        )
        return answers, ignores, ", ".join(self.beyond)


def examine(place: Place, engine: Engine) -> list[Examined]:
    """Put every card to the test on a split; the rows stay, so a second time costs little."""
    from csg405.benchmark.scoring.measure import Group, measure, one_thread
    from csg405.benchmark.scoring.results import best_chance, cards
    from csg405.benchmark.scoring.score import control_book, control_values
    from csg405.benchmark.scoring.systems import perturbations

    towers = place.kit.has_towers
    with one_thread():
        book = control_book(place, engine, with_towers=towers)
        systems = tuple(perturbations())
        folder = place.rows("perturbations", with_towers=towers)
        files = measure(
            place.measured, Group(name="perturbations", systems=systems), folder, engine, with_towers=towers
        )
        perturbed = dataclasses.replace(book, files={system.name: files for system in systems})
        values = {system.name: perturbed.values(perturbed.rows(system.name)) for system in systems}
        controls, floors = control_values(book), book.floors()
        return [
            examined(card, values, controls, floor=floors.get(card.name), chance=best_chance(card, controls))
            for card in cards(book.modules)
        ]


def examined(
    card: Card,
    perturbed: Mapping[str, Values],
    controls: Mapping[str, Values],
    *,
    floor: float | None,
    chance: float | None,
) -> Examined:
    """One card's claims against values.

    Args:
        card: the card.
        perturbed: values by `<perturbation>.<level>`.
        controls: values by control.
        floor: how far the same truth lies apart.
        chance: the value of chance.
    """
    from csg405.benchmark.scoring.values import shortfall

    truth = controls["truth"].get(card.name)
    allowed = max(floor or 0.0, LEAST_PART * _way(card, truth, chance))
    curves: dict[str, tuple[float | None, ...]] = {
        kind: tuple(perturbed[f"{kind}.{level}"].get(card.name) for level in range(len(levels)))
        for kind, levels in LEVELS.items()
    }
    shortfalls = {kind: [shortfall(card, value, truth) for value in curve] for kind, curve in curves.items()}
    own = shortfall(card, truth, truth)
    lost = shortfall(card, chance, truth) if card.direction in ("higher", "lower") else None
    return Examined(
        name=card.name, title=card.title, unit=card.unit, direction=card.direction, ranks=card.ranks,
        truth=truth, chance=chance, floor=floor, allowed=allowed,
        answers={kind: _answer([own, *shortfalls[kind]], allowed=allowed, lost=lost) for kind in card.answers},
        ignores={kind: _stay(curves[kind], truth, allowed) for kind in card.ignores},
        beyond=_beyond(card, controls, truth, floor=allowed if floor is None else floor),
        controls={name: values.get(card.name) for name, values in controls.items()}, curves=curves,
    )  # fmt: skip


def _way(card: Card, truth: float | None, chance: float | None) -> float:
    """From the truth to chance; 0 where there is none, or where neither is better than the other."""
    return 0.0 if truth is None or chance is None or card.direction == "none" else abs(truth - chance)


def _beyond(card: Card, controls: Mapping[str, Values], truth: float | None, *, floor: float) -> tuple[str, ...]:
    """Controls that are better than the truth by more than the floor."""
    sign = {"higher": 1, "lower": -1}.get(card.direction)
    if sign is None or truth is None:
        return ()
    held = {name: values.get(card.name) for name, values in controls.items()}
    return tuple(name for name, value in held.items() if value is not None and sign * (value - truth) > floor)


def _answer(shortfalls: Sequence[float | None], *, allowed: float, lost: float | None) -> Answer:
    """Whether a metric answers to a perturbation.

    Args:
        shortfalls: of the truth itself, and of the levels.
        allowed: what counts as no change.
        lost: chance's shortfall; None where chance is not the other end.
    """
    found = [value for value in shortfalls if value is not None]
    if len(found) < len(shortfalls):
        return Answer(rho=0.0, at_chance=None, shortfall=shortfalls[-1], held=False)
    at_chance = None if lost is None else _lost_from(found, lost=lost, allowed=allowed)
    rho = _rho(found[:at_chance], beyond=0 if at_chance is None else len(found) - at_chance)
    return Answer(
        rho=round(rho, _DIGITS), at_chance=at_chance, shortfall=found[-1],
        held=rho >= LEAST_RHO and found[-1] > allowed,
    )  # fmt: skip


def _lost_from(shortfalls: Sequence[float], *, lost: float, allowed: float) -> int | None:
    """The level from which on a metric is lost to chance, if it does not win back half of the way later."""
    first = next((level for level, value in enumerate(shortfalls) if value >= lost - allowed), None)
    if not first or lost <= allowed or min(shortfalls[first:]) <= lost / 2:
        return None
    return first


def _rho(found: Sequence[float], *, beyond: int) -> float:
    """Spearman's correlation of values with their order, with more values in order beyond them; 0 for equal ones."""
    whole = [*found, *(max(found) + 1 + level for level in range(beyond))]
    return float(stats.spearmanr(np.arange(len(whole)), whole).statistic) if np.ptp(whole) else 0.0


def _stay(curve: Sequence[float | None], truth: float | None, allowed: float) -> Stay:
    """Whether no value is further from the truth's than what is allowed."""
    changes = [abs(value - truth) for value in curve if value is not None and truth is not None]
    if len(changes) < len(curve):
        return Stay(change=None, held=False)
    return Stay(change=max(changes), held=max(changes) <= allowed)


def write(place: Place, found: Sequence[Examined]) -> Path:
    """Keep what became of the cards beside the kit's scores; it decides what ranks from then on."""
    made = place.folders.work / "truth.json"
    facts = {
        "digests": place.digests,
        "split": place.split,
        "clips": len(place.entries),
        "speakers": len(set(place.cluster_of.values())),
        "kit": place.kit.facts,
        "synthetic": json.loads(made.read_text(encoding="utf-8")) if made.is_file() else None,
        "cards": [card.as_json() for card in found],
    }
    write_text(_path(place), json.dumps(facts, indent=1) + "\n")
    return _path(place)


def passed(place: Place) -> dict[str, bool]:
    """Which cards passed with this data, kit and evaluator; nothing where they were not examined."""
    path = _path(place)
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if facts.get("digests") != place.digests:
        return {}
    return {card["name"]: card["passed"] for card in facts["cards"]}


def _path(place: Place) -> Path:
    return place.home / f"cards-{place.split}.json"
