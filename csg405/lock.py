"""Lock files: two programs never write one place.

A program that is killed lets go, with the last of the processes that it forked.
"""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from csg405.errors import UserError


@contextmanager
def locked(path: Path, *, what: str, command: str) -> Iterator[None]:
    """Hold a lock file, which stays and says who held it last.

    Args:
        path: of the file, in a folder that is there.
        what: is being written, for the message to others.
        command: of csg405 that writes it, for the same.

    Raises:
        UserError: another program holds it.
    """
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text(encoding="utf-8").strip() or "another program"
            raise UserError(f"{what} is being written by {holder}; wait for it") from error
        handle.truncate(0)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        handle.write(f"csg405 {command} (process {os.getpid()}, since {now})\n")
        handle.flush()
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough while a forked process has the file open, too
