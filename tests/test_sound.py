"""The measure of sound, on signals whose powers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import stats

from csg405.annotate.sound import (
    Operator,
    SoundQuality,
    above_floor_db,
    clipped_fraction,
    signal_to_noise_db,
    speech_mask,
)
from csg405.schema import Clip, Reason, Record, Refusal, SpeechSpan
from tests import films, items

RATE_HZ = 16_000


def tone(seconds: float, *, amplitude: float, hz: float = 997) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def spans(*edges: tuple[float, float]) -> list[SpeechSpan]:
    return [SpeechSpan(video_id="file.a", start_s=start, end_s=end) for start, end in edges]


def measure(path: Path, clip: Clip, *rows: SpeechSpan) -> Record:
    (row,) = Operator(items.setting("annotate.sound", path.parent))(
        items.item(*rows, of=clip, media=path, reads=(SpeechSpan,))
    )
    return row


def measured(folder: Path, samples: np.ndarray, *rows: SpeechSpan, n_frames: int = 100) -> SoundQuality:
    path = folder / "sound.wav"
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    row = measure(path, items.clip(n_frames=n_frames), *rows)
    assert isinstance(row, SoundQuality)
    return row


def test_the_mask_marks_speech_to_the_sample_and_stays_within_the_clip() -> None:
    clip = items.clip(start_ms=10_000, n_frames=50)  # 10 to 12 s
    mask = speech_mask(clip, spans((8, 9.5), (9, 10.25), (10.5, 10.75), (11.9, 14), (13, 15)))
    assert mask.shape == (32_000,)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    assert edges.tolist() == [0, 4000, 8000, 12_000, 30_400, 32_000]


def test_the_mask_of_a_clip_without_speech_is_empty() -> None:
    assert not speech_mask(items.clip(n_frames=25), []).any()


@pytest.mark.parametrize("wanted_db", [-3.0, 0.0, 10.0, 25.0, 40.0])
def test_the_ratio_of_a_tone_over_noise_of_known_powers(wanted_db: float) -> None:
    noise_power = 1e-4
    amplitude = np.sqrt(2 * noise_power * 10 ** (wanted_db / 10))
    rng = np.random.default_rng(11)
    samples = rng.normal(0, np.sqrt(noise_power), 4 * RATE_HZ)
    spoken = np.zeros(len(samples), bool)
    spoken[RATE_HZ : 3 * RATE_HZ] = True
    samples[spoken] += tone(2, amplitude=amplitude)
    found = signal_to_noise_db(samples.astype(np.float32), spoken)
    assert found == pytest.approx(wanted_db, abs=0.5)


@pytest.mark.parametrize(("seconds", "known"), [(0.19, False), (0.21, True), (3.79, True), (3.81, False)])
def test_the_ratio_is_missing_with_too_little_speech_or_background(seconds: float, known: bool) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, 4 * RATE_HZ).astype(np.float32)
    spoken = np.arange(len(samples)) < seconds * RATE_HZ
    assert (signal_to_noise_db(samples, spoken) is not None) == known


def test_the_ratio_of_digital_silence_is_finite() -> None:
    samples = np.zeros(4 * RATE_HZ, np.float32)
    spoken = np.arange(len(samples)) < RATE_HZ
    assert np.isfinite(signal_to_noise_db(samples, spoken) or 0)
    samples[spoken] = 0.5
    assert 60 < (signal_to_noise_db(samples, spoken) or 0) <= 100


@pytest.mark.parametrize("wanted_db", [3.0, 10.0, 20.0])
def test_the_height_above_the_floor_is_that_of_speech_above_steady_noise(wanted_db: float) -> None:
    # Half of the windows hold the tone: its power over all is half of its own, and the noise lies under both halves.
    rng = np.random.default_rng(2)
    loud = np.tile(np.repeat([1.0, 0.0], RATE_HZ // 10), 20)
    noise_power = 1e-4
    samples = rng.normal(0, noise_power**0.5, len(loud))
    amplitude = (2 * 2 * noise_power * (10 ** (wanted_db / 10) - 1)) ** 0.5
    samples += loud * amplitude * np.sin(np.arange(len(loud)) * 0.3)
    assert above_floor_db(samples.astype(np.float32)) == pytest.approx(wanted_db, abs=0.6)


def test_silence_stands_above_no_floor_and_digital_silence_is_a_finite_one() -> None:
    samples = np.zeros(4 * RATE_HZ, np.float32)
    assert above_floor_db(samples) is None
    samples[RATE_HZ:] = 0.5
    assert 60 < (above_floor_db(samples) or 0) <= 100


@pytest.mark.parametrize("level", [-23.0, -33.0, -10.0])
def test_loudness_of_a_sine_as_ebu_tech_3341_asks(tmp_path: Path, level: float) -> None:
    # BS.1770: a 997 Hz sine at full scale in one channel is -3.01 LUFS.
    row = measured(tmp_path, tone(4, amplitude=10 ** ((level + 3.01) / 20)))
    assert row.loudness_lufs == pytest.approx(level, abs=0.1)


def test_loudness_leaves_silence_out_as_bs_1770s_gate_does(tmp_path: Path) -> None:
    half = np.concatenate([tone(4, amplitude=0.1), np.zeros(4 * RATE_HZ)])
    whole = measured(tmp_path, tone(8, amplitude=0.1), n_frames=200)
    assert measured(tmp_path, half, n_frames=200).loudness_lufs == pytest.approx(whole.loudness_lufs, abs=0.4)


def test_silence_has_no_loudness(tmp_path: Path) -> None:
    row = measured(tmp_path, np.zeros(4 * RATE_HZ), *spans((1, 2)))
    assert row.loudness_lufs is None
    assert (row.speech_fraction, row.clipped_fraction) == (0.25, 0.0)


@pytest.mark.parametrize("ceiling", [1.0, 0.3])
def test_samples_at_the_ceiling_are_counted_on_both_sides_wherever_it_lies(tmp_path: Path, ceiling: float) -> None:
    samples = tone(4, amplitude=0.5 * ceiling)
    samples[1000:1800], samples[5000:5800] = ceiling, -ceiling
    assert measured(tmp_path, samples).clipped_fraction == pytest.approx(1600 / 64_000, abs=1e-4)


def test_noise_has_as_many_samples_near_its_ceiling_as_its_distribution_says() -> None:
    samples = 0.1 * np.random.default_rng(1).standard_normal(4_000_000)
    ceiling = stats.norm.ppf(1 - 0.001 / 2)
    assert clipped_fraction(samples.astype(np.float32)) == pytest.approx(2 * stats.norm.sf(0.8 * ceiling), rel=0.05)


def test_a_clip_is_measured_at_its_own_place(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.concatenate([np.zeros(10 * RATE_HZ), tone(4, amplitude=0.1)]), RATE_HZ, subtype="FLOAT")
    early, late = (measure(path, items.clip(start_ms=start)) for start in (5000, 10_000))
    assert isinstance(early, SoundQuality)
    assert isinstance(late, SoundQuality)
    assert early.loudness_lufs is None
    assert late.loudness_lufs == pytest.approx(20 * np.log10(0.1) - 3.01, abs=0.1)


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = films.write(tmp_path / "mute.mp4", films.steady(25, 30))
    row = measure(path, items.clip(n_frames=25))
    assert isinstance(row, Refusal)
    assert (row.reason, row.start_s, row.end_s) == (Reason.NO_AUDIO, 0.0, 1.0)
