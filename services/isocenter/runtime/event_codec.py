"""Events as records of the log and back: CloudEvents 1.0, binary mode, protobuf data.

The attributes are headers (`ce_id`, `ce_source`, `ce_specversion`, `ce_type`, `ce_time`,
`content-type`), as in the Kafka protocol binding; the key is the Study Instance UID.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from isocenter.core.errors import Corrupted, Invalid
from isocenter.core.events import (
    DEAD_SUFFIX,
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    TOPIC_JOBS,
    TOPIC_STUDIES,
    AuditEvent,
    CommitmentEnded,
    CommitmentRequested,
    DeadLetterResolved,
    Event,
    InstanceConflict,
    InstanceDeleted,
    InstanceRejected,
    InstanceStored,
    StudyChanged,
    StudyQuiet,
    SweepCheckpoint,
)
from isocenter.core.ports import Delivery, Record
from isocenter.runtime.audit_messages import audit_event_from, audit_event_to
from isocenter.runtime.job_messages import (
    checkpoint_from,
    checkpoint_to,
    ended_from,
    ended_to,
    requested_from,
    requested_to,
    resolved_from,
    resolved_to,
)
from isocenter.runtime.wire import (
    POLICIES,
    enum_from,
    moment,
    name_from,
    name_to,
    source_from,
    source_to,
    timestamp,
)
from isocenter.v1 import events_pb2

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"
SOURCE = "/isocenter"
PACKAGE = events_pb2.DESCRIPTOR.package

EventT = TypeVar("EventT")
MessageT = TypeVar("MessageT", bound=Message)


class NewKind(Invalid):
    """A kind of event that a newer version has added to the package; it may be passed over."""


@dataclass(frozen=True, slots=True)
class _Codec(Generic[EventT, MessageT]):
    topic: str
    message: type[MessageT]
    key: Callable[[EventT], str]
    to: Callable[[EventT], MessageT]
    of: Callable[[MessageT], EventT]

    @property
    def type(self) -> str:
        return self.message.DESCRIPTOR.full_name


def unique_id() -> str:
    """An id that no other event has: 128 random bits. Not a secret, so no system call for each."""
    return f"{random.getrandbits(128):032x}"


def _stored_to(event: InstanceStored) -> events_pb2.InstanceStored:
    return events_pb2.InstanceStored(
        name=name_to(event.name),
        sop_class=event.sop_class,
        transfer_syntax=event.transfer_syntax,
        key=event.key,
        digest=event.digest,
        size=event.size,
        data_set_offset=event.data_set_offset,
        header_length=event.header_length,
        header=event.header,
        source=source_to(event.source),
        received_at=timestamp(event.received_at),
        policy=POLICIES[event.policy],
        patient_id=event.patient_id,
        checksum=event.checksum,
        overlay=event.overlay,
        site=event.site,
    )


def _stored_from(message: events_pb2.InstanceStored) -> InstanceStored:
    return InstanceStored(
        name=name_from(message.name),
        sop_class=message.sop_class,
        transfer_syntax=message.transfer_syntax,
        key=message.key,
        digest=message.digest,
        size=message.size,
        data_set_offset=message.data_set_offset,
        header_length=message.header_length,
        header=message.header if message.HasField("header") else None,
        source=source_from(message.source),
        received_at=moment(message.received_at),
        policy=enum_from(POLICIES, message.policy),
        patient_id=message.patient_id,
        checksum=message.checksum,
        overlay=message.overlay,
        site=message.site,
    )


def _conflict_to(event: InstanceConflict) -> events_pb2.InstanceConflict:
    return events_pb2.InstanceConflict(
        name=name_to(event.name),
        current_digest=event.current_digest,
        other_digest=event.other_digest,
        policy=POLICIES[event.policy],
        source=source_to(event.source),
    )


def _conflict_from(message: events_pb2.InstanceConflict) -> InstanceConflict:
    return InstanceConflict(
        name=name_from(message.name),
        current_digest=message.current_digest,
        other_digest=message.other_digest,
        policy=enum_from(POLICIES, message.policy),
        source=source_from(message.source),
    )


def _rejected_to(event: InstanceRejected) -> events_pb2.InstanceRejected:
    return events_pb2.InstanceRejected(
        name=name_to(event.name),
        digest=event.digest,
        reason=event.reason,
        source=source_to(event.source),
    )


def _rejected_from(message: events_pb2.InstanceRejected) -> InstanceRejected:
    source = source_from(message.source)
    return InstanceRejected(name_from(message.name), message.digest, message.reason, source)


def _deleted_to(event: InstanceDeleted) -> events_pb2.InstanceDeleted:
    return events_pb2.InstanceDeleted(
        name=name_to(event.name),
        digest=event.digest,
        reason=event.reason,
        source=source_to(event.source),
        deletion=event.deletion,
    )


def _deleted_from(message: events_pb2.InstanceDeleted) -> InstanceDeleted:
    return InstanceDeleted(
        name_from(message.name),
        message.digest,
        message.reason,
        source_from(message.source),
        message.deletion,
    )


def _study(
    event: type[EventT], message: type[MessageT]
) -> tuple[Callable[[Any], MessageT], Callable[[Any], EventT]]:
    """Both directions of an event of a study, which have the same fields."""

    def to(fact: StudyChanged | StudyQuiet) -> MessageT:
        return message(
            partition=fact.partition,
            study=fact.study,
            series_count=fact.series_count,
            instance_count=fact.instance_count,
        )

    def of(sent: events_pb2.StudyChanged | events_pb2.StudyQuiet) -> EventT:
        kind: Callable[..., EventT] = event
        return kind(sent.partition, sent.study, sent.series_count, sent.instance_count)

    return to, of


def _study_of_name(event: InstanceStored | InstanceConflict | InstanceRejected) -> str:
    return event.name.study


def _study_of_audit(event: AuditEvent) -> str:
    return event.studies[0] if event.studies else ""


def _study_uid(event: StudyChanged | StudyQuiet) -> str:
    return event.study


def _sweep(event: SweepCheckpoint) -> str:
    """All of them in one partition: its owner is the one that sweeps."""
    del event
    return "sweep"


def _transaction_of_request(event: CommitmentRequested) -> str:
    return f"{event.source.ae_title}/{event.transaction}"


def _transaction_of_end(event: CommitmentEnded) -> str:
    return f"{event.ae_title}/{event.transaction}"


def _letter(event: DeadLetterResolved) -> str:
    return f"{event.partition}/{event.offset}"


_CODECS: Mapping[type, _Codec[Any, Any]] = {
    InstanceStored: _Codec(
        TOPIC_INSTANCES, events_pb2.InstanceStored, _study_of_name, _stored_to, _stored_from
    ),
    InstanceConflict: _Codec(
        TOPIC_INSTANCES, events_pb2.InstanceConflict, _study_of_name, _conflict_to, _conflict_from
    ),
    InstanceRejected: _Codec(
        TOPIC_INSTANCES, events_pb2.InstanceRejected, _study_of_name, _rejected_to, _rejected_from
    ),
    InstanceDeleted: _Codec(
        TOPIC_INSTANCES, events_pb2.InstanceDeleted, _study_of_name, _deleted_to, _deleted_from
    ),
    StudyChanged: _Codec(
        TOPIC_STUDIES,
        events_pb2.StudyChanged,
        _study_uid,
        *_study(StudyChanged, events_pb2.StudyChanged),
    ),
    StudyQuiet: _Codec(
        TOPIC_STUDIES,
        events_pb2.StudyQuiet,
        _study_uid,
        *_study(StudyQuiet, events_pb2.StudyQuiet),
    ),
    AuditEvent: _Codec(
        TOPIC_AUDIT, events_pb2.AuditEvent, _study_of_audit, audit_event_to, audit_event_from
    ),
    SweepCheckpoint: _Codec(
        TOPIC_JOBS, events_pb2.SweepCheckpoint, _sweep, checkpoint_to, checkpoint_from
    ),
    CommitmentRequested: _Codec(
        TOPIC_JOBS,
        events_pb2.CommitmentRequested,
        _transaction_of_request,
        requested_to,
        requested_from,
    ),
    CommitmentEnded: _Codec(
        TOPIC_JOBS, events_pb2.CommitmentEnded, _transaction_of_end, ended_to, ended_from
    ),
    DeadLetterResolved: _Codec(
        f"*{DEAD_SUFFIX}", events_pb2.DeadLetterResolved, _letter, resolved_to, resolved_from
    ),
}
_TYPES = {event: codec.type for event, codec in _CODECS.items()}
_BY_TYPE = {codec.type: codec for codec in _CODECS.values()}


def topics_of_types() -> Mapping[str, str]:
    """CloudEvents type -> the topic that carries it."""
    return {codec.type: codec.topic for codec in _CODECS.values()}


def topic_of(event: Event) -> str:
    """The topic that carries this kind of event; `*` stands for any of `core.events.TOPICS`."""
    return _CODECS[type(event)].topic


def encode(event: Event, event_id: str = "") -> Record:
    """An event as a record of its topic (`topic_of`). The same `event_id` is the same event,
    however often it is appended; without one it is another each time."""
    codec = _CODECS[type(event)]
    event_id = event_id or (event.id if isinstance(event, AuditEvent) else unique_id())
    data = codec.to(event).SerializeToString()
    return _record(codec.key(event), _TYPES[type(event)], data, event_id)


def audit_record(event_id: str, study: str, data: bytes) -> Record:
    """What `encode` makes of an `AuditEvent`, for those who have its message already."""
    return _record(study, _TYPES[AuditEvent], data, event_id)


def _record(key: str, kind: str, data: bytes, event_id: str) -> Record:
    headers = {
        "ce_id": event_id,
        "ce_source": SOURCE,
        "ce_specversion": SPEC_VERSION,
        "ce_type": kind,
        "ce_time": datetime.now(UTC).isoformat(),
        "content-type": CONTENT_TYPE,
    }
    return Record(key, kind, data, headers)


def type_of(event: type[Event]) -> str:
    """The CloudEvents type of a kind of event."""
    return _TYPES[event]


def decode(delivery: Delivery) -> Event:
    """The event of a delivery.

    Raises `Invalid` for a type or value this version does not know and `Corrupted` for data that
    is no such message: such a delivery belongs on the dead-letter topic, save for a `NewKind`
    (see `runtime.event_reader`).
    """
    codec = _BY_TYPE.get(delivery.type)
    where = f"event {delivery.offset} of {delivery.topic}"
    if codec is None:
        added = delivery.type.startswith(f"{PACKAGE}.")
        unknown = NewKind if added else Invalid
        raise unknown(f"{where} has the unknown type {delivery.type!r}", fix="update this process")
    try:
        event: Event = codec.of(codec.message.FromString(delivery.data))
    except (DecodeError, ValueError, OverflowError) as error:  # the latter: times out of range
        raise Corrupted(
            f"{where} is no {delivery.type}: {error}", fix="see its producer"
        ) from error
    return event
