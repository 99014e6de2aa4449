"""Where somebody is heard speaking: Silero's voice activity network, out of faster-whisper's wheel.

Sound is read by its own timestamps on the pictures' clock, in windows, so a long film takes little memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from csg405 import media
from csg405.config import Settings
from csg405.media import AUDIO_RATE_HZ
from csg405.operator import Item, Resources, Setting
from csg405.schema import Reason, Record, Refusal, Shot, SpeechSpan

VERSION = "2"
SCOPE = "video"
READS = (Shot,)
WRITES = (SpeechSpan, Refusal)
NEEDS = Resources()

_WINDOW_S = 1200
"""Sound that is held at once, s: 77 MB."""


class Config(Settings):
    """Options of the voice activity detection; the defaults are Silero's own."""

    threshold: float = Field(0.5, gt=0, lt=1, description="lowest probability of speech")
    min_speech_s: float = Field(0.25, ge=0, description="shortest span of speech, s")
    min_silence_s: float = Field(0.1, ge=0, description="shortest silence that ends a span, s")
    pad_s: float = Field(0.03, ge=0, description="added at both ends of a span, s")


class Operator:
    """Finds speech."""

    def __init__(self, setting: Setting) -> None:
        from faster_whisper.vad import VadOptions, get_speech_timestamps

        config: Config = setting.config
        self.find = get_speech_timestamps
        self.options = VadOptions(
            threshold=config.threshold,
            min_speech_duration_ms=round(config.min_speech_s * 1000),
            min_silence_duration_ms=round(config.min_silence_s * 1000),
            speech_pad_ms=round(config.pad_s * 1000),
        )

    def __call__(self, item: Item) -> Iterable[Record]:
        """Spans of speech of one video; a refusal when there is no audio stream or nobody speaks."""
        shots = item.read(Shot)
        if not shots:
            return  # the pictures could not be decoded; the scan has said so
        start_s, end_s = shots[0].start_s, shots[-1].end_s
        try:
            spans = list(_joined(self._spans(item.media, start_s, end_s)))
        except media.Unreadable as error:
            yield Refusal(reason=error.reason, detail=error.detail)
            return
        if not spans:
            yield Refusal(reason=Reason.NO_SPEECH, detail=f"no speech in {end_s - start_s:.1f} s of sound")
        for first, last in spans:
            yield SpeechSpan(video_id=item.video.video_id, start_s=first, end_s=last)

    def _spans(self, path: Path, start_s: float, end_s: float) -> Iterator[tuple[float, float]]:
        start_ms = int(start_s * 1000)
        while start_ms < end_s * 1000:
            seconds = min(_WINDOW_S, end_s - start_ms / 1000)
            samples = media.sound(path, start_ms=start_ms, n_samples=int(seconds * AUDIO_RATE_HZ))
            for span in self.find(samples, self.options):
                yield (start_ms / 1000 + span["start"] / AUDIO_RATE_HZ, start_ms / 1000 + span["end"] / AUDIO_RATE_HZ)
            start_ms += _WINDOW_S * 1000


def _joined(spans: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Spans with those joined that a window's end has cut in two."""
    held: tuple[float, float] | None = None
    for start_s, end_s in spans:
        if held is not None and start_s - held[1] < 1e-3:
            held = (held[0], end_s)
            continue
        if held is not None:
            yield held
        held = (start_s, end_s)
    if held is not None:
        yield held
