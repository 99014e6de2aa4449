"""The benchmark: a kit, the metrics' own cards, and baselines beside the controls in one table."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Column, Table

from csg405.cli._shared import (
    FAILED,
    ConfigName,
    EngineName,
    Overrides,
    RunName,
    Workers,
    benchmark_module,
    open_run,
    out,
    say,
    working,
)
from csg405.errors import UserError
from csg405.run import Run

benchmark = typer.Typer(help="The benchmark on a release: metrics, their cards, and controls.", no_args_is_help=True)
kit = typer.Typer(help="What is learnt before a score is taken: encoders, normaliser, controls.", no_args_is_help=True)
benchmark.add_typer(kit, name="kit")

_LIBRARIES = ("accelerate", "diffusers", "librosa", "safetensors", "threadpoolctl", "torch", "transformers")

SCORED = ("validation", "test")
"""Splits that scores are taken on."""

KitFolder = Annotated[
    Path | None, typer.Option("--kit", help="Folder of the kit; work/<run>/benchmark/kit when missing.")
]
SplitName = Annotated[str, typer.Option("--split", help="validation or test.")]


@kit.command("train")
def train(
    run: RunName,
    config: ConfigName = "folder",
    folder: KitFolder = None,
    overrides: Overrides = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew where there is a kit already.")] = False,
) -> None:
    """Train a kit on the training split of a release."""
    opened = open_run(run, config, overrides, None, "local")
    place = folder or kit_folder(opened)
    if (place / "kit.json").is_file() and not again:
        say(f"kit: {place} is there already, digest {_kit(place).digest[:16]}; --again trains another")
        return
    with opened.locked("benchmark kit train"):
        train_kit(opened, place)
    say(f"kit: {place}, digest {_kit(place).digest[:16]}")


@benchmark.command("run")
def run_(
    run: RunName,
    config: ConfigName = "folder",
    folder: KitFolder = None,
    split: SplitName = "test",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
    again: Annotated[
        bool, typer.Option("--again", help="Delete and begin anew trainings of another release or other settings.")
    ] = False,
) -> None:
    """Train a kit and the baselines, score them beside the controls, print one table and write a page."""
    opened = open_run(run, config, overrides, workers, engine)
    place = folder or kit_folder(opened)
    check_split(split)
    need_libraries()
    benchmark_module("baselines").titled(settings_of(opened).baselines)
    with opened.locked("benchmark run"):
        if not (place / "kit.json").is_file():
            train_kit(opened, place)
        where = place_of(opened, place, split)
        systems = benchmark_module("scoring.table").of_systems
        with scoring(opened, engine) as on:  # first: what is wrong with the release is said before hours of training
            systems(where, on)
        done, failed = benchmark_module("baselines").run(bench_of(opened, place, engine, split=split), again=again)
        with scoring(opened, engine) as on:
            table = systems(where, on, {each.title: each.score for each in done})
        page = benchmark_module("pages.results").build(where, table, done, failed=failed)
    print_table(table)
    say(f"benchmark: {table.path}\nbenchmark: open {page}")
    for title, why in failed.items():
        say(f"benchmark: {title} failed: {why}")
    if failed:
        raise typer.Exit(FAILED)


@benchmark.command("cards")
def cards(
    run: RunName,
    config: ConfigName = "folder",
    folder: KitFolder = None,
    split: SplitName = "test",
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Put every metric's own claims to the test; write them below the run's folder."""
    opened = open_run(run, config, overrides, workers, engine)
    with opened.locked("benchmark cards"):
        place = place_of(opened, folder or kit_folder(opened), split)
        with scoring(opened, engine) as on:
            found = benchmark_module("cards").examine(place, on)
        path = benchmark_module("cards").write(place, found)
    grid = Table("metric", "passes", "answers", "ignores", "beyond the truth", box=box.SIMPLE)
    for card in found:
        grid.add_row(card.name, "yes" if card.passed else "no", *card.words())
    out.print(grid)
    say(f"cards: {path}")


def need_libraries() -> None:
    """Make sure that what the benchmark's networks are made of is installed.

    Raises:
        UserError: it is not.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"the benchmark needs {', '.join(missing)}; run `make setup EXTRAS=bench`")


def train_kit(opened: Run, place: Path) -> None:
    """Train a kit into a folder, with the run's configuration."""
    need_libraries()
    reader = benchmark_module("release").ReleaseReader(opened.folders)
    benchmark_module("kit.train").train(reader, place, settings_of(opened).kit)


def place_of(opened: Run, folder: Path, split: str) -> Any:
    """Where scores lie: `csg405.benchmark.scoring.score.Place`.

    Raises:
        UserError: nothing is scored on that split, the run has no release, or there is no kit.
    """
    check_split(split)
    _ = benchmark_module("release").ReleaseReader(opened.folders).entries
    return benchmark_module("scoring.place").Place(folders=opened.folders, split=split, kit=_kit(folder))


def bench_of(opened: Run, kit: Path, engine: str, *, split: str = "test") -> Any:
    """What models are trained in: `csg405.benchmark.baselines.Bench`."""
    return benchmark_module("baselines").Bench(
        folders=opened.folders, config=settings_of(opened), kit=kit, split=split,
        engine=functools.partial(scoring, opened, engine),
        device=opened.common.device,
    )  # fmt: skip


def check_split(split: str) -> None:
    """Make sure that scores are taken on a split.

    Raises:
        UserError: they are not.
    """
    if split not in SCORED:
        raise UserError(f"--split {split}: scores are taken on {' or '.join(SCORED)}; models learn from train")


def kit_folder(opened: Run) -> Path:
    """Where a run's kit lies, if nothing else is said."""
    return Path(opened.folders.work) / "benchmark" / "kit"


def settings_of(opened: Run) -> Any:
    """The benchmark's section of the run's configuration."""
    return opened.section("benchmark")


@contextlib.contextmanager
def scoring(opened: Run, engine: str) -> Iterator[Any]:
    """An engine to score on, until the end of the block.

    Raises:
        UserError: what scores are computed with is not installed.
    """
    need_libraries()
    with working(opened, engine) as on:
        yield on


def print_table(table: Any) -> None:
    """Systems and their values, those that rank first; models are bold, with their size and what they cost."""
    columns = [Column(name, overflow="fold", justify="right") for name in table.columns]
    of_models = [Column(name, justify="right") for name in ("size, M", "s per s")] if table.models else []
    grid = Table(Column("system", no_wrap=True), *columns, *of_models, box=box.SIMPLE)
    for row in table.rows:
        told = [] if row.kind == "control" else [_amount(row.parameters_m), _amount(row.cost)]
        name = f"* {row.name}" if row.kind == "model" else row.name
        grid.add_row(name, *row.cells(table.columns), *told, style="bold" if row.kind == "model" else None)
    out.print(grid)
    if table.models:
        say("  * a model, with millions of parameters and seconds of computing for a second of motion")


def _amount(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _kit(folder: Path) -> Any:
    return benchmark_module("kit").Kit.open(folder)
