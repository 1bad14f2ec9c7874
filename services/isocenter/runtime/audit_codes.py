"""Which standard event an audit record is: one table, read by the messages of DICOM PS3.15 A.5, by
the resources of FHIR and by the page of the documentation.

Codes are those of PS3.16 annex D (scheme DCM) in the context groups 400 to 405.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import NamedTuple

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome

DCM = "DCM"
RFC_3881 = "RFC-3881"
ACT_REASON = "2.16.840.1.113883.5.8"  # HL7 ActReason, which holds the purposes of use
PRIVATE = "99ISOCENTER"  # schemes that begin with 99 are private (PS3.16 8.2)


class Code(NamedTuple):
    """A coded value: what it is, in which scheme, and its meaning in that scheme."""

    code: str
    scheme: str
    meaning: str


# --- events (CID 400) ---
APPLICATION_ACTIVITY = Code("110100", DCM, "Application Activity")
AUDIT_LOG_USED = Code("110101", DCM, "Audit Log Used")
INSTANCES_ACCESSED = Code("110103", DCM, "DICOM Instances Accessed")
INSTANCES_TRANSFERRED = Code("110104", DCM, "DICOM Instances Transferred")
STUDY_DELETED = Code("110105", DCM, "DICOM Study Deleted")
EXPORT = Code("110106", DCM, "Export")
IMPORT = Code("110107", DCM, "Import")
QUERY = Code("110112", DCM, "Query")
SECURITY_ALERT = Code("110113", DCM, "Security Alert")
USER_AUTHENTICATION = Code("110114", DCM, "User Authentication")

# --- their types (CID 401; of alerts CID 403) ---
APPLICATION_START = Code("110120", DCM, "Application Start")
APPLICATION_STOP = Code("110121", DCM, "Application Stop")
LOGIN = Code("110122", DCM, "Login")
LOGOUT = Code("110123", DCM, "Logout")
NODE_AUTHENTICATION = Code("110126", DCM, "Node Authentication")
NETWORK_CONFIGURATION = Code("110128", DCM, "Network Configuration")
SECURITY_CONFIGURATION = Code("110129", DCM, "Security Configuration")
RESTRICTED_FUNCTION = Code("110132", DCM, "Use of Restricted Function")

# --- roles of participants (CID 402) and media (CID 405) ---
APPLICATION = Code("110150", DCM, "Application")
LAUNCHER = Code("110151", DCM, "Application Launcher")
DESTINATION_ROLE = Code("110152", DCM, "Destination Role ID")
SOURCE_ROLE = Code("110153", DCM, "Source Role ID")
DESTINATION_MEDIA = Code("110154", DCM, "Destination Media")
SOURCE_MEDIA = Code("110155", DCM, "Source Media")
MEDIA_URI = Code("110037", DCM, "URI")

# --- what an object is named by (CID 404, PS3.15 A.5.1.2.4) ---
STUDY_UID = Code("110180", DCM, "Study Instance UID")
NODE_ID = Code("110182", DCM, "Node ID")
PATIENT_NUMBER = Code("2", RFC_3881, "Patient Number")
SEARCH_CRITERIA = Code("10", RFC_3881, "Search Criteria")
URI = Code("12", RFC_3881, "URI")
RECORD = Code("record", PRIVATE, "Audit record")

# EventOutcomeIndicator (PS3.15 A.5.1); FHIR has the same numbers.
OUTCOMES: Mapping[AuditOutcome, str] = {
    AuditOutcome.SUCCESS: "0",
    AuditOutcome.MINOR_FAILURE: "4",
    AuditOutcome.FAILURE: "8",
}

# ParticipantObjectDataLifeCycle (PS3.15 A.5.1.2.3)
CREATED, COPIED_IN, AMENDED, VERIFIED, USED = "1", "2", "3", "4", "6"
COPIED_OUT, DELETED, DESTROYED = "10", "14", "15"

# AuditSourceTypeCode (PS3.15 A.5.1.2.1) by protocol: who serves the web, and all others.
WEB_SERVER, APPLICATION_SERVER = "3", "4"
_SOURCE_TYPES: Mapping[str, str] = {"DICOMweb": WEB_SERVER}

# Purposes of use that callers name by their code (HL7 v3 PurposeOfUse).
_PURPOSES: Mapping[str, str] = {
    "BTG": "break the glass",
    "COC": "coordination of care",
    "ETREAT": "Emergency Treatment",
    "FAMRQT": "family requested",
    "HLEGAL": "legal",
    "HMARKT": "healthcare marketing",
    "HOPERAT": "healthcare operations",
    "HPAYMT": "healthcare payment",
    "HQUALIMP": "health quality improvement",
    "HRESCH": "healthcare research",
    "HSYSADMIN": "health system administration",
    "PATRQT": "patient requested",
    "PUBHLTH": "public health",
    "TRAIN": "training",
    "TREAT": "treatment",
}


class Who(Enum):
    """Where a participant of an event is found in its record."""

    CALLER = "caller"  # the source
    LAUNCHER = "launcher"  # the source, if it is a person
    APPLICATION = "application"  # our process, on the host of the source
    PROCESS = "process"  # ours
    DESTINATION = "destination"  # the AE that receives
    MEDIA = "media"  # what is written or read instead of sent


@dataclass(frozen=True, slots=True)
class Part:
    """What somebody does in an event."""

    who: Who
    role: Code | None = None
    requests: bool = False


class Subject(Enum):
    """What an event is about beside patients and studies."""

    NOTHING = "nothing"
    SEARCH = "search"
    TRAIL = "trail"
    PROCESS = "process"  # an alert about ours
    CALLER = "caller"  # an alert about who called


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of record, and the event that PS3.15 A.5.3 has for it."""

    event: Code
    act: str  # EventActionCode
    parts: tuple[Part, ...]
    types: tuple[Code, ...] = ()
    life_cycle: str = ""
    subject: Subject = Subject.NOTHING
    of_patient: bool = False  # the event has a participant object for the patient, always
    when: str = ""  # what the level and the detail of such records begin with; a pattern
    said: str = ""  # `when`, for people
    why: str = ""  # this event and no other, where that is a choice


_STORED = (Part(Who.CALLER, SOURCE_ROLE, requests=True), Part(Who.PROCESS, DESTINATION_ROLE))
_ASKED = _STORED  # who asks is the source of a query, who answers its destination (A.5.3.10)
_FETCHED = (Part(Who.PROCESS, SOURCE_ROLE), Part(Who.CALLER, DESTINATION_ROLE, requests=True))
_MOVED = (
    Part(Who.PROCESS, SOURCE_ROLE),
    Part(Who.DESTINATION, DESTINATION_ROLE),
    Part(Who.CALLER, requests=True),
)
_USED = (Part(Who.CALLER, requests=True), Part(Who.PROCESS))
_TOLD = (Part(Who.PROCESS), Part(Who.CALLER))  # who performs is no requestor (A.5.3.11)
_RUN = (Part(Who.APPLICATION, APPLICATION), Part(Who.LAUNCHER, LAUNCHER, requests=True))
_DOWNLOADED = (*_FETCHED, Part(Who.MEDIA, DESTINATION_MEDIA))
_WRITTEN = (
    Part(Who.CALLER, SOURCE_ROLE, requests=True),
    Part(Who.PROCESS, SOURCE_ROLE),
    Part(Who.MEDIA, DESTINATION_MEDIA),
)
_READ = (
    Part(Who.CALLER, DESTINATION_ROLE, requests=True),
    Part(Who.PROCESS, DESTINATION_ROLE),
    Part(Who.MEDIA, SOURCE_MEDIA),
)
_ONCE = (
    "There is one record, made before the first object leaves; a Begin Transferring (110102) alone "
    "would be missed where transfers are counted."
)


_transferred = partial(Kind, INSTANCES_TRANSFERRED, of_patient=True)
_accessed = partial(Kind, INSTANCES_ACCESSED, parts=_USED, of_patient=True)
_deleted = partial(Kind, STUDY_DELETED, "D", parts=_USED, of_patient=True)
_exported = partial(Kind, EXPORT, "R", of_patient=True, life_cycle=COPIED_OUT)
_alert = partial(Kind, SECURITY_ALERT, "E", _TOLD, subject=Subject.PROCESS)
_ran = partial(Kind, APPLICATION_ACTIVITY, "E", _RUN)
_read_trail = partial(Kind, AUDIT_LOG_USED, "R", _USED, subject=Subject.TRAIL)
_signed = partial(Kind, USER_AUTHENTICATION, "E", _USED)

# Action -> its kinds: the first whose `when` fits counts, and the last of them fits all.
KINDS: Mapping[AuditAction, tuple[Kind, ...]] = {
    AuditAction.STORE: (
        _transferred(
            "C",
            parts=_STORED,
            life_cycle=COPIED_IN,
            why="Every store is kept as a version of its own, by its digest: it is created.",
        ),
    ),
    AuditAction.QUERY: (
        Kind(
            QUERY,
            "E",
            _ASKED,
            subject=Subject.SEARCH,
            why="The record holds keys with their values and no data set: so the search is named "
            "by its criteria, and not by a SOP class.",
        ),
    ),
    AuditAction.RETRIEVE: (
        _transferred(
            "R",
            parts=_FETCHED,
            life_cycle=COPIED_OUT,
            when=r"\w+ (C-GET|(WADO-RS|WADO-URI|gRPC RetrieveObjects)$|gRPC GetObject)",
            said="whole instances: C-GET, WADO-RS, WADO-URI, gRPC",
            why=_ONCE,
        ),
        _accessed(
            "R", life_cycle=USED, said="parts of them: metadata, frames, bulk data, rendered"
        ),
    ),
    AuditAction.EXPORT: (
        _transferred(
            "R",
            parts=_MOVED,
            life_cycle=COPIED_OUT,
            when=r"\w+ C-MOVE",
            said="C-MOVE",
            why=_ONCE,
        ),
        _exported(
            parts=_DOWNLOADED, when=r"\w+ WADO-RS", said="to a file of the caller: WADO-RS, ZIP"
        ),
        _exported(parts=_WRITTEN, said="to files here: backup, restore"),
    ),
    AuditAction.DELETE: (
        _accessed(
            "U",
            life_cycle=AMENDED,
            when=r"\w+ restored ",
            said="restored",
            why="There is no event for it: the instances are changed, back to being found.",
        ),
        _deleted(life_cycle=DESTROYED, when="study destroys ", said="a study, destroyed for good"),
        _deleted(life_cycle=DELETED, when="study ", said="a study"),
        _accessed(
            "D",
            life_cycle=DESTROYED,
            when=r"\w+ destroys ",
            said="a series or an instance, destroyed for good",
        ),
        _accessed("D", life_cycle=DELETED, said="a series, an instance, an object of a deletion"),
    ),
    AuditAction.CONFLICT: (
        _accessed(
            "U",
            life_cycle=AMENDED,
            why="The store is recorded as a transfer; this is the choice of the version that "
            "answers, an update of what was held.",
        ),
    ),
    AuditAction.START: (_ran((APPLICATION_START,)),),
    AuditAction.STOP: (_ran((APPLICATION_STOP,)),),
    AuditAction.SECURITY: (
        _alert((NETWORK_CONFIGURATION,), when=r"\w+ AE directory", said="the AE directory"),
        _alert((RESTRICTED_FUNCTION,), when=r"\w+ dead letter", said="dead letters"),
        _alert((SECURITY_CONFIGURATION,), said="anything else"),
    ),
    AuditAction.IMPORT: (Kind(IMPORT, "C", _READ, life_cycle=COPIED_IN, of_patient=True),),
    AuditAction.VERIFY: (
        _read_trail(when=r"\w+ audit trail", said="the trail itself"),
        _accessed(
            "R",
            life_cycle=VERIFIED,
            said="objects, for a storage commitment",
            why="What is kept is read to compare it; the life cycle of the objects says that "
            "it was to verify them.",
        ),
    ),
    AuditAction.AUDIT: (
        _read_trail(when=r"\w+ audit trail", said="looked at"),
        _alert((RESTRICTED_FUNCTION,), when=r"\w+ records \d+ to", said="records that expired"),
        _alert(
            (SECURITY_CONFIGURATION,),
            said="changes beside it: legal holds, saved searches, keys",
            why="Audit Log Used is for reading alone.",
        ),
    ),
    AuditAction.SIGN_IN: (_signed((LOGIN,)),),
    AuditAction.SIGN_OUT: (_signed((LOGOUT,)),),
    AuditAction.NETWORK: (
        _alert(
            (NODE_AUTHENTICATION,),
            subject=Subject.CALLER,
            why="A peer that connects, or is refused, is a node that is authenticated; Network "
            "Entry is for a machine that is attached to the network or taken off it.",
        ),
    ),
}

_PATTERNS = {kind: re.compile(kind.when) for kinds in KINDS.values() for kind in kinds}


def kind_of(event: AuditEvent) -> Kind:
    """The kind of a record. Patterns see the deepest level that the record names, and its detail:
    "series deleted 17", "none backup"."""
    kinds = KINDS[event.action]
    if len(kinds) == 1:
        return kinds[0]
    told = f"{_level(event)} {event.detail}"
    return next(kind for kind in kinds if _PATTERNS[kind].match(told))


def _level(event: AuditEvent) -> str:
    if event.instances:
        return "instance"
    if event.series:
        return "series"
    return "study" if event.studies else "none"


def purpose_code(purpose: str) -> Code:
    """A purpose of use: of HL7's, where it is the code of one, or else in the caller's words."""
    meaning = _PURPOSES.get(purpose.strip().upper())
    if meaning is None:
        return Code("other", PRIVATE, purpose)
    return Code(purpose.strip().upper(), ACT_REASON, meaning)


def source_type(event: AuditEvent) -> str:
    """AuditSourceTypeCode of who made the record."""
    return _SOURCE_TYPES.get(event.source.protocol, APPLICATION_SERVER)
