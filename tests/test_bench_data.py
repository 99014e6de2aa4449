"""Reading a release: the index and its clips, the plan of an epoch, and the loader over ranks, workers and breaks."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import tracemalloc
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from csg405 import table
from csg405.benchmark.clip import Clip
from csg405.benchmark.data import Batch, Buffer, WindowDataset, WindowLoader, loader
from csg405.benchmark.release import Entry, FeatureFolder, ReleaseReader, clip_digest, digest_of
from csg405.benchmark.windows import Order, Plan, Windows, plan
from csg405.errors import UserError
from csg405.media.clock import SAMPLES_PER_FRAME
from csg405.run import Folders
from csg405.schema import Record, Release, Sample
from csg405.schema import column as schema_column

SHARDS = ((31, 8, 50), (64, 10), (5, 23, 17), (40,))
"""Frames of the clips of each shard."""

TEST_CLIP = "v1_1"
"""The one clip that is not for training."""

FRAMES = sum(map(sum, SHARDS)) - SHARDS[1][1]
"""For training."""


def rows_of(shard: int, number: int, n: int) -> tuple[Sample, Release]:
    """A clip whose numbers say where they are from: x is the frame, y the clip, and each sample its own place."""
    clip_id, video_id = f"v{shard}_{number}", f"v{shard}"
    split = "test" if clip_id == TEST_CLIP else "train"
    rng = np.random.default_rng([shard, number])
    points = np.empty((n, 133, 2), np.float32)
    points[..., 0] = np.arange(n)[:, None]
    points[..., 1] = 10 * shard + number
    sample = Sample(
        clip_id=clip_id, video_id=video_id, split=split, fps=25, n_frames=n, keypoints_px=points.ravel(),
        score=rng.random((n, 133), np.float32).ravel(), audio_rate_hz=16_000,
        audio_int16=((np.arange(640 * n) + 7 * number) % 32_768).astype(np.int16),
    )  # fmt: skip
    row = Release(
        clip_id=clip_id, video_id=video_id, split=split, path=None, audio_path=None,
        shard=f"shards/part-{shard:05d}.parquet", n_frames=n, n_samples=640 * n, start_ms=0, end_ms=40 * n,
        source="ours", title=None, channel=None if shard else "Ada", licence=None, source_width=640, source_height=480,
        crop_x_px=0, crop_y_px=0, crop_side_px=480, size_px=512, review=[], sha256=None,
    )  # fmt: skip
    return sample, row


def release(root: Path, shards: Iterable[Iterable[int]] = SHARDS) -> ReleaseReader:
    folders = Folders(root, "run")
    for shard, lengths in enumerate(shards):
        rows = [rows_of(shard, number, n) for number, n in enumerate(lengths)]
        table.write_part(table.part_path(folders.table(Sample), f"{shard:05d}"), Sample, [sample for sample, _ in rows])
        table.write_part(table.part_path(folders.table(Release), f"{shard:05d}"), Release, [row for _, row in rows])
    return ReleaseReader(folders)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReader:
    return release(tmp_path_factory.mktemp("release"))


# ---- the release


def test_the_index_is_the_table(reader: ReleaseReader) -> None:
    entries = reader.clips()
    assert [entry.n_frames for entry in entries] == [n for shard in SHARDS for n in shard]
    assert {entry.shard for entry in reader.clips("test")} == {"shards/part-00001.parquet"}
    assert [entry.clip_id for entry in reader.clips("test")] == [TEST_CLIP]
    assert reader.clips("validation") == []
    assert [entry.speaker for entry in entries if entry.video_id in ("v0", "v3")] == ["Ada", "Ada", "Ada", "v3"]
    assert pickle.loads(pickle.dumps(reader)).clips() == entries


def test_a_clip_comes_as_it_was_written(reader: ReleaseReader) -> None:
    sample, row = rows_of(2, 1, 23)
    for clip in (reader.read("v2_1"), reader.read(reader.entry("v2_1"))):
        assert (clip.clip_id, clip.video_id, clip.speaker, clip.split) == ("v2_1", "v2", "v2", "train")
        assert clip.size_px == row.size_px
        assert clip.keypoints_px.shape == (23, 133, 2)
        assert np.array_equal(clip.keypoints_px.ravel(), sample.keypoints_px)
        assert np.array_equal(clip.score.ravel(), sample.score)
        assert np.array_equal(clip.sound.samples, sample.audio_int16)
        assert clip.attributes == {}


def test_clips_come_in_the_order_that_was_asked_for(reader: ReleaseReader) -> None:
    wanted = ["v2_2", "v2_0", "v0_1", "v3_0", "v0_0"]
    clips = list(reader.iterate(reader.entry(clip_id) for clip_id in wanted))
    assert [clip.clip_id for clip in clips] == wanted
    assert [len(clip) for clip in clips] == [17, 5, 8, 40, 31]
    assert [clip.clip_id for clip in reader.read_shard("shards/part-00000.parquet")] == ["v0_0", "v0_1", "v0_2"]


def test_a_clip_does_not_keep_its_shard(reader: ReleaseReader) -> None:
    clip = reader.read("v0_1")
    assert all(array.base is None or array.base.nbytes == array.nbytes for array in (clip.keypoints_px, clip.score))
    assert clip.sound.samples.flags.owndata


def test_the_digest_is_of_what_clips_hold_and_not_of_how_they_are_stored(tmp_path: Path, reader: ReleaseReader) -> None:
    other = release(tmp_path)
    assert other.digest("train") == reader.digest("train") != reader.digest() != reader.digest("test")
    shards = sorted(other.folders.table(Sample).iterdir())
    found = pq.read_table(shards[0])
    pq.write_table(found, shards[0], compression="none", row_group_size=1)
    assert other.digest("train") == reader.digest("train")
    clips = {clip.clip_id: clip_digest(clip) for clip in reader.iterate(reversed(reader.clips("train")))}
    assert digest_of(clips) == reader.digest("train")
    clip = reader.read("v0_0")
    louder = dataclasses.replace(clip, sound=dataclasses.replace(clip.sound, samples=clip.sound.samples + np.int16(1)))
    moved = dataclasses.replace(clip, keypoints_px=clip.keypoints_px + np.float32(1e-3))
    surer = dataclasses.replace(clip, score=np.nextafter(clip.score, np.float32(1)))
    named = dataclasses.replace(clip, speaker="Grace")
    assert len({clip_digest(one) for one in (clip, louder, moved, surer, named)}) == 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechType(Record):
    TABLE: ClassVar[str] = "attributes"
    clip_id: str = schema_column("the clip")
    speech_type: str | None = schema_column("lecture or talk")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Height(Record):
    TABLE: ClassVar[str] = "attributes"
    clip_id: str = schema_column("the clip")
    height: int = schema_column("not a word")


def test_attributes_beside_the_release_go_with_its_clips(tmp_path: Path) -> None:
    reader = release(tmp_path)
    folder = reader.folders.manifests / "attributes"
    rows = [SpeechType(clip_id="v0_0", speech_type="lecture"), SpeechType(clip_id="v0_1", speech_type=None)]
    table.write_part(table.part_path(folder, "00000"), SpeechType, rows)
    assert reader.read("v0_0").attributes == {"speech_type": "lecture"}
    assert reader.read("v0_1").attributes == {}
    assert [clip.attributes for clip in reader.read_shard("shards/part-00003.parquet")] == [{}]
    table.write_part(table.part_path(folder, "00001"), Height, [Height(clip_id="v0_0", height=3)])
    with pytest.raises(UserError, match="column height of clip v0_0 is 3; an attribute is a word"):
        ReleaseReader(reader.folders).read("v0_0")


def test_what_is_not_there_is_named(tmp_path: Path, reader: ReleaseReader) -> None:
    with pytest.raises(UserError, match=r"run run: no clip is released .*make postprocess RUN=run"):
        ReleaseReader(Folders(tmp_path, "run")).clips()
    with pytest.raises(UserError, match="split 'dev': wanted one of train, validation, test"):
        reader.clips("dev")
    with pytest.raises(UserError, match="clip 'v9_9': run run releases no such clip"):
        reader.read("v9_9")


def test_a_missing_and_a_damaged_shard_are_named(tmp_path: Path) -> None:
    reader = release(tmp_path)
    first, second, third, _ = sorted(reader.folders.table(Sample).iterdir())
    first.unlink()
    with pytest.raises(UserError, match=r"part-00000.parquet: the shard is missing"):
        reader.read("v0_0")
    content = bytearray(second.read_bytes())
    content[1000 : len(content) // 2] = np.random.default_rng(1).bytes(len(content) // 2 - 1000)  # not the footer
    second.write_bytes(content)
    with pytest.raises(UserError, match=r"part-00001.parquet: the part cannot be read"):
        list(reader.read_shard("shards/part-00001.parquet"))
    third.write_bytes(third.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"part-00002.parquet: the part cannot be read"):
        reader.read("v2_0")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_frames": 39}, "has 39 frames, wanted 40"),
        ({"score": np.zeros(133 * 39, np.float32)}, "has 5187 scores, wanted 5320"),
        ({"keypoints_px": np.zeros(266 * 39, np.float32)}, "has 10374 coordinates, wanted 10640"),
        ({"audio_int16": np.zeros(641, np.int16)}, "has 641 samples, wanted 25600"),
        ({"fps": 30}, "has 30 frames/s, wanted 25"),
        ({"audio_rate_hz": 8000}, "has 8000 samples/s, wanted 16000"),
        ({"score": np.full(133 * 40, np.nan, np.float32)}, "keypoints that are no finite numbers"),
        ({"clip_id": "v3_1"}, "is not in its shard"),
    ],
)
def test_a_shard_that_disagrees_with_the_table_is_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    reader = release(tmp_path)
    wrong = dataclasses.replace(rows_of(3, 0, 40)[0], **values)
    table.write_part(table.part_path(reader.folders.table(Sample), "00003"), Sample, [wrong])
    with pytest.raises(UserError, match=f"clip v3_0 .*{words}"):
        list(reader.iterate(reader.clips()))


def test_a_clip_that_is_released_twice_is_refused(tmp_path: Path) -> None:
    reader = release(tmp_path)
    twice = rows_of(3, 0, 40)[1]
    table.write_part(table.part_path(reader.folders.table(Release), "00009"), Release, [twice])
    with pytest.raises(UserError, match="clip v3_0 is released twice"):
        reader.clips()


# ---- features


def test_features_come_back_and_others_are_refused(tmp_path: Path) -> None:
    folder = FeatureFolder(tmp_path)
    values = np.random.default_rng(1).random((4, 3)).astype(np.float16)
    folder.write("a", values)
    assert folder("a").dtype == np.float32
    assert np.array_equal(folder("a"), values)
    with pytest.raises(UserError, match="clip b has no features"):
        folder("b")
    folder.write("a", np.zeros(4))
    with pytest.raises(UserError, match=r"features are float64 \(4,\), wanted floats \[n_frames, d\]"):
        folder("a")
    np.savez(folder.path("a"), features=np.array([{"a": 1}], object))
    with pytest.raises(UserError, match=r"wanted an \.npz file with one array"):
        folder("a")
    np.savez(folder.path("a"), other=values)
    with pytest.raises(UserError, match=r"wanted an \.npz file with one array"):
        folder("a")
    folder.path("a").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"wanted an \.npz file with one array"):
        folder("a")


# ---- the plan


def entries_of(*shards: Iterable[int]) -> list[Entry]:
    return [
        Entry(clip_id=f"{shard}_{number}", video_id=f"{shard}", speaker="a", split="train", n_frames=n,
              shard=f"{shard}", size_px=512)
        for shard, lengths in enumerate(shards)
        for number, n in enumerate(lengths)
    ]  # fmt: skip


def starts_of(n_frames: int, **values: Any) -> list[int]:
    found = plan(entries_of([n_frames]), windows=Windows(**values), order=Order(batch=1), epoch=0)
    return sorted(found.start.tolist())


def test_where_windows_start() -> None:
    assert starts_of(10, frames=4) == [0, 4, 8]
    assert starts_of(12, frames=4) == [0, 4, 8]
    assert starts_of(10, frames=4, partial="drop") == [0, 4]
    assert starts_of(10, frames=4, stride=3) == [0, 3, 6]
    assert starts_of(11, frames=4, stride=3) == [0, 3, 6, 9]
    assert starts_of(11, frames=4, stride=3, partial="drop") == [0, 3, 6]
    assert starts_of(3, frames=4) == [0]
    assert starts_of(3, frames=4, partial="drop") == []
    assert starts_of(10, frames=2, stride=5) == [0, 5]
    assert starts_of(11, frames=2, stride=5) == [0, 5, 10]
    assert starts_of(11, frames=2, stride=5, partial="drop") == [0, 5]


def test_random_offsets_are_all_that_can_be_and_change_with_the_epoch() -> None:
    windows = Windows(frames=4, stride=3, random_offset=True, partial="drop")
    seen = {}
    for epoch in range(40):
        found = plan(entries_of([4, 5, 9]), windows=windows, order=Order(batch=1, shuffle=False), epoch=epoch)
        first = [int(found.start[found.clip == clip].min()) for clip in range(3)]
        assert (np.diff(found.start[found.clip == 2]) == 3).all()
        assert ((found.start + 4) <= np.array([4, 5, 9])[found.clip]).all()
        seen[epoch] = first
    assert [{first[clip] for first in seen.values()} for clip in range(3)] == [{0}, {0, 1}, {0, 1, 2}]


MANY = [[int(n) for n in np.random.default_rng(shard).integers(5, 60, 5)] for shard in range(30)]


def planned(epoch: int = 0, **values: Any) -> Plan:
    return plan(entries_of(*MANY), windows=Windows(frames=8, stride=4), order=Order(**values), epoch=epoch)


def most_held(found: Plan, places: range) -> int:
    """Most windows that a process holds that gives these batches and reads a block when it first needs it."""
    mine = [found.batches[place] for place in places]
    blocks = [set(batch.tolist()) for batch in mine]
    waiting = set().union(*blocks)
    held: set[int] = set()
    most = 0
    for batch in blocks:
        for block in {int(found.block[number]) for number in batch - held}:
            held |= {number for number in waiting if found.block[number] == block}
        waiting -= batch
        most = max(most, len(held))
        assert batch <= held
        held -= batch
    return most


@pytest.mark.parametrize(("batch", "buffer", "lanes"), [(8, 64, 1), (8, 64, 4), (7, 100, 3), (1, 1, 1), (5, 5, 1)])
def test_every_window_is_given_once_and_few_are_held(batch: int, buffer: int, lanes: int) -> None:
    found = planned(batch=batch, buffer=buffer, lanes=lanes)
    given = np.concatenate(found.batches)
    assert np.array_equal(np.sort(given), np.arange(len(found.start)))
    assert {len(one) for one in found.batches[:-1]} == {batch}
    assert 1 <= len(found.batches[-1]) <= batch
    assert batch <= most_held(found, range(len(found.batches))) <= buffer
    for workers in (2, 4):
        each = [most_held(found, range(worker, len(found.batches), workers)) for worker in range(workers)]
        assert sum(each) <= buffer + workers * batch


def test_an_epoch_is_another_order_of_the_same_windows() -> None:
    one, same, other, seeded = (
        np.concatenate(planned(epoch, batch=8, seed=seed, buffer=64).batches)
        for epoch, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert np.array_equal(one, same)
    for differs in (other, seeded):
        assert np.array_equal(np.sort(one), np.sort(differs))
        assert (one != differs).mean() > 0.9


def test_shuffling_mixes_clips_and_shards() -> None:
    found = planned(batch=16, buffer=512)
    clips = [len(set(found.clip[batch].tolist())) for batch in found.batches]
    assert np.median(clips) > 12
    inside = np.concatenate(planned(batch=16, shuffle=False).batches)
    assert np.array_equal(inside, np.arange(len(found.start)))


def test_lanes_share_no_shard_but_in_what_is_left_at_the_end() -> None:
    found = planned(batch=8, buffer=256, lanes=4)
    shards = np.array([int(entry.shard) for entry in entries_of(*MANY)])
    early = [{int(s) for batch in found.batches[lane:40:4] for s in shards[found.clip[batch]]} for lane in range(4)]
    assert all(early[one].isdisjoint(early[other]) for one in range(4) for other in range(one))


# ---- the loader

WINDOWS = Windows(frames=16, stride=8)
ORDER = Order(batch=4, buffer=16, seed=3)


def loaded(reader: ReleaseReader, *, windows: Windows = WINDOWS, order: Order = ORDER, **values: Any) -> WindowLoader:
    return loader(reader, "train", windows=windows, order=order, **values)


def names(batches: Iterable[Batch]) -> list[list[tuple[str, int]]]:
    return [list(zip(batch.clip_id, batch.start_frame.tolist(), strict=True)) for batch in batches]


def same(one: Batch, other: Batch) -> bool:
    for field in dataclasses.fields(Batch):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if not (torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right):
            return False
    return True


@pytest.fixture
def _few_cores() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


@pytest.mark.usefixtures("_few_cores")
@pytest.mark.parametrize("lanes", [1, 3])
def test_the_number_of_workers_changes_nothing(reader: ReleaseReader, lanes: int) -> None:
    order = dataclasses.replace(ORDER, lanes=lanes)
    wanted = list(loaded(reader, order=order))
    assert len(wanted) > 6
    for workers in (1, 2, 3):
        found = list(loaded(reader, order=order, workers=workers))
        assert names(found) == names(wanted)
        assert all(same(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.usefixtures("_few_cores")
@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_out_the_sequence(reader: ReleaseReader, workers: int) -> None:
    whole = names(loaded(reader))
    for ranks in (2, 3):
        parts = [names(loaded(reader, rank=rank, ranks=ranks, workers=workers)) for rank in range(ranks)]
        assert [parts[k % ranks][k // ranks] for k in range(len(whole))] == whole
        assert sum(map(len, parts)) == len(whole)
    order = dataclasses.replace(ORDER, drop_last=True)
    parts = [names(loaded(reader, order=order, rank=rank, ranks=3)) for rank in range(3)]
    full = sum(len(batch) == ORDER.batch for batch in whole)
    assert [len(part) for part in parts] == [full // 3] * 3
    assert {len(batch) for part in parts for batch in part} == {ORDER.batch}


def test_each_time_through_is_the_next_epoch(reader: ReleaseReader) -> None:
    running = loaded(reader)
    first, second = names(running), names(running)
    assert running.epoch == 2
    assert first != second
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second))


@pytest.mark.usefixtures("_few_cores")
@pytest.mark.parametrize(("before", "after", "prefetch"), [(0, 0, 2), (0, 2, 2), (2, 1, 3)])
def test_resuming_gives_what_was_left_and_no_more(
    reader: ReleaseReader, before: int, after: int, prefetch: int
) -> None:
    windows = dataclasses.replace(WINDOWS, random_offset=True)
    whole = loaded(reader, windows=windows)
    wanted = [list(whole), list(whole), list(whole)]
    for stop in (1, 4, len(wanted[1])):
        running = loaded(reader, windows=windows, workers=before, prefetch=prefetch)
        list(running)
        given = []
        for batch in running:
            given.append(batch)
            if len(given) == stop:
                break
        state = running.state_dict()
        assert pickle.loads(pickle.dumps(state)) == state
        resumed = loaded(reader, windows=windows, workers=after)
        resumed.load_state_dict(state)
        left = [*given, *resumed] if stop < len(wanted[1]) else given
        assert names(left) == names(wanted[1])
        assert all(same(one, other) for one, other in zip(left, wanted[1], strict=True))
        assert names(resumed) == names(wanted[2])


def test_a_loader_that_was_left_goes_on(reader: ReleaseReader) -> None:
    wanted = names(loaded(reader))
    running = loaded(reader)
    for _ in running:
        break
    assert len(running) == len(wanted) - 1
    assert names(running) == wanted[1:]


def test_more_ranks_may_go_on(reader: ReleaseReader) -> None:
    wanted = names(loaded(reader))
    running = loaded(reader)
    taken = [next(iter(running)) for _ in range(3)]
    assert names(taken) == wanted[:3]
    parts = []
    for rank in range(2):
        resumed = loaded(reader, rank=rank, ranks=2)
        resumed.load_state_dict(running.state_dict())
        parts.append(names(resumed))
    assert [parts[k % 2][k // 2] for k in range(len(wanted) - 3)] == wanted[3:]


def test_resuming_reads_no_shard_of_which_nothing_is_left(tmp_path: Path) -> None:
    reader = release(tmp_path)
    order = Order(batch=4, buffer=4, shuffle=False)
    wanted = names(loaded(reader, order=order))
    running = loaded(reader, order=order)
    taken = next(k for k, batch in enumerate(running, 1) if not any(name.startswith("v0") for name in batch.clip_id))
    state = running.state_dict()
    (reader.folders.table(Sample) / "part-00000.parquet").unlink()
    resumed = loaded(reader, order=order)
    resumed.load_state_dict(state)
    assert names(resumed) == wanted[taken:]


def test_reading_draws_nothing_from_the_generators_of_others(reader: ReleaseReader) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global one is what must be left alone
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    list(loaded(reader, workers=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_windows_as_long_as_their_stride_cover_every_frame_once(reader: ReleaseReader) -> None:
    seen: dict[str, list[int]] = {}
    for batch in loaded(reader, windows=Windows(frames=16)):
        for row, clip_id in enumerate(batch.clip_id):
            frames = batch.keypoints_px[row, batch.within[row], 0, 0].long().tolist()
            assert frames[0] == batch.start_frame[row]
            seen.setdefault(clip_id, []).extend(frames)
    lengths = {entry.clip_id: entry.n_frames for entry in reader.clips("train")}
    assert {clip_id: sorted(frames) for clip_id, frames in seen.items()} == {
        clip_id: list(range(n)) for clip_id, n in lengths.items()
    }
    assert sum(map(len, seen.values())) == FRAMES


def test_windows_are_those_of_the_clip_padded_and_masked(reader: ReleaseReader) -> None:
    clips: dict[str, Clip] = {clip.clip_id: clip for clip in reader.iterate(reader.clips("train"))}
    padded = 0
    for batch in loaded(reader, windows=Windows(frames=16, stride=8, seen=0.6)):
        b = len(batch)
        assert (batch.keypoints_px.shape, batch.score.shape) == ((b, 16, 133, 2), (b, 16, 133))
        assert batch.audio is not None
        assert batch.audio.shape == (b, 640 * 16)
        assert batch.features is None
        for row in range(b):
            clip, start = clips[batch.clip_id[row]], int(batch.start_frame[row])
            m = min(16, len(clip) - start)
            padded += m < 16
            assert batch.within[row].tolist() == [True] * m + [False] * (16 - m)
            assert np.array_equal(batch.keypoints_px[row, :m].numpy(), clip.keypoints_px[start : start + m])
            assert np.array_equal(batch.score[row, :m].numpy(), clip.score[start : start + m])
            assert np.array_equal(batch.mask[row, :m].numpy(), clip.score[start : start + m] >= 0.6)
            assert not batch.mask[row, m:].any()
            assert not batch.keypoints_px[row, m:].any()
            sound = clip.sound.samples[SAMPLES_PER_FRAME * start :][: SAMPLES_PER_FRAME * m]
            assert np.array_equal(batch.audio[row, : 640 * m].numpy() * 32768, sound)
            assert not batch.audio[row, 640 * m :].any()
            assert np.allclose(batch.neck_px[row].numpy(), clip.neck_px)
            assert float(batch.shoulders_px[row]) == pytest.approx(clip.shoulders_px)
            assert (int(batch.size_px[row]), batch.speaker[row]) == (512, clip.speaker)
    assert padded > 3


def test_dropped_windows_leave_no_padding(reader: ReleaseReader) -> None:
    batches = list(loaded(reader, windows=Windows(frames=16, partial="drop"), audio=False))
    assert all(bool(batch.within.all()) and batch.audio is None for batch in batches)
    wanted = sum(entry.n_frames // 16 for entry in reader.clips("train"))
    assert sum(map(len, batches)) == wanted


@pytest.mark.parametrize("workers", [0, 2])
def test_features_lie_beside_the_frames(tmp_path: Path, reader: ReleaseReader, workers: int) -> None:
    features = FeatureFolder(tmp_path)
    for entry in reader.clips("train"):
        features.write(entry.clip_id, np.arange(entry.n_frames)[:, None] + np.array([0.25, 0.5, 0.75]))
    for batch in loaded(reader, features=features, workers=workers):
        assert batch.features is not None
        assert batch.features.shape == (len(batch), 16, 3)
        frame = batch.keypoints_px[:, :, 0, :1]
        wanted = torch.where(batch.within[..., None], frame + torch.tensor([0.25, 0.5, 0.75]), 0.0)
        assert torch.equal(batch.features, wanted)


@pytest.mark.parametrize("workers", [0, 1])
def test_features_of_another_clip_are_refused(reader: ReleaseReader, workers: int) -> None:
    with pytest.raises(UserError, match=r"clip v\d_\d: features of shape \(3, 2\), wanted one row for each of"):
        list(loaded(reader, features=lambda clip_id: np.zeros((3, 2), np.float32), workers=workers))
    lengths = {entry.clip_id: entry.n_frames for entry in reader.clips()}
    with pytest.raises(UserError, match=r"features of \[2, 3\] numbers a frame"):
        list(loaded(reader, features=lambda name: np.zeros((lengths[name], 2 + (name == "v0_0")), np.float32)))


def test_a_batch_moves_to_a_device_whole(reader: ReleaseReader) -> None:
    batch = next(iter(loaded(reader)))
    moved = batch.to("meta")
    assert moved.keypoints_px.device.type == "meta"
    assert moved.audio is not None
    assert moved.audio.device.type == "meta"
    assert (moved.clip_id, moved.features) == (batch.clip_id, None)
    assert batch.keypoints_px.device.type == "cpu"


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_buffer_never_holds_more_than_its_size(reader: ReleaseReader, lanes: int) -> None:
    order = Order(batch=3, buffer=14, lanes=lanes)
    dataset = WindowDataset(reader, "train", windows=Windows(frames=16, stride=4), order=order)
    batches = dataset.plan().batches
    buffer = Buffer(dataset, batches)
    taken = [len(buffer.take(members)) for members in batches]
    assert sum(taken) == len(dataset.plan().start) > 2 * order.buffer
    assert order.buffer // 2 < buffer.most <= order.buffer


def peak_bytes(reader: ReleaseReader) -> int:
    running = loaded(reader, windows=Windows(frames=25), order=Order(batch=4, buffer=24))
    next(iter(loaded(reader)))
    tracemalloc.start()
    for batch in running:
        del batch
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_release(tmp_path: Path) -> None:
    small, large = (release(tmp_path / str(count), [[50, 50]] * count) for count in (12, 36))
    assert peak_bytes(large) < 1.1 * peak_bytes(small)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"windows": Windows(frames=0)}, "frames=0, stride=None: wanted 1 or more"),
        ({"windows": Windows(frames=4, stride=0)}, "frames=4, stride=0: wanted 1 or more"),
        ({"windows": Windows(frames=4, partial="cut")}, "partial='cut': wanted pad or drop"),  # type: ignore[arg-type]
        ({"order": Order(batch=0)}, "batch=0, lanes=1, seed=0: wanted"),
        ({"order": Order(batch=8, buffer=15, lanes=2)}, "buffer=15: wanted 16 windows or more"),
        ({"rank": 2, "ranks": 2}, "rank=2, ranks=2: wanted a rank from 0"),
        ({"windows": Windows(frames=99, partial="drop")}, "split train of run run: 8 clips make 0 batches of 4"),
        ({"order": Order(batch=1000, drop_last=True, buffer=1000)}, "8 clips make 0 batches of 1000"),
        ({"rank": 0, "ranks": 99, "order": Order(batch=4, drop_last=True)}, "too few for 99 ranks"),
    ],
)
def test_settings_that_cannot_be_are_refused(reader: ReleaseReader, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        loaded(reader, **values)
    with pytest.raises(UserError, match="split validation of run run: 0 clips"):
        loader(reader, "validation", windows=WINDOWS, order=ORDER)


def test_a_state_of_other_settings_or_another_release_is_refused(tmp_path: Path, reader: ReleaseReader) -> None:
    state = loaded(reader).state_dict()
    with pytest.raises(UserError, match=r"saved with batch=4 \(here 2\), seed=3 \(here 4\); go on with the same"):
        loaded(reader, order=Order(batch=2, buffer=16, seed=4)).load_state_dict(state)
    with pytest.raises(UserError, match="saved with clips="):
        loaded(release(tmp_path, SHARDS[:3])).load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_ends_the_epoch_by_name(tmp_path: Path, workers: int) -> None:
    reader = release(tmp_path)
    (reader.folders.table(Sample) / "part-00002.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"part-00002.parquet: the part cannot be read"):
        list(loaded(reader, workers=workers))
