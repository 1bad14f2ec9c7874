"""Settings of the storage role."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024


class StorageSettings(BaseModel):
    """Custody of objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reserve_bytes: int = Field(
        1024 * MIB,
        ge=0,
        description="Room that objects leave free: they are refused before the disk is full, "
        "metadata packs may still be written.",
    )
    cache_bytes: int = Field(
        64 * MIB, ge=0, description="Metadata packs held decoded in memory, in bytes."
    )
    inflated_bytes: int = Field(
        1024 * MIB,
        ge=MIB,
        description="Size up to which a deflated object is inflated to read frames and bulk data"
        " from it.",
    )
