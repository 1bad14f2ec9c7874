"""Settings of the query role."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class QuerySettings(BaseModel):
    """Limits of searches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_keys: int = Field(200, ge=1, description="Matching keys of one search at most.")
    max_values: int = Field(
        10_000, ge=1, le=100_000, description="Values of one matching key at most (UID lists)."
    )
    max_results: int = Field(
        0, ge=0, description="Answers of one search at most, whatever it asks for; 0: no limit."
    )
