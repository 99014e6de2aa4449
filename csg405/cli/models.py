"""Models: trained on a release, sampled into a submission, and tried on a picture and a recording."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from csg405.cli._shared import (
    ConfigName,
    EngineName,
    Overrides,
    RunName,
    Workers,
    benchmark_module,
    open_run,
    say,
)
from csg405.cli.benchmark import (
    KitFolder,
    SplitName,
    bench_of,
    check_split,
    kit_folder,
    need_libraries,
    scoring,
    settings_of,
)
from csg405.errors import UserError
from csg405.media.clock import FPS, SAMPLES_PER_FRAME
from csg405.progress import Progress
from csg405.run import Run
from csg405.table import make_folder

_SAMPLE_HELP = "Of sampling; the model's own number when missing."

ModelSource = Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a model, or its name on the Hub.")]
WeightsFolder = Annotated[
    Path | None, typer.Option("--from", help="Folder of the weights of an encoder that the model listens through.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help=_SAMPLE_HELP)]
Guidance = Annotated[
    float | None, typer.Option("--guidance", min=0.0, help="Of the sound; the model's own if missing.")
]


def train(
    run: RunName,
    config: ConfigName = "folder",
    model: Annotated[str | None, typer.Option("--model", help="flow-dit or mdm-ddpm.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="A size of the model: tiny, S, B, released, ...")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; work/<run>/benchmark/models/<model>-<size> when missing.")
    ] = None,
    kit: KitFolder = None,
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Train a model on the training split of a release; the same call goes on where one was stopped."""
    opened = open_run(run, config, overrides, workers, engine)
    if kit is not None and not (kit / "kit.json").is_file():
        raise UserError(f"--kit {kit}: there is no kit; leave it out to train without being validated")
    choice = settings_of(opened).model
    given = {name: value for name, value in (("name", model), ("size", size)) if value is not None}
    choice = choice.model_copy(update=given)
    folder = out or models_folder(opened) / f"{choice.name}-{choice.size or 'own'}"
    place = train_model(opened, choice, folder, kit=kit or kit_folder(opened), engine=engine)
    say(f"model: {place}")


def train_model(opened: Run, choice: Any, folder: Path, *, kit: Path, engine: str) -> Path:
    """Train a model into a folder, its features first; validated by a kit where there is one."""
    need_libraries()
    found: Path = benchmark_module("baselines").learn(choice, folder, bench_of(opened, kit, engine))
    return found


def train_renderer(
    run: RunName,
    config: ConfigName = "folder",
    size: Annotated[str, typer.Option("--size", help="tiny, for tests on pixels, or base, for one GPU.")] = "base",
    vae: Annotated[
        str | None, typer.Option("--vae", help="Folder or name on the Hub of the autoencoder; the size's if missing.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; work/<run>/benchmark/models/pose-diffusion-<size> if missing.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Train the renderer pose-diffusion on a release's films; the same call goes on where one was stopped."""
    opened = open_run(run, config, overrides, None, "local")
    need_libraries()
    folder = out or models_folder(opened) / f"pose-diffusion-{size}"
    trainer, networks = (benchmark_module(f"renderers.pose_diffusion.{name}") for name in ("train", "folder"))
    settings = settings_of(opened)
    place = trainer.train(
        networks.create(size, seed=settings.film_train.seed),
        benchmark_module("release").ReleaseReader(opened.folders), folder, settings.film_train,
        device=opened.common.device, vae=vae,
    )  # fmt: skip
    say(f"renderer: {place}; use it with `--renderer pose-diffusion --renderer-set model={place}`")


def sample(
    source: ModelSource,
    out: Annotated[Path, typer.Argument(help="Folder of the submission that is written.")],
    run: RunName,
    config: ConfigName = "folder",
    split: SplitName = "test",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Samples of each clip.")] = 5,
    steps: Steps = None,
    guidance: Guidance = None,
    weights: WeightsFolder = None,
    name: Annotated[str | None, typer.Option("--name", help="As it is to stand in tables.")] = None,
    overrides: Overrides = None,
    engine: EngineName = "local",
    workers: Workers = None,
) -> None:
    """Make a model's motions for the clips of a split: a submission that is ready to be scored."""
    check_split(split)
    opened = open_run(run, config, overrides, workers, engine)
    need_libraries()
    entry = benchmark_module("models.entry")
    with scoring(opened, engine) as on:
        made = entry.write(
            source, out, opened.folders, on, split=split, seeds=seeds, steps=steps, guidance=guidance,
            weights=weights or settings_of(opened).audio.folder, name=name, device=opened.common.device,
        )  # fmt: skip
    say(f"submission: {out}, {made} motions made; score it with `csg405 submission score {out} --run {run}`")


def generate(
    image: Annotated[Path, typer.Option("--image", help="A picture of a person, from the hips upwards.")],
    audio: Annotated[Path, typer.Option("--audio", help="A recording of speech.")],
    out: Annotated[Path, typer.Option("--out", help="The film to write, .mp4.")],
    model: Annotated[str, typer.Option("--model", help="Folder of a model, or its name on the Hub.")],
    renderer: Annotated[
        str, typer.Option("--renderer", help="copy-reference, warp, pose-diffusion, wan-animate or command.")
    ] = "warp",
    renderer_settings: Annotated[
        list[str] | None, typer.Option("--renderer-set", metavar="a=b", help="Setting of the renderer; repeatable.")
    ] = None,
    pose: Annotated[
        str, typer.Option("--pose", help="Networks that see the picture's pose: balanced, ..., or synthetic.")
    ] = "balanced",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another one gives another motion.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    weights: WeightsFolder = None,
    most_px: Annotated[int, typer.Option("--most-px", min=64, max=4096, help="Longest side of the film, px.")] = 768,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
) -> None:
    """Let the person in a picture say what was recorded, with face and hands."""
    need_libraries()
    if out.suffix.lower() != ".mp4":
        raise UserError(f"--out {out}: the film is an mp4; give a name that ends in .mp4")
    if out.is_dir() or any(parent.is_file() for parent in out.parents):
        raise UserError(f"--out {out}: a folder, or within a file; give a file's name in a folder")
    make_folder(out.parent, what=f"--out {out}")
    if out.resolve() in (image.resolve(), audio.resolve()):
        raise UserError(f"--out {out}: it would take the place of what is given; give another name")
    started = time.monotonic()
    module = benchmark_module("generate")
    video = benchmark_module("video_networks")
    seen = benchmark_module("pretrained").validated(lambda: video.VideoSettings(pose=pose), name="generate")
    wave, picture = module.read_speech(audio), module.read_picture(image)
    person = module.person_in(picture, video.Networks(seen, device=device).pose).within(most_px)
    drawn = benchmark_module("renderers.base").renderer(renderer, **_pairs(renderer_settings or []))
    performer = benchmark_module("models.speech").Performer.open(model, weights=weights, device=device)
    frames = len(wave) // SAMPLES_PER_FRAME
    with Progress("generate", total=frames, unit="frames") as progress:
        module.film(
            person, wave, out, performer=performer, renderer=drawn, seed=seed,
            sampling=performer.model.sampling(steps=steps, guidance=guidance), advance=progress.advance,
        )  # fmt: skip
    say(f"film: {out}, {frames / FPS:.1f} s, made in {time.monotonic() - started:.1f} s")


def models_folder(opened: Run) -> Path:
    """Where a run's models lie."""
    return Path(opened.folders.work) / "benchmark" / "models"


def _pairs(given: list[str]) -> dict[str, str]:
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--renderer-set {text!r}: wanted name=value")
        found[key.replace("-", "_")] = value
    return found
