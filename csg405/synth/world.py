"""The films of the demo: planned from a seed, drawn once, kept with their truth.

Most films are made of takes of different people in different places, sound ones and such with a planted defect in
turn; every defect is there twice, at middle severity. Defects of whole files have films of their own, and so have
slides, so that nobody at all is seen in a film. Bright and dark places take turns, and people wear what stands out
from them: every cut is one that a detector of cuts can see.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import functools
import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessExpired, ProcessPool

from csg405.engine import die_with_parent
from csg405.errors import UserError
from csg405.progress import Beat, Progress
from csg405.synth import film, record, talker, texts
from csg405.synth.defects import DEFECTS, FileDefect, TakeDefect, plant, plant_in_film
from csg405.synth.film import Film, Take
from csg405.synth.places import Tone, dressed, opposite, place
from csg405.synth.talker import Camera

_MIXED = 10
"""Films of sound and defective takes in turn."""

_SOUND_EACH = 4
"""Sound takes of such a film; there is one more with a defect."""

_OF_THEIR_OWN = ("slides", "no_audio", "low_resolution", "heavy_compression")
"""Defects that a whole film must have."""

_OWN_TAKES = 4

_FPS = {2: 24.0, 5: 30.0, 8: 30.0}
"""Films that are not made of 25 pictures a second."""

_SPEECH_S, _OWN_SPEECH_S = (5.0, 5.6), (7.1, 7.7)
"""Length of what is said in a take, s, as far as that can be told before it is; longer in films of a defect."""

_SHIFTS = (3, 7, 5)
"""How far from the first film of a defect the second one is, for the first, the second and the third defect of a film:
none meets its double, and the two kinds of wrong light never meet."""

_ASIDE = {"account.py", "demo.py", "judge.py", "recordings.py", "server.py", "truth.py"}
"""Sources of this folder that no film depends on."""

_LEAST_FREE = 1 << 20
"""A disk with less room than this is full, bytes."""

_TALKERS = 1_000_000
"""Talkers of films are numbered below this; those that networks are trained on and judged by, far above."""


# ---- the plan


def plan(seed: int, *, height_px: int = 720) -> list[Film]:
    """The films of a seed: about eleven minutes of pictures 16:9.

    Args:
        seed: of everything.
        height_px: of the pictures.
    """
    rng = np.random.default_rng([405, 14, seed])
    draw = _Draw(rng, height_px)
    deals = _deal(rng)
    tones = [_tone(number, deal) for number, deal in enumerate(deals)]
    sound = [
        [draw.take(opposite(tone), fps=_FPS.get(number, 25.0)) for _ in range(_SOUND_EACH)]
        for number, tone in enumerate(tones)
    ]
    films = []
    for number, deal in enumerate(deals):
        defective = [
            _copy(sound, number, tones, rng)
            if defect == "near_duplicate"
            else plant(draw.take(tones[number], fps=_FPS.get(number, 25.0)), defect=defect, severity="middle", rng=rng)
            for defect in deal
        ]
        turns = [defective[0], *(take for pair in zip(sound[number], defective[1:], strict=True) for take in pair)]
        films.append(Film(name=_name(number), takes=tuple(turns)))
    return films + [draw.of_its_own(defect, _MIXED + number) for number, defect in enumerate(_OF_THEIR_OWN)]


def _name(number: int) -> str:
    return f"film-{number + 1:02}"


def _deal(rng: np.random.Generator) -> list[list[str]]:
    """Defects of each mixed film: every one in two films, cuts inside a take at a film's end."""
    names = [name for name, defect in DEFECTS.items() if isinstance(defect, TakeDefect) and name not in _OF_THEIR_OWN]
    pair = ["dark", "overexposed"]  # neighbours, so that they never meet in a film
    order = [str(name) for name in rng.permutation([name for name in names if name not in pair])]
    at = int(rng.integers(len(order)))
    order = [*order[:at], *pair, *order[at:]]
    deals: list[list[str]] = [[] for _ in range(_MIXED)]
    for number, name in enumerate(order):
        for film_number in (number, number + _SHIFTS[number // _MIXED]):
            deals[film_number % _MIXED].append(name)
    shuffled = [[str(name) for name in rng.permutation(deal)] for deal in deals]
    return [sorted(deal, key=lambda name: name == "cuts_inside") for deal in shuffled]


def _tone(number: int, deal: Sequence[str]) -> Tone:
    """Of a film's defective takes; the sound ones between them have the other one."""
    if "dark" in deal:
        return "dark"
    return "bright" if "overexposed" in deal or number % 2 else "dark"


def _copy(sound: Sequence[Sequence[Take]], number: int, tones: Sequence[Tone], rng: np.random.Generator) -> Take:
    """A sound take of another film, again."""
    others = [other for other, tone in enumerate(tones) if tone != tones[number]]
    other, which = others[rng.integers(len(others))], int(rng.integers(_SOUND_EACH))
    take = dataclasses.replace(sound[other][which], fps=_FPS.get(number, 25.0))
    copy = plant(take, defect="near_duplicate", severity="middle", rng=rng)
    planted = copy.planted and dataclasses.replace(copy.planted, like=f"{_name(other)}/{2 * which + 1}")
    return dataclasses.replace(copy, planted=planted)


class _Draw:
    """Draws sound takes: nobody twice."""

    def __init__(self, rng: np.random.Generator, height_px: int) -> None:
        self.rng = rng
        self.height_px = height_px
        self.met: set[int] = set()

    def take(self, tone: Tone, *, fps: float = 25.0, seconds: tuple[float, float] = _SPEECH_S) -> Take:
        """A sound take in a place of a kind."""
        rng = self.rng
        who = int(rng.integers(_TALKERS))
        while who in self.met:
            who = int(rng.integers(_TALKERS))
        self.met.add(who)
        person = dressed(talker.talker(who), rng, tone=tone)
        style = dataclasses.replace(
            person.style,
            height_m=float(rng.uniform(0.16, 0.23)),
            amplitude=min(person.style.amplitude, 1.15),
            rate=max(person.style.rate, 0.7),
            sway=max(person.style.sway, 1.1),
            mouth_m=max(person.style.mouth_m, 0.021),
        )
        return Take(
            talker=dataclasses.replace(person, style=style),
            text=_text(rng, words_per_minute=person.voice.words_per_minute, seconds=seconds),
            camera=_camera(rng, self.height_px),
            setting=place(rng, tone=tone),
            seed=int(rng.integers(2**31)),
            fps=fps,
        )

    def of_its_own(self, defect: str, number: int) -> Film:
        """A film with a defect that all its takes have."""
        tones: tuple[Tone, Tone] = ("bright", "dark")
        takes = [self.take(tones[turn % 2], seconds=_OWN_SPEECH_S) for turn in range(_OWN_TAKES)]
        if isinstance(DEFECTS[defect], FileDefect):
            return plant_in_film(Film(name=_name(number), takes=tuple(takes)), defect=defect, severity="middle")
        planted = (plant(take, defect=defect, severity="middle", rng=self.rng) for take in takes)
        return Film(name=_name(number), takes=tuple(planted))


def _text(rng: np.random.Generator, *, words_per_minute: int, seconds: tuple[float, float]) -> str:
    """The first of as many monologues as it takes that is said in about so long."""
    low_s, high_s = seconds
    while True:
        said = texts.monologue(rng, words=int(rng.integers(8, 18)))
        if low_s <= film.about_s(said, words_per_minute=words_per_minute) <= high_s:
            return said


def _camera(rng: np.random.Generator, height_px: int) -> Camera:
    """A framing in which head, hands and elbows are seen and the talker looks into the camera."""
    return Camera(
        width=2 * round(height_px * 8 / 9),
        height=height_px,
        distance_m=float(rng.uniform(2.05, 2.45)),
        focal=float(rng.uniform(1.75, 1.95)),
        level_m=float(rng.uniform(0.35, 0.39)),
        aside_m=float(rng.uniform(-0.12, 0.12)),
        turn=float(rng.uniform(-0.12, 0.12)),
        roll=float(rng.normal(0, 0.01)),
    )


# ---- the files


def make_films(folder: Path, *, seed: int, workers: int = 0) -> list[Path]:
    """Draw a seed's films with their truth into a folder; those that are there already are left alone.

    Args:
        folder: where to; it is made.
        seed: of the plan.
        workers: processes; 0 is one per core.

    Returns:
        The films' paths, their truth beside them (`csg405.synth.record`).

    Raises:
        UserError: espeak-ng is not installed, or a process died.
        OSError: the disk is full, or may not be written.
    """
    return write_films(folder, plan(seed), workers=workers)


def write_films(folder: Path, films: Sequence[Film], *, workers: int = 0) -> list[Path]:
    """Draw films with their truth into a folder, which holds no other `film-*` afterwards; see `make_films`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{one.name}.mp4" for one in films]
    with _locked(folder):
        marks = [_fingerprint(one) for one in films]
        _tidy(folder, {path.stem for path in paths})
        wanted = [
            (path, one, mark)
            for path, one, mark in zip(paths, films, marks, strict=True)
            if record.fingerprint(path) != mark
        ]
        if wanted:
            _write_all(wanted, folder / ".beats", min(workers or os.cpu_count() or 1, len(wanted)))
    return paths


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for another program that draws into the folder."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint(one: Film) -> str:
    """Of all that a film follows from."""
    return hashlib.sha256(f"{_code()} {one!r}".encode()).hexdigest()


@functools.cache
def _code() -> str:
    """Digest of the sources that films are drawn by."""
    here = Path(__file__).parent
    own = [source for source in sorted(here.glob("*.py")) if source.name not in _ASIDE]
    sources = [*own, *sorted((here / "defects").glob("*.py")), here.parent / "media/encode.py"]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def _tidy(folder: Path, names: set[str]) -> None:
    """Remove what killed programs and other plans have left."""
    for path in folder.iterdir():
        left = path.name.startswith(".film-") or (path.name.startswith("film-") and path.stem not in names)
        if left and path.is_file():
            path.unlink()


def _write_all(wanted: Sequence[tuple[Path, Film, str]], beats: Path, workers: int) -> None:
    context = multiprocessing.get_context("spawn")
    pool: Any = ProcessPool(max_workers=workers, context=context, initializer=die_with_parent)
    longest = sorted(wanted, key=lambda one: -sum(len(take.text) for take in one[1].takes))
    try:
        with Progress("drawing films", total=len(wanted), unit="films", beats=beats) as progress:
            futures: dict[Any, str] = {pool.schedule(_write, args=[*one, beats]): one[0].name for one in longest}
            for future in as_completed(futures):
                _finish(future, futures[future])
                progress.advance()
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()
        shutil.rmtree(beats, ignore_errors=True)


def _finish(future: Any, name: str) -> None:
    """Raise what went wrong in a process."""
    try:
        future.result()
    except ProcessExpired as error:
        raise UserError(
            f"{name}: the process that drew it died (exit status {error.exitcode}; out of memory?); run it again, "
            "what was finished is kept"
        ) from error


def _write(path: Path, one: Film, fingerprint: str, beats: Path) -> None:
    """Draw a film. Its truth is written last, so a film with truth beside it is whole."""
    import cv2

    cv2.setNumThreads(1)  # the other cores have films of their own
    path.with_suffix(".json").unlink(missing_ok=True)
    beat = Beat(beats, path.stem)
    try:
        truth = film.write(path, one.takes, coding=one.coding, tick=beat)
    except RuntimeError as error:
        if shutil.disk_usage(path.parent).free < _LEAST_FREE:  # ffmpeg says so in words only
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    record.save(path, truth, fingerprint=fingerprint)
    beat.end()
