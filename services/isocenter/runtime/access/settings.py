"""Settings of access control."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class AccessSettings(BaseModel):
    """Who may see and do what; see [access](access.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Path | None = Field(
        None,
        description="File of the [policy](access.md#the-policy), read again when it changes; none:"
        " everybody may do what their role allows, with all studies.",
    )
    follow_seconds: float = Field(
        2, gt=0, le=60, description="Seconds after which a change of the policy counts everywhere."
    )
