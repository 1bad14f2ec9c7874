"""Settings of the ingest role."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from isocenter.core.events import ConflictPolicy
from isocenter.core.identity import DEFAULT_PARTITION, KEY_COMPONENT, is_ae_title, is_uid
from isocenter.core.limits import MAX_DEPTH

MIB = 1024 * 1024


class SourcePolicy(BaseModel):
    """What to do with another object under a name that is taken, by who sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: str = Field(description="Calling AE title the policy is for.")
    policy: ConflictPolicy = Field(description="`keep-first`, `keep-latest` or `reject`.")

    @field_validator("ae_title")
    @classmethod
    def _ae_title(cls, value: str) -> str:
        if not is_ae_title(value):
            raise ValueError(f"{value!r} is no AE title; use 1 to 16 characters without backslash")
        return value.strip(" ")


class IngestSettings(BaseModel):
    """Admission of objects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str = Field(DEFAULT_PARTITION, description="Partition that objects come into.")
    sop_classes: Literal["standard", "any"] = Field(
        "any",
        description="`standard`: only storage SOP classes of PS3.4 annex B and those in "
        "`more_sop_classes`; `any`: unknown and private ones too.",
    )
    more_sop_classes: tuple[str, ...] = Field(
        (), description="SOP class UIDs taken in beside the standard ones."
    )
    conflict: ConflictPolicy = Field(
        ConflictPolicy.KEEP_FIRST,
        description="What to do with another object under a name that is taken: `keep-first`, "
        "`keep-latest` (both keep all versions) or `reject`.",
    )
    conflict_by_source: tuple[SourcePolicy, ...] = Field(
        (),
        description="Policies of single senders, by calling AE title. What the AE directory says "
        "of a sender comes before.",
    )
    header_bytes: int = Field(
        64 * MIB, ge=MIB, description="Size up to which elements before Pixel Data are accepted."
    )
    inflated_bytes: int = Field(
        4096 * MIB, ge=MIB, description="Size up to which a deflated data set may inflate."
    )
    depth: int = Field(
        MAX_DEPTH, ge=1, le=MAX_DEPTH, description="Sequences may be nested this deep."
    )
    announce_seconds: float = Field(
        15.0,
        gt=0,
        le=300,
        description="How long to try again when the log does not answer, before the sender is "
        "told to come back later.",
    )

    outbox: bool = Field(
        False,
        description="Keep accepting while the log is down: events are kept in the object store and "
        "announced later.",
    )

    keep_deleted_hours: float = Field(
        168,
        ge=0,
        le=87_600,
        description="How long what was deleted is kept, hidden, and can be restored. Objects are "
        "destroyed by indexing some minutes later at the earliest.",
    )

    @field_validator("partition")
    @classmethod
    def _partition(cls, value: str) -> str:
        if not KEY_COMPONENT.fullmatch(value):
            raise ValueError(
                f"{value!r} cannot name a partition; use letters, digits, '.', '_' and '-'"
            )
        return value

    @field_validator("more_sop_classes")
    @classmethod
    def _sop_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for uid in value:
            if not is_uid(uid):
                raise ValueError(f"{uid!r} is no UID; use digits and dots, at most 64 characters")
        return value

    def policy_of(self, ae_title: str) -> ConflictPolicy:
        """The conflict policy for a sender."""
        for source in self.conflict_by_source:
            if source.ae_title == ae_title.strip(" "):
                return source.policy
        return self.conflict
