"""Reading and writing real films: times, seeks, turns, colours, sound."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from csg405.errors import UserError
from csg405.media import (
    AUDIO_RATE_HZ,
    FPS,
    SAMPLES_PER_FRAME,
    Unreadable,
    frames,
    frames_on_clock,
    probe,
    sound,
    write_clip,
)
from csg405.media.encode import write_sound
from csg405.media.sound import whole_sound
from tests import films

CLICKS_S = (1.0, 1.7, 3.123, 5.5, 7.25)


def ffmpeg(*arguments: object) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def _variable(n_frames: int) -> list[int]:
    """Steps from 5 to 130 ms, as a telephone's camera gives them."""
    steps_ms = [5 + (37 * number * number) % 126 for number in range(n_frames)]
    return [90 * sum(steps_ms[:number]) for number in range(n_frames)]


KINDS: dict[str, Callable[[Path], Path]] = {
    "b-frames.mp4": lambda path: films.write(path, films.steady(30, 210), b_frames=3, gop=30),
    "one-key-frame.mp4": lambda path: films.write(path, films.steady(25, 200), b_frames=2, gop=1000),
    "delayed-start.mp4": lambda path: films.write(path, films.steady(25, 175, start_s=1.5), b_frames=2),
    "ntsc.mkv": lambda path: films.write(path, films.steady(Fraction(30_000, 1001), 210), b_frames=3),
    "film-rate.mp4": lambda path: films.write(path, films.steady(Fraction(24_000, 1001), 170), b_frames=3),
    "fast.mp4": lambda path: films.write(path, films.steady(60, 420), gop=100),
    "variable.mkv": lambda path: films.write(path, _variable(120), b_frames=2, gop=40),
    "transport.ts": lambda path: films.write(path, films.steady(25, 200), b_frames=2, gop=25),
    "vp8.webm": lambda path: films.write(path, films.steady(30, 210), codec="libvpx", gop=60),
}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("kinds") / request.param)


def test_a_seek_finds_the_pictures_that_decoding_from_the_start_finds(kind: Path):
    # `frames` reads from the start; its own times are checked against what was written, further down.
    all_frames = [(Fraction(picture.time_s), films.number_of(picture.rgb())) for _, picture in frames(kind)]
    end_ms = int(all_frames[-1][0] * 1000)
    for start_ms in (0, 40, 999, 2_017, 2_500, 4_011, end_ms - 900, end_ms - 90):
        targets = [Fraction(start_ms + 40 * number, 1000) for number in range(25)]
        near = [min(all_frames, key=lambda item: (round(abs(item[0] - target), 9), item[0]))[1] for target in targets]
        seen = [films.number_of(image) for image in frames_on_clock(kind, start_ms=start_ms, n_frames=25)]
        assert seen == near, f"from {start_ms} ms"


def test_pictures_come_once_each_in_the_order_of_their_times(kind: Path):
    read = [(ticks, films.number_of(picture.rgb())) for ticks, picture in frames(kind)]
    assert [number for _, number in read] == list(range(len(read)))
    assert [ticks for ticks, _ in read] == sorted({ticks for ticks, _ in read})
    assert len(read) == probe(kind).n_frames


@pytest.mark.parametrize("b_frames", [0, 3])
def test_times_are_those_that_were_written(tmp_path: Path, b_frames: int):
    ticks = _variable(60)
    path = films.write(tmp_path / "film.mp4", ticks, b_frames=b_frames)
    assert [picture.time_s for _, picture in frames(path)] == pytest.approx([tick / films.TICKS for tick in ticks])


def test_a_file_without_pictures_is_refused_and_a_missing_one_is_an_error_to_try_again(tmp_path: Path):
    write_sound(tmp_path / "sound.wav", np.zeros(1600, np.int16))
    with pytest.raises(Unreadable, match="no_pictures"):
        list(frames(tmp_path / "sound.wav"))
    with pytest.raises(UserError, match=r"nothing\.mp4: cannot be opened: No such file.*run this again"):
        list(frames(tmp_path / "nothing.mp4"))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_films_come_out_upright(tmp_path: Path, degrees: int):
    plain = films.write(tmp_path / "plain.mp4", films.steady(25, 5))
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", degrees, "-i", plain, "-c", "copy", turned)
    size = (160, 96) if degrees % 180 == 0 else (96, 160)
    found = probe(turned)
    assert (found.width, found.height) == size
    # ffmpeg's own program turns pictures by the same metadata: an independent opinion.
    raw = ffmpeg("-i", turned, "-frames:v", 5, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    wanted = np.frombuffer(raw, np.uint8).reshape(5, size[1], size[0], 3).astype(int)
    seen = np.stack([picture.rgb() for _, picture in frames(turned)]).astype(int)
    assert seen.shape == wanted.shape
    assert np.abs(seen - wanted).mean() < 3


@pytest.mark.parametrize(("degrees", "size"), [(0, (213, 96)), (90, (96, 213))])
def test_pixels_that_are_not_square_come_out_square(tmp_path: Path, degrees: int, size: tuple[int, int]):
    wide = films.write(tmp_path / "wide.mp4", films.steady(25, 40), aspect=Fraction(4, 3))
    ffmpeg("-display_rotation", degrees, "-i", wide, "-c", "copy", tmp_path / "turned.mp4")
    found = probe(tmp_path / "turned.mp4")
    assert (found.width, found.height) == size
    images = [picture.rgb() for _, picture in frames(tmp_path / "turned.mp4")]
    assert {image.shape for image in images} == {(size[1], size[0], 3)}
    if not degrees:
        assert [films.number_of(image) for image in images] == list(range(40))


def test_a_height_scales_and_keeps_the_aspect(film: Path):
    _, picture = next(iter(frames(film)))
    assert picture.rgb(height=48).shape == (48, 80, 3)
    assert picture.rgb(height=192).shape == (192, 320, 3)
    assert np.abs(picture.rgb(height=48)[-10:].mean((0, 1)) - films.COLOUR).max() < 6


@pytest.mark.parametrize(
    ("name", "codec", "start_s", "sound_start_s"),
    [
        ("aac.mp4", "aac", 0.0, 0.0),
        ("aac.mkv", "aac", 0.0, 0.0),
        ("opus.webm", "libopus", 0.0, 0.0),
        ("late-sound.mov", "pcm_s16le", 0.0, 0.7),
        # An mp4 counts the start in whole ms, less AAC's 1024 priming samples.
        ("late-sound.mp4", "aac", 0.0, 0.5 + 1024 / films.AUDIO_RATE_HZ),
        ("late-film.mp4", "aac", 1.5, 1.5 + 1024 / films.AUDIO_RATE_HZ),
    ],
)
def test_clicks_are_where_they_belong(tmp_path: Path, name: str, codec: str, start_s: float, sound_start_s: float):
    times_s = [start_s + click for click in CLICKS_S]
    path = films.write(
        tmp_path / name,
        films.steady(25, 200, start_s=start_s),
        codec="libvpx" if name.endswith("webm") else "libx264",
        click_s=times_s,
        audio_codec=codec,
        audio_start_s=sound_start_s,
    )
    # A container that counts whole milliseconds may be off by one when it is entered in the middle.
    most = {".mkv": 17.0, ".webm": 17.0}.get(path.suffix, 1.0)
    for start_ms, n_samples, slack in ((0, 160_000, 1.0), (900, 100_000, 1.0), (5_003, 48_000, most)):
        seen = sound(path, start_ms=start_ms, n_samples=n_samples)
        assert seen.shape == (n_samples,)
        wanted = films.clicks(times_s, n_samples=n_samples, rate_hz=AUDIO_RATE_HZ, first_s=start_ms / 1000)
        assert abs(films.lag_samples(seen, wanted)) <= slack, f"from {start_ms} ms"
        assert np.abs(seen).max() == pytest.approx(np.abs(wanted).max(), abs=0.08)
    before = sound(path, start_ms=0, n_samples=round(max(0.0, sound_start_s - 0.1) * AUDIO_RATE_HZ) + 1)
    assert np.abs(before).max() < 0.02


@pytest.mark.parametrize("name", ["tone.mkv", "tone.mov"])
@pytest.mark.parametrize("start_ms", [0, 3_000])
def test_blocks_join_without_a_seam(tmp_path: Path, name: str, start_ms: int):
    """Matroska rounds each block's time to a millisecond, and 44.1 kHz gives blocks of no whole 16 kHz samples."""
    rate_hz = 44_100
    tone = np.sin(2 * np.pi * 300 * np.arange(6 * rate_hz) / rate_hz)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz, layout="mono")
        for first in range(0, len(tone), 1024):
            block = np.round(16_000 * tone[None, first : first + 1024]).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, first, Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    seen = sound(tmp_path / name, start_ms=start_ms, n_samples=32_000)[1_000:-1_000]
    turn = 2 * np.pi * 300 * np.arange(len(seen)) / AUDIO_RATE_HZ
    waves = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    rest = seen - waves @ np.linalg.lstsq(waves, seen, rcond=None)[0]
    assert 10 * np.log10(np.mean(seen**2) / np.mean(rest**2)) > 60


def test_a_hole_in_the_sound_is_silence_and_moves_nothing(tmp_path: Path):
    whole = films.write(tmp_path / "whole.mkv", films.steady(25, 100), click_s=[0.5, 3.5], audio_codec="pcm_s16le")
    holed = tmp_path / "holed.mkv"
    with av.open(str(whole)) as source, av.open(str(holed), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None and not 1.0 < packet.pts * packet.time_base < 2.0:
                packet.stream = stream
                target.mux(packet)
    seen = sound(holed, start_ms=0, n_samples=64_000)
    wanted = films.clicks([0.5, 3.5], n_samples=64_000, rate_hz=AUDIO_RATE_HZ)
    assert abs(int(np.argmax(seen[:32_000])) - int(np.argmax(wanted[:32_000]))) <= 1
    assert abs(int(np.argmax(seen[32_000:])) - int(np.argmax(wanted[32_000:]))) <= 8


def test_a_hole_of_days_is_more_than_is_taken(tmp_path: Path):
    whole = films.write(tmp_path / "whole.mkv", films.steady(25, 100), click_s=[0.5, 3.5], audio_codec="pcm_s16le")
    assert len(whole_sound(whole, longest_s=4.5)) == pytest.approx(64_000, abs=1_000)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "days.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                later = round(30 * 86_400 / packet.time_base) if packet.pts * packet.time_base > 1.0 else 0
                packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, stream
                target.mux(packet)
    with pytest.raises(Unreadable, match="more than 3600 s of sound"):
        whole_sound(tmp_path / "days.mkv", longest_s=3600)


def test_a_film_without_sound_says_so(tmp_path: Path):
    path = films.write(tmp_path / "silent.mp4", films.steady(25, 10))
    assert probe(path).audio_codec is None
    with pytest.raises(Unreadable, match="no_audio"):
        sound(path, start_ms=0, n_samples=100)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


def _write_clip(path: Path) -> Path:
    pictures = [films.picture(number, width=128, height=128) for number in range(75)]
    wanted = films.clicks([0.4, 1.3, 2.61], n_samples=75 * SAMPLES_PER_FRAME, rate_hz=AUDIO_RATE_HZ)
    write_clip(path, pictures, np.round(wanted * 32767).astype(np.int16), size_px=128)
    return path


def test_a_written_clip_holds_the_pictures_that_were_given(clip: Path):
    read = list(frames(clip))
    assert [films.number_of(picture.rgb()) for _, picture in read] == list(range(75))
    assert [picture.time_s for _, picture in read] == pytest.approx([number / FPS for number in range(75)])
    again = [films.number_of(image) for image in frames_on_clock(clip, start_ms=0, n_frames=75)]
    assert again == list(range(75))


def test_a_written_clip_keeps_its_colours_and_says_how(clip: Path):
    colour = np.array([picture.rgb()[80:120, 10:118].mean((0, 1)) for _, picture in frames(clip)])
    assert np.abs(colour - films.COLOUR).max() < 4
    # ffmpeg's own program, told nothing, goes by the tags.
    raw = ffmpeg("-i", clip, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    image = np.frombuffer(raw, np.uint8).reshape(128, 128, 3)
    assert np.abs(image[80:120, 10:118].mean((0, 1)) - films.COLOUR).max() < 4
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        bt709, limited = 1, 1
        assert (context.colorspace, context.color_primaries, context.color_trc) == (bt709, bt709, bt709)
        assert context.color_range == limited
        assert context.pix_fmt == "yuv420p"


def test_colours_of_a_film_without_tags_are_right(film: Path):
    _, picture = next(iter(frames(film)))
    assert np.abs(picture.rgb()[60:90, 10:150].mean((0, 1)) - films.COLOUR).max() < 4


@pytest.mark.parametrize(("height", "matrix"), [(720, "bt709"), (480, "bt601")])
def test_untagged_colours_are_taken_as_players_take_them(tmp_path: Path, height: int, matrix: str):
    size = f"color=0xC82828:size=1280x{height}:rate=25:duration=0.4"
    convert = f"format=rgb24,scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"
    bare = "h264_metadata=matrix_coefficients=2:colour_primaries=2:transfer_characteristics=2"
    ffmpeg("-f", "lavfi", "-i", size, "-vf", convert, "-c:v", "libx264", "-bsf:v", bare, tmp_path / "bare.mp4")
    _, picture = next(iter(frames(tmp_path / "bare.mp4")))
    assert np.abs(picture.rgb().mean((0, 1)) - (200, 40, 40)).max() < 4


def test_pictures_of_avi_come_in_order_though_it_stores_no_times(tmp_path: Path):
    source = films.write(tmp_path / "source.mp4", films.steady(25, 120), b_frames=3, gop=50)
    ffmpeg("-i", source, "-c", "copy", tmp_path / "film.avi")
    seen = [(ticks, films.number_of(picture.rgb())) for ticks, picture in frames(tmp_path / "film.avi")]
    assert len(seen) >= 118
    numbers = [number for _, number in seen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    clip = [films.number_of(image) for image in frames_on_clock(tmp_path / "film.avi", start_ms=3000, n_frames=20)]
    assert np.diff(clip).tolist() == [1] * 19


@pytest.mark.parametrize(("name", "codec"), [("film.wmv", "wmav2"), ("film.mpg", "mp2"), ("film.avi", "mp3")])
def test_sound_of_old_containers_is_read_from_anywhere(tmp_path: Path, name: str, codec: str):
    source = films.write(tmp_path / "source.mp4", films.steady(25, 250), click_s=[1.0, 4.0, 8.0])
    ffmpeg("-i", source, "-c:v", "mpeg1video" if name.endswith("mpg") else "mpeg4", "-c:a", codec, tmp_path / name)
    whole = sound(tmp_path / name, start_ms=0, n_samples=16_000 * 10)
    peaks = [
        int(np.argmax(np.abs(whole[first:last]))) + first
        for first, last in ((0, 40_000), (40_000, 100_000), (100_000, 160_000))
    ]
    assert np.diff(peaks) == pytest.approx([48_000, 64_000], abs=40)
    for start_ms in (3000, 7000):
        part = sound(tmp_path / name, start_ms=start_ms, n_samples=32_000)
        peak = int(np.argmax(np.abs(part))) + start_ms * 16
        assert min(abs(peak - wanted) for wanted in peaks) < 100


def test_sound_that_begins_late_leaves_silence_before_it(tmp_path: Path):
    late = films.write(tmp_path / "late.mkv", films.steady(25, 300), click_s=[10.0], audio_start_s=9.0, audio_s=3.0)
    assert np.abs(sound(late, start_ms=3000, n_samples=16_000 * 2)).max() == 0
    heard = sound(late, start_ms=8000, n_samples=16_000 * 4)
    assert int(np.argmax(heard)) == pytest.approx(32_000, abs=20)


def test_a_written_clip_has_its_sound_in_place(clip: Path):
    n_samples = 75 * SAMPLES_PER_FRAME
    seen = sound(clip, start_ms=0, n_samples=n_samples + 3_200)
    wanted = films.clicks([0.4, 1.3, 2.61], n_samples=n_samples + 3_200, rate_hz=AUDIO_RATE_HZ)
    assert abs(films.lag_samples(seen, wanted)) < 0.5
    assert np.abs(seen[n_samples:]).max() < 0.01
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        decoded = list(container.decode(stream))
        assert (stream.rate, stream.layout.name) == (AUDIO_RATE_HZ, "mono")
        assert float(decoded[0].pts * decoded[0].time_base) == 0
        count = sum(frame.samples for frame in decoded)
    assert n_samples <= count < n_samples + 1024, "AAC comes in blocks of 1024, the last one filled up"


def test_the_same_clip_gives_the_same_bytes(clip: Path, tmp_path: Path):
    again = _write_clip(tmp_path / "again.mp4")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(clip.read_bytes()).digest()


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path: Path):
    def pictures():
        yield films.picture(0, width=128, height=128)
        raise ValueError("no second picture")

    with pytest.raises(ValueError, match="no second picture"):
        write_clip(tmp_path / "clip.mp4", pictures(), np.zeros(640, np.int16), size_px=128)
    many = (films.picture(number, width=128, height=128) for number in range(300))
    with pytest.raises(RuntimeError, match=r"ffmpeg ended with status .* on "):
        write_clip(tmp_path / "clip.mp4", many, np.zeros(640, np.int16), size_px=128, preset="leisurely")
    assert list(tmp_path.iterdir()) == []


def test_probe_says_what_a_film_holds(film: Path):
    found = probe(film)
    assert (found.width, found.height, found.n_frames) == (160, 96, 100)
    assert found.fps == pytest.approx(25)
    assert found.duration_s == pytest.approx(4)
    assert (found.video_codec, found.audio_codec, found.audio_rate_hz) == ("h264", "aac", 48_000)


def _cut(source: Path, target: Path, part: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * part)])
    return target


def _cover(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", folder / "tone.mp3")
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", 1, folder / "cover.png")
    inputs = ("-i", folder / "tone.mp3", "-i", folder / "cover.png", "-map", 0, "-map", 1)
    ffmpeg(*inputs, "-c", "copy", "-disposition:v:0", "attached_pic", folder / "song.mp3")
    return folder / "song.mp3"


def _text(folder: Path) -> Path:
    (folder / "words.mp4").write_text("These are words, and no film at all.\n" * 40)
    return folder / "words.mp4"


def _empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _no_index(folder: Path) -> Path:
    whole = films.write(folder / "whole.mp4", films.steady(25, 200))
    return _cut(whole, folder / "index-lost.mp4", 0.7)


def _no_end(folder: Path) -> Path:
    whole = films.write(folder / "whole.mp4", films.steady(25, 200), options={"movflags": "faststart"})
    return _cut(whole, folder / "end-lost.mp4", 0.6)


def _matroska_end(folder: Path) -> Path:
    whole = films.write(folder / "whole.mkv", films.steady(25, 200), click_s=[1.0])
    return _cut(whole, folder / "end-lost.mkv", 0.5)


def _sound_only(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=2", folder / "tone.m4a")
    return folder / "tone.m4a"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_empty, "empty_file"),
        (_text, "not_a_video"),
        (_no_index, "truncated"),
        (_no_end, "truncated"),
        (_matroska_end, "truncated"),
        (_sound_only, "no_pictures"),
        (_cover, "no_pictures"),
    ],
)
def test_probe_refuses_with_the_right_reason(tmp_path: Path, make: Callable[[Path], Path], reason: str):
    with pytest.raises(Unreadable) as caught:
        probe(make(tmp_path))
    assert caught.value.reason == reason
    assert caught.value.detail


def test_pictures_that_change_their_size_on_the_way_are_refused(tmp_path: Path):
    parts = [films.write(tmp_path / f"{width}.ts", films.steady(25, 25), size=(width, 96)) for width in (160, 128)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(Unreadable, match="undecodable: the pictures change their size from 160x96 to 128x96"):
        list(frames(joined))


def test_sound_that_changes_its_rate_on_the_way_stays_in_place(tmp_path: Path):
    """Two takes of one film, the second recorded at another rate and in stereo, as broadcasts are."""
    first = films.write(tmp_path / "a.ts", films.steady(25, 50), click_s=[1.0], audio_codec="mp2")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", first, "-output_ts_offset", "2", "-c:v", "copy"]
    second = tmp_path / "b.ts"
    subprocess.run([*command, "-c:a", "mp2", "-ar", "32000", "-ac", "2", second], check=True)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    heard = sound(joined, start_ms=0, n_samples=16_000 * 6)
    loud = np.flatnonzero(np.abs(heard) > 0.3) / 16_000
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 0.1) + 1)
    assert len(groups) == 2
    muxer_s = 1.4  # what FFmpeg's muxer adds to the times of a transport stream
    assert groups[1].mean() - groups[0].mean() == pytest.approx(2.0 + muxer_s, abs=0.01)
