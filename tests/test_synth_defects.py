"""Planted defects: each does to picture, sound and truth what it says, and more of it the graver it is."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from csg405 import keypoints as kp
from csg405 import media
from csg405.filter import criteria
from csg405.schema import Reason
from csg405.synth import film, record
from csg405.synth.cast import Passer
from csg405.synth.defects import DEFECTS, SEVERITIES, FileDefect, TakeDefect, plant, plant_in_film
from csg405.synth.film import Coding, Film, Take
from csg405.synth.footage import Footage
from csg405.synth.sound_effects import Noise, active, speech_power

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")

WANTED = {
    "two_people", "passer_by", "hands_out", "hand_hidden", "small_face", "turned_away", "nobody_speaking", "voice_over",
    "shifted_audio", "no_audio", "noise", "clipping", "blur", "dark", "overexposed", "frozen", "repeated_frames",
    "shaking", "camera_motion", "cuts_inside", "dissolve", "slides", "still_photograph", "black_bars",
    "low_resolution", "heavy_compression", "captions", "near_duplicate", "too_short",
}  # fmt: skip
OF_TAKES = [name for name, defect in DEFECTS.items() if isinstance(defect, TakeDefect)]
MOST_UNNAMED = 8


@pytest.fixture(scope="module")
def sound() -> Take:
    """A sound take, 640x360."""
    return film.take(3, words=8, width=640, height=360)


def planted(take: Take, defect: str, severity: record.Severity, seed: int = 0) -> Take:
    return plant(take, defect=defect, severity=severity, rng=np.random.default_rng(seed))


def grades(take: Take, defect: str, seed: int = 0) -> list[Take]:
    return [planted(take, defect, severity, seed) for severity in SEVERITIES]


def some(footage: Footage, count: int = 8) -> list[int]:
    return [int(number) for number in np.linspace(0, len(footage.keypoints) - 1, count)]


def luma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def rises(values: list[float], *, strictly: bool = True) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() if strictly else (steps >= 0).all() and values[-1] > values[0])


# ---- the registry


def test_every_defect_is_there_and_says_what_names_it() -> None:
    assert set(DEFECTS) == WANTED
    known = {str(reason) for reason in Reason} | {path.stem for path in Path(criteria.__file__).parent.glob("*.yaml")}
    for name, defect in DEFECTS.items():
        assert defect.name == name
        assert set(defect.names) <= known, name
        assert bool(defect.names) != bool(defect.awaits), name
        assert defect.awaits not in known, f"{name}: {defect.awaits} is there, it may be counted now"
    assert sum(not defect.names for defect in DEFECTS.values()) <= MOST_UNNAMED


def test_sizes_go_one_way() -> None:
    for defect in DEFECTS.values():
        steps = np.diff(defect.sizes)
        assert (steps >= 0).all() or (steps <= 0).all(), defect.name
        assert defect.sizes[0] != defect.sizes[1], defect.name
        assert [defect.size(severity) for severity in SEVERITIES] == list(defect.sizes)


@pytest.mark.parametrize("name", OF_TAKES)
def test_the_same_defect_twice_is_the_same(sound: Take, name: str) -> None:
    first, second = (planted(sound, name, "middle", seed=4) for _ in range(2))
    assert first == second
    assert first.planted == record.Planted(defect=name, severity="middle")
    np.testing.assert_array_equal(first.samples(), second.samples())
    frame = first.n_frames // 2
    pictures, visible = zip(*(take.footage().draw(frame) for take in (first, second)), strict=True)
    np.testing.assert_array_equal(*pictures)
    np.testing.assert_array_equal(*visible)
    assert pictures[0].shape == (360, 640, 3)
    assert first.keypoints().shape == (first.n_frames, kp.COUNT, 2)
    assert first.samples().dtype == np.float32
    assert len(first.samples()) == round(first.n_frames / first.fps * media.AUDIO_RATE_HZ)
    assert first != dataclasses.replace(sound, planted=first.planted)


def test_a_defect_of_a_film_is_none_of_a_take(sound: Take) -> None:
    with pytest.raises(ValueError, match="plant_in_film"):
        planted(sound, "no_audio", "middle")
    with pytest.raises(ValueError, match="of a take"):
        plant_in_film(Film(name="a", takes=(sound,)), defect="blur", severity="middle")


def test_a_picture_can_be_changed_without_changing_the_next(sound: Take) -> None:
    """An effect may draw on what it is given; what is held for the next picture is not that."""
    for name in ("frozen", "still_photograph", "repeated_frames", "slides"):
        footage = planted(sound, name, "gross").footage()
        last = len(footage.keypoints) // 2
        first, visible = footage.draw(last)
        kept = first.copy(), visible.copy()
        first[:], visible[:] = 0, False
        again = footage.draw(last)
        np.testing.assert_array_equal(again[0], kept[0])
        np.testing.assert_array_equal(again[1], kept[1])


# ---- who is in the picture


def test_somebody_else_takes_room_and_the_truth_stays_the_talkers(sound: Take) -> None:
    rooms = []
    for take in grades(sound, "two_people"):
        alone = dataclasses.replace(take, others=())
        frame = take.n_frames // 2
        apart = np.abs(take.footage().draw(frame)[0].astype(int) - alone.footage().draw(frame)[0]).max(axis=-1) > 12
        rooms.append(apart.mean())
        np.testing.assert_array_equal(take.keypoints(), alone.keypoints())
        columns = np.flatnonzero(apart.any(axis=0))
        nose = take.keypoints()[frame, kp.NOSE, 0]
        assert (columns.mean() < 320) != (nose < 320)
    assert rises(rooms)
    assert rooms[1] > 0.03


def _passing(take: Take) -> np.ndarray:
    """Part of the picture that somebody else changes, on every fifth one."""
    alone, footage = dataclasses.replace(take, others=()).footage(), take.footage()
    drawn = ((footage.draw(frame)[0], alone.draw(frame)[0]) for frame in range(0, take.n_frames, 5))
    return np.array([(np.abs(one.astype(int) - other).max(axis=-1) > 12).mean() for one, other in drawn])


def test_somebody_passes_for_a_part_of_the_take() -> None:
    small = film.take(3, words=8, width=320, height=180)
    passing = [_passing(take) for take in grades(small, "passer_by", seed=1)]
    parts = [float((one > 0.01).mean()) for one in passing]
    assert rises(parts)
    assert 0.2 < parts[1] < 0.45
    assert passing[1][[0, -1]].max() == 0
    assert passing[1].max() > 0.05


def test_who_passes_in_front_hides_the_talker_and_who_passes_behind_does_not(sound: Take) -> None:
    (other,) = planted(sound, "passer_by", "middle").others
    assert isinstance(other, Passer)
    seen = {}
    for nearer_m in (-1.5, 0.75):
        there = dataclasses.replace(other, nearer_m=nearer_m, aside_m=-2.2, way_m=4.4, turn=1.25, begin=0.0, part=1.0)
        take = dataclasses.replace(sound, others=(there,))
        footage = take.footage()
        np.testing.assert_array_equal(footage.keypoints, sound.keypoints())
        seen[nearer_m] = np.array([footage.draw(frame)[1] for frame in range(0, take.n_frames, 5)])
    alone = np.array([sound.footage().draw(frame)[1] for frame in range(0, sound.n_frames, 5)])
    np.testing.assert_array_equal(seen[-1.5], alone)
    hidden = alone & ~seen[0.75]
    assert hidden.sum(axis=1).max() > 40
    assert not hidden[0].any()
    assert not (seen[0.75] & ~alone).any()


def test_slides_show_nobody_or_the_talker_in_a_corner(sound: Take) -> None:
    mild, middle, _ = grades(sound, "slides")
    footage = middle.footage()
    drawn = [footage.draw(frame) for frame in some(footage)]
    assert not any(visible.any() for _, visible in drawn)
    assert len({picture.tobytes() for picture, _ in drawn}) >= 2
    corner = mild.footage()
    picture, visible = corner.draw(10)
    assert visible[kp.FACE].mean() > 0.8
    x, y = corner.keypoints[10, visible].T
    assert x.min() > 640 * 0.6
    assert y.min() > 360 * 0.6
    assert (np.abs(picture.astype(int) - drawn[0][0]).max(axis=-1) > 12).mean() < 0.2


def test_a_photograph_stays_as_it_is(sound: Take) -> None:
    mild, middle, gross = grades(sound, "still_photograph")
    for take in (middle, gross):
        footage = take.footage()
        assert len({footage.draw(frame)[0].tobytes() for frame in some(footage)}) == 1
        assert np.ptp(footage.keypoints, axis=0).max() == 0
    grown = mild.keypoints()
    widths = np.linalg.norm(grown[:, kp.LEFT_SHOULDER] - grown[:, kp.RIGHT_SHOULDER], axis=-1)
    assert widths[-1] / widths[0] == pytest.approx(1.12, abs=1e-4)
    np.testing.assert_array_equal(middle.samples(), sound.samples())


def test_a_near_duplicate_is_nearly_the_same(sound: Take) -> None:
    pictures = [take.footage().draw(20)[0] for take in grades(sound, "near_duplicate")]
    own = sound.footage().draw(20)[0]
    apart = [float(np.abs(picture.astype(int) - own).mean()) for picture in pictures]
    assert apart[0] > apart[1] > apart[2] == 0
    middle = planted(sound, "near_duplicate", "middle").keypoints()
    centre = np.array([639, 359]) / 2
    np.testing.assert_allclose(middle - centre, (sound.keypoints() - centre) * 1.04, atol=1e-2)


# ---- what the talker does


def test_a_hidden_hand_cannot_be_seen(sound: Take) -> None:
    parts = []
    for take in grades(sound, "hand_hidden", seed=2):
        footage = take.footage()
        seen = np.array([footage.draw(frame)[1] for frame in range(0, take.n_frames, 3)])
        hands = [(seen[:, hand].mean(axis=1) > 0.5).mean() for hand in (kp.LEFT_HAND, kp.RIGHT_HAND)]
        assert max(hands) > 0.8
        parts.append(1 - min(hands))
    assert rises(parts)
    assert parts[1] > 0.6
    assert parts[2] == 1


def test_a_talker_turns_away(sound: Take) -> None:
    yaws = []
    for take in grades(sound, "turned_away"):
        face = take.keypoints()[:, kp.FACE]
        right, left, nose = face[:, 0, 0], face[:, 16, 0], face[:, 30, 0]
        breadth = np.maximum(left - right, 1e-3)
        yaws.append(float(np.median(np.abs((nose - right) / breadth - 0.5))))
    assert yaws[0] < 0.5
    assert min(yaws[1:]) > 0.5
    assert not planted(sound, "turned_away", "gross").footage().draw(5)[1][kp.FACE].any()


def test_nobody_speaks_with_closed_lips(sound: Take) -> None:
    for seed in range(4):
        mild, middle, _ = grades(sound, "nobody_speaking", seed=seed)
        assert middle.motion.mouth_open.max() == 0
        np.testing.assert_array_equal(middle.motion.wrists, sound.motion.wrists)
        assert np.abs(np.corrcoef(middle.samples(), sound.samples())[0, 1]) < 0.02
        assert speech_power(middle.samples()) < 0.2 * speech_power(sound.samples())
        half = mild.n_frames // 2
        np.testing.assert_array_equal(mild.motion.mouth_open[: half - 2], sound.motion.mouth_open[: half - 2])
        assert mild.motion.mouth_open[half + 8 :].max() < 1e-6
        assert np.corrcoef(mild.samples()[:30_000], sound.samples()[:30_000])[0, 1] > 0.9


def test_few_words_are_short(sound: Take) -> None:
    seconds = [take.speech.words[-1].end_s - take.speech.words[0].start_s for take in grades(sound, "too_short")]
    assert rises(seconds[::-1])
    assert seconds[0] < 4.5
    assert seconds[1] < 3.4


# ---- the camera


def inside(take: Take, points: slice) -> float:
    keypoints = take.keypoints()[:, points]
    return float((((keypoints >= 0) & (keypoints < [take.camera.width, take.camera.height])).all(-1)).mean())


def test_the_picture_ends_above_the_hands(sound: Take) -> None:
    hands = [min(inside(take, hand) for hand in (kp.LEFT_HAND, kp.RIGHT_HAND)) for take in grades(sound, "hands_out")]
    assert hands[0] > hands[1] > hands[2] or hands[1] == hands[2] == 0
    assert hands[1] < 0.3
    assert all(inside(take, kp.FACE) > 0.99 for take in grades(sound, "hands_out"))


def test_a_face_is_as_small_as_it_is_said_to_be(sound: Take) -> None:
    for take in grades(sound, "small_face"):
        said = DEFECTS["small_face"].size(take.planted.severity)  # type: ignore[union-attr]
        tall = np.ptp(take.keypoints()[:, kp.FACE, 1], axis=1) * 720 / 360
        assert np.median(tall) == pytest.approx(said, rel=0.12)
        assert take.footage().draw(10)[1][[13, 14, 15, 16]].all()  # the whole person, knees and ankles too


def test_a_shaking_camera_shakes_the_truth_with_the_picture(sound: Take) -> None:
    sizes = []
    for take in grades(sound, "shaking"):
        apart = take.keypoints() - sound.keypoints()
        assert np.ptp(apart, axis=1).max() < 1e-3  # all points alike
        sizes.append(float(apart[:, 0].std() / 360))
        _same_about_the_nose(take, sound, 12)
    assert sizes == pytest.approx(DEFECTS["shaking"].sizes, rel=0.2)


def test_a_panning_camera_goes_at_its_speed(sound: Take) -> None:
    for take in grades(sound, "camera_motion"):
        apart = (take.keypoints() - sound.keypoints())[:, 0]
        speed = np.abs(np.diff(apart[:, 0])).mean() * take.fps / 360
        assert speed == pytest.approx(DEFECTS["camera_motion"].size(take.planted.severity), rel=0.25)  # type: ignore[union-attr]
        assert np.abs(np.diff(apart, n=2, axis=0)).max() < 1.5
        _same_about_the_nose(take, sound, take.n_frames // 2)


def _same_about_the_nose(take: Take, other: Take, frame: int) -> None:
    """What two takes show about the nose is the same picture."""
    patches = []
    for one in (take, other):
        footage = one.footage()
        centre = tuple(float(value) for value in footage.keypoints[frame, kp.NOSE])
        patches.append(cv2.getRectSubPix(footage.draw(frame)[0], (21, 21), centre).astype(int))
    assert np.abs(patches[0] - patches[1]).mean() < 6


def test_no_shot_with_cuts_inside_is_as_long_as_a_clip(sound: Take) -> None:
    longest = []
    for take in grades(dataclasses.replace(sound, text=f"{sound.text} {sound.text}"), "cuts_inside"):
        end_s = take.n_frames / take.fps
        starts = [0.0, *(cut.at_s for cut in take.cuts if cut.at_s < end_s), end_s]
        longest.append(float(np.diff(starts).max()))
    assert rises(longest[::-1])
    assert longest[1] < 2.5
    take = planted(sound, "cuts_inside", "middle")
    at = int(np.ceil(take.cuts[0].at_s * take.fps))
    footage = take.footage()
    before, after, later = (footage.draw(frame)[0].astype(int) for frame in (at - 1, at, at + 1))
    assert np.abs(after - before).mean() > 25
    assert np.abs(later - after).mean() < 5


def test_a_dissolve_blends_two_pictures_and_its_truth_is_the_stronger_ones(sound: Take) -> None:
    for take in grades(sound, "dissolve"):
        (cut,) = take.cuts
        assert cut.fade_s == DEFECTS["dissolve"].size(take.planted.severity)  # type: ignore[union-attr]
    take = planted(sound, "dissolve", "middle")
    (cut,) = take.cuts
    frame = int(cut.at_s * take.fps) + 2
    first, second = (
        dataclasses.replace(take, cuts=(), camera=camera, setting=setting)
        for camera, setting in ((take.camera, take.setting), (cut.camera, cut.setting))
    )
    share = (frame / take.fps - cut.at_s) / cut.fade_s + 0.5
    wanted = sum(one.footage().draw(frame)[0] * part for one, part in ((first, 1 - share), (second, share)))
    footage = take.footage()
    picture, visible = footage.draw(frame)
    assert np.abs(picture - wanted).max() <= 1.5
    np.testing.assert_array_equal(footage.keypoints[frame], second.keypoints()[frame])
    np.testing.assert_array_equal(visible, second.footage().draw(frame)[1])
    np.testing.assert_array_equal(footage.keypoints[0], first.keypoints()[0])


# ---- the pictures


def test_blur_takes_the_edges(sound: Take) -> None:
    def sharpness(take: Take, height: int) -> float:
        picture = cv2.resize(take.footage().draw(10)[0], (height * 16 // 9, height), interpolation=cv2.INTER_AREA)
        return float(cv2.Laplacian(luma(picture), cv2.CV_32F).var())

    assert rises([sharpness(take, 90) for take in (sound, *grades(sound, "blur"))][::-1])
    assert sharpness(planted(sound, "blur", "middle"), 360) < 20 < sharpness(sound, 360)


@pytest.mark.parametrize(("name", "low", "high"), [("dark", 0, 24), ("overexposed", 230, 255)])
def test_light_is_as_wrong_as_it_is_said_to_be(sound: Take, name: str, low: float, high: float) -> None:
    means = []
    for take in grades(sound, name):
        footage = take.footage()
        assert luma(footage.draw(0)[0]).mean() == pytest.approx(DEFECTS[name].size(take.planted.severity), abs=1.5)  # type: ignore[union-attr]
        means.append(float(luma(footage.draw(30)[0]).mean()))
    assert rises(means if name == "overexposed" else means[::-1])
    assert low < means[1] < high


@pytest.mark.parametrize("name", ["frozen", "repeated_frames"])
def test_pictures_are_the_same_for_the_part_that_is_said(sound: Take, name: str) -> None:
    for take in grades(sound, name, seed=3):
        footage = take.footage()
        pictures = [footage.draw(frame) for frame in range(take.n_frames)]
        same = [np.array_equal(before[0], after[0]) for before, after in itertools.pairwise(pictures)]
        assert np.mean(same) == pytest.approx(DEFECTS[name].size(take.planted.severity), abs=0.04)  # type: ignore[union-attr]
        moved = np.abs(np.diff(footage.keypoints, axis=0)).max(axis=(1, 2)) > 0
        np.testing.assert_array_equal(moved, ~np.array(same))


def test_black_bars_are_black_and_hide(sound: Take) -> None:
    blacks = []
    for take in grades(sound, "black_bars"):
        footage = take.footage()
        picture, visible = footage.draw(20)
        black = (picture == 0).all(axis=(0, 2))
        blacks.append(float(black.mean()))
        x = np.clip(np.round(footage.keypoints[20, :, 0]).astype(int), 0, 639)
        assert not (visible & black[x]).any()
        np.testing.assert_array_equal(footage.keypoints, sound.keypoints())
    assert blacks == pytest.approx(DEFECTS["black_bars"].sizes, abs=0.01)


def test_captions_change_and_hide(sound: Take) -> None:
    parts = []
    for take in grades(sound, "captions"):
        footage, own = take.footage(), sound.footage()
        written, alone = footage.draw(30), own.draw(30)
        changed = (written[0] != alone[0]).any(axis=-1)
        parts.append(float(np.flatnonzero(changed.any(axis=1)).size / 360))
        x, y = np.round(footage.keypoints[30]).astype(int).T
        within = alone[1] & changed[np.clip(y, 0, 359), np.clip(x, 0, 639)]
        assert not (written[1] & within).any()
        first, last = (footage.draw(frame)[0][240:] for frame in (5, take.n_frames - 5))
        assert not np.array_equal(first, last)
    assert rises(parts)


# ---- the sound


def test_another_voice_drowns_the_talkers_own(sound: Take) -> None:
    alike = []
    for take in grades(sound, "voice_over"):
        heard, own = take.samples(), sound.samples()
        alike.append(float(np.corrcoef(heard, own)[0, 1]))
        assert speech_power(heard) == pytest.approx(speech_power(own), rel=0.8)
        np.testing.assert_array_equal(take.motion.mouth_open, sound.motion.mouth_open)
    assert rises(alike[::-1])
    assert abs(alike[1]) < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_shifted_sound_is_found_shifted(sound: Take, seed: int) -> None:
    for take in grades(sound, "shifted_audio", seed=seed):
        own = dataclasses.replace(take, sounds=()).samples().astype(np.float64)
        heard = take.samples().astype(np.float64)
        n = 2 * len(own)
        lags = np.fft.irfft(np.fft.rfft(heard, n) * np.conj(np.fft.rfft(own, n)), n)
        lag = (int(np.argmax(lags)) + n // 2) % n - n // 2
        said = DEFECTS["shifted_audio"].size(take.planted.severity)  # type: ignore[union-attr]
        assert lag in (640 * said, -640 * min(said, 15))
        assert speech_power(heard) == pytest.approx(speech_power(own), rel=0.01)  # no word is lost


def test_sound_is_shifted_both_ways(sound: Take) -> None:
    lags = {planted(sound, "shifted_audio", "gross", seed).sounds[0].lag_s for seed in range(12)}  # type: ignore[attr-defined]
    assert lags == {1.0, -0.6}


@pytest.mark.parametrize("kind", ["pink", "babble", "music"])
def test_noise_is_as_loud_as_it_is_said_to_be(sound: Take, kind: str) -> None:
    own = sound.samples().astype(np.float64)
    for snr_db in DEFECTS["noise"].sizes:
        noise = Noise(snr_db, kind, 1)(sound.samples()) - own  # type: ignore[arg-type]
        heard = active(sound.samples()) > 0
        measured = 10 * np.log10(np.square(own[heard]).mean() / np.square(noise).mean())
        assert measured == pytest.approx(snr_db, abs=0.3)
    assert {planted(sound, "noise", "middle", seed).sounds[0].kind for seed in range(12)} == {"pink", "babble", "music"}  # type: ignore[attr-defined]


def test_clipping_cuts_off_at_full_scale(sound: Take) -> None:
    parts = [float((np.abs(take.samples()) >= 0.999).mean()) for take in grades(sound, "clipping")]
    assert rises(parts)
    assert parts[1] > 0.05
    assert all(np.abs(take.samples()).max() <= 1 for take in grades(sound, "clipping"))


# ---- the file


@pytest.fixture(scope="module")
def files(sound: Take, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Path, record.Truth]]:
    folder = tmp_path_factory.mktemp("films")
    short = dataclasses.replace(sound, text="Not half.")
    own = Film(name="own", takes=(short,))
    made = {("own", ""): (folder / "own.mp4", film.write(folder / "own.mp4", own.takes))}
    for name, defect in DEFECTS.items():
        if isinstance(defect, FileDefect):
            for severity in SEVERITIES:
                bad = plant_in_film(own, defect=name, severity=severity)
                path = folder / f"{name}-{severity}.mp4"
                made[name, severity] = (path, film.write(path, bad.takes, coding=bad.coding))
    return made


def test_a_film_without_sound_has_no_audio_stream(files) -> None:
    assert media.probe(files["own", ""][0]).audio_codec == "aac"
    assert [media.probe(files["no_audio", severity][0]).audio_codec for severity in SEVERITIES] == ["aac", None, None]
    path, truth = files["no_audio", "mild"]
    heard = media.sound(path, start_ms=0, n_samples=round(truth.takes[0].end_s * media.AUDIO_RATE_HZ))
    half = len(heard) // 2
    assert np.abs(heard[: half // 2]).max() > 0.05
    assert np.abs(heard[half + 3000 :]).max() < 0.01


def test_a_small_picture_is_small_and_its_truth_with_it(files) -> None:
    own = files["own", ""][1]
    for severity, size in zip(SEVERITIES, [(640, 360), (320, 180), (256, 144)], strict=True):
        path, truth = files["low_resolution", severity]
        held = media.probe(path)
        assert (held.width, held.height) == size == truth.size
        scale = size[1] / 360
        np.testing.assert_allclose(truth.keypoints_px + 0.5, (own.keypoints_px + 0.5) * scale, atol=1e-2)


def test_compression_takes_bytes_and_edges(files) -> None:
    sizes = [files["heavy_compression", severity][0].stat().st_size for severity in SEVERITIES]
    assert rises([-size for size in [files["own", ""][0].stat().st_size, *sizes]])


def test_all_takes_of_a_film_have_its_defect(files) -> None:
    for (name, severity), (_, truth) in files.items():
        wanted = record.Planted(defect=name, severity=severity) if severity else None  # type: ignore[arg-type]
        assert [take.planted for take in truth.takes] == [wanted]


# ---- the truth of films


def test_the_truth_beside_a_film_is_read_as_it_was_written(sound: Take, tmp_path: Path) -> None:
    short = dataclasses.replace(sound, text="Not half.")
    takes = [short, planted(dataclasses.replace(short, text="Why not?"), "black_bars", "gross")]
    path = tmp_path / "film.mp4"
    truth = film.write(path, takes, coding=Coding(height_px=180))
    assert [take.planted and take.planted.defect for take in truth.takes] == [None, "black_bars"]
    first, second = truth.takes
    assert first.start_s == 0
    assert first.end_s == second.start_s == first.n_frames / 25 == second.first / 25
    assert media.probe(path).n_frames == first.n_frames + second.n_frames
    record.save(path, truth, fingerprint="abc")
    held = record.load(path)
    assert record.fingerprint(path) == "abc"
    np.testing.assert_allclose(held.keypoints_px, truth.keypoints_px, atol=1 / 16)
    np.testing.assert_array_equal(held.visible, truth.visible)
    same = dataclasses.replace(held, keypoints_px=truth.keypoints_px, visible=truth.visible)
    assert dataclasses.asdict(same).keys() == dataclasses.asdict(truth).keys()
    assert (held.size, held.fps, held.takes) == (truth.size, truth.fps, truth.takes)


def test_a_film_without_truth_is_told(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    assert record.fingerprint(tmp_path / "film.mp4") is None
    with pytest.raises(Exception, match=r"no film.json beside it"):
        record.load(tmp_path / "film.mp4")
