"""Predictions of track A: .npz files, read byte by byte, so that nothing in them can be more than numbers.

An .npz is a zip of .npy files (NEP 1, https://numpy.org/neps/nep-0001-npy-format.html). NumPy's reader would unpickle
objects where it is allowed to, and takes any type, order and size; this one takes little-endian float32 in C order
of exactly the shape that the clip has, and looks at sizes before it unpacks.
"""

from __future__ import annotations

import dataclasses
import io
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from csg405 import keypoints as kp
from csg405.benchmark.submission.clips import Wanted
from csg405.benchmark.submission.findings import Finding, found
from csg405.benchmark.submission.layout import File
from csg405.benchmark.submission.limits import KIB, MOST_ARRAYS, MOST_HEADER_BYTES
from csg405.schema import FloatArray

KEYPOINTS, SCORE = "keypoints", "score"

_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{\s*'descr'\s*:\s*(?P<descr>'[^']*'|\[.*\])\s*,\s*'fortran_order'\s*:\s*(?P<fortran>True|False)\s*,"
    r"\s*'shape'\s*:\s*\((?P<shape>[0-9, ]*)\)\s*,?\s*\}\s*",
    re.DOTALL,
)
_MOST_DIGITS = 12

_UPPER = (-0.5, 1.5)
"""Where points of the upper body may lie, in sides of the picture (ours)."""
_LOWER = (-1.5, 2.5)
"""The same for knees, ankles and feet, which a crop of the upper body leaves out: truth has them at 1.94."""

_STILL_PX = 0.05
"""A frame in which no point moves by more repeats the one before: a tenth of an estimator's noise, px."""
MOST_STILL = 0.5
"""Part of the frames that may repeat the one before."""

_BONES = np.array([(5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (11, 12), (5, 11), (6, 12)])
_MOST_BONE_VARIATION = 0.1
"""Median over bones of deviation over mean of their length: 0.02 in filmed and in synthetic truth."""

_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, OverflowError,
    RuntimeError, IndexError, KeyError, MemoryError,
)  # fmt: skip
"""What zipfile raises on bytes that are no zip, on codings that it lacks, and on passwords."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """A prediction of track A."""

    keypoints_px: FloatArray
    """[n, 133, 2] in the released picture."""
    score: FloatArray | None
    """[n, 133] where it was given."""


def most_bytes(wanted: Wanted) -> int:
    """The largest file that can hold a prediction of a clip, and be told what is wrong with it."""
    return 4 * wanted.n_frames * kp.COUNT * 12 + 64 * KIB


def read(content: bytes, file: File, wanted: Wanted, *, may_freeze: bool) -> tuple[Motion | None, list[Finding]]:
    """The motion in an .npz, and everything that is wrong with it.

    Args:
        content: of the file, no longer than `most_bytes`.
        file: its place.
        wanted: the clip.
        may_freeze: whether the submission declares that motion stands still.

    Returns:
        The motion, None where it cannot be used; findings.
    """
    reader = _Reader(file, wanted)
    arrays = reader.arrays(content)
    keypoints, score = arrays.get(KEYPOINTS), arrays.get(SCORE)
    if keypoints is None:
        return None, reader.findings
    findings = [*reader.findings, *_not_finite(keypoints, file, KEYPOINTS)]
    if score is not None:
        findings += _not_finite(score, file, SCORE)
    if not findings:
        findings += _off_picture(keypoints, file, wanted)
        findings += _implausible(keypoints, file, may_freeze=may_freeze)
    wrong = any(finding.level == "error" for finding in findings)
    return None if wrong else Motion(keypoints_px=keypoints, score=score), findings


class _Reader:
    """Reads the arrays of one file and gathers what is wrong with them."""

    def __init__(self, file: File, wanted: Wanted) -> None:
        self.file = file
        self.shapes = {KEYPOINTS: (wanted.n_frames, kp.COUNT, 2), SCORE: (wanted.n_frames, kp.COUNT)}
        self.findings: list[Finding] = []

    def note(self, rule: str, *, seen: object, allowed: object) -> None:
        self.findings.append(found(rule, self.file.path, seen=seen, allowed=allowed, clip=self.file.clip))

    def arrays(self, content: bytes) -> dict[str, FloatArray]:
        """The arrays that are as they must be."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = self._members(archive.infolist())
                read = {name: self._array(archive, member, name) for name, member in members.items()}
        except _UNREADABLE as error:
            self.note("npz_damaged", seen=f"{len(content)} bytes: {str(error) or type(error).__name__}",
                      allowed="a zip of .npy files")  # fmt: skip
            return {}
        return {name: array for name, array in read.items() if array is not None}

    def _members(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos[:MOST_ARRAYS]:
            name = info.orig_filename.removesuffix(".npy")
            if name not in self.shapes or not info.orig_filename.endswith(".npy"):
                allowed = f"{KEYPOINTS}, and {SCORE} where it is known"
                self.note("extra_array", seen=f"{info.orig_filename} of {info.file_size} bytes", allowed=allowed)
            elif name in members:
                self.note("duplicate_array", seen=f"{name} again", allowed="each array once")
            else:
                members[name] = info
        if len(infos) > MOST_ARRAYS:
            self.note("extra_array", seen=f"{len(infos)} members", allowed=f"{KEYPOINTS} and {SCORE}")
        if KEYPOINTS not in members:
            self.note("missing_array", seen=", ".join(info.orig_filename for info in infos[:3]) or "no arrays",
                      allowed=f"{KEYPOINTS}, {self.shapes[KEYPOINTS]} float32")  # fmt: skip
        return members

    def _array(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> FloatArray | None:
        shape = self.shapes[name]
        needed = 4 * math.prod(shape)
        # Twice the frames as float64 are still read, so that it is told what is wrong; more is not unpacked.
        most = 4 * needed + MOST_HEADER_BYTES
        if member.file_size > most:
            self.note("compression_bomb", seen=f"{name}: {member.file_size} bytes from {member.compress_size}",
                      allowed=f"{needed} bytes for {shape} float32")  # fmt: skip
            return None
        with archive.open(member) as file:
            start = self._start(file.read(len(_MAGIC) + 6), name)
            if start is None:
                return None
            length, rest = start
            header = rest + file.read(length - len(rest))
            if not self._described(header, name):
                return None
            data = file.read(most + 1)
        if len(data) != needed:
            self.note("wrong_size", seen=f"{name}: {len(data)} bytes after its header", allowed=f"{needed} bytes")
            return None
        return np.frombuffer(data, "<f4").reshape(shape).astype(np.float32, copy=False)

    def _start(self, head: bytes, name: str) -> tuple[int, bytes] | None:
        """The length of an array's header, and what was already read of it."""
        version = head[len(_MAGIC) : len(_MAGIC) + 2]
        wide = version in {b"\x02\x00", b"\x03\x00"}
        if not head.startswith(_MAGIC) or not (wide or version == b"\x01\x00") or len(head) < len(_MAGIC) + 6:
            self.note("npy_header", seen=f"{name}: begins with {head[:8]!r}", allowed="an .npy of version 1, 2 or 3")
            return None
        field, rest = (head[8:12], b"") if wide else (head[8:10], head[10:12])
        length = int.from_bytes(field, "little")
        if length > MOST_HEADER_BYTES:
            self.note("huge_header", seen=f"{name}: a header of {length} bytes", allowed=f"{MOST_HEADER_BYTES} bytes")
            return None
        return max(length, len(rest)), rest

    def _described(self, header: bytes, name: str) -> bool:
        """Whether a header describes the array that is wanted; matched as text, never evaluated."""
        match = _HEADER.fullmatch(header.decode("latin-1"))
        if match is None:
            self.note("npy_header", seen=f"{name}: {header[:100]!r}", allowed="descr, fortran_order and shape")
            return False
        before = len(self.findings)
        descr = match["descr"].strip("'")
        if "O" in descr:
            self.note("object_array", seen=f"{name}: {descr}", allowed="<f4")
        elif descr != "<f4":
            what = f"{name}: {descr}" + (", big-endian" if descr.startswith(">") else "")
            self.note("wrong_dtype", seen=what, allowed="<f4, which is little-endian float32")
        if match["fortran"] == "True":
            self.note("fortran_order", seen=f"{name}: fortran_order True", allowed="False: C order")
        self._check_shape(match["shape"], name)
        return len(self.findings) == before

    def _check_shape(self, text: str, name: str) -> None:
        wanted = self.shapes[name]
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if any(not part.isdigit() or len(part) > _MOST_DIGITS for part in parts) or len(parts) != len(wanted):
            self.note("wrong_shape", seen=f"{name}: ({text})", allowed=wanted)
            return
        shape = tuple(int(part) for part in parts)
        if shape[0] != wanted[0]:
            self.note("frame_count", seen=f"{name}: {shape[0]} frames", allowed=f"{wanted[0]} frames")
        if shape[1] != wanted[1]:
            self.note("joint_count", seen=f"{name}: {shape[1]} points", allowed=f"{wanted[1]} points")
        if shape[2:] != wanted[2:]:
            self.note("wrong_shape", seen=f"{name}: {shape}", allowed=wanted)


def _not_finite(array: FloatArray, file: File, name: str) -> Iterator[Finding]:
    if np.isfinite(array).all():
        return
    for rule, wrong in (("nan", np.isnan(array)), ("inf", np.isinf(array))):
        if wrong.any():
            frame, point = np.argwhere(wrong)[0][:2]
            seen = f"{name}: {int(wrong.sum())} values, the first in frame {frame}, point {point} ({kp.NAMES[point]})"
            yield found(rule, file.path, seen=seen, allowed="finite numbers", clip=file.clip)


def _bounds(size_px: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """[133] lowest and highest coordinate of every point, px."""
    low, high = (np.full(kp.COUNT, edge * size_px) for edge in _LOWER)
    low[kp.UPPER_BODY], high[kp.UPPER_BODY] = (edge * size_px for edge in _UPPER)
    return low, high


def _off_picture(keypoints: FloatArray, file: File, wanted: Wanted) -> Iterator[Finding]:
    low, high = _bounds(wanted.size_px)
    smallest, largest = keypoints.min(axis=0).min(axis=-1), keypoints.max(axis=0).max(axis=-1)
    if (smallest >= low).all() and (largest <= high).all():
        return
    out = (keypoints < low[:, None]) | (keypoints > high[:, None])
    frame, point, axis = (int(place) for place in np.argwhere(out)[0])
    seen = (
        f"{int(out.sum())} values, the first {'xy'[axis]} = {keypoints[frame, point, axis]:g} px in frame {frame}, "
        f"point {point} ({kp.NAMES[point]})"
    )
    allowed = f"{low[point]:g} to {high[point]:g} px for this point"
    yield found("out_of_range", file.path, seen=seen, allowed=allowed, clip=file.clip)


def _implausible(keypoints: FloatArray, file: File, *, may_freeze: bool) -> Iterator[Finding]:
    if len(keypoints) < 2:
        return
    still = float((np.abs(np.diff(keypoints, axis=0)).reshape(len(keypoints) - 1, -1).max(axis=1) < _STILL_PX).mean())
    if still > MOST_STILL and not may_freeze:
        yield found("frozen", file.path, seen=f"{still:.0%} of the frames", allowed=f"{MOST_STILL:.0%}",
                    clip=file.clip)  # fmt: skip
    lengths = np.linalg.norm(keypoints[:, _BONES[:, 0]] - keypoints[:, _BONES[:, 1]], axis=-1)
    variation = float(np.median(lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), 1e-6)))
    if variation > _MOST_BONE_VARIATION:
        yield found("bones_vary", file.path, seen=f"lengths vary by {variation:.0%} (median of 8 bones)",
                    allowed=f"{_MOST_BONE_VARIATION:.0%}", clip=file.clip)  # fmt: skip
