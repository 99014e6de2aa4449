"""The synthetic world: the demo, and its films, poses and server one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from csg405.cli import stages
from csg405.cli._shared import EngineName, Overrides, Workers, open_run, out, say

Seed = Annotated[int, typer.Option("--seed", min=0, help="Decides everything; another one gives another world.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Of the server on this machine.")]
DemoName = Annotated[str, typer.Option("--run", help="Name of the run: a folder of manifests/ and of work/.")]

synth = typer.Typer(
    help="The synthetic world: films with their truth, poses by the hour, a server.", no_args_is_help=True
)


def demo(
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run; demo, or videos for films of yours, when missing.")
    ] = None,
    seed: Seed = 405,
    videos: Annotated[Path | None, typer.Option("--videos", help="Films of yours in place of drawn ones.")] = None,
    port: Port = 40405,
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Make a dataset of drawn films, or of a folder of yours, and say what to open."""
    run = run or ("demo" if videos is None else "videos")
    if videos is not None:
        _run_all(run, "folder", [f"crawl.folder={str(videos)!r}", *(overrides or [])], engine=engine, workers=workers)
        return
    from csg405.synth import demo as films

    folders = open_run(run, "demo", overrides, workers, engine).folders
    with films.served(folders, seed=seed, port=port, workers=workers or 0) as addresses:
        own = [f"crawl.urls={str(addresses)!r}", *(overrides or [])]
        seconds = _run_all(run, "demo", own, engine=engine, workers=workers)
    _print_account(films.reckon(folders, seed=seed, seconds=seconds))
    say(f"demo: open {folders.work / 'report' / 'index.html'}")


def _run_all(run: str, config: str, overrides: list[str], *, engine: str, workers: int | None) -> dict[str, float]:
    """All stages in their order; how long each took, s."""
    commands: tuple[Callable[..., Any], ...] = (
        stages.crawl, stages.annotate, stages.filter_, stages.postprocess, stages.report,
    )  # fmt: skip
    seconds = {}
    for command in commands:
        started = time.monotonic()
        command(run, config, overrides, engine, workers)
        seconds[command.__name__.rstrip("_")] = round(time.monotonic() - started, 1)
    return seconds


def _print_account(account: Any) -> None:
    """What was planted, and what was found."""
    grid = Table("planted", "takes", "named", "released", "held against them", box=box.SIMPLE)
    for row in account.rows():
        grid.add_row(row.defect, str(row.takes), row.named, str(row.released), ", ".join(row.reasons))
    out.print(grid)
    lost = sum(fate.lost for fate in account.sound)
    say(f"  {len(account.sound) - lost} of {len(account.sound)} sound takes kept ({account.loss:.1%} lost)")
    found = sum(fate.named for fate in account.counted)
    say(f"  {found} of {len(account.counted)} defective takes refused for a reason that names the defect")
    told = ", ".join(f"{name} {error:.2f} px" for name, error in account.errors_px.items())
    say(f"  keypoints on released clips, median distance from the truth: {told}")


@synth.command("films")
def films(
    folder: Annotated[Path, typer.Argument(help="Where to; it is made.")], seed: Seed = 405, workers: Workers = None
) -> None:
    """Draw the demo's films with their truth: about eleven minutes, with defects of every kind."""
    from csg405.synth.world import make_films

    paths = make_films(folder, seed=seed, workers=workers or 0)
    say(f"synth: {len(paths)} films in {folder}, each with its truth in .json and .npz beside it")


@synth.command("truth")
def truth(
    run: DemoName,
    minutes: Annotated[float, typer.Option(help="Minutes of speech, at least.")] = 60,
    talkers: Annotated[int, typer.Option(help="How many people speak.")] = 40,
    seed: Seed = 405,
    workers: Workers = None,
) -> None:
    """Write a release of true poses, sound and words, without pictures, by the hour."""
    from csg405.synth.truth import write_truth

    opened = open_run(run, "demo", None, workers, "local")
    with opened.locked("synth truth"):
        summary = write_truth(opened.folders, minutes=minutes, talkers=talkers, seed=seed, workers=workers or 0)
    splits = ", ".join(f"{count} in {split}" for split, count in summary.talkers.items())
    say(
        f"synth: {summary.clips} clips, {summary.seconds / 60:.1f} min, {summary.made} recordings made and "
        f"{summary.fresh} up to date; talkers: {splits}\n  pd.read_parquet('manifests/{run}/release')"
    )


@synth.command("serve")
def serve(folder: Annotated[Path, typer.Argument(help="What is served.")], port: Port = 40405) -> None:
    """Serve a folder on this machine alone, until interrupted."""
    from csg405.synth.server import serve_forever

    serve_forever(folder, port=port)
