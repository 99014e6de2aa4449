"""What a score says beside its values: of the submission, and which groups clips belong to; and how it is written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring.place import Place
from csg405.benchmark.submission.schema import Submission
from csg405.table import replace_atomically, write_text

_MOST_LETTERS = 80
"""Of a folder's name."""


class Digested(Protocol):
    """What has files for every clip."""

    def digest(self, clip_id: str) -> str:
        """Of the files of a clip."""
        ...


def folder_name(submission: Submission) -> str:
    """Of the folder of its score: the system's name and version where they are plain, with their digest elsewhere.

    So no two systems share a folder, and no name is too long for a file system.
    """
    words = f"{submission.system.name}-{submission.system.version}"
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", words)[:_MOST_LETTERS].strip(".-")
    if plain == words:
        return words
    digest = hashlib.sha256(f"{submission.system.name}\n{submission.system.version}".encode()).hexdigest()[:12]
    return f"{plain}-{digest}" if plain else f"system-{digest}"


def of_submission(submission: Submission, system: Digested, place: Place) -> dict[str, Any]:
    """What the submission says of itself, and the digest of its predictions."""
    held = hashlib.sha256()
    for entry in place.entries:
        held.update(f"{entry.clip_id} {system.digest(entry.clip_id)}\n".encode())
    return submission.model_dump(mode="json") | {"predictions": held.hexdigest()}


def groups_of(reader: ReleaseReader, entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """What breakdowns go by: the release's attributes, whether training holds the speaker, and the clips' lengths."""
    trained = {entry.speaker for entry in reader.clips("train")}
    held: dict[str, dict[str, str]] = {
        "speaker_in_training": {entry.clip_id: "yes" if entry.speaker in trained else "no" for entry in entries},
        "length": {entry.clip_id: _length(entry) for entry in entries},
    }
    for entry in entries:
        for name, value in reader.attributes.get(entry.clip_id, {}).items():
            held.setdefault(name, {})[entry.clip_id] = value
    return held


def _length(entry: Entry) -> str:
    seconds = entry.n_frames / 25
    return "under 6 s" if seconds < 6 else "6 to 12 s" if seconds < 12 else "12 s and more"


def write(
    folder: Path, found: dict[str, Any], by_clip: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str]
) -> None:
    """Write a score.

    Args:
        folder: of the score.
        found: the results.
        by_clip: by card, values of clips.
        cluster_of: the speaker of every clip.
    """
    clips = pd.DataFrame({"clip_id": sorted(cluster_of)})
    clips["speaker"] = [cluster_of[clip_id] for clip_id in clips.clip_id]
    for name in sorted(by_clip):
        clips[name] = [by_clip[name].get(clip_id, np.nan) for clip_id in clips.clip_id]
    replace_atomically(folder / "per_clip.parquet", lambda temporary: clips.to_parquet(temporary, index=False))
    write_text(folder / "results.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
