"""Scoring tracks B and C: rows of films, controls, results, what is missing, and who decodes what was submitted."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from csg405 import media, table
from csg405.benchmark.kit import Kit
from csg405.benchmark.metric import compute
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring import film_measure, results, rows
from csg405.benchmark.scoring.film import EndToEnd, video_modules
from csg405.benchmark.scoring.film_measure import FilmGroup, filled, measure_films
from csg405.benchmark.scoring.film_systems import (
    CONTROLS,
    FilmContext,
    FilmControl,
    ReleasedFilms,
    SubmittedFilms,
    others,
)
from csg405.benchmark.scoring.measure import Split
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import score
from csg405.benchmark.submission import confined, frames
from csg405.benchmark.video_networks import VideoSettings
from csg405.benchmark.video_pose import Estimated
from csg405.errors import UserError
from tests import bench_film_release as kit
from tests import bench_release, submission_kit
from tests import bench_video_kit as video_kit


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    return kit.write(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def small_kit(reader: ReleaseReader) -> Kit:
    return bench_release.train(reader, reader.folders.work / "benchmark" / "kit")


@pytest.fixture(scope="module")
def place(reader: ReleaseReader, small_kit: Kit) -> Place:
    return Place(folders=reader.folders, split="test", kit=small_kit)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> VideoSettings:
    """A network of six features for FID and KID."""
    folder = tmp_path_factory.mktemp("networks")
    return video_kit.networks(folder, inception=video_kit.Colours(), lpips=video_kit.Apart()).settings


def blurred(frames: np.ndarray, seed: int) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 3 + seed) for frame in frames])


def darker(frames: np.ndarray, seed: int) -> np.ndarray:
    return (frames * 0.8).astype(np.uint8)


@pytest.fixture(scope="module")
def scored(place: Place, reader: ReleaseReader, settings: VideoSettings, tmp_path_factory: pytest.TempPathFactory):
    folder = kit.submit(tmp_path_factory.mktemp("submission") / "b", reader, blurred, seeds=2)
    engine = bench_release.Here()
    return score(folder, place, engine, with_towers=False, video=settings), folder, engine


# ---- a score


def test_a_submission_of_films_is_scored_like_any_other(scored, place: Place):
    found = scored[0]
    held = json.loads((found.folder / "results.json").read_text())
    assert held == found.results
    assert held["submission"]["track"] == "B"
    assert (held["clips"], held["speakers"]) == (6, 6)
    assert held["score_id"] == results.score_id(held["digests"])
    assert list(held["controls"]) == ["truth", "copy_reference", "other_clip", "blurred"]
    for name in ("psnr", "ssim", "lpips", "fid", "kid"):
        assert held["metrics"][name]["value"] is not None
        assert held["metrics"][name]["why_not"] is None
    assert held["counterfactual"]["values"] is None
    assert (found.folder / "report" / "index.html").is_file()


def test_the_values_are_those_of_the_films(scored, reader: ReleaseReader):
    found, folder, _ = scored
    clip = reader.clips("test")[0]
    of_seeds = []
    true = list(media.frames(ReleasedFilms(reader.folders).of(clip.clip_id).path))
    for seed in range(2):
        own = list(media.frames(folder / "predictions" / clip.clip_id / f"seed{seed}.mp4"))
        errors = [
            np.square(a.rgb().astype(float) - b.rgb()).mean() for (_, a), (_, b) in zip(own, true, strict=True)
        ]  # fmt: skip
        of_seeds.append(np.mean([10 * np.log10(255**2 / error) for error in errors]))
    values = pd.read_parquet(found.folder / "per_clip.parquet").set_index("clip_id")
    assert values.loc[clip.clip_id, "psnr"] == pytest.approx(np.mean(of_seeds), rel=1e-6)
    told = found.results["metrics"]["psnr"]
    assert told["value"] == pytest.approx(values["psnr"].mean(), rel=1e-6)
    assert told["interval"][0] < told["value"] < told["interval"][1]
    assert told["between_seeds"] > 0


def test_the_truth_is_best_and_chance_is_the_better_of_what_knows_nothing(scored):
    metrics, held = scored[0].results["metrics"], scored[0].results["controls"]
    assert held["truth"]["psnr"] == pytest.approx(10 * np.log10(255**2 * 12), rel=1e-6)
    assert held["truth"]["kid"] == pytest.approx(0, abs=1e-9)
    assert held["truth"]["psnr"] > held["blurred"]["psnr"] > held["copy_reference"]["psnr"] > held["other_clip"]["psnr"]
    assert metrics["psnr"]["chance"] == held["copy_reference"]["psnr"]
    assert 0 < metrics["psnr"]["per_cent"] < 100
    assert metrics["kid"]["chance"] == min(held[name]["kid"] for name in ("copy_reference", "other_clip"))
    assert metrics["kid"]["floor"] > 0


def test_metrics_that_rank_are_compared_with_the_controls(scored):
    compared = {(row["metric"], row["against"]) for row in scored[0].results["comparisons"]}
    assert compared == {("kid", name) for name in CONTROLS}


def test_what_networks_are_missing_is_said(scored):
    metrics = scored[0].results["metrics"]
    assert "benchmark.video.i3d" in metrics["fvd"]["why_not"]
    assert "benchmark.video.pose" in metrics["pose_pck"]["why_not"]
    assert metrics["pose_pck"]["value"] is None
    end = scored[0].results["end_to_end"]
    assert (end["metrics"], "benchmark.video.pose" in end["why_not"]) == (None, True)


def test_a_second_score_measures_nothing_and_another_submission_no_controls(
    scored, place: Place, reader: ReleaseReader, settings: VideoSettings, tmp_path: Path
):
    again, engine = scored[0].results, bench_release.Here()
    found = score(scored[1], place, engine, with_towers=False, video=settings)
    assert engine.asked == []
    assert found.results == again
    other = kit.submit(tmp_path / "c", reader, darker, track="C", name="Dark")
    found = score(other, place, engine, with_towers=False, video=settings)
    assert len(engine.asked) == len(set(engine.asked)) == len(scored[2].asked) // 2
    assert found.results["score_id"] != again["score_id"]  # a track of its own
    assert found.results["metrics"]["psnr"]["value"] is None
    assert "track B" in found.results["metrics"]["psnr"]["why_not"]
    assert found.results["metrics"]["kid"]["value"] > 0


def test_other_networks_give_another_score_id(scored, place: Place):
    with pytest.raises(UserError, match="give score id"):
        score(scored[1], place, bench_release.Here(), with_towers=False, wanted_score=scored[0].results["score_id"])


def test_a_wrong_network_is_one_message_before_anything_is_measured(scored, place: Place, settings: VideoSettings):
    wrong = settings.model_copy(update={"inception": settings.inception.model_copy(update={"sha256": "0" * 64})})
    engine = bench_release.Here()
    with pytest.raises(UserError, match=r"inception: .* has sha256"):
        score(scored[1], place, engine, with_towers=False, video=wrong)
    assert engine.asked == []


def test_a_release_without_pictures_says_so(tmp_path: Path, scored):
    held = [dataclasses.replace(clip, video_id=clip.video_id) for clip in kit.clips()]
    reader = bench_release.write(tmp_path, held, run=kit.RUN)
    blank = Place(
        folders=reader.folders, split="test", kit=bench_release.train(reader, reader.folders.work / "benchmark" / "kit")
    )
    with pytest.raises(UserError, match=r"has no film of it; tracks B and C are scored on a release with pictures"):
        score(scored[1], blank, bench_release.Here(), with_towers=False)


def test_a_film_that_was_changed_is_measured_anew(place: Place, reader: ReleaseReader, tmp_path: Path):
    folder = kit.submit(tmp_path / "b", reader, darker)
    split = Split(folders=reader.folders, name="test", kit=place.kit, digest="of the split")
    group = FilmGroup(name="own", systems=(SubmittedFilms(folder, 1),), given_pose=True)
    engine = bench_release.Here()

    def measured() -> list[str]:
        engine.asked.clear()
        measure_films(split, group, tmp_path / "rows", engine, settings=VideoSettings(), with_towers=False)
        return list(engine.asked)

    assert len(measured()) == 2
    assert measured() == []
    clip_id = reader.clips("test")[0].clip_id
    media.write_film(
        folder / "predictions" / clip_id / "seed0.mp4", kit.pictures(clip_id)[::-1], None, size=(kit.SIZE, kit.SIZE)
    )
    assert len(measured()) == 1


# ---- controls


@pytest.fixture
def context(reader: ReleaseReader) -> FilmContext:
    ids = [entry.clip_id for entry in reader.clips("test")]
    return FilmContext(films=ReleasedFilms(reader.folders), other_of=dict(zip(ids, ids[1:] + ids[:1], strict=True)),
                       reader=frames.Reader())  # fmt: skip


def test_controls_are_what_they_are_called(reader: ReleaseReader, context: FilmContext):
    clip = reader.read(reader.clips("test")[0])
    partner = context.other_of[clip.clip_id]
    made = {}
    for name in CONTROLS:
        (given,) = FilmControl(name).films(clip, context)
        made[name] = np.stack(list(given.film.frames()))
        assert made[name].shape == (len(clip), kit.SIZE, kit.SIZE, 3)
        np.testing.assert_array_equal(np.stack(list(given.film.frames())), made[name])  # it can be read again
    np.testing.assert_array_equal(made["copy_reference"], np.repeat(made["truth"][:1], len(clip), axis=0))
    np.testing.assert_array_equal(made["other_clip"], np.stack(list(context.films.film(partner).frames())))
    assert (
        np.diff(made["blurred"][0].astype(float), axis=0).std() < np.diff(made["truth"][0].astype(float), axis=0).std()
    )


def test_a_shorter_clip_of_another_size_is_looped_and_scaled(reader: ReleaseReader, context: FilmContext):
    clip = reader.read(reader.clips("test")[0])
    n = len(clip) * 2 + 5
    long = dataclasses.replace(
        clip, keypoints_px=np.resize(clip.keypoints_px, (n, 133, 2)), score=np.ones((n, 133), np.float32), size_px=96
    )
    (given,) = FilmControl("other_clip").films(long, context)
    found = list(given.film.frames())
    assert {image.shape for image in found} == {(96, 96, 3)}
    np.testing.assert_array_equal(found[0], found[len(clip)])
    assert len(found) == n


def test_another_clips_film_is_one_for_training_where_there_are_any(reader: ReleaseReader, tmp_path: Path):
    films = ReleasedFilms(reader.folders)
    found = others(reader, films, split="test")
    assert found == others(reader, films, split="test")
    assert {reader.entry(clip_id).split for clip_id in found} == {"test"}
    assert {reader.entry(clip_id).split for clip_id in found.values()} == {"train"}
    bare = bench_release.write(tmp_path, kit.clips())
    found = others(bare, ReleasedFilms(bare.folders), split="test")
    assert all(bare.entry(other).split == "test" and other != clip_id for clip_id, other in found.items())


# ---- decoding what was submitted


def test_submitted_films_are_decoded_as_released_ones_are_by_a_worker_that_is_kept(tmp_path: Path):
    path = tmp_path / "a.mp4"
    submission_kit.film(path, 12, size_px=96)
    reader = frames.Reader()
    for _ in range(2):
        found = list(reader.frames(path, most_frames=12))
        true = [picture.rgb() for _, picture in media.frames(path)]
        assert len(found) == 12
        assert all(np.array_equal(a, b) for a, b in zip(found, true, strict=True))
    kept = reader._idle
    assert kept is not None
    begun = reader.frames(path, most_frames=12)
    next(begun)
    begun.close()  # nobody wants the rest: the worker goes
    assert kept.poll() is not None
    assert len(list(reader.frames(path, most_frames=5))) == 6  # one too many, so that it is told
    reader.close()


def test_the_decoder_is_limited(tmp_path: Path):
    path = tmp_path / "a.mp4"
    submission_kit.film(path, 3, size_px=96)
    reader = frames.Reader()
    list(reader.frames(path, most_frames=3))
    worker = reader._idle.pid
    limits = {kind: resource.prlimit(worker, kind)[0] for kind in (
        resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_CPU)}  # fmt: skip
    assert limits[resource.RLIMIT_CORE] == limits[resource.RLIMIT_FSIZE] == 0
    assert limits[resource.RLIMIT_AS] == confined.MEMORY_BYTES
    assert 0 < limits[resource.RLIMIT_CPU] <= 2 * frames.CPU_S
    os.kill(worker, 9)
    with pytest.raises(UserError, match=r"a\.mp4: the decoder died"):
        list(reader.frames(path, most_frames=3))
    assert len(list(reader.frames(path, most_frames=3))) == 3  # by another one
    reader.close()


@pytest.mark.parametrize(("content", "said"), [
    (b"no film", "no mp4 file"), (b"\0\0\0\x20ftypisom" + bytes(500), "cannot be decoded"),
])  # fmt: skip
def test_what_is_no_film_is_refused(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UserError, match=said):
        list(frames.Reader().frames(tmp_path / "a.mp4", most_frames=5))


def test_a_film_that_takes_too_long_is_given_up(tmp_path: Path):
    submission_kit.film(tmp_path / "a.mp4", 3, size_px=96)
    with pytest.raises(UserError, match=r"a\.mp4: not decoded within 0\.001"):
        list(frames.Reader(deadline_s=0.001).frames(tmp_path / "a.mp4", most_frames=3))


# ---- end to end


def test_frames_without_a_person_are_bridged_and_a_film_without_one_is_a_heap_in_the_middle():
    points = np.zeros((5, 133, 2), np.float32)
    points[1], points[3] = 10, 30
    there = np.array([False, True, False, True, False])
    bridged = filled(Estimated(points, np.ones((5, 133)), there), size_px=64)
    assert bridged[:, 0, 0].tolist() == [10, 10, 20, 30, 30]
    nobody = filled(Estimated(points, np.ones((5, 133)), np.zeros(5, bool)), size_px=64)
    assert (nobody == 32).all()


def test_end_to_end_values_stand_beside_those_of_the_real_film(small_kit: Kit, tmp_path: Path):
    """Nobody is on these films, real or submitted: heaps that never move, and a submission that is no worse."""
    films = kit.write(tmp_path, draw=kit.grey)
    folder = kit.submit(tmp_path / "b", films, lambda true, seed: true, draw=kit.grey)
    place = Place(folders=films.folders, split="test", kit=small_kit)
    engine = bench_release.Here()
    found = score(folder, place, engine, with_towers=False, video=VideoSettings(pose="synthetic")).results
    assert found["metrics"]["pose_missing"]["value"] == found["metrics"]["pose_missing"]["truth"] == 1
    end = found["end_to_end"]
    assert end["why_not"] is None
    still = end["metrics"]["static_frames"]
    assert (still["value"], still["real_film"], still["released"] < 0.1) == (1, 1, True)
    assert still["floor"] == pytest.approx(1 - still["released"])
    assert still["tied_with_real_film"]
    assert {row["against"] for row in end["comparisons"]} <= set(CONTROLS)
    clips = pd.read_parquet(place.of("Painter-1-track-B") / "per_clip.parquet")
    assert (clips["end_to_end.static_frames"] == 1).all()


@pytest.mark.long
def test_the_skeletons_metrics_are_taken_of_the_keypoints_that_films_show(
    tmp_path: Path, reader: ReleaseReader, small_kit: Kit
):
    """On a talker of the synthetic world: the real film comes near the release, a frozen one does not move."""
    n = 40
    clip, pictures = video_kit.person(n)
    path = tmp_path / "work" / "people" / "release" / "a.mp4"
    people = bench_release.write(tmp_path, [dataclasses.replace(clip, size_px=256)], run="people")
    media.write_film(path, pictures, None, size=(256, 256), crf=12)
    for part in table.parts(people.folders.table(bench_release.Release)):
        held = table.read_part(part, bench_release.Release)
        table.write_part(part, bench_release.Release, [dataclasses.replace(row, path="a.mp4") for row in held])
    split = Split(folders=people.folders, name="test", kit=small_kit, digest="of the split")
    systems = tuple(FilmControl(name) for name in ("truth", "copy_reference"))
    group = FilmGroup(name="controls", systems=systems, given_pose=True, with_released=True)
    files = measure_films(
        split, group, tmp_path / "rows", bench_release.Here(), settings=VideoSettings(pose="synthetic"),
        with_towers=False,
    )  # fmt: skip
    released = rows.read(files, film_measure.RELEASED)
    assert all(name.startswith(film_measure.SKELETON) for name in released)
    truth = {name.removeprefix("skeleton."): held for name, held in released.items()}
    book = EndToEnd(
        files=dict.fromkeys(("truth", "copy_reference"), files), modules=film_measure.used(with_towers=False),
        cluster_of={"talker": "talker"}, truth=truth,
    )  # fmt: skip
    real, frozen = (book.values(book.rows(name)) for name in ("truth", "copy_reference"))
    assert frozen["static_frames"] > 0.9 > 0.1 > real["static_frames"]
    of_video = {module.__name__.rpartition(".")[2]: module for module in video_modules()}
    true_rows = rows.read(files, "truth")
    values = compute(of_video["pose_fidelity"], true_rows["pose_fidelity"], true_rows["pose_fidelity"])
    assert values["pose_pck"] > 0.8
