"""Features of a release's sound, computed once for all models."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from csg405.cli._shared import ConfigName, EngineName, Overrides, RunName, Workers, benchmark_module, open_run, say
from csg405.cli.benchmark import scoring, settings_of

_MB = 1e6


def features(
    run: RunName,
    config: ConfigName = "folder",
    name: Annotated[
        str | None, typer.Option("--features", help="prosody, wav2vec2-base-960h or wavlm-base-plus.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder of the encoder's weights; else they come from the Hub.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="train, validation or test; all when missing.")] = None,
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Compute the features of all clips' sound that models are given; what is there stays."""
    opened = open_run(run, config, overrides, workers, engine)
    settings = settings_of(opened).audio
    if name is not None or folder is not None:
        settings = settings.model_copy(update={"features": name or settings.features, "folder": folder})
    make = benchmark_module("audio.features").maker(settings, device=opened.common.device)
    reader = benchmark_module("release").ReleaseReader(opened.folders)
    started = time.monotonic()
    with opened.locked("benchmark features"), scoring(opened, engine) as on:
        found = benchmark_module("audio.cache").compute(reader, make, on, split=split)
    say(
        f"features: {found.features.folder}\n  {found.clips} clips, {found.computed} of them computed in "
        f"{time.monotonic() - started:.1f} s; {found.dim} numbers a frame, {found.size_bytes / _MB:.1f} MB"
    )
