"""Predictions of tracks B and C: films, decoded by workers that may crash, and what may be wrong with them."""

from __future__ import annotations

import collections
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from csg405.benchmark.submission import confined
from csg405.benchmark.submission.arrays import MOST_STILL
from csg405.benchmark.submission.clips import Wanted
from csg405.benchmark.submission.decoder import CODEC, CPU_S, Facts
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import File
from csg405.media.clock import FPS

DEADLINE_S = 4 * CPU_S
"""Wall-clock time for a film; more than its processor time, since others may be working too, s."""

PIXELS = "yuv420p"

_JITTER_S = 0.001
"""Presentation times may be off by so much: containers that count in milliseconds round them, s."""

_UNASKED_FRAMES = 25
"""Frames too many that are still counted."""

Job = tuple[File, Wanted]


class _Decoder:
    """One worker, started when it is first asked, and anew after it died."""

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def ask(self, path: Path, *, most_frames: int) -> Facts | str:
        """What is in a film, or how the worker died of it: `deadline`, or `signal` and its name."""
        if self._process is None:
            self._start()
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("the decoder was not started")
        try:
            process.stdin.write(json.dumps({"path": str(path), "most_frames": most_frames}) + "\n")
            process.stdin.flush()
            answer = self._answers.get(timeout=self.deadline_s)
        except BrokenPipeError:
            answer = ""
        except queue.Empty:
            self.stop()
            return "deadline"
        if answer:
            return Facts(**json.loads(answer))
        status = process.wait()
        self.stop()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"

    def _start(self) -> None:
        self._process = confined.start("csg405.benchmark.submission.decoder")
        self._answers = queue.Queue()
        threading.Thread(target=_forward, args=(self._process, self._answers), daemon=True).start()

    def stop(self) -> None:
        """End the worker, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _forward(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Put a worker's answers into a queue, and an empty one when it ends."""
    if process.stdout is not None:
        with process.stdout as lines:
            for line in lines:
                answers.put(line)
    answers.put("")


def check(
    folder: Path,
    jobs: Sequence[Job],
    *,
    may_freeze: bool,
    workers: int,
    done: Callable[[], None] = lambda: None,
    deadline_s: float = DEADLINE_S,
) -> list[Finding]:
    """Everything that is wrong with films, in the order of the jobs.

    Args:
        folder: of the submission.
        jobs: films and their clips.
        may_freeze: whether the submission declares that films stand still.
        workers: that decode at the same time.
        done: called after each film.
        deadline_s: for each film, s.
    """
    waiting = collections.deque(enumerate(jobs))
    results: dict[int, list[Finding]] = {}

    def work() -> None:
        decoder = _Decoder(deadline_s)
        try:
            while True:
                try:
                    number, (file, wanted) = waiting.popleft()
                except IndexError:
                    return
                facts = decoder.ask(folder / file.path, most_frames=wanted.n_frames + _UNASKED_FRAMES)
                results[number] = list(judge(facts, file, wanted, may_freeze=may_freeze))
                done()
        finally:
            decoder.stop()

    count = max(1, min(workers, len(jobs)))
    with ThreadPoolExecutor(count) as pool:
        try:
            for future in [pool.submit(work) for _ in range(count)]:
                future.result()
        finally:
            waiting.clear()  # an interrupt or an error here ends the other workers too
    return [finding for number in sorted(results) for finding in results[number]]


def judge(facts: Facts | str, file: File, wanted: Wanted, *, may_freeze: bool) -> Iterator[Finding]:
    """Everything that is wrong with a film.

    Args:
        facts: what is in it, or how the decoder died of it.
        file: its place.
        wanted: its clip.
        may_freeze: whether it may stand still.
    """
    if isinstance(facts, str):
        rule = "decoder_deadline" if facts == "deadline" else "decoder_crashed"
        yield found(rule, file.path, seen=facts, allowed="a film that decodes within the limits", clip=file.clip)
        return
    for rule, seen, allowed in (*_container(facts, wanted), *_frames(facts, wanted, may_freeze=may_freeze)):
        yield found(rule, file.path, seen=seen, allowed=allowed, clip=file.clip)


_Wrong = Iterator[tuple[str, str, str]]
"""Rule, what was seen, what is allowed."""


def _container(facts: Facts, wanted: Wanted) -> _Wrong:
    if facts.error is not None:
        yield "video_damaged", f"{facts.error}, after {facts.n_frames} frames", f"{wanted.n_frames} whole frames"
    if not _good_streams(facts.streams) and (facts.streams or facts.error is None):
        seen = ", ".join(f"{count} {kind}" for kind, count in sorted(facts.streams.items())) or "none"
        yield "wrong_streams", seen, "1 video, at most 1 audio"
    if facts.codec and facts.codec != CODEC:
        yield "wrong_codec", facts.codec, CODEC
        return  # it was not decoded, so nobody knows the rest
    if facts.pixels and facts.pixels != PIXELS:
        yield "wrong_pixels", facts.pixels, PIXELS
    size = (facts.width, facts.height)
    if any(size) and (size != (wanted.size_px, wanted.size_px) or facts.shape):
        seen = f"{facts.width}x{facts.height}" + (f", {facts.shape}" if facts.shape else "")
        yield "wrong_picture", seen, f"{wanted.size_px}x{wanted.size_px}, square pixels, upright"


def _good_streams(streams: dict[str, int]) -> bool:
    others = {kind for kind in streams if kind not in {"video", "audio"}}
    return not others and streams.get("video") == 1 and streams.get("audio", 0) <= 1


def _frames(facts: Facts, wanted: Wanted, *, may_freeze: bool) -> _Wrong:
    if facts.codec not in {CODEC, ""}:
        return  # it was not decoded
    if facts.n_frames != wanted.n_frames and facts.error is None:
        more = " and more" if facts.n_frames > wanted.n_frames + _UNASKED_FRAMES else ""
        yield "frame_count", f"{facts.n_frames} decoded frames{more}", f"{wanted.n_frames} frames"
    yield from _rate(np.array(facts.times_s))
    if facts.still > MOST_STILL and not may_freeze:
        yield "frozen", f"{facts.still:.0%} of the frames", f"{MOST_STILL:.0%}"


def _rate(times_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> _Wrong:
    """Whether frames follow each other at 25 fps by their presentation times."""
    steps = len(times_s) - 1
    if steps < 1:
        return
    even = times_s[0] + np.arange(len(times_s)) / FPS
    off = np.flatnonzero(np.abs(times_s - even) > _JITTER_S)
    if not len(off):
        return
    lasts = float(times_s[-1] - times_s[0])
    straight = np.linspace(times_s[0], times_s[-1], len(times_s))
    if np.abs(times_s - straight).max() <= 2 * _JITTER_S and lasts > 0:
        yield "wrong_rate", f"{steps / lasts:.3f} fps", f"{FPS} fps"
    else:
        first = int(off[0])
        seen = f"frame {first} at {times_s[first]:.3f} s"
        yield "variable_rate", seen, f"{even[first]:.3f} s, at a constant {FPS} fps"
