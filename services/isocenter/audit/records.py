"""What becomes a record: those of the audit topic, and the events of instances that are one.

The audit record of a store is the event that announces the object: one append makes both durable,
and neither can be there without the other. The same holds for each object of a deletion.
"""

from __future__ import annotations

from dataclasses import replace

from isocenter.core.events import (
    TOPIC_AUDIT,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    Event,
    InstanceDeleted,
    InstanceStored,
)
from isocenter.core.ports import Delivery

_TRACEPARENT = "traceparent"


def chain_of(delivery: Delivery) -> str:
    """The chain that a delivery's records stand in: one for each partition of a topic."""
    topic = delivery.topic.removeprefix("isocenter.")
    return f"{topic}-{delivery.partition}"


def record_of(delivery: Delivery, event: Event, site: str) -> AuditEvent | None:
    """The record that an event is, if it is one."""
    match event:
        case AuditEvent():
            record = event
        case InstanceStored():
            record = store_record(event, delivery.headers["ce_id"])
        case InstanceDeleted():
            record = _deletion(event, delivery)
        case _:
            return None
    site, trace = record.site or site, record.trace or _trace(delivery)
    return replace(record, site=site, trace=trace) if site or trace else record


def is_audit(delivery: Delivery) -> bool:
    """Whether a delivery must be a record: on the topic of instances others stand too."""
    return delivery.topic == TOPIC_AUDIT


def store_record(event: InstanceStored, event_id: str) -> AuditEvent:
    """The audit record of a store; its id is that of the event that announced it."""
    verb = event.source.store_verb
    imported = event.source.protocol == "CLI"
    return AuditEvent(
        action=AuditAction.IMPORT if imported else AuditAction.STORE,
        outcome=AuditOutcome.SUCCESS,
        source=event.source,
        at=event.received_at,
        id=event_id,
        partition=event.name.partition,
        patient_ids=(event.patient_id,) if event.patient_id else (),
        studies=(event.name.study,),
        series=(event.name.series,),
        instances=(event.name.instance,),
        instance_count=1,
        detail=f"{verb} coerced" if event.overlay else verb,
        digests=(event.digest,),
    )


def _deletion(event: InstanceDeleted, delivery: Delivery) -> AuditEvent:
    name = event.name
    return AuditEvent(
        action=AuditAction.DELETE,
        outcome=AuditOutcome.SUCCESS,
        source=event.source,
        at=delivery.appended_at,
        id=delivery.headers["ce_id"],
        partition=name.partition,
        studies=(name.study,),
        series=(name.series,),
        instances=(name.instance,),
        instance_count=1,
        detail=f"object of deletion {event.deletion}" if event.deletion else "object",
        digests=(event.digest,),
    )


def _trace(delivery: Delivery) -> str:
    """The trace id of W3C trace context: the second field of four."""
    fields = delivery.headers.get(_TRACEPARENT, "").split("-")
    return fields[1] if len(fields) >= 4 else ""
