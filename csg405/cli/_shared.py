"""What the commands share: their options, where they print, and how a run is opened."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console

from csg405.config import ENGINES
from csg405.errors import UserError
from csg405.run import Run

RunName = Annotated[str, typer.Option("--run", help="Name of the run: a folder of manifests/ and of work/.")]
ConfigName = Annotated[str, typer.Option("--config", help="A built-in configuration, or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change a key of the configuration; repeatable.")
]
EngineName = Annotated[str, typer.Option("--engine", help="local or ray.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Worker processes; 0 is one per core.")]

out = Console(width=None if sys.stdout.isatty() else 120)
"""What was asked for goes to the standard output; progress, log lines and errors to the standard error."""

FAILED = 1
USER_ERROR = 2


def show(console: Console, text: str, *, style: str | None = None) -> None:
    """Print a text as it is: no markup, no emoji for words, no colours of rich's own, no wrapping."""
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print an answer."""
    show(out, text)


def open_run(run: str, config: str, overrides: list[str] | None, workers: int | None, engine: str) -> Run:
    """The run with its configuration; `CSG405_SET` holds overrides as a shell would have them, for the Makefile.

    Raises:
        UserError: something is wrong with it.
    """
    if engine not in ENGINES:
        raise UserError(f"ENGINE={engine}: no such engine; there are {' and '.join(ENGINES)}")
    try:
        given = shlex.split(os.environ.get("CSG405_SET", ""))
    except ValueError as error:
        raise UserError(f"SET {os.environ['CSG405_SET']!r}: {error}; put quotes round a value with spaces") from error
    extra = [] if workers is None else [f"engine.workers={workers}"]
    return Run.open(run, config, [*given, *(overrides or []), *extra])


@contextlib.contextmanager
def working(run: Run, engine: str) -> Iterator[Any]:
    """An engine with the run's settings, until the end of the block.

    Raises:
        UserError: Ray is asked for, and not installed.
    """
    from csg405 import engine as engines

    common = run.common
    with contextlib.closing(engines.make(common.engine, kind=engine, device=common.device)) as on:
        yield on


def benchmark_module(name: str) -> Any:
    """A module of the benchmark, which the core does not import by its name."""
    return importlib.import_module(f"csg405.benchmark.{name}")
