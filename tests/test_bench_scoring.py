"""Scoring in its parts: rows on disk, the plan of chunks, measuring and what it spares, values, and results."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csg405.benchmark import metric
from csg405.benchmark.clip import Clip, truth_of
from csg405.benchmark.controls import BY_NAME, CONTROLS, Context, made
from csg405.benchmark.kit import Kit
from csg405.benchmark.metric import Card, Direction, Key, Row
from csg405.benchmark.metrics import ba_kappa, kgd, lip_velocity, lips
from csg405.benchmark.metrics._motion import number
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring import breakdown, facts, measure, parts, plan, results, rows
from csg405.benchmark.scoring.measure import ChunkWorker, Group, Split, one_thread
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.systems import (
    ControlSystem,
    Given,
    Perturbed,
    Submitted,
    System,
    controls,
    perturbations,
)
from csg405.benchmark.scoring.values import Book, per_cent, shortfall
from csg405.benchmark.submission import copies
from csg405.benchmark.submission.schema import Submission
from csg405.errors import UserError
from tests import bench_release as small
from tests import submission_kit

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    root = tmp_path_factory.mktemp("kit")
    settings = small.TINY.model_copy(update={"towers": False, "steps": 1})
    return small.train(small.write(root), root / "kit", settings)


@pytest.fixture
def place(tmp_path: Path, kit: Kit) -> Place:
    return Place(folders=small.write(tmp_path).folders, split="test", kit=kit)


def same(one: rows.Measured, other: rows.Measured) -> bool:
    """Bit by bit, with types and shapes."""

    def flat(measured: rows.Measured) -> list[tuple[Any, ...]]:
        return [
            (name, key, array, held.dtype.str, held.shape, held.tobytes())
            for name, of_measure in measured.items()
            for key, row in of_measure.items()
            for array, held in row.items()
        ] + [(name, key) for name, of_measure in measured.items() for key in of_measure]

    return flat(one) == flat(other)


# ---- rows on disk


def some_rows() -> rows.Measured:
    rng = np.random.default_rng(0)
    arrays: Row = {
        "doubles": rng.standard_normal((3, 4)), "halves": rng.standard_normal(5).astype(np.float16),
        "flags": np.array([True, False]), "ids": np.array([2**55 + 1, -1]), "bytes": np.arange(3, dtype=np.uint8),
        "scalar": np.array(np.nan), "nothing": np.zeros((0, 32), np.float32), "complex": np.array([1 + 2j]),
        "across": np.arange(6, dtype=np.int16).reshape(2, 3).T, "big": np.arange(3, dtype=">f4"),
    }  # fmt: skip
    return {
        "first": {Key("a", 0): arrays, Key("a", 1): {}, Key("b", 0): {"doubles": np.array([np.inf, -0.0])}},
        "second": {Key("a", 0): {}},
    }


def test_rows_come_back_bit_by_bit(tmp_path: Path) -> None:
    measured = some_rows()
    other: rows.Measured = {"first": {Key("a", 0): {"doubles": np.ones(2)}}}
    path = tmp_path / "deep" / "rows.parquet"
    rows.write(path, {"one": measured, "other": other}, fingerprint="abc")
    back = rows.read([path], "one")
    measured["first"][Key("a", 0)] = dict(sorted(measured["first"][Key("a", 0)].items()))
    assert same(back, measured)
    assert back["first"][Key("a", 1)] == {}
    assert same(rows.read([path], "other"), other)
    assert rows.fingerprint(path) == "abc"


def test_rows_of_many_files_are_sorted_by_clip_and_seed(tmp_path: Path) -> None:
    paths = []
    for clip_ids in (("d", "a"), ("c", "b")):
        held = {"m": {Key(clip_id, seed): number(seed) for clip_id in clip_ids for seed in (1, 0)}}
        paths.append(tmp_path / f"{clip_ids[0]}.parquet")
        rows.write(paths[-1], {"one": held}, fingerprint="")
    wanted = [Key(clip_id, seed) for clip_id in "abcd" for seed in (0, 1)]
    for order in (paths, paths[::-1]):
        assert list(rows.read(order, "one")["m"]) == wanted


def test_the_bytes_do_not_depend_on_the_order_in_which_rows_came(tmp_path: Path) -> None:
    measured = some_rows()
    backward = {
        name: {key: dict(reversed(row.items())) for key, row in reversed(held.items())}
        for name, held in reversed(measured.items())
    }
    for name, held in (("one", measured), ("two", backward)):
        rows.write(tmp_path / name, {"s": held}, fingerprint="x")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_file_that_cannot_be_read_has_no_fingerprint(tmp_path: Path) -> None:
    assert rows.fingerprint(tmp_path / "none.parquet") is None
    (tmp_path / "text.parquet").write_text("no parquet")
    assert rows.fingerprint(tmp_path / "text.parquet") is None
    rows.write(tmp_path / "cut.parquet", {"one": some_rows()}, fingerprint="abc")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "cut.parquet").read_bytes()[:-20])
    assert rows.fingerprint(tmp_path / "cut.parquet") is None


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    bad: rows.Measured = {"first": {Key("b", "seed"): {"x": np.zeros(1)}}}  # type: ignore[arg-type]
    with pytest.raises(Exception, match="seed"):
        rows.write(path, {"one": some_rows(), "two": bad}, fingerprint="new")
    assert list(tmp_path.iterdir()) == []
    rows.write(path, {"one": some_rows()}, fingerprint="old")
    with pytest.raises(Exception, match="seed"):
        rows.write(path, {"one": some_rows(), "two": bad}, fingerprint="new")
    assert rows.fingerprint(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


# ---- the plan


def entry(clip_id: str, *, shard: str = "s", speaker: str = "x") -> Entry:
    return Entry(
        clip_id=clip_id, video_id=clip_id, speaker=speaker, split="test", n_frames=100, shard=shard, size_px=512
    )


def test_chunks_are_whole_shards_and_hold_every_clip_once() -> None:
    rng = np.random.default_rng(0)
    entries = [
        entry(f"c{shard}.{number}", shard=f"shard{shard:03d}")
        for shard in range(30)
        for number in range(rng.integers(1, 9))
    ]
    made_ = plan.chunks(entries)
    assert sorted(clip_id for chunk in made_ for clip_id in chunk.clip_ids) == sorted(one.clip_id for one in entries)
    shard_of = {one.clip_id: one.shard for one in entries}
    of_chunks = [{shard_of[clip_id] for clip_id in chunk.clip_ids} for chunk in made_]
    for one, other in itertools.combinations(of_chunks, 2):
        assert not one & other
    least = plan.CHUNK_CLIPS
    assert all(least <= len(chunk.clip_ids) < least + 8 for chunk in made_[:-1])
    assert [chunk.name for chunk in made_] == [f"{number:05d}" for number in range(len(made_))]
    shuffled = [entries[i] for i in rng.permutation(len(entries))]
    assert plan.chunks(shuffled) == made_
    assert plan.chunks([]) == []
    assert [len(chunk.clip_ids) for chunk in plan.chunks([entry(f"c{i}") for i in range(40)])] == [40]


def test_a_partner_is_another_clip_of_the_same_speaker_where_there_is_one() -> None:
    speakers = {"ann": 4, "bea": 2, "cid": 1, "dan": 1}
    entries = [entry(f"{name}.{i}", speaker=name) for name, count in speakers.items() for i in range(count)]
    found = plan.partners(entries)
    assert set(found) == {one.clip_id for one in entries}
    assert all(clip_id != partner for clip_id, partner in found.items())
    for clip_id, partner in found.items():
        if speakers[clip_id[:3]] > 1:
            assert partner[:3] == clip_id[:3]
    for name in ("ann", "bea"):  # everybody's sound is somebody's other sound
        own = [one.clip_id for one in entries if one.speaker == name]
        assert sorted(found[clip_id] for clip_id in own) == own
    assert plan.partners(entries[::-1]) == found
    assert plan.partners([entry("a")]) == {"a": "a"}
    assert plan.partners([entry("a", speaker="x"), entry("b", speaker="y")]) == {"a": "b", "b": "a"}


def test_another_sound_is_as_long_as_the_clip(tmp_path: Path) -> None:
    lengths = (120, 50, 80)
    reader = small.write(tmp_path, small.clips({"eva": "test"}, length=lambda number: lengths[number]))
    partner_of = plan.partners(reader.clips("test"))
    sounds = plan.Sounds(reader, partner_of)
    for clip in reader.iterate(reader.clips("test")):
        partner = reader.read(partner_of[clip.clip_id])
        wanted = np.tile(partner.sound.samples, 3)[: 640 * len(clip)]
        for near in ({}, {partner.clip_id: partner}):
            found = sounds.other(clip, near)
            assert np.array_equal(found.samples, wanted)
            assert found.samples.dtype == np.int16


# ---- systems


def test_systems_have_names_of_their_own_and_travel() -> None:
    assert [system.name for system in controls()] == [control.name for control in CONTROLS]
    names = [system.name for system in perturbations()]
    assert len(set(names)) == len(names) == 40
    for system in (*controls(), *perturbations()):
        assert pickle.loads(pickle.dumps(system)) == system
        assert system.digest("any") == ""


def test_a_control_gives_one_motion_and_a_perturbation_too(place: Place) -> None:
    clip = place.reader.read("eva.0")
    context = Context(place.kit, place.reader.read("eva.1").sound)
    for name in ("noise_2px", "other_audio"):
        (given,) = ControlSystem(name).motions(clip, context)
        heard, points = made(BY_NAME[name], clip, context)
        assert given.seed == 0
        assert given.clip.sound is heard.sound
        assert np.array_equal(given.keypoints_px, points)
    (given,) = Perturbed("other_audio", 4).motions(clip, context)
    assert given.clip.sound is context.other


def submitted(folder: Path, clips: Iterable[Clip], *, seeds: int = 1, noise_px: float = 0.5) -> Submitted:
    """Predictions: the truth with a little noise."""
    for clip in clips:
        for seed in range(seeds):
            rng = np.random.default_rng([seed, *clip.clip_id.encode()])
            path = folder / "predictions" / clip.clip_id / f"seed{seed}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = noise_px * rng.standard_normal(clip.keypoints_px.shape)
            path.write_bytes(submission_kit.npz(keypoints=(clip.keypoints_px + noise).astype(np.float32)))
    return Submitted(folder, seeds)


def test_a_submissions_motions_are_its_files(place: Place, tmp_path: Path) -> None:
    clip = place.reader.read("eva.0")
    system = submitted(tmp_path / "sub", [clip, place.reader.read("eva.1")], seeds=2)
    found = list(system.motions(clip))
    assert [given.seed for given in found] == [0, 1]
    assert all(given.clip is clip for given in found)
    path = tmp_path / "sub" / "predictions" / "eva.0" / "seed1.npz"
    with np.load(path) as held:
        assert np.array_equal(found[1].keypoints_px, held["keypoints"])
    before, other = system.digest("eva.0"), system.digest("eva.1")
    assert before != other
    path.write_bytes(path.read_bytes() + b" ")
    assert system.digest("eva.0") != before
    assert system.digest("eva.1") == other
    path.write_bytes(submission_kit.npz(keypoints=np.zeros((119, 133, 2), np.float32)))
    with pytest.raises(UserError, match=r"predictions/eva.0/seed1.npz: .*validate it again"):
        list(system.motions(clip))
    path.unlink()
    with pytest.raises(UserError, match=r"seed1.npz"):
        list(system.motions(clip))


# ---- measuring


@dataclasses.dataclass(frozen=True)
class Versioned:
    """The truth, whose files are said to be of some version, and to be broken for some clips."""

    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    broken: str = ""
    name: str = "versioned"

    def motions(self, clip: Clip, context: Context) -> Iterator[Given]:
        if clip.clip_id == self.broken:
            raise UserError(f"{clip.clip_id}: broken")
        yield Given(0, clip, clip.keypoints_px)

    def digest(self, clip_id: str) -> str:
        return self.versions.get(clip_id, "1")


@pytest.fixture
def two_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CHUNK_CLIPS", 3)


def measured(place: Place, folder: Path, *systems: System, towers: bool = False) -> tuple[list[Path], list[str]]:
    """The files, and the chunks that were measured for them."""
    engine = small.Here()
    group = Group(name="some", systems=systems)
    return measure.measure(place.measured, group, folder, engine, with_towers=towers), engine.asked


def digests(files: Iterable[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


@pytest.mark.usefixtures("two_chunks")
def test_what_was_measured_is_not_measured_again(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    systems = (ControlSystem("truth"), ControlSystem("mean_pose"))
    files, asked = measured(place, folder, *systems)
    assert asked == ["00000", "00001"]
    assert files == [folder / "part-00000.parquet", folder / "part-00001.parquet"]
    first = digests(files)
    stamps = [path.stat().st_mtime_ns for path in files]
    assert measured(place, folder, *systems) == (files, [])
    assert [path.stat().st_mtime_ns for path in files] == stamps
    files[0].write_bytes(files[0].read_bytes()[:100])
    (folder / "part-00007.parquet").write_bytes(b"of a plan that is no more")
    assert measured(place, folder, *systems) == (files, ["00000"])
    assert digests(files) == first
    assert sorted(folder.iterdir()) == files
    assert measured(place, folder, *systems[:1])[1] == asked  # other systems


@pytest.mark.usefixtures("two_chunks")
def test_what_changed_is_measured_anew_and_nothing_else(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    measured(place, folder, Versioned())
    assert measured(place, folder, Versioned({"fay.1": "2"}))[1] == ["00001"]
    assert measured(place, folder, Versioned({"fay.1": "2", "eva.2": "2"}))[1] == ["00000"]
    other = dataclasses.replace(place, kit=Kit.open(place.kit.folder, encoder=1))
    assert measured(other, folder, Versioned({"fay.1": "2", "eva.2": "2"}))[1] == ["00000", "00001"]


@pytest.mark.usefixtures("two_chunks")
def test_a_chunk_that_fails_is_named_and_the_others_stay(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    with pytest.raises(UserError, match=r"measure some: 1 of 2 chunks failed; the first: chunk 00000: eva.1: broken"):
        measured(place, folder, Versioned(broken="eva.1"))
    assert [path.name for path in folder.iterdir()] == ["part-00001.parquet"]
    assert measured(place, folder, Versioned())[1] == ["00000"]


def test_rows_are_those_of_the_metrics_however_the_split_is_divided(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems = (ControlSystem("truth"), ControlSystem("other_audio"))
    whole, asked = measured(place, tmp_path / "whole", *systems)
    assert len(asked) == 1
    monkeypatch.setattr(plan, "CHUNK_CLIPS", 1)
    parts, asked = measured(place, tmp_path / "parts", *systems)
    assert len(asked) == 2
    truth = rows.read(whole, "truth")
    for system in ("truth", "other_audio"):
        assert same(rows.read(whole, system), rows.read(parts, system))
    modules = measure.used(with_towers=False)
    assert set(truth) == {metric.measure_name(module) for module in modules}
    for clip in place.reader.iterate(place.entries):
        for name, take in metric.measures(modules).items():
            row = take(truth_of(clip, kit=place.kit))
            found = truth[name][Key(clip.clip_id, 0)]
            assert found.keys() == row.keys()
            for array, held in row.items():
                np.testing.assert_allclose(found[array], held, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("two_chunks")
def test_groups_that_are_measured_together_have_the_rows_that_each_has_alone(place: Place, tmp_path: Path) -> None:
    held = {name: Group(name=name, systems=(ControlSystem(name),)) for name in ("noise_2px", "other_audio")}
    alone = [measured(place, tmp_path / "alone" / name, *group.systems)[0] for name, group in held.items()]
    engine, folders = small.Here(), {tmp_path / "both" / name: group for name, group in held.items()}
    together = list(measure.measure_together(place.measured, folders, engine, with_towers=False).values())
    assert engine.asked == ["00000", "00001"]
    assert [digests(files) for files in together] == [digests(files) for files in alone]
    together[1][1].unlink()
    stamps = [path.stat().st_mtime_ns for path in (*together[0], together[1][0])]
    assert list(measure.measure_together(place.measured, folders, engine, with_towers=False).values()) == together
    assert engine.asked == ["00000", "00001", "00001"]
    assert [path.stat().st_mtime_ns for path in (*together[0], together[1][0])] == stamps, "only what is missing"
    assert digests(together[1]) == digests(alone[1])


def test_without_towers_what_needs_them_is_left_out() -> None:
    names = {metric.measure_name(module) for module in measure.used(with_towers=False)}
    assert names == {metric.measure_name(module) for module in measure.used(with_towers=True)} - {"sga"}


def test_a_worker_is_small_and_finds_the_plan_by_itself(place: Place, tmp_path: Path) -> None:
    group = Group(name="some", systems=(ControlSystem("truth"),))
    worker = ChunkWorker(split=place.measured, groups={tmp_path / "rows": group}, with_towers=False)
    packed = pickle.dumps(dataclasses.replace(worker))
    assert len(packed) < 3000
    assert pickle.loads(packed).fingerprint("00000", group) == worker.fingerprint("00000", group)


def test_a_place_without_clips_is_named(place: Place, kit: Kit) -> None:
    empty = Place(
        folders=small.write(place.folders.root / "other", small.clips({"ann": "train"})).folders, split="test", kit=kit
    )
    with pytest.raises(UserError, match="the release of run small has no clips in split 'test'"):
        _ = empty.entries
    split = Split(folders=empty.folders, name="test", kit=kit, digest="")
    with pytest.raises(UserError, match="no clips in split 'test'"):
        measure.measure(split, Group(name="g", systems=(Versioned(),)), empty.home, small.Here())


def test_a_place_says_what_scores_must_share(place: Place, tmp_path: Path) -> None:
    assert place.digests == {
        "data": place.reader.digest("test"), "kit": place.kit.digest, "evaluator": measure.evaluator_digest(),
    }  # fmt: skip
    assert place.cluster_of == {f"{name}.{i}": name for name in ("eva", "fay") for i in range(3)}
    held = small.clips()
    held[-1].keypoints_px[0, 0, 0] += 1  # of a clip for testing
    changed = dataclasses.replace(place, folders=small.write(tmp_path / "changed", held).folders)
    assert results.score_id(changed.digests) != results.score_id(place.digests)
    assert place.rows("g", with_towers=True) != place.rows("g", with_towers=False)


# ---- values


def card(direction: Direction, **changes: Any) -> Card:
    return Card(name="a", title="a", unit="1", direction=direction, **changes)


@pytest.mark.parametrize(
    ("direction", "value", "truth", "wanted"),
    [
        ("higher", 0.3, 0.8, 0.5), ("higher", 0.9, 0.8, 0), ("higher", 0.3, None, None),
        ("lower", 3, 1, 2), ("lower", 0.5, 1, 0), ("lower", 3, None, 3), ("lower", -1, None, 0),
        ("truth", 3, 5, 2), ("truth", 7, 5, 2), ("truth", 7, None, None),
        ("zero", -2, 5, 2), ("zero", 2, None, 2), ("one", 0.25, 5, 0.75), ("one", 3, None, 2),
        ("none", 3, 5, None), ("higher", None, 5, None), ("zero", None, None, None),
    ],
)  # fmt: skip
def test_a_shortfall_is_the_distance_from_the_best_there_is(
    direction: Direction, value: float | None, truth: float | None, wanted: float | None
) -> None:
    assert shortfall(card(direction), value, truth) == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize(
    ("direction", "value", "truth", "chance", "wanted"),
    [
        ("higher", 0.4, 0.8, 0.0, 50), ("higher", 0.8, 0.8, 0.0, 100), ("higher", 0.9, 0.8, 0.0, 100),
        ("higher", -0.2, 0.8, 0.0, -25), ("lower", 2, 1, 5, 75), ("lower", 9, 1, 5, -100), ("one", 1.2, 1, 0.5, 60),
        ("truth", 4, 5, 7, 50), ("higher", 0.4, 0.8, 0.8, None), ("higher", 0.4, 0.8, 0.9, None),
        ("higher", 0.4, 0.8, None, None), ("none", 1, 2, 3, None), ("higher", None, 0.8, 0, None),
    ],
)  # fmt: skip
def test_per_cent_lies_between_chance_and_the_truth(
    direction: Direction, value: float | None, truth: float | None, chance: float | None, wanted: float | None
) -> None:
    found = per_cent(card(direction), value, truth=truth, chance=chance)
    assert found == (None if wanted is None else pytest.approx(wanted))


def lip_book(truth: Mapping[str, float | None], files: Mapping[str, Any] | None = None) -> Book:
    """A book of one metric; a clip's id is its speaker, a dot, and a number."""
    held = {Key(clip_id, 0): number(value) for clip_id, value in sorted(truth.items())}
    cluster_of = {clip_id: clip_id.partition(".")[0] for clip_id in truth}
    return Book(files=files or {}, modules=[lip_velocity], cluster_of=cluster_of, truth={"lip_velocity": held})


def test_a_floor_is_how_far_random_halves_of_the_clips_lie_apart() -> None:
    assert lip_book({"a.0": 1.0, "a.1": 4.0}).floors() == {"lip_velocity": pytest.approx(3)}
    assert lip_book({f"a.{i}": 2.0 for i in range(5)}).floors() == {"lip_velocity": pytest.approx(0)}
    book = lip_book({f"{name}.{i}": value + i for name, value in (("a", 1.0), ("b", 9.0)) for i in range(4)})
    values = {key.clip_id: float(row["value"]) for key, row in book.truth["lip_velocity"].items()}
    wanted = [
        abs(np.mean([values[clip_id] for clip_id in first]) - np.mean([values[clip_id] for clip_id in second]))
        for first, second in book._halvings()
    ]
    assert book.floors() == {"lip_velocity": pytest.approx(np.mean(wanted))}
    assert lip_book({"a.0": None, "a.1": 4.0}).floors() == {}
    assert lip_book({"a.0": 4.0}).floors() == {}


def test_halves_divide_the_clips() -> None:
    book = lip_book({f"{name}.{i}": 1.0 for name, count in (("a", 4), ("b", 5), ("c", 2)) for i in range(count)})
    halvings = book._halvings()
    assert len(halvings) == 8
    assert len({tuple(sorted(first)) for first, _ in halvings}) > 4
    for first, second in halvings:
        assert first | second == set(book.cluster_of)
        assert not first & second
        assert abs(len(first) - len(second)) == 1
    assert lip_book(dict.fromkeys(reversed(book.cluster_of), 1.0))._halvings() == halvings


def test_the_floor_of_a_metric_of_sets_is_one_half_against_the_other() -> None:
    rng = np.random.default_rng(0)
    clips = [f"{name}.{i}" for name in "ab" for i in range(4)]
    truth = {Key(clip_id, 0): {part: rng.standard_normal((3, 32)) for part in ("all", "body", "hands", "face")}
             for clip_id in clips}  # fmt: skip
    cluster_of = {clip_id: clip_id[0] for clip_id in clips}
    book = Book(files={}, modules=[kgd], cluster_of=cluster_of, truth={"features": truth})
    wanted = []
    for first, second in book._halvings():
        one, other = ({key: row for key, row in truth.items() if key.clip_id in half} for half in (first, second))
        value = kgd.compute(one, other)["kgd"]
        assert value is not None
        wanted.append(abs(value))
    assert book.floors()["kgd"] == pytest.approx(np.mean(wanted))


def system_rows(values: Mapping[str, list[float]]) -> rows.Measured:
    """By clip, the values of its seeds."""
    held = {Key(clip_id, seed): number(value) for clip_id, seeds in values.items() for seed, value in enumerate(seeds)}
    return {"lip_velocity": dict(sorted(held.items()))}


def test_values_are_means_over_seeds_and_then_over_clips() -> None:
    book = lip_book({"a.0": 0.0, "a.1": 0.0, "b.0": 0.0})
    own = system_rows({"a.0": [1, 3], "a.1": [5, 5], "b.0": [9, np.nan]})
    assert book.by_clip(own) == {"lip_velocity": {"a.0": 2, "a.1": 5, "b.0": 9}}
    assert book.values(own) == {"lip_velocity": pytest.approx(16 / 3)}
    spread = book.seed_spread(own)["lip_velocity"]
    assert spread == pytest.approx(np.std([5, 4], ddof=1))
    assert book.seed_spread(system_rows({"a.0": [1]})) == {}


# ---- results


def test_chance_is_the_best_of_what_knows_nothing() -> None:
    of_controls = {
        "truth": {"a": 0.8}, "mean_pose": {"a": 0.1}, "random_clip": {"a": 0.3}, "smooth": {"a": None},
        "white_noise": {"a": 0.7}, "noise_1px": {"a": 0.79},
    }  # fmt: skip
    assert {"mean_pose", "frozen_reference", "random_clip", "smooth"} <= set(results.CHANCE)
    assert results.best_chance(card("higher"), of_controls) == 0.3
    assert results.best_chance(card("lower"), of_controls) == 0.1
    assert results.best_chance(card("one"), of_controls) == 0.3
    assert results.best_chance(card("none"), of_controls) is None
    assert results.best_chance(card("higher"), {"truth": {"a": 0.8}}) is None


def test_a_score_id_follows_from_data_kit_and_evaluator() -> None:
    held = {"data": "1", "kit": "2", "evaluator": "3"}
    ids = {results.score_id(held | {name: "4"}) for name in held}
    assert len(ids | {results.score_id(held)}) == 4
    assert results.score_id(dict(reversed(held.items()))) == results.score_id(held)


def test_numbers_are_told_to_eight_digits() -> None:
    assert results.rounded(1 / 3) == 0.33333333
    assert results.rounded(123456789.0) == 123456790
    assert results.rounded(None) is None
    assert results.rounded(1e-20 / 3) == 3.3333333e-21


def test_what_was_not_computed_says_why() -> None:
    assert results.why_not(card("higher", needs=("kit", "two_tower"))) == "needs two_tower"
    assert "nothing to compute" in results.why_not(card("higher", needs=("kit",)))


def test_cards_that_rank_come_first() -> None:
    found = results.cards([lip_velocity, kgd, lips, ba_kappa])
    ranking = [one.ranks for one in found]
    assert ranking == sorted(ranking, reverse=True)
    assert [one.name for one in found if one.ranks] == ["ba_kappa", "kgd", "lip_r"]


SPEAKERS = "abcdef"


def lips_rows(value: float, *, seed: int) -> dict[Key, Row]:
    """The rows of a system whose lips correlate so well, clip by clip with some spread."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, i in itertools.product(SPEAKERS, range(2)):
        found[Key(f"{name}.{i}", 0)] = {"value": np.array(value + 0.01 * rng.standard_normal())}
    return found


@pytest.fixture
def lip_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lip velocity as a metric that ranks: its rows are single numbers."""
    ranking = tuple(dataclasses.replace(one, ranks=True) for one in lip_velocity.CARDS)
    monkeypatch.setattr(lip_velocity, "CARDS", ranking)


@pytest.mark.usefixtures("lip_card")
def test_a_difference_is_the_systems_value_less_the_controls(tmp_path: Path) -> None:
    systems = {"truth": 0.0, "worse": 0.9, "better": 0.1, "alike": 0.5}
    files = {}
    for seed, (name, value) in enumerate(systems.items()):
        files[name] = [tmp_path / f"{name}.parquet"]
        rows.write(files[name][0], {name: {"lip_velocity": lips_rows(value, seed=seed)}}, fingerprint="")
    cluster_of = {f"{name}.{i}": name for name in SPEAKERS for i in range(2)}
    book = Book.open(files, [lip_velocity], cluster_of)
    own = {"lip_velocity": lips_rows(0.5, seed=9)}
    found = {row["against"]: row for row in results.comparisons(book, own, book.by_clip(own))}
    assert set(found) == set(systems)
    for name, value in systems.items():
        row = found[name]
        assert row["metric"] == "lip_velocity"
        assert row["difference"] == pytest.approx(0.5 - value, abs=0.03)
        assert row["interval"][0] < row["difference"] < row["interval"][1]
        assert row["p"] <= row["p_holm"] <= 1
    assert found["better"]["p"] == 2 / 2**6  # all six speakers agree, one way or the other
    assert found["alike"]["p"] > 0.05


def test_the_truth_against_itself_and_a_system_against_controls(place: Place, tmp_path: Path) -> None:
    names = ("truth", "frozen_reference", "noise_4px")
    files, _ = measured(place, tmp_path / "rows", *(ControlSystem(name) for name in names))
    modules = measure.used(with_towers=False)
    book = Book.open(dict.fromkeys(names, files), modules, place.cluster_of)
    groups = facts.groups_of(place.reader, place.entries)
    computed = {name: results.parts_of(book, book.rows(name), groups) for name in names}
    told = {
        name: results.assemble(
            computed[name], book, digests=place.digests, facts={"system": name},
            passed={"ba_kappa": False, "kgd": True},
        )
        for name in names
    }  # fmt: skip
    cards = {one.name: one for one in results.cards(modules)}
    truth = told["truth"]
    assert truth["score_id"] == results.score_id(place.digests)
    assert (truth["clips"], truth["speakers"]) == (6, 2)
    for name, row in truth["metrics"].items():
        assert row["value"] == row["truth"]
        if row["floor"] is not None and cards[name].direction in ("higher", "lower", "truth"):
            assert row["tied_with_truth"] is True
        if row["per_cent"] is not None and cards[name].direction in ("higher", "lower", "truth"):
            assert row["per_cent"] == pytest.approx(100)
    ranks = {name: row["ranks"] for name, row in truth["metrics"].items()}
    assert ranks["kgd"]
    assert not ranks["ba_kappa"]
    frozen, by_clip = told["frozen_reference"], computed["frozen_reference"].own.by_clip
    for name in ("kin", "coverage", "kgd"):
        assert frozen["metrics"][name]["tied_with_truth"] is False
        if frozen["metrics"][name]["per_cent"] is not None:
            assert frozen["metrics"][name]["per_cent"] <= 0.001
    assert frozen["metrics"]["ba_kappa"]["value"] == 0
    assert frozen["metrics"]["sga_auc"]["why_not"] if "sga_auc" in frozen["metrics"] else True
    groups = {(row["by"], row["group"]): row for row in frozen["groups"]}
    assert groups["speaker_in_training", "no"]["clips"] == 6
    assert groups["speaker_in_training", "no"]["values"]["coverage"] == frozen["metrics"]["coverage"]["value"]
    assert groups["length", "under 6 s"]["clips"] == 6
    assert set(by_clip["coverage"]) == set(place.cluster_of)
    assert np.mean(list(by_clip["coverage"].values())) == pytest.approx(
        computed["frozen_reference"].controls["frozen_reference"]["coverage"]
    )


def test_parts_by_many_workers_are_those_computed_here(place: Place, tmp_path: Path) -> None:
    names = ("truth", "other_audio", "noise_4px")
    files, _ = measured(place, tmp_path / "rows", *(ControlSystem(name) for name in names))
    system = submitted(tmp_path / "sub", place.reader.iterate(place.entries), seeds=3)
    own, _ = measured(place, tmp_path / "own", system)
    book = Book.open(dict.fromkeys(names, files), measure.used(with_towers=False), place.cluster_of)
    groups, engine = facts.groups_of(place.reader, place.entries), small.Here()
    found = parts.compute(book, own, groups, engine)
    assert len(engine.asked) == 1 + len(names) + 8
    assert found == results.parts_of(book, rows.read(own, "submission"), groups)


@pytest.mark.usefixtures("two_chunks")
def test_the_copy_test_by_chunks_is_that_of_all_clips(place: Place, tmp_path: Path) -> None:
    clips = list(place.reader.iterate(place.entries))
    system, engine = submitted(tmp_path / "sub", clips, noise_px=0.1), small.Here()
    predictions = {clip.clip_id: clip.placed(next(system.motions(clip)).keypoints_px) for clip in clips}
    train = [(clip.clip_id, clip.points) for clip in place.reader.iterate(place.reader.clips("train"))]
    wanted = copies.judge(copies.nearest(predictions, {clip.clip_id: clip.points for clip in clips}, train))
    assert parts.copied(place.measured, tmp_path / "sub", engine) == wanted
    assert engine.asked == ["00000", "00001"]
    assert wanted


def test_what_is_found_in_rows_is_found_once() -> None:
    asked = []

    def count(held: metric.Rows, seed: int) -> int:
        asked.append(seed)
        return sum(key.seed == seed for key in held)

    plain = {Key("a", 0): {}, Key("a", 1): {}, Key("b", 1): {}}
    kept = metric.KeptRows(plain)
    assert [metric.once(kept, count, seed) for seed in (1, 1, 0)] == [2, 2, 1]
    assert asked == [1, 0]
    assert [metric.once(plain, count, 1) for _ in range(2)] == [2, 2]
    assert asked == [1, 0, 1, 1]
    assert list(metric.of_seed(kept, 1)) == [Key("a", 0), Key("b", 0)]
    assert metric.of_seed(kept, 1) is metric.of_seed(kept, 1)


def test_a_score_is_written_for_people_and_for_programs(tmp_path: Path) -> None:
    import pandas as pd

    facts.write(tmp_path / "of", {"a": 1.5}, {"kin": {"x.0": 2.0}}, {"x.1": "x", "x.0": "x"})
    table = pd.read_parquet(tmp_path / "of" / "per_clip.parquet")
    assert table.clip_id.tolist() == ["x.0", "x.1"]
    assert table.kin.tolist()[0] == 2
    assert np.isnan(table.kin[1])
    assert (tmp_path / "of" / "results.json").read_text() == '{\n "a": 1.5\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        facts.write(tmp_path / "of", {"a": float("nan")}, {}, {})
    assert (tmp_path / "of" / "results.json").read_text() == '{\n "a": 1.5\n}\n'


# ---- breakdowns


def test_groups_are_scored_where_they_are_large_enough() -> None:
    clips = {f"a.{i}": float(i) for i in range(6)}
    own = system_rows({clip_id: [value] for clip_id, value in clips.items()})
    truth = system_rows({clip_id: [0.0] for clip_id in clips})
    groups = {"kind": {clip_id: "even" if i % 2 == 0 else "odd" for i, clip_id in enumerate(clips)},
              "all": dict.fromkeys(clips, "all")}  # fmt: skip
    found = breakdown.by_group([lip_velocity], own, truth, groups)
    assert found == [
        {"by": "all", "group": "all", "clips": 6, "values": {"lip_velocity": 2.5}},
        {"by": "kind", "group": "even", "clips": 3, "values": {}},
        {"by": "kind", "group": "odd", "clips": 3, "values": {}},
    ]


def test_the_worst_group_of_each_division_is_named() -> None:
    held = [
        {"by": by, "group": group, "values": {"a": value}}
        for by, group, value in (("x", "p", 1.0), ("x", "q", 3.0), ("x", "r", None), ("y", "s", 2.0))
    ]
    low = breakdown.worst(held, card="a", higher_is_better=True)
    assert low == {"x": {"group": "p", "value": 1.0, "groups": 2}, "y": {"group": "s", "value": 2.0, "groups": 1}}
    assert breakdown.worst(held, card="a", higher_is_better=False)["x"]["group"] == "q"
    assert breakdown.worst(held, card="b", higher_is_better=False) == {}


def features(clips: int, *, windows: int, shift: float = 0, seed: int = 0) -> rows.Measured:
    rng = np.random.default_rng(seed)
    parts = ("all", "body", "hands", "face")
    drift = shift * (np.arange(windows)[:, None] // 10)
    held = {Key(f"c{i}", 0): {part: rng.standard_normal((windows, 32)) + drift for part in parts} for i in range(clips)}
    return {"features": held}


def test_drift_is_seen_bin_by_bin_of_ten_seconds() -> None:
    truth = features(6, windows=25)
    found = breakdown.over_time(kgd, features(6, windows=25, shift=1, seed=1), truth)
    assert [(row["from_s"], row["clips"]) for row in found] == [(0, 6), (10, 6), (20, 6)]
    values = [row["values"]["kgd"] for row in found]
    assert values[0] < values[1] < values[2]
    assert breakdown.over_time(kgd, features(6, windows=10), features(6, windows=10)) == []
    assert breakdown.over_time(kgd, features(3, windows=25), features(3, windows=25)) == []


def test_groups_are_of_attributes_of_training_and_of_length(tmp_path: Path) -> None:
    lengths = (100, 200, 320)
    held = small.clips({"ann": "train", "eva": "test"}, length=lambda number: lengths[number])
    held.append(dataclasses.replace(held[0], clip_id="ann.9", split="test"))
    reader: ReleaseReader = small.write(tmp_path, held)
    found = facts.groups_of(reader, reader.clips("test"))
    assert found["speaker_in_training"] == {"eva.0": "no", "eva.1": "no", "eva.2": "no", "ann.9": "yes"}
    assert found["length"]["eva.0"] == "under 6 s"
    assert found["length"]["eva.1"] == "6 to 12 s"
    assert found["length"]["eva.2"] == "12 s and more"


@pytest.mark.parametrize(
    "names",
    [("smooth/truth", "smooth-truth"), ("漢" * 100, "漢" * 99), ("\u200b", "\U0001f600"), ("a" * 100, "a" * 99)],
)
def test_no_two_systems_share_a_folder_and_no_name_is_too_long(names: tuple[str, str], tmp_path: Path) -> None:
    told = [Submission.model_validate_json(json.dumps(named(name))) for name in names]
    folders = [facts.folder_name(submission) for submission in told]
    assert folders[0] != folders[1]
    for folder in folders:
        (tmp_path / folder).mkdir()


def named(name: str) -> dict[str, Any]:
    told = submission_kit.values()
    told["system"]["name"] = name
    return told
