"""Criteria as data: every file is sound, and every decision and verdict is what its rules say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from csg405 import operator
from csg405.config import full_model, load, validate
from csg405.errors import UserError
from csg405.filter.criteria import Config, Criterion, Operator, active
from csg405.schema import Decision, Verdict
from tests import items

CLIP = items.clip(n_frames=150)  # 6 s
FILES = sorted(Path(operator.load("filter.criteria").__file__ or "").parent.glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def columns() -> set[str]:
    """`operator.column` of every measure that the operators of `annotate` make."""
    return {
        f"{record.TABLE.partition('/')[2]}.{field.name}"
        for module in operator.ordered("annotate")
        for record in module.WRITES
        if record.TABLE.startswith("measures/")
        for field in dataclasses.fields(record)
    }


def good() -> dict[str, Any]:
    """Measures that pass every criterion, and a column of every table."""
    values: dict[str, Any] = dict.fromkeys(columns(), 0.0)
    for _, criterion in active(Config()):
        limit = criterion.at_least if criterion.at_least is not None else criterion.at_most
        values[criterion.measure] = limit
    return values


def decide(measures: dict[str, Any], **criteria: dict[str, Any]) -> tuple[dict[str, Decision], Verdict]:
    config = {name: getattr(Config(), name).model_copy(update=values) for name, values in criteria.items()}
    made = Operator(items.setting("filter.criteria", Path(), **{n: c.model_dump() for n, c in config.items()}))
    *decisions, verdict = made(items.item(of=CLIP, measures=measures))
    assert isinstance(verdict, Verdict)
    assert all(isinstance(decision, Decision) for decision in decisions)
    return {decision.criterion: decision for decision in decisions}, verdict


def test_all_criteria_are_there() -> None:
    assert set(NAMES) == {
        "duration", "single_person", "person_size", "face_size", "frontal", "upper_body_in_frame", "hands_visible",
        "skeleton_confidence", "skeleton_jitter", "motion", "speech", "loudness", "lip_sync", "sharpness", "exposure",
        "static_image", "resolution", "signal_to_noise", "clipping", "lip_lag", "repeated_frames",
    }  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_criterions_file_is_whole_and_its_measure_exists(path: Path) -> None:
    criterion = Criterion.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert criterion.measure in columns() | {"clip.duration_s"}
    limits = [limit for limit in (criterion.at_least, criterion.at_most) if limit is not None]
    assert limits, "a criterion without a threshold"
    assert limits == sorted(limits)
    assert criterion.why
    assert criterion.source
    assert criterion.unit
    assert getattr(Config(), path.stem).model_dump() == criterion.model_dump()


def test_no_two_criteria_share_a_place() -> None:
    orders = [criterion.order for _, criterion in active(Config())]
    assert orders == sorted(set(orders))


def test_only_what_is_read_off_the_lips_merely_asks_for_a_look() -> None:
    assert [name for name, criterion in active(Config()) if criterion.on_fail != "drop"] == ["lip_sync", "lip_lag"]


def test_values_at_the_thresholds_pass() -> None:
    decisions, verdict = decide(good())
    assert sorted(decisions) == NAMES
    assert all(decision.passed for decision in decisions.values())
    assert verdict == Verdict(
        clip_id=CLIP.clip_id, video_id=CLIP.video_id, duration_s=6.0, kept=True, first_reason=None, only_reason=None,
        reasons=[], review=[],
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name != "duration"])
def test_a_value_beyond_its_threshold_fails_its_criterion_alone(name: str) -> None:
    criterion = getattr(Config(), name)
    for limit, away in ((criterion.at_least, -1e-6), (criterion.at_most, 1e-6)):
        if limit is None:
            continue
        decisions, verdict = decide(good() | {criterion.measure: limit + away})
        assert [n for n, d in decisions.items() if not d.passed] == [name]
        assert (decisions[name].value, decisions[name].at_least) == (limit + away, criterion.at_least)
        assert verdict.kept == (criterion.on_fail == "review")
        assert verdict.only_reason == (None if verdict.kept else name)


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "duration"])
def test_a_missing_value_fails(name: str, value: float | None) -> None:
    decisions, verdict = decide(good() | {getattr(Config(), name).measure: value})
    assert decisions[name].value is None
    assert not decisions[name].passed
    assert (verdict.reasons or verdict.review) == [name]


def test_a_clip_whose_operator_refused_it_has_missing_values() -> None:
    measures = {key: value for key, value in good().items() if not key.startswith("skeleton.")}
    decisions, verdict = decide(measures)
    failed = [name for name, criterion in active(Config()) if criterion.measure.startswith("skeleton.")]
    assert [n for n, d in decisions.items() if not d.passed] == failed
    assert verdict.reasons == failed


def test_the_duration_is_the_clips_own() -> None:
    decisions, verdict = decide(good(), duration={"at_least": 6.01})
    assert (decisions["duration"].value, decisions["duration"].passed) == (6.0, False)
    assert verdict.first_reason == "duration"
    assert decide(good(), duration={"at_most": 6.0})[1].kept


def test_the_first_reason_is_that_of_the_lowest_order_and_the_only_one_needs_to_be_alone() -> None:
    bad = good() | {"picture.sharpness": 0.0, "people.others_fraction": 1.0, "lip_sync.strength": 0.0}
    _, verdict = decide(bad)
    assert verdict.reasons == ["single_person", "sharpness"]
    assert (verdict.first_reason, verdict.only_reason) == ("single_person", None)
    assert verdict.review == ["lip_sync"]
    _, turned = decide(bad, sharpness={"order": 1})
    assert (turned.first_reason, turned.reasons) == ("sharpness", ["sharpness", "single_person"])


def test_a_reviewing_criterion_rejects_nothing() -> None:
    _, verdict = decide(good() | {"picture.sharpness": 0.0}, sharpness={"on_fail": "review"})
    assert (verdict.kept, verdict.first_reason, verdict.review) == (True, None, ["sharpness"])


def test_a_criterion_that_is_off_is_left_out() -> None:
    decisions, verdict = decide(good() | {"picture.sharpness": 0.0}, sharpness={"on_fail": "off"})
    assert "sharpness" not in decisions
    assert len(decisions) == len(NAMES) - 1
    assert (verdict.kept, verdict.reasons, verdict.review) == (True, [], [])


def settle(*overrides: str) -> Any:
    return validate(full_model(), load("folder", overrides), where="configuration folder")


def test_a_threshold_is_changed_by_its_path() -> None:
    settings = settle("filter.criteria.speech.at_least=0.75", "filter.criteria.motion.on_fail=off")
    assert settings.filter.criteria.speech.at_least == 0.75
    assert settings.filter.criteria.speech.measure == "sound.speech_fraction"
    assert "motion" not in dict(active(settings.filter.criteria))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "filter.criteria.speech.at_leest=1",
            r"filter\.criteria\.speech\.at_leest: no such key; did you mean at_least",
        ),
        ("filter.criteria.spech.at_least=1", r"filter\.criteria\.spech: no such key; did you mean speech"),
        ("filter.criteria.speech.at_least=high", r"filter\.criteria\.speech\.at_least: .*number.*saw 'high'"),
        ("filter.criteria.speech.at_least='0.5'", r"filter\.criteria\.speech\.at_least: .*number.*saw '0.5'"),
        ("filter.criteria.speech.at_least=[1]", r"filter\.criteria\.speech\.at_least: .*saw \[1\]"),
        ("filter.criteria.speech.on_fail=delete", r"filter\.criteria\.speech\.on_fail: .*'drop', 'review' or 'off'"),
        ("filter.criteria=1", r"filter\.criteria: .*saw 1"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_it(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        settle(override)
    assert str(raised.value).startswith("configuration folder:\n")
    assert len(str(raised.value).splitlines()) == 2


def test_every_wrong_key_is_told_at_once() -> None:
    with pytest.raises(UserError) as raised:
        settle("filter.criteria.speech.at_least=high", "annotate.pose.batch=0", "nonsense=1")
    assert len(str(raised.value).splitlines()) == 4


def test_thresholds_that_no_clip_could_pass_are_refused() -> None:
    with pytest.raises(UserError, match="duration: value error, at_least 20 is above at_most 15"):
        validate(Config, {"duration": {"at_least": 20}}, where="test")
