"""The engine contract, and the local engine: supervised processes, each with a deadline per shard.

A worker that dies or hangs costs its shard and never the run: pebble starts another process in its place.
`csg405.engine_ray` keeps the same contract on a Ray cluster.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures import as_completed
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool

from csg405.config import ENGINES, EngineSettings
from csg405.errors import UserError
from csg405.operator import Resources

T = TypeVar("T")

_PATIENCE_S = 30
"""How long idle processes may take to leave before they are stopped, s; once in some thirty runs one did not leave."""

Worker = Callable[[str], T]
"""Called with the name of a shard."""


@dataclasses.dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of a shard: a value, or an error in one line with its trace."""

    shard: str
    value: T | None = None
    error: str = ""
    trace: str = ""


class Engine(Protocol):
    """Spreads shards over workers."""

    def map(
        self, make_worker: Callable[[], Worker[T]], shards: Sequence[str], needs: Resources, *, media_s: float = 0.0
    ) -> Iterator[Outcome[T]]:
        """Call a worker on every shard and yield the outcomes as they come, in any order.

        Args:
            make_worker: called once in each worker process; picklable, and small, since it travels with each shard.
            shards: names of shards.
            needs: what one worker takes.
            media_s: length of the longest shard's video, which a shard's deadline grows with, s.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...


def attempt(worker: Callable[[], Worker[T]], shard: str) -> Outcome[T]:
    """Run a shard here, and turn what it raises into an outcome that can travel between processes."""
    try:
        return Outcome(shard, value=worker()(shard))
    except UserError as error:
        return Outcome(shard, error=str(error))
    except Exception as error:  # noqa: BLE001 - the trace travels on, and the stage exits non-zero
        return Outcome(shard, error=f"{type(error).__name__}: {error}", trace=traceback.format_exc())


class LocalEngine:
    """Processes on this machine, kept from one `map` to the next: starting one takes longer than a small shard."""

    def __init__(self, settings: EngineSettings, *, gpu: bool = False) -> None:
        self.settings = settings
        self.gpu = gpu
        self._pool: Any = None
        self._size = 0

    def map(
        self, make_worker: Callable[[], Worker[T]], shards: Sequence[str], needs: Resources, *, media_s: float = 0.0
    ) -> Iterator[Outcome[T]]:
        """See `Engine.map`."""
        if not shards:
            return
        pool = self._pool_for(len(shards), needs)
        token = os.urandom(8)
        deadline_s = self.settings.deadline_for(media_s)
        futures: dict[Any, str] = {
            pool.schedule(_work, args=[token, make_worker, shard], timeout=deadline_s): shard for shard in shards
        }
        try:
            for future in as_completed(futures):
                yield _outcome(future, futures[future], deadline_s)
        except BaseException:
            self._leave(now=True)
            raise

    def close(self) -> None:
        """Let the processes go."""
        self._leave(now=False)

    def _pool_for(self, shards: int, needs: Resources) -> Any:
        limit = self.settings.gpu_workers if self.gpu and needs.gpu else self.settings.workers or os.cpu_count() or 1
        if self._pool is not None and not min(shards, limit) <= self._size <= limit:
            self._leave(now=False)
        if self._pool is None:
            self._size = min(shards, limit)
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPool(max_workers=self._size, context=context, initializer=die_with_parent)
        return self._pool

    def _leave(self, *, now: bool) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if not now:
            pool.close()
            with contextlib.suppress(TimeoutError):
                pool.join(_PATIENCE_S)
                return
        pool.stop()
        pool.join()


def _outcome(future: Any, shard: str, deadline_s: float) -> Outcome[Any]:
    try:
        outcome: Outcome[Any] = future.result()
    except FutureTimeoutError:
        return Outcome(shard, error=f"stopped after its deadline of {deadline_s:g} s")
    except ProcessExpired as error:
        return Outcome(shard, error=f"the worker process died ({_cause(error.exitcode)})")
    return outcome


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"{name}: out of memory?" if name == "SIGKILL" else name
    return f"exit status {exitcode}"


_worker: tuple[bytes, Worker[Any]] | None = None
"""The worker of this process, and the `map` that it belongs to."""


def _work(token: bytes, make_worker: Callable[[], Worker[Any]], shard: str) -> Outcome[Any]:
    def build() -> Worker[Any]:
        global _worker  # noqa: PLW0603 - one worker a process is what this is for
        if _worker is None or _worker[0] != token:
            _worker = None  # the old one's networks go before the new one's come
            _worker = (token, make_worker())
        return _worker[1]

    return attempt(build, shard)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so a killed run leaves no worker writing."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def make(settings: EngineSettings, *, kind: str, device: str) -> Engine:
    """The engine by its name, `local` or `ray`.

    Raises:
        UserError: no such engine, or Ray is not installed.
    """
    if kind == "local":
        return LocalEngine(settings, gpu=device == "cuda")
    if kind == "ray":
        try:
            from csg405.engine_ray import RayEngine
        except ModuleNotFoundError as error:
            raise UserError("ENGINE=ray: Ray is not installed; run `make setup EXTRAS=ray`") from error
        return RayEngine(settings, gpu=device == "cuda")
    raise UserError(f"ENGINE={kind}: no such engine; there are {' and '.join(ENGINES)}")
