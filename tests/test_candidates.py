"""Candidates: hand-made cases, and random speech of which the rules must hold."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405.annotate.candidates import Config, Operator, Span, pieces, runs
from csg405.schema import Clip, Reason, Record, Refusal, Shot, Sighting, SpeechSpan
from tests import items

STEP_S = 0.2
CONFIG = Config()


def shot(start_s: float, end_s: float, number: int = 0) -> Shot:
    return Shot(video_id="file.a", shot=number, start_s=start_s, end_s=end_s)


def seen(
    start_s: float, end_s: float, *, track: int = 0, number: int = 0, size: float = 100, step_s: float = STEP_S
) -> list[Sighting]:
    """A person every fifth of a second, from `start_s` to one step before `end_s`."""
    count = round((end_s - start_s) / step_s)
    return [
        Sighting(
            video_id="file.a", shot=number, track=track, time_s=start_s + step_s * i, x1_px=0, y1_px=0, x2_px=size,
            y2_px=size,
        )
        for i in range(count)
    ]  # fmt: skip


def speech(*spans: tuple[float, float]) -> list[SpeechSpan]:
    return [SpeechSpan(video_id="file.a", start_s=start, end_s=end) for start, end in spans]


def find(*rows: Record, **config: float) -> tuple[list[Clip], list[Refusal]]:
    """Clips and refusals of a video with these rows."""
    made = Operator(items.setting("annotate.candidates", items.Path(), **config))
    found = list(made(items.item(*rows, reads=(Shot, Sighting, SpeechSpan))))
    return [row for row in found if isinstance(row, Clip)], [row for row in found if isinstance(row, Refusal)]


def spans(clips: list[Clip]) -> list[tuple[int, int]]:
    return [(clip.start_ms, clip.end_ms) for clip in clips]


@pytest.mark.parametrize("start_s", [0.0, 0.1, 1.1, 3.3, 1000.7])
def test_exactly_the_shortest_clip_is_a_clip_wherever_it_begins(start_s: float) -> None:
    # 4 s of sound as seconds; 5.1 - 1.1 is 3.9999999999999996 in binary.
    clips, refused = find(
        shot(start_s - 1, start_s + 9), *seen(start_s - 1, start_s + 9), *speech((start_s, start_s + 4)), pad_s=0.0
    )
    assert spans(clips) == [(round(start_s * 1000), round(start_s * 1000) + 4000)]
    assert clips[0].n_frames == 100
    assert clips[0].clip_id == f"file.a_{clips[0].start_ms}_{clips[0].end_ms}_p0"
    assert refused == []


def test_less_than_the_shortest_clip_is_refused_with_both_numbers() -> None:
    clips, refused = find(shot(0, 10), *seen(0, 10), *speech((3, 6.5)))
    assert clips == []
    # 3.5 s and the padding are 97 whole frames.
    assert [(row.reason, row.detail) for row in refused] == [(Reason.TOO_SHORT, "3.88 s of speech, 4 s wanted")]
    assert (refused[0].start_s, refused[0].end_s) == pytest.approx((2.8, 6.7))


def test_a_person_seen_too_briefly_is_refused_before_speech_is_asked_for() -> None:
    clips, refused = find(shot(0, 3), *seen(0, 3), *speech((0, 3)))
    assert clips == []
    assert [row.reason for row in refused] == [Reason.TOO_SHORT]
    assert "of one person in one shot" in refused[0].detail


def test_silence_of_a_person_is_refused_as_no_speech() -> None:
    clips, refused = find(shot(0, 10), *seen(0, 10), *speech((20, 25)))
    assert clips == []
    assert [row.reason for row in refused] == [Reason.NO_SPEECH]


def test_a_clip_keeps_away_from_cuts_and_takes_some_silence_along() -> None:
    clips, _ = find(shot(0, 10), shot(10, 20, 1), *seen(0, 10), *seen(10, 20, number=1, track=1), *speech((2, 18)))
    # The last picture with the person in the first shot is at 9.8 s, and stands for 0.1 s more.
    assert spans(clips) == [(1800, 9880), (10080, 18200)]
    assert [(clip.shot, clip.track) for clip in clips] == [(0, 0), (1, 1)]


def test_a_run_ends_where_the_person_is_gone_for_long() -> None:
    # Unseen from 6.0 to 8.0; sampled every 0.2 s, a sighting stands for 0.1 s on both sides.
    clips, _ = find(shot(0, 14), *seen(0, 6.2), *seen(8, 14), *speech((0.5, 13.5)))
    assert spans(clips) == [(300, 6100), (7900, 13700)]


def test_a_short_gap_does_not_end_a_run() -> None:
    clips, _ = find(shot(0, 14), *seen(0, 6.2), *seen(7, 14), *speech((0.5, 13.5)))
    assert spans(clips) == [(300, 13700)]


def test_the_larger_of_two_persons_is_the_main_one_and_the_other_has_what_time_remains() -> None:
    large, small = seen(0, 8, track=1, size=300), seen(0, 20, track=0, size=100)
    rows = sorted([*large, *small], key=lambda row: (row.time_s, row.track))
    found = runs(rows, shot(0, 20), CONFIG)
    assert [track for track, _ in found] == [1, 0]
    assert [edge for _, span in found for edge in (span.start_s, span.end_s)] == pytest.approx([0.08, 7.9, 7.9, 19.9])
    clips, _ = find(shot(0, 20), *rows, *speech((0.5, 7.5), (8.5, 19)))
    assert [(clip.track, clip.start_ms, clip.end_ms) for clip in clips] == [(1, 300, 7700), (0, 8300, 19180)]


@pytest.mark.parametrize(
    ("spoken", "wanted"),
    [
        # The pause at 2 s is the longest but leaves 2 s before it; of the others the one at 12 s is longer.
        (((0, 2), (3.5, 9), (9.3, 12), (12.6, 20)), [(-200, 12200), (12400, 20200)]),
        # The same turned round: the pause at 16.5 s leaves 2 s after it.
        (((0, 7.4), (8, 10.7), (11, 16.5), (18, 20)), [(-200, 7600), (7800, 20200)]),
    ],
)
def test_long_speech_is_cut_at_its_longest_pause_that_leaves_both_sides_long_enough(
    spoken: tuple[tuple[float, float], ...], wanted: list[tuple[int, int]]
) -> None:
    clips, _ = find(shot(-1, 25), *seen(-1, 25), *speech(*spoken))
    assert spans(clips) == wanted


def test_long_speech_without_a_pause_is_cut_into_equal_parts() -> None:
    clips, refused = find(shot(0, 60), *seen(0, 60), *speech((5, 39)))
    # 34 s in parts of at most 14.6 s: three of 11.33 s, the outer ones padded, each a whole number of frames.
    assert spans(clips) == [(4800, 16320), (16333, 27653), (27667, 39187)]
    assert refused == []


def test_a_long_silence_belongs_to_no_clip() -> None:
    clips, _ = find(shot(0, 30), *seen(0, 30), *speech((1, 6), (8.5, 14)))
    assert spans(clips) == [(800, 6200), (8300, 14200 - 20)]


def test_a_video_without_a_person_gives_nothing() -> None:
    assert find(shot(0, 30), *speech((1, 20))) == ([], [])


@st.composite
def talks(draw: st.DrawFn) -> list[Span]:
    """Spans of speech of 0.2 to 30 s with silences of 0.05 to 4 s between."""
    at, found = draw(st.floats(0, 5)), []
    for _ in range(draw(st.integers(1, 12))):
        length = draw(st.one_of(st.floats(0.2, 6), st.floats(6, 30)))
        found.append(Span(at, at + length))
        at += length + draw(st.one_of(st.floats(0.05, 1), st.floats(1, 4)))
    return found


@settings(max_examples=300, deadline=None)
@given(talks(), st.floats(0, 3), st.floats(0, 3))
def test_pieces_of_random_speech_keep_the_rules(talk: list[Span], before_s: float, after_s: float) -> None:
    run = Span(talk[0].start_s - before_s, talk[-1].end_s + after_s)
    found = pieces(talk, run, CONFIG)
    for piece in found:
        assert run.start_s <= piece.start_s < piece.end_s <= run.end_s
        assert piece.seconds <= CONFIG.max_s + 1e-9
    for one, following in itertools.pairwise(found):
        assert one.end_s <= following.start_s
    for span in talk:
        covered = sum(max(0.0, min(p.end_s, span.end_s) - max(p.start_s, span.start_s)) for p in found)
        assert covered == pytest.approx(span.seconds), "speech was lost"


def _through_speech(edge_s: float, talk: list[Span]) -> bool:
    return any(span.start_s + 1e-9 < edge_s < span.end_s - 1e-9 for span in talk)


@settings(max_examples=300, deadline=None)
@given(talks())
def test_speech_is_cut_through_only_where_no_pause_would_do(talk: list[Span]) -> None:
    run = Span(talk[0].start_s - 1, talk[-1].end_s + 1)
    found = pieces(talk, run, CONFIG)
    stretch = [found[0]]
    for piece in [*found[1:], None]:
        if piece is not None and piece.start_s == stretch[-1].end_s and _through_speech(piece.start_s, talk):
            stretch.append(piece)
            continue
        if len(stretch) > 1:
            whole = [span for span in talk if span.end_s > stretch[0].start_s and span.start_s < stretch[-1].end_s]
            start_s, end_s = max(whole[0].start_s, stretch[0].start_s), min(whole[-1].end_s, stretch[-1].end_s)
            for one, following in itertools.pairwise(whole):
                sides = (one.end_s - start_s, end_s - following.start_s)
                assert min(sides) < CONFIG.min_s, f"cut through speech, though a pause at {one.end_s} s would do"
            assert end_s - start_s > CONFIG.max_s - 2 * CONFIG.pad_s, "cut though it was short enough"
        stretch = [piece] if piece is not None else []


@st.composite
def scenes(draw: st.DrawFn) -> list[Record]:
    """Shots one after another, up to three persons in each who come and go, and speech over all of it."""
    rows: list[Record] = []
    at, track = draw(st.floats(0, 3)), 0
    for number in range(draw(st.integers(1, 3))):
        length = draw(st.floats(0.05, 40))
        rows.append(shot(at, at + length, number))
        sightings = []
        for _ in range(draw(st.integers(0, 3))):
            size = draw(st.sampled_from([60.0, 100.0, 300.0]))
            present = [draw(st.integers(0, 9)) > 1 for _ in range(int(length) + 1)]
            all_times = seen(at, at + length, track=track, number=number, size=size)
            sightings += [row for row in all_times if present[int(row.time_s - at)]]
            track += 1
        rows += sorted(sightings, key=lambda row: (row.time_s, row.track))
        at += length
    return [*rows, *speech(*((span.start_s, span.end_s) for span in draw(talks())))]


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_clips_of_random_scenes_keep_the_rules(rows: list[Record]) -> None:
    clips, _ = find(*rows)
    shots = {row.shot: row for row in rows if isinstance(row, Shot)}
    for clip in clips:
        within = shots[clip.shot]
        assert clip.start_ms >= (within.start_s + CONFIG.shot_margin_s) * 1000 - 1
        assert clip.end_ms <= (within.end_s - CONFIG.shot_margin_s) * 1000 + 1
        assert CONFIG.min_s * 1000 <= clip.end_ms - clip.start_ms <= CONFIG.max_s * 1000
        assert clip.end_ms - clip.start_ms == 40 * clip.n_frames
        own = [r.time_s for r in rows if isinstance(r, Sighting) and r.track == clip.track]
        edges = [clip.start_s, *(time_s for time_s in own if clip.start_s < time_s < clip.end_s), clip.end_s]
        assert max(after - before for before, after in itertools.pairwise(edges)) <= CONFIG.max_gap_s + 1e-6
    assert len({clip.clip_id for clip in clips}) == len(clips)
    for one, following in itertools.pairwise(sorted(clips, key=lambda clip: clip.start_ms)):
        assert one.end_ms <= following.start_ms + 1
