"""The clock against a brute-force count in fractions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from csg405.media.clock import FRAME_MS, count_frames, on_clock, round_half_up_ms

TIME_BASES = [Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 25), Fraction(1001, 24_000), Fraction(1001, 30_000)]

rising = st.lists(st.integers(-500, 2_000), min_size=1, max_size=60, unique=True).map(sorted)
time_bases = st.sampled_from(TIME_BASES) | st.builds(Fraction, st.integers(1, 40), st.integers(1, 2_000))


def nearest(ticks: list[int], time_base: Fraction, start_ms: int, n_frames: int) -> list[int]:
    """For each frame the nearest of all times, the earlier one on a tie."""
    targets = [Fraction(start_ms + FRAME_MS * frame, 1000) for frame in range(n_frames)]
    return [min(ticks, key=lambda tick: (abs(tick * time_base - target), tick)) for target in targets]


@given(ticks=rising, time_base=time_bases, start_ms=st.integers(-2_000, 20_000), n_frames=st.integers(0, 40))
@example(ticks=[0, 40, 80], time_base=Fraction(1, 1000), start_ms=20, n_frames=3)
def test_each_frame_gets_the_nearest_picture(ticks: list[int], time_base: Fraction, start_ms: int, n_frames: int):
    seen = list(on_clock([(tick, str(tick)) for tick in ticks], time_base, start_ms=start_ms, n_frames=n_frames))
    assert [tick for tick, _ in seen] == nearest(ticks, time_base, start_ms, n_frames)
    assert all(picture == str(tick) for tick, picture in seen)


@given(
    fps=st.sampled_from([Fraction(24_000, 1001), Fraction(30_000, 1001), Fraction(60), Fraction(30), Fraction(25)]),
    time_base=st.sampled_from([Fraction(1, 90_000), Fraction(1, 1000), Fraction(1, 12_800)]),
    start_ms=st.integers(0, 3_000),
)
def test_usual_rates_in_usual_time_bases(fps: Fraction, time_base: Fraction, start_ms: int):
    ticks = [round(number / fps / time_base) for number in range(300)]
    seen = on_clock([(tick, None) for tick in ticks], time_base, start_ms=start_ms, n_frames=50)
    assert [tick for tick, _ in seen] == nearest(ticks, time_base, start_ms, 50)


def test_the_earlier_of_two_equally_near_pictures_is_taken():
    seen = on_clock([(0, "a"), (40, "b"), (80, "c")], Fraction(1, 1000), start_ms=20, n_frames=3)
    assert [picture for _, picture in seen] == ["a", "b", "c"]


def test_no_pictures_give_no_frames():
    assert list(on_clock([], Fraction(1, 25), start_ms=0, n_frames=5)) == []


@given(st.integers(-10_000_000, 10_000_000))
def test_milliseconds_are_rounded_half_up(eighths: int):
    # Eighths of a millisecond times 1000/1024 are exact in binary, so halves are met exactly.
    seconds = eighths / 8192
    exact = Fraction(eighths, 8192) * 1000
    assert round_half_up_ms(seconds) == (exact + Fraction(1, 2)).__floor__()


def test_halves_of_a_millisecond_go_upward():
    assert [round_half_up_ms(seconds) for seconds in (0.0625, -0.0625, 0.1875, 1.0)] == [63, -62, 188, 1000]


def test_only_whole_frames_count():
    assert [count_frames(1_000, end) for end in (1_039, 1_040, 1_079, 5_000)] == [0, 1, 1, 100]
