"""Audit records of every kind, by all sorts of sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

from hypothesis import strategies as st

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source

AT = datetime(2026, 11, 26, 17, 4, 5, 678901, UTC)

SOURCES = {
    "modality": Source("DIMSE", "192.0.2.7", "CT1", "ISOCENTER"),
    "person at a modality": Source(
        "DIMSE", "2001:db8::7", "WS2 ", "ISOCENTER", "eva", "CN=ws2,O=Hospital"
    ),
    "person": Source("DICOMweb", "192.0.2.9", user="eva@example.org", purpose="TREAT"),
    "person with a reason": Source("DICOMweb", "192.0.2.9", user="eva", purpose="a second opinion"),
    "program": Source("gRPC", "192.0.2.11", tls_subject="CN=program"),
    "unknown": Source("DIMSE", "127.0.0.1", "ANY", "ISOCENTER", known=False),
    "operator": Source("CLI", "pacs.example.org", user="root"),
    "part of the system": Source("sweep"),
    "nobody": Source(""),
}

# Details as the services write them; the first that is named is the usual one.
DETAILS = {
    AuditAction.STORE: ("C-STORE", "STOW-RS coerced"),
    AuditAction.QUERY: ("C-FIND STUDY PatientID", "QIDO-RS studies 00100020", "list of deletions"),
    AuditAction.RETRIEVE: ("C-GET STUDY", "WADO-RS", "WADO-RS frames", "WADO-RS metadata"),
    AuditAction.EXPORT: ("C-MOVE STUDY", "WADO-RS ZIP", "backup 17"),
    AuditAction.DELETE: ("deleted 17: a mistake", "restored 17", "destroys what was deleted 17"),
    AuditAction.SECURITY: ("AE directory: removed CT1", "dead letter 3-9 replayed", "a new key"),
    AuditAction.AUDIT: ("audit trail search", "legal hold set: inquiry", "records 1 to 9 expired"),
    AuditAction.VERIFY: (
        "Storage Commitment, transaction 1.2.3",
        "audit trail verified: 9 records",
    ),
}

_WHOLE: dict[str, Any] = {
    "partition": "main",
    "patient_ids": ("PID-1",),
    "studies": ("1.2.840.1",),
    "series": ("1.2.840.1.1", "1.2.840.1.2"),
    "instances": ("1.2.840.1.1.1", "1.2.840.1.1.2"),
    "instance_count": 300,
    "destination": "ARCHIVE2",
    "error": "it did not answer",
    "query": "PatientID=PID-1&StudyDate=20260101-",
    "digests": ("a" * 64, "b" * 64),
    "process": "host-1-web-0",
    "site": "north",
    "trace": "0af7651916cd43dd8448eb211c80319c",
}
_STUDIES: dict[str, Any] = {
    "studies": ("1.2.840.1", "1.2.840.2"),
    "patient_ids": ("PID-1", "PID-2"),
    "instances": ("1.2.840.1.1.1",),
    "instance_count": 12,
    "digests": ("c" * 64,),
    "process": "host-1-web-0",
}
_SHAPES: dict[str, dict[str, Any]] = {
    "whole": _WHOLE,
    "a study": {"studies": ("1.2.840.1",), "instance_count": 3, "process": "host-1-web-0"},
    "many studies": _STUDIES,
    "bare": {},
}


def audit_event(
    action: AuditAction, source: Source = SOURCES["modality"], **given: Any
) -> AuditEvent:
    """A record with a usual detail."""
    detail = DETAILS.get(action, ("",))[0]
    rest: dict[str, Any] = {"outcome": AuditOutcome.SUCCESS, "at": AT, "id": "host-1-web-0-01JD5Z"}
    return AuditEvent(action, source=source, **{**rest, "detail": detail, **given})


def whole_event(action: AuditAction, source: Source, **given: Any) -> AuditEvent:
    """A record in which everything is told."""
    return audit_event(action, source, **{**_WHOLE, **given})


def all_events() -> Iterator[AuditEvent]:
    """Every action with every outcome, by every source, with each detail and in each shape."""
    for action, outcome, source in product(AuditAction, AuditOutcome, SOURCES.values()):
        for detail, shape in product(DETAILS.get(action, ("",)), _SHAPES.values()):
            yield audit_event(action, source, **{"outcome": outcome, "detail": detail, **shape})


# Text as nobody would like it: controls, halves of surrogate pairs, non-characters, markup.
HOSTILE = (
    "<script>alert(1)</script>]]>&amp;\"'",
    "a\nb\r\nc\td",
    "nul \x00 esc \x1b[31m del \x7f csi \x9b31m next line \x85",
    "half \ud800 other half \udfff",
    "none \ufffe \uffff \U0001fffe",
    "  blanks \u00a0\u2028\u3000 ",
    "\u202egnp.exe",
    "<!--",
    "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
)

_AWKWARD = "\x00\t\n\r\"&'<>\x7f\x85\ud800\udfff\ufffe\uffff\U0010ffff a1"
_text = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(HOSTILE),
    st.text(st.sampled_from(_AWKWARD), max_size=20),
)
_texts = st.lists(_text, max_size=3).map(tuple)


def hostile_events() -> st.SearchStrategy[AuditEvent]:
    """Records in which every text is any text."""
    texts = {
        one.name: _texts if one.type.startswith("tuple") else _text
        for one in fields(AuditEvent)
        if one.type in ("str", "tuple[str, ...]")
    }
    of_source = {one.name: _text for one in fields(Source) if one.type == "str"}
    sources = st.builds(Source, **of_source, known=st.booleans())
    details = st.one_of(_text, st.sampled_from([one for many in DETAILS.values() for one in many]))
    return st.builds(
        AuditEvent,
        action=st.sampled_from(AuditAction),
        outcome=st.sampled_from(AuditOutcome),
        source=sources,
        at=st.datetimes(
            min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone follows
            timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))]),
        ),
        instance_count=st.integers(0, 2**64 - 1),
        **{**texts, "detail": details},
    )


def filled_with(event: AuditEvent, text: str) -> AuditEvent:
    """The record with this text wherever it has one."""
    names = [one.name for one in fields(AuditEvent) if one.type == "str" and one.name != "detail"]
    lists = [one.name for one in fields(AuditEvent) if one.type.startswith("tuple")]
    of_source = [one.name for one in fields(Source) if one.type == "str"]
    given: dict[str, Any] = dict.fromkeys(names, text) | dict.fromkeys(lists, (text,))
    source = replace(event.source, **dict.fromkeys(of_source, text))
    return replace(event, source=source, **given)
