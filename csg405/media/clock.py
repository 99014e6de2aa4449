"""The clock of a clip: constant 25 fps, counted from the clip's start in whole milliseconds.

Frame i, keypoint row i and audio samples [640 i, 640 (i+1)) at 16 kHz are the same 40 ms. The picture of frame i is
the source picture whose presentation time is nearest to start + 40 i ms, the earlier one on a tie. All comparisons
are made in whole numbers, so no rounding ever moves a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

FPS = 25
FRAME_MS = 1000 // FPS
AUDIO_RATE_HZ = 16_000
SAMPLES_PER_FRAME = AUDIO_RATE_HZ // FPS

P = TypeVar("P")


def round_half_up_ms(seconds: float) -> int:
    """Seconds as whole milliseconds, halves upward."""
    doubled = Fraction(seconds) * 2000
    return int((doubled + 1) // 2)


def count_frames(start_ms: int, end_ms: int) -> int:
    """Whole frames of the clock in a span."""
    return (end_ms - start_ms) // FRAME_MS


def on_clock(
    pictures: Iterable[tuple[int, P]], time_base: Fraction, *, start_ms: int, n_frames: int
) -> Iterator[tuple[int, P]]:
    """For each frame of a clip's clock, the picture that belongs to it.

    Args:
        pictures: (presentation time in ticks, picture), times rising.
        time_base: seconds a tick.
        start_ms: start of the clip on the source's clock.
        n_frames: frames wanted.

    Yields:
        n_frames pairs (ticks, picture), or none where there are no pictures at all. Before the first picture and
        after the last, the nearest picture is the first and the last.
    """
    # One tick is num/den s, so |ticks num/den - ms/1000| compares like |1000 num ticks - den ms|.
    scale, den = 1000 * time_base.numerator, time_base.denominator
    source = iter(pictures)
    earlier = next(source, None)
    if earlier is None:
        return
    later = next(source, None)
    for frame in range(n_frames):
        target = den * (start_ms + FRAME_MS * frame)
        while later is not None and abs(scale * later[0] - target) < abs(scale * earlier[0] - target):
            earlier, later = later, next(source, None)
        yield earlier
