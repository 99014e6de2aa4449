"""A picture and a recording become a film: by the command, from end to end, and what cannot become one is told."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from typer.testing import CliRunner

from csg405 import keypoints as kp
from csg405.benchmark import generate, models
from csg405.benchmark.audio.features import extractor
from csg405.benchmark.models.speech import Performer
from csg405.benchmark.renderers.base import renderer
from csg405.benchmark.video_networks import Networks, PosePair, VideoSettings
from csg405.cli import app
from csg405.errors import UserError
from csg405.media import sound
from csg405.synth import film

RATE_HZ = 44_100
SECONDS = 1.3
FRAMES = 33
"""Of 1.3 s: the last one is not filled."""


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("person") / "person.png"
    image, _ = next(iter(film.take(90_001, words=6, width=481, height=640).draw()))
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(np.repeat(np.rint(tone * 32767).astype("<i2")[:, None], 2, axis=1).tobytes())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    made = models.create(
        "flow-dit", features_dim=extractor("prosody").dim, width=32, layers=1, heads=2, frames=20, context=5,
        lookahead=2, steps=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model")
    models.save(made, folder)
    return folder


@pytest.fixture(scope="module")
def networks() -> PosePair:
    return Networks(VideoSettings(pose="synthetic")).pose


def test_the_command_writes_a_film_with_the_sound_on_the_clock(
    picture: Path, speech: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"
    told = CliRunner().invoke(
        app, ["generate", "--image", str(picture), "--audio", str(speech), "--out", str(out), "--model", str(model),
              "--pose", "synthetic", "--seed", "4"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "film.mp4, 1.3 s" in told.output
    with av.open(str(out)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        size = container.streams.video[0].width, container.streams.video[0].height
    assert times == pytest.approx([number / 25 for number in range(FRAMES)], abs=1e-3)
    assert size == (480, 640)
    heard = sound(out, start_ms=0, n_samples=16_000)
    assert np.abs(np.fft.rfft(heard)).argmax() == pytest.approx(440, abs=1)


def test_the_film_begins_as_the_picture(
    picture: Path, speech: Path, model: Path, networks: PosePair, tmp_path: Path
) -> None:
    person = generate.person_in(generate.read_picture(picture), networks).within(320)
    assert person.image.shape == (320, 240, 3)
    motion = generate.film(
        person, generate.read_speech(speech), tmp_path / "film.mp4", performer=Performer.open(model),
        renderer=renderer("copy-reference"),
    )  # fmt: skip
    assert motion.shape == (FRAMES, 133, 2)
    shown = [point for point in kp.UPPER_BODY if person.score[point] >= 0.3]
    assert np.abs(motion[0, shown] - person.keypoints_px[shown]).max() < 1


def test_a_picture_without_a_person_is_told(networks: PosePair) -> None:
    with pytest.raises(UserError, match=r"nobody was found|shoulders"):
        generate.person_in(np.full((256, 256, 3), 90, np.uint8), networks)


def test_files_that_hold_something_else_are_told(picture: Path, speech: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no picture"):
        generate.read_picture(speech)
    with pytest.raises(UserError, match="no audio stream"):
        generate.read_speech(picture)
    for read in (lambda: generate.read_picture(tmp_path / "no.png"),
                 lambda: generate.read_speech(tmp_path / "no.wav")):  # fmt: skip
        with pytest.raises(UserError, match="no such file"):
            read()
    for read in (lambda: generate.read_picture(tmp_path), lambda: generate.read_speech(tmp_path)):
        with pytest.raises(UserError, match="a folder; give a file"):
            read()


def test_pictures_that_are_empty_or_strips_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match="no picture"):
        generate.read_picture(tmp_path / "empty.png")
    cv2.imwrite(str(tmp_path / "strip.png"), np.zeros((2, 5000, 3), np.uint8))
    with pytest.raises(UserError, match="5000x2 px; give sides of 32 px"):
        generate.read_picture(tmp_path / "strip.png")


@pytest.mark.parametrize("out", ["folder.mp4", "file/film.mp4"])
def test_a_film_cannot_be_a_folder_or_lie_in_a_file(tmp_path: Path, out: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    words = ["generate", "--image", "p.png", "--audio", "s.wav", "--out", str(tmp_path / out), "--model", "nowhere"]
    with pytest.raises(UserError, match="a folder, or within a file"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_film_does_not_take_the_place_of_what_is_given(tmp_path: Path) -> None:
    words = ["generate", "--image", "p.png", "--audio", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "a.mp4")]
    with pytest.raises(UserError, match="take the place of what is given"):
        CliRunner().invoke(app, [*words, "--model", "nowhere"], catch_exceptions=False)


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:20, :20] = (200, 40, 40)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    PIL.Image.fromarray(image).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    seen = generate.read_picture(tmp_path / "phone.jpg")
    assert seen.shape == (96, 64, 3)
    assert seen[10, 54, 0] > 150
    assert seen[10, 10].max() < 60


def someone(width: int, height: int, *, shoulders: tuple[float, float], across: float) -> generate.Person:
    points = np.zeros((kp.COUNT, 2), np.float32)
    points[kp.LEFT_SHOULDER] = (shoulders[0] + across / 2, shoulders[1])
    points[kp.RIGHT_SHOULDER] = (shoulders[0] - across / 2, shoulders[1])
    return generate.Person(np.zeros((height, width, 3), np.uint8), points, np.ones(kp.COUNT, np.float32))


def test_a_large_picture_is_looked_at_whole_and_made_as_large_as_its_film() -> None:
    person = someone(4001, 3000, shoulders=(2000, 1500), across=900).within(768)
    assert person.image.shape == (576, 768, 3)
    left, right = person.keypoints_px[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]]
    assert left - right == pytest.approx([900 * 768 / 4001, 0])
    assert (left + right) / 2 == pytest.approx([2000.5 * 768 / 4001 - 0.5, 1500.5 * 576 / 3000 - 0.5])
    small = someone(300, 401, shoulders=(150, 200), across=90).within(768)
    assert small.image.shape == (400, 300, 3)
    for wrong, says in (
        (someone(5000, 100, shoulders=(2000, 50), across=90), "768x16 px is a strip"),
        (someone(4000, 3000, shoulders=(2000, 1500), across=30), "shoulders are 6 px wide .* cut the picture"),
        (someone(800, 800, shoulders=(400, 810), across=300), "beyond the picture's edge"),
    ):
        with pytest.raises(UserError, match=says):
            wrong.within(768)


def test_networks_that_there_are_not_are_told(tmp_path: Path) -> None:
    words = ["generate", "--image", "p.png", "--audio", "s.wav", "--out", str(tmp_path / "f.mp4"), "--model", "nowhere"]
    with pytest.raises(UserError, match=r"pose: Input should be 'lightweight', .*; seen 'nope'"):
        CliRunner().invoke(app, [*words, "--pose", "nope"], catch_exceptions=False)


def test_sound_of_any_rate_is_whole(speech: Path) -> None:
    heard = generate.read_speech(speech)
    assert len(heard) == FRAMES * 640
    assert np.abs(heard[: round(1.25 * 16_000)]).max() == pytest.approx(0.3, abs=0.02)
    assert not heard[round(1.31 * 16_000) :].any()
