"""The Ray engine: the contract of `csg405.engine.Engine` on a Ray cluster, or on a Ray that is started here.

One actor per worker, built from the same factory as the processes of the local engine, so both give the same
results. All nodes need csg405 installed and see the project's root under one path: shards travel by name, and
workers read and write the run's folders themselves.
"""

from __future__ import annotations

import atexit
import collections
import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayError

from csg405.config import EngineSettings
from csg405.engine import Outcome, Worker, attempt
from csg405.errors import UserError
from csg405.operator import Resources

T = TypeVar("T")

log = logging.getLogger(__name__)

_STORE_BYTES = 200_000_000
"""Ray's shared memory where it is started here. Only names and counts go through it; Ray's least is 75 MB."""

_FAILED_STARTS = 3
"""Actors that may die in a row before they were ready; more is a cluster that cannot run csg405 at all."""


class Actor:
    """Runs shards one after the other in a process of its own; its worker is built with the first of them."""

    def __init__(self, make_worker: Callable[[], Worker[Any]]) -> None:
        self._make_worker = make_worker
        self._worker: Worker[Any] | None = None

    def ready(self) -> None:
        """Answers once the process is up."""

    def run(self, shard: str) -> Outcome[Any]:
        """See `csg405.engine.attempt`."""
        return attempt(self._build, shard)

    def _build(self) -> Worker[Any]:
        if self._worker is None:
            self._worker = self._make_worker()
        return self._worker


@dataclasses.dataclass
class _Slot:
    """An actor, and the shard that it has in hand; none while it starts."""

    actor: Any
    shard: str | None = None
    ends: float = math.inf
    """When the shard's deadline passes, on the monotonic clock in seconds."""


class RayEngine:
    """Actors on a Ray cluster.

    Args:
        settings: `ray_address` names the cluster; without one Ray is started on this machine with the first
            shard and stopped by `close` or at the program's end.
        gpu: whether operators that can use a GPU get one. A GPU is shared by `gpu_workers` actors.
    """

    def __init__(self, settings: EngineSettings, *, gpu: bool = False) -> None:
        self.settings = settings
        self.gpu = gpu
        self._connected = False

    def map(
        self, make_worker: Callable[[], Worker[T]], shards: Sequence[str], needs: Resources, *, media_s: float = 0.0
    ) -> Iterator[Outcome[T]]:
        """See `csg405.engine.Engine.map`.

        Raises:
            UserError: the cluster cannot be reached, has not what a worker needs, or cannot start one.
        """
        if not shards:
            return
        self._connect()
        options = self._options(needs)
        factory = ray.put(make_worker)
        pool = _Pool(lambda: _start(options, factory), list(shards), self.settings.deadline_for(media_s))
        try:
            yield from pool.run(min(self._workers(needs), len(shards)))
        finally:
            pool.close()

    def close(self) -> None:
        """Leave the cluster, and stop Ray where it was started here."""
        if self._connected:
            self._connected = False
            atexit.unregister(self.close)
            ray.shutdown()

    def _connect(self) -> None:
        if self._connected:
            return
        # The warnings of a start on one machine (authentication, memory) ask the user for nothing.
        logging.getLogger("ray").setLevel(logging.ERROR)
        here: dict[str, Any] = {}
        if self.settings.ray_address is None:
            cpus = max(self.settings.workers, os.cpu_count() or 1)
            here = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        try:
            # "local" starts a Ray of its own, whatever RAY_ADDRESS or an earlier `ray start` says.
            ray.init(
                address=self.settings.ray_address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **here,
            )
        except (ConnectionError, RayError, ValueError) as error:
            raise UserError(
                f"ENGINE=ray: no Ray cluster at engine.ray_address={self.settings.ray_address}: {error}; "
                "start one with `ray start --head`, or leave the address out"
            ) from error
        self._connected = True
        atexit.register(self.close)

    def _workers(self, needs: Resources) -> int:
        has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if self.gpu and needs.gpu:
            gpus = int(has.get("GPU", 0))
            if not gpus:
                raise UserError("device=cuda: the Ray cluster has no GPU; use device=cpu or add a node with one")
            return gpus * self.settings.gpu_workers
        cpus = has.get("CPU", 0)
        if cpus < needs.cpus:
            raise UserError(f"ENGINE=ray: a worker takes {needs.cpus:g} cores, the cluster has {cpus:g}")
        fit = int(cpus / needs.cpus) if needs.cpus else int(cpus)
        return min(self.settings.workers or fit, fit)

    def _options(self, needs: Resources) -> dict[str, Any]:
        gpus = 1 / self.settings.gpu_workers if self.gpu and needs.gpu else 0
        return {"num_cpus": needs.cpus, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}


def _start(options: dict[str, Any], factory: Any) -> Any:
    return ray.remote(Actor).options(**options).remote(factory)


class _Pool:
    """Keeps a number of actors busy until all shards have an outcome."""

    def __init__(self, start: Callable[[], Any], shards: Sequence[str], deadline_s: float) -> None:
        self.start = start
        self.deadline_s = deadline_s
        self.waiting = collections.deque(shards)
        self.slots: dict[Any, _Slot] = {}
        self.failed_starts = 0

    def run(self, workers: int) -> Iterator[Outcome[Any]]:
        """Yield the outcomes as they come."""
        for _ in range(workers):
            self._add()
        while self.waiting or any(slot.shard is not None for slot in self.slots.values()):
            first = min(slot.ends for slot in self.slots.values())
            timeout = None if math.isinf(first) else max(0.0, first - time.monotonic())
            done, _ = ray.wait(list(self.slots), num_returns=1, timeout=timeout)
            for ref in done:
                yield from self._finish(ref)
            yield from self._stop_late()

    def close(self) -> None:
        """Kill what is left, also what has still a shard in hand."""
        for slot in self.slots.values():
            _kill(slot.actor)
        self.slots.clear()

    def _add(self) -> None:
        actor = self.start()
        self.slots[actor.ready.remote()] = _Slot(actor)

    def _finish(self, ref: Any) -> Iterator[Outcome[Any]]:
        slot = self.slots.pop(ref)
        try:
            value = ray.get(ref)
        except RayActorError as error:
            yield from self._lost(slot, error)
            return
        except RayError as error:  # what came back could not travel
            value = Outcome(str(slot.shard), error=f"its result was lost: {type(error).__name__}", trace=str(error))
        if slot.shard is not None:
            yield value
        self.failed_starts = 0
        self._give(slot)

    def _lost(self, slot: _Slot, error: RayActorError) -> Iterator[Outcome[Any]]:
        if slot.shard is not None:
            yield Outcome(slot.shard, error="the worker process died (out of memory?)", trace=str(error))
        else:
            self.failed_starts += 1
            if self.failed_starts >= _FAILED_STARTS:
                raise UserError(
                    f"ENGINE=ray: {self.failed_starts} workers in a row died before they were ready; is "
                    f"csg405 installed on every node? The last one said: {error}"
                ) from error
        self._replace()

    def _stop_late(self) -> Iterator[Outcome[Any]]:
        now = time.monotonic()
        for ref, slot in [item for item in self.slots.items() if item[1].ends <= now]:
            del self.slots[ref]
            _kill(slot.actor)
            yield Outcome(str(slot.shard), error=f"stopped after its deadline of {self.deadline_s:g} s")
            self._replace()

    def _give(self, slot: _Slot) -> None:
        """Hand the next shard to an actor, or let the actor go."""
        if not self.waiting:
            _kill(slot.actor)
            return
        slot.shard = self.waiting.popleft()
        slot.ends = time.monotonic() + self.deadline_s
        self.slots[slot.actor.run.remote(slot.shard)] = slot

    def _replace(self) -> None:
        starting = sum(slot.shard is None for slot in self.slots.values())
        if len(self.waiting) > starting:
            self._add()


def _kill(actor: Any) -> None:
    ray.kill(actor, no_restart=True)
