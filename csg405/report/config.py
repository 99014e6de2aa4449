"""What the report can be told."""

from __future__ import annotations

from pydantic import Field

from csg405.config import Settings


class Config(Settings):
    """Options of the report. None of them changes a table."""

    clips: int = Field(60, ge=0, description="clips shown, kept and rejected in equal parts")
    score_threshold: float = Field(0.3, ge=0, le=1, description="points with a lower score are not drawn, 0-1")
    bins: int = Field(40, ge=2, le=200, description="bars of a histogram")
