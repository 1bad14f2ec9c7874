"""Settings of the audit role."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """How the audit trail is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(500, ge=1, le=10_000, description="Records taken from the log at once.")
    linger_seconds: float = Field(
        1,
        ge=0,
        le=60,
        description="How long a small batch waits for more; adds to the time until a record is"
        " listed, not until it is durable.",
    )
