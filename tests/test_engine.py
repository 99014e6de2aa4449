"""Both engines keep one contract."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from csg405 import engine
from csg405.config import EngineSettings
from csg405.engine import Engine, Outcome
from csg405.errors import UserError
from csg405.operator import Resources
from tests.workers import Script, Unbuildable

DEADLINE_S = 6.0


@pytest.fixture(scope="module", params=["local", "ray"])
def two_workers(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "ray":
        pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
    made = engine.make(EngineSettings(workers=2, deadline_s=DEADLINE_S), kind=request.param, device="cpu")
    yield made
    if request.param == "ray":
        made.close()


def run(made: Engine, notes: Path, *shards: str, worker: type = Script) -> dict[str, Outcome[tuple[str, int]]]:
    outcomes = list(made.map(functools.partial(worker, notes), shards, Resources()))
    assert len(outcomes) == len(shards)
    return {outcome.shard: outcome for outcome in outcomes}


def test_each_shard_gives_its_value_and_a_worker_is_built_once_a_process(two_workers: Engine, tmp_path: Path) -> None:
    names = [f"slow-{number}" for number in range(8)]
    outcomes = run(two_workers, tmp_path, *names)
    assert set(outcomes) == set(names)
    values = [outcome.value for outcome in outcomes.values()]
    assert None not in values
    assert [value[0] for value in values] == list(outcomes)
    pids = {value[1] for value in values}
    assert len(pids) == 2
    assert os.getpid() not in pids
    notes = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert notes == {f"built-{pid}": "x" for pid in pids}


def test_no_shards_are_no_work(two_workers: Engine, tmp_path: Path) -> None:
    assert run(two_workers, tmp_path) == {}


def test_an_exception_costs_its_shard_and_its_trace_travels(two_workers: Engine, tmp_path: Path) -> None:
    outcomes = run(two_workers, tmp_path, "raise", "value-1", "refuse", "value-2")
    assert outcomes["raise"].value is None
    assert outcomes["raise"].error == "ZeroDivisionError: seven by nought"
    assert "in _fail" in outcomes["raise"].trace
    assert outcomes["refuse"].error == "model.onnx: not an ONNX file; give another"
    assert outcomes["refuse"].trace == ""
    assert outcomes["value-1"].value is not None
    assert outcomes["value-2"].value is not None


def test_a_worker_that_cannot_be_built_fails_every_shard_with_its_words(two_workers: Engine, tmp_path: Path) -> None:
    outcomes = run(two_workers, tmp_path, "value-1", "value-2", "value-3", worker=Unbuildable)
    assert {outcome.error for outcome in outcomes.values()} == {f"{tmp_path.name}: no network here"}


def test_a_worker_that_dies_costs_its_shard_only(two_workers: Engine, tmp_path: Path) -> None:
    outcomes = run(two_workers, tmp_path, "kill-1", "exit-1", "kill-2", "value-1", "slow-1", "value-2")
    for shard in ("kill-1", "kill-2", "exit-1"):
        assert outcomes[shard].value is None
        assert "the worker process died" in outcomes[shard].error
    assert {shard for shard, outcome in outcomes.items() if outcome.value} == {"value-1", "slow-1", "value-2"}


def test_a_worker_that_hangs_is_stopped_at_the_deadline(two_workers: Engine, tmp_path: Path) -> None:
    started = time.monotonic()
    outcomes = run(two_workers, tmp_path, "hang", "value-1", "value-2", "value-3")
    assert outcomes["hang"].error == f"stopped after its deadline of {DEADLINE_S:g} s"
    assert all(outcomes[f"value-{number}"].value for number in (1, 2, 3))
    assert DEADLINE_S <= time.monotonic() - started < DEADLINE_S + 20


def test_leaving_early_stops_the_workers(two_workers: Engine, tmp_path: Path) -> None:
    make_worker = functools.partial(Script, tmp_path)
    outcomes = two_workers.map(make_worker, ["value", "hang-1", "hang-2"], Resources())
    assert next(outcomes).shard == "value"
    deadline = time.monotonic() + 5
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    outcomes.close()
    pids = [int(path.name.removeprefix("built-")) for path in tmp_path.iterdir()]
    assert pids
    _assert_ended(pids)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UserError, match="ENGINE=slurm: no such engine; there are local and ray"):
        engine.make(EngineSettings(), kind="slurm", device="cpu")


def test_an_address_without_a_cluster_is_said(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
    code = (
        "import functools, pathlib\n"
        "from csg405 import engine\nfrom csg405.config import EngineSettings\n"
        "from csg405.errors import UserError\nfrom csg405.operator import Resources\n"
        "made = engine.make(EngineSettings(ray_address='127.0.0.1:1'), kind='ray', device='cpu')\n"
        "try:\n    list(made.map(str, ['a'], Resources()))\n"
        "except UserError as error:\n    print('USER ERROR', error)\n"
    )
    environment = {**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": "2", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    wanted = "USER ERROR ENGINE=ray: no Ray cluster at engine.ray_address=127.0.0.1:1"
    assert wanted in done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.parametrize("kind", ["local", "ray"])
def test_a_killed_run_leaves_no_worker(kind: str, tmp_path: Path) -> None:
    if kind == "ray":
        pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
    code = (
        "import functools, pathlib, sys\n"
        "from csg405 import engine\nfrom csg405.config import EngineSettings\n"
        "from csg405.operator import Resources\nfrom tests.workers import Script\n"
        "if __name__ == '__main__':\n"
        f"    made = engine.make(EngineSettings(workers=2), kind={kind!r}, device='cpu')\n"
        f"    notes = pathlib.Path({str(tmp_path)!r})\n"
        "    list(made.map(functools.partial(Script, notes), ['hang-1', 'hang-2'], Resources()))\n"
    )
    script = tmp_path.parent / f"{kind}_run.py"
    script.write_text(code)
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, script], cwd=root, env=environment) as run_:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        pids = [int(path.name.removeprefix("built-")) for path in tmp_path.iterdir()]
        run_.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    _assert_ended(pids)


def _assert_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in pids if _alive(pid)] == []


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
