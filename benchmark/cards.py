"""Metric cards: what a metric claims of itself, put to the test on the truth of a split.

Eight perturbations of the truth at five levels each (`csg405.benchmark.perturb`) are scored like systems. A metric
*answers to* a perturbation when its shortfall from the best value rises with the level: Spearman's correlation of at
least `LEAST_RHO`, and a rise beyond the floor. It *ignores* one when no level takes it further than the floor. And no
control may come out better than the truth by more than the floor. A metric that fails any of its claims is shown, and
cannot rank. Where no floor can be told, `LEAST_PART` of the distance from chance to the truth takes its place.
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

LEAST_PART = 0.05

_DIGITS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examined:
    """What became of a card's claims."""

    name: str
    title: str
    ranks: bool
    floor: float | None
    truth: float | None
    answers: dict[str, tuple[float, bool]]
    """By perturbation: Spearman's rho, and whether the claim holds."""
    ignores: dict[str, tuple[float, bool]]
    """By perturbation: the largest change, and whether the claim holds."""
    beyond: tuple[str, ...]
    """Controls that are better than the truth by more than the floor."""
    curves: dict[str, tuple[float | None, ...]]
    """Values by perturbation, from the lowest level to the highest."""

    @property
    def passed(self) -> bool:
        """Whether all claims hold."""
        return all(held for _, held in [*self.answers.values(), *self.ignores.values()]) and not self.beyond

    def words(self) -> tuple[str, str, str]:
        """The claims in words: what it answers to, what it ignores, which controls are beyond the truth."""
        answers = ", ".join(
            f"{name} {rho:+.2f}{'' if held else ' FAILS'}" for name, (rho, held) in self.answers.items()
        )
        ignores = ", ".join(
            f"{name}{'' if held else f' FAILS ({change:.3g})'}" for name, (change, held) in self.ignores.items()
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
    worst = shortfall(card, chance, truth)
    allowed = max(floor or 0.0, LEAST_PART * (worst or 0.0) if floor is None else 0.0)
    curves: dict[str, tuple[float | None, ...]] = {
        kind: tuple(perturbed[f"{kind}.{level}"].get(card.name) for level in range(len(levels)))
        for kind, levels in LEVELS.items()
    }

    def short(value: float | None) -> float:
        found = shortfall(card, value, truth)
        return np.nan if found is None else found

    shortfalls = {kind: [short(value) for value in curve] for kind, curve in curves.items()}
    beyond = [] if card.direction not in ("higher", "lower") or truth is None else [
        name for name, values in controls.items()
        if (value := values.get(card.name)) is not None
        and (value - truth if card.direction == "higher" else truth - value) > allowed
    ]  # fmt: skip
    return Examined(
        name=card.name, title=card.title, ranks=card.ranks, floor=floor, truth=truth,
        answers={kind: _answer(shortfalls[kind], allowed) for kind in card.answers},
        ignores={kind: _change(curves[kind], truth, allowed) for kind in card.ignores},
        beyond=tuple(beyond), curves=curves,
    )  # fmt: skip


def _answer(shortfalls: Sequence[float], allowed: float) -> tuple[float, bool]:
    """Spearman's rho of the shortfall with the level, the truth itself being level 0; and whether that is an answer."""
    rising = [0.0, *shortfalls]
    if np.isnan(rising).any() or np.ptp(rising) == 0:
        return 0.0, False
    rho = float(stats.spearmanr(np.arange(len(rising)), rising).statistic)
    return round(rho, _DIGITS), rho >= LEAST_RHO and shortfalls[-1] > allowed


def _change(curve: Sequence[float | None], truth: float | None, allowed: float) -> tuple[float, bool]:
    """The largest change from the truth, and whether it is none."""
    if truth is None or any(value is None for value in curve):
        return 0.0, truth is None
    change = max(abs(value - truth) for value in curve if value is not None)
    return float(f"{change:.{_DIGITS}g}"), change <= allowed


def write(place: Place, found: Sequence[Examined]) -> Path:
    """Keep what became of the cards beside the kit's scores; it decides what ranks from then on."""
    path = _path(place)
    facts = {"digests": place.digests, "cards": [dataclasses.asdict(card) | {"passed": card.passed} for card in found]}
    write_text(path, json.dumps(facts, indent=1) + "\n")
    return path


def passed(place: Place) -> dict[str, bool]:
    """Which cards passed with this data, kit and evaluator; nothing where they were not examined."""
    path = _path(place)
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if facts.get("digests") != place.digests:
        return {}
    return {card["name"]: card["passed"] for card in facts["cards"]}


def _path(place: Place) -> Path:
    return place.home / f"cards-{place.split}.json"
