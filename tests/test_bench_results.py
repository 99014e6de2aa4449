"""The baselines of a run, their table, and the page of results: made once, made anew where they must be, and shown."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from csg405 import config
from csg405.benchmark import baselines, metric, models
from csg405.benchmark.baselines import Bench, Done
from csg405.benchmark.config import BaselineChoice, Config
from csg405.benchmark.controls import BY_NAME, Context, made
from csg405.benchmark.kit import Kit
from csg405.benchmark.models import entry
from csg405.benchmark.pages import charts, results, results_clips, results_curves, results_tests, says
from csg405.benchmark.pages.scores import Score
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring import table
from csg405.benchmark.scoring.measure import one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.statistics import Rank, holm, sign_flip_test
from csg405.benchmark.submission import lists
from csg405.benchmark.submission.clips import video_hash
from csg405.cli import app
from csg405.errors import UserError
from csg405.lock import locked
from csg405.run import Folders
from tests import bench_release, chromium
from tests.test_bench_pages import CLIPS, clip_values, write_score
from tests.test_bench_pages import results as some_results
from tests.test_report import Page, said

SMALL = {"width": 32, "layers": 1, "heads": 2, "frames": 40, "context": 8, "steps": 2}
SETTINGS: dict[str, Any] = {
    "engine": {"workers": 1},
    "benchmark": {
        "baselines": [
            {"name": "flow-dit", "size": "tiny", "settings": SMALL},
            {"name": "mdm-ddpm", "size": None, "label": "mdm-co", "settings": {**SMALL, "feed": 32},
             "train": {"steps": 6}},
        ],
        "baseline_seeds": 2,
        "train": {"steps": 8, "batch": 4, "stride": 20, "rate": 1e-3, "warm_up": 2, "ema": 0.5, "say_every": 1,
                  "save_every": 4, "validate_every": 4, "validation_clips": 2, "samples": 0},
    },
}  # fmt: skip
TITLES = ["flow-dit-tiny", "mdm-co"]

RUN = "small"


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@dataclasses.dataclass
class World:
    """A run whose baselines were made once."""

    root: Path
    engine: bench_release.Here
    kit: Path
    done: list[Done]
    table: table.Shown
    page: Path

    @property
    def place(self) -> Place:
        return Place(folders=Folders(self.root, RUN), split="test", kit=Kit.open(self.kit))

    def bench(self, **changes: Any) -> Bench:
        """As the command makes it, with changes to the benchmark's section."""
        section = {**SETTINGS["benchmark"], **changes}
        return Bench(
            folders=Folders(self.root, RUN), config=Config.model_validate(section), kit=self.kit,
            engine=lambda: contextlib.nullcontext(self.engine),
        )  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("a run #1 & 100%")
    reader = bench_release.write(root, run=RUN)
    kit = reader.folders.work / "benchmark" / "kit"
    bench_release.train(reader, kit, bench_release.TINY.model_copy(update={"encoders": 1, "towers": False}))
    made_world = World(root, bench_release.Here(), kit, [], table.Shown((), (), kit), kit)
    made_world.done, failed = baselines.run(made_world.bench())
    assert failed == {}
    scores = {each.title: each.score for each in made_world.done}
    made_world.table = table.of_systems(made_world.place, made_world.engine, scores)
    made_world.page = results.build(made_world.place, made_world.table, made_world.done, failed={})
    return made_world


@pytest.fixture(scope="module")
def page(world: World) -> Page:
    return Page(world.page)


# ---- settings


def section(name: str, *overrides: str) -> Config:
    values = config.load(name, overrides)
    found: Config = config.validate(config.full_model(), values, where=name).benchmark  # type: ignore[attr-defined]
    return found


def test_the_demo_has_both_models_and_a_folder_none() -> None:
    assert [choice.title for choice in section("demo").baselines] == ["flow-dit-tiny", "mdm-ddpm-tiny"]
    assert section("folder").baselines == []
    assert section("folder").baseline_seeds == 3


def test_a_setting_of_a_baselines_training_is_checked() -> None:
    with pytest.raises(UserError, match=r"baselines.*train.*stepz"):
        section("folder", "benchmark.baselines=[{name: flow-dit, train: {stepz: 3}}]")
    with pytest.raises(UserError, match="label"):
        section("folder", "benchmark.baselines=[{name: flow-dit, label: ../out}]")


def test_two_baselines_of_one_title_are_refused() -> None:
    choices = [BaselineChoice(), BaselineChoice(settings={"steps": 5})]
    with pytest.raises(UserError, match=r"flow-dit-S twice; give one of them a `label`"):
        baselines.titled(choices)
    assert baselines.titled([choices[0], BaselineChoice(label="other")])


# ---- baselines


def test_baselines_are_trained_sampled_and_scored(world: World) -> None:
    home = world.place.home
    assert [each.title for each in world.done] == TITLES
    for each, steps in zip(world.done, (8, 6), strict=True):
        assert each.training == home / "models" / each.title
        assert (each.training / "model" / "model.safetensors").is_file()
        last = json.loads((each.training / "history.jsonl").read_text().splitlines()[-1])
        assert last["step"] == steps, "what a baseline says is laid over benchmark.train"
        assert len(list(each.submission.glob("predictions/*/seed*.npz"))) == 2 * 2 * bench_release.CLIPS
        assert Score.read(each.score).results.submission.system.name == each.title


def stamps(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(root.rglob("*")) if path.is_file()}


def test_what_is_fresh_is_not_made_again(world: World) -> None:
    before = stamps(world.place.home)
    world.engine.asked.clear()
    done, failed = baselines.run(world.bench())
    shown = table.of_systems(world.place, world.engine, {each.title: each.score for each in done})
    page = results.build(world.place, shown, done, failed=failed)
    assert (done, failed, page) == (world.done, {}, world.page)
    assert shown == world.table
    assert world.engine.asked == []
    assert stamps(world.place.home) == before


def test_one_seed_gives_one_model(world: World, tmp_path: Path) -> None:
    bench, choice = world.bench(), world.bench().config.baselines[0]
    settings = bench.config.train.model_copy(update={"steps": 2, "validation_clips": 0})
    found = {}
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        torch.manual_seed(len(found))
        place = baselines.learn(choice, tmp_path / name, bench, settings=settings.model_copy(update={"seed": seed}))
        found[name] = (place / "model.safetensors").read_bytes()
    assert found["one"] == found["again"] != found["other"]


def test_a_submission_holds_motions_of_one_model_sampled_in_one_way(world: World, tmp_path: Path) -> None:
    bench, model = world.bench(), world.done[0].training / "model"

    def write(source: Path, **told: Any) -> int:
        with bench.engine() as engine:
            return entry.write(
                source, tmp_path / "entry", bench.folders, engine, **{"split": "test", "seeds": 1, **told}
            )

    count = write(model)
    assert count == bench_release.CLIPS * 2
    held = (tmp_path / "entry" / "submission.yaml").read_bytes()
    assert write(model) == 0
    for source, told, message in (
        (world.done[1].training / "model", {}, "another model"), (model, {"steps": 1}, "another sampling"),
        (model, {"seeds": 2}, "another seeds"), (model, {"split": "validation"}, "another split"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            write(source, **told)
    assert (tmp_path / "entry" / "submission.yaml").read_bytes() == held


def test_a_submission_that_was_killed_is_made_whole(world: World, tmp_path: Path) -> None:
    bench, model, folder = world.bench(), world.done[0].training / "model", tmp_path / "entry"

    def predictions(folder: Path) -> list[str]:
        return [line for line in (folder / "checksums.sha256").read_text().splitlines() if "predictions/" in line]

    def write() -> int:
        with bench.engine() as engine:
            return entry.write(model, folder, bench.folders, engine, split="test", seeds=1)

    count = write()
    sealed = predictions(folder)
    first = min(folder.glob("predictions/*/*.npz"))
    first.rename(first.with_name(f".{first.name}.abc.tmp.npz"))
    (folder / ".submission.yaml.abc.tmp.yaml").touch()
    assert write() == 1
    assert predictions(folder)[1:] == sealed[1:], "what was there is as it was"
    first.write_bytes(first.read_bytes()[:100])
    assert write() == 1, "what cannot be read is made anew"
    shutil.rmtree(folder)
    (tmp_path / ".entry.begun" / "predictions").mkdir(parents=True)
    assert write() == count, "one that was killed as it was begun"
    with (
        locked(tmp_path / ".entry.lock", what="x", command="y"),
        pytest.raises(UserError, match="entry is being written"),
    ):
        write()
    folder.rename(tmp_path / "moved")
    folder = tmp_path / "moved"
    assert write() == 0


def test_what_is_not_a_submission_of_ours_is_never_touched(world: World, tmp_path: Path) -> None:
    bench, model, folder = world.bench(), world.done[0].training / "model", tmp_path / "entry"

    def write(source: Path) -> None:
        with bench.engine() as engine:
            entry.write(source, folder, bench.folders, engine, split="test", seeds=1)

    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(UserError, match="holds what this command did not make"):
            write(model)
    assert stamps(folder).keys() == {str(folder / "thesis.txt")}
    shutil.rmtree(folder)
    write(model)
    (folder / "REPORT.md").write_text("# mine\n")
    with pytest.raises(UserError, match="holds what this command did not make"):
        write(model)
    assert (folder / "REPORT.md").read_text() == "# mine\n"
    shutil.rmtree(folder)
    shutil.copytree(model, folder)
    with pytest.raises(UserError, match="holds what this command did not make"):
        write(folder)
    assert models.load(folder).name == "flow-dit"


def test_a_submission_says_what_its_model_learnt_from(world: World, tmp_path: Path) -> None:
    bench, model = world.bench(), tmp_path / "model"
    shutil.copytree(world.done[0].training / "model", model)
    own = frozenset(video_hash(row.video_id) for row in bench.place.reader.clips("train"))
    assert models.load(model).trained_on == own

    def write(name: str, hashes: frozenset[str]) -> dict[str, Any]:
        lists.write_training_hashes(model, hashes)
        with bench.engine() as engine:
            entry.write(model, tmp_path / name, bench.folders, engine, split="test", seeds=1)
        assert lists.read_training_hashes(tmp_path / name) == hashes
        return yaml.safe_load((tmp_path / name / "submission.yaml").read_text())["training"]

    assert write("own", own)["speakers_seen"] is False
    assert write("more", own | {video_hash("of another run")})["speakers_seen"] is None
    assert (
        write("test", frozenset(video_hash(row.video_id) for row in bench.place.reader.clips("test")))["speakers_seen"]
        is None
    )
    (model / "training_ids.txt.gz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"training_ids\.txt\.gz: cannot be read"):
        models.load(model)
    (model / "training_ids.txt.gz").unlink()
    with pytest.raises(UserError, match="does not say which videos it has learnt from"), bench.engine() as engine:
        entry.write(model, tmp_path / "none", bench.folders, engine, split="test", seeds=1)


@pytest.fixture
def copied(world: World, tmp_path: Path) -> World:
    """The same in another folder, to be changed."""
    root = shutil.copytree(world.root, tmp_path / "run")
    return dataclasses.replace(world, root=root, kit=root / "work" / RUN / "benchmark" / "kit")


def alone(copied: World, **changes: Any) -> Bench:
    """With the first baseline alone, and changed."""
    return copied.bench(baselines=[{**SETTINGS["benchmark"]["baselines"][0], **changes}])


def test_a_training_of_other_settings_is_deleted_only_when_asked(copied: World) -> None:
    model = copied.place.home / "models" / TITLES[0] / "model" / "model.safetensors"
    before = model.read_bytes()
    done, failed = baselines.run(alone(copied, train={"seed": 6, "steps": 3}))
    assert done == []
    assert "begun with another training.seed, 405, not 6; training.steps, 8, not 3; begin anew" in failed[TITLES[0]]
    assert model.read_bytes() == before
    done, failed = baselines.run(alone(copied, train={"seed": 6, "steps": 3}), again=True)
    assert failed == {}
    assert model.read_bytes() != before
    changed = Score.read(done[0].score).results
    first = Score.read(copied.place.home / "submissions" / f"{TITLES[1]}-1").results
    assert changed.score_id == first.score_id
    assert results_curves.learning(done)[0].batches == 3


def test_another_number_of_samples_is_sampled_and_scored_anew_with_the_same_model(copied: World) -> None:
    bench = alone(copied)
    fewer = dataclasses.replace(bench, config=bench.config.model_copy(update={"baseline_seeds": 1}))
    model = stamps(copied.place.home / "models")
    done, failed = baselines.run(fewer)
    assert failed == {}
    assert Score.read(done[0].score).results.submission.inference.seeds == 1
    assert {path.name for path in done[0].submission.glob("predictions/*/*")} == {"seed0.npz"}
    assert stamps(copied.place.home / "models") == model


def test_a_submission_of_somebody_elses_is_not_touched(copied: World) -> None:
    record = copied.place.home / "entries" / f"{TITLES[0]}.json"
    record.unlink()
    done, failed = baselines.run(alone(copied))
    assert done == []
    assert "was not made by this command" in failed[TITLES[0]]
    assert (copied.place.home / "entries" / TITLES[0] / "submission.yaml").is_file()


# ---- the command


def test_the_command_says_what_failed_and_shows_the_rest(copied: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.root)
    monkeypatch.setenv("COLUMNS", "200")
    (copied.root / "own.yaml").write_text(yaml.safe_dump(SETTINGS))
    good = json.dumps(SETTINGS["benchmark"]["baselines"])
    bad = f"{good[:-1]}, {{name: flow-dit, size: tiny, label: wide, settings: {{width: wide}}}}]"
    done = CliRunner().invoke(
        app, ["benchmark", "run", "--run", RUN, "--config", "own.yaml", "--set", f"benchmark.baselines={bad}"]
    )
    assert done.exit_code == 1, done.output
    assert "wide failed: flow-dit: width" in done.output
    rows = [line for line in done.output.splitlines() if line.lstrip().startswith("*")]
    assert [row.split()[1] for row in rows[:2]] == TITLES
    found = Page(copied.place.home / "results" / "index.html")
    assert "wide has no score: flow-dit: width" in said(found.one("p", data_failed="wide"))
    assert len(found.all("article")) == results.MOST_CLIPS


# ---- the table


def test_the_table_has_controls_and_models_with_what_they_cost(world: World) -> None:
    kinds = {row.name: row.kind for row in world.table.rows}
    assert list(kinds)[:3] == ["truth", *TITLES]
    assert set(kinds) == {*BY_NAME, *TITLES}
    for row, each in zip(world.table.models, world.done, strict=True):
        told = json.loads((each.score / "results.json").read_text())
        assert row.cost == told["submission"]["cost"]["seconds_per_video_second"] > 0
        assert row.parameters_m == told["submission"]["cost"]["parameters_m"] > 0
        assert row.values["kgd"] == told["metrics"]["kgd"]["value"]
        assert told["controls"]["random_clip"]["kgd"] == pytest.approx(
            world.table.controls["random_clip"]["kgd"], rel=1e-7
        )
    assert world.table.columns[:2] == ("kgd", "ba_kappa"), "there are no towers, so no sga_auc"


def test_controls_are_computed_anew_for_another_evaluator(copied: World) -> None:
    path = copied.place.home / "controls-test.json"
    held = json.loads(path.read_text())
    held["values"]["truth"]["kgd"] = 7.0
    path.write_text(json.dumps(held))
    assert table.of_systems(copied.place, copied.engine).controls["truth"]["kgd"] == 7.0
    held["digests"]["evaluator"] = "0" * 64
    path.write_text(json.dumps(held))
    assert table.of_systems(copied.place, copied.engine).controls == copied.table.controls


# ---- tests of models


def pair_of_scores(root: Path, *, second: float, floor: float = 0.0) -> dict[str, Score]:
    """Two scores with values of clips whose speakers are good or bad together."""
    found = {}
    for name, mean in (("good", 0.9), ("weak", second)):
        held = some_results(name=name, values={"coverage": mean})
        held["metrics"]["coverage"]["floor"] = floor
        per_clip = {"coverage": clip_values(mean)}
        found[name] = Score.read(write_score(root / "benchmark" / "submissions" / name, held, per_clip=per_clip))
    return found


def outcome(duel: results_tests.Duel, card: str = "coverage") -> str:
    return next(test for test in duel.tests if test.card == card).outcome


def test_models_are_told_apart_by_the_paired_test_and_above_the_floor(tmp_path: Path) -> None:
    scores = pair_of_scores(tmp_path / "far", second=0.7)
    (duel,) = results_tests.duels(scores, home=tmp_path)
    assert outcome(duel) == "first"
    assert results_tests.beats([duel], "coverage") == {("good", "weak")}
    assert duel.titles("first") == ["Coverage"]
    (duel,) = results_tests.duels(pair_of_scores(tmp_path / "floor", second=0.7, floor=0.3), home=tmp_path)
    assert outcome(duel) == "tie"
    (duel,) = results_tests.duels(pair_of_scores(tmp_path / "near", second=0.9), home=tmp_path)
    assert outcome(duel) == "tie", "not a difference at all"
    assert results_tests.beats([duel], "coverage") == set()
    kgd = next(test for test in duel.tests if test.card == "kgd")
    assert kgd.outcome == "open"
    assert "rows would have to be at hand" in kgd.says


def test_p_values_of_all_pairs_are_adjusted_together(tmp_path: Path) -> None:
    scores = pair_of_scores(tmp_path, second=0.7)
    held = some_results(name="third", values={"coverage": 0.899})
    folder = tmp_path / "benchmark" / "submissions" / "third"
    scores["third"] = Score.read(write_score(folder, held, per_clip={"coverage": clip_values(0.899)}))
    found = {
        (duel.first, duel.second): next(test for test in duel.tests if test.card == "coverage")
        for duel in results_tests.duels(scores, home=tmp_path)
    }
    values = {"good": 0.9, "weak": 0.7, "third": 0.899}
    clips = {name: dict(zip(CLIPS, clip_values(mean), strict=True)) for name, mean in values.items()}
    speaker_of = {clip_id: clip_id.split(".")[0] for clip_id in CLIPS}
    alone = {pair: sign_flip_test(clips[pair[0]], clips[pair[1]], cluster_of=speaker_of) for pair in found}
    assert set(found) == {("good", "weak"), ("good", "third"), ("weak", "third")}
    assert {pair: test.p_holm for pair, test in found.items()} == pytest.approx(holm(alone), rel=1e-6)


def test_a_model_stands_against_the_best_of_chance(tmp_path: Path) -> None:
    held = some_results()
    held["controls"]["random_clip"] = {"coverage": 0.6, "kgd": 0.2, "sga_auc": 0.5}
    for card, p in (("coverage", 0.001), ("kgd", 0.001), ("sga_auc", 0.9)):
        difference = held["metrics"][card]["value"] - held["controls"]["random_clip"][card]
        held["comparisons"].append(
            {"metric": card, "against": "random_clip", "difference": difference, "p": p, "p_holm": p,
             "interval": [difference - 0.01, difference + 0.01]}
        )  # fmt: skip
    score = Score.read(write_score(tmp_path, held))
    found = results_tests.stands(score.results, ["coverage", "kgd", "sga_auc"])
    assert [stand.best for stand in found] == ["random clip", "random clip", "mean pose"]
    assert [each.outcome if (each := stand.against_best) else None for stand in found] == ["better", "worse", "better"]
    assert results_tests.tally(found) == (
        "better than the best of chance by Coverage and Agreement; worse than the best of chance by Kernel distance"
    )
    retrieval = results_tests.NEIGHBOURS.index("audio_retrieval")
    assert found[0].others[retrieval] is None, "it was not scored here"


def test_names_are_listed_as_a_sentence_has_them() -> None:
    assert [results_tests.listed(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip


# ---- drawings


def test_a_cloud_is_drawn_to_a_logarithmic_scale() -> None:
    points = [("a", 0.01, 50.0, "says a"), ("b", 0.1, 100.0, ""), ("c", 1.0, -900.0, ""), ("d", None, 5.0, "")]
    drawn = charts.draw_cloud(points, lines=[(100.0, "truth"), (0.0, "chance")], low=-100.0)
    assert drawn is not None
    by_name = {point.name: point for point in drawn.points}
    assert set(by_name) == {"a", "b", "c"}
    assert by_name["b"].x - by_name["a"].x == pytest.approx(by_name["c"].x - by_name["b"].x, abs=0.02)
    lines = {name: y for y, name in drawn.lines}
    assert by_name["b"].y == lines["truth"]
    assert by_name["a"].y == pytest.approx((lines["truth"] + lines["chance"]) / 2, abs=0.02)
    assert (by_name["c"].beyond, by_name["a"].beyond) == ("left", "")
    assert by_name["c"].y < drawn.base_y + 0.01
    assert {tick.text for tick in drawn.x_ticks} == {"0.01", "0.1", "1"}
    assert [by_name[name].number for name in "abc"] == [0, 1, 2]
    assert charts.draw_cloud(points[3:], lines=[(100.0, "truth")], low=-100.0) is None


def test_names_of_points_that_lie_on_each_other_do_not() -> None:
    points = [(name, 0.05, 40.0, "") for name in "abc"]
    drawn = charts.draw_cloud(points, lines=[(100.0, "truth"), (0.0, "chance")], low=-100.0)
    assert drawn is not None
    places = sorted(point.text_y for point in drawn.points)
    assert min(np.diff(places)) >= 13
    beside = charts.draw_cloud(
        [("a-long-name", 0.05, 40.0, ""), ("another-one", 0.06, 32.0, "")], lines=[(100.0, "truth")], low=0.0
    )
    assert beside is not None
    first, second = beside.points
    assert abs(first.text_x - second.text_x) < 70, "they lie over each other across"
    assert abs(first.text_y - second.text_y) >= 13


def test_a_long_history_is_thinned_to_means() -> None:
    x, y = results_curves.thinned(list(range(600)), [float(number % 10) for number in range(600)])
    assert len(x) == 60
    assert y == [4.5] * 60
    assert x[:2] == [4.5, 14.5]
    assert results_curves.thinned([1, 2], [3.0, 4.0]) == ([1, 2], [3.0, 4.0])
    assert results_curves.thinned([], []) == ([], [])


# ---- the page


def test_the_page_brings_all_it_links_to(world: World) -> None:
    linked = re.findall(r'(?:src|href|data-track)="([^"#:]+)"', world.page.read_text(encoding="utf-8"))
    assert {"style.css", "pages.css", "player.js", "sort.js"} <= set(linked)
    assert {f"reports/{title}/index.html" for title in TITLES} <= set(linked)
    assert [address for address in linked if not (world.page.parent / unquote(address)).is_file()] == []
    for path in (world.page, *world.page.parent.glob("data/*.js")):
        assert not re.search(r"https?://|@import|\bfetch\(|XMLHttpRequest", path.read_text(encoding="utf-8")), path.name


def test_the_page_says_what_was_measured(world: World, page: Page) -> None:
    text = said(page.one("header"))
    assert "2 models and 15 controls on 6 clips (28.8 s) of 2 talkers, the split test" in text
    assert "learnt from 9 clips (43.2 s) of 3 other talkers" in text
    assert Score.read(world.done[0].score).results.score_id == said(page.one("code", id="score-id"))


def test_every_system_has_its_row(world: World, page: Page) -> None:
    rows = {row.attributes["data-system"]: row for row in page.all("tr") if "data-system" in row.attributes}
    assert set(rows) == {*TITLES, *(name.replace("_", " ") for name in BY_NAME)}
    kinds = {name: row.attributes["class"] for name, row in rows.items()}
    assert kinds["truth"] == "system-truth"
    assert kinds["random clip"] == "system-chance"
    assert kinds["noise 2px"] == "system-control"
    assert {kinds[title] for title in TITLES} == {"system-model"}
    kgd = Score.read(world.done[0].score).results.metrics["kgd"]
    assert f"{says.number(kgd.value)} tie" in said(rows[TITLES[0]]), "two talkers lie far apart"
    assert says.per_cent(kgd.per_cent) in said(rows[TITLES[0]])


def test_a_cell_tells_interval_share_tie_and_place(tmp_path: Path) -> None:
    scores = pair_of_scores(tmp_path, second=0.7, floor=0.15)
    values = {"truth": 1.0, "mean_pose": 0.5, "random_clip": 0.6}
    controls = [table.Row(name=name, kind="control", values={"coverage": value}) for name, value in values.items()]
    models = [table.Row(name=name, kind="model", values={"coverage": scores[name].results.metrics["coverage"].value})
              for name in scores]  # fmt: skip
    card = next(card for module in metric.modules().values() for card in module.CARDS if card.name == "coverage")
    duels = results_tests.duels(scores, home=tmp_path)
    shown = table.Shown(("coverage",), (*controls, *models), tmp_path)
    found = {system.name: system for system in results.systems(shown, [card], scores, duels)}
    assert list(found) == ["truth", "good", "weak", "random clip", "mean pose"]
    cells = {name: system.cells[0] for name, system in found.items()}
    assert (cells["good"].interval, cells["weak"].interval, cells["truth"].interval) == (
        "0.88 to 0.92", "0.68 to 0.72", "",
    )  # fmt: skip
    # Chance is the random clip: 0.4 from the truth.
    assert {name: cell.per_cent for name, cell in cells.items()} == {
        "truth": "100 %", "good": "75 %", "weak": "25 %", "random clip": "0 %", "mean pose": "\N{MINUS SIGN}25 %",
    }  # fmt: skip
    assert [name for name, cell in cells.items() if cell.tied] == ["good"], "0.1 from the truth, and the floor is 0.15"
    assert (cells["good"].rank, cells["weak"].rank, cells["truth"].rank) == (Rank(1, 1), Rank(2, 2), None)


def test_rows_are_sorted_by_the_first_metric(world: World) -> None:
    ranking = results.ranking_cards(world.place, world.table)
    assert [card.name for card in ranking] == ["kgd", "ba_kappa", "kin", "coverage", "lip_r"]
    scores = {each.title: Score.read(each.score) for each in world.done}
    found = results.systems(world.table, ranking, scores, [])
    keys = [float(system.cells[0].key) for system in found]
    assert keys == sorted(keys)
    assert {system.name: system.cells[0].rank for system in found if system.kind == "model"} == dict.fromkeys(
        TITLES, Rank(1, 2)
    )


def test_wins_costs_and_curves_are_told(page: Page) -> None:
    wins = said(page.one("section", id="wins"))
    assert f"{TITLES[0]} against {TITLES[1]}" in wins
    assert f"{TITLES[1]} is not compared with the best of chance: there are too few talkers" in wins
    names = [element.attributes["data-point"] for element in page.all("g") if "data-point" in element.attributes]
    assert sorted(names) == sorted(TITLES * 2), "kgd and ba_kappa"
    training = said(page.one("section", id="training"))
    assert f"Loss of {TITLES[0]}" in training
    assert "8 batches of 4 windows" in training
    assert "Kernel gesture distance" in training


def motion(world: World, clip_id: str, number: int) -> np.ndarray:
    text = (world.page.parent / "data" / f"{clip_id}.{number}.js").read_text(encoding="utf-8")
    track = json.loads(text.partition("] = ")[2].rstrip().rstrip(";"))
    return np.frombuffer(base64.b64decode(track["xy"]), "<i2").reshape(-1, 133, 2) / track["unit"]


def test_samples_are_the_truth_the_predictions_and_the_controls(world: World, page: Page) -> None:
    cards = page.all("article")
    assert len(cards) == results.MOST_CLIPS
    assert {card.attributes["data-video"] for card in cards} == {"eva", "fay"}
    clip_id = cards[0].attributes["data-clip"]
    assert clip_id is not None
    clip = ReleaseReader(Folders(world.root, RUN)).read(clip_id)
    files = [each.submission / "predictions" / clip_id / "seed0.npz" for each in world.done]
    wanted = [clip.keypoints_px, *(np.load(path)["keypoints"] for path in files)]
    context = Context(kit=Kit.open(world.kit), other=clip.sound)
    wanted += [made(BY_NAME[name], clip, context)[1] for name in ("random_clip", "audio_retrieval")]
    for number, points in enumerate(wanted):
        np.testing.assert_allclose(motion(world, clip_id, number), points, atol=1 / 32 + 1e-3)


def test_clips_of_as_many_speakers_as_there_are_are_chosen() -> None:
    def entry(clip_id: str, speaker: str, n_frames: int) -> Entry:
        held = {field.name: None for field in dataclasses.fields(Entry)}
        return Entry(**{**held, "clip_id": clip_id, "speaker": speaker, "n_frames": n_frames})  # type: ignore[arg-type]

    entries = [entry(f"{speaker}{n}", speaker, 100 + 250 * n) for speaker in "abc" for n in range(2)]
    found = results_clips.choose(entries, most=3)
    assert {each.speaker for each in found} == {"a", "b", "c"}
    assert {each.n_frames for each in found} == {100}, "short ones first"
    assert results_clips.choose(entries[::-1], most=3) == found
    assert len(results_clips.choose(entries, most=9)) == 6


def test_a_run_without_baselines_has_a_page_of_controls(copied: World) -> None:
    shown = table.of_systems(copied.place, copied.engine)
    found = Page(results.build(copied.place, shown, [], failed={}))
    assert "No baseline is configured" in said(found.one("section", id="headline"))
    assert [element for element in found.all("section") if element.attributes.get("id") in ("wins", "cost")] == []
    assert len(found.all("canvas")) == 3 * results.MOST_CLIPS


# ---- in Chromium


@pytest.fixture
def opened(browser: Any, world: World) -> Iterator[Callable[..., Any]]:
    """Opens the page at a width. Whatever it logs, or asks for from elsewhere, fails the test."""
    held: list[tuple[Any, list[str]]] = []

    def at(width: int) -> Any:
        held.append(chromium.opened(browser, world.page, width=width))
        return held[-1][0]

    yield at
    for page, _ in held:
        page.close()
    assert not [said for _, seen in held for said in seen]


DRAWN = """card => [...card.querySelectorAll("canvas")].map(c => c.width === 0 ? 0 :
[...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]
.reduce((sum, v, i) => (sum * 31 + v * (i % 97)) % 1e9, 7))"""


@pytest.mark.long
def test_all_skeletons_of_a_clip_play_with_one_button(opened: Callable[..., Any]) -> None:
    page = opened(1280)
    card = page.locator("article").first
    card.scroll_into_view_if_needed()
    page.wait_for_function(
        """card => [...card.querySelectorAll("canvas")].every(c => c.width > 0 &&
        c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(Boolean))""",
        arg=card.element_handle(),
    )
    before = card.evaluate(DRAWN)
    card.get_by_role("button", name="Play").click()
    page.wait_for_function("card => Number(card.querySelector('input').value) > 15", arg=card.element_handle())
    assert card.locator("audio").evaluate("m => [m.paused, m.muted]") == [False, False]
    card.get_by_role("button", name="Pause").click()
    after = card.evaluate(DRAWN)
    assert len(before) == 1 + len(TITLES) + 2
    assert all(first != second for first, second in zip(before, after, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_no_wider_than_the_screen(opened: Callable[..., Any], width: int) -> None:
    assert opened(width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.long
def test_the_table_is_sorted_by_any_column(opened: Callable[..., Any], world: World) -> None:
    page = opened(1280)

    def order() -> list[str]:
        names: list[str] = page.locator("tr[data-system]").evaluate_all("rows => rows.map(row => row.dataset.system)")
        return names

    page.get_by_role("button", name="cost, s per s").click()
    costs = {row.name: row.cost for row in world.table.models}
    assert order()[:2] == sorted(TITLES, key=lambda title: costs[title] or 0)
    page.get_by_role("button", name="Kinematic distance").click()
    assert order()[0] == "truth"
