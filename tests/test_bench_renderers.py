"""Renderers: one contract for all that need no network, the puppet's parts by hand, other programs, and the film."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from csg405 import keypoints as kp
from csg405 import media
from csg405.benchmark.renderers import NAMES, Job, Renderer, renderer
from csg405.benchmark.renderers.film import write_film
from csg405.benchmark.renderers.warp_face import Face
from csg405.benchmark.renderers.warp_fill import made_up
from csg405.benchmark.renderers.warp_geometry import Box, fitted, moved
from csg405.benchmark.renderers.warp_limbs import Bone, Limb, coverage, find_widths, tapered
from csg405.benchmark.renderers.warp_matte import closed, grown, opened
from csg405.benchmark.renderers.warp_pose import Rest
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.benchmark.video_pose import estimate
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, FPS, SAMPLES_PER_FRAME
from csg405.synth.body import points as in_space
from csg405.synth.cast import idle
from csg405.synth.draw import Shot
from csg405.synth.talker import Camera, setting, talker

SIZE = 256
TALKERS = (11, 12, 13)


@dataclasses.dataclass(frozen=True)
class Footage:
    """Somebody of the synthetic world, in motion, with the truth."""

    pictures: np.ndarray
    """[n, SIZE, SIZE, 3]"""
    points: np.ndarray
    """[n, 133, 2]"""
    visible: np.ndarray
    """[n, 133]"""

    def job(self, **changes: object) -> dict[str, object]:
        """The arguments of `render`: the first picture, to go as the film goes."""
        given = {"reference_image": self.pictures[0], "reference_px": self.points[0],
                 "reference_score": self.visible[0].astype(np.float32), "keypoints_px": self.points}  # fmt: skip
        return given | changes


@functools.cache
def footage(who: int, n: int = 10) -> Footage:
    """A talker whose arms go up and out, who nods, opens the mouth and, in the last picture, shuts the eyes."""
    person, part = talker(who), np.linspace(0, 1, n)
    motion = idle(person, np.arange(n) / FPS, seed=who)
    wrists = motion.wrists.copy()
    wrists[:, 0] += part[:, None] * [0.10, 0.18, 0.02]
    wrists[:, 1] += np.sin(part * np.pi)[:, None] * [-0.08, 0.25, 0.0]
    fingers = np.clip(motion.fingers + 0.5 * part[:, None, None] * [[[1], [-1]]], 0, 1)
    head = motion.head + part[:, None] * [0.12, 0.10, -0.08]
    motion = dataclasses.replace(
        motion, wrists=wrists, fingers=fingers, head=head, mouth_open=0.022 * part, blink=(part == 1).astype(float)
    )
    camera = Camera(width=SIZE, height=SIZE, distance_m=2.3, focal=1.85, level_m=0.36)
    place = setting(np.random.default_rng(who))
    drawn = [Shot(person, motion, camera, place).draw(number) for number in range(n)]
    points = camera.project(in_space(person.body, motion))[..., :2].astype(np.float32)
    return Footage(np.stack([one for one, _ in drawn]), points, np.stack([seen for _, seen in drawn]))


def film_of(name: str, job: dict[str, object], **settings: object) -> np.ndarray:
    return np.stack(list(renderer(name, **settings).render(**job)))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(np.float64) - second) ** 2)))


def with_score(footage: Footage, *unseen: slice) -> dict[str, object]:
    """A job whose reference does not show some points, whose places are made up."""
    score, px = footage.visible[0].astype(np.float32), footage.points[0].copy()
    for part in unseen:
        score[part], px[part] = 0, 0
    return footage.job(reference_score=score, reference_px=px)


# ---- the contract

PROGRAM = """
import json, pathlib, sys
import av, numpy as np
folder, out = pathlib.Path(sys.argv[1]), sys.argv[2]
job = json.loads((folder / "job.json").read_text())
picture = av.open(str(folder / "reference.png")).decode(video=0).__next__().to_ndarray(format="rgb24")
points = np.load(folder / "keypoints.npz")["keypoints_px"]
print("rendering", len(points), "frames")
with av.open(out, "w") as film:
    stream = film.add_stream("libx264", rate=job["fps"] + {fps}, options={{"crf": "1"}})
    stream.width, stream.height, stream.pix_fmt = job["width"] + {wider}, job["height"], "yuv420p"
    for number in range(job["n_frames"] + {more}):
        shown = np.pad(picture, ((0, 0), (0, {wider}), (0, 0)))
        shown[:8, :8] = 20 * number % 256
        film.mux(stream.encode(av.VideoFrame.from_ndarray(shown, "rgb24")))
    film.mux(stream.encode())
"""


def program(folder: Path, *, source: str = PROGRAM, fps: int = 0, wider: int = 0, more: int = 0) -> str:
    """A command line that runs a program of a few lines; its path has a space in it."""
    path = folder / "a program.py"
    path.write_text(source.format(fps=fps, wider=wider, more=more) if source is PROGRAM else source)
    return f"'{sys.executable}' '{path}' {{folder}} {{out}}"


@pytest.fixture(params=["warp", "copy-reference", "command"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Renderer:
    settings = {"command": program(tmp_path)} if request.param == "command" else {}
    return renderer(request.param, **settings)


def test_frames_are_as_many_and_as_large_as_they_should_be_and_always_the_same(made: Renderer):
    job = footage(11).job(keypoints_px=footage(11).points[:4])
    first, second = (np.stack(list(made.render(**job))) for _ in range(2))
    assert first.shape == (4, SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_frames_are_made_when_they_are_asked_for(made: Renderer, monkeypatch: pytest.MonkeyPatch):
    given, own = [], type(made).frames

    def counted(self: Renderer, job: Job) -> Iterator[np.ndarray]:
        for frame in own(self, job):
            given.append(1)
            yield frame

    monkeypatch.setattr(type(made), "frames", counted)
    frames = made.render(**footage(11).job())
    assert next(frames).shape == (SIZE, SIZE, 3)
    assert len(given) == 1
    assert len(list(frames)) == len(footage(11).points) - 1


def test_a_point_that_is_not_seen_and_is_astray_changes_nothing(made: Renderer):
    """Half of a hand, the chin and a brow, and a foot: at the picture's corner, or elsewhere along its edges."""
    job = footage(11).job(keypoints_px=footage(11).points[:3])
    unseen = [*range(kp.LEFT_HAND.start + 2, kp.LEFT_HAND.stop, 2), kp.FACE.start + 8, kp.FACE.start + 19, 17]
    score = footage(11).visible[0].astype(np.float32)
    score[unseen] = 0
    films = []
    along = np.random.default_rng(2).uniform(-50, SIZE, len(unseen))
    for places in (np.zeros((len(unseen), 2)), np.stack([along, np.full(len(unseen), -40.0)], axis=1)):
        px = footage(11).points[0].copy()
        px[unseen] = places
        films.append(np.stack(list(made.render(**job | {"reference_px": px, "reference_score": score}))))
    np.testing.assert_array_equal(*films)
    whole = np.stack(list(made.render(**job)))
    assert made.name != "warp" or 25 < psnr(films[0], whole) < 60, "and the rest is drawn as ever"


WRONG: dict[str, tuple[Callable[[Footage], dict[str, object]], str]] = {
    "picture of floats": (lambda f: {"reference_image": f.pictures[0] / 255.0}, "reference_image: float64"),
    "picture without colours": (lambda f: {"reference_image": f.pictures[0, ..., 0]}, r"\[256, 256\], wanted uint8"),
    "tiny picture": (lambda f: {"reference_image": f.pictures[0, :20, :20].copy()}, "20x20 px, wanted sides"),
    "seventeen points": (lambda f: {"reference_px": f.points[0, :17]}, r"reference_px: float32 \[17, 2\]"),
    "whole numbers": (lambda f: {"keypoints_px": f.points.astype(int)}, r"keypoints_px: int64 .* wanted float32"),
    "one frame without its axis": (lambda f: {"keypoints_px": f.points[0]}, r"wanted float32 \[n, 133, 2\]"),
    "no frames": (lambda f: {"keypoints_px": f.points[:0]}, "no frames"),
    "nan": (lambda f: {"keypoints_px": np.where(f.points == f.points[2, 7, 1], np.nan, f.points)}, r"at \[2, 7, 1\]"),
    "scores of other frames": (lambda f: {"score": np.ones((3, kp.COUNT), np.float32)}, r"wanted float32 \[10, 133\]"),
    "raw scores": (lambda f: {"reference_score": np.full(kp.COUNT, 1.4, np.float32)}, "1.4 to 1.4, wanted 0 to 1"),
    "no shoulders": (lambda f: {"reference_score": np.zeros(kp.COUNT, np.float32)}, "the shoulders have 0.00"),
    "far away": (lambda f: {"reference_px": 128 + (f.points[0] - 128) * 0.05}, "px apart, wanted at least 8 px"),
    "another picture": (lambda f: {"reference_px": f.points[0] + 400}, "outside of the picture of 256x256 px"),
    "short sound": (lambda f: {"wave": np.zeros(6399, np.float32)}, r"wave: float32 \[6399\], wanted float32 \[6400\]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_rendered_is_said_before_the_first_frame(case: str):
    change, words = WRONG[case]
    with pytest.raises(UserError, match=words):
        renderer("copy-reference").render(**footage(11).job(**change(footage(11))))


def test_renderers_are_known_by_name():
    assert set(NAMES) == {"copy-reference", "warp", "command", "pose-diffusion", "wan-animate"}
    with pytest.raises(UserError, match="renderer wrap: there is none; there are copy-reference, warp"):
        renderer("wrap")
    with pytest.raises(UserError, match="no such setting: speed; there are none"):
        renderer("warp", speed=2)
    with pytest.raises(UserError, match="needs command"):
        renderer("command", timeout_s=3)


def test_settings_may_be_texts_as_on_a_command_line(tmp_path: Path):
    made = renderer("command", command="true {folder} {out}", timeout_s="3", folder=str(tmp_path))
    assert (made.timeout_s, made.folder) == (3.0, tmp_path)
    with pytest.raises(UserError, match=r"renderer command: timeout_s: .*number.*'soon'"):
        renderer("command", command="true {folder} {out}", timeout_s="soon")
    for name, value, words in (
        ("dtype", "float8", "dtype: .*'float8'"), ("overlap", "5", "segment=3"),
        ("overlap", "2", "overlap=2: wanted 1 or 5"), ("side_px", "0", "side_px=0: wanted 16"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"wan-animate: {words}"):
            renderer("wan-animate", weights="nowhere", segment="3", **{name: value})


def test_a_renderer_that_breaks_the_contract_is_found_out():
    class Short(Renderer):
        name = "short"

        def frames(self, job: Job) -> Iterator[np.ndarray]:
            yield job.reference_image

    class Small(Short):
        def frames(self, job: Job) -> Iterator[np.ndarray]:
            yield job.reference_image[:-1]

    with pytest.raises(ValueError, match="1 frames for a motion of 10"):
        list(Short().render(**footage(11).job()))
    with pytest.raises(ValueError, match="frame 0 is uint8"):
        list(Small().render(**footage(11).job()))


# ---- warp, as a whole


@functools.cache
def warped(who: int) -> np.ndarray:
    return film_of("warp", footage(who).job())


@pytest.mark.parametrize("who", TALKERS)
def test_a_person_who_does_not_move_stays_as_they_are(who: int):
    assert psnr(warped(who)[0], footage(who).pictures[0]) > 29  # 31 to 35: edges, and hands that are drawn


@pytest.mark.parametrize("who", TALKERS)
def test_it_is_nearer_to_the_film_than_the_reference_is(who: int):
    true = footage(who).pictures
    own, held = (np.mean([psnr(*pair) for pair in zip(film, true[1:], strict=True)])
                 for film in (warped(who)[1:], np.repeat(true[:1], len(true) - 1, axis=0)))  # fmt: skip
    assert own > held + 2.5  # 4 to 7 dB


def test_the_person_does_what_the_skeleton_says():
    """By the core's own estimator, which looks at the pictures alone."""
    pose, found = Networks(VideoSettings(pose="synthetic")).pose, {}
    for name in ("warp", "copy-reference"):
        apart = []
        for who in TALKERS[:2]:
            film = footage(who)
            frames = warped(who) if name == "warp" else np.repeat(film.pictures[:1], len(film.points), axis=0)
            shoulders = np.linalg.norm(np.subtract(*film.points[0, [kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]]))
            expected = np.ones(film.points.shape[:2], np.bool_)
            seen = estimate(frames[3::2], pose, expected_px=film.points[3::2], expected=expected[3::2])
            apart.append(np.linalg.norm(seen.points_px - film.points[3::2], axis=-1)[:, kp.UPPER_BODY] / shoulders)
        found[name] = float(np.mean(np.stack(apart) <= 0.1))
    assert found["warp"] > 0.93
    assert found["warp"] > found["copy-reference"] + 0.3


def test_the_room_stays():
    far = np.ones((SIZE, SIZE), np.bool_)
    low, high = (getattr(footage(11).points, name)(axis=(0, 1)) for name in ("min", "max"))
    far[:, max(0, int(low[0]) - 40) : int(high[0]) + 40] = False
    assert far.any()
    room = np.broadcast_to(footage(11).pictures[0][far], warped(11)[:, far].shape)
    np.testing.assert_array_equal(warped(11)[:, far], room)


def only(film: Footage, part: slice, frame: int) -> np.ndarray:
    """[2, 133, 2] the reference's pose, and the same with a part as in a frame, where the head was."""
    motion = np.repeat(film.points[:1], 2, axis=0)
    rest = np.r_[kp.FACE.start + 27 : kp.FACE.start + 31, kp.RIGHT_EYE.start, kp.LEFT_EYE.start + 3]
    back = fitted(film.points[frame, rest].astype(np.float64), film.points[0, rest].astype(np.float64))
    motion[1, part] = moved(back, film.points[frame, part])
    return motion


def inside(picture: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """[k, 3] pixels of a polygon, those that its edge goes through too."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(corners) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return picture[mask > 0].astype(float)


@pytest.mark.parametrize("who", TALKERS)
def test_an_open_mouth_is_dark_inside_and_shows_teeth(who: int):
    film = footage(who)
    motion = only(film, slice(kp.OUTER_LIPS.start, kp.INNER_LIPS.stop), -2)
    shut, opened = film_of("warp", film.job(keypoints_px=motion))
    above, below = motion[1, kp.INNER_LIPS.start + 2], motion[1, kp.INNER_LIPS.start + 6]
    throat, teeth = (inside(opened, np.stack([place, place + np.array([1, 0])])).mean(axis=0)
                     for place in (above + 0.8 * (below - above), above + 0.3 * (below - above)))  # fmt: skip
    np.testing.assert_allclose(throat, (60, 25, 25), atol=30)
    assert teeth.mean() > throat.mean() + 50
    assert np.abs(opened.astype(int) - shut).max() > 50


def test_closed_lids_cover_the_eyes():
    film = footage(12)
    motion = only(film, slice(kp.RIGHT_EYE.start, kp.LEFT_EYE.stop), -1)
    opened, shut = film_of("warp", film.job(keypoints_px=motion))
    for eye in (kp.RIGHT_EYE, kp.LEFT_EYE):
        bright = [np.percentile(inside(picture, motion[0, eye]), 90) for picture in (opened, shut)]
        assert bright[1] < bright[0] - 15


def test_hands_that_the_reference_does_not_show_are_drawn_in_the_colour_of_the_face():
    film = footage(12)
    frames = film_of("warp", with_score(film, kp.LEFT_HAND, kp.RIGHT_HAND))
    face = np.median(inside(film.pictures[0], film.points[0, [kp.FACE.start + n for n in (2, 30, 14)]]), axis=0)
    for hand in (kp.LEFT_HAND, kp.RIGHT_HAND):
        palm = film.points[-1, [hand.start + point for point in (0, 5, 17)]].mean(axis=0)
        column, row = np.round(palm).astype(int)
        assert np.abs(frames[-1, row, column] - face).max() < 40
    assert psnr(frames[-1], film.pictures[-1]) > psnr(film.pictures[0], film.pictures[-1])


@pytest.mark.parametrize(
    "unseen", [[slice(7, 11), slice(91, 133)], [slice(0, 5), kp.FACE], [slice(11, 23)], [slice(0, 5), slice(7, 133)]]
)
def test_a_reference_that_shows_little_is_rendered(unseen: list[slice]):
    film = footage(13)
    frames = film_of("warp", with_score(film, *unseen))
    assert psnr(frames[0], film.pictures[0]) > 20


def test_a_motion_that_is_not_to_be_relied_on_leaves_the_person_where_they_were():
    film = footage(12)
    wild = film.points + np.random.default_rng(0).normal(0, 300, film.points.shape).astype(np.float32)
    frames = film_of("warp", film.job(keypoints_px=wild, score=np.zeros(film.points.shape[:2], np.float32)))
    np.testing.assert_array_equal(frames, np.repeat(frames[:1], len(frames), axis=0))
    assert psnr(frames[0], film.pictures[0]) > 29


def test_points_far_outside_do_no_harm():
    film = footage(11)
    motion = np.stack([film.points[0], film.points[0] + 3000, film.points[0] * 40, np.full((kp.COUNT, 2), 128)])
    frames = film_of("warp", film.job(keypoints_px=motion.astype(np.float32)))
    np.testing.assert_array_equal(frames[0], warped(11)[0])


def test_memory_does_not_grow_with_the_film():
    film = footage(13)
    peaks = []
    for n in (3, 24):
        motion = np.resize(film.points, (n, kp.COUNT, 2))
        frames = renderer("warp").render(**film.job(keypoints_px=motion))
        next(frames)
        tracemalloc.start()
        for _ in frames:
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * film.pictures[0].nbytes


# ---- warp, its parts


def test_a_map_is_the_similarity_and_a_part_of_what_is_left():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(6, 2))
    turned = 2 * source @ Rotation.from_euler("z", 30, degrees=True).as_matrix()[:2, :2].T + [5, -3]
    np.testing.assert_allclose(moved(fitted(source, turned), source), turned, atol=1e-9)
    sheared = source @ np.array([[1.5, 0.2], [0.0, 0.8]]) + 1
    np.testing.assert_allclose(moved(fitted(source, sheared, stiff=0), source), sheared, atol=1e-5)
    stiff, soft, free = (np.linalg.norm(moved(fitted(source, sheared, stiff=much), source) - sheared)
                         for much in (None, 0.5, 0.0))  # fmt: skip
    assert stiff > soft > free
    np.testing.assert_allclose(moved(fitted(np.ones((3, 2)), np.full((3, 2), 4.0)), np.zeros((1, 2))), [[3, 3]])


def test_a_limb_s_width_is_found_where_its_colour_ends():
    picture = np.full((120, 160, 3), 60, np.uint8)
    cv2.line(picture, (20, 60), (140, 60), (150, 90, 90), 18)
    bone = Bone(np.array([30.0, 62.0]), np.array([130.0, 62.0]))  # a little off the middle
    matte, nothing = np.ones(picture.shape[:2], np.float32), np.zeros(picture.shape[:2], np.bool_)
    found = find_widths(picture, matte, bone, tapered(10, 10), hidden=nothing)
    np.testing.assert_allclose(found.right, 11.5, atol=1)
    np.testing.assert_allclose(found.left, 7.5, atol=1)
    blind = find_widths(picture, matte, bone, tapered(10, 10), hidden=~nothing)
    np.testing.assert_allclose([blind.left, blind.right], 10, atol=0.3)
    matte[70:] = 0  # the person's own edge
    edged = find_widths(np.full_like(picture, 60), matte, bone, tapered(6, 6), hidden=nothing)
    np.testing.assert_allclose(edged.left, 7.5, atol=1)


def test_a_limb_is_turned_and_stretched_along_its_bone():
    picture = np.full((120, 160, 3), 60, np.uint8)
    cv2.line(picture, (40, 60), (79, 60), (200, 40, 40), 13)
    cv2.line(picture, (80, 60), (120, 60), (40, 40, 200), 13)
    bone, nothing = Bone(np.array([40.0, 60.0]), np.array([120.0, 60.0])), np.zeros((120, 160), np.bool_)
    limb = Limb.of_picture(picture, bone, tapered(6, 6), hidden=nothing, colour=np.zeros(3, np.float32))
    canvas = np.zeros((160, 160, 3), np.uint8)
    limb.lay(canvas, Bone(np.array([80.0, 20.0]), np.array([80.0, 140.0])), scale=1.0)  # down, half as long again
    np.testing.assert_allclose(canvas[60, 80], (200, 40, 40), atol=2)
    np.testing.assert_allclose(canvas[100, 80], (40, 40, 200), atol=2)
    row = canvas[60].any(axis=-1)
    assert 12 <= row.sum() <= 14  # as wide as before
    assert not canvas[:12].any()
    assert not canvas[149:].any()
    short = np.zeros_like(canvas)
    limb.lay(short, Bone(np.array([80.0, 80.0]), np.array([80.0, 80.0])), scale=2.0)  # toward the camera
    assert 21 <= short[80].any(axis=-1).sum() <= 26


def test_coverage_is_the_area_of_a_limb_with_round_ends():
    box = Box(0, 0, 100, 100)
    covers, u, v = coverage(Bone(np.array([20.0, 30.0]), np.array([70.0, 60.0])), tapered(8, 8), box)
    assert covers.sum() == pytest.approx(16 * np.hypot(50, 30) + np.pi * 64, rel=0.01)
    x, y = Bone(np.array([20.0, 30.0]), np.array([70.0, 60.0])).places(u, v)
    np.testing.assert_allclose(x, np.broadcast_to(np.arange(100), x.shape), atol=1e-3)
    np.testing.assert_allclose(y, np.broadcast_to(np.arange(100)[:, None], x.shape), atol=1e-3)


def test_a_pattern_goes_on_behind_what_is_taken_away():
    column, row = np.meshgrid(np.arange(192), np.arange(160))
    picture = np.repeat(((column // 12 % 2) * 120 + 60 + row // 4)[..., None], 3, axis=2).astype(np.uint8)
    hidden = np.zeros(picture.shape[:2], np.bool_)
    hidden[40:130, 70:120] = True
    spoilt = np.where(hidden[..., None], np.uint8(255), picture)
    filled = made_up(spoilt, hidden, known=~hidden)
    np.testing.assert_array_equal(filled[~hidden], picture[~hidden])
    assert psnr(filled[hidden], picture[hidden]) > 25
    np.testing.assert_array_equal(made_up(picture, hidden & False, known=~hidden), picture)


def test_the_mesh_of_a_face_takes_its_points_where_they_should_be():
    film = footage(12)
    face = Face(film.pictures[0], film.points[0].astype(np.float64), film.visible[0])
    rest = film.points[0, kp.FACE].astype(np.float64)
    x, y = (np.array(axis, np.float32) for axis in np.meshgrid(np.arange(SIZE), np.arange(SIZE)))
    still_x, still_y = x.copy(), y.copy()
    face.bend(still_x, still_y, rest)
    np.testing.assert_allclose([still_x, still_y], [x, y], atol=1e-3)
    bent = rest.copy()
    nose = 30
    bent[nose] += [3, -2]
    bent_x, bent_y = np.full((1, 1), bent[nose, 0], np.float32), np.full((1, 1), bent[nose, 1], np.float32)
    face.bend(bent_x, bent_y, bent)
    np.testing.assert_allclose([bent_x[0, 0], bent_y[0, 0]], rest[nose], atol=0.7)
    far_x, far_y = np.full((1, 1), 3, np.float32), np.full((1, 1), 5, np.float32)
    face.bend(far_x, far_y, bent)
    assert (far_x[0, 0], far_y[0, 0]) == (3, 5)


# ---- another program


def test_a_program_finds_all_that_it_needs(tmp_path: Path):
    film, places = footage(11), tmp_path / "jobs"
    job = film.job(keypoints_px=film.points[:3], wave=np.full(3 * SAMPLES_PER_FRAME, 0.5, np.float32))
    frames = film_of("command", job, command=program(tmp_path), folder=places)
    for number, frame in enumerate(frames):
        assert np.abs(frame[2:6, 2:6].astype(int) - 20 * number).max() < 8
        assert psnr(frame[10:], film.pictures[0][10:]) > 25
    film_of("command", job, command=program(tmp_path), folder=places)
    assert sorted(path.name for path in places.iterdir()) == ["job-0", "job-1"]
    folder = places / "job-0"
    assert "rendering 3 frames" in (folder / "log.txt").read_text()
    given = np.load(folder / "keypoints.npz")
    np.testing.assert_array_equal(given["keypoints_px"], film.points[:3])
    np.testing.assert_array_equal(given["reference_px"], film.points[0])
    assert given["score"].shape == (3, kp.COUNT)
    for name, wanted in (("reference.png", film.pictures[0]), ("skeleton/000002.png", None)):
        seen = cv2.imread(str(folder / name))[..., ::-1]
        assert seen.shape == (SIZE, SIZE, 3)
        assert seen.any() if wanted is None else np.array_equal(seen, wanted)
    assert media.probe(folder / "skeleton.mp4").n_frames == 3
    assert np.abs(media.sound(folder / "audio.wav", start_ms=0, n_samples=1920) - 0.5).max() < 1e-3


def test_a_program_s_folder_is_gone_when_nobody_wants_it(tmp_path: Path):
    source = "import sys, pathlib; pathlib.Path(sys.argv[3]).write_text(sys.argv[1])"
    command = program(tmp_path, source=source) + f" '{tmp_path / 'said.txt'}'"
    with pytest.raises(UserError, match=r"no out\.mp4 was written"):
        film_of("command", footage(11).job(), command=command)
    place = Path((tmp_path / "said.txt").read_text())
    assert place.name.startswith("csg405-")
    assert not place.exists()


FAILS = {
    "status": ("import sys; print('no GPU'); sys.exit(3)", r"ended with status 3. Its last words:\nno GPU"),
    "silent": ("raise SystemExit(1)", "ended with status 1. It said nothing"),
    "nothing written": ("print('done')", "no out.mp4 was written, though the program ended well"),
    "no film": ("import sys; open(sys.argv[2], 'w').write('film')", "out.mp4: cannot be decoded"),
}


@pytest.mark.parametrize("case", FAILS)
def test_a_program_that_fails_is_told_with_its_last_words(tmp_path: Path, case: str):
    source, words = FAILS[case]
    with pytest.raises(UserError, match=words):
        film_of("command", footage(11).job(), command=program(tmp_path, source=source))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"more": -2}, "out.mp4: 8 frames, wanted the 10"), ({"more": 1}, "more frames than the 10"),
     ({"wider": 2}, "frames of 258x256 px, wanted those of the picture, 256x256"),
     ({"fps": 5}, "frame 4 is at 0.133 s, wanted 0.160 s; write 25 frames")],
)  # fmt: skip
def test_a_film_that_is_not_what_was_asked_for_is_refused(tmp_path: Path, wrong: dict[str, int], words: str):
    with pytest.raises(UserError, match=words):
        film_of("command", footage(11).job(), command=program(tmp_path, **wrong))


def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path):
    sign = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(2.5); pathlib.Path({str(sign)!r}).touch()"
    source = f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    begun = time.monotonic()
    with pytest.raises(UserError, match="did not end within 1 s; allow more with timeout_s"):
        film_of("command", footage(11).job(), command=program(tmp_path, source=source), timeout_s=1)
    assert time.monotonic() - begun < 20
    time.sleep(2.5)
    assert not sign.exists()


def test_a_command_line_is_words_and_no_shell(tmp_path: Path):
    for command, words in (
        ("python 'infer.py {folder}", "cannot be split into words"),
        ("python infer.py", "does not say where {folder} goes"),
        ("{folder}", "does not say where {folder} goes"),
    ):
        with pytest.raises(UserError, match=words):
            renderer("command", command=command)
    with pytest.raises(UserError, match="no-such-program: No such file"):
        film_of("command", footage(11).job(), command="no-such-program {folder}")
    sign = tmp_path / "sign"
    with pytest.raises(UserError, match=r"no out\.mp4 was written"):
        film_of("command", footage(11).job(), command=f"echo {{folder}} ; touch {sign} $(touch {sign})")
    assert not sign.exists()


# ---- the film


def test_a_film_has_its_frames_on_the_clock_and_the_sound_beside_them(tmp_path: Path):
    n, at = 20, 12
    frames = [np.full((64, 96, 3), 10 * number, np.uint8) for number in range(n)]
    wave = np.zeros(n * SAMPLES_PER_FRAME, np.float32)
    wave[at * SAMPLES_PER_FRAME : at * SAMPLES_PER_FRAME + 400] = np.sin(np.arange(400) * 2 * np.pi * 440 / 16_000)
    path = tmp_path / "film.mp4"
    assert write_film(iter(frames), wave, path) == n
    seen = media.probe(path)
    assert (seen.n_frames, seen.width, seen.height, seen.video_codec) == (n, 96, 64, "h264")
    assert (seen.fps, seen.start_s, seen.audio_codec, seen.audio_rate_hz) == (FPS, 0, "aac", AUDIO_RATE_HZ)
    shown = [picture.rgb().mean() for _, picture in media.frames(path)]
    np.testing.assert_allclose(shown, [frame.mean() for frame in frames], atol=3)
    heard = np.abs(media.sound(path, start_ms=0, n_samples=len(wave)))
    begins = np.flatnonzero(heard > 0.3)[0] / AUDIO_RATE_HZ
    assert begins == pytest.approx(at / FPS, abs=0.01)


def test_a_film_may_be_silent_and_is_made_whole_or_not_at_all(tmp_path: Path):
    frames, path = [np.zeros((64, 64, 3), np.uint8)] * 5, tmp_path / "film.mp4"
    for given, wave, words in (
        ([], None, "no frames"),
        ([frame[:63] for frame in frames], None, "frames of 64x63 px, wanted even sides"),
        (frames, np.zeros(4 * 640, np.float32), r"\(2560,\) samples of sound for 5 frames, wanted \[3200\]"),
    ):
        with pytest.raises(UserError, match=words):
            write_film(given, wave, path)
        assert list(tmp_path.iterdir()) == []
    assert write_film(frames, None, path) == 5
    assert media.probe(path).audio_codec is None


@pytest.mark.parametrize("radius", [5.0, 16.5, 23.0])
def test_masks_grow_and_close_by_discs_of_any_size(radius: float):
    mask = np.zeros((160, 200), np.uint8)
    mask[60:100, 50:90] = mask[60:100, 110:150] = 1
    mask[:30, 197:] = 1
    y, x = np.nonzero(mask)
    rows, columns = np.mgrid[:160, :200]
    away = np.sqrt(((rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2).min(axis=-1))
    large = grown(mask > 0, radius)
    assert large[away < radius - 1.5].all()
    assert not large[away > radius + 1.5].any()
    assert opened(mask, radius)[70:90, 60:80].all() == (radius < 20)
    assert not opened(mask, radius)[:, 197:].any(), "no disc fits into a strip at the edge"
    assert closed(mask, radius)[65:95, 90:110].all() == (radius > 11)
    assert (closed(mask, radius) >= mask).all()
    assert not grown(np.zeros((40, 40), np.bool_), radius).any()


def test_a_head_of_another_size_is_none():
    held = footage(11)
    rest = Rest(Job(**held.job(), score=np.ones(held.points.shape[:2], np.float32)))
    face, seen = held.points[0].copy(), np.ones(kp.COUNT, np.bool_)
    before = rest.place(held.points[0], seen)
    face[kp.FACE] = face[kp.FACE].mean(axis=0) + 3 * (face[kp.FACE] - face[kp.FACE].mean(axis=0))
    face[:5] = face[:5].mean(axis=0) + 3 * (face[:5] - face[:5].mean(axis=0))
    placed = rest.place(face, seen)
    assert placed.scale == before.scale
    assert np.linalg.det(placed.head[:, :2]) == pytest.approx(np.linalg.det(before.head[:, :2]), rel=0.05)


def test_renders_into_one_folder_have_places_of_their_own(tmp_path: Path):
    (tmp_path / "jobs" / "job-0").mkdir(parents=True)
    held = footage(11)
    made = renderer("command", command=program(tmp_path), folder=tmp_path / "jobs")
    assert len(list(made.render(**held.job()))) == len(held.points)
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["job-0", "job-1"]
    assert not list((tmp_path / "jobs" / "job-0").iterdir())


def test_a_program_ends_with_whoever_started_it(tmp_path: Path):
    asleep = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(0.5); pathlib.Path('late').touch()"
    render = (
        "import sys; from pathlib import Path; from tests.test_bench_renderers import footage;"
        "from csg405.benchmark.renderers import renderer;"
        "list(renderer('command', command=sys.argv[1], folder=Path(sys.argv[2])).render(**footage(11).job()))"
    )
    words = [sys.executable, "-c", render, program(tmp_path, source=asleep), str(tmp_path / "jobs")]
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}) as process:
        while not (tmp_path / "jobs" / "job-0" / "begun").exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    time.sleep(1)
    assert (tmp_path / "jobs" / "job-0" / "begun").exists()
    assert not (tmp_path / "jobs" / "job-0" / "late").exists()
