"""How long a score takes, how its memory grows, and whether the alignment metrics tell aligned from not.

The synthetic world gives the truth: 500 test clips of 10 s. The submission is that truth, smoothed, damped and noisy,
with five samples a clip. A score is timed as its user sees it: workers that start, validation, rows, values, intervals,
comparisons, the copy test, the files; once from nothing, and once with the controls' rows there, which serve all
submissions. The two-tower network is left out of the time, as the bar says, and is used for the association figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import Figure, Memory, write
from csg405 import engine, table
from csg405.benchmark.clip import Clip
from csg405.benchmark.kit import Kit
from csg405.benchmark.kit.settings import KitSettings
from csg405.benchmark.kit.train import train
from csg405.benchmark.perturb import damped, jittered, smoothed
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.scoring.score import control_book, control_values, score
from csg405.benchmark.submission import init
from csg405.benchmark.submission.clips import of_run
from csg405.config import EngineSettings
from csg405.run import Folders
from csg405.schema import FloatArray, Release, Sample
from csg405.synth.truth import write_truth

FRAMES = 250
CLIPS = 500
SEEDS = 5
RUNS = 3
WORKERS = 2


def main() -> None:
    """Measure, and write work/bench/score.json."""
    root = Path.cwd() / "work" / "bench" / "score"
    folders = Folders(root, "truth")
    write_truth(folders, minutes=130, talkers=60, clip_s=(11.0, 15.0), validation=0.0, test=0.84)
    for name, copies in (("half", 1), ("whole", 2)):
        _cut(folders, Folders(root, name), copies=copies)
        _submit(Folders(root, name))
    kit = _kit(root, folders)
    taken = [_scored(Folders(root, "half"), kit) for _ in range(RUNS)]
    half, whole = (_peak_mib(Folders(root, name), kit) for name in ("half", "whole"))
    values = _alignment(root, kit)
    path = write(
        "score",
        [
            Figure(name="score_500_clips_s", runs=[after for _, after in taken], unit="s", better="lower", bar=60,
                   against="500 clips of 10 s, 5 seeds, without two towers, 2 workers; the 15 controls are measured "
                           "before, as for every submission but the first"),
            Figure(name="score_500_clips_first_s", runs=[first for first, _ in taken], unit="s", better="lower",
                   bar=60, against="the same with nothing there: 15 controls are measured too"),
            Figure(name="rss_growth", runs=[whole / half], unit="ratio", better="lower", bar=1.1,
                   against="peak memory of all processes, 1,000 clips over 500, nothing there"),
            Figure(name="ba_kappa_aligned", runs=[values["truth"]["ba_kappa"]], unit="kappa", better="higher",
                   bar=0.5, against="truth of unseen talkers"),
            Figure(name="ba_kappa_shuffled", runs=[values["other_audio"]["ba_kappa"]], unit="kappa", better="lower",
                   bar=0.05, against="the same beside other speech"),
            Figure(name="sga_auc_aligned", runs=[values["truth"]["sga_auc"]], unit="AUC", better="higher", bar=0.8,
                   against="truth of unseen talkers"),
            Figure(name="sga_auc_shuffled", runs=[values["other_audio"]["sga_auc"]], unit="AUC", better="lower",
                   bar=0.55, against="the same beside other speech"),
        ],
        Path.cwd() / "work",
    )  # fmt: skip
    print(path)


def _kit(root: Path, folders: Folders) -> Kit:
    folder = root / "kit"
    if not (folder / "kit.json").is_file():
        train(ReleaseReader(folders), folder, KitSettings(encoders=1, steps=400, tower_steps=400))
    return Kit.open(folder)


def _cut(source: Folders, target: Folders, *, copies: int) -> None:
    """The release with its test clips cut to 10 s; with more copies as many clips of other names."""
    if table.parts(target.table(Release)):
        return
    rows = {row.clip_id: row for row in table.read(source.table(Release), Release)}
    left = CLIPS
    for path in table.parts(source.table(Sample)):
        samples = table.read_part(path, Sample)
        kept = [sample for sample in samples if sample.split == "test" and sample.n_frames >= FRAMES][:left]
        left -= len(kept)
        for copy in range(copies):
            shard = f"{path.stem.removeprefix('part-')}-{copy}"
            cut = [_short(sample, copy) for sample in kept]
            if copy == 0:
                cut += [sample for sample in samples if sample.split == "train"]
            released = [
                dataclasses.replace(
                    rows[sample.clip_id.partition(".copy")[0]], clip_id=sample.clip_id, video_id=sample.video_id,
                    n_frames=sample.n_frames, n_samples=len(sample.audio_int16), shard=f"shards/part-{shard}.parquet",
                    channel=sample.video_id.rpartition("_")[0],
                )
                for sample in cut
            ]  # fmt: skip
            if cut:
                table.write_part(table.part_path(target.table(Sample), shard), Sample, cut)
                table.write_part(table.part_path(target.table(Release), shard), Release, released)
    if left:
        sys.exit(f"{CLIPS - left} test clips of 10 s; wanted {CLIPS}: give more minutes")


def _short(sample: Sample, copy: int) -> Sample:
    name = "" if copy == 0 else f".copy{copy}"
    points = sample.keypoints_px.reshape(sample.n_frames, -1)[:FRAMES].ravel()
    return dataclasses.replace(
        sample, clip_id=f"{sample.clip_id}{name}", video_id=f"{sample.video_id}{name}", n_frames=FRAMES,
        keypoints_px=points, score=sample.score.reshape(sample.n_frames, -1)[:FRAMES].ravel(),
        audio_int16=sample.audio_int16[: 640 * FRAMES],
    )  # fmt: skip


def _submit(folders: Folders) -> None:
    folder = folders.root / f"submission-{folders.name}"
    if (folder / "checksums.sha256").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    init.write_template(folder, of_run(folders.root, folders.name), split="test", track="A")
    text = (folder / "submission.yaml").read_text(encoding="utf-8")
    text = text.replace('name: ""', 'name: "bench"').replace('contact: ""', 'contact: "bench@example.org"')
    (folder / "submission.yaml").write_text(text, encoding="utf-8")
    (folder / "REPORT.md").write_text("# Bench\n\nThe truth, smoothed, damped and noisy.\n", encoding="utf-8")
    reader = ReleaseReader(folders)
    for clip in reader.iterate(reader.clips("test")):
        for seed in range(SEEDS):
            path = folder / "predictions" / clip.clip_id / f"seed{seed}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, keypoints=_changed(clip, seed))
    init.seal(folder, video_ids=[])


def _changed(clip: Clip, seed: int) -> FloatArray:
    rng = np.random.default_rng([seed, len(clip)])
    for change, size in ((smoothed, 5.0), (damped, 0.8), (jittered, 1.0)):
        clip = dataclasses.replace(clip, keypoints_px=change(clip, size, rng))
    return clip.keypoints_px


def _scored(folders: Folders, kit: Kit) -> tuple[float, float]:
    """Seconds of a score from nothing, and of another submission's, which finds the controls' rows."""
    shutil.rmtree(folders.work / "benchmark", ignore_errors=True)
    return _score(folders, kit), _score(folders, kit)


def _score(folders: Folders, kit: Kit) -> float:
    """Seconds of a score, with workers that have yet to start; its own rows are not there."""
    place = Place(folders=folders, split="test", kit=kit)
    shutil.rmtree(place.home / "submissions", ignore_errors=True)
    started = time.monotonic()
    with _engine() as workers:
        score(folders.root / f"submission-{folders.name}", place, workers, with_towers=False)
    return time.monotonic() - started


def _peak_mib(folders: Folders, kit: Kit) -> float:
    """Largest memory of a score from nothing; not timed, since looking takes a tenth of a core."""
    shutil.rmtree(folders.work / "benchmark", ignore_errors=True)
    memory = Memory()
    with memory.watched():
        _score(folders, kit)
    return memory.peak_mib


def _alignment(root: Path, kit: Kit) -> dict[str, Any]:
    with _engine() as workers:
        place = Place(folders=Folders(root, "half"), split="test", kit=kit)
        return control_values(control_book(place, workers, with_towers=True))


@contextlib.contextmanager
def _engine() -> Iterator[engine.Engine]:
    with contextlib.closing(engine.make(EngineSettings(workers=WORKERS), kind="local", device="cpu")) as workers:
        yield workers


if __name__ == "__main__":
    main()
