"""Events of jobs and of dead letters as protobuf messages and back (`runtime.event_codec`)."""

from __future__ import annotations

from isocenter.core.events import (
    CommitmentEnded,
    CommitmentRequested,
    DeadLetterResolved,
    SopReference,
    SweepCheckpoint,
)
from isocenter.runtime.wire import (
    COMMITMENT_FATES,
    FATES,
    enum_from,
    moment,
    source_from,
    source_to,
    timestamp,
)
from isocenter.v1 import events_pb2


def checkpoint_to(event: SweepCheckpoint) -> events_pb2.SweepCheckpoint:
    """A checkpoint of the sweep as a message."""
    return events_pb2.SweepCheckpoint(
        key=event.key, started_at=timestamp(event.started_at), done=event.done
    )


def checkpoint_from(message: events_pb2.SweepCheckpoint) -> SweepCheckpoint:
    """A checkpoint of the sweep from its message. Raises `Invalid`."""
    return SweepCheckpoint(message.key, moment(message.started_at), message.done)


def requested_to(event: CommitmentRequested) -> events_pb2.CommitmentRequested:
    """A request of commitment as a message."""
    return events_pb2.CommitmentRequested(
        transaction=event.transaction,
        source=source_to(event.source),
        references=[
            events_pb2.SopReference(sop_class=one.sop_class, instance=one.instance)
            for one in event.references
        ],
        at=timestamp(event.at),
    )


def requested_from(message: events_pb2.CommitmentRequested) -> CommitmentRequested:
    """A request of commitment from its message. Raises `Invalid`."""
    return CommitmentRequested(
        message.transaction,
        source_from(message.source),
        tuple(SopReference(one.sop_class, one.instance) for one in message.references),
        moment(message.at),
    )


def ended_to(event: CommitmentEnded) -> events_pb2.CommitmentEnded:
    """The end of a request of commitment as a message."""
    return events_pb2.CommitmentEnded(
        transaction=event.transaction,
        ae_title=event.ae_title,
        fate=COMMITMENT_FATES[event.fate],
        committed=event.committed,
        failed=event.failed,
        at=timestamp(event.at),
        reason=event.reason,
    )


def ended_from(message: events_pb2.CommitmentEnded) -> CommitmentEnded:
    """The end of a request of commitment from its message. Raises `Invalid`."""
    return CommitmentEnded(
        message.transaction,
        message.ae_title,
        enum_from(COMMITMENT_FATES, message.fate),
        message.committed,
        message.failed,
        moment(message.at),
        message.reason,
    )


def resolved_to(event: DeadLetterResolved) -> events_pb2.DeadLetterResolved:
    """The fate of a dead letter as a message."""
    return events_pb2.DeadLetterResolved(
        partition=event.partition,
        offset=event.offset,
        fate=FATES[event.fate],
        by=source_to(event.by),
        at=timestamp(event.at),
        reason=event.reason,
    )


def resolved_from(message: events_pb2.DeadLetterResolved) -> DeadLetterResolved:
    """The fate of a dead letter from its message. Raises `Invalid`."""
    return DeadLetterResolved(
        message.partition,
        message.offset,
        enum_from(FATES, message.fate),
        source_from(message.by),
        moment(message.at),
        message.reason,
    )
