"""Cutting on a real film whose frames carry their number: the right square, the right frames, and nothing twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405 import media
from csg405.postprocess.cut import Operator, cut_square, read_sound
from csg405.schema import Clip, Crop, Cut, Record, Refusal, Verdict
from tests import films, items

SIZE_PX = 128
CLIP = items.clip(start_ms=400, n_frames=50, width=160, height=96)  # pictures 10 to 59, clicks at 0.5, 1.25, 2.0 s
SQUARE = {"x_px": 0, "y_px": -32, "side_px": 160}


def crop(**values: Any) -> Crop:
    facts = {"x_px": 32, "y_px": 0, "side_px": 96, "black_fraction": 0.0, "outside_fraction": 0.0} | values
    return Crop(clip_id=CLIP.clip_id, video_id=CLIP.video_id, **facts)


def verdict(*, kept: bool = True) -> Verdict:
    return Verdict(
        clip_id=CLIP.clip_id, video_id=CLIP.video_id, duration_s=2.0, kept=kept, first_reason=None, only_reason=None,
        reasons=[], review=[],
    )  # fmt: skip


def cut(root: Path, film: Path, *rows: Record, clip: Clip = CLIP, **config: Any) -> list[Record]:
    options = {"size_px": SIZE_PX, "preset": "ultrafast"} | config
    made = Operator(items.setting("postprocess.cut", root, **options))
    return list(made(items.item(*rows, of=clip, media=film, reads=(Crop, Verdict))))


def the_cut(*args: Any, **config: Any) -> Cut:
    (row,) = cut(*args, **config)
    assert isinstance(row, Cut)
    return row


@st.composite
def squares(draw: st.DrawFn) -> tuple[int, int, Crop]:
    width, height, side = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 16))
    return width, height, crop(x_px=draw(st.integers(-20, 20)), y_px=draw(st.integers(-20, 20)), side_px=side)


@settings(max_examples=300, deadline=None)
@given(squares())
def test_a_square_is_the_picture_with_black_around_it(case: tuple[int, int, Crop]) -> None:
    width, height, wanted = case
    image = np.arange(1, width * height * 3 + 1, dtype=np.uint16).astype(np.uint8).reshape(height, width, 3)
    around = np.pad(image, ((40, 40), (40, 40), (0, 0)))
    rows = slice(40 + wanted.y_px, 40 + wanted.y_px + wanted.side_px)
    columns = slice(40 + wanted.x_px, 40 + wanted.x_px + wanted.side_px)
    np.testing.assert_array_equal(cut_square(image, wanted), around[rows, columns])


def test_frames_and_samples_agree_and_the_pictures_are_those_of_the_clock(tmp_path: Path, film: Path) -> None:
    row = the_cut(tmp_path, film, crop(**SQUARE), verdict())
    assert (row.n_frames, row.size_px) == (50, SIZE_PX)
    work = tmp_path / "work" / "run"
    pictures = [picture.rgb() for _, picture in media.frames(work / row.path)]
    assert len(pictures) == 50
    assert all(picture.shape == (SIZE_PX, SIZE_PX, 3) for picture in pictures)
    # Black takes the upper and lower fifth; between them lies the whole picture with its number.
    border = SIZE_PX * 32 // 160
    assert [films.number_of(picture[border + 1 : -border - 1]) for picture in pictures] == list(range(10, 60))
    assert max(picture[: border - 2].mean() for picture in pictures) < 8
    samples = read_sound(work / row.audio_path)
    assert samples.dtype == np.int16
    assert len(samples) == 50 * 640


def test_the_sound_is_that_of_the_span(tmp_path: Path, film: Path) -> None:
    row = the_cut(tmp_path, film, crop(), verdict())
    samples = read_sound(tmp_path / "work" / "run" / row.audio_path) / 32768
    wanted = films.clicks([0.1, 0.85, 1.6], n_samples=len(samples), rate_hz=16_000)
    assert abs(films.lag_samples(samples.astype(np.float32), wanted)) < 2
    assert float(np.corrcoef(samples, wanted)[0, 1]) > 0.95


def test_the_colour_of_the_square_is_the_sources(tmp_path: Path, film: Path) -> None:
    row = the_cut(tmp_path, film, crop(x_px=40, y_px=52, side_px=40), verdict())  # within the lower half
    _, picture = next(media.frames(tmp_path / "work" / "run" / row.path))
    np.testing.assert_allclose(picture.rgb().mean(axis=(0, 1)), films.COLOUR, atol=6)


def test_a_second_call_finds_its_media_and_decodes_nothing(tmp_path: Path, film: Path) -> None:
    first = the_cut(tmp_path, film, crop(), verdict())
    paths = [tmp_path / "work" / "run" / path for path in (first.path, first.audio_path)]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]
    again = the_cut(tmp_path, tmp_path / "the film is gone.mp4", crop(), verdict())
    assert again == first
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths] == before


@pytest.mark.parametrize(
    ("moved", "config"),
    [({"x_px": 30}, {}), ({"side_px": 90}, {}), ({}, {"size_px": 96}), ({}, {"crf": 30}), ({}, {"preset": "veryfast"})],
)
def test_another_square_or_encoding_is_another_file(
    tmp_path: Path, film: Path, moved: dict[str, int], config: dict[str, Any]
) -> None:
    clip = dataclasses.replace(CLIP, n_frames=5)
    first = the_cut(tmp_path, film, crop(), verdict(), clip=clip)
    second = the_cut(tmp_path, film, crop(**moved), verdict(), clip=clip, **config)
    assert first.path != second.path
    assert all((tmp_path / "work" / "run" / path).exists() for path in (first.path, second.path, second.audio_path))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, film: Path) -> None:
    contents = []
    for name in ("a", "b"):
        row = the_cut(tmp_path / name, film, crop(), verdict())
        contents.append([(tmp_path / name / "work" / "run" / path).read_bytes() for path in (row.path, row.audio_path)])
    assert contents[0] == contents[1]


def test_rejected_clips_are_cut_where_the_report_shows_them(tmp_path: Path, film: Path) -> None:
    clip = dataclasses.replace(CLIP, n_frames=5)
    assert cut(tmp_path, film, crop(), verdict(kept=False), clip=clip, preview_one_in=0) == []
    assert not (tmp_path / "work").exists()
    assert len(cut(tmp_path, film, crop(), verdict(kept=False), clip=clip, preview_one_in=1)) == 1


def test_one_in_so_many_is_shown() -> None:
    made = Operator(items.setting("postprocess.cut", items.Path(), preview_one_in=20))
    shown = sum(made._is_shown(dataclasses.replace(CLIP, clip_id=f"file.{i}")) for i in range(20_000))
    assert shown == pytest.approx(1000, abs=4 * 31)


def test_without_a_crop_or_a_verdict_there_is_nothing_to_cut(tmp_path: Path, film: Path) -> None:
    assert cut(tmp_path, film, verdict()) == []
    assert cut(tmp_path, film, crop()) == []


def test_a_source_that_cannot_be_decoded_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (row,) = cut(tmp_path, tmp_path / "text.mp4", crop(), verdict())
    assert isinstance(row, Refusal)
    assert (row.start_s, row.end_s) == (0.4, 2.4)
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def test_a_wav_of_another_kind_is_an_error(tmp_path: Path) -> None:
    import soundfile

    for name, shape, rate_hz in (("rate", (640,), 8000), ("stereo", (640, 2), 16_000)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(shape), rate_hz)
        with pytest.raises(ValueError, match=rf"{name}\.wav: {rate_hz} Hz with {len(shape)} dimensions"):
            read_sound(tmp_path / f"{name}.wav")
