"""Good submissions, how they are made and sealed, the workers that read them, and the test for copies."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from csg405 import table
from csg405.benchmark.submission import archive, clips, copies, decoder, findings, init, layout, lists, schema, video
from csg405.benchmark.submission.arrays import read
from csg405.benchmark.submission.clips import ClipList
from csg405.cli import app
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Release
from tests import submission_kit as kit
from tests.submission_kit import ONE, TWO, change, npz, place

ROOT = Path(__file__).parents[1]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return kit.write(tmp_path / "submission")


def rules(path: Path, *, known: ClipList | None = kit.CLIPS) -> list[str]:
    return [finding.rule for finding in kit.checked(path, known=known).findings]


@pytest.mark.parametrize("track", ["A", "B", "C"])
@pytest.mark.parametrize("packed", ["", "zip", "gztar"])
def test_a_good_submission_passes_as_a_folder_and_packed(tmp_path: Path, track: str, packed: str) -> None:
    path = kit.write(tmp_path / "submission", track=track)
    if packed:
        path = Path(shutil.make_archive(str(tmp_path / "packed"), packed, tmp_path, "submission"))
    report = kit.checked(path)
    assert (report.ok, [finding.rule for finding in report.findings]) == (True, ["few_seeds"])
    assert [(file.clip, file.seed) for file in report.predictions] == [
        (clip, seed) for clip in sorted(kit.N_FRAMES) for seed in range(kit.SEEDS)
    ]
    assert report.submission is not None
    assert (report.submission.system.name, report.submission.track) == ("Wavers", track)
    assert list((tmp_path / "work").glob("*") if packed else []) == []


def test_five_seeds_and_no_more_warnings(good: Path) -> None:
    for clip in kit.N_FRAMES:
        for seed in range(kit.SEEDS, 5):
            shutil.copy(place(good, clip), place(good, clip, seed=seed))
    change(good, lambda v: v["inference"].update(seeds=5))
    kit.sealed(good)
    assert rules(good) == []


def test_what_is_read_is_what_was_written(good: Path) -> None:
    file = layout.File(path=f"predictions/{ONE}/seed1.npz", clip=ONE, seed=1, kind="npz")
    motion, found = read((good / file.path).read_bytes(), file, kit.CLIPS.clips[0], may_freeze=False)
    assert found == []
    assert motion is not None
    assert motion.score is not None
    np.testing.assert_array_equal(motion.keypoints_px, kit.motion(30, seed=1))
    assert (motion.keypoints_px.dtype, motion.score.shape) == (np.float32, (30, 133))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numpys_files_are_read_with_or_without_scores(good: Path, save) -> None:
    save(place(good), keypoints=kit.motion(30))
    kit.sealed(good)
    assert rules(good) == ["few_seeds"]


def test_frozen_motion_is_allowed_where_it_is_declared(good: Path) -> None:
    still = np.repeat(kit.motion(1), 30, axis=0)
    place(good).write_bytes(npz(keypoints=still))
    kit.sealed(good)
    assert "frozen" in rules(good)
    change(good, lambda v: v.update(frozen_declared=True))
    kit.sealed(good)
    assert rules(good) == ["few_seeds"]


def test_bones_that_stretch_and_videos_of_validation_are_told_and_not_refused(good: Path) -> None:
    points = np.random.default_rng(4).uniform(0, 500, (30, 133, 2)).astype(np.float32)
    place(good).write_bytes(npz(keypoints=points))
    lists.write_training_ids(good, ["site.val"])
    kit.sealed(good)
    report = kit.checked(good)
    assert report.ok
    assert [finding.rule for finding in report.findings] == ["few_seeds", "bones_vary", "trained_on_validation"]


def test_the_split_that_is_predicted_must_not_be_trained_on(good: Path) -> None:
    shutil.rmtree(good / layout.PREDICTIONS)
    for seed in range(kit.SEEDS):
        path = place(good, "site.val_0_1000_p0", seed=seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(npz(keypoints=kit.motion(25)))
    change(good, lambda v: v.update(split="validation"))
    kit.sealed(good)
    assert rules(good) == ["few_seeds"]
    lists.write_training_ids(good, ["site.val"])
    kit.sealed(good)
    assert rules(good) == ["few_seeds", "trained_on_test"]


def test_a_split_without_clips_is_no_split(good: Path) -> None:
    without = ClipList(tuple(clip for clip in kit.CLIPS.clips if clip.split != "test"))
    assert {"unknown_split", "extra_clip"} <= set(rules(good, known=without))


def test_without_another_list_its_own_serves_and_that_is_told(good: Path) -> None:
    assert "clip_list" in rules(good, known=None)
    (good / layout.CLIPS).write_text(clips.text_of(kit.CLIPS))
    kit.sealed(good)
    report = kit.checked(good, known=None)
    assert report.ok
    assert [finding.rule for finding in report.findings] == ["own_clip_list", "few_seeds"]


def test_times_in_milliseconds_are_a_constant_rate() -> None:
    wanted = kit.CLIPS.clips[0]
    file = layout.File(path="a", clip=ONE, seed=0, kind="mp4")
    facts = decoder.Facts(streams={"video": 1, "audio": 1}, codec="h264", pixels="yuv420p", width=512, height=512,
                          n_frames=30, times_s=[round(number / 25, 3) for number in range(30)])  # fmt: skip
    assert list(video.judge(facts, file, wanted, may_freeze=False)) == []
    facts.times_s[20] += 0.002
    assert [finding.rule for finding in video.judge(facts, file, wanted, may_freeze=False)] == ["variable_rate"]


def test_the_decoder_counts_and_times_frames(tmp_path: Path) -> None:
    kit.film(tmp_path / "a.mp4", 12)
    facts = decoder.facts_of(tmp_path / "a.mp4", most_frames=20)
    assert (facts.error, facts.streams, facts.codec, facts.pixels) == (None, {"video": 1}, "h264", "yuv420p")
    assert (facts.width, facts.height, facts.n_frames, facts.still) == (512, 512, 12, 0)
    np.testing.assert_allclose(np.diff(facts.times_s), 0.04, atol=1e-9)
    assert decoder.facts_of(tmp_path / "a.mp4", most_frames=5).n_frames == 6


def test_a_decoder_that_dies_is_a_finding_and_the_next_film_has_a_new_one(tmp_path: Path) -> None:
    kit.film(tmp_path / "a.mp4", 5)
    worker = video._Decoder(30)
    try:
        assert not isinstance(worker.ask(tmp_path / "a.mp4", most_frames=9), str)
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGSEGV)
        died = worker.ask(tmp_path / "a.mp4", most_frames=9)
        assert died == "signal SIGSEGV"
        file = layout.File(path="a.mp4", clip=ONE, seed=0, kind="mp4")
        (finding,) = video.judge(died, file, kit.CLIPS.clips[0], may_freeze=False)
        assert (finding.rule, finding.clip) == ("decoder_crashed", ONE)
        assert "SIGSEGV" in finding.message
        again = worker.ask(tmp_path / "a.mp4", most_frames=9)
        assert not isinstance(again, str)
        assert again.n_frames == 5
    finally:
        worker.stop()


def test_workers_have_a_deadline(good: Path, tmp_path: Path) -> None:
    kit.film(tmp_path / "a.mp4", 5)
    file = layout.File(path="a.mp4", clip=ONE, seed=0, kind="mp4")
    jobs = [(file, kit.CLIPS.clips[0])]
    (finding,) = video.check(tmp_path, jobs, may_freeze=False, workers=1, deadline_s=0.01)
    assert (finding.rule, finding.where) == ("decoder_deadline", "a.mp4")
    path = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", good))
    (tmp_path / "out").mkdir()
    (finding,) = archive.unpack_confined(path, tmp_path / "out", deadline_s=0.01)
    assert (finding.rule, finding.where) == ("archive_crashed", "packed.zip")


def python(code: str, *, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_worker_has_little_memory_writes_no_large_file_and_leaves_no_core(tmp_path: Path) -> None:
    said = python(
        "import resource\n"
        "from csg405.benchmark.submission import confined\n"
        "confined.limit(file_bytes=1000); confined.limit_cpu(1)\n"
        "try:\n    bytes(3 << 30)\nexcept MemoryError:\n    print('memory')\n"
        "try:\n    open('large', 'wb', buffering=0).write(bytes(2000)); open('large', 'ab', buffering=0).write(b'1')\n"
        "except OSError as error:\n    print(error.errno)\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[1])",
        folder=tmp_path,
    )
    assert said.splitlines() == ["memory", "27", "0"]
    assert (tmp_path / "large").stat().st_size == 1000


def test_a_worker_is_ended_when_it_computes_for_too_long(tmp_path: Path) -> None:
    code = "from csg405.benchmark.submission import confined\nconfined.limit_cpu(0)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=False, timeout=60)
    assert done.returncode == -signal.SIGXCPU


def test_modules_that_lie_in_a_submission_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kit.write(tmp_path / "submission", track="B")
    marker = tmp_path / "ran"
    for name in ("av", "numpy", "json", "csg405", "yaml", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\nraise SystemExit\n")
    kit.sealed(folder)
    monkeypatch.chdir(folder)
    assert set(rules(folder)) == {"unknown_file", "few_seeds"}
    assert not marker.exists()


def test_neither_torch_nor_the_truth_is_needed(tmp_path: Path) -> None:
    said = python(
        "import sys\nfrom csg405.benchmark.submission import copies, init, validate\n"
        "print(sorted({'torch', 'transformers', 'librosa', 'sklearn'} & set(sys.modules)))",
        folder=tmp_path,
    )
    assert said == "[]"


def test_the_published_schema_is_the_models() -> None:
    path = ROOT / "manifests" / "schema" / "submission.json"
    assert path.read_text() == schema.published(), "write csg405.benchmark.submission.schema.published() there"
    published = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(kit.values(), published)
    for wrong in ({"track": "D"}, {"declared_use_of_test": True}, {"colour": 1}, {"schema_version": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**kit.values(), **wrong}, published)


def test_every_rule_is_in_the_docs() -> None:
    assert findings.rules_page() in (ROOT / "docs" / "submission.md").read_text()


def release_row(clip: clips.Wanted) -> Release:
    return Release(
        clip_id=clip.clip_id, video_id=clip.video_id, split=clip.split, path=None, audio_path=None, shard="s",
        n_frames=clip.n_frames, n_samples=640 * clip.n_frames, start_ms=0, end_ms=1, source="s", title=None,
        channel=None, licence=None, source_width=1, source_height=1, crop_x_px=0, crop_y_px=0, crop_side_px=1,
        size_px=clip.size_px, review=[], sha256=None,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run `mine`, whose release is the kit's."""
    folder = Folders(tmp_path, "mine").table(Release)
    table.write_part(table.part_path(folder, "00000"), Release, [release_row(clip) for clip in kit.CLIPS.clips])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["submission", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_from_nothing_to_a_sealed_submission_by_command(run: Path) -> None:
    assert command("init", "mine", "--run", "mine", "--split", "test", "--track", "A") == (
        0, "mine: 3 clips of test to predict; fill in submission.yaml and REPORT.md, then seal it\n",
    )  # fmt: skip
    folder = run / "mine"
    code, said = command("validate", "mine", "--run", "mine", "--json")
    told = {finding["rule"] for finding in json.loads(said)["findings"]}
    assert (code, told) == (2, {"system_unnamed", "schema", "missing_clip", "missing_file", "few_seeds"})
    listed = clips.from_file(folder / layout.CLIPS)
    assert {clip.split for clip in listed.clips} == {"test", "validation"}
    change(folder, lambda v: (v["system"].update(name="Wavers"), v.update(contact="a@b.org"),
                              v["inference"].update(seeds=2)))  # fmt: skip
    for clip, wanted in listed.of("test").items():
        for seed in range(2):
            path = place(folder, clip, seed=seed)
            path.parent.mkdir() if seed == 0 else None
            path.write_bytes(npz(keypoints=kit.motion(wanted.n_frames)))
    (run / "ids.txt").write_text("site.b\n\nsite.a\nsite.a\n")
    assert command("seal", "mine", "--training-ids", "ids.txt") == (0, "mine: 10 files sealed\n")
    for source in (["--run", "mine"], ["--clips", "mine/clips.json"], []):
        code, said = command("validate", "mine", *source)
        assert (code, "mine may be scored: 0 errors" in said, "few_seeds" in said) == (0, True, True)
    ids = gzip.decompress((folder / layout.TRAINING_IDS).read_bytes()).decode().split()
    assert ids == sorted(map(clips.video_hash, ["site.a", "site.b"]))


def test_the_table_names_what_is_wrong_and_shows_markup_as_text(run: Path, good: Path) -> None:
    (good / "[bold]evil[").write_text("x")
    place(good).write_bytes(b"no")
    for number in range(9):
        (good / f"more{number}").touch()
    kit.sealed(good)
    code, said = command("validate", str(good), "--run", "mine")
    assert code == 2
    assert all(word in said for word in ("[bold]evil[", "npz_damaged", "is refused: 11 errors"))
    assert "unknown_file: a file that the format does not know; remove it (5 more; --json prints all)" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("validate", "nothing", "--run", "mine"), "nothing: there is no such folder or archive"),
        (("validate", "mine", "--run", "yours"), "no release in"),
        (("validate", "mine", "--clips", "no.json"), "no.json: there is no such file"),
        (("validate", "mine", "--clips", "bad.json"), "bad.json: clips.json is no list of clips"),
        (("validate", "mine", "--clips", "bad.json", "--run", "mine"), "give one of them"),
        (("init", "new"), "which clips?"),
        (("init", "new", "--run", "mine", "--track", "D"), "track 'D': there are A, B, C"),
        (("init", "new", "--run", "mine", "--split", "dev"), "split 'dev': the release has no clips"),
        (("init", "manifests", "--run", "mine"), "manifests: holds something already"),
        (("seal", "nothing"), "nothing: there is no such folder"),
        (("seal", "manifests"), "no training_ids.txt.gz; give --training-ids"),
        (("seal", "manifests", "--training-ids", "no.txt"), "no.txt: there is no such file"),
        (("seal", "manifests", "--training-ids", "ids.txt"), "manifests cannot be sealed"),
    ],
)
def test_what_the_user_can_mend_is_said(run: Path, words: tuple[str, ...], says: str) -> None:
    (run / "bad.json").write_text("{}")
    (run / "ids.txt").write_text("")
    with pytest.raises(UserError, match=says.replace("?", r"\?")):
        command(*words)


def test_the_template_is_good_but_for_what_must_be_filled_in(tmp_path: Path) -> None:
    init.write_template(tmp_path / "new", kit.CLIPS, split="validation", track="C")
    content = (tmp_path / "new" / schema.FILE).read_bytes()
    submission, found = schema.parse(content)
    assert submission is None
    assert sorted(finding.rule for finding in found) == ["schema", "system_unnamed"]
    held = yaml.safe_load(content)
    held["system"]["name"], held["contact"] = "a", "a@b"
    submission, found = schema.parse(yaml.safe_dump(held).encode())
    assert (found, submission is not None) == ([], True)
    assert submission == submission.model_copy(update={"split": "validation", "track": "C"})


def test_dates_are_texts(good: Path) -> None:
    content = (good / schema.FILE).read_text().replace("version: '1'", "version: 2026-13-45")
    submission, _ = schema.parse(content.encode())
    assert submission is not None
    assert submission.system.version == "2026-13-45"


def walk(n_frames: int, *, seed: int) -> np.ndarray:
    """[n, 133, 2] a motion of its own, in shoulder widths from the neck."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 1, (n_frames + 20, 133, 2))
    smooth = np.stack([np.convolve(column, np.hanning(21), "valid") for column in steps.reshape(len(steps), -1).T], 1)
    return (0.15 * smooth[:n_frames].reshape(n_frames, 133, 2)).astype(np.float32)


TRAIN = [(f"train{number}", walk(200, seed=number)) for number in range(12)]
TRUTH = {f"test{number}": walk(150, seed=100 + number) for number in range(4)}


def judged(motion: np.ndarray) -> list[findings.Finding]:
    """Findings where one clip's prediction is this, and the others' are their own."""
    honest = {clip: walk(150, seed=200 + number) for number, clip in enumerate(TRUTH)}
    return copies.judge(copies.nearest({**honest, "test0": motion}, TRUTH, TRAIN))


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_a_copy_of_a_training_clip_is_found_from_any_frame_on(noise: float) -> None:
    motion = TRAIN[7][1][13:163] + np.random.default_rng(1).normal(0, noise, (150, 133, 2)).astype(np.float32)
    (finding,) = judged(motion)
    assert (finding.rule, finding.clip) == ("copied_from_train", "test0")
    assert "5 of 5 windows" in finding.seen
    assert "train7" in finding.seen


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_truth_itself_is_found(noise: float) -> None:
    motion = TRUTH["test0"] + np.random.default_rng(1).normal(0, noise, (150, 133, 2)).astype(np.float32)
    (finding,) = judged(motion)
    assert (finding.rule, finding.clip) == ("equals_truth", "test0")


def test_other_motion_is_no_copy_nor_is_another_clips_truth_nor_rest() -> None:
    assert judged(walk(150, seed=77)) == []
    assert judged(TRUTH["test1"]) == []
    assert judged(np.repeat(TRAIN[0][1][:1], 150, axis=0)) == []
    assert judged(TRUTH["test0"][:30]) == [], "shorter than a window"


def test_a_copy_counts_from_half_of_the_windows_on() -> None:
    piece, fresh = TRAIN[2][1][:175], walk(175, seed=78)
    truth = {"a": walk(350, seed=79), "b": walk(350, seed=80)}
    near = copies.nearest({"a": np.concatenate([piece, fresh]), "b": np.concatenate([piece, piece])}, truth, TRAIN)
    assert [(near[clip].from_train, near[clip].windows) for clip in "ab"] == [(6, 13), (12, 13)]
    assert [(finding.rule, finding.clip) for finding in copies.judge(near)] == [("copied_from_train", "b")]


def test_distances_are_root_mean_squares_of_points() -> None:
    """Two motions that lie 3 and 4 apart in x and y are 5 apart."""
    apart = copies.nearest(
        {"a": walk(50, seed=5) + np.array([3, 4], np.float32)}, {"a": walk(50, seed=5)}, [("t", walk(50, seed=5))]
    )["a"]
    assert (apart.to_train, apart.to_truth) == (pytest.approx(5, rel=1e-5), pytest.approx(5, rel=1e-5))
    with pytest.raises(ValueError, match="b: no truth"):
        copies.nearest({"b": TRUTH["test0"]}, TRUTH, [])


def test_without_training_clips_nothing_is_judged() -> None:
    assert copies.judge(copies.nearest({"test0": TRUTH["test0"]}, TRUTH, [])) == []


def test_nothing_but_plain_files_is_sealed(good: Path) -> None:
    (good / "link").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"(?s)cannot be sealed.*link: a symbolic link: saw a link to /etc/passwd"):
        lists.write_checksums(good)


def test_checksums_are_what_sha256sum_checks(good: Path) -> None:
    assert lists.write_checksums(good) == 3 + len(kit.N_FRAMES) * kit.SEEDS
    done = subprocess.run(["sha256sum", "--check", "--strict", layout.CHECKSUMS], cwd=good, capture_output=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert TWO.encode() in done.stdout
