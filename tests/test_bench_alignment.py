"""Whether a motion goes with its speech: syllables, BA-kappa and SGA, on motions and sounds whose truth is known."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import signal

from csg405 import keypoints as kp
from csg405.benchmark import metric
from csg405.benchmark.clip import Clip, Seen, Sound, truth_of
from csg405.benchmark.metric import Accumulator, Key, Row, Rows, Values
from csg405.benchmark.metrics import ba_kappa, sga
from csg405.benchmark.metrics._features import Pick
from csg405.benchmark.syllables import loudness, onsets, syllables_s
from tests import bench_motion as motion
from tests import bench_release as small

FPS = 25


# ---- syllables


def apart_s(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far the nearest found time is from each that is wanted."""
    return np.asarray(np.abs(found[:, None] - wanted[None]).min(axis=0))


@pytest.mark.parametrize("floor", [0.0, 1e-4, 1e-2])
def test_syllables_are_where_vowels_begin(floor: float) -> None:
    wanted = small.times(400, seed=3, gap_s=(0.25, 0.6))
    found = syllables_s(small.speech(400, wanted, floor=floor))
    assert len(found) == len(wanted)
    assert apart_s(found, wanted).max() <= 0.02


def test_clicks_are_found_too_and_once_each() -> None:
    wanted = np.array([0.5, 1.2, 1.5, 3.31, 3.9])
    found = syllables_s(motion.clicks(100, wanted))
    assert len(found) == len(wanted)
    assert apart_s(found, wanted).max() <= 0.021


def test_silence_has_no_syllables() -> None:
    for n_frames in (1, 5, 100):
        silence = Sound(np.zeros(640 * n_frames, np.int16))
        assert len(syllables_s(silence)) == 0
        assert len(loudness(silence)) == 4 * n_frames
    assert len(onsets(np.zeros(0))) == 0


def test_how_loud_the_clip_is_changes_nothing_but_the_size_of_loudness() -> None:
    wanted = small.times(200, seed=5)
    loud, quiet = (small.speech(200, wanted, loud=loud, floor=loud / 1000) for loud in (0.8, 0.08))
    assert np.array_equal(syllables_s(loud), syllables_s(quiet))
    ratio = loudness(loud) / loudness(quiet)
    heard = loudness(loud) > 0.1 * loudness(loud).max()
    np.testing.assert_allclose(ratio[heard], 10 ** (2 * 0.3), rtol=0.02)  # energy to the power of 0.3


def test_what_lies_outside_the_band_of_the_vowels_is_hardly_heard() -> None:
    clock_s = np.arange(3 * 16_000) / 16_000
    peak = {}
    for hz in (50, 1000, 7000):
        wave = 0.3 * np.sin(2 * np.pi * hz * clock_s)
        peak[hz] = np.median(loudness(Sound((32767 * wave).astype(np.int16))))
    assert peak[50] < 0.2 * peak[1000]
    assert peak[7000] < 0.5 * peak[1000]


# ---- beats


def kit(hit: float) -> SimpleNamespace:
    return SimpleNamespace(hit=hit)


def speaker(
    clip_id: str, *, speech_s: Iterable[float], beats_s: Iterable[float], n: int = 500, wrists: tuple[int, ...] = ()
) -> Clip:
    """A clip of vowels at some times and sudden stops of an arm at others."""
    points = small.beating(n, beats_s, wrists=wrists or (kp.RIGHT_WRIST,))
    return motion.clip(points, clip_id=clip_id, sound=small.speech(n, speech_s))


def on_syllables(count: int, *, n: int = 500, late_s: float = 0) -> list[Clip]:
    spoken = [small.times(n, seed=seed) for seed in range(count)]
    return [
        speaker(f"c{seed}", speech_s=when, beats_s=when + late_s, n=n) for seed, when in enumerate(spoken)
    ]  # fmt: skip


def at_random(count: int, *, n: int = 500) -> list[Clip]:
    return [
        speaker(f"c{seed}", speech_s=small.times(n, seed=seed), beats_s=small.times(n, seed=1000 + seed), n=n)
        for seed in range(count)
    ]


def rows_of(clips: Iterable[Clip]) -> dict[Key, Row]:
    return {Key(clip.clip_id, 0): ba_kappa.measure(truth_of(clip)) for clip in clips}


def test_a_beat_is_a_stop_and_lies_where_it_was_made() -> None:
    wanted = small.times(500, seed=1)
    found = ba_kappa.beats_s(truth_of(motion.clip(small.beating(500, wanted))))
    assert len(found) == len(wanted)
    assert apart_s(found, wanted).max() <= 0.04


def test_both_hands_beat_and_one_that_is_not_shown_does_not() -> None:
    left, right = np.array([1.0, 3.0, 5.0]), np.array([2.0, 4.0])
    points = small.beating(150, left, wrists=(kp.LEFT_WRIST,)) + small.beating(150, right) - motion.still(150)
    clip = motion.clip(points)
    whole = slice(None)
    cases = [
        (clip, np.sort([*left, *right])),
        (motion.hidden(clip, whole, [kp.LEFT_WRIST]), right),
        (motion.hidden(clip, whole, [kp.LEFT_WRIST, kp.RIGHT_WRIST]), np.zeros(0)),
        (motion.hidden(clip, slice(66, 90), [kp.LEFT_WRIST]), np.array([1.0, 2.0, 4.0, 5.0])),
    ]
    for seen, wanted in cases:
        found = ba_kappa.beats_s(truth_of(seen))
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found, wanted, atol=0.04)


def test_a_stop_that_is_not_shown_is_no_beat() -> None:
    clip = motion.clip(small.beating(150, [1.0, 3.0, 5.0]))
    hidden = motion.hidden(clip, slice(75, 77), [kp.RIGHT_WRIST])  # the stop, and the frame after it
    np.testing.assert_allclose(ba_kappa.beats_s(truth_of(clip)), [1, 3, 5])
    np.testing.assert_allclose(ba_kappa.beats_s(truth_of(hidden)), [1, 5])


def test_where_a_hidden_hand_is_said_to_be_does_not_matter() -> None:
    clip = motion.hidden(motion.clip(small.beating(200, small.times(200, seed=1))), slice(20, 60), [kp.RIGHT_WRIST])
    elsewhere = clip.keypoints_px.copy()
    elsewhere[20:60, kp.RIGHT_WRIST] += 500 * np.random.default_rng(0).standard_normal((40, 2))
    assert np.array_equal(ba_kappa.beats_s(truth_of(clip)), ba_kappa.beats_s(motion.seen(clip, elsewhere)))


@pytest.mark.parametrize("n", [1, 5, 11, 12, 13])
def test_short_clips_give_numbers(n: int) -> None:
    row = ba_kappa.measure(truth_of(motion.clip(motion.lively(n))))
    assert all(np.isfinite(array).all() for array in row.values())
    assert row["beats"] == 0


def test_the_kits_threshold_gives_a_beat_a_second() -> None:
    clips = [
        motion.clip(
            small.beating(400, small.times(400, seed=seed, gap_s=(0.3, 0.5))) + 2 * motion.lively(400, seed=seed)
        )
        for seed in range(6)
    ]
    seen = [truth_of(clip) for clip in clips]
    hit = ba_kappa.threshold(seen)
    assert hit > ba_kappa.LEAST_HIT
    beats = sum(len(ba_kappa.beats_s(Seen(one.clip, one.keypoints_px, kit(hit)))) for one in seen)
    assert beats == pytest.approx(ba_kappa.BEATS_PER_S * 6 * 400 / FPS, abs=1)


def test_the_kits_threshold_is_never_below_what_estimators_add() -> None:
    assert ba_kappa.threshold([truth_of(motion.clip(motion.still(200)))]) == ba_kappa.LEAST_HIT
    few = truth_of(motion.clip(small.beating(500, [2.0, 6.0, 9.0])))
    assert ba_kappa.threshold([few]) == ba_kappa.LEAST_HIT
    assert ba_kappa.threshold([]) == ba_kappa.LEAST_HIT


# ---- BA-kappa


def by_hand(clip: Clip) -> tuple[float, float, int]:
    """Agreement, chance and number of the beats of a clip, by the definition, one at a time."""
    spoken = sorted(syllables_s(clip.sound).tolist())
    gap = (spoken[-1] - spoken[0]) / (len(spoken) - 1)
    start, span = spoken[0] - gap / 2, gap * len(spoken)
    beats = [beat for beat in ba_kappa.beats_s(truth_of(clip)).tolist() if start <= beat < start + span]

    def agreement(at: list[float]) -> float:
        return sum(np.exp(-(min(abs(beat - one) for one in at) ** 2) / (2 * 0.1**2)) for beat in beats)

    chance = 0.0
    for number in range(17):
        shift = 0.5 + (span - 1.0) * number / 16
        chance += agreement([start + (one - start + shift) % span for one in spoken]) / 17
    return agreement(spoken), chance, len(beats)


def test_a_row_is_what_the_definition_says() -> None:
    for clip in at_random(3):
        row = ba_kappa.measure(truth_of(clip))
        agreed, chance, beats = by_hand(clip)
        np.testing.assert_allclose([row["agreed"][0], row["chance"][0], row["beats"][0]], [agreed, chance, beats])
        assert beats > 10


def test_beats_on_syllables_give_one_and_beats_anywhere_give_nothing() -> None:
    aligned, random = rows_of(on_syllables(4)), rows_of(at_random(40))
    assert ba_kappa.compute(aligned, aligned) == {"ba_kappa": pytest.approx(1, abs=0.01), "beats": 1, "beat_lag": 0}
    assert sum(row["beats"][0] for row in random.values()) > 900
    value = ba_kappa.compute(random, random)["ba_kappa"]
    assert value is not None
    assert abs(value) < 0.05


def test_a_missing_beat_counts_as_chance() -> None:
    spoken = [small.times(500, seed=seed) for seed in range(4)]
    truth = rows_of(speaker(f"c{i}", speech_s=when, beats_s=when) for i, when in enumerate(spoken))
    few = rows_of(speaker(f"c{i}", speech_s=when, beats_s=when[::2]) for i, when in enumerate(spoken))
    found = ba_kappa.compute(few, truth)
    part = sum(len(when[::2]) for when in spoken) / sum(map(len, spoken))
    assert found["ba_kappa"] == pytest.approx(part, abs=0.01)
    assert found["beats"] == pytest.approx(part)


def test_more_beats_than_the_truth_win_nothing() -> None:
    spoken = [small.times(500, seed=seed) for seed in range(4)]
    truth = rows_of(speaker(f"c{i}", speech_s=when, beats_s=when[::2]) for i, when in enumerate(spoken))
    many = rows_of(speaker(f"c{i}", speech_s=when, beats_s=when) for i, when in enumerate(spoken))
    found = ba_kappa.compute(many, truth)
    assert found["ba_kappa"] == pytest.approx(1, abs=0.01)
    assert found["beats"] == pytest.approx(2, rel=0.1)


def test_no_beats_give_nothing_and_a_truth_without_beats_gives_no_value() -> None:
    clips = on_syllables(2)
    truth = rows_of(clips)
    still = {Key(clip.clip_id, 0): ba_kappa.measure(motion.seen(clip, motion.still(len(clip)))) for clip in clips}
    assert ba_kappa.compute(still, truth) == {"ba_kappa": 0.0, "beats": 0.0, "beat_lag": None}
    nothing: Values = {"ba_kappa": None, "beats": None, "beat_lag": None}
    assert ba_kappa.compute(truth, still) == nothing
    assert ba_kappa.compute({}, {}) == nothing
    assert ba_kappa.compute({}, truth) == nothing


def test_beats_outside_the_speech_do_not_count() -> None:
    spoken = np.arange(6.0, 12.0, 0.7)
    inside = speaker("c", speech_s=spoken, beats_s=spoken)
    outside = speaker("c", speech_s=spoken, beats_s=[1.0, 2.3, 4.1, *spoken, 14.0, 16.2])
    assert ba_kappa.measure(truth_of(inside))["beats"] == ba_kappa.measure(truth_of(outside))["beats"] == len(spoken)


def test_a_clip_that_hardly_speaks_counts_for_nobody() -> None:
    for spoken in ([], [2.0], [2.0, 2.6]):
        sound = small.speech(100, spoken, floor=0)
        assert len(syllables_s(sound)) == len(spoken)
        row = ba_kappa.measure(truth_of(motion.clip(small.beating(100, [1.0, 2.0]), sound=sound)))
        assert not any(array.any() for array in row.values())


@pytest.mark.parametrize("frames", [-7, -2, 0, 3, 9])
def test_the_lag_is_where_motion_was_moved_to(frames: int) -> None:
    rows = rows_of(on_syllables(4, late_s=frames * 0.04))
    found = ba_kappa.compute(rows, rows)
    assert found["beat_lag"] == pytest.approx(frames * 0.04)
    if frames:
        assert found["ba_kappa"] is not None
        assert found["ba_kappa"] < 0.85


def test_a_metronome_that_is_its_own_chance_gives_nothing() -> None:
    row = {"agreed": [18], "chance": [18], "beats": [18], "curve": ba_kappa.LAGS_S}
    rows = {Key("c", 0): {name: np.array(values, np.float64) for name, values in row.items()}}
    assert ba_kappa.compute(rows, rows)["ba_kappa"] == 0


def test_any_split_of_the_clips_merges_to_the_same() -> None:
    clips = [*on_syllables(3), *(dataclasses.replace(clip, clip_id=f"r{clip.clip_id}") for clip in at_random(3))]
    whole = Accumulator(ba_kappa)
    for clip in clips:
        whole.update(truth_of(clip))
    for cut in range(len(clips) + 1):
        first, second = Accumulator(ba_kappa), Accumulator(ba_kappa)
        for number, clip in enumerate(reversed(clips)):
            (first if number < cut else second).update(truth_of(clip))
        merged = second.merge(first)
        assert merged.compute(merged) == whole.compute(whole)


def test_paths_are_smoothed_as_scipy_does_it() -> None:
    paths = np.random.default_rng(5).normal(0, 1, (2, 2, 40)).cumsum(axis=-1)
    wanted = signal.sosfiltfilt(signal.butter(2, ba_kappa.SMOOTH_HZ, fs=25, output="sos"), paths)
    np.testing.assert_allclose(ba_kappa._smoothed(paths, 25), wanted, rtol=1e-9, atol=1e-12)


def test_pooled_values_are_those_of_the_union() -> None:
    own, other = rows_of(at_random(6)), rows_of(on_syllables(6))
    truth = other
    cluster_of = {f"c{number}": "abbccc"[number] for number in range(6)}
    pooled = ba_kappa.pooled([own, other], truth, cluster_of=cluster_of)

    def picked(*names: str) -> Values:
        """By the rows themselves; a cluster that is taken twice is there twice."""
        taken, true = {}, {}
        for turn, name in enumerate(names):
            system, cluster = int(name[0]), name[1]
            for key in own:
                if cluster_of[key.clip_id] == cluster:
                    copy = Key(f"{turn}.{key.clip_id}", 0)
                    taken[copy], true[copy] = (own, other)[system][key], truth[key]
        return ba_kappa.compute(taken, true)

    for names in (("0a", "0b", "0c"), ("1a", "0b"), ("1c", "1c", "0a"), ("0b",)):
        found = pooled([Pick(int(name[0]), name[1]) for name in names], [name[1] for name in names])
        assert found == pytest.approx(picked(*names))
    assert pooled([Pick(0, name) for name in "abc"], list("abc")) == pytest.approx(ba_kappa.compute(own, truth))


def test_more_seeds_of_the_same_are_the_same() -> None:
    truth = rows_of(at_random(3))
    twice = {Key(key.clip_id, seed): row for key, row in truth.items() for seed in (0, 1)}
    assert ba_kappa.compute(twice, truth) == pytest.approx(ba_kappa.compute(truth, truth))


# ---- SGA

SGA_CARDS = ("sga_auc", "sga_r1", "sga_offset", "sga_same_speaker")


def directions(n: int, *words: object) -> np.ndarray:
    """[n, 32] unit vectors drawn at random."""
    rng = np.random.default_rng([*str(words).encode()])
    drawn = rng.standard_normal((n, 32))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


@dataclasses.dataclass
class Told:
    """A kit whose towers say what they are told."""

    motion: Callable[[Clip], np.ndarray]
    sound: Callable[[Clip], np.ndarray] = lambda clip: directions(len(clip), clip.clip_id)
    has_towers: bool = True

    def directions(self, seen: Seen) -> tuple[np.ndarray, np.ndarray]:
        return self.motion(seen.clip), self.sound(seen.clip)


def own_sound(clip: Clip) -> np.ndarray:
    return directions(len(clip), clip.clip_id)


def people(speakers: int, each: int, *, n: int = 300) -> list[Clip]:
    still = motion.still(n)
    silence = Sound(np.zeros(640 * n, np.int16))
    return [
        dataclasses.replace(motion.clip(still, clip_id=f"s{number}.{i}", sound=silence), speaker=f"s{number}")
        for number in range(speakers)
        for i in range(each)
    ]


def sga_rows(told: Told, clips: Iterable[Clip]) -> dict[Key, Row]:
    return {Key(clip.clip_id, 0): sga.measure(truth_of(clip, kit=told)) for clip in clips}


def values(rows: Rows) -> tuple[float, ...]:
    found = metric.compute(sga, rows, rows)
    return tuple(np.nan if found[name] is None else found[name] for name in SGA_CARDS)  # type: ignore[misc]


def test_a_motion_that_is_its_sound_wins_everything() -> None:
    assert values(sga_rows(Told(own_sound), people(3, 4))) == (1, 1, 1, 1)


def test_a_motion_that_knows_nothing_is_at_chance() -> None:
    rows = sga_rows(Told(lambda clip: directions(len(clip), "else", clip.clip_id)), people(10, 8))
    auc, first, offset, _ = values(rows)
    assert auc == pytest.approx(0.5, abs=0.06)
    assert first == pytest.approx(1 / 32, abs=0.04)
    assert offset == pytest.approx(11 / 51, abs=0.1)


def test_a_motion_against_its_sound_loses_everything() -> None:
    auc, first, _, _ = values(sga_rows(Told(lambda clip: -own_sound(clip)), people(3, 4)))
    assert (auc, first) == (0, 0)


def test_a_motion_that_goes_with_anothers_sound_does_not_pass() -> None:
    clips = people(4, 3)
    after = dict(itertools.pairwise([*(clip.clip_id for clip in clips), clips[0].clip_id]))
    auc, first, offset, _ = values(sga_rows(Told(lambda clip: directions(len(clip), after[clip.clip_id])), clips))
    assert auc < 0.6
    assert first < 0.2
    assert offset < 0.5


@pytest.mark.parametrize(("frames", "wanted"), [(-8, 0), (-5, 1), (0, 1), (3, 1), (6, 0)])
def test_an_offset_counts_within_five_frames(frames: int, wanted: float) -> None:
    rows = sga_rows(Told(lambda clip: np.roll(own_sound(clip), frames, axis=0)), people(2, 3))
    assert values(rows)[2] == wanted


@pytest.mark.parametrize("n", [100, 110, 149])
def test_a_clip_of_one_window_has_all_offsets_too(n: int) -> None:
    rows = sga_rows(Told(lambda clip: directions(len(clip), "else", clip.clip_id)), people(15, 4, n=n))
    assert values(rows)[2] == pytest.approx(11 / 51, abs=0.13)
    assert values(sga_rows(Told(own_sound), people(2, 3, n=n)))[2] == 1


def test_a_sound_that_is_the_same_everywhere_has_no_offset_and_no_winner() -> None:
    constant = Told(own_sound, lambda clip: np.repeat(directions(1), len(clip), axis=0))
    auc, first, offset, _ = values(sga_rows(constant, people(2, 3)))
    assert (auc, first) == (0.5, 0)
    assert offset < 0.3


def test_clips_without_a_window_have_no_values() -> None:
    clips = [*people(2, 3), *(dataclasses.replace(clip, clip_id="short") for clip in people(1, 1, n=99))]
    rows = sga_rows(Told(own_sound), clips)
    by_clip = metric.per_clip(sga, rows, rows)
    assert "short" not in by_clip
    assert len(by_clip) == 6
    short = sga_rows(Told(own_sound), people(2, 3, n=99))
    assert metric.compute(sga, short, short) == dict.fromkeys(SGA_CARDS)
    alone = sga_rows(Told(own_sound), people(1, 1))
    assert metric.compute(sga, alone, alone) == dict.fromkeys(SGA_CARDS)


def test_without_towers_nothing_is_kept() -> None:
    assert sga.measure(truth_of(people(1, 1)[0])) == {}
    rows = sga_rows(Told(own_sound, has_towers=False), people(2, 3))
    assert set(map(len, rows.values())) == {0}
    assert metric.compute(sga, rows, rows) == dict.fromkeys(SGA_CARDS)


def test_mismatches_come_from_the_same_speaker_where_there_are_enough() -> None:
    """Everybody's sounds are all alike: against one's own other sounds it is a tie, against anybody else's a win."""

    def voice(clip: Clip) -> np.ndarray:
        return np.repeat(directions(1, clip.speaker), len(clip), axis=0)

    for each, same, wanted in ((3, 1, 0.5), (2, 0, None), (1, 0, 1.0)):
        auc, _, _, told = values(sga_rows(Told(voice, voice), people(8, each)))
        assert told == same
        if wanted is None:
            assert 0.9 < auc < 1  # now and then the speaker's one other clip is drawn
        else:
            assert auc == wanted


def test_values_are_the_same_every_time_in_any_order_and_however_they_were_divided() -> None:
    told = Told(lambda clip: own_sound(clip) + 12 * directions(len(clip), "else", clip.clip_id))
    clips = people(3, 3)
    rows = sga_rows(told, clips)
    wanted = metric.per_clip(sga, rows, rows)
    assert 0.5 < values(rows)[0] < 1
    backward = dict(reversed(rows.items()))
    assert metric.per_clip(sga, backward, backward) == wanted
    whole = Accumulator(sga)
    for cut in (1, 4):
        first, second = Accumulator(sga), Accumulator(sga)
        for number, clip in enumerate(clips):
            (first if number < cut else second).update(truth_of(clip, kit=told))
        whole = second.merge(first)
        assert metric.per_clip(sga, whole.rows, whole.rows) == wanted


def test_a_clips_value_is_the_mean_over_its_seeds() -> None:
    good = sga_rows(Told(own_sound), people(2, 3))
    bad = sga_rows(Told(lambda clip: -own_sound(clip)), people(2, 3))
    both = {**good, **{Key(key.clip_id, 1): row for key, row in bad.items()}}
    assert values(both)[:2] == (0.5, 0.5)


def test_other_audio_is_judged_by_the_audio_that_was_given() -> None:
    """The sound of a row is the one that its clip was heard beside."""
    clips = people(2, 3)
    heard = sga_rows(Told(own_sound, lambda clip: directions(len(clip), "swapped", clip.clip_id)), clips)
    assert values(heard)[0] < 0.8
    assert values(sga_rows(Told(own_sound), clips))[0] == 1
