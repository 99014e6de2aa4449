"""`python -m csg405.benchmark.cards_page [CARDS]`: the metric cards in docs/metrics.md.

`docs/metrics.json` is the golden: cards as they were once measured, with where and on what. The page's blocks between
marks are rendered from it and from the metrics' own docstrings; what lies between the blocks is written by hand. With
CARDS, a file `work/<run>/benchmark/cards-<split>.json` that `csg405 benchmark cards` wrote, the golden is made anew
first. Tests hold the page, the golden's claims and, on a smaller release, its verdicts to what is true today.
"""

from __future__ import annotations

import argparse
import datetime
import inspect
import json
import logging
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from csg405.benchmark import metric
from csg405.benchmark.cards import LEAST_RHO
from csg405.benchmark.controls import CONTROLS
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.metric import Card, MetricModule
from csg405.benchmark.perturb import LEVELS, UNITS
from csg405.table import write_text

log = logging.getLogger(__name__)

PAGE, GOLDEN = Path("docs/metrics.md"), Path("docs/metrics.json")

DIGITS = 4
"""Significant digits of the golden."""

_SHOWN_DIGITS = 3

_BETTER = {
    "higher": "higher is better", "lower": "lower is better", "truth": "nearer to the truth is better",
    "zero": "nearer to 0 is better", "one": "nearer to 1 is better", "none": "nothing is better",
}  # fmt: skip

_BLIND = re.compile(r"(?:Blind to|Known failures).*?(?=\s*Sources?:|\Z)", re.DOTALL)

Golden = Mapping[str, Any]


def golden_of(facts: Golden, *, date: str, machine: str) -> dict[str, Any]:
    """The golden of a file of cards.

    Args:
        facts: what `csg405.benchmark.cards.write` wrote.
        date: of the measurement.
        machine: its class, for example `x86_64, 2 cores`.
    """
    kit = {name: facts["kit"][name] for name in (*KitSettings.model_fields, "clips", "hit")}
    measured = {"date": date, "machine": machine, "release": _release(facts["synthetic"]),
                **{name: facts[name] for name in ("split", "clips", "speakers")}, "kit": kit}  # fmt: skip
    return {"measured": measured, "cards": [_rounded(card) for card in facts["cards"]]}


def _release(made: Mapping[str, Any] | None) -> str:
    if made is None:
        return "a release that was not made by `csg405 synth truth`"
    return f"csg405 synth truth --minutes {made['minutes']:g} --talkers {made['talkers']} --seed {made['seed']}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(held) for name, held in value.items()}
    return [_rounded(held) for held in value] if isinstance(value, list) else value


def as_text(golden: Golden) -> str:
    """The golden as a file: a line for each card, so that a change shows which."""
    cards = ",\n".join(f"  {json.dumps(card)}" for card in golden["cards"])
    return f'{{\n "measured": {json.dumps(golden["measured"])},\n "cards": [\n{cards}\n ]\n}}\n'


def claims(card: Card) -> dict[str, Any]:
    """What a card says of itself, as the golden says it."""
    return {
        "title": card.title, "unit": card.unit, "direction": card.direction, "ranks": card.ranks,
        "answers": sorted(card.answers), "ignores": sorted(card.ignores),
    }  # fmt: skip


def verdicts(card: Golden) -> dict[str, bool]:
    """What became of every claim of a card of the golden, by claim."""
    found = {f"{kind} {name}": claim["held"] for kind in ("answers", "ignores") for name, claim in card[kind].items()}
    return found | {"no control beyond the truth": not card["beyond"]}


def why(card: Golden) -> list[str]:
    """Why a card of the golden fails; nothing for one that passes."""
    found = []
    for name, claim in card["answers"].items():
        if claim["held"]:
            continue
        if claim["rho"] < LEAST_RHO:
            found.append(f"it should answer to `{name}`, and correlates with its level by {claim['rho']:.2f} only")
        else:
            found.append(
                f"it should answer to `{name}`, and gross {name} takes it only {_number(claim['shortfall'])} from the "
                f"best, where {_number(card['allowed'])} counts as nothing"
            )
    found += [
        f"it should ignore `{name}`, which changes it by {_number(claim['change'])}, where {_number(card['allowed'])} "
        "counts as nothing"
        for name, claim in card["ignores"].items()
        if not claim["held"]
    ]
    if card["beyond"]:
        found.append(f"better than the truth: {', '.join(f'`{name}`' for name in card['beyond'])}")
    return found


def perturbations(golden: Golden) -> str:
    """What is done to the truth, as a table."""
    del golden
    rows = [(f"`{name}`", UNITS[name], ", ".join(f"{level:g}" for level in levels)) for name, levels in LEVELS.items()]
    return _table(("perturbation", "size", "levels"), rows)


def headline(golden: Golden) -> str:
    """Where the cards were measured, and those that may rank, as a table."""
    said = golden["measured"]
    kit = said["kit"]
    where = (
        f"Measured on {said['date']} ({said['machine']}), split {said['split']} of `{said['release']}`: "
        f"{said['clips']} clips of {said['speakers']} talkers that no network was trained on. Kit: {kit['clips']} "
        f"training clips, {kit['steps']} steps for an autoencoder and {kit['tower_steps']} for the two towers.\n"
    )
    rows = [
        (f"`{card['name']}`", card["title"], _BETTER[card["direction"]].removesuffix(" is better"),
         *(_number(card[name]) for name in ("truth", "chance", "floor")), "yes" if card["passed"] else "no")
        for card in golden["cards"] if card["ranks"]
    ]  # fmt: skip
    return where + "\n" + _table(("metric", "what", "better", "truth", "chance", "floor", "passes and ranks"), rows)


def failures(golden: Golden) -> str:
    """Every card that fails, and why, as a table."""
    rows = [(f"`{card['name']}`", "; ".join(why(card))) for card in golden["cards"] if not card["passed"]]
    return _table(("metric", "why"), rows)


def sections(golden: Golden) -> str:
    """Every metric with its cards."""
    held = {card["name"]: card for card in golden["cards"]}
    return "\n".join(_section(name, module, held) for name, module in sorted(metric.modules().items()))


def _section(name: str, module: MetricModule, held: Mapping[str, Golden]) -> str:
    about = inspect.cleandoc(module.__doc__ or "")
    cards = [held[card.name] for card in module.CARDS]
    parts = [
        f"### {name}\n",
        f"{_line(about.split(chr(10) * 2, 1)[0])} Definition and sources: `benchmark/metrics/{name}.py`.\n",
        f"{blind_to(module)}\n",
        *(_card(card) for card in cards),
        _table(("control", *(f"`{card['name']}`" for card in cards)), [
            (control.title, *(_number(card["controls"][control.name]) for card in cards)) for control in CONTROLS
        ]),
    ]  # fmt: skip
    return "\n".join(parts)


def blind_to(module: MetricModule) -> str:
    """What a metric does not see, in the words of its docstring.

    Raises:
        ValueError: its docstring does not say.
    """
    paragraphs = inspect.cleandoc(module.__doc__ or "").split("\n\n")
    found = [match.group() for text in paragraphs if (match := _BLIND.search(text))]
    if not found:
        raise ValueError(f"{module.__name__} does not say what it is blind to")
    return _line(" ".join(found))


def _card(card: Golden) -> str:
    reasons = why(card)
    facts = ", ".join(f"{name} {_number(card[name])}" for name in ("truth", "chance", "floor", "allowed"))
    lines = [
        f"**`{card['name']}`: {card['title']}.** Unit {card['unit']}; {_BETTER[card['direction']]}; {facts}. "
        + (f"**Fails**: {'; '.join(reasons)}." if reasons else _praise(card)),
        "",
    ]
    rows = [(f"`{kind}`", *(_number(value) for value in card["curves"][kind]), *_claim(card, kind)) for kind in LEVELS]
    numbers = tuple(str(number + 1) for number in range(len(next(iter(LEVELS.values())))))
    return "\n".join(lines) + "\n" + _table(("perturbation", *numbers, "claim", "found"), rows)


def _praise(card: Golden) -> str:
    if not card["answers"] and not card["ignores"]:
        return "It claims nothing."
    return "**Passes, and ranks.**" if card["ranks"] else "**Passes**; it does not rank."


def _claim(card: Golden, kind: str) -> tuple[str, str]:
    if kind in card["answers"]:
        claim = card["answers"][kind]
        from_level = "" if claim["at_chance"] is None else f", at chance from level {claim['at_chance']} on"
        return "answers", f"rho {claim['rho']:.2f}{from_level}{'' if claim['held'] else ', **fails**'}"
    if kind in card["ignores"]:
        claim = card["ignores"][kind]
        return "ignores", f"changes by {_number(claim['change'])}{'' if claim['held'] else ', **fails**'}"
    return "", ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value + 0.0:.{_SHOWN_DIGITS}g}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


BLOCKS: dict[str, Callable[[Golden], str]] = {
    "perturbations": perturbations, "headline": headline, "failures": failures, "cards": sections,
}  # fmt: skip
"""What is rendered, by the name of its place in the page."""


def renewed(page: str, golden: Golden) -> str:
    """A page with its blocks as they should be today.

    Raises:
        ValueError: it has no place for one.
    """
    for name, rendered in BLOCKS.items():
        begin, end = f"<!-- {name}: python -m csg405.benchmark.cards_page -->", f"<!-- end of {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"the page must hold {begin} and {end} once each")
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        page = f"{before}{begin}\n{rendered(golden).strip()}\n{end}{after}"
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the golden anew where a file of cards is given, and the page in any case."""
    parser = argparse.ArgumentParser(description="Write the metric cards into docs/metrics.md.")
    parser.add_argument("cards", nargs="?", type=Path, help="a file of cards, from which the golden is made anew")
    file = parser.parse_args(arguments).cards
    if file is not None:
        date = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC).date().isoformat()
        facts = json.loads(file.read_text(encoding="utf-8"))
        golden = golden_of(facts, date=date, machine=f"{platform.machine()}, {os.cpu_count()} cores")
        write_text(GOLDEN, as_text(golden))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    write_text(PAGE, renewed(PAGE.read_text(encoding="utf-8"), golden))
    log.info("wrote %s", PAGE)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
