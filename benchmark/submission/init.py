"""A submission to fill in: `csg405 submission init`, and what closes one: `csg405 submission seal`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from csg405 import table
from csg405.benchmark.submission import clips, layout, lists, schema
from csg405.benchmark.submission.clips import ClipList
from csg405.errors import UserError

_YAML = """\
# A submission to the benchmark; docs/submission.md says what is asked for. Lines may be left out where it says so.
schema_version: {schema_version}
benchmark:
  name: {benchmark}
  version: "{benchmark_version}"
split: {split}
track: {track}  # A: audio to skeleton; B: given skeleton to video; C: audio to video

system:
  name: ""  # as it is to stand in tables; fill this in
  version: "1"
  code_url: null  # or an address
  weights_url: null  # or an address
  licence: null  # of code and weights

training:
  datasets: []  # names of all of them
  hours: null  # of all of them together
  external_models: []  # pretrained networks that it contains, or learnt from
  speakers_seen: null  # true, false, or null: nobody knows whether it saw speakers of this split

inference:
  seeds: 5  # samples of every clip: seed0 to seed4
  steps: null  # of sampling
  guidance: null  # scale of classifier-free guidance
  window_frames: null  # made at once, at 25 fps
  lookahead_frames: null  # of sound after a frame, that it waits for
  post_processing: null  # smoothing and the like
  reference_frame_policy: none  # which picture or pose of the clip the system was given

cost:  # may be left out
  gpu: null
  peak_memory_gb: null
  seconds_per_video_second: null
  parameters_m: null  # millions of parameters

declared_use_of_test: false  # no clip of test was used to train, or to choose among checkpoints
frozen_declared: false  # true where motion that stands still half of the time is meant
contact: ""  # an address that somebody reads; fill this in
"""

_REPORT = """\
# Name of the system

## What it is

Input, representation, architecture, loss, sampling.

## What it was trained on

Data sets, what was left out of them, augmentation, external networks.

## How predictions were made

Seeds, windows, post-processing, what the system was given of each clip. How the checkpoint was chosen, and on what.

## What is known to fail
"""


def write_template(folder: Path, known: ClipList, *, split: str, track: str) -> int:
    """Write a submission to fill in, and return the number of clips that it must predict.

    Args:
        folder: one that does not exist, or is empty.
        known: clips of the release.
        split: to predict.
        track: A, B or C.

    Raises:
        UserError: the folder holds something, or there is no such split or track.
    """
    if track not in schema.SUFFIX:
        raise UserError(f"track {track!r}: there are {', '.join(schema.SUFFIX)}")
    wanted = known.of(split)
    if not wanted:
        there = ", ".join(sorted(set(known.splits().values())))
        raise UserError(f"split {split!r}: the release has no clips in it; it has {there}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: holds something already; give a folder that does not exist, or an empty one")
    (folder / layout.PREDICTIONS).mkdir(parents=True)
    text = _YAML.format(
        schema_version=schema.SCHEMA_VERSION, benchmark=schema.BENCHMARK_NAME,
        benchmark_version=schema.BENCHMARK_VERSION, split=split, track=track,
    )  # fmt: skip
    table.write_text(folder / schema.FILE, text)
    table.write_text(folder / layout.REPORT, _REPORT)
    without = {"train"} - {split}
    table.write_text(folder / layout.CLIPS, clips.text_of(known, without=without))
    return len(wanted)


def seal(folder: Path, *, video_ids: Iterable[str] | None) -> int:
    """Write training ids and checksums, and return the number of files that were summed.

    Args:
        folder: of the submission.
        video_ids: that the system was trained on; None to leave training_ids.txt.gz as it is.

    Raises:
        UserError: there are no training ids, or the folder holds something that cannot be submitted.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if video_ids is not None:
        lists.write_training_ids(folder, video_ids)
    elif not (folder / layout.TRAINING_IDS).is_file():
        raise UserError(
            f"{folder}: no {layout.TRAINING_IDS}; give --training-ids FILE with the ids of all training videos, one a "
            "line; an empty file for a system that was not trained"
        )
    return lists.write_checksums(folder)


def read_video_ids(path: Path) -> list[str]:
    """The video ids in a text file, one a line.

    Raises:
        UserError: there is no such file, or it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]
