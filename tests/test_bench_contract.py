"""What every file of `benchmark/metrics/` must keep to: see `csg405.benchmark.metric`.

What needs a kit, a network or weights is looked at, and not run: their own tests do.
"""

from __future__ import annotations

import collections
import itertools
import math
from typing import get_args

import numpy as np
import pytest

from csg405.benchmark.clip import Clip
from csg405.benchmark.metric import (
    Accumulator,
    Direction,
    MetricModule,
    Perturbation,
    Values,
    modules,
    per_clip,
)
from tests import bench_motion as motion

FREE = {
    name: module
    for name, module in modules().items()
    if all(card.track == "skeleton" and not set(card.needs) - {"seeds"} for card in module.CARDS)
}
"""Metrics that need nothing but motions."""

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

IDEAL = {"lower": 0.0, "zero": 0.0, "one": 1.0}


def odd_clips() -> list[Clip]:
    """A usual clip, a short one, one of one frame, one in which nothing is shown, and others."""
    usual = [motion.clip(motion.lively(n, seed=n), clip_id=f"usual{n}") for n in (130, 177)]
    return [
        *usual,
        motion.clip(motion.lively(5), clip_id="short"),
        motion.clip(motion.lively(1), clip_id="one"),
        motion.clip(motion.lively(120), clip_id="unseen", score=0.0),
        motion.clip(motion.still(120), clip_id="still"),
    ]


def accumulated(module: MetricModule, clips: list[Clip], *, noise_px: float = 0) -> Accumulator:
    held = Accumulator(module)
    for clip in clips:
        noise = np.random.default_rng(len(clip)).normal(0, 1, clip.keypoints_px.shape)
        held.update(motion.seen(clip, clip.keypoints_px + noise_px * noise))
    return held


def assert_numbers(module: MetricModule, values: Values) -> None:
    assert list(values) == [card.name for card in module.CARDS]
    for found in values.values():
        assert found is None or (isinstance(found, float) and math.isfinite(found)), values


def test_there_are_metrics_that_need_nothing() -> None:
    assert len(FREE) >= 11


def test_names_of_cards_are_unique_over_all_metrics() -> None:
    counts = collections.Counter(card.name for module in modules().values() for card in module.CARDS)
    assert {name for name, count in counts.items() if count > 1} == set()


@pytest.mark.parametrize("name", modules())
def test_a_metric_says_what_it_is(name: str) -> None:
    module = modules()[name]
    text = module.__doc__ or ""
    assert "Source" in text
    assert module.CARDS
    assert callable(module.measure)
    assert any(hasattr(module, form) for form in ("clip_values", "values_by_clip", "compute"))
    for card in module.CARDS:
        assert card.direction in get_args(Direction)
        assert {*card.answers, *card.ignores} <= set(get_args(Perturbation))
        assert not set(card.answers) & set(card.ignores)
        assert card.unit
        assert card.title
        assert not (card.ranks and card.direction in ("none", "truth")), "nothing to rank by"


@pytest.mark.parametrize("name", FREE)
def test_odd_clips_have_rows_of_arrays_and_values_that_are_numbers_or_none(name: str) -> None:
    module = FREE[name]
    clips = odd_clips()
    for clip in clips:
        row = module.measure(motion.seen(clip))
        assert row
        assert all(isinstance(array, np.ndarray) and array.dtype != object for array in row.values())
        alone = accumulated(module, [clip])
        assert_numbers(module, alone.compute(alone))
        noisy = accumulated(module, [clip], noise_px=3)
        assert_numbers(module, noisy.compute(alone))
    truth = accumulated(module, clips)
    assert_numbers(module, accumulated(module, clips, noise_px=3).compute(truth))
    for values in per_clip(module, truth.rows, truth.rows).values():
        assert_numbers(module, values)


@pytest.mark.parametrize("name", FREE)
def test_a_usual_clip_has_every_value(name: str) -> None:
    held = accumulated(FREE[name], odd_clips()[:2])
    assert None not in held.compute(held).values()


@pytest.mark.parametrize("name", FREE)
def test_a_row_does_not_depend_on_the_clips_before(name: str) -> None:
    module, (first, second, *_) = FREE[name], odd_clips()
    alone = module.measure(motion.seen(second))
    module.measure(motion.seen(first))
    again = module.measure(motion.seen(second))
    assert alone.keys() == again.keys()
    for key, array in alone.items():
        np.testing.assert_array_equal(array, again[key])


@pytest.mark.parametrize("name", FREE)
def test_any_split_merged_in_any_order_is_one_pass(name: str) -> None:
    module, clips = FREE[name], odd_clips()
    truth, whole = accumulated(module, clips), accumulated(module, clips, noise_px=2)
    wanted = whole.compute(truth)
    for cut, turn in itertools.product((1, 3, 5), (False, True)):
        parts = [accumulated(module, part, noise_px=2) for part in (clips[:cut], clips[cut:])]
        merged = parts[turn].merge(parts[not turn])
        assert merged.compute(truth) == wanted


@pytest.mark.parametrize("name", FREE)
def test_the_truth_is_ideal_against_itself(name: str) -> None:
    module = FREE[name]
    truth = accumulated(module, odd_clips()[:2])
    values = truth.compute(truth)
    for card in module.CARDS:
        if card.direction in IDEAL and values[card.name] is not None:
            assert values[card.name] == pytest.approx(IDEAL[card.direction], abs=1e-7), card.name


@pytest.mark.parametrize("name", FREE)
def test_where_the_person_stands_and_how_large_the_picture_is_changes_nothing(name: str) -> None:
    module = FREE[name]
    points = motion.lively(130)
    noise = np.random.default_rng(1).normal(0, 1, points.shape)
    here = motion.clip(points)
    there = motion.clip(points / 2 + np.array([30.0, 17.0]), sound=here.sound)
    values = []
    for clip, scale in ((here, 1.0), (there, 0.5)):
        truth, system = Accumulator(module), Accumulator(module)
        truth.update(motion.seen(clip))
        system.update(motion.seen(clip, clip.keypoints_px + scale * noise))
        values.append(system.compute(truth))
    for card, found in values[0].items():
        assert found is not None
        assert values[1][card] == pytest.approx(found, rel=0.02, abs=0.01), card
