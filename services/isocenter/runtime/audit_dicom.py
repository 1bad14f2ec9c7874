"""Audit records as DICOM audit messages: the XML of PS3.15 A.5.

A message is a line of UTF-8 without XML declaration and without byte order mark, as the MSG of a
syslog message may be (PS3.15 A.6, RFC 5424 6.4): UTF-8 is what XML is without a declaration (XML
1.0 4.3.3), and the mark belongs to the syslog header's writer. Line breaks are references.

PurposeOfUse is of IHE (ITI TF-2 3.20.7.8): the schema of PS3.15 has no place for a purpose. It is
there where a caller named one, and nowhere else; every other message is one of that schema.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache

from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_codes import (
    MEDIA_URI,
    OUTCOMES,
    Code,
    Kind,
    kind_of,
    purpose_code,
    source_type,
)
from isocenter.runtime.audit_parts import (
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

# All that cannot stand in an attribute between quotation marks as it is.
_SPECIAL = re.compile('[\x00-\x1f"&<>\x7f-\x9f\ud800-\udfff\ufffe\uffff]')
_REFERENCES = (
    ("&", "&amp;"),  # first: the others are made of it
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("\t", "&#9;"),
    ("\n", "&#10;"),
    ("\r", "&#13;"),
)


def message(event: AuditEvent) -> bytes:
    """The AuditMessage of a record."""
    kind = kind_of(event)
    return "".join(
        (
            "<AuditMessage>",
            _event(event, kind),
            *map(_participant, participants(event, kind)),
            _source(event),
            *map(_object, things(event, kind)),
            "</AuditMessage>",
        )
    ).encode()


def _event(event: AuditEvent, kind: Kind) -> str:
    told = outcome_text(event)
    purpose = event.source.purpose
    return (
        f'<EventIdentification EventActionCode="{kind.act}"'
        f' EventDateTime="{time_text(event.at)}"'
        f' EventOutcomeIndicator="{OUTCOMES[event.outcome]}">'
        f"{_codes(kind)}"
        f"{_element('EventOutcomeDescription', told) if told else ''}"
        f"{_coded('PurposeOfUse', purpose_code(purpose)) if purpose else ''}"
        "</EventIdentification>"
    )


@lru_cache(maxsize=64)
def _codes(kind: Kind) -> str:
    """EventID and EventTypeCodes."""
    types = (_coded("EventTypeCode", code) for code in kind.types)
    return "".join((_coded("EventID", kind.event), *types))


def _participant(one: Participant) -> str:
    return (
        f'<ActiveParticipant UserID="{_escaped(one.name)}"'
        f"{_attribute('AlternativeUserID', one.other_name)}"
        f"{_attribute('UserName', one.label)}"
        f' UserIsRequestor="{"true" if one.requests else "false"}"'
        f"{_attribute('NetworkAccessPointID', one.point)}"
        f"{_attribute('NetworkAccessPointTypeCode', one.point_type)}>"
        f"{_known('RoleIDCode', one.role) if one.role else ''}"
        f"{_MEDIA if one.is_media else ''}"
        "</ActiveParticipant>"
    )


def _source(event: AuditEvent) -> str:
    return (
        f"<AuditSourceIdentification{_attribute('AuditEnterpriseSiteID', event.site)}"
        f' AuditSourceID="{_escaped(source_name(event))}">'
        f'<AuditSourceTypeCode csd-code="{source_type(event)}"/>'
        "</AuditSourceIdentification>"
    )


def _object(thing: Thing) -> str:
    """The schema asks for a name or a query of every object, though the tables of A.5.3 do not:
    an object without a name has an empty one."""
    return (
        f'<ParticipantObjectIdentification ParticipantObjectID="{_escaped(thing.id)}"'
        f' ParticipantObjectTypeCode="{thing.type}"'
        f"{_attribute('ParticipantObjectTypeCodeRole', thing.role)}"
        f"{_attribute('ParticipantObjectDataLifeCycle', thing.life_cycle)}>"
        f"{_known('ParticipantObjectIDTypeCode', thing.id_type)}"
        f"{_name(thing)}"
        f"{''.join(_detail(kind, value) for kind, value in thing.details)}"
        f"{_description(thing) if thing.number else ''}"
        "</ParticipantObjectIdentification>"
    )


def _name(thing: Thing) -> str:
    if thing.query is None:
        return _element("ParticipantObjectName", thing.name)
    return f"<ParticipantObjectQuery>{_base64(thing.query)}</ParticipantObjectQuery>"


def _detail(kind: str, value: str) -> str:
    return f'<ParticipantObjectDetail type="{kind}" value="{_base64(value)}"/>'


def _description(thing: Thing) -> str:
    """Of which SOP class the instances are is not recorded."""
    instances = "".join(f'<Instance UID="{_escaped(uid)}"/>' for uid in thing.instances)
    studies = "".join(f'<StudyIDs UID="{_escaped(uid)}"/>' for uid in thing.contains)
    contained = "ParticipantObjectContainsStudy"
    return (
        "<ParticipantObjectDescription>"
        f'<SOPClass NumberOfInstances="{thing.number}">{instances}</SOPClass>'
        f"{f'<{contained}>{studies}</{contained}>' if studies else ''}"
        "</ParticipantObjectDescription>"
    )


def _element(name: str, text: str) -> str:
    return f"<{name}>{_escaped(text)}</{name}>"


def _attribute(name: str, text: str) -> str:
    """One that is left out where there is nothing to say."""
    return f' {name}="{_escaped(text)}"' if text else ""


def _coded(name: str, code: Code) -> str:
    return (
        f'<{name} csd-code="{_escaped(code.code)}" codeSystemName="{_escaped(code.scheme)}"'
        f' originalText="{_escaped(code.meaning)}"/>'
    )


def _base64(text: str) -> str:
    return b64encode(utf8(text)).decode("ascii")


def _escaped(text: str) -> str:
    """A text as it may stand in an attribute or an element."""
    if _SPECIAL.search(text) is None:
        return text
    text = visible(text)
    for character, reference in _REFERENCES:
        text = text.replace(character, reference)
    return text


_known = lru_cache(maxsize=256)(_coded)  # for codes of the table, of which there are few
_MEDIA = f"<MediaIdentifier>{_coded('MediaType', MEDIA_URI)}</MediaIdentifier>"
