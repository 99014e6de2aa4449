"""Defects of a whole file."""

from __future__ import annotations

import dataclasses

from csg405.synth.defects._defect import FileDefect
from csg405.synth.film import Coding


def _no_audio(coding: Coding, size: float) -> Coding:
    return dataclasses.replace(coding, sound_part=1 - size)


def _low_resolution(coding: Coding, size: float) -> Coding:
    return dataclasses.replace(coding, height_px=int(size))


def _heavy_compression(coding: Coding, size: float) -> Coding:
    return dataclasses.replace(coding, crf=int(size))


DEFECTS = (
    FileDefect(
        name="no_audio", what="no audio stream; the mild one ends early", names=("no_audio", "no_speech"),
        unit="part of the film without sound", sizes=(0.5, 1.0, 1.0), code=_no_audio,
    ),
    FileDefect(
        name="low_resolution", what="a small picture", names=("resolution",),
        unit="height, px", sizes=(360, 180, 144), code=_low_resolution,
    ),
    FileDefect(
        name="heavy_compression", what="blocks and smears", awaits="compression",
        unit="x264's crf", sizes=(34, 43, 51), code=_heavy_compression,
    ),
)  # fmt: skip
