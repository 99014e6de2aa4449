"""Two scores against each other, and the page of a score written again, by the command line too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from csg405.benchmark import statistics
from csg405.benchmark.clip import Clip
from csg405.benchmark.metrics import ba_kappa
from csg405.benchmark.perturb import jittered, shifted, smoothed
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring import rows
from csg405.benchmark.scoring.compare import Compared, compare
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import score
from csg405.benchmark.submission import init
from csg405.benchmark.submission.clips import of_run
from csg405.cli import app
from csg405.errors import UserError
from tests import bench_film_release as film_kit
from tests import bench_release

SPEAKERS = {"ann": "train", "bea": "train"} | dict.fromkeys(("cid", "dan", "eva", "fay", "gus", "hal"), "test")

Change = Callable[[Clip, np.random.Generator], np.ndarray]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    held = bench_release.clips(SPEAKERS, count=2)
    return bench_release.write(tmp_path_factory.mktemp("release"), held)


@pytest.fixture(scope="module")
def place(reader: ReleaseReader) -> Place:
    small = bench_release.train(reader, reader.folders.work / "benchmark" / "kit")
    return Place(folders=reader.folders, split="test", kit=small)


def near(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    return jittered(clip, 1.0, rng)


def late(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    return shifted(clip, 8, rng)


def slack(clip: Clip, rng: np.random.Generator) -> np.ndarray:
    return smoothed(clip, 4.0, rng)


@pytest.fixture(scope="module")
def scores(place: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, reader = tmp_path_factory.mktemp("submissions"), place.reader
    found = {}
    for change in (near, late, slack):
        folder = root / change.__name__
        init.write_template(folder, of_run(reader.folders.root, "small"), split="test", track="A")
        for number, clip in enumerate(reader.iterate(place.entries)):
            path = folder / "predictions" / clip.clip_id / "seed0.npz"
            path.parent.mkdir()
            np.savez(path, keypoints=change(clip, np.random.default_rng(number)).astype(np.float32))
        film_kit.described(folder, name=change.__name__)
        found[change.__name__] = score(folder, place, bench_release.Here(), with_towers=False).folder
    return found


def by_name(found: tuple[Compared, ...]) -> dict[str, Compared]:
    return {row.metric: row for row in found}


def test_every_metric_that_ranks_is_compared(scores: dict[str, Path]):
    found = compare(scores["near"], scores["late"])
    told = json.loads((scores["near"] / "results.json").read_text())["metrics"]
    ranking = {name for name, row in told.items() if row["ranks"]}
    assert {row.metric for row in found.rows} == ranking
    assert (found.first, found.second) == ("near 1", "late 1")
    for row in found.rows:
        assert (row.difference is None) == (row.why_not is not None)
        if row.p is not None:
            assert row.p <= row.p_holm <= 1
            assert row.difference == pytest.approx(row.first - row.second, abs=1e-7)


def test_a_value_of_sets_is_that_of_the_statistics(scores: dict[str, Path], place: Place):
    row = by_name(compare(scores["near"], scores["late"]).rows)["ba_kappa"]
    held = {
        name: rows.read(sorted((scores[name] / "rows").glob("*.parquet")), "submission") for name in ("near", "late")
    }
    files = sorted(place.rows("controls", with_towers=False).glob("part-*.parquet"))
    interval, p = statistics.set_comparison(
        ba_kappa, held["near"]["ba_kappa"], held["late"]["ba_kappa"], rows.read(files, "truth")["ba_kappa"],
        cluster_of=place.cluster_of, name="ba_kappa",
    )  # fmt: skip
    assert (row.difference, row.p) == (pytest.approx(interval.value, rel=1e-6), pytest.approx(p, rel=1e-6))
    assert row.interval == (pytest.approx(interval.low, rel=1e-6), pytest.approx(interval.high, rel=1e-6))


def test_a_value_of_clips_needs_nothing_but_the_clips(scores: dict[str, Path], place: Place, tmp_path: Path):
    moved = []
    for name in ("near", "slack"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("results.json", "per_clip.parquet"):
            shutil.copy(scores[name] / file, folder / file)
        held = json.loads((folder / "results.json").read_text())
        for other in held["metrics"].values():
            other["ranks"] = False
        for ranking in ("coverage", "ba_kappa"):
            held["metrics"][ranking]["ranks"] = True
        (folder / "results.json").write_text(json.dumps(held))
        moved.append(folder)
    found = by_name(compare(*moved).rows)
    assert "rows would have to be at hand" in found["ba_kappa"].why_not
    values = [
        pd.read_parquet(folder / "per_clip.parquet").set_index("clip_id")["coverage"].dropna() for folder in moved
    ]
    p = statistics.sign_flip_test(*(dict(held) for held in values), cluster_of=place.cluster_of)
    row = found["coverage"]
    assert row.p == row.p_holm == pytest.approx(p)
    assert row.difference == pytest.approx((values[0] - values[1]).mean(), rel=1e-6)
    assert row.interval[0] <= row.difference <= row.interval[1]


def test_the_better_one_is_named_only_beyond_chance(scores: dict[str, Path]):
    found = by_name(compare(scores["near"], scores["late"]).rows)["ba_kappa"]
    assert found.first > found.second
    assert found.better == ("first" if found.p_holm <= 0.05 else "neither")
    turned = by_name(compare(scores["late"], scores["near"]).rows)["ba_kappa"]
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.p == found.p
    same = by_name(compare(scores["near"], scores["near"]).rows)["ba_kappa"]
    assert (same.difference, same.p, same.better) == (0, 1, "neither")


def test_scores_with_other_ids_are_refused(scores: dict[str, Path], tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(scores["late"], other)
    held = json.loads((other / "results.json").read_text())
    (other / "results.json").write_text(json.dumps(held | {"score_id": "0" * 16}))
    with pytest.raises(UserError, match="they saw other data"):
        compare(scores["near"], other)


def test_rows_of_another_score_are_not_taken_for_its_own(scores: dict[str, Path], place: Place, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(scores["late"], other)
    shutil.rmtree(other / "rows")
    shutil.copytree(scores["slack"] / "rows", other / "rows")
    found = by_name(compare(scores["near"], other, home=place.home).rows)["ba_kappa"]
    assert "not those that the scores were computed from" in found.why_not


def test_rows_that_cannot_be_read_are_told(scores: dict[str, Path], tmp_path: Path, place: Place):
    other = tmp_path / "other"
    shutil.copytree(scores["late"], other)
    for part in (other / "rows").iterdir():
        part.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="rows cannot be read"):
        compare(scores["near"], other, home=place.home)


def test_the_commands(scores: dict[str, Path], place: Place, monkeypatch):
    monkeypatch.chdir(place.folders.root)
    two = [str(scores["near"]), str(scores["late"])]
    ran = CliRunner().invoke(app, ["submission", "compare", *two])
    assert ran.exit_code == 0, ran.output
    assert "ba_kappa" in ran.output
    assert "near 1 against late 1" in ran.output
    ran = CliRunner().invoke(app, ["submission", "compare", *two, "--run", "small", "--json"])
    told = json.loads(ran.output)
    assert told["score_id"] == json.loads((scores["near"] / "results.json").read_text())["score_id"]
    assert {"metric", "difference", "interval", "p", "p_holm", "better"} <= told["rows"][0].keys()
    (scores["near"] / "report" / "index.html").unlink()
    ran = CliRunner().invoke(app, ["submission", "report", str(scores["near"])])
    assert ran.exit_code == 0, ran.output
    assert (scores["near"] / "report" / "index.html").is_file()


def test_a_score_that_lies_in_no_run_asks_for_it(scores: dict[str, Path], tmp_path: Path):
    shutil.copytree(scores["near"], tmp_path / "alone")
    ran = CliRunner().invoke(app, ["submission", "report", str(tmp_path / "alone")])
    assert isinstance(ran.exception, UserError)
    assert "say which by --run RUN" in str(ran.exception)
