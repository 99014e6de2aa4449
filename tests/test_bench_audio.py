"""Features of speech: prosody against known sounds, encoders against transformers itself, and what is kept of both."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from csg405.benchmark.audio import cache, prosody, speech_encoders
from csg405.benchmark.audio.cache import CachedFeatures, compute, folder_of
from csg405.benchmark.audio.features import ENCODERS, NAMES, Extractor, extractor, maker
from csg405.benchmark.audio.prosody import PARTS, REACH_S, Prosody
from csg405.benchmark.audio.settings import AudioSettings
from csg405.benchmark.audio.speech_encoders import SpeechEncoder
from csg405.benchmark.clip import Clip, Sound
from csg405.benchmark.data import loader
from csg405.benchmark.release import FeatureFolder
from csg405.benchmark.windows import Order, Windows
from csg405.cli.features import features as command
from csg405.config import EngineSettings
from csg405.engine import LocalEngine
from csg405.errors import UserError
from tests import bench_release as bench
from tests.sources import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

RATE_HZ, FPS, SAMPLES = 16_000, 25, 640
WAV2VEC2, WAVLM = ENCODERS

Wave = np.ndarray[Any, np.dtype[np.float32]]


def speech(seconds: float, *, seed: int = 0) -> Wave:
    """Vowels at irregular times over a little noise."""
    n = round(seconds * FPS)
    return bench.speech(n, bench.times(n, seed=seed), seed=seed).wave


def voice(pitch_hz: np.ndarray | float, seconds: float, *, noise: float = 0.003) -> Wave:
    """A vowel with formants whose pitch is known at every sample, in noise."""
    n = round(seconds * RATE_HZ)
    hz = np.broadcast_to(pitch_hz, n)
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    wave = np.zeros(n)
    for k in range(1, 40):
        formants = sum(1 / (1 + ((k * hz - centre) / width) ** 2) for centre, width in ((600, 90), (1700, 120)))
        wave += (formants + 0.02) * np.where(k * hz < 7000, 1, 0) * np.sin(k * phase + k**2)
    wave *= 0.1 / np.sqrt(np.mean(wave**2))
    return np.asarray(wave + noise * np.random.default_rng(0).standard_normal(n), np.float32)


def click(seconds: float, frame: int) -> Wave:
    """5 ms of noise in the middle of a frame, over very faint noise."""
    rng = np.random.default_rng(1)
    wave = 1e-4 * rng.standard_normal(round(seconds * RATE_HZ))
    first = frame * SAMPLES + 280
    wave[first : first + 80] += 0.5 * rng.uniform(-1, 1, 80)
    return np.asarray(wave, np.float32)


def part(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, PARTS[name]]


# ---- prosody


@pytest.mark.parametrize("frame", [0, 1, 60, 749, 750, 999])
def test_a_click_is_in_its_frame_and_in_its_step(frame: int):
    rows = Prosody()(click(40, frame))
    assert part(rows, "loud").ravel().argmax() // 4 == frame
    assert part(rows, "loud").ravel().argmax() % 4 in (1, 2)  # from 17.5 to 22.5 ms
    if 0 < frame < 999:  # at the ends the click is also its mirror image's
        assert abs(part(rows, "onset").ravel().argmax() - (4 * frame + 1)) <= 1
        rising = part(rows, "rise").ravel()
        assert rising[4 * frame - 1] > 1
        assert rising[4 * frame + 4] < -1


def test_pitch_is_that_of_the_voice_whichever_way_it_glides():
    for low_hz, high_hz in ((75, 130), (100, 220), (180, 420)):
        way = np.interp(np.arange(4 * RATE_HZ), np.array([0, 1, 2, 3, 4]) * RATE_HZ, [0, 1, 0.2, 0.9, 0.1])
        hz = low_hz * (high_hz / low_hz) ** way
        rows = Prosody()(voice(hz, 4))
        assert part(rows, "voice").min() > 0.9
        truth = np.log2(hz[160::320] / 160)
        found = (part(rows, "pitch") / part(rows, "voice")).ravel()
        assert np.abs(found - truth).max() < 1 / 12  # a semitone, at the turns
        assert np.median(np.abs(found - truth)) < 0.1 / 12
        middle = slice(50, 150)
        about = np.array([truth[max(k - 25, 0) : k + 26].mean() for k in range(len(truth))])
        turn = 0.25 * (part(rows, "turn") / part(rows, "voice")).ravel()
        assert np.corrcoef(turn[middle], (truth - about)[middle])[0, 1] > 0.95


def test_noise_and_silence_have_no_voice():
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE_HZ).astype(np.float32)
    rows = Prosody()(noise)
    assert part(rows, "voice").mean() < 0.05
    assert np.abs(part(rows, "pitch")).mean() < 0.05


@pytest.mark.parametrize("hz", [150, 440, 1000, 3000, 6500])
def test_a_tone_is_loudest_in_its_own_band(hz: int):
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    mel = part(Prosody()(wave), "mel").reshape(-1, 2, 40)
    edges = librosa.mel_frequencies(42, fmin=60, fmax=7600, htk=True)
    assert set(mel[5:-5].argmax(axis=2).ravel()) == {int(np.argmin(np.abs(edges[1:-1] - hz)))}


def test_the_bands_are_those_of_librosa():
    theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=512, n_mels=40, fmin=60, fmax=7600, htk=True, norm=None)
    assert np.abs(prosody._filters() - theirs).max() < 1e-5


def test_a_clip_cut_out_of_a_longer_one_has_the_same_rows_inside():
    n = 33 * RATE_HZ
    rng = np.random.default_rng(5)
    knots = np.arange(0, n + 8000, 8000)  # pitch and level change all the time
    hz, level_db = (np.interp(np.arange(n), knots, rng.uniform(*ends, len(knots))) for ends in ((90, 250), (-40, 0)))
    wave = np.asarray(voice(hz, 33) * 10 ** (level_db / 20), np.float32)
    whole = Prosody()(wave)  # in two blocks: the second begins with frame 750
    reach = round(REACH_S * FPS)
    for start, end in ((0, 200), (700, 800), (735, 825)):
        cut = Prosody()(wave[start * SAMPLES : end * SAMPLES])
        inside = slice(reach if start else 0, end - start - (reach if end < 825 else 0))
        assert np.abs(cut[inside] - whole[start:end][inside]).max() < 1e-3


def test_a_row_depends_on_what_is_near_and_on_nothing_else():
    wave = speech(8)
    frame = 100
    before = Prosody()(wave)[frame]
    for side in (-1, 1):
        middle = frame * SAMPLES + (SAMPLES if side > 0 else 0)
        for away_s, changes in ((0.3, True), (REACH_S, False)):
            edge = middle + side * round(away_s * RATE_HZ)
            other = wave.copy()
            far = other[edge:] if side > 0 else other[:edge]
            far[:] = 0.3 * np.random.default_rng(3).standard_normal(len(far))
            difference = np.abs(Prosody()(other)[frame] - before).max()
            assert (difference > 0.05) if changes else (difference < 2e-3)


def test_the_volume_of_a_recording_does_not_matter():
    wave = speech(10)
    rows = Prosody()(wave)
    voiced = part(rows, "loud").min(axis=1) > 0
    assert 0.1 < voiced.mean() < 0.8
    for volume in (0.8, 3.0):
        assert np.abs(Prosody()(volume * wave) - rows)[voiced].max() < 0.01
    faint = part(Prosody()(0.01 * wave), "loud")  # -73 dB: beyond what is brought to the usual level
    assert faint[voiced].max() < part(rows, "loud")[voiced].min() - 1


def test_silence_stays_silent_and_an_offset_is_silence():
    rows = Prosody()(np.zeros(5 * RATE_HZ, np.float32))
    assert len(np.unique(part(rows, "mel"))) == len(np.unique(part(rows, "loud"))) == 1
    speaks = Prosody()(speech(5))
    assert part(rows, "mel").max() < part(speaks, "mel").min() + 0.1
    assert part(rows, "loud").max() <= part(speaks, "loud").min()
    for name in ("rise", "onset", "voice", "pitch", "turn"):
        assert not part(rows, name).any()
    assert np.abs(Prosody()(np.full(5 * RATE_HZ, 0.5, np.float32)) - rows).max() < 1e-3
    assert np.abs(Prosody()(speech(5) + np.float32(0.3)) - speaks).max() < 0.05
    faint = 1e-5 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)  # -100 dB: a little more than 16 bits hold
    assert np.abs(Prosody()(faint.astype(np.float32)) - rows).max() < 0.05


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 3200, 16_000, 16_639])
def test_short_sounds_have_a_row_for_each_whole_frame(samples: int):
    rows = Prosody()(speech(2)[:samples])
    assert rows.shape == (samples // 640, 98)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test_a_clipped_sound_and_full_scale_noise_give_numbers_of_about_unit_range():
    loud = np.clip(8 * speech(5), -1, 1)
    square = np.sign(np.random.default_rng(0).standard_normal(5 * RATE_HZ)).astype(np.float32)
    for wave in (loud, square, speech(5), voice(120, 5)):
        rows = Prosody()(wave)
        assert np.isfinite(rows).all()
        assert np.abs(rows).max() < 10
        assert np.sqrt((rows**2).mean()) < 2


def test_ten_minutes_take_little_memory():
    wave = np.tile(speech(60), 10)
    tracemalloc.start()
    try:
        rows = Prosody()(wave)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows.shape == (15_000, 98)
    assert peak - rows.nbytes - wave.nbytes < 100e6
    assert np.abs(rows[1500 + 15 : 3000 - 15] - rows[15 : 1500 - 15]).max() < 2e-3


GOLDEN = {
    "mel": (-0.0531, 0.9643), "loud": (0.3268, 0.8655), "rise": (-0.0001, 0.8227), "onset": (0.0913, 0.6269),
    "voice": (0.8355, 0.3663), "pitch": (-0.1301, 0.2044), "turn": (0.0004, 0.0500),
}  # fmt: skip
"""Mean and deviation of each part on a voice that glides and breaks off twice."""


def test_the_version_stands_for_these_numbers():
    """Where this fails and the change is meant, give `prosody.VERSION` another value, and these too."""
    wave = voice(np.linspace(110, 180, 3 * RATE_HZ), 3)
    for start_s in (0.8, 1.9):
        wave[round(start_s * RATE_HZ) :][:4000] *= 0.01
    rows = Prosody()(wave)
    found = {name: (part(rows, name).mean(), part(rows, name).std()) for name in PARTS}
    assert prosody.VERSION == "1"
    assert found == {name: pytest.approx(value, abs=2e-3) for name, value in GOLDEN.items()}


# ---- what every extractor refuses


def bad_sounds() -> dict[str, tuple[np.ndarray, str]]:
    hole = speech(1).copy()
    hole[700] = np.nan
    endless = speech(1).copy()
    endless[3] = np.inf
    return {
        "nan": (hole, "sample 700 of the sound is nan"),
        "inf": (endless, "sample 3 of the sound is inf"),
        "int16": ((speech(1) * 32767).astype(np.int16), "divide 16-bit samples by 32768"),
        "stereo": (np.stack([speech(1)] * 2, axis=1), "average the channels"),
        "scale": (speech(1) * 32767, "divide 16-bit ones by 32768"),
    }


@pytest.mark.parametrize("kind", bad_sounds())
@pytest.mark.parametrize("name", ["prosody", WAV2VEC2])
def test_what_is_no_sound_is_refused(kind: str, name: str, encoders: dict[str, Path]):
    wave, message = bad_sounds()[kind]
    with pytest.raises(UserError, match=message):
        extractor(name, encoders.get(name))(wave)


def test_extractors_go_by_their_names(encoders: dict[str, Path]):
    for name in NAMES:
        found = extractor(name, encoders.get(name))
        rows = found(speech(1))
        assert found.name == name
        assert rows.shape == (25, found.dim)
        assert len(found.digest) == 64
    with pytest.raises(UserError, match="there are prosody, wav2vec2-base-960h, wavlm-base-plus"):
        extractor("hubert")
    with pytest.raises(UserError, match="need no weights"):
        extractor("prosody", encoders[WAVLM])


def test_prosody_and_its_cache_import_no_torch():
    code = (
        "import sys; import csg405.benchmark.audio.cache; from csg405.benchmark.audio.features import extractor; "
        "extractor('prosody').digest; import csg405.cli.features; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- encoders


def save_tiny(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """A tiny random encoder, saved as transformers saves them."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, WavLMConfig, WavLMModel

    torch.manual_seed(seed)
    config_kind, model_kind = (Wav2Vec2Config, Wav2Vec2Model) if kind == WAV2VEC2 else (WavLMConfig, WavLMModel)
    config = config_kind(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    model_kind(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=kind == WAV2VEC2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save_tiny(tmp_path_factory.mktemp(name), name) for name in ENCODERS}


def run_by_hand(folder: Path, wave: Wave) -> list[np.ndarray]:
    """All hidden states [encoder frames, 24] of a sound, as transformers' own pages do it."""
    from transformers import AutoFeatureExtractor, AutoModel

    given = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=RATE_HZ, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(given.input_values, output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def at_frames(states: np.ndarray, n_frames: int) -> np.ndarray:
    """Encoder frame j is at (320 j + 199.5) / 16000 s, a video frame's middle at (640 i + 319.5) / 16000 s."""
    times_s = (320 * np.arange(len(states)) + 199.5) / RATE_HZ
    middles_s = (640 * np.arange(n_frames) + 319.5) / RATE_HZ
    return np.stack([np.interp(middles_s, times_s, column) for column in states.T], axis=1)


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_are_the_encoders_states_placed_by_time(name: str, encoders: dict[str, Path]):
    wave = speech(5)[: 5 * RATE_HZ - 77]
    states = run_by_hand(encoders[name], wave)
    assert states[-1].shape == (249, 24)
    last = extractor(name, encoders[name])(wave)
    assert last.shape == (124, 24)
    assert np.abs(last - at_frames(states[-1], 124)).max() < 1e-4
    mean = extractor(name, encoders[name], layers="mean")(wave)
    assert np.abs(mean - at_frames(np.mean(states[1:], axis=0), 124)).max() < 1e-4
    assert np.abs(mean - last).max() > 0.01


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("frame", [1, 30, 245])
def test_a_click_moves_its_own_row_most(name: str, frame: int, encoders: dict[str, Path]):
    """At the end as at the beginning: what is stretched to a length would drift by then."""
    found = extractor(name, encoders[name])
    plain = speech(10)
    clicked = plain + click(10, frame)
    moved = np.linalg.norm(found(clicked) - found(plain), axis=1)
    assert moved.argmax() == frame


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 1280, 3200])
def test_short_sounds_are_encoded(samples: int, encoders: dict[str, Path]):
    for name, folder in encoders.items():
        rows = extractor(name, folder)(speech(1)[:samples])
        assert rows.shape == (samples // 640, 24)
        assert np.isfinite(rows).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_silence_and_an_offset_are_encoded(name: str, encoders: dict[str, Path]):
    for value in (0.0, 0.5):
        assert np.isfinite(extractor(name, encoders[name])(np.full(RATE_HZ, value, np.float32))).all()


@pytest.mark.parametrize("name", ENCODERS)
def test_chunks_give_what_the_whole_gives(name: str, encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    found = extractor(name, encoders[name])
    wave = speech(46, seed=4)
    chunked = found(wave)
    short = found(wave[: 30 * RATE_HZ])
    monkeypatch.setattr(speech_encoders, "CHUNK", 10_000)
    whole = found(wave)
    spread = whole.std(axis=0)
    error = np.abs(chunked - whole) / spread
    assert np.median(error) < 0.05
    shuffled = np.abs(np.roll(whole, 1, axis=0) - whole) / spread  # one frame off
    assert np.median(error) < np.median(shuffled) / 5
    assert np.array_equal(short, found(wave[: 30 * RATE_HZ]))  # 30 s are no chunks
    assert len(chunked) == 1150


def test_a_long_sound_is_never_given_to_an_encoder_at_once(encoders: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    found = SpeechEncoder(WAV2VEC2, encoders[WAV2VEC2])
    lengths = []
    encoded = SpeechEncoder._encoded

    def noted(self: SpeechEncoder, given: Wave) -> Wave:
        lengths.append(len(given))
        return encoded(self, given)

    monkeypatch.setattr(SpeechEncoder, "_encoded", noted)
    rows = found(speech(100))
    assert rows.shape == (2500, 24)
    assert max(lengths) <= 30 * RATE_HZ
    assert len(lengths) == 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ENCODERS)
def test_half_precision_on_a_gpu_gives_nearly_the_same(name: str, encoders: dict[str, Path]):
    wave = speech(10)
    here, there = (extractor(name, encoders[name], device=device)(wave) for device in ("cpu", "cuda"))
    assert there.dtype == np.float32
    assert np.abs(there - here).mean() < 0.02 * here.std()


def test_the_digest_is_of_the_files_and_the_layers(encoders: dict[str, Path], tmp_path: Path):
    folder = encoders[WAV2VEC2]
    one = extractor(WAV2VEC2, folder)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert extractor(WAV2VEC2, moved).digest == one.digest
    others = [
        extractor(WAV2VEC2, folder, layers="mean").digest,
        extractor(WAV2VEC2, save_tiny(tmp_path / "other", WAV2VEC2, seed=1)).digest,
        extractor(WAVLM, encoders[WAVLM]).digest,
    ]
    assert len({one.digest, *others}) == 4


def test_a_folder_that_lacks_something_says_what(encoders: dict[str, Path], tmp_path: Path):
    for missing, message in (
        ("preprocessor_config.json", "preprocessor_config.json missing"),
        ("model.safetensors", "one of model.safetensors and pytorch_model.bin missing"),
    ):
        folder = shutil.copytree(encoders[WAVLM], tmp_path / missing)
        (folder / missing).unlink()
        with pytest.raises(UserError, match=message):
            extractor(WAVLM, folder)
    with pytest.raises(UserError, match=r"config\.json, preprocessor_config\.json, one of"):
        extractor(WAVLM, tmp_path / "nowhere")


def test_weights_that_are_missing_are_not_made_up(encoders: dict[str, Path], tmp_path: Path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(encoders[WAVLM], tmp_path / "part")
    held = load_file(folder / "model.safetensors")
    gone = next(name for name in held if "layers.1" in name)
    save_file({name: value for name, value in held.items() if name != gone}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(UserError, match=r"lacks 1 weights, .*layers\.1"):
        extractor(WAVLM, folder)(speech(1))
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="holds no network that transformers reads"):
        extractor(WAVLM, folder)(speech(1))


def test_a_network_of_another_kind_is_refused(tmp_path: Path, encoders: dict[str, Path]):
    from transformers import BertConfig, BertModel

    folder = shutil.copytree(encoders[WAVLM], tmp_path / "bert")
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    BertModel(config).save_pretrained(folder)
    with pytest.raises(UserError, match="a bert is no encoder of sound"):
        extractor(WAVLM, folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no configuration that transformers reads"):
        extractor(WAVLM, folder)


def test_older_files_of_weights_are_read(encoders: dict[str, Path], tmp_path: Path):
    """WavLM's are published as pytorch_model.bin."""
    from safetensors.torch import load_file

    folder = shutil.copytree(encoders[WAVLM], tmp_path / "old")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    wave = speech(2)
    assert np.array_equal(extractor(WAVLM, folder)(wave), extractor(WAVLM, encoders[WAVLM])(wave))


def test_weights_named_as_they_were_published_are_read(encoders: dict[str, Path], tmp_path: Path):
    """wav2vec2-base-960h was published with a head for letters, without the mask, and in torch's older names."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(encoders[WAV2VEC2], tmp_path / "ctc")
    held = load_file(folder / "model.safetensors")
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    old = {"lm_head.weight": torch.zeros(32, 24), "lm_head.bias": torch.zeros(32)}
    for name, value in held.items():
        kept = next((name.replace(new, older) for new, older in names.items() if new in name), name)
        old["wav2vec2." + kept] = value
    assert old.pop("wav2vec2.masked_spec_embed") is not None
    assert sum(name.endswith(("weight_g", "weight_v")) for name in old) == 2
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    wave = speech(2)
    assert np.array_equal(extractor(WAV2VEC2, folder)(wave), extractor(WAV2VEC2, encoders[WAV2VEC2])(wave))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache, empty, without a connection."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_without_a_connection_it_says_what_to_do(offline: Path):
    for name, repository in ENCODERS.items():
        with pytest.raises(UserError) as found:
            extractor(name)
        for words in (repository, "--from FOLDER", "benchmark.audio.folder=FOLDER", "HF_HUB_OFFLINE", "prosody"):
            assert words in str(found.value)


def test_what_lies_in_the_hubs_cache_is_used_without_a_connection(offline: Path, encoders: dict[str, Path]):
    for name, repository in ENCODERS.items():
        home = offline / f"models--{repository.replace('/', '--')}"
        shutil.copytree(encoders[name], home / "snapshots" / "0123abcd")
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("0123abcd")
        assert extractor(name).digest == extractor(name, encoders[name]).digest
        assert np.array_equal(extractor(name)(speech(1)), extractor(name, encoders[name])(speech(1)))


# ---- features of a release


PROSODIES = maker(AudioSettings())


def small(root: Path, **changes: Clip) -> Any:
    """Six clips by three people."""
    held = bench.clips({"ann": "train", "dan": "validation", "eva": "test"}, count=2, length=lambda n: 30 + 5 * n)
    return bench.write(root, [changes.get(clip.clip_id.replace(".", "_"), clip) for clip in held])


def test_cached_rows_are_the_direct_ones(tmp_path: Path, encoders: dict[str, Path]):
    reader = small(tmp_path)
    for name in ("prosody", WAVLM):
        make = maker(AudioSettings(features=name, folder=encoders.get(name)))
        found = compute(reader, pickle.loads(pickle.dumps(make)), bench.Here())
        home = reader.folders.work / "benchmark" / "features" / f"{name}-{make().digest[:12]}"
        assert (found.features.folder, found.clips, found.computed, found.dim) == (home, 6, 6, make().dim)
        assert found.size_bytes == sum(path.stat().st_size for path in home.rglob("*.npz"))
        features = FeatureFolder(home)
        for clip in reader.iterate(reader.clips()):
            rows = make()(clip.sound.wave)
            assert np.array_equal(features(clip.clip_id), rows.astype(np.float16).astype(np.float32))
            assert np.abs(features(clip.clip_id) - rows).max() < 4e-3 * max(1, np.abs(rows).max() / 4)
    windows, order = Windows(frames=20, stride=10), Order(batch=2, seed=1)
    batch = next(iter(loader(reader, "train", windows=windows, order=order, features=features)))
    assert batch.features is not None
    assert batch.features.shape == (2, 20, 24)


def test_what_is_there_is_not_computed_again(tmp_path: Path):
    reader = small(tmp_path)
    assert compute(reader, PROSODIES, bench.Here(), split="test").computed == 2
    assert compute(reader, PROSODIES, bench.Here()).computed == 4
    assert compute(reader, PROSODIES, bench.Here()).computed == 0
    clip = reader.read("dan.1")
    moved = dataclasses.replace(clip, keypoints_px=clip.keypoints_px + np.float32(1))
    assert compute(small(tmp_path, dan_1=moved), PROSODIES, bench.Here()).computed == 0
    louder = dataclasses.replace(clip, sound=Sound(clip.sound.samples // 2))
    changed = compute(small(tmp_path, dan_1=louder), PROSODIES, bench.Here())
    assert changed.computed == 1
    direct = Prosody()(louder.sound.wave)
    assert np.array_equal(changed.features("dan.1"), direct.astype(np.float16).astype(np.float32))


def test_a_damaged_file_is_made_anew_and_one_of_no_clip_goes(tmp_path: Path):
    reader = small(tmp_path)
    features = compute(reader, PROSODIES, bench.Here()).features
    whole = features.path("eva.0").read_bytes()
    features.path("eva.0").write_bytes(whole[: len(whole) // 2])
    FeatureFolder(features.folder).write("eva.1", np.zeros((35, 98)))  # of which nobody knows the sound
    features.path("eva.9").parent.mkdir(exist_ok=True)
    features.path("eva.9").write_bytes(whole)
    assert compute(reader, PROSODIES, bench.Here()).computed == 2
    assert features.path("eva.0").read_bytes() == whole
    assert features("eva.1").any()
    assert not features.path("eva.9").exists()


def test_what_breaks_off_leaves_whole_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader = small(tmp_path)
    save = np.savez
    written = []

    def breaks(path: Path, **arrays: Any) -> None:
        written.append(path)
        save(path, **arrays)
        if len(written) == 4:
            path.write_bytes(path.read_bytes()[:50])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", breaks)
    with pytest.raises(UserError, match=r"1 of 1 groups of clips failed; the first: OSError: .*No space left"):
        compute(reader, PROSODIES, bench.Here())
    monkeypatch.undo()
    folder = folder_of(reader.folders, PROSODIES())
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != cache.FACTS)
    assert len(files) == 3
    assert all(CachedFeatures(folder).is_fresh(reader.read(path.stem)) for path in files)
    assert compute(reader, PROSODIES, bench.Here()).computed == 3


class Odd:
    """Extractors that do what they should not."""

    name, dim, digest = "odd", 2, "0" * 64

    def __init__(self, rows: Callable[[int], np.ndarray]) -> None:
        self.rows = rows

    def __call__(self, wave: Wave) -> Wave:
        return self.rows(len(wave) // SAMPLES)


def test_rows_that_are_not_what_they_should_be_are_not_kept(tmp_path: Path):
    reader = small(tmp_path)
    for rows, message in (
        (lambda n: np.zeros((n + 1, 2)), r"gives \[31, 2\], wanted \[30, 2\]"),
        (lambda n: np.full((n, 2), 1e6), "not finite in half precision"),
    ):
        make: Callable[[], Extractor] = functools.partial(Odd, rows)
        with pytest.raises(UserError, match=message):
            compute(reader, make, bench.Here())
        assert not list(folder_of(reader.folders, make()).glob("*/*.npz"))


def test_another_file_on_another_machine_is_noticed(tmp_path: Path):
    reader = small(tmp_path)
    digests = iter(["1" * 64, "2" * 64])

    def make() -> Extractor:
        made = Odd(lambda n: np.zeros((n, 2)))
        made.digest = next(digests)
        return made

    with pytest.raises(UserError, match="give all machines the same"):
        compute(reader, make, bench.Here())


def test_a_split_without_clips_is_an_error(tmp_path: Path):
    reader = bench.write(tmp_path, bench.clips({"ann": "train"}, count=1))
    with pytest.raises(UserError, match="no clips in split 'test'"):
        compute(reader, PROSODIES, bench.Here(), split="test")


def test_processes_give_the_same_bytes(tmp_path: Path):
    held = bench.clips({"ann": "train", "bea": "train", "eva": "test"}, count=17, length=lambda n: 30)
    here, there = (bench.write(tmp_path / place, held) for place in ("here", "there"))
    mine = compute(here, PROSODIES, bench.Here())
    engine = LocalEngine(EngineSettings(workers=2))
    try:
        theirs = compute(there, PROSODIES, engine)
    finally:
        engine.close()
    assert theirs.computed == 51
    for clip in held:
        assert mine.features.path(clip.clip_id).read_bytes() == theirs.features.path(clip.clip_id).read_bytes()


@pytest.mark.long
def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path):
    held = bench.clips({f"p{n:02d}": "train" for n in range(8)}, count=16, length=lambda n: 1500)
    reader = bench.write(tmp_path, held)
    shell = [sys.executable, "-c", "import typer; from csg405.cli.features import features; typer.run(features)"]
    process = subprocess.Popen(
        [*shell, "--run", "small", "--workers", "2"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    cached = CachedFeatures(folder_of(reader.folders, PROSODIES()))

    def kept() -> list[str]:  # by their names: files that are being written end in .npz, too
        return [clip.clip_id for clip in held if cached.path(clip.clip_id).is_file()]

    deadline = time.monotonic() + 60
    while len(kept()) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    found = kept()
    assert 20 <= len(found) < len(held)
    assert all(cached.is_fresh(reader.read(clip_id)) for clip_id in found)
    assert compute(reader, PROSODIES, bench.Here()).computed == len(held) - len(found)
    assert len(kept()) == len(held)


def test_the_command_says_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoders: dict[str, Path]):
    small(tmp_path)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(command)
    ran = CliRunner().invoke(app, ["--run", "small", "--split", "test", "--workers", "1"], catch_exceptions=False)
    home = tmp_path / "work" / "small" / "benchmark" / "features"
    assert f"features: {home / f'prosody-{Prosody().digest[:12]}'}" in ran.output
    assert "2 clips, 2 of them computed" in ran.output
    assert "98 numbers a frame" in ran.output
    given = ["--run", "small", "--features", WAVLM, "--from", "nowhere"]
    with pytest.raises(UserError, match=r"nowhere: config\.json, preprocessor_config\.json, one of"):
        CliRunner().invoke(app, given, catch_exceptions=False)
    with pytest.raises(UserError, match="there are none of this name"):
        CliRunner().invoke(app, ["--run", "small", "--features", "mfcc"], catch_exceptions=False)
