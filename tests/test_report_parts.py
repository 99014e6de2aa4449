"""What the report's page is made from: the choice of clips, refusals by reason, histograms, numbers as words."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from csg405.report import gallery, histogram, refusals, words
from csg405.schema import Reason, Refusal
from tests import report_run


def verdicts(rows: list[tuple[str, str, bool, str | None]]) -> pa.Table:
    clip, video, kept, reason = zip(*rows, strict=True)
    columns = {"clip_id": clip, "video_id": video, "kept": kept, "first_reason": reason}
    review = pa.array([[] for _ in rows], pa.list_(pa.string()))
    return pa.table(
        {**{key: list(value) for key, value in columns.items()}, "review": review, "part": ["p"] * len(rows)}
    )


def test_the_choice_is_balanced_and_always_the_same() -> None:
    rows = [(f"k{n}", f"v{n % 3}", True, None) for n in range(50)]
    rows += [(f"s{n}", "v0", False, "sharpness") for n in range(40)]
    rows += [(f"d{n}", "v1", False, "duration") for n in range(3)]
    every = {row[0] for row in rows}
    chosen = gallery.choose(verdicts(rows), every, most=20)["p"]
    assert len(chosen) == len(set(chosen)) == 20
    kinds = [clip_id[0] for clip_id in chosen]
    assert (kinds.count("k"), kinds.count("s"), kinds.count("d")) == (10, 7, 3)
    videos = {row[0]: row[1] for row in rows}
    assert sorted([videos[c] for c in chosen if c[0] == "k"].count(v) for v in ("v0", "v1", "v2")) == [3, 3, 4]
    assert gallery.choose(verdicts(rows[::-1]), every, most=20)["p"] == chosen


def test_clips_with_pictures_are_chosen_first() -> None:
    rows = [(f"k{n}", "v", True, None) for n in range(9)] + [(f"r{n}", "v", False, "speech") for n in range(9)]
    chosen = gallery.choose(verdicts(rows), {"r3", "r4", "k1"}, most=4)["p"]
    assert set(chosen[:3]) == {"r3", "r4", "k1"}
    assert len(chosen) == 4


def test_every_reason_has_a_sentence() -> None:
    assert set(refusals.sentences()) == {str(reason) for reason in Reason}
    assert all(sentence.endswith((".", "?")) or "; " in sentence for sentence in refusals.sentences().values())


def test_long_lists_of_videos_are_cut_and_counted() -> None:
    videos = [report_run.video(f"youtube.{n}", status="gone") for n in range(refusals.LISTED + 7)]
    (group,) = refusals.group(videos, [])
    assert (group.videos, len(group.listed), group.unlisted) == (refusals.LISTED + 7, refusals.LISTED, 7)


def test_a_refusal_that_the_video_tells_too_is_counted_once() -> None:
    video = report_run.video("file.x", status="truncated", detail="short")
    row = Refusal(reason="truncated", detail="short", video_id="file.x", operator="crawl")
    (group,) = refusals.group([video], [row])
    assert (group.videos, group.spans) == (1, 0)


def draw(values: list[float], **limits: list[float]) -> histogram.Histogram:
    array = np.array(values, float)
    passed = np.all([array >= each for each in limits.get("at_least", [])] or [np.ones(array.shape, bool)], axis=0)
    drawing = histogram.draw(array, passed, bins=10, **limits)
    assert drawing is not None
    return drawing


def test_a_histogram_counts_every_value_once_and_draws_the_threshold_between() -> None:
    drawing = draw([0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 0.9], at_least=[0.5])
    counts = [re.search(r": (\d+) passed, (\d+) failed", bar.says) for bar in drawing.bars]
    assert sum(int(found[1]) for found in counts if found) == 4
    assert sum(int(found[2]) for found in counts if found) == 3
    (line,) = drawing.lines
    assert all(bar.x + bar.width < line.x for bar in drawing.bars if bar.height_failed)
    assert all(bar.x > line.x for bar in drawing.bars if bar.height_passed)
    assert max(bar.height_passed + bar.height_failed for bar in drawing.bars) == drawing.base_y - drawing.top_y


def test_a_threshold_outside_the_values_is_on_the_axis() -> None:
    (line,) = draw([1.0, 2.0, 3.0], at_least=[10.0]).lines
    assert 0 < line.x < histogram.WIDTH
    assert line.anchor == "end"


def test_a_tail_is_gathered_and_counted() -> None:
    values = [*np.linspace(0, 1, 1000), 1e6]
    drawing = draw(values)
    assert drawing.beyond == 1
    assert len(drawing.bars) == 10, "the tail does not squeeze the rest into one bar"


def test_whole_numbers_get_a_bar_each() -> None:
    assert [bar.says for bar in draw([0, 0, 1]).bars] == ["0: 2 passed, 0 failed", "1: 1 passed, 0 failed"]


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [1e-9, 1e-9], [-3.0, -3.0, -3.0], [1e12, 2e12]])
def test_odd_values_can_be_drawn(values: list[float]) -> None:
    drawing = draw(values)
    assert drawing.bars
    assert all(0 <= bar.x <= histogram.WIDTH and bar.width > 0 for bar in drawing.bars)
    assert all(0 <= tick.x <= histogram.WIDTH for tick in drawing.ticks)


def test_no_value_no_drawing() -> None:
    assert histogram.draw(np.array([np.nan, np.inf]), np.zeros(2, bool), bins=10) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0001, "\N{MINUS SIGN}0.0001"), (12.345, "12.3"), (123.4, "123"), (147550.0, "147,550")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert words.number(value) == text


def test_a_value_never_looks_like_the_threshold_that_it_missed() -> None:
    assert words.apart(0.29996, [0.3]) == ["0.29996", "0.3"]
    assert words.apart(0.3, [0.3]) == ["0.3", "0.3"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (7.5, "7.5 s"), (90, "1.5 min"), (405 * 3600, "405.0 h"), (3600, "1.0 h")]
)
def test_lengths_choose_their_unit(seconds: float, text: str) -> None:
    assert " ".join(words.length(seconds)) == text


@pytest.mark.parametrize(("ms", "text"), [(0, "0:00.0"), (61_260, "1:01.2"), (3_723_900, "1:02:03.9")])
def test_times_within_a_video(ms: int, text: str) -> None:
    assert words.clock(ms) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (1e-6, "under 0.1 %"), (0.25, "25 %"), (0.99999, "over 99.9 %")]
)
def test_shares_are_never_rounded_to_nothing_or_all(share: float, text: str) -> None:
    assert words.percent(share) == text


def test_fractions_that_happen_to_be_whole_stay_on_their_side_of_the_threshold() -> None:
    """Nobody else in any clip: the bar at 0 must not reach across "at most 0.1"."""
    drawing = histogram.draw(np.zeros(3), np.ones(3, bool), at_most=[0.1], bins=40)
    assert drawing is not None
    (bar,) = drawing.bars
    assert bar.x + bar.width < drawing.lines[0].x
