"""The report in Chromium, opened from disk: it asks nobody, plays, and its skeletons lie on the pictures."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from csg405 import keypoints, table
from csg405.filter import criteria
from csg405.report.build import build
from csg405.schema import Decision, Verdict
from tests import report_run
from tests.chromium import opened

pytestmark = pytest.mark.long

CLIP = report_run.CUT[0]
SIDES = {
    # The colours in which the page draws an arm and, over it, its hand: red, green, blue.
    keypoints.LEFT_WRIST: ((0x56, 0xB4, 0xE9), (0x8B, 0xE0, 0xFF)),
    keypoints.RIGHT_WRIST: ((0xF3, 0x9C, 0x12), (0xFF, 0xD9, 0x66)),
}


@pytest.fixture(scope="module")
def index() -> Iterator[Path]:
    # A folder whose name has to be quoted in an address.
    with tempfile.TemporaryDirectory(prefix="a run #1 & 100% ") as folder:
        yield build(report_run.full(Path(folder)))


@pytest.fixture
def page(browser: Any, index: Path) -> Iterator[Any]:
    """The page at the size of a laptop. Whatever it logs, or asks for from elsewhere, fails the test."""
    page, seen = opened(browser, index)
    yield page
    page.close()
    assert not seen


def card(page: Any, clip_id: str = CLIP) -> Any:
    """A clip's card, in view and with its keypoints loaded."""
    found = page.locator(f'[data-clip="{clip_id}"]')
    found.scroll_into_view_if_needed()
    page.wait_for_function(
        """card => { const c = card.querySelector("canvas"); return c.width > 0 &&
        card.querySelector("video").readyState >= 2 &&
        c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(Boolean) }""",
        arg=found.element_handle(),
    )
    return found


def seek(page: Any, found: Any, frame: int) -> None:
    """Go to a frame by the slider, and wait until the picture is there."""
    found.locator("input[type=range]").evaluate(
        """(slider, frame) => { slider.value = frame; slider.dispatchEvent(new Event("input")) }""", frame
    )
    page.wait_for_function(
        "([card, text]) => card.querySelector('output').textContent === text && !card.querySelector('video').seeking",
        arg=[found.element_handle(), f"{frame + 1} / {report_run.N_FRAMES}"],
    )


def picture(found: Any) -> np.ndarray:
    """[side, side, 3] RGB: what is on the screen where the clip plays."""
    # What was drawn last reaches the screen with the next frame but one.
    found.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    png = found.locator(".stage").screenshot()
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def centre(found: Any, mask: np.ndarray) -> np.ndarray:
    """[2]: x, y of the middle of a mask of the screen, in pixels of the clip."""
    box = found.locator(".stage").bounding_box()
    corner = np.array([box["x"] % 1, box["y"] % 1])
    return (np.argwhere(mask).mean(0)[::-1] + 0.5 - corner) * report_run.SIZE_PX / box["width"] - 0.5


def overlay(found: Any, x: float, y: float, reach: int = 1) -> np.ndarray:
    """[n, 4] RGBA of the skeleton's canvas around a place given in pixels of the clip."""
    values = found.locator("canvas").evaluate(
        """(canvas, [x, y, size, reach]) => { const scale = canvas.width / size;
        const [left, top] = [(x + 0.5) * scale, (y + 0.5) * scale].map((v) => Math.round(v) - reach);
        return [...canvas.getContext("2d").getImageData(left, top, 2 * reach, 2 * reach).data] }""",
        [x, y, report_run.SIZE_PX, reach],
    )
    return np.array(values).reshape(-1, 4)


def near(pixels: np.ndarray, colour: tuple[int, int, int], *, within: float = 25) -> np.ndarray:
    return np.linalg.norm(pixels[..., :3].astype(float) - colour, axis=-1) < within


@pytest.mark.parametrize("frame", [0, 1, 17, 49])
def test_the_skeleton_lies_on_the_picture(page: Any, frame: int) -> None:
    found = card(page)
    seek(page, found, frame)
    for point, (arm, hand) in SIDES.items():
        drawn = overlay(found, *report_run.places(frame)[point])
        assert (near(drawn, arm) | near(drawn, hand)).mean() > 0.7, (
            f"the joint of point {point} is not where it belongs"
        )
        assert (overlay(found, 480, 40) == 0).all(), "something is drawn where nobody is"

    page.locator("#show-skeleton").uncheck()
    assert (overlay(found, *report_run.places(frame)[keypoints.LEFT_WRIST]) == 0).all()
    shown = picture(found)
    for point in SIDES:
        seen = centre(found, near(shown, report_run.COLOURS[point], within=70))
        away = np.abs(seen - report_run.places(frame)[point]).max()
        # From one frame to the next a mark moves by 7 to 11 px.
        assert away < 2, f"the picture on the screen is not that of frame {frame}"


def test_the_skeleton_follows_while_the_clip_plays(page: Any) -> None:
    found = card(page)
    found.evaluate(
        """card => { const video = card.querySelector("video"); card.seen = [];
        const look = (now, { mediaTime }) => {
          card.seen.push([Math.floor(mediaTime * 25 + 0.5), Number(card.querySelector("input").value)]);
          video.requestVideoFrameCallback(look) };
        video.requestVideoFrameCallback(look) }"""
    )
    found.get_by_role("button", name="Play").click()
    page.wait_for_function("card => card.querySelector('video').currentTime > 0.6", arg=found.element_handle())
    assert found.get_by_role("button", name="Pause").count() == 1
    found.get_by_role("button", name="Pause").click()
    seen = found.evaluate("card => card.seen")
    assert len(seen) > 5
    assert all(frame == shown for frame, shown in seen)
    assert len({frame for frame, _ in seen}) > 5


def test_a_browser_that_does_not_tell_its_frames_shows_the_right_one(page: Any) -> None:
    page.add_init_script("delete HTMLVideoElement.prototype.requestVideoFrameCallback")
    page.reload()
    found = card(page)
    seek(page, found, 17)
    assert overlay(found, *report_run.places(17)[keypoints.LEFT_WRIST]).any()
    found.get_by_role("button", name="Play").click()
    page.wait_for_function("card => Number(card.querySelector('input').value) > 25", arg=found.element_handle())


def test_slow_motion_and_sound_reach_the_clip(page: Any) -> None:
    found = card(page)
    page.locator("input[name=speed][value='0.25']").check()
    page.locator("#with-sound").uncheck()
    found.get_by_role("button", name="Play").click()
    state = found.locator("video").evaluate("video => [video.playbackRate, video.muted, video.paused]")
    assert state == [0.25, True, False]


def test_only_one_clip_plays(page: Any) -> None:
    first, second = (card(page, clip_id) for clip_id in report_run.CUT)
    first.get_by_role("button", name="Play").click()
    second.get_by_role("button", name="Play").click()
    assert first.locator("video").evaluate("video => video.paused")
    assert not second.locator("video").evaluate("video => video.paused")


def test_keypoints_are_loaded_when_the_clip_comes_near(page: Any) -> None:
    assert page.evaluate("performance.getEntriesByType('resource').filter(e => e.name.includes('/data/')).length") == 0
    card(page)
    assert page.evaluate("Object.keys(window.CSG).length") == 0, "what was taken over is not kept twice"


@pytest.mark.parametrize(
    ("press", "shown"),
    [
        (["all"], 5),
        (["kept"], 2),
        (["rejected"], 3),
        (["to review"], 2),
        (["rejected", "speech"], 2),
        (["sharpness", "speech"], 1),
        (["kept", "speech"], 0),
    ],
)
def test_filters(page: Any, press: list[str], shown: int) -> None:
    for name in press:
        page.locator(".chip", has_text=name).first.click()
    assert page.locator(".card:visible").count() == shown
    assert page.locator("#shown").inner_text() == f"{shown} of 5 clips"
    assert page.locator("#no-match").is_visible() == (shown == 0)
    if not shown:
        page.get_by_role("button", name="Show all").click()
        assert page.locator(".card:visible").count() == 5


def test_filter_by_video(page: Any) -> None:
    page.locator("#pick-video").select_option("file.b")
    (left,) = page.locator(".card:visible").all()
    assert left.get_attribute("data-video") == "file.b"


def test_keys_reach_everything(page: Any) -> None:
    found = card(page)
    slider = found.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "card => card.querySelector('output').textContent.startsWith('2 /')", arg=found.element_handle()
    )
    found.get_by_role("button", name="Play").focus()
    page.keyboard.press("Space")
    assert not found.locator("video").evaluate("video => video.paused")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 768, 1920])
def test_no_width_scrolls_sideways(browser: Any, index: Path, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(index.as_uri())
    for details in page.locator("details").all():
        details.evaluate("element => { element.open = true }")
    wide, background = page.evaluate(
        "[document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    )
    page.close()
    assert wide <= width
    brightness = np.mean([int(part) for part in background.removeprefix("rgb(").rstrip(")").split(",")])
    assert (brightness > 128) == (scheme == "light")


@pytest.fixture(scope="module")
def every_criterion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all criteria of the filter, their units and thresholds, and numbers as long as they get."""
    run = report_run.empty(tmp_path_factory.mktemp("criteria"))
    config = criteria.Config()
    active = criteria.active(config)
    longest, common = 12_345.6 * 3600, active[len(active) // 2][0]
    report_run.put(run, Decision, "00000", [
        Decision(clip_id=f"file.a_{clip}", criterion=name, value=None, at_least=each.at_least, at_most=each.at_most,
                 passed=False, on_fail=each.on_fail) for name, each in active for clip in range(1000)
    ])  # fmt: skip
    report_run.put(run, Verdict, "00000", [
        Verdict(clip_id=f"file.a_{clip}", video_id="file.a", duration_s=longest / 1000, kept=False, reasons=[common],
                first_reason=common, only_reason=common, review=[]) for clip in range(1000)
    ])  # fmt: skip
    stamp = {"finished_at": "2026-03-02T11:30:00+00:00", "configuration": {"criteria": config.model_dump()}}
    table.write_text(run.stamp("filter"), json.dumps(stamp))
    return build(run)


@pytest.mark.parametrize("width", [1280, 768, 380])
def test_the_criteria_fit_with_everything_in_sight(browser: Any, every_criterion: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(every_criterion.as_uri())
    assert "12,345.6 h" in page.locator("#criteria").inner_text()
    scrolls, left, right = page.locator("#criteria .scroll").evaluate(
        """box => { const { left, right } = box.getBoundingClientRect();
        return [box.scrollWidth - box.clientWidth, left, right] }"""
    )
    cells = page.locator(".criteria tbody tr > *").evaluate_all(
        """cells => cells.map(cell => { const range = document.createRange(); range.selectNodeContents(cell);
        const box = range.getBoundingClientRect(); return [cell.innerText, box.left, box.right, box.height] })"""
    )
    page.close()
    assert scrolls == 0
    out = [text for text, start, end, height in cells if start < left or end > right or not height]
    assert not out, "these lie outside what is seen"


def test_on_a_phone_every_criterion_is_a_block(browser: Any, every_criterion: Path) -> None:
    page = browser.new_page(viewport={"width": 380, "height": 900})
    page.goto(every_criterion.as_uri())
    boxes = [row.bounding_box() for row in page.locator(".criteria tbody tr").all()]
    labels = page.locator(".criteria tr[data-criterion=speech] .n").evaluate_all(
        "cells => cells.map(cell => getComputedStyle(cell, '::before').content.replaceAll('\"', ''))"
    )
    shown = page.locator(".criteria thead").is_visible()
    page.close()
    assert labels == ["fail", "first", "lost", "only", "regained"]
    assert not shown
    assert all(box["width"] > 300 and box["height"] < 220 for box in boxes)
    assert all(upper["y"] + upper["height"] <= lower["y"] for upper, lower in pairwise(boxes))


def test_text_stands_out_from_its_ground(browser: Any, index: Path) -> None:
    """WCAG's contrast of at least 4.5 for the colours of text on the grounds on which they stand."""
    pairs = [("ink", "paper"), ("soft", "paper"), ("soft", "card"), ("soft", "shade"), ("good", "card"),
             ("bad", "card"), ("bad", "bad-tint"), ("review", "review-tint")]  # fmt: skip
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(index.as_uri())
        for text, ground in pairs:
            colours = [
                page.evaluate(
                    "name => getComputedStyle(document.documentElement).getPropertyValue(name)", f"--{name}"
                ).strip()
                for name in (text, ground)
            ]
            light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}, {scheme}"
        page.close()


def luminance(colour: str) -> float:
    values = np.array([int(colour[first : first + 2], 16) for first in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
