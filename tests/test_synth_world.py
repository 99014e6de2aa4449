"""The demo's films: what is planned is what was promised, sound takes are sound, and nothing is drawn twice."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from csg405 import keypoints as kp
from csg405 import media
from csg405.errors import UserError
from csg405.synth import film, record, world
from csg405.synth.defects import DEFECTS
from csg405.synth.film import Film, Take

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")

SEEDS = (405, 1, 2)


def spoken(takes: Sequence[Take]) -> list[Take]:
    """The takes with their speech made; espeak-ng is a process for each."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda take: take.n_frames, takes))
    return list(takes)


@pytest.fixture(scope="module")
def films() -> list[Film]:
    planned = world.plan(SEEDS[0], height_px=360)
    spoken([take for one in planned for take in one.takes])
    return planned


def seconds(take: Take) -> float:
    return take.n_frames / take.fps


# ---- the plan


def test_a_plan_holds_what_was_promised(films: list[Film]) -> None:
    counts = collections.Counter(take.planted.defect if take.planted else "" for one in films for take in one.takes)
    assert counts[""] >= 40
    assert {name for name in counts if name} == set(DEFECTS)
    assert min(counts.values()) >= 2
    assert all(not take.planted or take.planted.severity == "middle" for one in films for take in one.takes)
    lengths = [sum(map(seconds, one.takes)) for one in films]
    assert len(films) == 14
    assert all(29.5 <= length <= 62 for length in lengths), lengths
    assert 600 <= sum(lengths) <= 690
    assert {one.takes[0].fps for one in films} == {24.0, 25.0, 30.0}
    assert len({one.name for one in films}) == len(films)


@pytest.mark.parametrize("seed", range(12))
def test_every_seed_gives_such_a_plan(seed: int) -> None:
    films = world.plan(seed)
    defects = [[take.planted.defect if take.planted else "" for take in one.takes] for one in films]
    counts = collections.Counter(itertools.chain.from_iterable(defects))
    assert counts[""] == 40
    assert min(counts[name] for name in DEFECTS) >= 2
    for row in defects[:10]:
        assert len(set(row)) == 6  # five defects, and none
        assert not {"dark", "overexposed"} <= set(row)
        assert "cuts_inside" not in row[:-1]
    assert all(len(set(row)) == 1 for row in defects[10:])


def test_a_plan_follows_from_its_seed() -> None:
    assert world.plan(7) == world.plan(7)
    assert repr(world.plan(7)) == repr(world.plan(7))
    assert world.plan(7) != world.plan(8)
    assert all((take.camera.width, take.camera.height) == (1280, 720) for one in world.plan(7) for take in one.takes)


def test_nobody_is_met_twice_but_in_a_near_duplicate(films: list[Film]) -> None:
    takes = {f"{one.name}/{number}": take for one in films for number, take in enumerate(one.takes)}
    copies = {name: take for name, take in takes.items() if take.planted and take.planted.like}
    assert len(copies) == 2
    others = [take.talker.seed for name, take in takes.items() if name not in copies]
    assert len(set(others)) == len(others)
    for name, take in copies.items():
        assert take.planted is not None
        first = takes[str(take.planted.like)]
        assert take.planted.like.partition("/")[0] != name.partition("/")[0]  # type: ignore[union-attr]
        assert first.planted is None
        assert (first.talker, first.text, first.setting) == (take.talker, take.text, take.setting)


def test_every_cut_between_takes_is_seen(films: list[Film]) -> None:
    from scenedetect import ContentDetector, FrameTimecode

    for one in films:
        ends = [(take.footage(), take.n_frames - 1) for take in one.takes]
        for (before, last), (after, _) in itertools.pairwise(ends):
            if "slides" in {take.planted.defect for take in one.takes if take.planted}:
                continue  # nobody is seen in it, and no cut is looked for
            detector = ContentDetector(threshold=27, min_scene_len=1)
            found = []
            for number, (footage, frame) in enumerate([(before, last - 1), (before, last), (after, 0), (after, 1)]):
                small = cv2.resize(footage.draw(frame)[0], (256, 144), interpolation=cv2.INTER_AREA)[..., ::-1].copy()
                found += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, 25.0), small)]
            assert found == [2], one.name


# ---- sound takes


@pytest.fixture(scope="module")
def sound(films: list[Film]) -> list[Take]:
    more = [take for seed in SEEDS[1:] for one in world.plan(seed, height_px=360) for take in one.takes]
    takes = [take for one in films for take in one.takes] + more
    return spoken([take for take in takes if take.planted is None])


def test_sound_takes_are_sound(sound: list[Take]) -> None:
    """What the filter measures, on the true keypoints, in pixels of a picture of 720."""
    assert len(sound) >= 100
    for take in sound:
        points = take.keypoints() * 2
        within = ((points >= 0) & (points < [1280, 720])).all(-1)
        for hand in (kp.LEFT_HAND, kp.RIGHT_HAND):
            assert (within[:, hand].mean(axis=1) > 0.5).mean() > 0.97
        assert within[:, kp.FACE].all()
        face = points[:, kp.FACE]
        assert np.median(np.ptp(face[..., 1], axis=1)) > 70
        assert np.median([np.ptp(frame[inside, 1]) for frame, inside in zip(points, within, strict=True)]) > 350
        yaw = np.abs((face[:, 30, 0] - face[:, 0, 0]) / (face[:, 16, 0] - face[:, 0, 0]) - 0.5)
        assert (yaw <= 0.25).mean() > 0.74
        shoulders = np.median(np.linalg.norm(points[:, kp.LEFT_SHOULDER] - points[:, kp.RIGHT_SHOULDER], axis=-1))
        wrists = points[:, [kp.LEFT_WRIST, kp.RIGHT_WRIST]]
        speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1).mean(axis=0).max() * take.fps / shoulders
        assert speed > 0.2


def test_sound_takes_are_spoken_long_enough(sound: list[Take]) -> None:
    for take in sound:
        words = take.speech.words
        said_s = words[-1].end_s - words[0].start_s
        assert 4.0 < said_s < 9  # with a fifth of a second before and after, a clip of 4.2 s and more
        assert sum(word.end_s - word.start_s for word in words) > 0.8 * said_s
        assert 9 <= len(words) <= 24


def test_sound_takes_can_be_seen(sound: list[Take]) -> None:
    for take in sound[::4]:
        footage = take.footage()
        seen = np.array([footage.draw(int(frame))[1] for frame in np.linspace(0, take.n_frames - 1, 16)])
        framed = seen[:, [kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, kp.LEFT_ELBOW, kp.RIGHT_ELBOW]].all(axis=1)
        assert framed.mean() > 0.7
        assert min((seen[:, hand].mean(axis=1) > 0.5).mean() for hand in (kp.LEFT_HAND, kp.RIGHT_HAND)) > 0.7


# ---- the files


def tiny(name: str, seed: int) -> Film:
    return Film(name=name, takes=(dataclasses.replace(film.take(seed, width=160, height=90), text="Not half."),))


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.iterdir() if path.name.startswith("film-"))
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_what_is_drawn_is_not_drawn_again(tmp_path: Path) -> None:
    films = [tiny("film-01", 1), tiny("film-02", 2)]
    paths = world.write_films(tmp_path, films, workers=2)
    first = state(tmp_path)
    assert sorted(first) == sorted(
        f"{name}{end}" for name in ("film-01", "film-02") for end in (".mp4", ".json", ".npz")
    )
    assert [media.probe(path).n_frames for path in paths] == [one.takes[0].n_frames for one in films]
    assert record.load(paths[0]).takes[0].text == "Not half."

    assert world.write_films(tmp_path, films, workers=2) == paths
    assert state(tmp_path) == first

    # A run that was killed leaves a film without its truth, or a piece of one; another plan leaves its films.
    paths[1].with_suffix(".json").unlink()
    (tmp_path / ".film-02.mp4.abc.tmp.mp4").write_bytes(b"half")
    (tmp_path / "film-99.mp4").write_bytes(b"old")
    (tmp_path / "mine.mp4").write_bytes(b"mine")
    world.write_films(tmp_path, films, workers=1)
    second = state(tmp_path)
    assert {name: blob for name, (_, blob) in second.items()} == {name: blob for name, (_, blob) in first.items()}
    assert {name for name in first if first[name] != second[name]} == {"film-02.mp4", "film-02.json", "film-02.npz"}
    assert (tmp_path / "mine.mp4").exists()
    assert not list(tmp_path.glob(".film-*"))

    other = [tiny("film-01", 1), tiny("film-02", 3)]
    world.write_films(tmp_path, other, workers=1)
    third = state(tmp_path)
    assert third["film-01.mp4"] == first["film-01.mp4"]
    assert third["film-02.mp4"][1] != first["film-02.mp4"][1]


def test_what_goes_wrong_in_a_process_is_told(tmp_path: Path) -> None:
    silent = tiny("film-01", 1)
    unknown = dataclasses.replace(silent.takes[0].talker, voice=film.Voice(accent="nobody"))
    wrong = dataclasses.replace(silent, takes=(dataclasses.replace(silent.takes[0], talker=unknown),))
    with pytest.raises(UserError, match="no voice"):
        world.write_films(tmp_path, [wrong], workers=1)
    assert state(tmp_path) == {}
    kinds = Film(name="film-01", takes=(silent.takes[0], dataclasses.replace(silent.takes[0], fps=30.0)))
    with pytest.raises(ValueError, match="one size and rate"):
        world.write_films(tmp_path, [kinds], workers=1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="Permission"):
        world.write_films(tmp_path / "films", [tiny("film-01", 1)])
