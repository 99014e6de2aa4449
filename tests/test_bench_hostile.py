"""Bad and hostile submissions: each is refused by a finding that names it, and none of their code runs."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import pickle
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csg405.benchmark.submission import archive, arrays, clips, layout, limits, lists, schema, video
from csg405.benchmark.submission.clips import video_hash
from csg405.benchmark.submission.findings import RULES, found
from tests import submission_kit as kit
from tests.submission_kit import ONE, THREE, TWO, change, npy, npz, place, zipped

MARKER = Path(tempfile.gettempdir()) / f"csg405-hostile-{os.getpid()}"
"""What a payload would write if it ran, and an archive if it were unpacked outside its folder."""

GOOD = kit.motion(30)
HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (30, 133, 2), }"
ONE_FILE = f"predictions/{ONE}/seed0.npz"


class Payload:
    """Pickled, it writes the marker when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (MARKER,))


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad submission."""

    rule: str
    build: Callable[[Path], object]
    words: tuple[str, ...] = ()
    """What the message must say."""
    clip: str | None = None
    also: tuple[str, ...] = ()
    """Other rules that are broken with it."""
    seal: bool = True
    """Whether checksums are written after it was made bad."""


def keypoints(**changes: object) -> Callable[[Path], None]:
    """Another first prediction: an array in place of the good one, or more arrays beside it."""
    return lambda folder: place(folder).write_bytes(npz(**{"keypoints": GOOD, **changes}))


def with_value(value: float, *, frame: int = 3, point: int = 9) -> np.ndarray:
    points = GOOD.copy()
    points[frame, point, 1] = value
    return points


def raw(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    return lambda folder: place(folder).write_bytes(zipped(*members))


def header(text: str, *, version: int = 1) -> Callable[[Path], None]:
    return raw(("keypoints.npy", npy(text, GOOD.tobytes(), version=version)))


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def yaml_with(line: str) -> Callable[[Path], None]:
    """A line after submission.yaml's own."""

    def build(folder: Path) -> None:
        path = folder / schema.FILE
        path.write_text(path.read_text() + line + "\n")

    return build


HUGE = "0x" + 6000 * "f"
"""Python reads it, and refuses to write it."""


def keys_text(line: str, other: str) -> Callable[[Path], None]:
    """Another line in place of one of submission.yaml's."""

    def build(folder: Path) -> None:
        path = folder / schema.FILE
        assert line in path.read_text()
        path.write_text(path.read_text().replace(line, other))

    return build


def folder_there(folder: Path) -> None:
    place(folder).unlink()
    place(folder).mkdir()


def keys(update: Callable[[dict], object]) -> Callable[[Path], None]:
    return lambda folder: change(folder, update)


def object_array(folder: Path) -> None:
    payload = pickle.dumps(np.array([Payload()], object))
    text = "{'descr': '|O', 'fortran_order': False, 'shape': (30, 133, 2), }"
    place(folder).write_bytes(zipped(("keypoints.npy", npy(text, payload))))


def object_beside(folder: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload()], object), allow_pickle=True)
    np_good = io.BytesIO()
    np.save(np_good, GOOD)
    place(folder).write_bytes(zipped(("keypoints.npy", np_good.getvalue()), ("extra.npy", buffer.getvalue())))


def twice(folder: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        raw(("keypoints.npy", npy(HEADER, GOOD.tobytes())), ("keypoints.npy", npy(HEADER, b"")))(folder)


def bomb_array(folder: Path) -> None:
    raw(("keypoints.npy", npy(HEADER, bytes(50_000_000))))(folder)


def encrypted(folder: Path) -> None:
    content = bytearray(zipped(("keypoints.npy", npy(HEADER, GOOD.tobytes())), how=zipfile.ZIP_STORED))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    place(folder).write_bytes(content)


def damaged(folder: Path) -> None:
    content = bytearray(place(folder).read_bytes())
    content[500] ^= 0xFF
    place(folder).write_bytes(content)


def cut(folder: Path) -> None:
    content = place(folder).read_bytes()
    place(folder).write_bytes(content[: len(content) // 2])


def renamed(folder: Path, name: str) -> None:
    (folder / layout.PREDICTIONS / TWO).rename(folder / layout.PREDICTIONS / name)


def added(folder: Path, name: str) -> None:
    shutil.copytree(folder / layout.PREDICTIONS / ONE, folder / layout.PREDICTIONS / name)


def unmade(folder: Path, clip: str) -> None:
    """A motion for silence, and for no other sound that nobody made."""
    path = folder / "counterfactual" / clip / "silent.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(npz(keypoints=GOOD))


def pipe(folder: Path) -> None:
    place(folder).unlink()
    os.mkfifo(place(folder))


def link(folder: Path) -> None:
    place(folder).unlink()
    place(folder).symlink_to("/etc/passwd")


def checksums(update: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        path = folder / layout.CHECKSUMS
        path.write_text("".join(update(path.read_text().splitlines(keepends=True))))

    return build


def freeze(folder: Path) -> None:
    still = GOOD.copy()
    still[10:] = still[10]
    place(folder).write_bytes(npz(keypoints=still))


CASES = {
    # Clips and seeds.
    "missing clip": Case("missing_clip", lambda f: shutil.rmtree(place(f, TWO).parent), ("seeds 0 to 1",), TWO),
    "extra clip": Case("extra_clip", lambda f: added(f, "site.nine_0_9_p0"), ("site.nine", "3 clips"),
                       "site.nine_0_9_p0"),
    "clip of another split": Case("other_split", lambda f: added(f, "site.val_0_1000_p0"), ("validation",),
                                  "site.val_0_1000_p0"),
    "renamed clip": Case("extra_clip", lambda f: renamed(f, "site.TWO"), ("site.TWO",), "site.TWO",
                         also=("missing_clip",)),
    "missing seed": Case("missing_seed", lambda f: place(f, TWO, seed=1).unlink(), ("seed1", "seeds 0 to 1"), TWO),
    "extra seed": Case("extra_seed", lambda f: shutil.copy(place(f, TWO), place(f, TWO, seed=2)), ("seed2",), TWO),
    "seed with a nought": Case("unknown_file", lambda f: place(f).rename(place(f).with_name("seed00.npz")),
                               ("seed00.npz",), also=("missing_seed",)),
    "another track's file": Case("other_track", lambda f: place(f, kind="mp4").write_bytes(b"film"),
                                 ("seed0.mp4", ".npz, of track A"), ONE),
    # Arrays.
    "one frame less": Case("frame_count", keypoints(keypoints=GOOD[:-1]), ("29 frames", "30 frames"), ONE),
    "one frame more": Case("frame_count", keypoints(keypoints=kit.motion(31)), ("31 frames", "30 frames"), ONE),
    "scores of another length": Case("frame_count", keypoints(score=np.ones((29, 133), np.float32)),
                                     ("score: 29 frames",), ONE),
    "fewer points": Case("joint_count", keypoints(keypoints=GOOD[:, :123]), ("123 points", "133 points"), ONE),
    "three coordinates": Case("wrong_shape", keypoints(keypoints=np.zeros((30, 133, 3), np.float32)),
                              ("(30, 133, 3)", "(30, 133, 2)"), ONE),
    "flat": Case("wrong_shape", keypoints(keypoints=GOOD.reshape(30, 266)), ("(30, 266)",), ONE),
    "not a number": Case("nan", keypoints(keypoints=with_value(np.nan)), ("1 values", "frame 3", "left_wrist"), ONE),
    "infinite": Case("inf", keypoints(keypoints=with_value(-np.inf)), ("frame 3", "left_wrist"), ONE),
    "scores that are none": Case("nan", keypoints(score=np.full((30, 133), np.nan, np.float32)), ("score: 3990",),
                                 ONE),
    "outside": Case("out_of_range", keypoints(keypoints=with_value(769)), ("y = 769 px in frame 3", "-256 to 768"),
                    ONE),
    "feet outside": Case("out_of_range", keypoints(keypoints=with_value(1281, point=20)), ("1281", "-768 to 1280"),
                         ONE),
    "normalised": Case("frozen", keypoints(keypoints=GOOD / 1e4), ("100% of the frames",), ONE),
    "double": Case("wrong_dtype", keypoints(keypoints=GOOD.astype(np.float64)), ("<f8", "<f4"), ONE),
    "half": Case("wrong_dtype", keypoints(keypoints=GOOD.astype(np.float16)), ("<f2",), ONE),
    "whole numbers": Case("wrong_dtype", keypoints(keypoints=GOOD.astype(np.int32)), ("<i4",), ONE),
    "big-endian": Case("wrong_dtype", keypoints(keypoints=GOOD.astype(">f4")), (">f4, big-endian",), ONE),
    "structured": Case("wrong_dtype", keypoints(keypoints=np.zeros(30, [("x", "<f4"), ("y", "<f4")])), ("('x'",), ONE,
                       also=("wrong_shape",)),
    "Fortran order": Case("fortran_order", keypoints(keypoints=np.asfortranarray(GOOD)), ("True",), ONE),
    "objects": Case("object_array", object_array, ("|O",), ONE),
    "objects beside": Case("extra_array", object_beside, ("extra.npy",), ONE),
    "another array": Case("extra_array", keypoints(audio=np.zeros(5)), ("audio.npy",), ONE),
    "array that leaves": Case("extra_array", raw(
        ("../keypoints.npy", b""), ("keypoints.npy", npy(HEADER, GOOD.tobytes()))), ("../keypoints.npy",), ONE),
    "no keypoints": Case("missing_array", lambda f: place(f).write_bytes(npz(score=np.ones((30, 133), np.float32))),
                         ("score.npy",), ONE),
    "nothing in it": Case("missing_array", raw(), ("no arrays",), ONE),
    "an array twice": Case("duplicate_array", twice, ("keypoints again",), ONE),
    "a thousand arrays": Case("extra_array", raw(*((f"{number}.npy", b"") for number in range(1000))),
                              ("1000 members",), ONE, also=("missing_array",)),
    "bomb in an array": Case("compression_bomb", bomb_array, ("50000", "31920 bytes"), ONE),
    "huge header": Case("huge_header", header(HEADER + " " * 60_000), ("60066 bytes", "1024 bytes"), ONE),
    "huger header": Case("huge_header", raw(("keypoints.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f")),
                         ("2147483647",), ONE),
    "header that is code": Case("npy_header", header("__import__('os').system('touch " + str(MARKER) + "')"),
                                ("__import__",), ONE),
    "header of brackets": Case("npy_header", header("(" * 900), ("((((",), ONE),
    "no header": Case("npy_header", raw(("keypoints.npy", b"keypoints")), ("b'keypoint'",), ONE),
    "shape of many digits": Case("wrong_shape", header(HEADER.replace("(30,", "(" + "9" * 500 + ",")), ("9999",), ONE),
    "fewer bytes than said": Case("wrong_size", raw(("keypoints.npy", npy(HEADER, GOOD.tobytes()[:-4]))),
                                  ("31916 bytes", "31920 bytes"), ONE),
    "more bytes than said": Case("wrong_size", raw(("keypoints.npy", npy(HEADER, GOOD.tobytes() + b"more"))),
                                 ("31924 bytes",), ONE),
    "half an npz": Case("npz_damaged", cut, (ONE_FILE, "not a zip"), ONE),
    "a flipped byte": Case("npz_damaged", damaged, ("CRC",), ONE),
    "a password": Case("npz_damaged", encrypted, ("encrypted",), ONE),
    "an npy, not an npz": Case("npz_damaged", lambda f: np.save(place(f).open("wb"), GOOD), ("not a zip",), ONE),
    "an empty file": Case("npz_damaged", lambda f: place(f).write_bytes(b""), ("0 bytes",), ONE),
    "too large a file": Case("too_large", lambda f: place(f).write_bytes(bytes(10_000_000)), ("10000000",), ONE),
    "stands still": Case("frozen", freeze, ("66% of the frames", "50%"), ONE),
    # submission.yaml.
    "future schema": Case("future_schema", keys(lambda v: v.update(schema_version=2)),
                          ("schema_version 2", "schema_version 1")),
    "number of thousands of digits": Case("yaml_malformed", keys_text("schema_version: 1", f"schema_version: {HUGE}"),
                                          ("24000 bits",)),
    "size of thousands of digits": Case("yaml_malformed", yaml_with(f"more: [{HUGE}]"), ("24000 bits",)),
    "schema nought": Case("schema", keys(lambda v: v.update(schema_version=0)), ("schema_version: '0'",)),
    "no schema version": Case("schema", keys(lambda v: v.pop("schema_version")), ("no schema_version",)),
    "unknown key": Case("schema", keys(lambda v: v["system"].update(colour="red")), ("system.colour", "licence")),
    "text for a number": Case("schema", keys(lambda v: v["inference"].update(seeds="two")), ("inference.seeds",)),
    "track D": Case("schema", keys(lambda v: v.update(track="D")), ("track: 'D'",)),
    "no name": Case("system_unnamed", keys(lambda v: v["system"].pop("name")), ("no system.name",)),
    "empty name": Case("system_unnamed", keys(lambda v: v["system"].update(name="")), ("system.name: ''",)),
    "blank name": Case("system_unnamed", keys(lambda v: v["system"].update(name="  ")), ("blanks",)),
    "another benchmark": Case("other_benchmark", keys(lambda v: v["benchmark"].update(version="7")), ("csg405 7",)),
    "test clips used": Case("declared_test_use", keys(lambda v: v.update(declared_use_of_test=True)), ("true",)),
    "YAML bomb": Case("yaml_alias", yaml_with("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]"), ("&a in line",)),
    "YAML alias": Case("yaml_alias", yaml_with("a: *b"), ("*b in line",)),
    "YAML object": Case("yaml_tag", yaml_with(f"a: !!python/object/apply:os.system ['touch {MARKER}']"),
                        ("python/object/apply:os.system",)),
    "YAML tag": Case("yaml_tag", yaml_with("a: !mine b"), ("!mine",)),
    "YAML depth": Case("yaml_depth", yaml_with("a: " + "[" * 30_000), ("7 levels", "6 levels")),
    "YAML merge": Case("schema", yaml_with("<<: {contact: a@b.org}"), ("<<: no such key",)),
    "key twice": Case("yaml_duplicate", yaml_with("track: A"), ("track again in line",)),
    "YAML that is none": Case("yaml_malformed", text(schema.FILE, "track: [A"), ("line 1",)),
    "two documents": Case("yaml_malformed", yaml_with("---\na: b"), ("another document",)),
    "number of many digits": Case("yaml_malformed", yaml_with("a: " + "9" * 6000), ("digits",)),
    "a list": Case("schema", text(schema.FILE, "- a\n- b\n"), ("list",)),
    "large YAML": Case("too_large", yaml_with("#" * 70_000), ("submission.yaml", "65536 bytes")),
    "YAML in Latin 1": Case("not_utf8", text(schema.FILE, b"contact: M\xfcller"), ("byte 0xfc at 10",)),
    "half a surrogate": Case("yaml_malformed", yaml_with('a: "\\uD800"'), ("surrogate",)),
    # The folder.
    "no submission.yaml": Case("missing_file", lambda f: (f / schema.FILE).unlink(), ("submission.yaml",)),
    "no report": Case("missing_file", lambda f: (f / layout.REPORT).unlink(), ("REPORT.md",)),
    "no checksums": Case("missing_file", lambda f: (f / layout.CHECKSUMS).unlink(), ("checksums.sha256",), seal=False),
    "no training ids": Case("missing_file", lambda f: (f / layout.TRAINING_IDS).unlink(), ("training_ids.txt.gz",)),
    "report in UTF-16": Case("not_utf8", text(layout.REPORT, "Wavers".encode("utf-16")), ("REPORT.md", "0xff")),
    "large report": Case("too_large", text(layout.REPORT, bytes(2_000_000)), ("REPORT.md", "2000000")),
    "unknown file": Case("unknown_file", text("run.sh", f"touch {MARKER}"), ("run.sh",)),
    "nested archive": Case("nested_archive", text("more.zip", zipped(("a", b"b"))), ("more.zip", "not unpacked")),
    "symbolic link": Case("symlink", link, (ONE_FILE, "/etc/passwd"), also=("missing_seed",)),
    "link to a folder": Case("symlink", lambda f: (f / "predictions" / "all").symlink_to("/"), ("predictions/all",)),
    "folder for a file": Case("special_file", folder_there, (ONE_FILE, "a folder"), also=("missing_seed",)),
    "pipe": Case("special_file", pipe, (ONE_FILE, "prw"), also=("missing_seed",)),
    "names alike": Case("name_collision", lambda f: added(f, ONE.upper()), (ONE.upper(), ONE), also=("extra_clip",)),
    "unprintable name": Case("bad_path", text("a\x1b[31mb", ""), ("a\\x1b[31mb",)),
    "name that is no text": Case("bad_path", lambda f: Path(os.fsdecode(bytes(f) + b"/a\xff")).touch(), ("a\\udcff",)),
    "deep folders": Case("unknown_file", lambda f: (f / "/".join("abcdefgh")).mkdir(parents=True), ("a/b/c/d/e",)),
    "one counterfactual motion of many": Case("counterfactual_missing", lambda f: unmade(f, ONE),
                                              ("no swapped, slowed, sped_up",), ONE),
    "a clip without counterfactual sounds": Case("counterfactual_clip", lambda f: unmade(f, "zoe"), ("the 3 clips",),
                                                 "zoe", also=("counterfactual_missing",)),
    # Lists.
    "wrong checksum": Case("checksum_wrong", lambda f: place(f).write_bytes(npz(keypoints=kit.motion(30, seed=9))),
                           (ONE_FILE,), ONE, seal=False),
    "file without a checksum": Case("checksum_missing", checksums(lambda lines: lines[1:]), ("REPORT.md",), seal=False),
    "checksum without a file": Case("checksum_extra", checksums(lambda lines: [*lines, f"{'0' * 64}  gone.npz\n"]),
                                    ("gone.npz",), seal=False),
    "checksum twice": Case("checksum_duplicate", checksums(lambda lines: [*lines, lines[0]]), ("REPORT.md again",),
                           seal=False),
    "line that is no checksum": Case("checksum_line", checksums(lambda lines: [*lines, "deadbeef x\n"]),
                                     ("'deadbeef x'",), seal=False),
    "trained on test": Case("trained_on_test", lambda f: lists.write_training_ids(f, ["x", ONE[:8]]), (ONE[:8],)),
    "id that is none": Case("training_id_line", lambda f: kit.ids(f, "dQw4w9WgXcQ"), ("line 1: 'dQw4w9WgXcQ'",)),
    "ids out of order": Case("training_id_order", lambda f: kit.ids(f, "b" * 64, "a" * 64), ("aaaa", "line 2")),
    "id twice": Case("training_id_order", lambda f: kit.ids(f, "b" * 64, "b" * 64), ("bbbb",)),
    "ids that are not packed": Case("training_ids", text(layout.TRAINING_IDS, video_hash("x")), ("gzip",)),
    "half of the ids": Case("training_ids", lambda f: (f / layout.TRAINING_IDS).write_bytes(
        (f / layout.TRAINING_IDS).read_bytes()[:40]), ("ended",)),
    "a clip twice in the list": Case("duplicate_clip", text(layout.CLIPS, clips.text_of(
        clips.ClipList((*kit.CLIPS.clips, kit.CLIPS.clips[0])))), (f"{ONE} again",), ONE),
    "another list": Case("clip_list_differs", text(layout.CLIPS, clips.text_of(clips.ClipList(kit.CLIPS.clips[1:]))),
                         (f"1 clips of test differ, the first {ONE}",), ONE),
    "list that is none": Case("clip_list", text(layout.CLIPS, "[" * 50_000), ("clips.json",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.write(tmp_path_factory.mktemp("good") / "submission")


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    yield
    assert not MARKER.exists(), "code of the submission ran"


def refused(path: Path, case: Case) -> None:
    """The one error is the case's, and its message says so."""
    report = kit.checked(path)
    told = "\n".join(finding.message for finding in report.findings)
    errors = [finding for finding in report.findings if finding.level == "error"]
    assert not report.ok
    assert {finding.rule for finding in errors} == {case.rule, *case.also}, told
    named = [finding for finding in errors if finding.rule == case.rule]
    assert any(all(word in finding.message for word in case.words) for finding in named), told
    assert any(finding.clip == case.clip for finding in named), told
    assert told.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", CASES)
def test_a_bad_submission_is_refused_by_name(good: Path, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    folder = tmp_path / "submission"
    shutil.copytree(good, folder)
    case.build(folder)
    if case.seal:
        kit.sealed(folder) if name != "pipe" else seal_around_a_pipe(folder)
    refused(folder, case)


def seal_around_a_pipe(folder: Path) -> None:
    lines = (folder / layout.CHECKSUMS).read_text().splitlines(keepends=True)
    (folder / layout.CHECKSUMS).write_text("".join(line for line in lines if ONE_FILE not in line))


def zip_of(folder: Path, *more: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = folder.parent / "submission.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for inside in sorted(folder.rglob("*")):
            file.write(inside, inside.relative_to(folder))
        for name, content in more:
            file.writestr(name, content)
    return path


def tar_of(folder: Path, *more: tarfile.TarInfo) -> Path:
    path = folder.parent / "submission.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        file.add(folder, ".")
        for info in more:
            file.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, *, target: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, size
    return made


def zip_link(name: str, mode: int = stat.S_IFLNK | 0o777) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system, made.external_attr = 3, mode << 16
    return made


def cut_archive(path: Path, part: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return path


def write_bytes(folder: Path, content: bytes) -> Path:
    path = folder.parent / "submission.zip"
    path.write_bytes(content)
    return path


ARCHIVES = {
    "zip slip": Case("bad_path", lambda f: zip_of(f, ("../outside.txt", b"x")), ("../outside.txt", "way out")),
    "zip slip inside": Case("bad_path", lambda f: zip_of(f, ("predictions/../../outside.txt", b"x")), ("way out",)),
    "zip absolute": Case("bad_path", lambda f: zip_of(f, (str(MARKER), b"x")), ("an absolute path",)),
    "zip drive": Case("bad_path", lambda f: zip_of(f, ("C:outside.txt", b"x")), ("an absolute path",)),
    "zip backslash": Case("bad_path", lambda f: zip_of(f, ("..\\outside.txt", b"x")), ("a backslash",)),
    "zip link": Case("symlink", lambda f: zip_of(f, (zip_link("predictions/all"), b"/etc")), ("predictions/all",)),
    "zip device": Case("special_file", lambda f: zip_of(f, (zip_link("null", stat.S_IFCHR | 0o666), b"")), ("null",)),
    "zip bomb": Case("compression_bomb", lambda f: zip_of(f, ("zeros", bytes(limits.RATIO_FREE_BYTES + 1))),
                     ("zeros", "67108865 bytes")),
    "zip name alike": Case("name_collision", lambda f: zip_of(f, ("Report.MD", b"x")), ("Report.MD", "REPORT.md")),
    "zip nested": Case("nested_archive", lambda f: zip_of(f, ("more.tar.gz", b"x")), ("more.tar.gz",),
                       also=("checksum_missing",)),
    "zip file for a folder": Case("duplicate_name", lambda f: zip_of(f, ("predictions", b"x")), ("predictions again",)),
    "half a zip": Case("archive_damaged", lambda f: cut_archive(zip_of(f), 0.5), ("submission.zip",),
                       also=("missing_file", "missing_clip")),
    "no archive": Case("archive_kind", lambda f: write_bytes(f, b"Rar!"), ("b'Rar!'",),
                       also=("missing_file", "missing_clip")),
    "tar slip": Case("bad_path", lambda f: tar_of(f, info("../outside.txt")), ("../outside.txt",)),
    "tar absolute": Case("bad_path", lambda f: tar_of(f, info(str(MARKER))), (str(MARKER),)),
    "tar link": Case("symlink", lambda f: tar_of(f, info("etc", tarfile.SYMTYPE, target="/etc")), ("etc", "/etc")),
    "tar link, then through it": Case(
        "symlink",
        lambda f: tar_of(f, info("out", tarfile.SYMTYPE, target=str(MARKER.parent)), info(f"out/{MARKER.name}")),
        (str(MARKER.parent),),
        also=("unknown_file", "checksum_missing")),
    "tar hard link": Case("hard_link", lambda f: tar_of(f, info("a", tarfile.LNKTYPE, target="/etc/passwd")),
                          ("/etc/passwd",)),
    "tar device": Case("special_file", lambda f: tar_of(f, info("null", tarfile.CHRTYPE)), ("a device",)),
    "tar pipe": Case("special_file", lambda f: tar_of(f, info("p", tarfile.FIFOTYPE)), ("a pipe",)),
    "tar name twice": Case("duplicate_name", lambda f: tar_of(f, info("./REPORT.md")), ("REPORT.md again",)),
    "tar bomb": Case("compression_bomb", lambda f: tar_of(f, info("zeros", size=300_000_000)),
                     ("more than", "100 bytes for one"), also=("unknown_file", "checksum_missing")),
    "half a tar": Case("archive_damaged", lambda f: cut_archive(tar_of(f), 0.9), ("submission.tar.gz",),
                       also=("missing_file", "missing_clip", "missing_seed", "checksum_extra", "checksum_wrong",
                             "checksum_missing", "npz_damaged")),
    "tar in a name": Case("bad_path", lambda f: tar_of(f, info("a\nb")), ("a\\nb",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_bad_archive_is_refused_by_name(good: Path, tmp_path: Path, name: str) -> None:
    case = ARCHIVES[name]
    folder = tmp_path / "made" / "submission"
    shutil.copytree(good, folder)
    path = case.build(folder)
    before = set(tmp_path.rglob("*"))
    report = kit.checked(path)
    told = "\n".join(finding.message for finding in report.findings)
    errors = [finding for finding in report.findings if finding.level == "error"]
    assert case.rule in {finding.rule for finding in errors} <= {case.rule, *case.also}, told
    assert any(all(word in f.message for word in case.words) for f in errors if f.rule == case.rule), told
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "made" / "work"}, "something is left"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kit.write(tmp_path_factory.mktemp("films") / "submission", track="B")


def a_film(**changes: object) -> Callable[[Path], None]:
    arguments = {"n_frames": 30, **changes}
    return lambda folder: kit.film(place(folder, kind="mp4"), **arguments)


FRAME_TICKS = 512


def encoded(codec: str, pixels: str, *, ticks: list[int] | None = None, streams: int = 1) -> Callable[[Path], None]:
    """A film of 30 frames by PyAV, at other times, in another coding, or twice."""
    import av

    def build(folder: Path) -> None:
        with av.open(str(place(folder, kind="mp4")), "w") as container:
            made = [container.add_stream(codec, rate=25) for _ in range(streams)]
            for stream in made:
                stream.width = stream.height = kit.SIZE_PX
                stream.pix_fmt = pixels
                stream.time_base = stream.codec_context.time_base = Fraction(1, 25 * FRAME_TICKS)
            for stream in made:
                for number, picture in enumerate(kit.pictures(30)):
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
                    frame.pts = ticks[number] if ticks else FRAME_TICKS * number
                    frame.time_base = stream.time_base
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())

    return build


def cut_film(part: float) -> Callable[[Path], None]:
    return lambda folder: cut_archive(place(folder, kind="mp4"), part) and None


def playlist(folder: Path) -> None:
    place(folder, kind="mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")


FILMS = {
    "one frame less": Case("frame_count", a_film(n_frames=29), ("29 decoded frames", "30 frames"), ONE),
    "one frame more": Case("frame_count", a_film(n_frames=31), ("31 decoded frames",), ONE),
    "far too long": Case("frame_count", a_film(n_frames=80), ("56 decoded frames and more",), ONE),
    "24 fps": Case("wrong_rate", a_film(fps=24), ("24.000 fps", "25 fps"), ONE),
    "50 fps": Case("wrong_rate", a_film(fps=50), ("50.000 fps",), ONE),
    "variable rate": Case("variable_rate", encoded("libx264", "yuv420p", ticks=[
        512 * number + 256 * (number > 9) for number in range(30)]), ("frame 10 at 0.420 s", "0.400 s"), ONE),
    "256 pixels": Case("wrong_picture", a_film(size_px=256), ("256x256", "512x512"), ONE),
    "another codec": Case("wrong_codec", encoded("mpeg4", "yuv420p"), ("mpeg4", "h264"), ONE),
    "another pixel format": Case("wrong_pixels", encoded("libx264", "yuv444p"), ("yuv444p", "yuv420p"), ONE),
    "two streams": Case("wrong_streams", encoded("libx264", "yuv420p", streams=2), ("2 video",), ONE),
    "half a film": Case("video_damaged", cut_film(0.5), (f"predictions/{ONE}/seed0.mp4",), ONE),
    "almost a film": Case("video_damaged", cut_film(0.99), ("30 whole frames",), ONE),
    "an empty film": Case("video_damaged", lambda f: place(f, kind="mp4").write_bytes(b""), ("no mp4 file",), ONE),
    "a playlist": Case("video_damaged", playlist, ("no mp4 file",), ONE),
    "stands still": Case("frozen", a_film(still=True), ("100% of the frames",), ONE),
    "an array": Case("other_track", lambda f: place(f).write_bytes(npz(keypoints=GOOD)), (".npz", "of track B"), ONE),
}  # fmt: skip


@pytest.mark.parametrize("name", FILMS)
def test_a_bad_film_is_refused_by_name(films: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "submission"
    shutil.copytree(films, folder)
    FILMS[name].build(folder)
    kit.sealed(folder)
    refused(folder, FILMS[name])


def test_there_are_enough_of_them_and_every_rule_has_one() -> None:
    cases = [*CASES.values(), *ARCHIVES.values(), *FILMS.values()]
    assert len(cases) >= 40
    told_elsewhere = {"copied_from_train", "equals_truth", "decoder_crashed", "decoder_deadline", "archive_crashed",
                      "too_many_files", "unknown_split"}  # fmt: skip
    errors = {name for name, rule in RULES.items() if rule.level == "error"}
    assert errors - {case.rule for case in cases} == told_elsewhere


def test_everything_is_said_at_once(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    shutil.copytree(good, folder)
    for build in (CASES["not a number"].build, CASES["no name"].build, CASES["unknown file"].build, link):
        build(folder)
    place(folder, TWO).write_bytes(npz(keypoints=with_value(np.nan)[:25].astype(">f4")))
    place(folder, THREE, seed=1).unlink()
    rules = {finding.rule for finding in kit.checked(folder).findings}
    assert rules >= {"system_unnamed", "unknown_file", "symlink", "wrong_dtype", "missing_seed", "checksum_wrong",
                     "checksum_missing", "checksum_extra"}  # fmt: skip


def test_a_file_that_is_too_large_is_not_even_summed(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "submission"
    shutil.copytree(good, folder)
    with place(folder).open("wb") as file:
        file.truncate(1 << 42)  # 4 TiB of nothing
    rules = [finding.rule for finding in kit.checked(folder).findings]
    assert set(rules) == {"too_large", "few_seeds"}


def test_many_files_are_too_many(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_FILES", 5)
    path = tar_of(shutil.copytree(good, tmp_path / "submission"))
    target = tmp_path / "out"
    target.mkdir()
    assert [finding.rule for finding in archive.unpack(path, target)] == ["too_many_files"]
    assert "too_many_files" in {finding.rule for finding in layout.look(good).findings}


def test_what_is_shown_is_printable_and_short() -> None:
    finding = found("unknown_file", "a\x1b[2Jb\u202e", seen="x" * 10_000, allowed="\ud800")
    assert finding.where == "a\\x1b[2Jb\\u202e"
    assert len(finding.seen) < 200
    assert finding.allowed == "\\ud800"
    with pytest.raises(KeyError):
        found("no such rule", "a", seen="", allowed="")


ONE_OF = layout.File(path=ONE_FILE, clip=ONE, seed=0, kind="npz")
WANTED = kit.CLIPS.clips[0]
NPZ = npz(keypoints=GOOD[:3], score=np.ones((3, 133), np.float32))
YAML = "schema_version: 1\ntrack: A\nsystem: {name: a, version: '1'}\nx: [1, 2, {a: b}]\n"


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """A content with bytes changed, cut off, or put in."""

    def apply(edits: list[tuple[int, int, bytes]]) -> bytes:
        data = bytearray(content)
        for start, length, put in edits:
            data[start : start + length] = put
        return bytes(data)

    edit = st.tuples(st.integers(0, len(content)), st.integers(0, 40), st.binary(max_size=20))
    return st.lists(edit, max_size=4).map(apply) | st.integers(0, len(content)).map(lambda end: content[:end])


@settings(max_examples=400, deadline=None)
@given(content=st.binary(max_size=300) | mutated(NPZ))
def test_no_bytes_break_the_reader_of_arrays(content: bytes) -> None:
    motion, findings = arrays.read(content, ONE_OF, WANTED.model_copy(update={"n_frames": 3}), may_freeze=True)
    assert (motion is None) == any(finding.level == "error" for finding in findings)


@settings(max_examples=400, deadline=None)
@given(content=st.binary(max_size=200) | mutated(YAML.encode()) | st.text("[]{}:,-&*!|>?%@\"'#\n a1~", max_size=60).map(
    str.encode))  # fmt: skip
def test_no_bytes_break_the_reader_of_yaml(content: bytes) -> None:
    submission, findings = schema.parse(content)
    assert submission is not None or findings


ZIP = zipped(("submission.yaml", b"track: A"), ("predictions/a/seed0.npz", bytes(100)))


def a_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        file.addfile(info("a" * 150, size=700), io.BytesIO(bytes(700)))
        file.addfile(info("ü"), io.BytesIO())
    return buffer.getvalue()


def repacked(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200) | mutated(ZIP) | mutated(repacked(a_tar())) | mutated(a_tar()).map(repacked)
       | st.binary(max_size=100).map(lambda more: b"PK\x03\x04" + more))  # fmt: skip
def test_no_bytes_break_the_unpacker(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path, target = folder / "archive", folder / "target"
    path.write_bytes(content)
    target.mkdir()
    archive.unpack(path, target)
    assert {inside.name for inside in folder.iterdir()} == {"archive", "target"}
    shutil.rmtree(folder)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200) | mutated(clips.text_of(kit.CLIPS).encode()))
def test_no_bytes_break_the_lists(content: bytes) -> None:
    held, findings = clips.parse(content, where="clips.json")
    assert held is not None or findings
    list(lists.check_checksums(content, paths=["a"], digest=lambda path: "0" * 64))
    list(lists.check_training_ids(content, kit.CLIPS, split="test"))
    list(lists.check_training_ids(repacked(content), kit.CLIPS, split="test"))


def test_no_film_breaks_the_decoder_for_good(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    kit.film(path, 10)
    content, rng = path.read_bytes(), np.random.default_rng(3)
    file = layout.File(path="a.mp4", clip=ONE, seed=0, kind="mp4")
    jobs = []
    for number in range(60):
        data = bytearray(content)
        for place_ in rng.integers(8, len(data), rng.integers(1, 30)):
            data[place_] = rng.integers(256)
        if number % 3 == 0:
            del data[rng.integers(8, len(data)) :]
        (tmp_path / f"{number}.mp4").write_bytes(data)
        jobs.append((dataclasses.replace(file, path=f"{number}.mp4"), WANTED))
    told = video.check(
        tmp_path, [*jobs, (file, WANTED.model_copy(update={"n_frames": 10}))], may_freeze=True, workers=2
    )
    assert {finding.where for finding in told} >= {job[0].path for job in jobs}
    assert "a.mp4" not in {finding.where for finding in told}, "the good film, after all of these"
