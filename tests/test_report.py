"""The report's page, read as HTML: the numbers of the tables, nothing unescaped, nothing from elsewhere."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from csg405 import keypoints, table
from csg405.errors import UserError
from csg405.report import summary
from csg405.report.build import build
from csg405.run import Run
from csg405.schema import Clip, Cut, Decision, Release, Verdict, Video
from tests import report_run


@dataclasses.dataclass
class Element:
    """One element of a page, with all the text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class Page(HTMLParser):
    """The elements of a page in their order."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.elements.append(element)
        if tag not in self.VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of a tag whose attributes have these words among them; `_` stands for `-`."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                word in element.attributes.get(k.strip("_").replace("_", "-"), "").split()
                for k, word in attributes.items()
            )
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found


def said(element: Element) -> str:
    return " ".join(element.text.split())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return report_run.full(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def index(run: Run) -> Path:
    return build(run)


@pytest.fixture(scope="module")
def page(index: Path) -> Page:
    return Page(index)


def test_the_page_lies_in_the_run_and_brings_its_files(run: Run, index: Path) -> None:
    assert index == run.folders.work / "report" / "index.html"
    linked = re.findall(r'(?:src|href|data-track)="([^"#:]+)"', index.read_text(encoding="utf-8"))
    assert {"style.css", "player.js"} <= set(linked)
    assert len([address for address in linked if address.startswith("media/")]) == len(report_run.CUT)
    assert all((index.parent / address).is_file() for address in linked)


def test_the_great_numbers_are_those_of_the_tables(page: Page) -> None:
    assert said(page.one("dd", id="source-length")) == "3.0 min"  # 120 s + 60 s
    assert said(page.one("dd", id="candidate-length")) == "28 s"  # 6 + 8 + 5 + 5 + 4
    assert said(page.one("dd", id="kept-length")) == "14 s"  # 6 + 8
    figures = said(page.one("dl", class_="figures"))
    assert "2 of 4 videos at hand" in figures
    assert "5 clips of one person speaking" in figures
    assert "2 clips, 1 to review: lip sync" in figures


def test_every_reviewing_criterion_is_named_with_its_clips(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path)
    flags = [["lip_sync"], ["exposure", "lip_sync"], ["lip_sync"], []]
    report_run.put(run, Verdict, "00000", [_kept(number, review) for number, review in enumerate(flags)])
    assert "4 clips, 3 to review: lip sync 3, exposure 1" in said(Page(build(run)).one("dl", class_="figures"))
    report_run.put(run, Verdict, "00000", [_kept(0, [])])
    assert said(Page(build(run)).one("dl", class_="figures")).endswith("1 clip")


def _kept(number: int, review: list[str]) -> Verdict:
    return Verdict(clip_id=f"file.a_{number}", video_id="file.a", duration_s=5.0, kept=True, reasons=[],
                   first_reason=None, only_reason=None, review=review)  # fmt: skip


def test_the_page_tells_the_splits(page: Page) -> None:
    assert "no source video in two splits: 2 train." in {said(note).partition(", ")[2] for note in page.all("p")}


def test_a_damaged_release_does_not_stop_the_totals(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folders.root, tmp_path / "copy")
    broken = report_run.empty(tmp_path / "copy")
    for part in table.parts(broken.folders.table(Release)):
        part.write_bytes(b"not a table")
    columns = ["video_id", "duration_s", "kept", "review"]
    totals = summary.totals(broken.folders, broken.videos(), summary.read(broken.folders, Verdict, columns))
    assert (totals.kept, totals.kept_videos, totals.flagged) == (2, 1, [("lip_sync", 1)])
    with pytest.raises(UserError, match="cannot be read"):
        summary.splits(broken.folders)


def test_the_funnel_is_drawn_to_scale(page: Page) -> None:
    bars = [float(bar.attributes["style"].partition(":")[2]) for bar in page.all("span", class_="fill")]
    assert bars == pytest.approx([1, 28 / 180, 14 / 180], abs=1e-5)


def test_the_title_tells_run_and_date(page: Page) -> None:
    assert "tiny" in said(page.all("title")[0])
    assert "2026-03-02 11:30 UTC" in said(page.one("p", class_="date"))


def test_the_criteria_stand_in_their_order_with_their_counts(page: Page) -> None:
    rows = [row for row in page.all("tr") if "data-criterion" in row.attributes]
    assert [row.attributes["data-criterion"] for row in rows] == ["sharpness", "speech", "lip_sync"]
    # fail, share, first, lost, only, regained
    assert said(rows[0]) == "sharpness at least 20 luma\N{SUPERSCRIPT TWO} drop 2 40 % 2 10 s 1 5 s"
    assert said(rows[1]) == "speech at least 0.5 drop 2 40 % 1 4 s 1 4 s"
    assert said(rows[2]) == "lip sync at least 2 review 2 40 % flags only"


def test_every_criterion_has_its_distribution(page: Page) -> None:
    for name, says in (
        ("sharpness", "3 pass \N{MIDDLE DOT} 2 fail"),
        ("speech", "3 pass \N{MIDDLE DOT} 2 fail \N{MIDDLE DOT} 1 missing, counted as failed"),
    ):
        assert says in said(page.one("figure", id=f"value-{name}"))
    assert "no blur" in said(page.one("figure", id="value-sharpness"))
    limits = [said(text) for text in page.all("text", class_="limit-text")]
    assert limits == ["at least 20", "at least 0.5", "at least 2"]


def test_raw_measures_are_drawn_and_series_are_not(page: Page) -> None:
    measures = said(page.one("details", class_="all-measures"))
    assert "how sharp" in measures
    assert "a series" not in measures


def test_refusals_tell_the_reason_and_the_videos(page: Page) -> None:
    told = {said(group).split()[2]: said(group) for group in page.all("details", class_="refusal")}
    assert set(told) == {"gone", "private", "too"}
    assert "The site wants an account that may see the video." in told["private"]
    assert "youtube.c" in told["private"]
    assert "2 spans, 4 s" in told["too"]
    assert "Removed by <u>the uploader</u>" in told["gone"]


def test_cards_tell_what_the_clip_is_and_why_it_was_judged_so(page: Page) -> None:
    cards = {card.attributes["data-clip"]: card for card in page.all("article")}
    assert set(cards) == set(report_run.CLIPS)
    kept, rejected = cards["file.a_6000_14000_p0"], cards["file.a_20000_25000_p1"]
    assert kept.attributes["data-verdict"] == "kept"
    assert "data-review" in kept.attributes
    assert "0:06.0\N{EN DASH}0:14.0 8 s" in said(kept)
    assert rejected.attributes["data-verdict"] == "rejected"
    assert json.loads(rejected.attributes["data-reasons"]) == ["sharpness", "speech"]
    assert "sharpness 8 at least 20" in said(rejected)
    assert "speech not measured at least 0.5" in said(cards["file.b_0_4000_p0"])
    assert list(cards)[:2] == list(report_run.CUT), "clips with pictures come first"


def test_titles_and_names_cannot_become_markup(page: Page, index: Path) -> None:
    assert {element.attributes.get("src", element.attributes.get("type")) for element in page.all("script")} == {
        "player.js",
        "application/json",
    }
    assert not page.all("u")
    assert report_run.HOSTILE in {said(name) for name in page.all("bdi")}
    assert "<script>alert" not in index.read_text(encoding="utf-8")


def test_nothing_comes_from_elsewhere(index: Path) -> None:
    for path in (index, *index.parent.glob("*.css"), *index.parent.glob("*.js"), *index.parent.glob("data/*.js")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://|//[a-z]+\.|@import|\bfetch\(|XMLHttpRequest", text), path.name


def test_keypoints_of_a_clip_lie_in_its_picture(index: Path) -> None:
    clip_id = report_run.CUT[0]
    text = (index.parent / "data" / f"{clip_id}.js").read_text(encoding="utf-8")
    name, _, rest = text.partition("] = ")
    assert json.loads(name.partition("[")[2]) == clip_id
    track = json.loads(rest.rstrip().rstrip(";"))
    points = np.frombuffer(base64.b64decode(track["xy"]), "<i2").reshape(report_run.N_FRAMES, keypoints.COUNT, 2)
    scores = np.frombuffer(base64.b64decode(track["score"]), np.uint8).reshape(report_run.N_FRAMES, keypoints.COUNT)
    wanted = np.stack([report_run.places(frame) for frame in range(report_run.N_FRAMES)])
    np.testing.assert_allclose(points / track["unit"], wanted, atol=0.5 / track["unit"] + 1e-3)
    assert (scores[:, 0] == round(0.9 * 255)).all()


def test_media_are_not_copied_where_they_can_be_linked(run: Run, index: Path) -> None:
    for clip_id in report_run.CUT:
        shown, cut = index.parent / "media" / f"{clip_id}.mp4", run.folders.work / "media" / f"{clip_id}.mp4"
        assert shown.samefile(cut)


def test_a_new_page_replaces_the_old_one_whole(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path)
    folder = build(run).parent
    (folder / "of-yesterday.txt").write_text("old")
    (folder.with_name("report.new")).mkdir()
    (folder.with_name("report.new") / "half").write_text("killed")
    (folder / "made_from.txt").write_text("other tables")
    names = ["index.html", "made_from.txt", "player.js", "style.css"]
    assert sorted(path.name for path in build(run).parent.iterdir()) == names
    assert [path.name for path in run.folders.work.iterdir()] == ["report"]


def test_a_failed_build_leaves_the_old_page(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "copy"
    shutil.copytree(run.folders.root, root)
    broken = report_run.empty(root)
    (broken.folders.work / "media" / f"{report_run.CUT[0]}.mp4").unlink()
    before = (broken.folders.work / "report" / "index.html").read_bytes()
    with pytest.raises(UserError, match=r"file\.a_0_6000_p0\.mp4.*run postprocess again"):
        build(broken)
    assert (broken.folders.work / "report" / "index.html").read_bytes() == before


def test_a_run_without_tables_has_a_page(tmp_path: Path) -> None:
    page = Page(build(report_run.empty(tmp_path)))
    assert said(page.one("dd", id="source-length")) == "0 s"
    assert len(page.all("p", class_="empty")) == 4
    assert not page.all("article")


def test_a_run_that_the_filter_has_not_judged_says_so(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path)
    clip = Clip(clip_id="file.a_0_4000_p0", video_id="file.a", shot=0, track=0, start_ms=0, end_ms=4000, n_frames=100,
                width=640, height=360)  # fmt: skip
    report_run.put(run, Clip, "00000", [clip])
    assert "has judged 0 of the 1 candidate clips" in said(Page(build(run)).one("p", class_="warn"))


def test_a_run_that_keeps_nothing_has_a_page(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path)
    decisions, verdict = report_run.decide("file.b_0_4000_p0")
    report_run.put(run, Video, "00000", [report_run.video("file.b")])
    report_run.put(run, Decision, "00000", decisions)
    report_run.put(run, Verdict, "00000", [verdict])
    report_run.put(run, Cut, "00000", [])
    page = Page(build(run))
    assert said(page.one("dd", id="kept-length")) == "0 s"
    assert "No clip has a value" in said(page.one("figure", id="value-speech"))
    assert "No pictures of this clip were cut" in said(page.one("article"))


def test_the_number_of_clips_can_be_chosen(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folders.root, tmp_path / "copy")
    page = Page(build(report_run.empty(tmp_path / "copy", clips=2)))
    assert [card.attributes["data-clip"] for card in page.all("article")] == list(report_run.CUT)


def test_large_tables_are_read_in_little_time_and_counted(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path, clips=4)
    n = 20_000
    ids = [f"file.a_{number}" for number in range(n)]
    rows = []
    for number, clip_id in enumerate(ids):
        reason = None if number % 4 == 0 else "motion"
        reasons = [reason] if reason else []
        rows.append(Verdict(clip_id=clip_id, video_id="file.a", duration_s=5.0, kept=reason is None, reasons=reasons,
                            first_reason=reason, only_reason=reason, review=[]))  # fmt: skip
    decisions = [Decision(clip_id=c, criterion="motion", value=float(number % 4 == 0), at_least=0.5, at_most=None,
                          passed=number % 4 == 0, on_fail="drop") for number, c in enumerate(ids)]  # fmt: skip
    report_run.put(run, Verdict, "00000", rows)
    report_run.put(run, Decision, "00000", decisions)
    page = Page(build(run))
    assert said(page.one("dd", id="kept-length")) == "6.9 h"  # 5,000 clips of 5 s
    assert "15,000" in said(next(row for row in page.all("tr") if row.attributes.get("data-criterion") == "motion"))
    assert len(page.all("article")) == 4


def test_a_part_can_be_read_by_column_and_by_row(run: Run) -> None:
    import pyarrow.compute as pc

    path = table.part_path(run.folders.table(Clip), "00000")
    assert table.read_arrow(path, ["end_ms"]).column_names == ["end_ms"]
    (clip,) = table.read_part(path, Clip, where=pc.field("start_ms") == 14_000)
    assert clip.clip_id == "file.a_14000_19000_p0"


def test_the_same_tables_again_leave_the_page_as_it_is(tmp_path: Path) -> None:
    run = report_run.empty(tmp_path)
    page = build(run)
    before = page.stat()
    assert build(run).stat() == before
    (run.folders.table(Verdict) / "part-00000.parquet").parent.mkdir(parents=True)
    table.write_part(run.folders.table(Verdict) / "part-00000.parquet", Verdict, [])
    assert build(run).stat().st_ino != before.st_ino
