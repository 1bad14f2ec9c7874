"""Settings of the indexing role."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class IndexingSettings(BaseModel):
    """How events become the search index and the metadata packs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(
        512, ge=1, le=10_000, description="Events that are indexed in one step at most."
    )
    linger_seconds: float = Field(
        0.1,
        ge=0,
        le=5,
        description="How long a batch waits for more while events keep coming; adds to the time "
        "until an instance is found.",
    )
    quiet_seconds: float = Field(
        10, gt=0, description="A study to which nothing was added for so long is settled."
    )
    pack_segments: int = Field(
        32, ge=2, description="Metadata packs of a series from which on they are merged early."
    )
    orphan_seconds: float = Field(
        60,
        ge=0,
        description="Age from which an object that no event has announced counts as forgotten, "
        "and is announced by the sweep.",
    )
    sweep_hours: float = Field(
        24,
        ge=0,
        le=168,
        description="How often all objects are compared with the index; 0: only those of studies "
        "that go quiet.",
    )
    purge_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="How often it is looked for deleted objects whose time is over "
        "([ingest] keep_deleted_hours), to destroy them; 0: never.",
    )
    overlap_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="After attributes were added, for so long processes with the former settings "
        "may still index; what comes meanwhile is looked at once more.",
    )
    retry_seconds: float = Field(
        10, gt=0, description="Longest pause between two tries while something is down."
    )
