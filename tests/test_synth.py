"""The synthetic world: speech in time, bodies that stay bodies, hands that follow the words, pictures of the truth."""

from __future__ import annotations

import numpy as np
import pytest

from csg405 import keypoints as kp
from csg405 import media
from csg405.synth import body, draw, film, motion, speech, talker, texts
from csg405.synth.body import Body, Motion

pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed (extra `demo`)")


def spoken(seed: int, *, words: int = 40) -> tuple[talker.Talker, speech.Speech]:
    person = talker.talker(seed)
    return person, speech.say(texts.monologue(np.random.default_rng(seed), words=words), voice=person.voice)


def performed(seed: int, *, hz: float = 25, words: int = 40) -> tuple[speech.Speech, np.ndarray, Motion]:
    person, said = spoken(seed, words=words)
    times_s = np.arange(0, said.seconds, 1 / hz)
    return said, times_s, motion.perform(said, person.style, times_s, np.random.default_rng(seed))


# ---- speech


def test_words_are_those_of_the_text_in_order_and_in_time() -> None:
    said = speech.say("We talk with our hands, and nobody taught us.")
    assert [word.text for word in said.words] == ["We", "talk", "with", "our", "hands", "and", "nobody", "taught", "us"]
    edges = [edge for word in said.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= said.seconds
    stressed = [word.text for word in said.words if word.stress_s is not None]
    assert {"talk", "hands", "nobody", "taught"} <= set(stressed)
    assert all(word.start_s <= word.stress_s < word.end_s for word in said.words if word.stress_s is not None)


def test_silence_lies_where_no_word_is() -> None:
    said = speech.say("This is one sentence. This is another one.")
    gaps = [
        (a.end_s, b.start_s) for a, b in zip(said.words, said.words[1:], strict=False) if b.start_s - a.end_s > 0.15
    ]
    assert len(gaps) == 1
    ((start_s, end_s),) = gaps
    level = motion.loudness(said.samples, np.arange(0, said.seconds, 0.01))
    inside = np.arange(0, said.seconds, 0.01)
    assert level[(inside > start_s + 0.05) & (inside < end_s - 0.05)].max() < 0.1
    assert level[inside < start_s].mean() > 0.3


def test_every_voice_speaks_and_speaking_again_says_the_same() -> None:
    lengths = set()
    voices = [(speech.ACCENTS[number % len(speech.ACCENTS)], variant) for number, variant in enumerate(speech.VARIANTS)]
    for accent, variant in [*voices, *((accent, "m1") for accent in speech.ACCENTS)]:
        lengths.add(len(speech.say("hello there", voice=speech.Voice(accent=accent, variant=variant)).samples))
    assert min(lengths) > 4000
    first, second = (speech.say("The same again, please.", voice=speech.Voice(variant="f3")) for _ in range(2))
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.words == second.words


def test_sentences_hardly_repeat() -> None:
    rng = np.random.default_rng(0)
    said = [texts.sentence(rng) for _ in range(2000)]
    assert len(set(said)) > 1900
    assert all(sentence[0].isupper() and sentence[-1] in ".?" and "{" not in sentence for sentence in said)


# ---- the body


def test_bones_keep_their_length_whatever_the_motion() -> None:
    _, _, moved = performed(3)
    person = talker.talker(3).body
    points = body.points(person, moved)
    assert np.isfinite(points).all()
    for side in (0, 1):
        shoulder, elbow, wrist = (points[:, kp.LEFT_SHOULDER + 2 * joint + side] for joint in range(3))
        np.testing.assert_allclose(np.linalg.norm(elbow - shoulder, axis=-1), person.upper_arm, rtol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(wrist - elbow, axis=-1), person.forearm, rtol=1e-9)
        hand = points[:, (kp.LEFT_HAND, kp.RIGHT_HAND)[side]]
        np.testing.assert_array_equal(hand[:, 0], wrist)
        for finger in range(5):
            bones = np.linalg.norm(np.diff(hand[:, 1 + 4 * finger : 5 + 4 * finger], axis=1), axis=-1)
            assert np.ptp(bones, axis=0).max() < 1e-9
    eyes = np.linalg.norm(points[:, 1] - points[:, 2], axis=-1)
    assert np.ptp(eyes) < 2e-3  # the middle of an eye moves a little when it blinks


def test_a_hand_gets_where_it_can_and_stops_where_the_arm_ends() -> None:
    shoulder, pole = np.zeros((3, 3)), np.tile([0.3, -1.0, 0.0], (3, 1))
    wanted = np.array([[0.1, -0.3, 0.2], [0.0, 0.0, 0.05], [0.0, -2.0, 0.0]])
    elbow, wrist = body.reach(shoulder, wanted, pole, 0.3, 0.25)
    np.testing.assert_allclose(wrist[0], wanted[0], atol=1e-12)
    assert np.linalg.norm(wrist[2]) == pytest.approx(0.985 * 0.55)
    np.testing.assert_allclose(np.linalg.norm(elbow, axis=-1), 0.3)
    assert elbow[0] @ np.cross(np.cross(wanted[0], pole[0]), wanted[0]) > 0  # toward the pole


def test_lips_chin_brows_and_lids_do_as_they_are_told() -> None:
    n = 3
    shapes = {
        "root": (3,),
        "torso": (3,),
        "head": (3,),
        "wrists": (2, 3),
        "fingers": (2, 5),
        "spread": (2,),
        "palms": (2,),
    }
    single = ("mouth_open", "mouth_wide", "brows", "blink")
    still = {name: np.zeros((n, *shapes.get(name, ()))) for name in (*shapes, *single)}
    opened, wide, shut = np.array([0, 0.01, 0.02]), np.array([-1.0, 0, 1]), np.array([0, 0.5, 1])
    face = body.face_points(Body(), Motion(**(still | {"mouth_open": opened, "mouth_wide": wide, "blink": shut})))
    gap = face[:, 62, 1] - face[:, 66, 1]
    np.testing.assert_allclose(gap - gap[0], opened, atol=1e-9)
    assert np.all(np.diff(face[:, 54, 0] - face[:, 48, 0]) > 0)
    assert np.all(np.diff(face[:, 8, 1]) < 0)
    lids = face[:, 37, 1] - face[:, 41, 1]
    np.testing.assert_allclose(lids / lids[0], 1 - shut, atol=1e-9)


def test_the_left_hand_is_at_the_right_of_the_picture() -> None:
    _, _, moved = performed(1)
    seen = talker.Camera().project(body.points(talker.talker(1).body, moved))
    assert (seen[:, kp.LEFT_SHOULDER, 0] > seen[:, kp.RIGHT_SHOULDER, 0] + 100).all()
    assert (seen[:, kp.FACE.start + 16, 0] > seen[:, kp.FACE.start, 0]).all()
    assert (seen[:, kp.NOSE, 1] < seen[:, kp.LEFT_SHOULDER, 1]).all()
    assert (seen[:, kp.NOSE, 2] < seen[:, 3, 2]).all()  # the nose is nearer than an ear


# ---- the motion


def test_a_move_of_least_jerk_has_a_bell_of_speed() -> None:
    part = motion.least_jerk(np.linspace(-0.5, 1.5, 2001))
    assert part[0] == 0
    assert part[-1] == 1
    speed = np.diff(part)
    assert np.argmax(speed) == pytest.approx(1000, abs=1)
    assert speed.max() / (1 / 1000) == pytest.approx(1.875, rel=1e-3)


def test_motion_does_not_depend_on_when_it_is_looked_at() -> None:
    _, _, coarse = performed(5, hz=25)
    _, _, fine = performed(5, hz=50)
    for name in ("wrists", "fingers", "head", "mouth_open", "blink"):
        np.testing.assert_allclose(getattr(fine, name)[::2][: len(coarse)], getattr(coarse, name), atol=1e-12)


def test_hands_move_smoothly_at_human_speeds() -> None:
    for seed in range(6):
        _, times_s, moved = performed(seed, hz=100)
        speed = np.linalg.norm(np.gradient(moved.wrists, times_s, axis=0), axis=-1)
        assert 0.3 < np.percentile(speed, 99) < 3.0
        # A stroke of least jerk over 31 cm in 0.18 s, the largest that a style may have, needs 5.8 d / T^2 = 55 m/s^2.
        assert np.abs(np.diff(speed, axis=0)).max() / 0.01 < 55


def test_strokes_end_on_stressed_words() -> None:
    person, said = spoken(2, words=120)
    strokes = motion.choose_strokes(said.words, person.style, np.random.default_rng(0))
    stresses = np.array([word.stress_s for word in said.words if word.stress_s is not None])
    assert len(strokes) > 10
    assert all(np.abs(stresses - stroke.time_s + 0.03).min() < 1e-9 for stroke in strokes)
    assert np.diff([stroke.time_s for stroke in strokes]).min() >= 0.5


def _beat(said: speech.Speech, times_s: np.ndarray, moved: Motion) -> float:
    """Correlation of the hands' acceleration with the stressed words: nothing but motion and sound."""
    speed = np.gradient(moved.wrists, times_s, axis=0)
    effort = np.linalg.norm(np.gradient(speed, times_s, axis=0), axis=-1).max(axis=1)
    stress = sum(np.exp(-0.5 * ((times_s - word.stress_s) / 0.08) ** 2) for word in said.words if word.stress_s)
    return float(np.corrcoef(effort, stress)[0, 1])


def test_matched_speech_is_told_from_swapped_by_the_motion_alone() -> None:
    clips = [performed(seed, words=90) for seed in range(8)]
    matched = [_beat(*clip) for clip in clips]
    swapped = []
    for number, (_, times_s, moved) in enumerate(clips):
        other, other_times_s, _ = clips[(number + 3) % len(clips)]
        n = min(len(times_s), len(other_times_s))
        cut = Motion(**{name: getattr(moved, name)[:n] for name in moved.__dataclass_fields__})
        swapped.append(_beat(other, times_s[:n], cut))
    assert min(matched) > max(swapped), (matched, swapped)
    assert np.mean(matched) > 0.15


def test_lips_follow_the_sound() -> None:
    for seed in range(4):
        said, times_s, moved = performed(seed)
        level = motion.loudness(said.samples, times_s)
        assert np.corrcoef(level, moved.mouth_open)[0, 1] > 0.5
        assert moved.mouth_open.max() < talker.talker(seed).style.mouth_m
        closed = [sound.start_s + 0.03 for sound in said.sounds if sound.symbol in {"p", "b", "m"}]
        assert np.median(np.interp(closed, times_s, moved.mouth_open)) < 0.25 * np.percentile(moved.mouth_open, 90)


# ---- the pictures


def shot_of(seed: int, **camera: float) -> draw.Shot:
    rng = np.random.default_rng(seed)
    _, _, moved = performed(seed)
    view = talker.Camera(**{"distance_m": 2.3, "focal": 1.9, "level_m": 0.4} | camera)
    return draw.Shot(talker.talker(seed), moved, view, talker.setting(rng))


def test_the_same_seed_draws_the_same_picture_and_another_another() -> None:
    first, second, other = shot_of(4), shot_of(4), shot_of(5)
    np.testing.assert_array_equal(first.draw(20)[0], second.draw(20)[0])
    assert np.abs(first.draw(20)[0].astype(int) - other.draw(20)[0]).mean() > 5


def test_pupils_are_dark_and_lie_where_the_truth_says() -> None:
    for seed in (0, 2, 6):
        shot = shot_of(seed)
        frame = int(np.argmin(shot.motion.blink))
        picture, visible = shot.draw(frame)
        for eye in (1, 2):
            assert visible[eye]
            x, y = np.round(shot.keypoints[frame, eye, :2]).astype(int)
            assert picture[y - 1 : y + 2, x - 1 : x + 2].mean() < 90


def test_what_is_outside_the_picture_or_turned_away_cannot_be_seen() -> None:
    _, visible = shot_of(1).draw(30)
    assert visible[[kp.NOSE, kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER, *range(kp.FACE.start, kp.FACE.stop)]].all()
    assert not visible[kp.FEET].any()
    _, close = shot_of(1, level_m=1.1).draw(30)
    assert not close[kp.LEFT_HAND].any()
    assert not close[kp.RIGHT_HAND].any()
    away, behind = shot_of(1, turn=np.pi * 0.85).draw(30)
    assert not behind[kp.FACE].any()
    assert away.shape == (720, 1280, 3)


def test_a_hand_before_the_face_hides_it() -> None:
    shot = shot_of(1)
    before = shot.draw(30)[1]
    wrist = shot.keypoints[30, kp.RIGHT_HAND].copy()
    move = shot.keypoints[30, kp.NOSE] - wrist[9]
    shot.keypoints[30, kp.RIGHT_HAND] = wrist + move * [1, 1, 0]
    shot.keypoints[30, kp.RIGHT_HAND, 2] = shot.keypoints[30, kp.NOSE, 2] - 0.1
    after = shot.draw(30)[1]
    assert before[kp.NOSE]
    assert not after[kp.NOSE]
    assert after[kp.FACE].sum() < before[kp.FACE].sum()


# ---- films


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    takes = [film.take(seed, words=6, width=640, height=360) for seed in (1, 2)]
    return path, takes, film.write(path, takes)


def test_a_film_holds_its_takes_and_their_truth(written) -> None:
    path, takes, truth = written
    held = media.probe(path)
    assert held.n_frames == sum(take.n_frames for take in takes) == len(truth.keypoints_px) == len(truth.visible)
    assert (held.width, held.height, held.audio_rate_hz) == (640, 360, 16_000)
    assert [(take.first, take.n_frames) for take in truth.takes] == [
        (0, takes[0].n_frames),
        (takes[0].n_frames, takes[1].n_frames),
    ]
    np.testing.assert_array_equal(truth.keypoints_px[: takes[0].n_frames], takes[0].keypoints())
    heard = media.sound(path, start_ms=0, n_samples=len(takes[0].samples()))
    assert np.corrcoef(heard, takes[0].samples())[0, 1] > 0.95


def test_pictures_of_a_film_show_the_truth(written) -> None:
    """Where a hand is said to be seen, the picture has the talker's skin; at a pupil it is dark."""
    path, takes, truth = written
    skin = np.array(takes[0].talker.look.skin) * takes[0].setting.light
    misses = []
    for frame, (_, picture) in enumerate(media.frames(path)):
        if frame >= takes[0].n_frames:
            break
        for point in (91, 112):
            if truth.visible[frame, point]:
                x, y = np.round(truth.keypoints_px[frame, point]).astype(int)
                misses.append(
                    np.abs(picture.rgb()[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1)) - np.minimum(skin, 255)).max()
                )
    assert len(misses) > 50
    assert np.median(misses) < 25


def test_the_same_takes_give_the_same_bytes(written, tmp_path) -> None:
    path, _, _ = written
    again = [film.take(seed, words=6, width=640, height=360) for seed in (1, 2)]
    film.write(tmp_path / "again.mp4", again)
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes()


def test_takes_of_different_sizes_are_refused(tmp_path) -> None:
    takes = [film.take(1, words=4), film.take(2, words=4, width=640, height=360)]
    with pytest.raises(ValueError, match="one size and rate"):
        film.write(tmp_path / "film.mp4", takes)
    assert not (tmp_path / "film.mp4").exists()
