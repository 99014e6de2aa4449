"""What may be wrong with a submission: every rule by its id, and one finding of it.

A finding names the file and the clip, what was seen there and what is allowed. What was seen is somebody's own text,
so everything in it that a terminal would not print is escaped, and long texts are cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Level = Literal["error", "warning"]

_MOST_SHOWN = 160
"""Characters of somebody's own text in a message."""


class Rule(NamedTuple):
    """One thing that may be wrong."""

    level: Level
    says: str
    """What is wrong, as messages say it."""
    do: str
    """What to do about it."""


_PACK_AGAIN = "pack the folder again, with nothing but plain files in it"
_SEAL = "run `csg405 submission seal` when nothing changes any more"
_SAVE = "write it with `numpy.savez`, from float32 arrays and nothing else"
_ENCODE = "encode with `-c:v libx264 -pix_fmt yuv420p -r 25`, 512 by 512"

RULES: dict[str, Rule] = {
    # The archive.
    "archive_kind": Rule("error", "no archive of a known kind", "give a folder, a .zip or a .tar.gz"),
    "archive_damaged": Rule("error", "the archive cannot be read to its end", _PACK_AGAIN),
    "archive_crashed": Rule("error", "unpacking came to grief within its limits", _PACK_AGAIN),
    "bad_path": Rule("error", "a path leaves the folder or is none", _PACK_AGAIN),
    "symlink": Rule("error", "a symbolic link", _PACK_AGAIN),
    "hard_link": Rule("error", "a hard link", _PACK_AGAIN),
    "special_file": Rule("error", "neither a file nor a folder", _PACK_AGAIN),
    "duplicate_name": Rule("error", "a path comes twice", _PACK_AGAIN),
    "name_collision": Rule("error", "two paths differ by case or accents alone", "give them names of their own"),
    "too_many_files": Rule("error", "too many files", "leave out what the format does not ask for"),
    "too_large": Rule("error", "larger than a submission's file may be", "leave out what is not asked for"),
    "compression_bomb": Rule(
        "error", "unpacks to far more than it is", "compress the arrays (`numpy.savez_compressed`), then pack them"
    ),
    "nested_archive": Rule("error", "an archive in the submission; it is not unpacked", "put the files themselves in"),
    # The folder.
    "missing_file": Rule("error", "a file is missing", "`csg405 submission init` and `seal` write what there must be"),
    "unknown_file": Rule("error", "a file that the format does not know", "remove it"),
    "other_track": Rule("error", "a file of another track", "give .npz for track A, .mp4 for tracks B and C"),
    "not_utf8": Rule("error", "the text is not UTF-8", "save it as UTF-8"),
    # submission.yaml.
    "yaml_malformed": Rule("error", "submission.yaml is not YAML", "mend it at the place that is named"),
    "yaml_alias": Rule("error", "submission.yaml has an anchor or alias", "write the value out in full"),
    "yaml_tag": Rule("error", "submission.yaml has a tag; nothing is constructed from it", "write a plain value"),
    "yaml_duplicate": Rule("error", "a key comes twice in submission.yaml", "keep one of them"),
    "yaml_depth": Rule("error", "submission.yaml is nested too deeply", "keep to the keys of the format"),
    "future_schema": Rule("error", "the format is newer than this program", "bring csg405 up to date"),
    "schema": Rule("error", "a value of submission.yaml is missing or wrong", "see manifests/schema/submission.json"),
    "system_unnamed": Rule("error", "the system has no name", "fill in system.name"),
    "other_benchmark": Rule("error", "made for another benchmark, or another version of it", "make it for this one"),
    "declared_test_use": Rule("error", "declares that test clips were used", "train without them"),
    "unknown_split": Rule("error", "the release has no clips in this split", "name one that it has"),
    # Clips and seeds.
    "clip_list": Rule("error", "clips.json is no list of clips", "take the one that `csg405 submission init` writes"),
    "duplicate_clip": Rule("error", "a clip comes twice in a list of clips", "keep one of the rows"),
    "clip_list_differs": Rule("error", "clips.json is not the benchmark's", "make it anew with `init`"),
    "own_clip_list": Rule("warning", "checked against the submission's own clips.json only", "give --run or --clips"),
    "missing_clip": Rule("error", "a clip of the split has no predictions", "predict it"),
    "extra_clip": Rule("error", "a clip that the benchmark does not know", "remove its folder"),
    "other_split": Rule("error", "a clip of another split", "remove its folder, or name that split"),
    "missing_seed": Rule("error", "a sample is missing", "give seeds 0 to inference.seeds - 1 of every clip"),
    "extra_seed": Rule("error", "more samples than inference.seeds says", "remove it, or raise inference.seeds"),
    "few_seeds": Rule("warning", "too few samples of a clip to tell how varied they are", "give 5 seeds"),
    "counterfactual_clip": Rule("error", "a clip that gets no counterfactual sounds", "remove its folder"),
    "counterfactual_missing": Rule(
        "error", "some of the motions for counterfactual sounds are missing", "give all of them, or none"
    ),
    # Arrays.
    "npz_damaged": Rule("error", "the .npz cannot be read", _SAVE),
    "missing_array": Rule("error", "the .npz lacks an array", _SAVE),
    "extra_array": Rule("error", "the .npz holds an array that the format does not know", "leave it out"),
    "duplicate_array": Rule("error", "an array comes twice in the .npz", _SAVE),
    "object_array": Rule("error", "an array of Python objects; it is never unpickled", _SAVE),
    "npy_header": Rule("error", "an array's header is not one", _SAVE),
    "huge_header": Rule("error", "an array's header is too long", _SAVE),
    "wrong_dtype": Rule("error", "an array is of the wrong type", "save it as little-endian float32"),
    "fortran_order": Rule("error", "an array lies in Fortran order", "save `numpy.ascontiguousarray` of it"),
    "wrong_shape": Rule("error", "an array has the wrong shape", "save [frames, 133, 2], and scores as [frames, 133]"),
    "joint_count": Rule("error", "the wrong number of points", "give all 133 of COCO-WholeBody"),
    "frame_count": Rule("error", "the wrong number of frames", "give exactly as many as the clip has"),
    "wrong_size": Rule("error", "an array's bytes are not those that its shape needs", _SAVE),
    "nan": Rule("error", "a value is not a number", "give every point a place"),
    "inf": Rule("error", "a value is infinite", "give every point a place"),
    "out_of_range": Rule("error", "a point lies too far outside the picture", "give pixels of the released crop"),
    "frozen": Rule("error", "more than half of the frames repeat the one before", "or declare it: frozen_declared"),
    "bones_vary": Rule("warning", "bones change their length from frame to frame", "look at the motion"),
    # Films.
    "video_damaged": Rule("error", "the film cannot be decoded to its end", _ENCODE),
    "decoder_crashed": Rule("error", "the decoder crashed on the film, or used too much", _ENCODE),
    "decoder_deadline": Rule("error", "decoding the film took too long", _ENCODE),
    "wrong_streams": Rule("error", "the wrong streams in the film", "one stream of pictures, at most one of sound"),
    "wrong_codec": Rule("error", "the wrong codec", _ENCODE),
    "wrong_pixels": Rule("error", "the wrong pixel format", _ENCODE),
    "wrong_picture": Rule("error", "the wrong size of the pictures", _ENCODE),
    "wrong_rate": Rule("error", "the wrong frame rate", _ENCODE),
    "variable_rate": Rule("error", "a variable frame rate", _ENCODE),
    # Lists.
    "checksum_line": Rule("error", "a line of checksums.sha256 is not `<64 hex digits>  <path>`", _SEAL),
    "checksum_duplicate": Rule("error", "a path comes twice in checksums.sha256", _SEAL),
    "checksum_missing": Rule("error", "a file is not in checksums.sha256", _SEAL),
    "checksum_extra": Rule("error", "checksums.sha256 names a file that is not there", _SEAL),
    "checksum_wrong": Rule("error", "a file is not the one that checksums.sha256 says", _SEAL),
    "training_ids": Rule("error", "training_ids.txt.gz cannot be read", _SEAL),
    "training_id_line": Rule("error", "a training id is not the sha256 of a video id, 64 hex digits", _SEAL),
    "training_id_order": Rule("error", "training ids are not sorted, or come twice", _SEAL),
    "trained_on_test": Rule("error", "trained on a video of the test split", "train without it"),
    "trained_on_validation": Rule("warning", "trained on a video of the validation split", "say so in REPORT.md"),
    # When it is scored.
    "copied_from_train": Rule("error", "the motion is copied from a training clip", "explain it in REPORT.md"),
    "equals_truth": Rule("error", "the motion is the clip's own", "explain it in REPORT.md"),
}
"""Every rule by its id, in the order in which they are met."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with a submission."""

    rule: str
    where: str
    """The file, relative to the submission."""
    seen: str
    allowed: str
    clip: str | None = None

    @property
    def level(self) -> Level:
        """`error`: it is refused; `warning`: it is told."""
        return RULES[self.rule].level

    @property
    def message(self) -> str:
        """All of it in a line."""
        rule = RULES[self.rule]
        return f"{self.where}: {rule.says}: saw {self.seen}; allowed: {self.allowed}; {rule.do}"

    def as_json(self) -> dict[str, Any]:
        """For machines: the fields, the level and the message."""
        return {**dataclasses.asdict(self), "level": self.level, "message": self.message}


def found(rule: str, where: object, *, seen: object, allowed: object, clip: str | None = None) -> Finding:
    """A finding, its texts made fit to be shown.

    Args:
        rule: its id.
        where: the file.
        seen: what was seen there.
        allowed: what is allowed there.
        clip: the clip, where there is one.

    Raises:
        KeyError: there is no such rule.
    """
    RULES[rule]
    return Finding(
        rule=rule, where=shown(where), seen=shown(seen), allowed=shown(allowed),
        clip=None if clip is None else shown(clip),
    )  # fmt: skip


def shown(value: object) -> str:
    """A text as a terminal can show it: unprintable characters escaped, long texts cut in the middle."""
    text = str(value)
    if len(text) > _MOST_SHOWN:
        text = f"{text[: _MOST_SHOWN // 2]}...{text[-_MOST_SHOWN // 2 :]}"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those for which a submission is refused."""
    return [finding for finding in findings if finding.level == "error"]


def rules_page() -> str:
    """The rules as a table for docs/submission.md."""
    lines = ["| rule | level | what is wrong | what to do |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {rule.level} | {rule.says} | {rule.do} |" for name, rule in RULES.items()]
    return "\n".join(lines) + "\n"
