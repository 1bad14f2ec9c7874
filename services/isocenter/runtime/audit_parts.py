"""Who took part in what an audit record tells, and what it was about, as PS3.15 A.5.2 has them:
what messages of DICOM and resources of FHIR both say, each in its own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from isocenter.core.events import AuditEvent
from isocenter.runtime.addresses import ip_of
from isocenter.runtime.audit_codes import (
    NODE_ID,
    PATIENT_NUMBER,
    RECORD,
    SEARCH_CRITERIA,
    STUDY_UID,
    URI,
    Code,
    Kind,
    Part,
    Subject,
    Who,
)

APPLICATION_NAME = "isocenter"
TRAIL_NAME = "Security Audit Log"  # PS3.15 A.5.3.2
TRAIL_URI = "isocenter:audit-trail"
NOBODY = "unknown"

# ParticipantObjectTypeCode (PS3.15 A.5.1)
PERSON, SYSTEM_OBJECT, OTHER = "1", "2", "4"
# ParticipantObjectTypeCodeRole (PS3.15 A.5.1.2.2)
PATIENT_ROLE, REPORT_ROLE, SECURITY_RESOURCE_ROLE, QUERY_ROLE = "1", "3", "13", "24"
# NetworkAccessPointTypeCode (PS3.15 A.5.1); FHIR has the same numbers.
MACHINE_NAME, IP_ADDRESS, URI_POINT = "1", "2", "5"

# What XML 1.0 does not hold, and controls that nobody can see (C0, DEL and C1).
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"

Details = tuple[tuple[str, str], ...]


class Participant(NamedTuple):
    """Somebody who took part (ActiveParticipant)."""

    name: str  # UserID
    requests: bool
    role: Code | None = None
    other_name: str = ""  # AlternativeUserID
    label: str = ""  # UserName
    point: str = ""  # NetworkAccessPointID
    point_type: str = ""
    is_person: bool = False
    is_media: bool = False


class Thing(NamedTuple):
    """What it was about (ParticipantObjectIdentification)."""

    id: str
    id_type: Code
    type: str
    role: str = ""
    life_cycle: str = ""
    name: str = ""
    query: str | None = None
    details: Details = ()
    number: int = 0  # of instances
    instances: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()  # Study Instance UIDs, where the object is none of a study


def visible(text: str) -> str:
    """The text, with U+FFFD for each character that cannot be seen or that XML 1.0 forbids."""
    return _INVISIBLE.sub(_REPLACEMENT, text)


def utf8(text: str) -> bytes:
    """The bytes of a text, as they are but for halves of surrogate pairs."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub(_REPLACEMENT, text).encode()


def outcome_text(event: AuditEvent) -> str:
    """What was done, and what went wrong with it."""
    return ": ".join(filter(None, (event.detail, event.error)))


def source_name(event: AuditEvent) -> str:
    """Who made the record."""
    return event.process.strip() or event.site.strip() or APPLICATION_NAME


# --- participants ---


def participants(event: AuditEvent, kind: Kind) -> list[Participant]:
    """Those who took part; at least one, and at most one of them is the requestor."""
    return [_TAKES_PART[part.who](event, part) for part in kind.parts if _is_there(event, part)]


def _is_there(event: AuditEvent, part: Part) -> bool:
    """An application that nobody launched has no launcher."""
    return part.who is not Who.LAUNCHER or bool(event.source.user)


def _caller(event: AuditEvent, part: Part) -> Participant:
    source = event.source
    return Participant(
        name=caller_name(event),
        requests=part.requests,
        role=part.role,
        other_name=_titles(source.ae_title),
        label=source.tls_subject,
        point=source.host,
        point_type=point_type(source.host),
        is_person=bool(source.user),
    )


def caller_name(event: AuditEvent) -> str:
    """The best name of who called, which may be a part of the system (`sweep`)."""
    source = event.source
    return source.who.strip(" ") or source.tls_subject or source.protocol or NOBODY


def _process(event: AuditEvent, part: Part) -> Participant:
    return Participant(
        name=source_name(event),
        requests=part.requests,
        role=part.role,
        other_name=_titles(event.source.called_ae_title),
        label=APPLICATION_NAME,
    )


def _application(event: AuditEvent, part: Part) -> Participant:
    host = event.source.host
    return _process(event, part)._replace(point=host, point_type=point_type(host))


def _destination(event: AuditEvent, part: Part) -> Participant:
    title = event.destination.strip(" ")
    return Participant(
        name=title or NOBODY, requests=part.requests, role=part.role, other_name=_titles(title)
    )


def _media(event: AuditEvent, part: Part) -> Participant:
    """A file of ours by its path, one of the caller's by who has it (A.5.2.1)."""
    point = event.destination or event.source.host
    return Participant(
        name=event.destination or caller_name(event),
        requests=part.requests,
        role=part.role,
        point=point,
        point_type=URI_POINT if event.destination else point_type(point),
        is_media=True,
    )


_TAKES_PART: Mapping[Who, Callable[[AuditEvent, Part], Participant]] = {
    Who.CALLER: _caller,
    Who.LAUNCHER: _caller,
    Who.APPLICATION: _application,
    Who.PROCESS: _process,
    Who.DESTINATION: _destination,
    Who.MEDIA: _media,
}


def _titles(title: str) -> str:
    """AE titles as A.5.2.2 wants them."""
    bare = title.strip(" ")
    return f"AETITLES={bare}" if bare else ""


@lru_cache(maxsize=1024)
def point_type(host: str) -> str:
    """Of what type a network access point is; empty where there is none."""
    if not host:
        return ""
    return MACHINE_NAME if ip_of(host) is None else IP_ADDRESS


# --- objects ---


def things(event: AuditEvent, kind: Kind) -> list[Thing]:
    """What it was about. What is known of the instances is said of their study, if there is one,
    or else of the record, which is itself the last of the objects."""
    single = len(event.studies) == 1
    found = list(_SUBJECTS[kind.subject](event))
    found += _patients(event, kind)
    for study in event.studies:
        found.append(
            Thing(
                id=study,
                id_type=STUDY_UID,
                type=SYSTEM_OBJECT,
                role=REPORT_ROLE,
                life_cycle=kind.life_cycle,
                details=_of_instances(event) if single else (),
                number=_number(event) if single else 0,
                instances=event.instances if single else (),
            )
        )
    found.append(_record(event, kind, single=single))
    return found


def _patients(event: AuditEvent, kind: Kind) -> Iterator[Thing]:
    """An event that is always about a patient is, too, where the record does not know the ID."""
    for patient in event.patient_ids or (("",) if kind.of_patient and event.studies else ()):
        yield Thing(patient, PATIENT_NUMBER, PERSON, PATIENT_ROLE)


def _record(event: AuditEvent, kind: Kind, *, single: bool) -> Thing:
    """The record by its id, so that one that is sent twice is known again, and all that no field
    of the standard is for."""
    source = event.source
    receives = any(part.who in (Who.DESTINATION, Who.MEDIA) for part in kind.parts)
    details = (
        ("Protocol", source.protocol),
        ("Partition", event.partition),
        ("Trace", event.trace),
        ("Destination", "" if receives else event.destination),
        ("Query", "" if kind.subject is Subject.SEARCH else event.query),
        ("Caller", "" if source.known else "not in the settings"),
        *(() if single else _of_instances(event)),
    )
    return Thing(
        id=event.id,
        id_type=RECORD,
        type=OTHER,
        details=tuple(pair for pair in details if pair[1]),
        number=0 if single else _number(event),
        instances=() if single else event.instances,
        contains=() if single or not _number(event) else event.studies,
    )


def _of_instances(event: AuditEvent) -> Details:
    return (
        *(("SeriesInstanceUID", series) for series in event.series),
        *(("SHA-256", digest) for digest in event.digests),
    )


def _number(event: AuditEvent) -> int:
    return max(event.instance_count, len(event.instances))


def _nothing(_event: AuditEvent) -> tuple[Thing, ...]:
    return ()


def _search(event: AuditEvent) -> tuple[Thing, ...]:
    """The keys with their values, which are no data set: so it is named as a search, and not by a
    SOP class (A.5.3.10)."""
    criteria = event.detail or event.source.protocol
    query = event.query or event.detail
    return (Thing(criteria, SEARCH_CRITERIA, SYSTEM_OBJECT, REPORT_ROLE, query=query),)


def _trail(_event: AuditEvent) -> tuple[Thing, ...]:
    return (Thing(TRAIL_URI, URI, SYSTEM_OBJECT, SECURITY_RESOURCE_ROLE, name=TRAIL_NAME),)


def _alert_about(event: AuditEvent, node: str) -> tuple[Thing, ...]:
    told = (("Alert Description", outcome_text(event)),)
    return (Thing(node, NODE_ID, SYSTEM_OBJECT, SECURITY_RESOURCE_ROLE, details=told),)


def _our_alert(event: AuditEvent) -> tuple[Thing, ...]:
    return _alert_about(event, source_name(event))


def _their_alert(event: AuditEvent) -> tuple[Thing, ...]:
    return _alert_about(event, event.source.host or caller_name(event))


_SUBJECTS: Mapping[Subject, Callable[[AuditEvent], tuple[Thing, ...]]] = {
    Subject.NOTHING: _nothing,
    Subject.SEARCH: _search,
    Subject.TRAIL: _trail,
    Subject.PROCESS: _our_alert,
    Subject.CALLER: _their_alert,
}
