"""Settings of the transcoding role."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field


class TranscodingSettings(BaseModel):
    """Codecs: how many work at once, and how much they may produce."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Frames that are decoded or drawn at the same time in one process.",
    )
    max_frame: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="Largest decoded frame, bytes; a frame that says it is larger is refused.",
    )
    max_header: int = Field(
        256 * 1024 * 1024,
        ge=1024 * 1024,
        description="Largest part of a data set before or behind its pixel data, bytes: it is"
        " re-encoded in memory.",
    )
    max_viewport: int = Field(
        8192, ge=16, le=65_535, description="Largest width and height of a rendered image, pixels."
    )
