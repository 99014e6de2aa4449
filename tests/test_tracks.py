"""Linking of boxes into tracks: against a count of pixels, hand-made scenes, and random ones."""

from __future__ import annotations

import collections
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405.annotate._tracks import Seen, link, overlap


@st.composite
def boxes(draw: st.DrawFn, *, most: int = 4, side: int = 24) -> np.ndarray:
    """[n, 4] boxes of whole pixels, not empty."""
    rows = []
    for _ in range(draw(st.integers(0, most))):
        x1, y1 = draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))
        rows.append([x1, y1, draw(st.integers(x1 + 1, side)), draw(st.integers(y1 + 1, side))])
    return np.array(rows, np.float32).reshape(-1, 4)


def painted(box: np.ndarray, side: int = 24) -> np.ndarray:
    mask = np.zeros((side, side), bool)
    x1, y1, x2, y2 = box.astype(int)
    mask[y1:y2, x1:x2] = True
    return mask


@settings(max_examples=200, deadline=None)
@given(boxes(), boxes())
def test_overlap_equals_a_count_of_pixels(first: np.ndarray, second: np.ndarray) -> None:
    found = overlap(first, second)
    assert found.shape == (len(first), len(second))
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            shared = (painted(one) & painted(other)).sum()
            assert np.isclose(found[i, j], shared / (painted(one) | painted(other)).sum(), atol=1e-6)


def test_boxes_without_area_overlap_with_nothing() -> None:
    flat = np.array([[3, 3, 3, 9]], np.float32)
    assert overlap(flat, flat).tolist() == [[0]]


def scene(*pictures: tuple[float, list[list[float]]]) -> list[Seen]:
    return [Seen(time_s, np.array(rows, np.float32).reshape(-1, 4)) for time_s, rows in pictures]


def test_two_persons_who_cross_keep_their_numbers() -> None:
    # A tall one from the left and a small one from the right pass each other between x = 200 and 260.
    def tall(step: int) -> list[float]:
        return [20 * step, 50, 20 * step + 160, 450]

    def small(step: int) -> list[float]:
        return [460 - 20 * step, 200, 460 - 20 * step + 90, 400]

    # The order in which the detector names them changes from picture to picture.
    pictures = [(0.2 * i, [tall(i), small(i)] if i % 2 else [small(i), tall(i)]) for i in range(24)]
    linked = link(scene(*pictures), min_iou=0.3, max_gap_s=1.0)
    heights = collections.defaultdict(set)
    for _, track, box in linked:
        heights[track].add(float(box[3] - box[1]))
    assert dict(heights) == {0: {200.0}, 1: {400.0}}


def test_a_person_unseen_for_as_long_as_allowed_goes_on_and_for_longer_is_a_new_track() -> None:
    box = [10, 10, 60, 110]
    kept = link(scene((0.0, [box]), (0.5, []), (1.0, [box])), min_iou=0.3, max_gap_s=1.0)
    assert [(time_s, track) for time_s, track, _ in kept] == [(0.0, 0), (1.0, 0)]
    lost = link(scene((0.0, [box]), (0.5, []), (1.01, [box])), min_iou=0.3, max_gap_s=1.0)
    assert [(time_s, track) for time_s, track, _ in lost] == [(0.0, 0), (1.01, 1)]


def test_a_jump_below_the_least_overlap_is_a_new_track() -> None:
    # 100 wide and moved by 50: a third is shared; by 60: a quarter.
    for moved, tracks in ((50, [0, 0]), (60, [0, 1])):
        seen = scene((0.0, [[0, 0, 100, 100]]), (0.2, [[moved, 0, 100 + moved, 100]]))
        assert [track for _, track, _ in link(seen, min_iou=0.3, max_gap_s=1.0)] == tracks


def test_matching_is_of_all_persons_together_and_not_the_first_come() -> None:
    # Taken one by one, the left track would grab the middle box and leave the right one without.
    seen = scene((0.0, [[0, 0, 100, 100], [60, 0, 160, 100]]), (0.2, [[30, 0, 130, 100], [-40, 0, 60, 100]]))
    assert [track for _, track, _ in link(seen, min_iou=0.3, max_gap_s=1.0)] == [0, 1, 1, 0]


def test_nobody_at_all() -> None:
    assert link(scene((0.0, []), (0.2, [])), min_iou=0.3, max_gap_s=1.0) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 1.5), boxes()), max_size=12), st.floats(0.05, 0.9))
def test_every_sighting_has_one_track_and_no_two_of_a_picture_share_one(
    steps: list[tuple[float, np.ndarray]], min_iou: float
) -> None:
    times = np.cumsum([step for step, _ in steps])
    seen = [Seen(float(time_s), found) for time_s, (_, found) in zip(times, steps, strict=True)]
    linked = link(seen, min_iou=min_iou, max_gap_s=1.0)
    assert [(time_s, box.tolist()) for time_s, _, box in linked] == [
        (sight.time_s, box.tolist()) for sight in seen for box in sight.boxes
    ]
    by_track: dict[int, list[tuple[float, np.ndarray]]] = collections.defaultdict(list)
    for time_s, track, box in linked:
        by_track[track].append((time_s, box))
    assert sorted(by_track) == list(range(len(by_track)))
    for path in by_track.values():
        for (before_s, before), (after_s, after) in itertools.pairwise(path):
            assert 0 < after_s - before_s <= 1.0
            assert overlap(before[None], after[None])[0, 0] >= np.float32(min_iou)
