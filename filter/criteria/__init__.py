"""Criteria as data: one YAML file of this folder is one criterion, and all are scored on all clips.

A criterion names a measure (`operator.column`), one or two thresholds, and what a failure does: `drop` rejects the
clip, `review` only flags it, `off` leaves the criterion out. A measure that could not be made fails its criterion:
what is not known to be good is not released. Any key can be changed in a configuration or with
`SET="filter.criteria.<name>.at_least=..."`, and only this stage and what follows it is run again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self, cast

import yaml
from pydantic import Field, create_model, field_validator, model_validator

from csg405 import table
from csg405.config import Settings
from csg405.errors import UserError
from csg405.operator import MEASURES, Item, Resources, Setting
from csg405.schema import Clip, Decision, Record, Verdict

VERSION = "1"
SCOPE = "clip"
READS = (Clip,)
READS_MEASURES = True
WRITES = (Decision, Verdict)
NEEDS = Resources()

_DURATION = "clip.duration_s"
"""The one value that is the clip's own, s."""


class Criterion(Settings):
    """One criterion."""

    order: int = Field(description="place among the criteria: a clip's first reason is that of the lowest")
    measure: str = Field(description="`operator.column` of a measure, or `clip.duration_s`")
    at_least: float | None = Field(None, description="lower threshold, in the measure's unit")
    at_most: float | None = Field(None, description="upper threshold, in the measure's unit")
    unit: str = Field("", description="the measure's unit")
    on_fail: Literal["drop", "review", "off"] = Field("drop", description="what a failure does")
    why: str = Field(description="what the criterion is for")
    source: str = Field(description="where the thresholds come from")

    @field_validator("on_fail", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        """YAML takes a bare `off` for false."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _some_value_passes(self) -> Self:
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}: no clip could pass")
        return self

    def passes(self, value: float | None) -> bool:
        """Whether a value lies within the thresholds; a missing one does not."""
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def _model() -> type[Settings]:
    """A model with one field for each YAML file, its defaults the file's."""
    fields: dict[str, Any] = {}
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        default = Criterion.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        keys: dict[str, Any] = {
            key: (field.annotation, Field(getattr(default, key), description=field.description))
            for key, field in Criterion.model_fields.items()
        }
        model = create_model(f"Criterion_{path.stem}", __base__=Criterion, **keys)
        fields[path.stem] = (model, model.model_validate({}))
    return create_model("Criteria", __base__=Settings, __doc__="Every criterion, by its name.", **fields)


Config = _model()


def check(setting: Setting) -> None:
    """Make sure that every criterion's measure exists.

    Raises:
        UserError: one does not; the message lists those that do.
    """
    known = {_DURATION}
    for folder in sorted((setting.folders.manifests / MEASURES).glob("*")):
        for part in table.parts(folder)[:1]:
            known |= {f"{folder.name}.{name}" for name in table.columns(part) if name != "clip_id"}
    for name, criterion in active(setting.config):
        if criterion.measure not in known:
            there = ", ".join(sorted(known))
            raise UserError(f"filter.criteria.{name}.measure: no measure {criterion.measure!r}; there are {there}")


def active(config: Settings) -> list[tuple[str, Criterion]]:
    """The criteria that are not off, in their order."""
    named = [(name, cast(Criterion, getattr(config, name))) for name in type(config).model_fields]
    return sorted(((name, c) for name, c in named if c.on_fail != "off"), key=lambda pair: (pair[1].order, pair[0]))


class Operator:
    """Decides."""

    def __init__(self, setting: Setting) -> None:
        self.criteria = active(setting.config)

    def __call__(self, item: Item) -> Iterable[Record]:
        """A decision for each criterion, and the clip's verdict."""
        clip = item.the_clip()
        decisions = [self._decide(clip, name, criterion, item) for name, criterion in self.criteria]
        yield from decisions
        failed = [decision for decision in decisions if not decision.passed]
        reasons = [decision.criterion for decision in failed if decision.on_fail == "drop"]
        yield Verdict(
            clip_id=clip.clip_id,
            video_id=clip.video_id,
            duration_s=(clip.end_ms - clip.start_ms) / 1000,
            kept=not reasons,
            first_reason=reasons[0] if reasons else None,
            only_reason=reasons[0] if len(reasons) == 1 else None,
            reasons=reasons,
            review=[decision.criterion for decision in failed if decision.on_fail == "review"],
        )

    def _decide(self, clip: Clip, name: str, criterion: Criterion, item: Item) -> Decision:
        value = _value(clip, criterion, item)
        return Decision(
            clip_id=clip.clip_id,
            criterion=name,
            value=value,
            at_least=criterion.at_least,
            at_most=criterion.at_most,
            passed=criterion.passes(value),
            on_fail=criterion.on_fail,
        )


def _value(clip: Clip, criterion: Criterion, item: Item) -> float | None:
    """The measure of a clip; None where it could not be made, or its operator refused the clip."""
    if criterion.measure == _DURATION:
        return (clip.end_ms - clip.start_ms) / 1000
    value = item.measures.get(criterion.measure)
    return None if value is None or math.isnan(value) else float(value)
