"""`python -m csg405.synth.train`: draw the pictures, train both networks, write them with their record.

What is there already in the work folder is not made again, so a training that was stopped goes on with the next part.
"""

from __future__ import annotations

import datetime
import json
import logging
import platform
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, TypeVar

import cv2
import torch
import typer
from torch import nn
from torch.utils.data import IterableDataset

from csg405.pose import Detector, Estimator
from csg405.progress import Progress
from csg405.synth.judge import HELD_OUT, judge
from csg405.synth.train import examples, export, fit, networks, pictures
from csg405.table import replace_atomically, write_text
from csg405.weights import digest

log = logging.getLogger(__name__)

N = TypeVar("N", bound=nn.Module)

_BATCH = 32
_RATE = 2e-3
_SEED = 405
_SCENES_PER_ARCHIVE = 50

SHIPPED = Path(__file__).parents[1] / "networks"


def main(
    work: Annotated[Path, typer.Option(help="Folder for pictures and unfinished networks.")] = Path("work/train"),
    out: Annotated[Path, typer.Option(help="Folder for the ONNX files and their record.")] = SHIPPED,
    archives: Annotated[int, typer.Option(min=1, help="Archives of pictures, 600 pictures each.")] = 82,
    detector_steps: Annotated[int, typer.Option(min=1)] = 5000,
    pose_steps: Annotated[int, typer.Option(min=1)] = 2600,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    note: Annotated[str, typer.Option(help="For the record: what was done otherwise than this command does.")] = "",
) -> None:
    """Train the synthetic world's person detector and pose network."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    paths = _draw(work / "pictures", archives, workers)
    store = examples.Store(paths)
    log.info("%d pictures of %d talkers", len(store), archives * _SCENES_PER_ARCHIVE)
    detector = _detector(store, work / "detector.pt", detector_steps)
    pose = _pose(store, work / "pose.pt", pose_steps)
    export.write_detector(detector, out / "person.onnx")
    export.write_pose(pose, out / "pose.onnx")
    record = _record(out, pictures=len(store), archives=archives, steps=(detector_steps, pose_steps)) | {"note": note}
    write_text(out / "record.json", json.dumps(record, indent=1) + "\n")
    log.info("%s", json.dumps(record, indent=1))


def _draw(folder: Path, archives: int, workers: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.npz" for number in range(archives)]
    missing = [(path, number) for number, path in enumerate(paths) if not path.exists()]
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        Progress("draw pictures", total=archives, unit="archives") as progress,
    ):
        progress.advance(archives - len(missing))
        for _ in pool.map(_archive, missing):
            progress.advance()
    return paths


def _archive(order: tuple[Path, int]) -> None:
    cv2.setNumThreads(1)
    path, number = order
    pictures.write(path, first=number * _SCENES_PER_ARCHIVE, scenes=_SCENES_PER_ARCHIVE)


def _detector(store: examples.Store, path: Path, steps: int) -> networks.Detector:
    torch.manual_seed(_SEED)
    network = networks.Detector()
    batches = examples.DetectorExamples(store, batch=_BATCH, seed=_SEED)
    return _trained(network, batches, fit.DetectorLoss(network), path, steps)


def _pose(store: examples.Store, path: Path, steps: int) -> networks.PoseNetwork:
    torch.manual_seed(_SEED)
    network = networks.PoseNetwork()
    batches = examples.PoseExamples(store, batch=_BATCH, seed=_SEED)
    return _trained(network, batches, fit.PoseLoss(network), path, steps)


def _trained(network: N, batches: IterableDataset[examples.Batch], loss: fit.Loss, path: Path, steps: int) -> N:
    """The network as it was trained before, or trained now and kept."""
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()
        return network
    trained = fit.fit(network, batches, loss, steps=steps, rate=_RATE)
    replace_atomically(path, lambda temporary: torch.save(trained.state_dict(), temporary))
    return trained


def _record(out: Path, *, pictures: int, archives: int, steps: tuple[int, int]) -> dict[str, object]:
    """What was trained on what, and how well it does on talkers that it never saw."""
    files = {"person": out / "person.onnx", "pose": out / "pose.onnx"}
    found = judge(Detector(files["person"], channels="bgr"), Estimator(files["pose"], channels="rgb"))
    return {
        "what": "the synthetic world's networks; the figures say nothing of real people",
        "made_by": "python -m csg405.synth.train",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "pictures": pictures,
        "talkers": archives * _SCENES_PER_ARCHIVE,
        "batch": _BATCH,
        "learning_rate": _RATE,
        "steps": dict(zip(files, steps, strict=True)),
        "parameters": {"person": fit.parameters(networks.Detector()), "pose": fit.parameters(networks.PoseNetwork())},
        "bytes": {name: path.stat().st_size for name, path in files.items()},
        "sha256": {name: digest(path) for name, path in files.items()},
        "judged_on": f"60 talkers from number {HELD_OUT} on, 5 pictures each, points that can be seen",
        "figures": {name: round(value, 4) for name, value in found.items()},
    }


if __name__ == "__main__":
    typer.run(main)
