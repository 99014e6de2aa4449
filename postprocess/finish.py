"""What is done once, when all shards are released: media that no row names are removed, and the card is written."""

from __future__ import annotations

import collections
import json
import logging
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from csg405 import __version__, table
from csg405.media import FPS
from csg405.report import summary
from csg405.run import Run
from csg405.schema import Crop, Cut, Release, Verdict

log = logging.getLogger(__name__)

_VERDICT_COLUMNS = ["video_id", "duration_s", "kept", "review", "first_reason", "only_reason"]


def finish(run: Run) -> None:
    """Tidy the release and describe it in `work/<run>/release/README.md`."""
    released = table.read(run.folders.table(Release), Release)
    folder = run.folders.work / "release"
    named = {folder / path for row in released for path in (row.path, row.audio_path) if path is not None}
    _remove_strangers(folder / "clips", named)
    _remove_old_cuts(run)
    table.write_text(folder / "README.md", card(run, released))


def _remove_strangers(folder: Path, known: set[Path]) -> None:
    """Delete the links of clips that are no longer released; the cut itself stays where it was made."""
    for path in folder.glob("*/*"):
        if path not in known:
            log.info("removing %s from the release: the clip is no longer kept", path.name)
            path.unlink()


def _remove_old_cuts(run: Run) -> None:
    """Delete cuts that today's crop or encoding has replaced. A cut of a clip that is dropped for now is kept."""
    media = run.folders.work / "media"
    today = {Path(path).name for row in table.read(run.folders.table(Cut), Cut) for path in (row.path, row.audio_path)}
    replaced = {name.rpartition("-")[0] for name in today}
    clips = {row.clip_id for row in table.read(run.folders.table(Crop), Crop)}
    for path in media.glob("*/*"):
        clip_id = path.stem.rpartition("-")[0]
        if path.name not in today and (clip_id in replaced or clip_id not in clips):
            log.info("removing %s: it was replaced", path.name)
            path.unlink()


def card(run: Run, released: list[Release]) -> str:
    """The dataset card: what is in the release, how it was made, how to read it, what may be done with it."""
    verdicts = summary.read(run.folders, Verdict, _VERDICT_COLUMNS)
    frames = collections.Counter[str]()
    clips = collections.Counter(row.split for row in released)
    videos: dict[str, set[str]] = collections.defaultdict(set)
    for row in released:
        frames[row.split] += row.n_frames
        videos[row.split].add(row.video_id)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - the card is Markdown; no page is made from it here
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("card.md.j2").render(
        name=run.folders.name,
        version=__version__,
        hours=sum(frames.values()) / FPS / 3600,
        clips=len(released),
        splits=[
            (split, clips[split], len(videos[split]), frames[split] / FPS / 3600)
            for split in summary.SPLITS
            if clips[split]
        ],
        size_px=released[0].size_px if released else None,
        licences=collections.Counter(row.licence or "unknown" for row in released).most_common(),
        criteria=summary.criteria(run.folders, verdicts, bins=2),
        review=sum(bool(row.review) for row in released),
        settings=_settings(run),
    )


def _used(run: Run, stage: str) -> BaseModel:
    """What a stage was run with, which need not be what this command was given; its stamp says it."""
    section: BaseModel = run.section(stage)
    stamp = run.stamp(stage)
    if not stamp.exists():
        return section
    facts = json.loads(stamp.read_text(encoding="utf-8"))
    return type(section).model_validate_json(json.dumps(facts["configuration"]))


def _settings(run: Run) -> str:
    """The configuration as JSON; of a path only the file's name, for the rest says where somebody keeps files."""
    values = {stage: _used(run, stage).model_dump() for stage in ("annotate", "postprocess")}
    return json.dumps(values, indent=1, default=lambda value: value.name if isinstance(value, Path) else str(value))
