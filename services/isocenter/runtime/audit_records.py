"""Records of the audit trail as JSON: what segments, indices and exports hold of them.

Fields that are empty are left out, so that fields can be added.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from isocenter.core.errors import Corrupted
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source

_LISTS = ("patient_ids", "studies", "series", "instances", "digests")
_TEXTS = (
    "partition", "detail", "destination", "error", "query", "process", "site", "trace",
)  # fmt: skip
_OF_SOURCE = ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject", "purpose")


def time_text(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: such texts sort as their times do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def fields_of(event: AuditEvent) -> dict[str, Any]:
    """A record as JSON has it."""
    source = event.source
    by: dict[str, Any] = {name: value for name in _OF_SOURCE if (value := getattr(source, name))}
    if not source.known:
        by["known"] = False
    fields: dict[str, Any] = {
        "id": event.id,
        "at": time_text(event.at),
        "action": event.action.value,
        "outcome": event.outcome.value,
        "source": by,
    }
    for name in (*_LISTS, *_TEXTS):
        if value := getattr(event, name):
            fields[name] = value
    if event.instance_count:
        fields["instance_count"] = event.instance_count
    return fields


def encoded(event: AuditEvent) -> bytes:
    """The JSON of a record, UTF-8, on one line."""
    return orjson.dumps(fields_of(event))


def event_of(fields: Mapping[str, Any]) -> AuditEvent:
    """A record from its JSON. Raises `Corrupted`."""
    try:
        lists: dict[str, Any] = {name: tuple(fields.get(name, ())) for name in _LISTS}
        texts: dict[str, Any] = {name: fields.get(name, "") for name in _TEXTS}
        return AuditEvent(
            action=AuditAction(fields["action"]),
            outcome=AuditOutcome(fields["outcome"]),
            source=Source(**fields["source"]),
            at=datetime.fromisoformat(fields["at"]),
            id=fields["id"],
            instance_count=fields.get("instance_count", 0),
            **lists,
            **texts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupted(
            f"an audit record cannot be read: {error}", fix="run the version that wrote it"
        ) from error


def decoded(text: bytes | str) -> AuditEvent:
    """A record from the text of its JSON. Raises `Corrupted`."""
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Corrupted("an audit record is no JSON", fix="verify the trail") from error
    return event_of(fields)
