"""The measure of persons, on hand-made sightings."""

from __future__ import annotations

import dataclasses

import pytest

from csg405.annotate.people import Operator, People
from csg405.schema import Clip, FrameStat, Record, Sighting
from tests import items

CLIP = items.clip(start_ms=10_000, n_frames=100)  # 10 to 14 s: twenty samples at 5 Hz


def stat(time_s: float) -> FrameStat:
    return FrameStat(
        video_id="file.a", time_s=time_s, sharpness=1.0, luma_mean=1.0, luma_low=1.0, luma_high=1.0, change=1.0,
        pictures=5, repeated=0,
    )  # fmt: skip


def sight(time_s: float, *, track: int = 0, width: float = 200, height: float = 360) -> Sighting:
    return Sighting(
        video_id="file.a", shot=0, track=track, time_s=time_s, x1_px=100, y1_px=50, x2_px=100 + width, y2_px=50 + height
    )


TIMES = [9 + 0.2 * i for i in range(40)]  # 9 to 16.8 s
INSIDE = [time_s for time_s in TIMES if 10 <= time_s < 14]


def measure(*rows: Record, clip: Clip = CLIP, **config: float) -> People:
    made = Operator(items.setting("annotate.people", items.Path(), **config))
    (row,) = made(items.item(*(stat(time_s) for time_s in TIMES), *rows, of=clip, reads=(Sighting, FrameStat)))
    assert isinstance(row, People)
    return row


def test_one_person_who_is_always_seen() -> None:
    assert len(INSIDE) == 20
    assert measure(*(sight(time_s) for time_s in TIMES)) == People(
        clip_id=CLIP.clip_id, seen_fraction=1.0, others_fraction=0.0, height_px=360.0, height_fraction=0.5
    )


def test_only_the_samples_within_the_clip_count() -> None:
    outside = [time_s for time_s in TIMES if not 10 <= time_s < 14]
    rows = [sight(time_s) for time_s in INSIDE] + [sight(time_s, track=5, height=700) for time_s in outside]
    assert measure(*rows) == measure(*(sight(time_s) for time_s in INSIDE))


def test_a_person_missed_on_some_samples() -> None:
    assert measure(*(sight(time_s) for time_s in INSIDE[:15])).seen_fraction == 0.75


def test_others_count_by_their_size() -> None:
    own = [sight(time_s) for time_s in INSIDE]
    # 200 x 360 is 72,000 px; a tenth of it is 72 x 100.
    large = [sight(time_s, track=1, width=72, height=100) for time_s in INSIDE[:5]]
    small = [sight(time_s, track=2, width=71, height=100) for time_s in INSIDE[:10]]
    assert measure(*own, *large, *small).others_fraction == 0.25
    assert measure(*own, *large, *small, other_area=0.05).others_fraction == 0.5


def test_others_count_where_the_main_person_is_missed() -> None:
    own = [sight(time_s) for time_s in INSIDE[:10]]
    other = [sight(time_s, track=1) for time_s in INSIDE[10:]]
    row = measure(*own, *other)
    assert (row.seen_fraction, row.others_fraction) == (0.5, 0.5)


def test_the_height_is_the_median_and_no_mean() -> None:
    rows = [sight(time_s, height=300) for time_s in INSIDE[:19]] + [sight(INSIDE[19], height=3000)]
    assert measure(*rows).height_px == 300


def test_a_person_who_is_not_seen_at_all_has_no_size() -> None:
    row = measure(*(sight(time_s, track=7) for time_s in INSIDE))
    assert row == People(
        clip_id=CLIP.clip_id, seen_fraction=0.0, others_fraction=None, height_px=None, height_fraction=None
    )


@pytest.mark.parametrize("height", [360, 1080])
def test_the_height_is_given_as_a_part_of_the_pictures(height: int) -> None:
    clip = dataclasses.replace(CLIP, height=height)
    assert measure(*(sight(time_s) for time_s in INSIDE), clip=clip).height_fraction == 360 / height
