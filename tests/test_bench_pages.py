"""The pages of scores: the report of one, the leaderboard of many, and the clips of the report in Chromium."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from scipy import stats
from typer.testing import CliRunner

from csg405 import table
from csg405.benchmark.pages import charts, clips, leaderboard, ranking, report
from csg405.benchmark.pages.scores import Score, read_results
from csg405.benchmark.scoring.results import score_id
from csg405.benchmark.statistics import holm, sign_flip_test
from csg405.cli import app
from csg405.errors import UserError
from csg405.run import Folders
from csg405.schema import Release
from tests import bench_release, report_run
from tests.chromium import opened
from tests.submission_kit import film
from tests.test_report import Page, said

HOSTILE = report_run.HOSTILE

DIGESTS = {"data": "a" * 64, "kit": "b" * 64, "evaluator": "c" * 64}

SPEAKERS = [f"speaker{number:02d}" for number in range(12)]
CLIPS = [f"{speaker}.{number}" for speaker in SPEAKERS for number in range(3)]

RELEASED = [f"{name}.{number}" for name in ("eva", "fay") for number in range(bench_release.CLIPS)]
"""The test clips of `bench_release`."""


def metric(value: float | None, **changes: Any) -> dict[str, Any]:
    """A value that ranks, higher being better, with an interval of 0.02 to either side."""
    held = {
        "title": "Agreement", "unit": "1", "direction": "higher", "ranks": True, "passed_its_card": True,
        "value": value, "why_not": None if value is not None else "needs two_tower",
        "interval": None if value is None else [value - 0.02, value + 0.02], "standard_error": 0.01,
        "between_seeds": 0.003, "clips": None, "truth": 1.0, "chance": 0.5, "floor": 0.05, "per_cent": 60.0,
        "tied_with_truth": False, "smallest_difference": 0.03,
    }  # fmt: skip
    return held | changes


def results(*, name: str = "Wavers", values: dict[str, float] | None = None, **changes: Any) -> dict[str, Any]:
    """A results.json of three metrics that rank, three that do not, and one that was not computed."""
    own = {"sga_auc": 0.8, "kgd": 0.3, "coverage": 0.7} | (values or {})
    metrics = {
        "coverage": metric(own["coverage"], title="Coverage", floor=0.0),
        "kgd": metric(own["kgd"], title="Kernel distance", direction="lower", truth=0.0, chance=0.9, floor=0.01),
        "sga_auc": metric(own["sga_auc"], title="Agreement: own sound against others'"),
        "beat_legacy_emage": metric(0.9, title="Beats as published", direction="truth", ranks=False),
        "jerk": metric(0.2, title="Jerk", direction="zero", ranks=False, truth=0.0),
        "broken": metric(0.5, title="Broken", ranks=False, passed_its_card=False),
        "multimodality": metric(None, title="Variety", ranks=False, why_not="needs seeds"),
    }
    controls = {
        "truth": {"sga_auc": 1.0, "kgd": 0.0, "coverage": 1.0, "jerk": 0.0},
        "noise_4px": {"sga_auc": 0.83, "kgd": 0.305, "coverage": 0.9, "jerk": 3.0},
        "mean_pose": {"sga_auc": 0.5, "kgd": 0.9, "coverage": 0.2, "jerk": None},
    }
    found = {
        "schema_version": 1, "score_id": score_id(DIGESTS), "digests": DIGESTS,
        "submission": {
            "schema_version": 1, "benchmark": {"name": "csg405", "version": "1"}, "split": "test", "track": "A",
            "system": {"name": name, "version": "2.0", "code_url": None},
            "training": {"datasets": ["ours"], "hours": 3.0}, "declared_use_of_test": False,
            "inference": {"seeds": 2, "reference_frame_policy": "first frame"}, "contact": "a@example.org",
        },
        "clips": len(CLIPS), "speakers": len(SPEAKERS), "metrics": metrics, "controls": controls,
        "comparisons": [
            comparison("sga_auc", "truth", -0.2, 0.001), comparison("sga_auc", "mean_pose", 0.3, 0.002),
            comparison("sga_auc", "noise_4px", -0.03, 0.001), comparison("kgd", "mean_pose", -0.6, 0.002),
            comparison("coverage", "noise_4px", -0.2, 0.4),
        ],
        "groups": [
            group("under 6 s", 20, sga_auc=0.7, kgd=0.4, coverage=0.6),
            group("6 to 12 s", 16, sga_auc=0.9, kgd=0.2, coverage=0.8),
            group("12 s and more", 2),
        ],
        "worst_groups": {"sga_auc": {"length": {"group": "under 6 s", "value": 0.7, "groups": 2}}},
        "over_time": [{"from_s": 10 * n, "clips": 9, "values": {"kgd": 0.3 + 0.1 * n}} for n in range(3)],
        "trust": {"copies": []}, "environment": {"numpy": "2.3"},
    }  # fmt: skip
    return found | changes


def comparison(name: str, against: str, difference: float, p_holm: float) -> dict[str, Any]:
    interval = [difference - 0.02, difference + 0.02]
    return {"metric": name, "against": against, "difference": difference, "interval": interval, "p": p_holm / 2,
            "p_holm": p_holm}  # fmt: skip


def group(name: str, clips: int, **values: float) -> dict[str, Any]:
    return {"by": "length", "group": name, "clips": clips, "values": values}


def write_score(
    folder: Path, held: dict[str, Any], *, per_clip: dict[str, list[float]] | None = None, ids: list[str] = CLIPS
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(held))
    if per_clip is not None:
        columns = {"clip_id": ids, "speaker": [clip_id.split(".")[0] for clip_id in ids], **per_clip}
        pd.DataFrame(columns).to_parquet(folder / "per_clip.parquet", index=False)
    return folder


# ---- the report


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A run with a release; one of its test clips has a film."""
    root = tmp_path_factory.mktemp("run")
    folders = bench_release.write(root).folders
    (part,) = [path for path in table.parts(folders.table(Release)) if "eva" in path.name]
    rows = table.read_part(part, Release)
    rows[0] = dataclasses.replace(rows[0], path="media/eva.0.mp4")
    table.write_part(part, Release, rows)
    film(folders.work / "release" / "media" / "eva.0.mp4", bench_release.FRAMES)
    return folders


@pytest.fixture(scope="module")
def predictions(place: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission's folder: the truth 5 px to the right."""
    folder = tmp_path_factory.mktemp("submission")
    for clip_id in RELEASED:
        clip = bench_release.ReleaseReader(place).read(clip_id)
        path = folder / "predictions" / clip_id / "seed0.npz"
        path.parent.mkdir(parents=True)
        np.savez(path, keypoints=clip.keypoints_px + np.float32([5, 0]), score=np.ones((len(clip), 133), np.float32))
    return folder


def scored(folder: Path, **changes: Any) -> Path:
    values = [0.9, 0.2, 0.5, 0.7, 0.4, 0.8]
    per_clip = {"sga_auc": values, "coverage": [0.5, 0.6, 0.7, 0.8, math.nan, 0.9]}
    return write_score(folder, results(**changes), per_clip=per_clip, ids=RELEASED)


@pytest.fixture(scope="module")
def index(place: Folders, predictions: Path) -> Path:
    copies = [{"rule": "equals_truth", "where": f"predictions/{clip_id}", "seen": "3 of 3", "level": "error",
               "allowed": "", "clip": clip_id, "message": ""} for clip_id in RELEASED]  # fmt: skip
    # A folder whose name has to be quoted in an address.
    folder = scored(place.work / "a score #1 & 100%", name=HOSTILE, trust={"copies": copies})
    return report.build(folder, predictions=predictions, folders=place, most_clips=4)


@pytest.fixture(scope="module")
def page(index: Path) -> Page:
    return Page(index)


def test_the_report_brings_all_it_links_to(index: Path) -> None:
    linked = re.findall(r'(?:src|href|data-track)="([^"#:]+)"', index.read_text(encoding="utf-8"))
    assert {"style.css", "pages.css", "player.js"} <= set(linked)
    assert all((index.parent / unquote(address)).is_file() for address in linked)
    assert len([address for address in linked if address.startswith("data/")]) == 8
    for path in (index, *index.parent.glob("*.css"), *index.parent.glob("*.js"), *index.parent.glob("data/*.js")):
        assert not re.search(r"https?://|@import|\bfetch\(|XMLHttpRequest", path.read_text(encoding="utf-8")), path.name


def test_the_headline_says_who_and_how_good(page: Page) -> None:
    assert said(page.one("h1")) == " ".join(HOSTILE.split())
    lead = said(page.one("p", class_="lead"))
    assert "Version 2.0, track A (audio to skeleton), on 36 clips of 12 speakers of the split test" in lead
    assert said(page.one("code", id="score-id")) == score_id(DIGESTS)
    figure = said(page.one("div", data_metric="sga_auc"))
    assert "0.8 95 % interval 0.78 to 0.82 60 % of the way from chance to the truth" in figure
    assert "short of the truth by 0.2, floor 0.05" in figure


def test_a_value_that_ties_with_the_truth_says_so(place: Folders, tmp_path: Path) -> None:
    held = results(values={"sga_auc": 0.97})
    held["metrics"]["sga_auc"]["tied_with_truth"] = True
    held["metrics"]["coverage"] = metric(None, title="Coverage")
    built = Page(report.build(write_score(tmp_path, held), predictions=None, folders=place))
    assert "tied with the truth: 0.03 from it, floor 0.05" in said(built.one("div", data_metric="sga_auc"))
    assert "not computed: needs two_tower" in said(built.one("div", data_metric="coverage"))
    assert "No metric of this score has values of single clips" in said(built.one("section", id="clips"))


def test_the_table_groups_metrics_and_marks_ties(page: Page) -> None:
    rows = {row.attributes["data-metric"]: said(row) for row in page.all("tr") if "data-metric" in row.attributes}
    assert list(rows) == ["coverage", "kgd", "sga_auc", "jerk", "broken", "beat_legacy_emage", "multimodality"]
    text = said(page.one("section", id="all"))
    headings = ["Metrics that rank", "Diagnostics", "Legacy metrics", "Not computed"]
    assert [text.index(heading) for heading in headings] == sorted(text.index(heading) for heading in headings)
    assert "0.83 tie" in rows["sga_auc"]  # 0.03 from 0.8, floor 0.05
    assert "0.305 tie" in rows["kgd"]  # 0.005 from 0.3, floor 0.01
    assert "tie" not in rows["coverage"]  # 0.2 from 0.7, floor 0
    assert "failed its card" in rows["broken"]
    assert "not computed: needs seeds" in rows["multimodality"]


def test_comparisons_are_put_into_words(page: Page) -> None:
    outcomes = {
        (said(row).split(" ")[0], row.attributes["class"])
        for row in page.all("tr") if row.attributes.get("class", "").startswith("outcome-")
    }  # fmt: skip
    assert outcomes == {("truth", "outcome-worse"), ("mean", "outcome-better"), ("noise", "outcome-tie"),
                        ("noise", "outcome-open")}  # fmt: skip
    assert "better than 1, worse than 1, not told from 1 of 3 controls" in said(page.one("section", id="comparisons"))


def test_worst_groups_curves_and_copies_are_told(page: Page) -> None:
    row = next(row for row in page.all("tr") if "under 6 s" in row.text)
    assert said(row).endswith("length under 6 s 0.7 0.8")
    svgs = page.all("svg", class_="rows")
    assert len(svgs) == 6  # three metrics by controls, three by groups
    assert len(page.all("polyline")) == 1
    assert f"{len(RELEASED)} times: the motion is the clip's own" in said(page.one("section", id="trust"))


def test_copies_that_were_not_looked_for_are_not_called_absent(place: Folders, board: Path, tmp_path: Path) -> None:
    trust = {"copies": [], "why_not": "the copy test looks at skeletons"}
    index = report.build(write_score(tmp_path / "score", results(trust=trust)), predictions=None, folders=place)
    change(board, "weak", lambda held: held.update(trust=trust))
    leaderboard.build(board)
    for path in (index, board / "entries" / "weak" / "index.html"):
        text = said(Page(path).one("section", id="trust"))
        assert text == "Trust Copies were not looked for: the copy test looks at skeletons."
    assert "No prediction is a copy" in said(Page(board / "entries" / "good" / "index.html").one("section", id="trust"))


def test_names_cannot_become_markup(page: Page, index: Path) -> None:
    assert {element.attributes.get("src", element.attributes.get("type")) for element in page.all("script")} == {
        "player.js",
        "application/json",
    }
    assert "<script>alert" not in index.read_text(encoding="utf-8")


def test_the_worst_and_the_best_clips_are_shown(page: Page, index: Path, place: Folders) -> None:
    shown = {card.attributes["data-clip"]: card for card in page.all("article")}
    assert list(shown) == ["eva.1", "fay.1", "eva.0", "fay.2"]  # 0.2, 0.4; 0.9, 0.8
    assert [card.attributes["data-verdict"] for card in shown.values()] == ["worst", "worst", "best", "best"]
    assert "worst: 0.2" in said(shown["eva.1"])
    assert "Coverage 0.6" in said(shown["eva.1"])
    media = [each.attributes["src"] for each in (*page.all("audio"), *page.all("video"))]
    assert sorted(media) == ["media/eva.0.mp4", "media/eva.1.wav", "media/fay.1.wav", "media/fay.2.wav"]
    samples, rate = soundfile.read(index.parent / "media" / "fay.1.wav", dtype="int16")
    assert rate == 16_000
    assert np.array_equal(samples, bench_release.ReleaseReader(place).read("fay.1").sound.samples)


def motion(index: Path, clip_id: str, kind: str) -> np.ndarray:
    text = (index.parent / "data" / f"{clip_id}.{kind}.js").read_text(encoding="utf-8")
    name, _, rest = text.partition("] = ")
    assert json.loads(name.partition("[")[2]) == f"{clip_id} {kind}"
    track = json.loads(rest.rstrip().rstrip(";"))
    return np.frombuffer(base64.b64decode(track["xy"]), "<i2").reshape(-1, 133, 2) / track["unit"]


def test_the_motions_beside_each_other_are_the_truth_and_the_prediction(index: Path, place: Folders) -> None:
    clip = bench_release.ReleaseReader(place).read("fay.1")
    np.testing.assert_allclose(motion(index, "fay.1", "truth"), clip.keypoints_px, atol=1 / 32 + 1e-3)
    np.testing.assert_allclose(
        motion(index, "fay.1", "own"), clip.keypoints_px + np.float32([5, 0]), atol=1 / 32 + 1e-3
    )


def test_without_predictions_nothing_plays_and_values_are_told(place: Folders, tmp_path: Path) -> None:
    index = report.build(scored(tmp_path), predictions=None, folders=place)
    built = Page(index)
    assert len(built.all("article")) == 6
    assert not built.all("audio")
    assert sorted(path.name for path in index.parent.iterdir()) == ["index.html", "pages.css", "player.js", "style.css"]


def test_a_missing_prediction_leaves_the_old_report(place: Folders, predictions: Path, tmp_path: Path) -> None:
    folder = scored(tmp_path / "score")
    old = report.build(folder, predictions=predictions, folders=place).read_bytes()
    torn = shutil.copytree(predictions, tmp_path / "torn")
    shutil.rmtree(torn / "predictions" / "eva.1")
    with pytest.raises(UserError, match=r"torn: no predictions/eva\.1"):
        report.build(folder, predictions=torn, folders=place)
    assert (folder / "report" / "index.html").read_bytes() == old
    report.build(folder, predictions=predictions, folders=place)
    assert sorted(path.name for path in folder.iterdir()) == ["per_clip.parquet", "report", "results.json"]


def test_clips_are_chosen_by_what_is_better(tmp_path: Path) -> None:
    held = results()
    del held["metrics"]["sga_auc"]
    held["metrics"]["lip_velocity"] = metric(0.5, direction="lower", ranks=False)
    held["metrics"]["blinks"] = metric(5.0, direction="truth", truth=5.0, ranks=False)
    number = [float(place) for place in range(len(CLIPS))]
    for card, worst, best in (("coverage", CLIPS[0], CLIPS[-1]), ("lip_velocity", CLIPS[-1], CLIPS[0]),
                              ("blinks", CLIPS[-1], CLIPS[5])):  # fmt: skip
        score = Score.read(write_score(tmp_path / card, held, per_clip={card: number}))
        choice = clips.choose(score, most=2)
        assert choice == clips.Choice(card, worst=[worst], best=[best])
    score = Score.read(write_score(tmp_path / "all", held, per_clip={"coverage": number}))
    choice = clips.choose(score, most=100)
    assert choice is not None
    assert len({*choice.worst, *choice.best}) == len(CLIPS)


def test_rows_lie_along_one_axis_and_far_ones_at_its_end() -> None:
    values = [
        charts.Value(name="own", kind="own", value=0.6, interval=(0.5, 0.7)),
        charts.Value(name="truth", kind="truth", value=1.0),
        charts.Value(name="near", kind="plain", value=0.55),
        charts.Value(name="far", kind="plain", value=-40.0),
        charts.Value(name="none", kind="plain"),
    ]
    drawn = charts.draw_rows(values, line=1.0, floor=0.05, chance=0.5)
    assert drawn is not None
    own, truth, near, far, none = drawn.rows
    assert far.x == drawn.left + 4
    assert (far.beyond, near.beyond, none.x, none.text) == ("left", "", None, "\N{EN DASH}")
    assert (far.text, own.bar) == ("\N{MINUS SIGN}40", (drawn.chance_x, own.bar[1] if own.bar else None))
    assert own.x is not None
    assert truth.x == drawn.line_x
    assert truth.x is not None
    # 0.4 from 0.6 to 1 and 0.05 from 0.55 to 0.6, along one scale.
    assert near.x is not None
    assert (truth.x - own.x) / (own.x - near.x) == pytest.approx(8, rel=0.01)
    assert charts.draw_rows([charts.Value(name="none", kind="own")]) is None
    whole = charts.draw_rows(values, line=1.0, whole=True)
    assert whole is not None
    assert whole.rows[3].beyond == ""


# ---- the leaderboard


def clip_values(mean: float, *, apart: float = 0.0) -> list[float]:
    """Values of clips with this mean; the same speaker is good or bad with every system."""
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(0, 0.05, len(SPEAKERS)), 3) + rng.normal(0, 0.02, len(CLIPS))
    own = np.random.default_rng(int(1000 * mean)).normal(0, 0.005, len(CLIPS))
    return list(values - values.mean() + mean + own - own.mean() + apart)


ENTRIES = {
    # Coverage by clip and its mean, kgd
    "good": (0.90, 0.10),
    "close": (0.902, 0.105),
    "weak": (0.70, 0.50),
}


def write_entry(board: Path, name: str, *, coverage: float, kgd: float, **changes: Any) -> Path:
    held = results(values={"coverage": coverage, "kgd": kgd}, **({"name": name} | changes))
    return write_score(board / "entries" / name, held, per_clip={"coverage": clip_values(coverage)})


@pytest.fixture
def board(tmp_path: Path) -> Path:
    for name, (coverage, kgd) in ENTRIES.items():
        write_entry(tmp_path, name, coverage=coverage, kgd=kgd)
    (tmp_path / "leaderboard.yaml").write_text(yaml.safe_dump(settings()))
    return tmp_path


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1, "title": "Talking & waving", "benchmark": {"name": "csg405", "version": "1"},
        "split": "test", "track": "A", "digests": DIGESTS, "ranking": ["coverage", "kgd"],
    } | changes  # fmt: skip


def change(board: Path, name: str, update: Callable[[dict[str, Any]], object]) -> None:
    path = board / "entries" / name / "results.json"
    held = json.loads(path.read_text())
    update(held)
    path.write_text(json.dumps(held))


def places(board: Path) -> dict[str, dict[str, tuple[int, int]]]:
    held = json.loads(leaderboard.build(board).with_name("leaderboard.json").read_text())
    return {
        entry["entry"]: {card: (place["best"], place["worst"]) for card, place in entry["places"].items()}
        for entry in held["entries"]
    }


def test_what_no_test_tells_apart_is_tied(board: Path) -> None:
    found = places(board)
    assert {name: held["coverage"] for name, held in found.items()} == {"close": (1, 2), "good": (1, 2), "weak": (3, 3)}
    assert list(found) == ["close", "good", "weak"], "the better value first, among the tied too"
    assert {name: held["kgd"] for name, held in found.items()} == {"close": (1, 2), "good": (1, 2), "weak": (3, 3)}


def test_p_values_are_those_of_the_paired_test_and_of_students_t(board: Path) -> None:
    scores = {name: Score.read(board / "entries" / name) for name in ENTRIES}
    found = {(pair.first, pair.second): pair for pair in ranking.order("coverage", scores).pairs}
    pairs = [("close", "good"), ("close", "weak"), ("good", "weak")]
    speaker_of = {clip_id: clip_id.split(".")[0] for clip_id in CLIPS}
    held = {name: dict(zip(CLIPS, clip_values(mean), strict=True)) for name, (mean, _) in ENTRIES.items()}
    wanted = {pair: sign_flip_test(held[pair[0]], held[pair[1]], cluster_of=speaker_of) for pair in pairs}
    assert {pair: found[pair].p for pair in pairs} == wanted
    assert {pair: found[pair].p_holm for pair in pairs} == holm(wanted)
    assert {found[pair].test for pair in pairs} == {"paired"}

    found = {(pair.first, pair.second): pair for pair in ranking.order("kgd", scores).pairs}
    t = 0.4 / math.sqrt(0.01**2 + 0.01**2)
    assert found["good", "weak"].test == "intervals"
    assert found["good", "weak"].p == pytest.approx(2 * stats.t.sf(t, 11), rel=1e-9)
    assert found["good", "weak"].difference == pytest.approx(-0.4)
    assert found["good", "weak"].better == "good"


def test_differences_under_the_floor_and_beyond_the_truth_are_ties(board: Path) -> None:
    def floor(held: dict[str, Any]) -> None:
        held["metrics"]["coverage"]["floor"] = 0.25

    for name in ENTRIES:
        change(board, name, floor)
    assert {held["coverage"] for held in places(board).values()} == {(1, 3)}

    def easy(held: dict[str, Any]) -> None:
        held["metrics"]["coverage"] |= {"floor": 0.0, "truth": 0.6}

    for name in ENTRIES:
        change(board, name, easy)
    assert {held["coverage"] for held in places(board).values()} == {(1, 3)}


def test_a_value_that_is_no_mean_of_its_clips_is_not_tested_by_them(board: Path) -> None:
    change(board, "weak", lambda held: held["metrics"]["coverage"].update(value=0.6))
    scores = {name: Score.read(board / "entries" / name) for name in ENTRIES}
    tests = {(pair.first, pair.second): pair.test for pair in ranking.order("coverage", scores).pairs}
    assert tests == {("close", "good"): "paired", ("close", "weak"): "intervals", ("good", "weak"): "intervals"}
    change(board, "weak", lambda held: held["metrics"]["coverage"].update(standard_error=None))
    scores["weak"] = Score.read(board / "entries" / "weak")
    pair = ranking.order("coverage", scores).pairs[-1]
    assert (pair.test, pair.p, pair.better) == ("none", None, None)


def test_an_entry_without_a_value_has_no_place(board: Path) -> None:
    change(board, "weak", lambda held: held["metrics"]["kgd"].update(value=None, interval=None, why_not="needs kit"))
    change(board, "close", lambda held: held["metrics"].pop("kgd"))
    assert {name: sorted(held) for name, held in places(board).items()} == {
        "close": ["coverage"], "good": ["coverage", "kgd"], "weak": ["coverage"],
    }  # fmt: skip
    rows = {row.attributes["data-entry"]: said(row) for row in Page(board / "index.html").all("tr")
            if "data-entry" in row.attributes}  # fmt: skip
    assert "not computed: needs kit" in rows["weak"]
    assert "not computed" in rows["close"]


def test_entries_of_another_score_stand_apart(board: Path) -> None:
    other = DIGESTS | {"kit": "d" * 64}
    change(board, "weak", lambda held: held.update(digests=other, score_id=score_id(other)))
    assert list(places(board)) == ["close", "good"]
    held = json.loads((board / "leaderboard.json").read_text())
    assert [(each["entry"], each["why"]) for each in held["to_be_scored_again"]] == [("weak", "another kit")]
    page = Page(board / "index.html")
    assert "another kit" in said(page.one("section", id="again"))
    assert "to be scored again" in said(Page(board / "entries" / "weak" / "index.html").one("header"))


def test_a_metric_that_failed_its_card_is_shown_and_ranks_nobody(board: Path) -> None:
    for name in ENTRIES:
        change(board, name, lambda held: held["metrics"]["kgd"].update(ranks=False, passed_its_card=False))
    assert {tuple(held) for held in places(board).values()} == {("coverage",)}
    assert json.loads((board / "leaderboard.json").read_text())["failed_their_cards"] == ["kgd"]
    assert "kgd failed its own metric card" in said(Page(board / "index.html").one("section", id="board"))


def test_the_site_links_within_itself_and_escapes_what_it_is_told(board: Path) -> None:
    name = "50% <b>#1"
    write_entry(board, name, coverage=0.8, kgd=0.2)
    change(board, name, lambda held: held["submission"]["system"].update(name=HOSTILE))
    (board / "entries" / name / "report").mkdir()
    (board / "entries" / name / "report" / "index.html").write_text("the report")
    leaderboard.build(board)
    pages = [board / "index.html", *(board / "entries").glob("*/index.html")]
    assert len(pages) == 5
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<b>#1" not in text
        assert not re.search(r"https?://", text)
        for address in re.findall(r'(?:src|href)="([^":]+)"', text):
            target = unquote(address.partition("#")[0])
            assert not target or (path.parent / target).is_file(), address
    assert "talk" in said(Page(board / "index.html").one("tr", data_entry="50%"))
    assert len(re.findall("report/index.html", (board / "index.html").read_text())) == 1


def test_an_unchanged_board_gives_the_same_bytes(board: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path.relative_to(board)): path.read_bytes() for path in board.rglob("*") if path.is_file()}

    leaderboard.build(board)
    first = content()
    leaderboard.build(board)
    assert content() == first
    assert {"index.html", "leaderboard.json", "static/sort.js", "entries/good/index.html"} <= set(first)


WRONG: dict[str, tuple[dict[str, Any] | str | None, str]] = {
    "no file": (None, r"leaderboard\.yaml: there is no such file"),
    "no yaml": ("title: [", "no YAML"),
    "no mapping": ("- 1", "seen list, wanted keys: schema_version, title"),
    "unknown key": (settings(titel="x"), "titel: no such key; did you mean title"),
    "unknown key inside": (settings(digests=DIGESTS | {"kat": "x"}), r"digests\.kat: no such key; did you mean kit"),
    "missing": ({key: value for key, value in settings().items() if key != "split"}, "split is missing"),
    "future": (settings(schema_version=7), "schema_version 7, and this program reads 1"),
    "which scores": ({key: value for key, value in settings().items() if key != "digests"}, "which scores"),
    "two answers": (settings(score_id="0" * 16), f"score_id {'0' * 16}, and its digests give {score_id(DIGESTS)}"),
    "no such card": (settings(ranking=["fgd"]), "ranking: fgd: no entry has it; cards that rank: coverage, kgd"),
    "never ranks": (settings(ranking=["jerk"]), "ranking: jerk: it never ranks"),
    "twice": (settings(ranking=["kgd", "kgd"]), "kgd twice"),
    "nothing": (settings(ranking=[]), "ranking: seen"),
    "track": (settings(track="B"), "track A, and the leaderboard is of B"),
    "split": (settings(split="validation"), "split test, and the leaderboard is of validation"),
    "benchmark": (settings(benchmark={"name": "csg405", "version": "2"}), "benchmark csg405 1, and the leaderboard"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_leaderboard_yaml_says_what_is_wrong(board: Path, case: str) -> None:
    content, message = WRONG[case]
    path = board / "leaderboard.yaml"
    path.unlink()
    if content is not None:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        leaderboard.build(board)
    assert not (board / "index.html").exists()


def damage(held: dict[str, Any], where: str, value: Any) -> str:
    broken = copy.deepcopy(held)
    *path, last = where.split(".")
    part = broken
    for key in path:
        part = part[key]
    part[last] = value
    return json.dumps(broken)


DAMAGED = {
    "half": (json.dumps(results())[:500], "no JSON"),
    "deep": ("[" * 100_000, "no JSON"),
    "list": ("[]", "the whole: seen"),
    "future": (damage(results(), "schema_version", 2), "schema_version 2, and this program reads 1"),
    "no score id": (damage(results(), "score_id", ""), "score_id: seen"),
    "another score id": (damage(results(), "score_id", "f" * 16), "score id f{16}, and its digests give"),
    "text for a number": (damage(results(), "metrics.kgd.value", "0.1"), r"metrics\.kgd\.value: seen '0\.1'"),
    "not a number": (damage(results(), "metrics.kgd.value", math.nan), r"metrics\.kgd\.value: seen"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_entry_is_named(board: Path, case: str) -> None:
    text, message = DAMAGED[case]
    (board / "entries" / "weak" / "results.json").write_text(text)
    with pytest.raises(UserError, match=f"weak/results\\.json: .*{message}"):
        leaderboard.build(board)


def test_an_entry_without_its_files_is_named(board: Path) -> None:
    (board / "entries" / "good" / "per_clip.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"good/per_clip\.parquet: cannot be read"):
        leaderboard.build(board)
    (board / "entries" / "good" / "per_clip.parquet").unlink()
    (board / "entries" / "weak" / "results.json").unlink()
    with pytest.raises(UserError, match=r"weak/results\.json: there is no such file"):
        leaderboard.build(board)


def test_the_commands_start_a_leaderboard_fill_it_and_build_it(tmp_path: Path) -> None:
    score = write_score(tmp_path / "plain-1", results(), per_clip={"coverage": clip_values(0.7)})
    (score / "report").mkdir()
    (score / "report" / "index.html").write_text("the report")
    folder = tmp_path / "board"

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, ["leaderboard", *map(str, words)])
        if done.exception is not None:
            raise done.exception
        return done.output

    call("init", folder, "--from", score, "--title", "Ours")
    with pytest.raises(UserError, match="is there already"):
        call("init", folder, "--from", score)
    assert yaml.safe_load((folder / "leaderboard.yaml").read_text()) == settings(
        title="Ours", ranking=["coverage", "kgd", "sga_auc"]
    )
    call("add", folder, score)
    assert str(folder / "index.html") in call("build", folder)
    assert "2.0 · report" in said(Page(folder / "index.html").one("tr", data_entry="plain-1"))

    shutil.rmtree(score / "report")
    call("add", folder, score)
    assert sorted(path.name for path in (folder / "entries" / "plain-1").iterdir()) == [
        "per_clip.parquet",
        "results.json",
    ]
    assert not list(folder.glob(".adding*"))
    with pytest.raises(UserError, match="without / that does not begin with a dot"):
        call("add", folder, score, "--name", "../out")
    other = DIGESTS | {"data": "e" * 64}
    write_score(score, results(digests=other, score_id=score_id(other)))
    with pytest.raises(UserError, match="other data; score the submission with"):
        call("add", folder, score)


def test_an_interrupted_add_is_mended_by_the_next(board: Path, tmp_path: Path) -> None:
    score = write_score(tmp_path / "elsewhere" / "good", results())
    kept = board / ".adding-good" / "old"
    kept.parent.mkdir()
    (board / "entries" / "good").rename(kept)  # as a kill between the two renames leaves it
    leaderboard.add(board, score_folder=score)
    assert read_results(board / "entries" / "good" / "results.json").submission.system.name == "Wavers"
    assert not list(board.glob(".adding*"))


# ---- in Chromium


DRAWN = """card => [...card.querySelectorAll("canvas")].map(c => c.width === 0 ? "" :
[...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]
.reduce((sum, v, i) => (sum * 31 + v * (i % 97)) % 1e9, 7))"""
"""A number for what each canvas of a card shows; an empty one's is that of no drawing."""


@pytest.mark.long
@pytest.mark.parametrize("clip_id", ["fay.1", "eva.0"])
def test_both_skeletons_play_with_the_sound(browser: Any, index: Path, clip_id: str) -> None:
    page, seen = opened(browser, index)
    card = page.locator(f'[data-clip="{clip_id}"]')
    card.scroll_into_view_if_needed()
    page.wait_for_function(
        """card => [...card.querySelectorAll("canvas")].every(c => c.width > 0 &&
        c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(Boolean))""",
        arg=card.element_handle(),
    )
    before = card.evaluate(DRAWN)
    card.get_by_role("button", name="Play").click()
    page.wait_for_function("card => Number(card.querySelector('input').value) > 20", arg=card.element_handle())
    card.get_by_role("button", name="Pause").click()
    after = card.evaluate(DRAWN)
    assert len(before) == len(after) == 2
    assert all(first != second for first, second in zip(before, after, strict=True))
    medium = card.locator("video, audio").evaluate("m => [m.tagName, m.muted, m.duration]")
    assert medium[:2] == ["VIDEO" if clip_id == "eva.0" else "AUDIO", False]
    assert medium[2] == pytest.approx(bench_release.FRAMES / 25, abs=0.05)
    page.close()
    assert not seen


@pytest.mark.long
def test_the_prediction_is_drawn_five_pixels_to_the_right(browser: Any, index: Path) -> None:
    page, seen = opened(browser, index)
    card = page.locator('[data-clip="fay.1"]')
    card.scroll_into_view_if_needed()
    page.wait_for_function("card => Number(card.querySelectorAll('canvas')[1].width) > 0", arg=card.element_handle())
    card.locator("input[type=range]").evaluate("s => { s.value = 50; s.dispatchEvent(new Event('input')) }")
    page.wait_for_function(
        "card => card.querySelector('output').textContent.startsWith('51 ')", arg=card.element_handle()
    )
    places = card.evaluate(
        """card => [...card.querySelectorAll("canvas")].map(c => { let sum = 0, n = 0;
        const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        for (let i = 3; i < data.length; i += 4) if (data[i]) { sum += ((i - 3) / 4) % c.width; n += 1 }
        return sum / n / c.width * 512 })"""
    )
    assert places[1] - places[0] == pytest.approx(5, abs=0.4)
    page.close()
    assert not seen


@pytest.mark.long
def test_chips_show_the_worst_or_the_best(browser: Any, index: Path) -> None:
    page, seen = opened(browser, index)
    page.get_by_role("button", name="worst", exact=True).click()
    assert page.locator("article:visible").count() == 2
    assert page.locator("#shown").text_content() == "2 of 4 clips"
    page.close()
    assert not seen


@pytest.mark.long
@pytest.mark.parametrize("width", [600, 1280])
def test_no_page_is_wider_than_the_screen(browser: Any, index: Path, board: Path, width: int) -> None:
    long = "a-name-that-has-no-place-to-break-" * 3
    change(board, "weak", lambda held: held["submission"]["system"].update(name=long[:100]))
    leaderboard.build(board)
    for path in (index, board / "index.html", board / "entries" / "weak" / "index.html"):
        page, seen = opened(browser, path)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        page.close()
        assert not seen


@pytest.mark.long
def test_a_column_sorts_the_board_both_ways_and_what_is_missing_stays_last(browser: Any, board: Path) -> None:
    write_entry(board, "empty", coverage=0.8, kgd=0.2)
    change(board, "empty", lambda held: held["metrics"]["kgd"].update(value=None, interval=None))
    leaderboard.build(board)
    page, seen = opened(browser, board / "index.html")

    def order() -> list[str]:
        return page.locator("tr[data-entry]").evaluate_all("rows => rows.map(row => row.dataset.entry)")

    assert order()[0] == "close"
    page.get_by_role("button", name="Kernel distance").click()
    assert order() == ["good", "close", "weak", "empty"]
    page.get_by_role("button", name="Kernel distance").click()
    assert order() == ["weak", "close", "good", "empty"]
    page.get_by_role("button", name="entry").click()
    assert order() == ["close", "empty", "good", "weak"]
    page.close()
    assert not seen
