"""Sounds that nobody made: how they are made, what validation takes, and whether those who listen are told apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from csg405 import keypoints as kp
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.counterfactual import partners, sounds, stretched
from csg405.benchmark.kit import Kit
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.counterfactual import Judged, judge, measured, values
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.submission import init, validate
from csg405.benchmark.submission.clips import of_run
from csg405.benchmark.submission.counterfactual import MOST_CLIPS, SPEED, chosen, frames_of, path_of
from csg405.benchmark.syllables import syllables_s
from csg405.cli import app
from csg405.errors import UserError
from tests import bench_film_release as film_kit
from tests import bench_motion as motion
from tests import bench_release

RATE_HZ = 16_000
SPEAKERS = ("cid", "dan", "eva", "fay", "gus", "hal")
N = 300

System = Callable[[Clip, Sound, int], np.ndarray]
"""The motion [n, 133, 2] px that a system gives for a clip's person, a sound, and its frames."""


# ---- how they are made


def tone(hz: float, seconds: float) -> np.ndarray:
    return np.round(9000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.int16)


@pytest.mark.parametrize("kind", ["slowed", "sped_up"])
@pytest.mark.parametrize("hz", [110.0, 233.0, 1000.0])
def test_the_pitch_and_the_loudness_stay_when_speech_is_stretched(kind: str, hz: float):
    length = round(2 * RATE_HZ / SPEED[kind])
    made = stretched(tone(hz, 2), speed=SPEED[kind], length=length)
    assert (len(made), made.dtype) == (length, np.int16)
    inner = made[RATE_HZ // 10 : -RATE_HZ // 5].astype(float)
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner))))
    assert np.argmax(spectrum) * RATE_HZ / len(inner) == pytest.approx(hz, rel=0.01)
    assert np.sqrt(np.mean(inner**2)) == pytest.approx(9000 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("kind", ["slowed", "sped_up"])
def test_syllables_lie_where_they_would_if_time_itself_went_at_that_speed(kind: str):
    when = bench_release.times(N, seed=3)
    made = stretched(bench_release.speech(N, when).samples, speed=SPEED[kind], length=640 * frames_of(kind, N))
    found = syllables_s(Sound(made))
    assert len(found) == len(when)
    np.testing.assert_allclose(found, np.array(when) / SPEED[kind], atol=0.05)


def test_speech_at_its_own_speed_stays_as_it_is():
    samples = bench_release.speech(50, [0.5, 1.0]).samples
    np.testing.assert_allclose(stretched(samples, speed=1.0, length=len(samples)), samples, atol=1)


def test_silence_stays_silent():
    assert not stretched(np.zeros(16_000, np.int16), speed=0.8, length=20_000).any()


def test_every_kind_is_as_long_as_it_is_said_to_be():
    clip, partner = (
        bench_release.talking(name, speaker=name, split="test", n=n) for name, n in (("a", 101), ("b", 60))
    )
    made = sounds(clip, partner)
    assert {kind: len(sound.samples) for kind, sound in made.items()} == {
        "swapped": 640 * 101, "silent": 640 * 101, "slowed": 640 * 126, "sped_up": 640 * 81,
    }  # fmt: skip
    np.testing.assert_array_equal(made["swapped"].samples[: 640 * 60], partner.sound.samples)
    assert not made["silent"].samples.any()


def test_the_choice_follows_from_the_ids_alone():
    ids = [f"clip{number}" for number in range(100)]
    assert chosen(ids) == chosen(reversed(ids)) == sorted(chosen(ids))
    assert len(chosen(ids)) == MOST_CLIPS
    assert set(chosen(ids[:50])) >= set(chosen(ids)) & set(ids[:50])
    assert chosen(ids[:3]) == ids[:3]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    held = bench_release.clips({"ann": "train", "bea": "train"}, count=2)
    for place, name in enumerate(SPEAKERS):
        for number, n in enumerate((N, N - 50)):
            clip_id, seed = f"{name}.{number}", 9 * place + number
            held.append(bench_release.talking(clip_id, speaker=name, split="test", n=n, seed=seed))
    return bench_release.write(tmp_path_factory.mktemp("release"), held)


@pytest.fixture(scope="module")
def small_kit(reader: ReleaseReader) -> Kit:
    return bench_release.train(reader, reader.folders.work / "benchmark" / "kit")


def test_partners_are_other_speakers_whose_sound_is_long_enough(reader: ReleaseReader):
    entries = reader.clips("test")
    found = partners(entries)
    assert found.keys() == {entry.clip_id for entry in entries}
    for clip_id, partner in found.items():
        own, other = reader.entry(clip_id), reader.entry(partner)
        assert own.speaker != other.speaker
        assert other.n_frames >= own.n_frames
    assert partners(entries[:2]) == {"cid.0": "cid.1", "cid.1": "cid.0"}
    assert partners(entries[:1]) == {"cid.0": "cid.0"}


def test_the_command_writes_sounds_and_a_list_of_them(reader: ReleaseReader, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(reader.folders.root)
    ran = CliRunner().invoke(app, ["submission", "counterfactual", str(tmp_path / "set"), "--run", "small"])
    assert ran.exit_code == 0, ran.output
    listed = json.loads((tmp_path / "set" / "counterfactual.json").read_text())["sounds"]
    assert len(listed) == 4 * 12
    for row in listed:
        samples, rate = soundfile.read(tmp_path / "set" / row["sound"], dtype="int16")
        assert (rate, len(samples)) == (RATE_HZ, 640 * row["n_frames"])
        assert (row["partner"] is None) == (row["kind"] != "swapped")
    assert CliRunner().invoke(app, ["submission", "counterfactual", str(tmp_path / "set"), "--run", "small"]).exit_code


# ---- systems of which it is known whether they listen


def beats(n: int, when: Iterable[float]) -> np.ndarray:
    """[n, 133, 2] px: both wrists stop at given times, twice as hard as those of the release."""
    still = motion.still(n)
    return still + 2 * (bench_release.beating(n, when, wrists=(kp.LEFT_WRIST, kp.RIGHT_WRIST)) - still)


def listens(clip: Clip, sound: Sound, n: int) -> np.ndarray:
    """Both wrists stop at every syllable, and rest when nobody speaks."""
    when = [time for time in syllables_s(sound) if time < n / 25 - 0.1]
    return beats(n, when)


def is_deaf(clip: Clip, sound: Sound, n: int) -> np.ndarray:
    """The person's own rhythm, whatever the sound."""
    when = bench_release.times(n, seed=sum(clip.clip_id.encode()))
    return beats(n, when)


def remembers(clip: Clip, sound: Sound, n: int) -> np.ndarray:
    """The clip's own speech, whatever the sound."""
    return listens(clip, clip.sound, n)


def judged(system: System, reader: ReleaseReader) -> list[Judged]:
    found = []
    for clip_id, partner in partners(reader.clips("test")).items():
        clip = reader.read(clip_id)
        given = sounds(clip, reader.read(partner))
        motions = {kind: system(clip, sound, frames_of(kind, len(clip))) for kind, sound in given.items()}
        own = system(clip, clip.sound, len(clip))
        found.append(measured(clip, given, own.astype(np.float32), _floats(motions), kit=None))
    return found


def _floats(motions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {kind: points.astype(np.float32) for kind, points in motions.items()}


@pytest.fixture(scope="module")
def told(reader: ReleaseReader) -> dict[str, dict]:
    return {system.__name__: values(judged(system, reader)) for system in (listens, is_deaf, remembers)}


def test_who_listens_rests_in_silence(told: dict[str, dict]):
    assert told["listens"]["silent"]["value"] == 0
    assert told["is_deaf"]["silent"]["value"] == pytest.approx(1, abs=1e-6)
    assert told["listens"]["clips"] == 12
    assert told["listens"]["speakers"] == 6


@pytest.mark.parametrize("kind", ["slowed", "sped_up"])
def test_the_beats_of_who_listens_go_with_the_speech(told: dict[str, dict], kind: str):
    heard, deaf = told["listens"][kind], told["is_deaf"][kind]
    assert heard["value"] == pytest.approx(1, abs=0.1)
    assert heard["interval"][0] <= heard["value"] <= heard["interval"][1]
    assert deaf["if_unheard"] == pytest.approx(1 / SPEED[kind])
    assert deaf["value"] == pytest.approx(1 / SPEED[kind], abs=0.12)


def test_who_listens_follows_the_sound_that_it_is_given(told: dict[str, dict]):
    heard, memory, deaf = (told[name]["swapped"]["ba_kappa"] for name in ("listens", "remembers", "is_deaf"))
    assert heard["swapped_sound"] > 0.5 > 0.2 > heard["own_sound"]
    assert heard["normal"] > 0.5
    assert heard["follows"]["value"] == pytest.approx(heard["swapped_sound"] - heard["own_sound"], abs=1e-6)
    assert heard["follows"]["interval"][0] > 0
    assert memory["own_sound"] > 0.5 > 0.2 > memory["swapped_sound"]
    assert memory["follows"]["interval"][1] < 0
    assert deaf["follows"]["interval"][0] < 0 < deaf["follows"]["interval"][1]


def test_without_two_towers_nothing_is_said_of_the_association(told: dict[str, dict]):
    assert told["listens"]["swapped"]["sga_auc"]["swapped_sound"] is None


def rest(points: np.ndarray, syllables: np.ndarray | list[float]) -> float | None:
    """How much the truth moves where nobody speaks, as it is told beside a system that never moves."""
    n = len(points)
    clip = motion.clip(points, sound=bench_release.speech(n, syllables))
    frozen = {kind: np.repeat(clip.keypoints_px[:1], frames_of(kind, n), axis=0) for kind in SPEED}
    found = values([measured(clip, sounds(clip, clip), clip.keypoints_px, frozen, kit=None)])["silent"]
    assert (found["value"], found["interval"]) == (0, None)
    return found["truth_at_rest"]


def test_the_truth_at_rest_is_what_moves_far_from_all_syllables():
    spoken = [1.0, 1.6, 2.2, 2.8]
    assert rest(beats(250, spoken), spoken) == 0
    drifting = motion.still(250) + 0.2 * np.arange(250)[:, None, None]
    assert rest(drifting, spoken) == pytest.approx(1, rel=1e-3)
    assert rest(beats(250, spoken), np.arange(0.1, 9.8, 0.4)) is None  # somebody always speaks


# ---- in a submission


def submit(folder: Path, reader: ReleaseReader, system: System, *, counterfactual: bool = True) -> Path:
    init.write_template(folder, of_run(reader.folders.root, "small"), split="test", track="A")
    other = partners(reader.clips("test"))
    for entry in reader.clips("test"):
        clip = reader.read(entry)
        given = {f"predictions/{clip.clip_id}/seed0.npz": (clip.sound, len(clip))}
        if counterfactual:
            made = sounds(clip, reader.read(other[clip.clip_id]))
            given |= {path_of(clip.clip_id, kind): (sound, frames_of(kind, len(clip))) for kind, sound in made.items()}
        for path, (sound, n) in given.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            np.savez(folder / path, keypoints=system(clip, sound, n).astype(np.float32))
    film_kit.described(folder, name="Listener")
    return folder


@pytest.fixture(scope="module")
def submission(reader: ReleaseReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return submit(tmp_path_factory.mktemp("submission") / "a", reader, listens)


def rules(folder: Path, reader: ReleaseReader) -> set[str]:
    report = validate.check(folder, known=of_run(reader.folders.root, "small"))
    return {finding.rule for finding in report.findings} - {"few_seeds", "bones_vary"}


def test_a_submission_with_all_of_them_is_good_and_without_any_too(
    submission: Path, reader: ReleaseReader, small_kit: Kit, tmp_path: Path
):
    assert rules(submission, reader) == set()
    bare = submit(tmp_path / "bare", reader, listens, counterfactual=False)
    assert rules(bare, reader) == set()
    place = Place(folders=reader.folders, split="test", kit=small_kit)
    found = judge(bare, place)
    assert found["values"] is None
    assert "not submitted" in found["why_not"]


def test_a_submission_is_judged_by_its_files(submission: Path, reader: ReleaseReader, small_kit: Kit):
    place = Place(folders=reader.folders, split="test", kit=small_kit)
    with one_thread():
        found = judge(submission, place)
    assert found["why_not"] is None
    assert found["values"]["silent"]["value"] == 0
    swapped = found["values"]["swapped"]
    assert swapped["ba_kappa"]["swapped_sound"] > 0.5 > 0.2 > swapped["ba_kappa"]["own_sound"]
    assert 0 <= swapped["sga_auc"]["swapped_sound"] <= 1
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("harm", "rule"), [
    (lambda path: path.unlink(), "counterfactual_missing"),
    (lambda path: np.savez(path, keypoints=np.zeros((N, 133, 2), np.float32)), "frame_count"),
    (lambda path: np.savez(path, keypoints=np.zeros((375, 133, 2))), "wrong_dtype"),
    (lambda path: path.rename(path.with_name("backwards.npz")), "unknown_file"),
    (lambda path: path.parent.rename(path.parent.with_name("zoe.0")), "counterfactual_clip"),
])  # fmt: skip
def test_what_is_wrong_with_them_is_told(
    reader: ReleaseReader, tmp_path: Path, harm: Callable[[Path], object], rule: str
):
    folder = submit(tmp_path / "a", reader, listens)
    assert frames_of("slowed", N) == 375
    harm(folder / path_of("cid.0", "slowed"))
    assert rule in rules(folder, reader)


def test_a_file_that_changed_since_it_was_validated_is_refused(reader: ReleaseReader, small_kit: Kit, tmp_path: Path):
    folder = submit(tmp_path / "a", reader, listens)
    (folder / path_of("cid.0", "silent")).write_bytes(b"")
    with pytest.raises(UserError, match=r"cid\.0/silent\.npz: npz_damaged"):
        judge(folder, Place(folders=reader.folders, split="test", kit=small_kit))


def test_films_have_no_counterfactual_part(tmp_path: Path):
    films = film_kit.write(tmp_path)
    folder = film_kit.submit(tmp_path / "b", films, lambda pictures, seed: pictures)
    path = folder / path_of("cid.0", "silent")
    path.parent.mkdir(parents=True)
    np.savez(path, keypoints=np.zeros((film_kit.FRAMES, 133, 2), np.float32))
    film_kit.described(folder, name="Painter")
    report = validate.check(folder, known=of_run(tmp_path, film_kit.RUN))
    assert {finding.rule for finding in report.findings} == {"few_seeds", "other_track"}
