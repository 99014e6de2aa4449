"""Measuring films: every system's films for every clip of a split, chunk by chunk, on any engine.

As `csg405.benchmark.scoring.measure`, whose engine and cache it shares. Rows of the video metrics bear their measures'
names. Where the core's pose networks are there, keypoints are estimated from every film as well and the skeleton's
metrics are measured on them: their rows' names begin with `SKELETON`, and the release's own keypoints are beside them
as the system `RELEASED`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from csg405 import benchmark
from csg405.benchmark import metric, video
from csg405.benchmark.clip import Clip, Seen
from csg405.benchmark.metric import Key
from csg405.benchmark.release import ReleaseReader
from csg405.benchmark.scoring import rows
from csg405.benchmark.scoring.film_systems import FilmContext, FilmSystem, ReleasedFilms, others
from csg405.benchmark.scoring.measure import Split, by_chunks, code_digest, one_thread, part, used
from csg405.benchmark.scoring.plan import Chunk, chunks
from csg405.benchmark.scoring.rows import Measured
from csg405.benchmark.submission.frames import Reader
from csg405.benchmark.video import SeenVideo
from csg405.benchmark.video_networks import Networks, VideoSettings
from csg405.benchmark.video_pose import Estimated
from csg405.engine import Engine
from csg405.media.clock import FPS
from csg405.operator import Resources
from csg405.schema import FloatArray

SKELETON = "skeleton."
"""Before the names of measures that are taken of estimated keypoints."""

RELEASED = "released"

CHUNK_CLIPS = 4
"""At most: networks take seconds for a second of film."""

_CODE = ("metrics_video",)
_FILES = (
    "video.py", "video_networks.py", "video_pose.py", "preprocess.py", "submission/frames.py",
    "scoring/film_systems.py", "scoring/film_measure.py",
)  # fmt: skip


@functools.cache
def film_code_digest() -> str:
    """Of the code that rows of films follow from, that of the skeleton's metrics included."""
    home = Path(benchmark.__path__[0])
    files = [home / name for name in _FILES] + [path for name in _CODE for path in (home / name).glob("*.py")]
    held = hashlib.sha256(code_digest().encode())
    for path in sorted(files):
        held.update(hashlib.sha256(path.read_bytes()).digest())
    return held.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilmGroup:
    """Systems that are measured together."""

    name: str
    systems: tuple[FilmSystem, ...]
    given_pose: bool
    """Whether they were given the clips' own skeletons."""
    with_released: bool = False
    """Whether the release's own keypoints are measured beside them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilmWorker:
    """Measures one chunk; made once in each worker process, which finds the plan by itself."""

    split: Split
    group: FilmGroup
    folder: Path
    settings: VideoSettings
    device: str
    with_towers: bool

    @functools.cached_property
    def reader(self) -> ReleaseReader:
        """Of the release."""
        return ReleaseReader(self.split.folders)

    @functools.cached_property
    def films(self) -> ReleasedFilms:
        """Of the release."""
        return ReleasedFilms(self.split.folders)

    @functools.cached_property
    def networks(self) -> Networks:
        """That metrics look through."""
        return Networks(self.settings, device=self.device)

    @functools.cached_property
    def other_of(self) -> dict[str, str]:
        """Of every clip, whose film takes the place of its own."""
        return others(self.reader, self.films, split=self.split.name)

    @functools.cached_property
    def plan(self) -> dict[str, Chunk]:
        """The split's chunks by name."""
        found = {}
        for chunk in chunks(self.reader.clips(self.split.name)):
            for number, start in enumerate(range(0, len(chunk.clip_ids), CHUNK_CLIPS)):
                name = f"{chunk.name}.{number}"
                found[name] = Chunk(name, chunk.clip_ids[start : start + CHUNK_CLIPS])
        return found

    def fingerprint(self, name: str) -> str:
        """Of all that a chunk's rows follow from."""
        ids = self.plan[name].clip_ids
        films = [[self.films.digest(one) for one in (clip_id, self.other_of[clip_id])] for clip_id in ids]
        systems = [(system.name, [system.digest(clip_id) for clip_id in ids]) for system in self.group.systems]
        facts = [
            self.split.digest, self.split.kit.digest, film_code_digest(), ids, films, systems, self.networks.digests,
            self.group.given_pose, self.group.with_released, self.with_towers,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def __call__(self, name: str) -> int:
        """Measure a chunk and write its rows; returns how many clips it has."""
        with one_thread():
            return self._measure(name)

    def _measure(self, name: str) -> int:
        entries = [self.reader.entry(clip_id) for clip_id in self.plan[name].clip_ids]
        systems = [system.name for system in self.group.systems] + [RELEASED] * self.group.with_released
        found: dict[str, Measured] = {system: {} for system in systems}
        decoder = Reader()
        context = FilmContext(films=self.films, other_of=self.other_of, reader=decoder)
        try:
            for clip in self.reader.iterate(entries):
                for system in self.group.systems:
                    for seed, seen in self._seen(system, clip, context):
                        self._take(found[system.name], Key(clip.clip_id, seed), seen)
                if self.group.with_released:
                    self._take_skeleton(found[RELEASED], Key(clip.clip_id, 0), clip, clip.keypoints_px)
        finally:
            decoder.close()
        rows.write(part(self.folder, name), found, fingerprint=self.fingerprint(name))
        return len(entries)

    def _seen(self, system: FilmSystem, clip: Clip, context: FilmContext) -> Iterator[tuple[int, SeenVideo]]:
        driving = clip.keypoints_px if self.group.given_pose else None
        for given in system.films(clip, context):
            yield given.seed, SeenVideo(
                clip=clip, film=given.film, true_film=self.films.film(clip.clip_id), networks=self.networks,
                driving_px=driving,
            )  # fmt: skip

    def _take(self, found: Measured, key: Key, seen: SeenVideo) -> None:
        for name, module in video.modules().items():
            found.setdefault(name, {})[key] = module.measure(seen)
        if self.networks.missing("pose") is None:
            self._take_skeleton(found, key, seen.clip, filled(seen.estimated, size_px=seen.clip.size_px))

    def _take_skeleton(self, found: Measured, key: Key, clip: Clip, motion_px: FloatArray) -> None:
        seen = Seen(clip, motion_px, self.split.kit)
        for name, take in metric.measures(used(with_towers=self.with_towers)).items():
            found.setdefault(SKELETON + name, {})[key] = take(seen)


def filled(estimated: Estimated, *, size_px: int) -> FloatArray:
    """[n, 133, 2] estimated keypoints, with frames on which nobody was found drawn straight between their neighbours.

    A film that shows nobody has all points in the middle of the picture: no motion is worse.

    Args:
        estimated: of a film.
        size_px: side of its pictures.
    """
    points, found = estimated.points_px.astype(np.float32), np.flatnonzero(estimated.found)
    if not len(found):
        return np.full_like(points, size_px / 2)
    if len(found) == len(points):
        return points
    frames = np.arange(len(points))
    flat = points.reshape(len(points), -1)
    lines = [np.interp(frames, found, flat[found, column]) for column in range(flat.shape[1])]
    return np.stack(lines, axis=1).reshape(points.shape).astype(np.float32)


def measure_films(
    split: Split,
    group: FilmGroup,
    folder: Path,
    engine: Engine,
    *,
    settings: VideoSettings,
    device: str = "cpu",
    with_towers: bool = True,
) -> list[Path]:
    """Measure a group of systems on a split's films.

    Args:
        split: the clips.
        group: the systems.
        folder: of the group's rows; what is fresh in it stays.
        engine: local or Ray.
        settings: which networks there are.
        device: `cpu` or `cuda`.
        with_towers: whether the two-tower metrics are measured on estimated keypoints too.

    Returns:
        The files of the rows, in the chunks' order.

    Raises:
        UserError: a clip has no film, or a chunk failed.
    """
    make = functools.partial(
        FilmWorker, split=split, group=group, folder=folder, settings=settings, device=device, with_towers=with_towers
    )
    longest_s = max((entry.n_frames for entry in ReleaseReader(split.folders).clips(split.name)), default=0) / FPS
    return by_chunks(
        make, folder, engine, what=f"films of {group.name}", needs=Resources(gpu=device == "cuda"),
        media_s=longest_s * CHUNK_CLIPS * sum(getattr(system, "seeds", 1) for system in group.systems),
    )  # fmt: skip
