"""Outlines and colours that drawing needs: the torso, softened polygons, shades."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from csg405.synth.body import Array, Body
from csg405.synth.talker import Colour, Look, Setting


def chest(body: Body) -> Array:
    """The torso's outline before and behind, the neck's two sides and the collar's end, from its base, m: [31, 3]."""
    shoulder, hip = body.shoulders, body.hips + 0.05
    half = [(0.055, 0.048), (0.115, 0.022), (shoulder, 0.005), (shoulder + 0.012, -0.10), (hip, -0.32),
            (hip + 0.025, -body.torso - 0.03), (hip + 0.03, -body.torso - 0.10)]  # fmt: skip
    outline = [*half, *((-x, y) for x, y in reversed(half))]
    # Chest and back swell toward the middle of their height; shoulders and the hem are thin.
    half_depth = (0.02, 0.02, 0.03, 0.07, 0.08, 0.08, 0.08)
    deep = (*half_depth, *reversed(half_depth))
    before, behind = ([(x, y, sign * z) for (x, y), z in zip(outline, deep, strict=True)] for sign in (1, -1))
    return np.array([*before, *behind, (0.052, 0.030, 0.02), (-0.052, 0.030, 0.02), (0.0, -0.13, 0.09)])


def lit(look: Look, setting: Setting) -> Look:
    """A talker's colours in the light of a place."""
    light = setting.light
    return dataclasses.replace(
        look,
        skin=shade(look.skin, light),
        hair=shade(look.hair, light),
        clothes=shade(look.clothes, light),
        shirt=shade(look.shirt, light),
        lips=shade(look.lips, light),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (below 1) or brighter."""
    red, green, blue = (int(min(255, value * factor)) for value in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """A colour on the way from one to another."""
    red, green, blue = (int(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def rounded(corners: Array) -> Array:
    """A polygon with its corners cut twice (Chaikin)."""
    for _ in range(2):
        following = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following], 1).reshape(
            -1, corners.shape[1]
        )
    return corners


def hull(corners: Array) -> Array:
    """The corners [k, 2] of the convex polygon around points."""
    flat = np.ascontiguousarray(corners[:, :2], np.float32)
    return np.asarray(cv2.convexHull(flat)[:, 0], np.float64)
