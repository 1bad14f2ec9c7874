"""Events as CloudEvents with protobuf data, and back."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from isocenter.core.errors import Corrupted, Invalid
from isocenter.core.events import (
    PATIENT_FIELDS,
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    TOPIC_JOBS,
    TOPIC_STUDIES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    ConflictPolicy,
    DeadLetterResolved,
    InstanceConflict,
    InstanceDeleted,
    InstanceRejected,
    InstanceStored,
    LetterFate,
    Source,
    StudyChanged,
    StudyQuiet,
    SweepCheckpoint,
)
from isocenter.core.identity import InstanceName
from isocenter.core.ports import Delivery, Record
from isocenter.runtime.event_codec import decode, encode, topic_of
from isocenter.v1 import events_pb2

NAME = InstanceName("main", "1.2", "1.2.3", "1.2.3.4")
SOURCE = Source("DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "eva", "CN=ct", known=False)
AT = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)
STORED = InstanceStored(
    NAME, "1.9", "1.2.840.10008.1.2.1", "objects/k", "d" * 64, 2**40, 900, 2000, b"header",
    SOURCE, AT, ConflictPolicy.KEEP_LATEST,
)  # fmt: skip
EVENTS = [
    (TOPIC_INSTANCES, STORED),
    (TOPIC_INSTANCES, replace(STORED, header=None)),
    (TOPIC_INSTANCES, replace(STORED, checksum="0123456789abcdef")),
    (TOPIC_INSTANCES, replace(STORED, header=b"")),
    (TOPIC_INSTANCES, InstanceConflict(NAME, "a", "b", ConflictPolicy.REJECT, SOURCE)),
    (TOPIC_INSTANCES, InstanceRejected(NAME, "a", "policy", SOURCE)),
    (TOPIC_INSTANCES, InstanceDeleted(NAME, "a", "retention", Source("CLI"))),
    (TOPIC_STUDIES, StudyChanged("main", "1.2", 3, 400)),
    (TOPIC_STUDIES, StudyQuiet("main", "1.2", 3, 400)),
    (TOPIC_JOBS, SweepCheckpoint("objects/main/1", AT, done=False)),
    *(
        ("*.dead", DeadLetterResolved(3, 2**40, fate, SOURCE, AT, "not needed"))
        for fate in LetterFate
    ),
    *(
        (TOPIC_AUDIT, AuditEvent(action, outcome, SOURCE, AT, "id", studies=("1.2", "1.3")))
        for action in AuditAction
        for outcome in AuditOutcome
    ),
]


def delivery(record: Record, **changes) -> Delivery:
    made = Delivery("t", 0, 7, record.key, record.type, record.data, record.headers, AT)
    return replace(made, **changes)


@pytest.mark.parametrize(("topic", "event"), EVENTS)
def test_an_event_comes_back_as_it_was_and_keeps_the_order_of_its_study(topic, event):
    record = encode(event)
    assert topic_of(event) == topic
    assert decode(delivery(record)) == event
    keys = {SweepCheckpoint: "sweep", DeadLetterResolved: f"3/{2**40}"}
    assert record.key == keys.get(type(event), "1.2")


def test_the_attributes_of_cloud_events_are_headers():
    record = encode(STORED)
    assert record.type == "isocenter.v1.InstanceStored"
    assert record.headers["ce_type"] == record.type
    assert record.headers["ce_specversion"] == "1.0"
    assert record.headers["ce_source"]
    assert datetime.fromisoformat(record.headers["ce_time"]).tzinfo is not None
    assert record.headers["content-type"] == "application/protobuf"
    assert record.headers["ce_id"] != encode(STORED).headers["ce_id"]


def test_an_audit_record_has_the_id_of_its_event():
    event = AuditEvent(AuditAction.START, AuditOutcome.SUCCESS, SOURCE, AT, "id-7")
    assert encode(event).headers["ce_id"] == "id-7"
    assert encode(event).key == ""


def test_an_unknown_type_is_invalid():
    with pytest.raises(Invalid, match="Nothing"):
        decode(delivery(encode(STORED), type="isocenter.v1.Nothing"))


def test_damaged_data_is_corrupted_and_says_where():
    with pytest.raises(Corrupted, match="event 7 of t"):
        decode(delivery(encode(STORED), data=b"\xff\xff\xff"))


def test_a_time_that_cannot_be_is_corrupted_and_no_other_error():
    impossible = events_pb2.SweepCheckpoint(started_at=Timestamp(seconds=10**15))
    record = encode(SweepCheckpoint("", AT, done=True))
    with pytest.raises(Corrupted):
        decode(delivery(record, data=impossible.SerializeToString()))


def test_an_event_that_is_given_an_id_is_the_same_event_again():
    first, second = encode(STORED, "once"), encode(STORED, "once")
    assert first.headers["ce_id"] == second.headers["ce_id"] == "once"


def test_every_field_that_may_hold_patient_data_is_known_as_such():
    kinds = [type(event) for _, event in EVENTS]
    names = {field.name for kind in kinds for field in fields(kind)}
    said = ("header", "query")  # of objects, and of who asks for them
    suspicious = {name for name in names if "patient" in name or name in said}
    assert suspicious == PATIENT_FIELDS


def test_a_value_of_a_newer_version_is_invalid():
    record = encode(AuditEvent(AuditAction.START, AuditOutcome.SUCCESS, SOURCE, AT, "id"))
    with pytest.raises(Invalid, match="99"):
        decode(delivery(record, data=b"\x08\x63" + record.data[2:]))
