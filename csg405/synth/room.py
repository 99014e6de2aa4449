"""Rooms in which talkers are filmed: what stands behind them."""

from __future__ import annotations

import cv2
import numpy as np

from csg405.media.decode import Image
from csg405.synth.talker import Setting


def background(setting: Setting, width: int, height: int) -> Image:
    """A room: [height, width, 3] RGB."""
    rng = np.random.default_rng(setting.seed)
    first, second = (np.array(colour, np.float64) for colour in setting.colours)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    picture = first + (second - first) * (0.25 * across + 0.75 * down)[..., None]
    canvas = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))
    _furnish(canvas, setting, rng)
    soft = cv2.GaussianBlur(canvas, (0, 0), height / 240)
    lamp = 1 + setting.lamp * (0.5 - across)[..., None]
    grain = rng.normal(0, 2.0, (height, width, 1))
    return np.clip(soft * lamp * setting.light + grain, 0, 255).astype(np.uint8)


def _furnish(canvas: Image, setting: Setting, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    dark = tuple(int(value * 0.8) for value in setting.colours[1])
    if setting.room in {"panels", "curtain"}:
        step = width // (8 if setting.room == "panels" else 24)
        for left in range(0, width, step):
            cv2.rectangle(canvas, (left, 0), (left + step // (12 if setting.room == "panels" else 2), height), dark, -1)
    elif setting.room == "shelf":
        for top in range(height // 10, height, height // 4):
            cv2.rectangle(canvas, (0, top + height // 5), (width, top + height // 5 + height // 60), dark, -1)
            left = 0
            while left < width:
                thick, tall = int(rng.integers(width // 80, width // 30)), int(rng.integers(height // 9, height // 5))
                colour = tuple(int(value) for value in rng.integers(40, 200, 3))
                cv2.rectangle(canvas, (left, top + height // 5 - tall), (left + thick, top + height // 5), colour, -1)
                left += thick + int(rng.integers(1, width // 60))
    elif setting.room == "window":
        left, top = int(rng.integers(0, width // 2)), height // 12
        cv2.rectangle(canvas, (left, top), (left + width // 3, top + height // 2), (214, 230, 245), -1)
        for x in (left, left + width // 6, left + width // 3):
            cv2.line(canvas, (x, top), (x, top + height // 2), dark, width // 100)
    elif setting.room == "studio":
        for _ in range(6):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            colour = tuple(int(value) for value in rng.integers(60, 255, 3))
            cv2.circle(canvas, centre, int(rng.integers(height // 20, height // 8)), colour, -1, cv2.LINE_AA)
