"""Records of the audit trail as the audit indices keep them: JSON, and what a filter asks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source


def time_text(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: such texts sort as their times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def who(event: AuditEvent) -> set[str]:
    """The names by which `AuditFilter.who` finds a record."""
    return {event.source.ae_title.strip(" "), event.source.user, event.source.host} - {""}


def event_of(record: dict[str, Any]) -> AuditEvent:
    """A record from the JSON that `orjson` makes of it."""
    fields = dict(record)
    for name in ("patient_ids", "studies", "series", "instances"):
        fields[name] = tuple(fields[name])
    fields["source"] = Source(**fields["source"])
    fields["action"] = AuditAction(fields["action"])
    fields["outcome"] = AuditOutcome(fields["outcome"])
    fields["at"] = datetime.fromisoformat(fields["at"])
    return AuditEvent(**fields)
