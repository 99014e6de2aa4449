"""Everything that is wrong with a submission, told at once; torch and the truth are not needed for it."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from csg405.benchmark.submission import archive, arrays, clips, counterfactual, layout, limits, lists, schema, video
from csg405.benchmark.submission.clips import ClipList, Wanted
from csg405.benchmark.submission.findings import Finding, errors, found
from csg405.benchmark.submission.layout import File, Layout
from csg405.errors import UserError

ENOUGH_SEEDS = 5
"""Samples of a clip from which on it is told how varied they are."""

DEFAULT_SPLIT = "test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What was found."""

    submission: schema.Submission | None
    """None where submission.yaml cannot be read."""
    predictions: tuple[File, ...]
    """Of the clips that are wanted, sorted by clip and seed."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether it may be scored: no errors; there may be warnings."""
        return not errors(self.findings)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        wrong = len(errors(self.findings))
        return {
            "ok": self.ok,
            "errors": wrong,
            "warnings": len(self.findings) - wrong,
            "findings": [finding.as_json() for finding in self.findings],
        }


def validate(
    path: Path,
    *,
    known: ClipList | None,
    work: Path,
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """Check a folder or an archive.

    Args:
        path: the submission.
        known: clips of the release; the submission's own list where there is none.
        work: folder below which an archive is unpacked.
        workers: that decode films at the same time.
        advance: called after each prediction.

    Raises:
        UserError: there is nothing at `path`.
    """
    if not path.is_dir() and not path.is_file():
        raise UserError(f"{path}: there is no such folder or archive")
    with archive.opened(path, work=work) as opened:
        report = check(opened.folder, known=known, workers=workers, advance=advance)
    return dataclasses.replace(report, findings=(*opened.findings, *report.findings))


def check(
    folder: Path, *, known: ClipList | None, workers: int = 1, advance: Callable[[], None] = lambda: None
) -> Report:
    """Check a folder; see `validate`."""
    return _Check(layout.look(folder), known, workers=workers, advance=advance).report()


class _Check:
    """Checks one submission, and gathers what is wrong."""

    def __init__(self, held: Layout, known: ClipList | None, *, workers: int, advance: Callable[[], None]) -> None:
        self.held = held
        self.workers = workers
        self.advance = advance
        self.findings = list(held.findings)
        self.digests: dict[str, str] = {}
        self.submission = self._submission()
        self.clips = self._clips(known)
        self.split = self.submission.split if self.submission else self._likely_split()
        self.wanted = self.clips.of(self.split)

    def report(self) -> Report:
        """All of it."""
        if self.clips.clips and not self.wanted:
            splits = ", ".join(sorted(set(self.clips.splits().values())))
            self._note("unknown_split", schema.FILE, seen=self.split, allowed=splits)
        fitting = [file for file in self._of_track() if file.clip in self.wanted]
        self.findings += self._clips_and_seeds(fitting)
        self._predictions(fitting)
        self._counterfactual()
        self._lists()
        return Report(submission=self.submission, predictions=tuple(fitting), findings=tuple(self.findings))

    def _note(self, rule: str, where: str, *, seen: object, allowed: object, clip: str | None = None) -> None:
        self.findings.append(found(rule, where, seen=seen, allowed=allowed, clip=clip))

    def _content(self, path: str) -> bytes | None:
        """The content of one of the files with names; None where it is missing or too large, which was told."""
        most = layout.MOST_BYTES[path]
        if self.held.sizes.get(path, most + 1) > most:
            return None
        content = layout.read(self.held, path, most_bytes=most)
        self.digests[path] = hashlib.sha256(content).hexdigest()
        return content

    def _submission(self) -> schema.Submission | None:
        content = self._content(schema.FILE)
        if content is None:
            return None
        submission, findings = schema.parse(content)
        self.findings += findings
        return submission

    def _clips(self, known: ClipList | None) -> ClipList:
        content = self._content(layout.CLIPS)
        own, findings = (None, []) if content is None else clips.parse(content, where=layout.CLIPS)
        self.findings += findings
        if known is None:
            if own is None:
                self._note("clip_list", layout.CLIPS, seen="no list", allowed="--run, --clips, or a clips.json in it")
                return ClipList(())
            self._note("own_clip_list", layout.CLIPS, seen=f"{len(own.clips)} clips", allowed="the benchmark's list")
            return own
        if own is not None:
            self._compare(own, known)
        return known

    def _compare(self, own: ClipList, known: ClipList) -> None:
        held = {clip.clip_id: clip for clip in own.clips}
        for split in {clip.split for clip in own.clips} | {DEFAULT_SPLIT}:
            wanted = known.of(split)
            differs = sorted(name for name in wanted.keys() | own.of(split).keys()
                             if held.get(name) != wanted.get(name))  # fmt: skip
            if differs:
                seen = f"{len(differs)} clips of {split} differ, the first {differs[0]}"
                self._note("clip_list_differs", layout.CLIPS, seen=seen, allowed="the list of this release",
                           clip=differs[0])  # fmt: skip

    def _likely_split(self) -> str:
        """The split of most clips, for a submission that does not say it."""
        splits = self.clips.splits()
        counts = collections.Counter(splits[file.clip] for file in self.held.predictions if file.clip in splits)
        return counts.most_common(1)[0][0] if counts else DEFAULT_SPLIT

    def _of_track(self) -> Iterator[File]:
        """The predictions that the track asks for; of both kinds where nobody knows the track."""
        track = None if self.submission is None else self.submission.track
        for file in self.held.predictions:
            if track is None or file.kind == schema.SUFFIX[track]:
                yield file
            else:
                self._note("other_track", file.path, seen=f".{file.kind}", clip=file.clip,
                           allowed=f".{schema.SUFFIX[track]}, of track {track}")  # fmt: skip

    def _clips_and_seeds(self, fitting: list[File]) -> Iterator[Finding]:
        seeds: dict[str, set[int]] = {}
        for file in fitting:
            seeds.setdefault(file.clip, set()).add(file.seed)
        splits = self.clips.splits()
        for clip in sorted({file.clip for file in self.held.predictions} - self.wanted.keys()):
            where, allowed = f"{layout.PREDICTIONS}/{clip}", f"the {len(self.wanted)} clips of {self.split}"
            rule, seen = ("other_split", f"{clip}, of {splits[clip]}") if clip in splits else ("extra_clip", clip)
            yield found(rule, where, seen=seen, allowed=allowed, clip=clip)
        count = self._seeds(seeds)
        for clip in self.wanted:
            yield from _seeds_of(clip, seeds.get(clip), count)
        if count < ENOUGH_SEEDS and self.wanted:
            yield found("few_seeds", schema.FILE, seen=f"{count} of each clip", allowed=f"{ENOUGH_SEEDS} or more")

    def _seeds(self, seeds: dict[str, set[int]]) -> int:
        """How many samples each clip must have: as declared, or as most have."""
        if self.submission is not None:
            return self.submission.inference.seeds
        counts = collections.Counter(max(held) + 1 for held in seeds.values())
        return counts.most_common(1)[0][0] if counts else 1

    def _predictions(self, fitting: list[File]) -> None:
        """What is in the predictions' files."""
        may_freeze = self.submission is not None and self.submission.frozen_declared
        films = []
        for file in fitting:
            wanted = self.wanted[file.clip]
            if file.kind == "npz":
                self._motion(file, wanted, may_freeze=may_freeze)
                self.advance()
            elif self.held.sizes[file.path] <= limits.MOST_FILE_BYTES:
                films.append((file, wanted))
        self.findings += video.check(
            self.held.folder, films, may_freeze=may_freeze, workers=self.workers, done=self.advance
        )

    def _motion(self, file: File, wanted: Wanted, *, may_freeze: bool) -> None:
        most = arrays.most_bytes(wanted)
        size = self.held.sizes[file.path]
        if size > most:
            self._note("too_large", file.path, seen=f"{size} bytes", clip=file.clip,
                       allowed=f"{most} bytes for {wanted.n_frames} frames")  # fmt: skip
            return
        content = layout.read(self.held, file.path, most_bytes=most)
        self.digests[file.path] = hashlib.sha256(content).hexdigest()
        self.findings += arrays.read(content, file, wanted, may_freeze=may_freeze)[1]

    def _counterfactual(self) -> None:
        """What is in the motions for counterfactual sounds; a motion may well stand still where nobody speaks."""
        given = self.held.counterfactual
        if self.submission is not None and self.submission.track != "A":
            for file, _ in given:
                self._note("other_track", file.path, seen=".npz", allowed="no counterfactual motions", clip=file.clip)
            return
        self.findings += counterfactual.missing_or_extra(given, self.wanted)
        for file, kind in given:
            if file.clip in self.wanted:
                whole = self.wanted[file.clip]
                frames = counterfactual.frames_of(kind, whole.n_frames)
                self._motion(file, whole.model_copy(update={"n_frames": frames}), may_freeze=True)

    def _lists(self) -> None:
        """The report, the checksums, and the training ids."""
        report = self._content(layout.REPORT)
        if report is not None:
            try:
                report.decode("utf-8")
            except UnicodeDecodeError as error:
                seen = f"byte {report[error.start]:#04x} at {error.start}"
                self._note("not_utf8", layout.REPORT, seen=seen, allowed="UTF-8")
        ids = self._content(layout.TRAINING_IDS)
        if ids is not None:
            self.findings += lists.check_training_ids(ids, self.clips, split=self.split)
        sums = self._content(layout.CHECKSUMS)
        if sums is not None:
            self.findings += lists.check_checksums(sums, paths=self.held.sizes, digest=self._digest)

    def _digest(self, path: str) -> str | None:
        if self.held.sizes[path] > limits.MOST_FILE_BYTES:
            return None
        return self.digests.get(path) or layout.digest(self.held, path)


def _seeds_of(clip: str, held: set[int] | None, count: int) -> Iterator[Finding]:
    where = f"{layout.PREDICTIONS}/{clip}"
    if held is None:
        yield found("missing_clip", where, seen="no predictions", allowed=f"seeds 0 to {count - 1}", clip=clip)
        return
    missing, extra = sorted(set(range(count)) - held), sorted(held - set(range(count)))
    for rule, which in (("missing_seed", missing), ("extra_seed", extra)):
        if which:
            what = "no" if rule == "missing_seed" else "also"
            named = ", ".join(f"seed{seed}" for seed in which[:ENOUGH_SEEDS])
            yield found(rule, where, seen=f"{what} {named}", allowed=f"seeds 0 to {count - 1}", clip=clip)
