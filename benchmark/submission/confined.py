"""Worker processes that read what somebody else wrote, and may use little while they do.

A worker is a Python of its own, started in safe-path mode (`-P`): the folder it is started in, which may be a
submission's, is no place to import from. It limits itself before it loads anything: memory, processor time, the size
of files that it writes, open files; and it leaves no core file. A worker that dies takes no one with it.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from csg405.benchmark.submission.limits import GIB

MEMORY_BYTES = 2 * GIB
"""Address space of a worker: Python, NumPy and FFmpeg take 0.7 GiB of it."""

_OPEN_FILES = 64


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `python -m module` with pipes for standard input and output."""
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
        env={**os.environ, **one_thread, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


def limit(*, file_bytes: int) -> None:
    """Limit this process: memory, files and their size, no core file. Called by a worker before all else.

    Args:
        file_bytes: the largest file that it may write.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_cpu(seconds: int) -> None:
    """Let this process use so many more seconds of processor time, s; then the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))
