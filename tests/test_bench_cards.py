"""Metric cards: their rules on values made by hand, the golden in docs/, and verdicts measured anew."""

from __future__ import annotations

import datetime
import json
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from csg405.benchmark import cards, cards_page, metric
from csg405.benchmark.cards import Examined, examined
from csg405.benchmark.controls import CONTROLS
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.metric import Card, Direction, Values
from csg405.benchmark.perturb import LEVELS
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.place import Place
from csg405.run import Folders
from tests import bench_release

ROOT = Path(__file__).parents[1]
GOLDEN = json.loads((ROOT / cards_page.GOLDEN).read_text(encoding="utf-8"))
BY_NAME = {card["name"]: card for card in GOLDEN["cards"]}
CARDS = {card.name: card for module in metric.modules().values() for card in module.CARDS}

Curve = Sequence[float | None]


def put_to_the_test(
    card: Card,
    curves: Mapping[str, Curve],
    *,
    truth: float | None,
    chance: float | None,
    floor: float | None = 0.0,
    controls: Mapping[str, float | None] | None = None,
) -> Examined:
    """A card on values; perturbations that are not given leave it at the truth."""
    perturbed: dict[str, Values] = {
        f"{kind}.{level}": {card.name: curves.get(kind, [truth] * 5)[level]} for kind in LEVELS for level in range(5)
    }
    others: dict[str, Values] = {name: {card.name: value} for name, value in (controls or {}).items()}
    return examined(card, perturbed, others | {"truth": {card.name: truth}}, floor=floor, chance=chance)


def answering(direction: Direction, curve: Curve, **values: Any) -> cards.Answer:
    card = Card(name="m", title="m", unit="1", direction=direction, answers=("jitter",))
    return put_to_the_test(card, {"jitter": curve}, **values).answers["jitter"]


def ignoring(direction: Direction, curve: Curve, **values: Any) -> cards.Stay:
    card = Card(name="m", title="m", unit="1", direction=direction, ignores=("lips",))
    return put_to_the_test(card, {"lips": curve}, **values).ignores["lips"]


@pytest.mark.parametrize(
    ("direction", "curve", "rho", "held"),
    [
        ("higher", [0.9, 0.8, 0.7, 0.6, 0.5], 1.0, True),
        ("higher", [0.9, 0.7, 0.8, 0.6, 0.5], 0.9429, True),  # two neighbours the wrong way round
        ("higher", [0.8, 0.9, 0.6, 0.7, 0.5], 0.8857, False),  # and two more
        ("higher", [1.1, 1.2, 1.3, 1.4, 1.5], 0.0, False),  # better than the truth is no shortfall
        ("higher", [1.0, 1.0, 1.0, 1.0, 0.97], 0.6547, False),
        ("higher", [0.9, 0.8, None, 0.6, 0.5], 0.0, False),
        ("lower", [1.1, 1.2, 1.3, 1.4, 1.5], 1.0, True),
        ("truth", [1.1, 0.8, 1.3, 0.6, 1.5], 1.0, True),
        ("one", [1.1, 0.8, 1.3, 0.6, 1.5], 1.0, True),
        ("zero", [1.1, 1.2, 1.3, -1.4, 1.5], 1.0, True),
        ("none", [1.1, 1.2, 1.3, 1.4, 1.5], 0.0, False),
    ],
)  # fmt: skip
def test_a_metric_answers_when_its_shortfall_rises_with_the_level(
    direction: Direction, curve: Curve, rho: float, *, held: bool
) -> None:
    found = answering(direction, curve, truth=1.0, chance=None)
    assert found.rho == pytest.approx(rho, abs=1e-4)
    assert found.held == held


@pytest.mark.parametrize(("floor", "chance", "held"), [(0.04, 0.5, True), (0.06, 0.5, False), (0.0, -0.1, False)])
def test_the_gross_level_must_lie_further_than_what_is_allowed(*, floor: float, chance: float, held: bool) -> None:
    found = answering("higher", [0.99, 0.98, 0.97, 0.96, 0.95], truth=1.0, chance=chance, floor=floor)
    assert found.rho == 1
    assert found.shortfall == pytest.approx(0.05)
    assert found.held == held


@pytest.mark.parametrize(
    ("direction", "curve", "at_chance", "held"),
    [
        ("higher", [0.4, -0.3, -0.5, 0.0, 0.1], 2, True),  # worse than chance in the middle: late by half a beat
        ("higher", [0.4, 0.04, -0.5, 0.0, 0.1], 2, True),  # a twentieth of the way above it is at chance
        ("higher", [0.4, -0.3, -0.5, 0.6, 0.1], None, False),  # wins back more than half
        ("higher", [0.4, 0.6, 0.5, 0.45, 0.2], None, False),  # never comes down to chance
        ("higher", [0.8, 0.9, 0.85, 0.95, 0.0], 5, False),  # in no order on the way there
        ("higher", [1.0, 1.0, 0.7, 0.0, 0.1], 4, True),  # what is near enough is free
        ("higher", [1.0, 1.0, 1.0, 0.0, 0.1], 4, False),  # but not so much
        ("lower", [1.6, 2.3, 2.5, 2.0, 1.9], 2, True),
        ("truth", [0.4, -0.3, -0.5, 0.0, 0.1], None, False),  # chance is not the other end
    ],
)
def test_beyond_chance_the_order_of_the_levels_is_free(
    direction: Direction, curve: Curve, at_chance: int | None, *, held: bool
) -> None:
    found = answering(direction, curve, truth=1.0, chance=2.0 if direction == "lower" else 0.0)
    assert (found.at_chance, found.held) == (at_chance, held)
    assert held == (found.rho >= cards.LEAST_RHO)


def test_where_chance_is_as_good_as_the_truth_nothing_is_lost_to_it() -> None:
    found = answering("higher", [0.4, 0.5, 0.3, 0.6, 0.2], truth=1.0, chance=0.9, floor=0.1)
    assert (found.at_chance, found.held) == (None, False)


@pytest.mark.parametrize(
    ("direction", "change", "values", "held"),
    [
        ("higher", 0.04, {"chance": 0.0}, True),  # a twentieth of the way to chance
        ("higher", 0.06, {"chance": 0.0}, False),
        ("higher", -0.06, {"chance": 0.0}, False),
        ("higher", 0.06, {"chance": 0.0, "floor": 0.07}, True),
        ("truth", 0.06, {"chance": -1.0}, True),
        ("none", 1e-9, {"chance": None}, False),
        ("none", 0.0, {"chance": None}, True),
        ("higher", 0.04, {"chance": None, "floor": None}, False),
    ],
)
def test_a_metric_ignores_what_changes_it_by_no_more_than_is_allowed(
    direction: Direction, change: float, values: dict[str, Any], *, held: bool
) -> None:
    found = ignoring(direction, [1, 1, 1 - change, 1, 1], truth=1.0, **values)
    assert found.change == pytest.approx(abs(change))
    assert found.held == held


def test_a_value_that_is_missing_is_not_ignored() -> None:
    assert not ignoring("higher", [1, 1, None, 1, 1], truth=1.0, chance=0.0).held
    assert not ignoring("higher", [1] * 5, truth=None, chance=0.0).held


@pytest.mark.parametrize(
    ("direction", "floor", "beyond"),
    [
        ("higher", 0.1, ("much",)),
        ("higher", 0.01, ("little", "much")),
        ("higher", None, ("much",)),  # no floor: a twentieth of the way to chance, 0.05
        ("lower", 0.1, ("less",)),
        ("truth", 0.0, ()),
        ("one", 0.0, ()),
        ("zero", 0.0, ()),
    ],
)
def test_no_control_may_be_better_than_the_truth(
    direction: Direction, floor: float | None, beyond: tuple[str, ...]
) -> None:
    card = Card(name="m", title="m", unit="1", direction=direction)
    others = {"little": 1.04, "much": 1.2, "less": 0.5, "missing": None}
    found = put_to_the_test(card, {}, truth=1.0, chance=0.0 if direction == "higher" else 2.0, floor=floor,
                            controls=others)  # fmt: skip
    assert found.beyond == beyond
    assert found.passed == (not beyond)


def test_what_is_found_is_said_in_words() -> None:
    card = Card(name="m", title="m", unit="1", direction="higher", answers=("jitter", "bones"), ignores=("lips",))
    found = put_to_the_test(card, {"jitter": [0.9, 0.8, 0.7, 0.6, 0.5], "lips": [1, 1, 1, 1, 0.5]}, truth=1.0,
                            chance=0.0, controls={"smooth": 2.0})  # fmt: skip
    assert found.words() == ("jitter +1.00, bones +0.00 FAILS", "lips FAILS (0.5)", "smooth")
    assert cards_page.why(json.loads(json.dumps(found.as_json()))) == [
        "it should answer to `bones`, and correlates with its level by 0.00 only",
        "it should ignore `lips`, which changes it by 0.5, where 0.05 counts as nothing",
        "better than the truth: `smooth`",
    ]


def test_a_change_that_rises_and_is_too_small_is_said_to_be_so() -> None:
    card = Card(name="m", title="m", unit="1", direction="higher", answers=("jitter",))
    found = put_to_the_test(card, {"jitter": [0.99, 0.98, 0.97, 0.96, 0.95]}, truth=1.0, chance=0.0, floor=0.2)
    assert cards_page.why(found.as_json()) == [
        "it should answer to `jitter`, and gross jitter takes it only 0.05 from the best, where 0.2 counts as nothing"
    ]


# ---- the golden


def test_the_golden_has_every_card_with_the_claims_of_today() -> None:
    said = {
        name: {**{key: card[key] for key in ("title", "unit", "direction", "ranks")},
               "answers": sorted(card["answers"]), "ignores": sorted(card["ignores"])}
        for name, card in BY_NAME.items()
    }  # fmt: skip
    assert said == {name: cards_page.claims(card) for name, card in CARDS.items()}, "measure the cards anew"


@pytest.mark.parametrize("name", sorted(CARDS))
def test_the_goldens_verdicts_follow_from_its_values_by_the_rules_of_today(name: str) -> None:
    held = BY_NAME[name]
    assert set(held["curves"]) == set(LEVELS)
    assert list(held["controls"]) == [control.name for control in CONTROLS]
    assert held["controls"]["truth"] == held["truth"]
    found = put_to_the_test(
        CARDS[name], held["curves"], truth=held["truth"], chance=held["chance"], floor=held["floor"],
        controls=held["controls"],
    )  # fmt: skip
    assert cards_page.verdicts(json.loads(json.dumps(found.as_json()))) == cards_page.verdicts(held)
    assert found.passed == held["passed"]


def test_the_page_is_that_of_today() -> None:
    page = (ROOT / cards_page.PAGE).read_text(encoding="utf-8")
    golden = json.loads((ROOT / cards_page.GOLDEN).read_text(encoding="utf-8"))
    assert page == cards_page.renewed(page, golden), "run python -m csg405.benchmark.cards_page"


def test_the_legacy_beat_scores_fail_their_cards_and_are_shown() -> None:
    page = (ROOT / cards_page.PAGE).read_text(encoding="utf-8")
    for name in ("beat_legacy_emage", "beat_legacy_ha2g"):
        assert not BY_NAME[name]["passed"]
        assert cards_page.why(BY_NAME[name])[0] in page


@pytest.mark.parametrize("name", sorted(metric.modules()))
def test_every_metric_says_what_it_is_blind_to(name: str) -> None:
    said = cards_page.blind_to(metric.modules()[name])
    assert said.startswith(("Blind to", "Known failures"))
    assert "Source" not in said


def test_a_metric_that_does_not_say_what_it_is_blind_to_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say"):
        cards_page.blind_to(types.ModuleType("m", "A metric.\n\nSource: ours."))


def test_a_file_of_cards_becomes_the_golden_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = {"clips": 3, "hit": 30.0, "format": 1, **KitSettings().model_dump()}
    facts = {
        "split": "test", "clips": 2, "speakers": 1, "kit": kit, "digests": {},
        "synthetic": {"minutes": 60.0, "talkers": 40, "seed": 405},
        "cards": [BY_NAME[name] | {"floor": 1 / 3} for name in CARDS],
    }  # fmt: skip
    (tmp_path / "docs").mkdir()
    marks = [f"<!-- {name}: python -m csg405.benchmark.cards_page -->\n<!-- end of {name} -->\n"
             for name in cards_page.BLOCKS]  # fmt: skip
    (tmp_path / cards_page.PAGE).write_text("Before.\n" + "Between.\n".join(marks) + "After.\n", encoding="utf-8")
    (tmp_path / "cards.json").write_text(json.dumps(facts), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    cards_page.main(["cards.json"])
    golden = json.loads(cards_page.GOLDEN.read_text(encoding="utf-8"))
    assert golden["measured"]["release"] == "csg405 synth truth --minutes 60 --talkers 40 --seed 405"
    assert golden["measured"]["date"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    assert "format" not in golden["measured"]["kit"]
    assert {card["floor"] for card in golden["cards"]} == {0.3333}
    page = cards_page.PAGE.read_text(encoding="utf-8")
    assert page.startswith("Before.\n<!-- perturbations")
    assert page.count("Between.\n<!--") == 3
    assert page.endswith("<!-- end of cards -->\nAfter.\n")
    assert all(f"**`{name}`:" in page for name in CARDS)
    cards_page.main([])
    assert cards_page.PAGE.read_text(encoding="utf-8") == page


def test_a_page_without_its_places_is_refused() -> None:
    with pytest.raises(ValueError, match="perturbations"):
        cards_page.renewed("# Metrics\n", GOLDEN)


# ---- measured anew

WITHOUT_ENCODERS = ("ba_kappa", "coverage", "kin", "lip_r")
"""Cards that rank and need no network that was trained for long."""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_verdicts_on_a_smaller_release_are_the_goldens(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    from csg405.synth.truth import write_truth

    folders = Folders(tmp_path, "cards")
    write_truth(folders, minutes=16, talkers=16, seed=11, workers=1)
    settings = KitSettings(encoders=1, steps=20, width=16, towers=False)
    kit = bench_release.train(ReleaseReader(folders), tmp_path / "kit", settings)
    place = Place(folders=folders, split="test", kit=kit)
    found = cards.examine(place, bench_release.Here())
    assert cards.write(place, found).is_file()
    assert cards.passed(place) == {card.name: card.passed for card in found}
    measured = {card.name: cards_page.verdicts(card.as_json()) for card in found if card.name in WITHOUT_ENCODERS}
    wanted = {name: cards_page.verdicts(BY_NAME[name]) for name in WITHOUT_ENCODERS}
    assert measured == wanted, "a card has changed: measure the golden anew, or mend the metric"
