"""Records of the audit trail as protobuf messages and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from isocenter.core.audit import AuditFilter, By, Entry, Place, Tally
from isocenter.core.audit_api import (
    Finding,
    Head,
    Hold,
    PublicKey,
    SavedSearch,
    TrailState,
    Verification,
)
from isocenter.core.events import AuditEvent
from isocenter.runtime.wire import (
    ACTIONS,
    OUTCOMES,
    enum_from,
    moment,
    source_from,
    source_to,
    timestamp,
)
from isocenter.v1 import audit_pb2, events_pb2

BYS: Mapping[By, Any] = {by: audit_pb2.TallyBy.Value(f"TALLY_BY_{by.name}") for by in By}


def audit_event_to(event: AuditEvent) -> events_pb2.AuditEvent:
    """An audit record as a message."""
    return events_pb2.AuditEvent(
        action=ACTIONS[event.action],
        outcome=OUTCOMES[event.outcome],
        source=source_to(event.source),
        at=timestamp(event.at),
        id=event.id,
        partition=event.partition,
        patient_ids=event.patient_ids,
        studies=event.studies,
        series=event.series,
        instances=event.instances,
        instance_count=event.instance_count,
        detail=event.detail,
        destination=event.destination,
        error=event.error,
        query=event.query,
        digests=event.digests,
        process=event.process,
        site=event.site,
        trace=event.trace,
    )


def audit_event_from(message: events_pb2.AuditEvent) -> AuditEvent:
    """An audit record from its message."""
    return AuditEvent(
        action=enum_from(ACTIONS, message.action),
        outcome=enum_from(OUTCOMES, message.outcome),
        source=source_from(message.source),
        at=moment(message.at),
        id=message.id,
        partition=message.partition,
        patient_ids=tuple(message.patient_ids),
        studies=tuple(message.studies),
        series=tuple(message.series),
        instances=tuple(message.instances),
        instance_count=message.instance_count,
        detail=message.detail,
        destination=message.destination,
        error=message.error,
        query=message.query,
        digests=tuple(message.digests),
        process=message.process,
        site=message.site,
        trace=message.trace,
    )


def entry_to(entry: Entry) -> audit_pb2.AuditEntry:
    """A record in its place as a message."""
    return audit_pb2.AuditEntry(record=audit_event_to(entry.event), place=place_to(entry.place))


def entry_from(message: audit_pb2.AuditEntry) -> Entry:
    """A record in its place from its message."""
    return Entry(audit_event_from(message.record), place_from(message.place))


def place_to(place: Place) -> audit_pb2.AuditPlace:
    """A place as a message."""
    return audit_pb2.AuditPlace(chain=place.chain, sequence=place.sequence)


def place_from(message: audit_pb2.AuditPlace) -> Place:
    """A place from its message."""
    return Place(message.chain, message.sequence)


def audit_filter_to(which: AuditFilter) -> audit_pb2.AuditFilter:
    """A filter of audit records as a message."""
    return audit_pb2.AuditFilter(
        since=timestamp(which.since) if which.since else None,
        until=timestamp(which.until) if which.until else None,
        actions=[ACTIONS[action] for action in which.actions],
        outcomes=[OUTCOMES[outcome] for outcome in which.outcomes],
        who=which.who,
        study=which.study,
        patient_id=which.patient_id,
        instance=which.instance,
        place=which.place,
        text=which.text,
    )


def audit_filter_from(message: audit_pb2.AuditFilter) -> AuditFilter:
    """A filter of audit records from its message."""
    return AuditFilter(
        since=moment(message.since) if message.HasField("since") else None,
        until=moment(message.until) if message.HasField("until") else None,
        actions=tuple(enum_from(ACTIONS, number) for number in message.actions),
        outcomes=tuple(enum_from(OUTCOMES, number) for number in message.outcomes),
        who=message.who,
        study=message.study,
        patient_id=message.patient_id,
        instance=message.instance,
        place=message.place,
        text=message.text,
    )


def tally_to(tally: Tally) -> audit_pb2.Tally:
    """A count as a message."""
    return audit_pb2.Tally(keys=tally.keys, count=tally.count)


def tally_from(message: audit_pb2.Tally) -> Tally:
    """A count from its message."""
    return Tally(tuple(message.keys), message.count)


# Records whose fields have the same names and types as those of their messages.


def head_to(head: Head) -> audit_pb2.ChainHead:
    """A head as a message."""
    return audit_pb2.ChainHead(**asdict(head))


def head_from(message: audit_pb2.ChainHead) -> Head:
    """A head from its message."""
    return Head(message.chain, message.last, message.head, message.seal, message.at)


def _key_from(message: audit_pb2.AuditKey) -> PublicKey:
    return PublicKey(message.number, message.id, message.since, message.introduced_by)


def _finding_from(message: audit_pb2.AuditFinding) -> Finding:
    return Finding(
        message.what, message.chain, message.first, message.last, message.since, message.until
    )


def verification_to(report: Verification) -> audit_pb2.VerifyTrailResponse:
    """A verification as a message."""
    return audit_pb2.VerifyTrailResponse(**asdict(report))


def verification_from(message: audit_pb2.VerifyTrailResponse) -> Verification:
    """A verification from its message."""
    return Verification(
        records=message.records,
        total=message.total,
        segments=message.segments,
        chains=tuple(message.chains),
        expired=message.expired,
        since=message.since,
        until=message.until,
        keys=tuple(_key_from(key) for key in message.keys),
        findings=tuple(_finding_from(finding) for finding in message.findings),
        done=message.done,
    )


def state_to(state: TrailState) -> audit_pb2.GetTrailStateResponse:
    """The state of the trail as a message."""
    return audit_pb2.GetTrailStateResponse(**asdict(state))


def state_from(message: audit_pb2.GetTrailStateResponse) -> TrailState:
    """The state of the trail from its message."""
    return TrailState(
        heads=tuple(head_from(head) for head in message.heads),
        keys=tuple(_key_from(key) for key in message.keys),
        records=message.records,
        sealed=message.sealed,
        problems=tuple(message.problems),
        holds=message.holds,
        waiting=message.waiting,
    )


def search_to(search: SavedSearch) -> audit_pb2.SavedSearch:
    """A saved search as a message."""
    return audit_pb2.SavedSearch(
        name=search.name,
        which=audit_filter_to(search.which),
        by=source_to(search.by),
        at=timestamp(search.at),
        days=search.days,
    )


def search_from(message: audit_pb2.SavedSearch) -> SavedSearch:
    """A saved search from its message."""
    which = audit_filter_from(message.which)
    by = source_from(message.by)
    return SavedSearch(message.name, which, by, moment(message.at), message.days)


def hold_to(hold: Hold) -> audit_pb2.LegalHold:
    """A legal hold as a message."""
    return audit_pb2.LegalHold(
        name=hold.name, reason=hold.reason, by=source_to(hold.by), at=timestamp(hold.at)
    )


def hold_from(message: audit_pb2.LegalHold) -> Hold:
    """A legal hold from its message."""
    return Hold(message.name, message.reason, source_from(message.by), moment(message.at))
