"""One event of each kind with every field set; `python -m support.event_samples` records them.

A recording is what a released version appended to the log, byte for byte, with the values that it
meant. `make release-protos` makes one at a release; none is ever changed afterwards.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from isocenter.core.events import (
    AuditAction,
    AuditEvent,
    AuditOutcome,
    CommitmentEnded,
    CommitmentFate,
    CommitmentRequested,
    ConflictPolicy,
    DeadLetterResolved,
    Event,
    InstanceConflict,
    InstanceDeleted,
    InstanceRejected,
    InstanceStored,
    LetterFate,
    SopReference,
    Source,
    StudyChanged,
    StudyQuiet,
    SweepCheckpoint,
)
from isocenter.core.identity import InstanceName
from isocenter.runtime.event_codec import encode, topic_of
from isocenter.v1 import events_pb2

_NAME = InstanceName("main", "1.2.840.1", "1.2.840.1.2", "1.2.840.1.2.3")
_SOURCE = Source(
    "DIMSE", "192.0.2.1", "CT1", "ISOCENTER", "eva", "CN=ct1", known=False, purpose="TREAT"
)
_AT = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)

SAMPLES: tuple[Event, ...] = (
    InstanceStored(
        name=_NAME,
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        key="objects/main/1.2.840.1/1.2.840.1.2/1.2.840.1.2.3/" + "d" * 64 + ".dcm",
        digest="d" * 64,
        size=2**40 + 1,
        data_set_offset=900,
        header_length=2000,
        header=b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192",
        source=_SOURCE,
        received_at=_AT,
        policy=ConflictPolicy.KEEP_LATEST,
        patient_id="SAMPLE^1",
        checksum="0123456789abcdef",
        overlay="objects/main/1.2.840.1/1.2.840.1.2/1.2.840.1.2.3/"
        + "d" * 64
        + "/00000000000003e8."
        + "e" * 64
        + ".overlay",
        site="north",
    ),
    InstanceConflict(_NAME, "a" * 64, "b" * 64, ConflictPolicy.REJECT, _SOURCE),
    InstanceRejected(_NAME, "a" * 64, "policy", _SOURCE),
    InstanceDeleted(
        _NAME, "a" * 64, "retention", _SOURCE, "00000000000005dc-00000000000003e8-00000007"
    ),
    StudyChanged("main", "1.2.840.1", 3, 2**33),
    StudyQuiet("main", "1.2.840.1", 3, 2**33),
    AuditEvent(
        action=AuditAction.EXPORT,
        outcome=AuditOutcome.MINOR_FAILURE,
        source=_SOURCE,
        at=_AT,
        id="0123456789abcdef0123456789abcdef",
        partition="main",
        patient_ids=("SAMPLE^1", "SAMPLE^2"),
        studies=("1.2.840.1", "1.2.840.2"),
        series=("1.2.840.1.2",),
        instances=("1.2.840.1.2.3",),
        instance_count=2**33,
        detail="C-MOVE SERIES",
        destination="WORKSTATION",
        error="one of two was refused",
        query="PatientID=SAMPLE^1",
        digests=("a" * 64,),
        process="host/gateway",
        site="north",
        trace="0af7651916cd43dd8448eb211c80319c",
    ),
    SweepCheckpoint("objects/main/1.2.840.1", _AT, done=True),
    DeadLetterResolved(3, 2**40, LetterFate.DISCARDED, _SOURCE, _AT, "not needed"),
    CommitmentRequested("1.2.9", _SOURCE, (SopReference("1.2.840.10008.5.1.4.1.1.2", "1.4"),), _AT),
    CommitmentEnded(
        "1.2.9", "SCANNER", CommitmentFate.GIVEN_UP, 40, 2, _AT, "no connection to SCANNER"
    ),
)


def message_of(kind: str, data: bytes) -> Message:
    """The message of an event's data, by the CloudEvents type."""
    message: Message = getattr(events_pb2, kind.rpartition(".")[2]).FromString(data)
    return message


def told(message: Message) -> dict[str, Any]:
    """What a message says: its fields by their names in the proto."""
    said: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return said


def recording() -> list[dict[str, Any]]:
    """All samples as this version appends them."""
    rows = []
    for event in SAMPLES:
        record = encode(event, "5a" * 16)
        rows.append(
            {
                "topic": topic_of(event),
                "key": record.key,
                "type": record.type,
                "headers": {**record.headers, "ce_time": _AT.isoformat()},
                "data": base64.b64encode(record.data).decode(),
                "event": told(message_of(record.type, record.data)),
            }
        )
    return rows


if __name__ == "__main__":
    text = json.dumps(recording(), indent=1, sort_keys=True) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
