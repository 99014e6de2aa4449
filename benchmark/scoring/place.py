"""Where scores of a run lie."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from csg405.benchmark.kit import Kit
from csg405.benchmark.release import Entry, ReleaseReader
from csg405.benchmark.scoring.measure import Split, evaluator_digest
from csg405.errors import UserError
from csg405.run import Folders


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where scores of a run lie."""

    folders: Folders
    split: str
    kit: Kit

    @functools.cached_property
    def reader(self) -> ReleaseReader:
        """Of the release."""
        return ReleaseReader(self.folders)

    @functools.cached_property
    def entries(self) -> list[Entry]:
        """The split's clips.

        Raises:
            UserError: there are none.
        """
        found = self.reader.clips(self.split)
        if not found:
            raise UserError(f"the release of run {self.folders.name} has no clips in split {self.split!r}")
        return found

    @functools.cached_property
    def measured(self) -> Split:
        """What is measured on."""
        return Split(folders=self.folders, name=self.split, kit=self.kit, digest=self.reader.digest(self.split))

    @property
    def digests(self) -> dict[str, str]:
        """What scores must share: the data, the kit, the evaluator."""
        return {"data": self.measured.digest, "kit": self.kit.digest, "evaluator": evaluator_digest()}

    @property
    def cluster_of(self) -> dict[str, str]:
        """The speaker of every clip."""
        return {entry.clip_id: entry.speaker for entry in self.entries}

    @property
    def home(self) -> Path:
        """The benchmark's folder of the run."""
        return self.folders.work / "benchmark"

    def rows(self, group: str, *, with_towers: bool) -> Path:
        """Rows that serve all submissions: of controls, of metric cards."""
        kind = "full" if with_towers else "without_towers"
        return self.home / "rows" / f"{self.split}-{self.kit.digest[:12]}-{kind}" / group

    def of(self, name: str) -> Path:
        """The folder of a submission's score."""
        return self.home / "submissions" / name
