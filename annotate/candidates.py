"""Candidate clips: runs of one main person inside one shot, cut at pauses of the speech into 4 to 15 s.

4 to 15 s is what the published scripts of CSG-405 keep. A run is a stretch in which the same track is seen without a
long gap; where several persons are in a shot, the largest over time comes first, and the others have what time
remains. Whether somebody else is in the picture is measured, not decided, here.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from csg405.config import Settings
from csg405.media.clock import FRAME_MS, count_frames, round_half_up_ms
from csg405.operator import Item, Resources, Setting
from csg405.schema import Clip, Reason, Record, Refusal, Shot, Sighting, SpeechSpan, Video

VERSION = "1"
SCOPE = "video"
READS = (Shot, Sighting, SpeechSpan)
WRITES = (Clip, Refusal)
NEEDS = Resources()


class Config(Settings):
    """Options of the cutting."""

    min_s: float = Field(4, gt=0, description="shortest clip, s; CSG-405's scripts")
    max_s: float = Field(15, gt=0, description="longest clip, s; CSG-405's scripts")
    max_pause_s: float = Field(2.0, gt=0, description="a longer silence belongs to no clip, s")
    pad_s: float = Field(0.2, ge=0, description="silence kept before and after the speech, s")
    shot_margin_s: float = Field(0.08, ge=0, description="kept away from cuts, whose pictures may be blends, s")
    max_gap_s: float = Field(1.0, gt=0, description="longest time that the person may be unseen within a run, s")


@dataclasses.dataclass(frozen=True, order=True)
class Span:
    """A stretch of time."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.start_s

    @property
    def n_frames(self) -> int:
        """Whole frames of the clock, counted from its start in whole milliseconds."""
        return count_frames(round_half_up_ms(self.start_s), round_half_up_ms(self.end_s))


class Operator:
    """Finds candidates."""

    def __init__(self, setting: Setting) -> None:
        self.config: Config = setting.config

    def __call__(self, item: Item) -> Iterable[Record]:
        """Clips of one video, and a refusal for every run that gave none."""
        speech = [Span(span.start_s, span.end_s) for span in item.read(SpeechSpan)]
        by_shot = collections.defaultdict(list)
        for sight in item.read(Sighting):
            by_shot[sight.shot].append(sight)
        for shot in item.read(Shot):
            for track, run in runs(by_shot[shot.shot], shot, self.config):
                yield from self._cut(item.video, shot, track, run, speech)

    def _cut(self, video: Video, shot: Shot, track: int, run: Span, speech: list[Span]) -> Iterator[Record]:
        if self._is_short(run):
            yield self._short(run, "of one person in one shot")
            return
        heard = [
            Span(max(span.start_s, run.start_s), min(span.end_s, run.end_s))
            for span in speech
            if span.end_s > run.start_s and span.start_s < run.end_s
        ]
        if not heard:
            detail = f"nobody is heard in {run.seconds:.1f} s of one person"
            yield Refusal(reason=Reason.NO_SPEECH, detail=detail, start_s=run.start_s, end_s=run.end_s)
        for piece in pieces(heard, run, self.config):
            if self._is_short(piece):
                yield self._short(piece, "of speech")
            else:
                yield _clip(video, shot, track, piece)

    def _is_short(self, span: Span) -> bool:
        """Whether a span is shorter than a clip, by the clip's own clock: 5.1 s less 1.1 s is not quite 4 in binary."""
        return span.n_frames * FRAME_MS < self.config.min_s * 1000

    def _short(self, span: Span, what: str) -> Refusal:
        detail = f"{span.n_frames * FRAME_MS / 1000:.2f} s {what}, {self.config.min_s:g} s wanted"
        return Refusal(reason=Reason.TOO_SHORT, detail=detail, start_s=span.start_s, end_s=span.end_s)


def runs(sightings: Sequence[Sighting], shot: Shot, config: Config) -> list[tuple[int, Span]]:
    """Stretches of one main person within a shot, in the order of time; no two overlap.

    Args:
        sightings: of the shot, in the order of time.
        shot: the shot.
        config: for the margin at cuts and the longest gap.

    Returns:
        (track, stretch).
    """
    inside = Span(shot.start_s + config.shot_margin_s, shot.end_s - config.shot_margin_s)
    sizes: collections.Counter[int] = collections.Counter()
    times = collections.defaultdict(list)
    for sight in sightings:
        sizes[sight.track] += int((sight.x2_px - sight.x1_px) * (sight.y2_px - sight.y1_px))
        times[sight.track].append(sight.time_s)
    step = _sampling_step([sight.time_s for sight in sightings])
    free = [inside]
    found: list[tuple[int, Span]] = []
    for track, _ in sizes.most_common():
        for stretch in _unbroken(times[track], step=step, max_gap_s=config.max_gap_s):
            shared = [
                Span(max(gap.start_s, stretch.start_s), min(gap.end_s, stretch.end_s))
                for gap in free
                if gap.end_s > stretch.start_s and gap.start_s < stretch.end_s
            ]
            found += [(track, span) for span in shared if span.seconds > 0]
            free = [rest for gap in free for rest in _without(gap, stretch)]
    return sorted(found, key=lambda pair: pair[1])


def _sampling_step(times_s: Sequence[float]) -> float:
    distinct = sorted(set(times_s))
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(distinct))
    return steps[len(steps) // 2] if steps else 0.0


def _unbroken(times_s: Sequence[float], *, step: float, max_gap_s: float) -> Iterator[Span]:
    """Stretches without a long gap. A sighting stands for half a sampling step before and after it."""
    start = last = times_s[0]
    for time_s in times_s[1:]:
        if time_s - last > max_gap_s:
            yield Span(start - step / 2, last + step / 2)
            start = time_s
        last = time_s
    yield Span(start - step / 2, last + step / 2)


def _without(span: Span, taken: Span) -> list[Span]:
    rest = [Span(span.start_s, min(span.end_s, taken.start_s)), Span(max(span.start_s, taken.end_s), span.end_s)]
    return [part for part in rest if part.seconds > 0]


def pieces(speech: Sequence[Span], run: Span, config: Config) -> list[Span]:
    """Speech within a run as pieces of at most the longest clip, cut at pauses, padded into the silence around.

    A silence longer than `max_pause_s` parts two pieces. A piece that is too long is cut at its longest pause that
    leaves no side too short, and where there is none, into equal parts.
    """
    groups: list[list[Span]] = []
    for span in speech:
        if groups and span.start_s - groups[-1][-1].end_s <= config.max_pause_s:
            groups[-1].append(span)
        else:
            groups.append([span])
    cut = [part for group in groups for part in _split(group, config)]
    return [_padded(cut, number, run, config.pad_s) for number in range(len(cut))]


def _split(group: list[Span], config: Config) -> list[Span]:
    whole = Span(group[0].start_s, group[-1].end_s)
    longest = config.max_s - 2 * config.pad_s
    if whole.seconds <= longest:
        return [whole]
    pauses = [
        (after.start_s - before.end_s, number)
        for number, (before, after) in enumerate(itertools.pairwise(group), start=1)
        if before.end_s - whole.start_s >= config.min_s and whole.end_s - after.start_s >= config.min_s
    ]
    if pauses:
        _, number = max(pauses)
        return _split(group[:number], config) + _split(group[number:], config)
    count = int(-(-whole.seconds // longest))
    step = whole.seconds / count
    return [Span(whole.start_s + i * step, whole.start_s + (i + 1) * step) for i in range(count)]


def _padded(spans: list[Span], number: int, run: Span, pad_s: float) -> Span:
    span = spans[number]
    before = (spans[number - 1].end_s + span.start_s) / 2 if number else run.start_s
    after = (span.end_s + spans[number + 1].start_s) / 2 if number + 1 < len(spans) else run.end_s
    return Span(max(before, span.start_s - pad_s), min(after, span.end_s + pad_s))


def _clip(video: Video, shot: Shot, track: int, span: Span) -> Clip:
    start_ms = round_half_up_ms(span.start_s)
    end_ms = start_ms + FRAME_MS * span.n_frames
    return Clip(
        clip_id=f"{video.video_id}_{start_ms}_{end_ms}_p{track}",
        video_id=video.video_id,
        shot=shot.shot,
        track=track,
        start_ms=start_ms,
        end_ms=end_ms,
        n_frames=span.n_frames,
        width=video.width or 0,
        height=video.height or 0,
    )
