"""A run's shards stay where they are, and its lock holds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from csg405 import table
from csg405.errors import UserError
from csg405.run import Run, fan_out
from csg405.schema import Video


def video(number: int, status: str = "ok") -> Video:
    return Video(
        video_id=f"file.{number:016x}", source=f"{number}.mp4", status=status, detail="", title=None, channel=None,
        licence=None, upload_date=None, path=f"{number}.mp4", sha256=None, size_bytes=None, duration_s=None,
        width=None, height=None, fps=None, n_frames=None, video_codec=None, audio_codec=None, audio_rate_hz=None,
    )  # fmt: skip


def opened(root: Path, *overrides: str, videos: list[Video]) -> Run:
    run = Run.open("films", "folder", overrides, root=root)
    table.write_part(table.part_path(run.folders.table(Video), "00000"), Video, videos)
    return run


def members(run: Run) -> dict[str, list[str]]:
    return {shard: [one.source for one in videos] for shard, videos in run.shards().items()}


def test_a_video_stays_in_its_shard_when_others_come_and_go(tmp_path: Path):
    two = "videos_per_shard=2"
    before = members(opened(tmp_path, two, videos=[video(number) for number in range(3)]))
    assert before == {"00000": ["0.mp4", "1.mp4"], "00001": ["2.mp4"]}
    more = members(opened(tmp_path, two, videos=[video(number) for number in (9, 2, 1, 0, 8)]))
    assert more == {**before, "00002": ["9.mp4", "8.mp4"]}
    gone = [video(0, "gone"), video(1, "gone"), video(2), video(8), video(9)]
    assert members(opened(tmp_path, two, videos=gone)) == {"00001": ["2.mp4"], "00002": ["9.mp4", "8.mp4"]}
    back = [video(number) for number in (0, 1, 2, 8, 9)]
    assert members(opened(tmp_path, two, videos=back)) == more


def test_another_size_of_shard_moves_no_video(tmp_path: Path):
    films = [video(number) for number in range(4)]
    before = members(opened(tmp_path, "videos_per_shard=2", videos=films))
    after = members(opened(tmp_path, "videos_per_shard=1", videos=[*films, video(4), video(5)]))
    assert after == {**before, "00002": ["4.mp4"], "00003": ["5.mp4"]}


def test_the_plan_is_written_before_any_work(tmp_path: Path):
    run = opened(tmp_path, videos=[video(3)])
    shards = run.shards()
    assert json.loads((run.folders.work / "shards.json").read_text()) == {"00000": [shards["00000"][0].video_id]}


def test_a_run_without_videos_has_no_shards(tmp_path: Path):
    assert Run.open("films", "folder", root=tmp_path).shards() == {}


@pytest.mark.parametrize("name", ["", "../films", "a/b", ".hidden", "-r", "two words", "schema", "sources"])
def test_a_name_that_cannot_be_a_folder_of_runs_is_refused(name: str, tmp_path: Path):
    with pytest.raises(UserError, match="run "):
        Run.open(name, "folder", root=tmp_path)


def test_opening_writes_nothing(tmp_path: Path):
    Run.open("films", "folder", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_has_not_finished_is_named(tmp_path: Path):
    run = Run.open("films", "folder", root=tmp_path)
    with pytest.raises(UserError, match=r"run films: crawl has not finished; run `make crawl RUN=films` first"):
        run.require("crawl")
    table.write_text(run.stamp("crawl"), "{}\n")
    run.require("crawl")


def test_the_lock_keeps_a_second_program_out_until_the_first_ends_or_is_killed(tmp_path: Path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom csg405.run import Folders, Run\n"
        "from csg405.config import Settings\n"
        "with Run(Folders(Path(sys.argv[1]), 'films'), Settings()).locked('annotate'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    run = Run.open("films", "folder", root=tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path)]
    for kill in (True, False):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            words = rf"run films is being written by csg405 annotate \(process {holder.pid}, since .*\); wait for it"
            with pytest.raises(UserError, match=words), run.locked("filter"):
                pytest.fail("two programs hold the lock")
            if kill:
                holder.send_signal(signal.SIGKILL)
        with run.locked("filter"):
            pass


def test_another_run_is_not_locked(tmp_path: Path):
    other = Run.open("others", "folder", root=tmp_path)
    with Run.open("films", "folder", root=tmp_path).locked("crawl"), other.locked("crawl"):
        assert (other.folders.work / ".lock").exists()


def test_a_failure_takes_back_only_folders_that_the_lock_made(tmp_path: Path):
    run = Run.open("films", "folder", root=tmp_path)

    def interrupt(name: str | None) -> None:
        if name:
            (run.folders.work / name).touch()
        raise KeyboardInterrupt

    def fail(name: str | None = None) -> None:
        with pytest.raises(KeyboardInterrupt), run.locked("crawl"):
            interrupt(name)

    fail()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "work").mkdir()
    fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["work"]
    fail("kept")
    fail()
    assert sorted(path.name for path in run.folders.work.iterdir()) == [".lock", "kept"]
    (run.folders.work / "kept").unlink()
    fail()
    assert [path.name for path in run.folders.work.iterdir()] == [".lock"]


def test_files_fan_out_by_their_own_name_alone(tmp_path: Path):
    path = fan_out(tmp_path, "youtube.abc_0_4000_p0", ".mp4")
    assert path.name == "youtube.abc_0_4000_p0.mp4"
    assert path == fan_out(tmp_path, "youtube.abc_0_4000_p0", ".mp4")
    assert len(path.parent.name) == 2
    assert len({fan_out(tmp_path, str(number), ".mp4").parent for number in range(2000)}) == 256
