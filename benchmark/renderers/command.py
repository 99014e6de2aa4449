"""Any other program as a renderer: a folder in, an mp4 out.

The folder that the program finds holds `reference.png`; `keypoints.npz` with `keypoints_px` [n, 133, 2], `score`
[n, 133], `reference_px` [133, 2] and `reference_score` [133] in pixels of that picture; the same motion drawn as
`csg405.keypoints.drawing` draws it, in `skeleton/000000.png` and so on and in `skeleton.mp4`; `reference_skeleton.png`;
`audio.wav` (16 kHz, mono) where there is sound; and `job.json` with the numbers: `width`, `height`, `n_frames`, `fps`,
`audio_rate_hz`, `audio` (true or false), `out`.

The program writes the film that `out` names: n frames of that size, 25 a second. It is run without a shell, in this
folder, and its words go to `log.txt`. It is trusted: whoever gives a command line runs a program of theirs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from csg405 import media
from csg405.benchmark.renderers.base import Job, Renderer
from csg405.engine import die_with_parent
from csg405.errors import UserError
from csg405.media.clock import AUDIO_RATE_HZ, FPS, FRAME_MS
from csg405.media.decode import Image
from csg405.media.encode import write_sound
from csg405.table import make_folder

VERSION = 1
"""Of the folder's contents, in `job.json`."""

_OUT = "out.mp4"

_LAST_LINES = 15
"""Of the log, that an error shows."""

_LATE_S = FRAME_MS / 2000
"""A frame that is further than this from its place on the clock is that of another place, s."""


class Command(Renderer):
    """See the head of this file."""

    name = "command"
    needs = ("command",)

    def __init__(self, *, command: str, timeout_s: float = 3600.0, folder: Path | None = None) -> None:
        """Check the command line; nothing is run yet.

        Args:
            command: the program and its arguments, quoted as for a shell; `{folder}` and `{out}` in it stand for the
                folder's and the film's path.
            timeout_s: that it may take for one film.
            folder: where the folder of each job is made and kept, `job-0`, `job-1`, ...; a temporary one that is
                removed afterwards when missing.

        Raises:
            UserError: no command line, or one in which the folder does not occur.
        """
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"command: {command!r} cannot be split into words ({error}); mend its quotes") from error
        if not any("{folder}" in word for word in self.words[1:]):
            raise UserError(
                f"command: {command!r} does not say where {{folder}} goes, the folder with the job; "
                "for example: python infer.py --job {folder} --out {out}"
            )
        if not timeout_s > 0:
            raise UserError(f"timeout_s={timeout_s:g}: wanted more than 0")
        self.timeout_s, self.folder = timeout_s, folder

    def frames(self, job: Job) -> Iterator[Image]:
        """See `Renderer`.

        Raises:
            UserError: the program cannot be run, fails, or takes too long; or its film is missing, cannot be read, or
                is not what was asked for.
        """
        with self._place() as folder:
            write_job(folder, job)
            self._run(folder)
            yield from _film(folder / _OUT, job, log=folder / "log.txt")

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        if self.folder is None:
            with tempfile.TemporaryDirectory(prefix="csg405-") as name:
                yield Path(name)
            return
        make_folder(self.folder, what=f"command: folder={self.folder}")
        for number in itertools.count():
            place = self.folder.resolve() / f"job-{number}"
            with contextlib.suppress(FileExistsError):  # another render has it
                place.mkdir()
                break
        yield place

    def _run(self, folder: Path) -> None:
        words = [word.replace("{folder}", str(folder)).replace("{out}", str(folder / _OUT)) for word in self.words]
        log = folder / "log.txt"
        with log.open("wb") as said:
            try:
                process = subprocess.Popen(
                    words, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509  # it calls prctl and nothing else
                )  # fmt: skip
            except OSError as error:
                raise UserError(f"command: {words[0]}: {error.strerror}; give a program that can be run") from error
            try:
                status = process.wait(self.timeout_s)
            except subprocess.TimeoutExpired as error:
                raise UserError(
                    f"command: {words[0]} did not end within {self.timeout_s:g} s; allow more with timeout_s. "
                    + _last_words(log)
                ) from error
            finally:
                _end(process)
        if status:
            raise UserError(f"command: {words[0]} ended with status {status}. {_last_words(log)}")


def write_job(folder: Path, job: Job) -> None:
    """Write what the program is to find: see the head of this file."""
    width, height = job.size
    _write_png(folder / "reference.png", job.reference_image)
    np.savez(
        folder / "keypoints.npz", keypoints_px=job.keypoints_px, score=job.score, reference_px=job.reference_px,
        reference_score=job.reference_score,
    )  # fmt: skip
    if job.wave is not None:
        write_sound(folder / "audio.wav", media.int16(job.wave))
    _write_skeletons(folder, job)
    facts = {
        "version": VERSION, "width": width, "height": height, "n_frames": len(job), "fps": FPS,
        "audio_rate_hz": AUDIO_RATE_HZ, "audio": job.wave is not None, "out": _OUT,
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _write_skeletons(folder: Path, job: Job) -> None:
    from csg405.keypoints import drawing

    width, height = job.size
    size = (height, width)
    (folder / "skeleton").mkdir()
    _write_png(folder / "reference_skeleton.png", drawing.draw(job.reference_px, job.reference_score, size))

    def drawn() -> Iterator[Image]:
        for number, picture in enumerate(drawing.frames(job.keypoints_px, job.score, size)):
            _write_png(folder / "skeleton" / f"{number:06d}.png", picture)
            yield np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)))  # H.264 wants even sides

    media.write_film(folder / "skeleton.mp4", drawn(), None, size=(width + width % 2, height + height % 2))


def _write_png(path: Path, image: Image) -> None:
    done, blob = cv2.imencode(".png", image[..., ::-1])
    if not done:
        raise RuntimeError(f"{path}: OpenCV cannot encode the picture")
    path.write_bytes(blob.tobytes())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started, whether it has ended itself or not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    return "Its last words:\n" + "\n".join(lines) if lines else "It said nothing"


def _film(path: Path, job: Job, *, log: Path) -> Iterator[Image]:
    """The frames of the film that the program wrote, each checked."""
    if not path.is_file():
        raise UserError(f"command: no {path.name} was written, though the program ended well. {_last_words(log)}")
    (width, height), count, start_s = job.size, 0, 0.0
    try:
        for _, picture in media.frames(path):
            start_s = start_s if count else picture.time_s
            image = picture.rgb()
            if image.shape != (height, width, 3):
                seen = f"{image.shape[1]}x{image.shape[0]}"
                raise UserError(f"command: {path.name}: frames of {seen} px, wanted those of the picture, "
                                f"{width}x{height}; scale them")  # fmt: skip
            if count == len(job):
                raise UserError(f"command: {path.name}: more frames than the {count} of the motion; write one for each")
            late_s = picture.time_s - start_s - count / FPS
            if abs(late_s) > _LATE_S:
                raise UserError(
                    f"command: {path.name}: frame {count} is at {picture.time_s - start_s:.3f} s, wanted "
                    f"{count / FPS:.3f} s; write {FPS} frames a second"
                )
            count += 1
            yield image
    except media.Unreadable as error:
        raise UserError(f"command: {path.name}: cannot be decoded ({error.detail}). {_last_words(log)}") from error
    if count < len(job):
        raise UserError(
            f"command: {path.name}: {count} frames, wanted the {len(job)} of the motion; write one for each"
        )
