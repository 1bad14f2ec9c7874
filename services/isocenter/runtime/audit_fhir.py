"""Audit records as FHIR R4 AuditEvent resources, and pages of them as Bundles.

They say what the DICOM messages say (`runtime.audit_dicom`), by the mapping to DICOM that the
resource defines (FHIR R4 AuditEvent, DICOM Tag Mapping), and as IHE has them: a search is an entity
of the role Query, human users are named as such (IHE ITI BALP).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from isocenter.core.events import AuditEvent
from isocenter.core.identity import is_uid
from isocenter.runtime.audit_codes import (
    ACT_REASON,
    DCM,
    MEDIA_URI,
    NODE_ID,
    OUTCOMES,
    PATIENT_NUMBER,
    STUDY_UID,
    URI,
    Code,
    kind_of,
    purpose_code,
    source_type,
)
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_parts import (
    QUERY_ROLE,
    Participant,
    Thing,
    outcome_text,
    participants,
    source_name,
    things,
    utf8,
    visible,
)
from isocenter.runtime.audit_records import time_text

Resource = dict[str, object]

MAX_TEXT = 1024 * 1024  # characters of a FHIR string
MAX_INTEGER = 2**31 - 1  # of a FHIR integer

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_EXTENSION = "http://hl7.org/fhir/StructureDefinition/auditevent"
_HUMAN: Resource = {
    "coding": [
        {
            "system": f"{_TERMINOLOGY}/extra-security-role-type",
            "code": "humanuser",
            "display": "human user",
        }
    ]
}

# Code system of FHIR by coding scheme of DICOM; those of other schemes are told as text alone.
_SYSTEMS: Mapping[str, str] = {
    DCM: "http://dicom.nema.org/resources/ontology/DCM",
    ACT_REASON: f"{_TERMINOLOGY}/v3-ActReason",
}

# Spaces that FHIR's strings do not hold: all but blank, tab, line feed and carriage return.
_ODD_SPACES = re.compile(r"[^\S \t\r\n]")


class _Naming(NamedTuple):
    """How FHIR names objects of a kind: what an identifier begins with, and in which system; and
    which resource they would be."""

    system: str = ""
    prefix: str = ""
    resource: str = ""


_NAMINGS: Mapping[Code, _Naming] = {
    STUDY_UID: _Naming("urn:dicom:uid", "urn:oid:", "ImagingStudy"),
    PATIENT_NUMBER: _Naming(resource="Patient"),
    NODE_ID: _Naming(resource="Device"),
    URI: _Naming("urn:ietf:rfc:3986"),
}


def resource(event: AuditEvent) -> Resource:
    """The AuditEvent of a record."""
    kind = kind_of(event)
    return _filled(
        resourceType="AuditEvent",
        id=name_of(event),
        type=_coding(kind.event),
        subtype=[_coding(code) for code in kind.types],
        action=kind.act,
        recorded=time_text(event.at),
        outcome=OUTCOMES[event.outcome],
        outcomeDesc=_text(outcome_text(event)),
        purposeOfEvent=_purposes(event),
        agent=[_agent(one) for one in participants(event, kind)],
        source=_source(event),
        entity=[_entity(thing) for thing in things(event, kind) if not _is_unknown(thing)],
    )


def bundle(
    resources: Iterable[Resource], total: int | None, self_url: str, next_url: str = ""
) -> Resource:
    """A page of a search (`Bundle` of the type searchset). `self_url` is that of the search: what
    comes before its parameters is the address of the resources. `total`: None where it is not
    known."""
    base = self_url.partition("?")[0].rstrip("/")
    links = {"self": self_url, "next": next_url}
    return _filled(
        resourceType="Bundle",
        type="searchset",
        total=total,
        link=[{"relation": name, "url": url} for name, url in links.items() if url],
        entry=[
            {"fullUrl": f"{base}/{one['id']}", "resource": one, "search": {"mode": "match"}}
            for one in resources
        ],
    )


def _agent(one: Participant) -> Resource:
    point = _text(one.point)
    return _filled(
        type=_concept(one.role) if one.role else (_HUMAN if one.is_person else None),
        who=_reference(one.name),
        altId=_text(one.other_name),
        name=_text(one.label),
        requestor=one.requests,
        media=_coding(MEDIA_URI) if one.is_media else None,
        network={"address": point, "type": one.point_type} if point else None,
    )


def _source(event: AuditEvent) -> Resource:
    system = f"{_TERMINOLOGY}/security-source-type"
    return _filled(
        site=_text(event.site),
        observer=_reference(source_name(event), _Naming(resource="Device")),
        type=[{"system": system, "code": source_type(event)}],
    )


def _is_unknown(thing: Thing) -> bool:
    """Of a patient without ID there is nothing to say."""
    return thing.id_type is PATIENT_NUMBER and not thing.id


def _entity(thing: Thing) -> Resource:
    role = thing.role if thing.query is None else QUERY_ROLE
    return _filled(
        extension=_extensions(thing),
        what=_reference(thing.id, _NAMINGS.get(thing.id_type), thing.id_type),
        type=_numbered("audit-entity-type", thing.type),
        role=_numbered("object-role", role),
        lifecycle=_numbered("dicom-audit-lifecycle", thing.life_cycle),
        name=_text(thing.name),
        query=b64encode(utf8(thing.query)).decode("ascii") if thing.query else "",
        detail=[
            {"type": kind, "valueString": text}
            for kind, value in thing.details
            if (text := _text(value))
        ],
    )


def _extensions(thing: Thing) -> Sequence[Resource]:
    """What DICOM describes of studies and the resource has no elements for."""
    count = min(thing.number, MAX_INTEGER)
    told = {"Instance": thing.instances, "ParticipantObjectContainsStudy": thing.contains}
    number: Resource = {"url": f"{_EXTENSION}-NumberOfInstances", "valueInteger": count}
    return [
        *([number] if count else ()),
        *(
            {"url": f"{_EXTENSION}-{name}", "valueIdentifier": identifier}
            for name, uids in told.items()
            for uid in uids
            if (identifier := _identifier(uid, _NAMINGS[STUDY_UID]))
        ),
    ]


def _purposes(event: AuditEvent) -> Sequence[Resource]:
    code = purpose_code(event.source.purpose)
    text = _text(code.meaning)
    if not text:
        return ()
    return (_concept(code) if code.scheme in _SYSTEMS else {"text": text},)


def _reference(
    value: str, naming: _Naming | None = None, code: Code | None = None
) -> Resource | None:
    """By an identifier: there are no resources of what the trail tells about."""
    naming = naming or _Naming()
    identifier = _identifier(value, naming, code)
    return _filled(type=naming.resource, identifier=identifier) if identifier else None


def _identifier(value: str, naming: _Naming, code: Code | None = None) -> Resource | None:
    text = _text(value)
    if not text:
        return None
    kind = _concept(code) if code else None
    if naming.prefix and not is_uid(text):
        return _filled(type=kind, value=text)
    return _filled(type=kind, system=naming.system, value=naming.prefix + text)


def _concept(code: Code) -> Resource:
    if code.scheme not in _SYSTEMS:
        return {"text": code.meaning}
    return {"coding": [_coding(code)]}


def _coding(code: Code) -> Resource:
    return {"system": _SYSTEMS[code.scheme], "code": code.code, "display": code.meaning}


def _numbered(system: str, code: str) -> Resource | None:
    """One of the numbers that FHIR has from DICOM."""
    return {"system": f"{_TERMINOLOGY}/{system}", "code": code} if code else None


def _filled(**elements: object) -> Resource:
    """Without what is empty: FHIR knows no empty elements. False and 0 are values."""
    return {
        name: value
        for name, value in elements.items()
        if not (value is None or value == "" or value == [] or value == ())
    }


def _text(text: str) -> str:
    """A text as a FHIR string may be: nothing that cannot be seen, no blanks around it; empty
    where nothing is left."""
    return _ODD_SPACES.sub(" ", visible(text)).strip()[:MAX_TEXT].rstrip()
