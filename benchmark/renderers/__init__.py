"""Renderers: from a picture of a person and a motion to a film of that person; see `base`."""

from csg405.benchmark.renderers.base import NAMES, Job, Renderer, renderer

__all__ = ["NAMES", "Job", "Renderer", "renderer"]
