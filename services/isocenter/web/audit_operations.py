"""What the routes of the audit trail take and answer: rows of `web.operations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from isocenter.core.access import Right
from isocenter.core.audit import By
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_export.forms import FORMS
from isocenter.runtime.audit_ids import PATTERN
from isocenter.runtime.audit_texts import LANGUAGES
from isocenter.web import audit_desk, audit_fhir, audit_notes, audit_page, audit_rest
from isocenter.web.audit_common import ROOT
from isocenter.web.audit_exports import EXPORT
from isocenter.web.audit_fhir_answers import FHIR_JSON
from isocenter.web.audit_fhir_search import PARAMETERS as FHIR_PARAMETERS
from isocenter.web.audit_filters import MAX_LIMIT
from isocenter.web.audit_rest import JSON_LINES
from isocenter.web.negotiation import JSON
from isocenter.web.operation import UID, Door, Operation, Parameter
from isocenter.web.shell import STATIC
from isocenter.web.small_bodies import FORM

NO_PATIENT_DATA = "it touches no patient data"

PATH_PARAMETERS: Sequence[Parameter] = (
    Parameter("record", "name of an audit record", {"type": "string", "pattern": f"^{PATTERN}$"}),
    Parameter("name", "name of what is kept, slashes included"),
    Parameter("resource", "what there is nothing of"),
)


def _one_of(values: Sequence[str]) -> Mapping[str, object]:
    return {"enum": list(values)}


def _some_of(values: Sequence[str]) -> Mapping[str, object]:
    return {"type": "array", "items": _one_of(values)}


def _number(least: int, most: int) -> Mapping[str, object]:
    return {"type": "integer", "minimum": least, "maximum": most}


_ACTIONS = _some_of([one.value for one in AuditAction])
_OUTCOMES = _some_of([one.value for one in AuditOutcome])
FILTER = (
    Parameter("since", "not before: a date or a time, in UTC unless it says another zone"),
    Parameter("until", "before: a date or a time"),
    Parameter("action", "what was done; may be repeated", _ACTIONS),
    Parameter("outcome", "how it ended; may be repeated", _OUTCOMES),
    Parameter("who", "user, AE title, address or TLS subject, exactly"),
    Parameter("patient", "Patient ID, exactly"),
    Parameter("study", "Study Instance UID", UID),
    Parameter("instance", "SOP Instance UID", UID),
    Parameter("place", "site, partition or destination, exactly"),
    Parameter("text", "words, each of which begins a word of the record"),
)
_PAGE = (
    Parameter("limit", "most records of a page", _number(1, MAX_LIMIT)),
    Parameter("before", "id of the last record of the page before"),
)
_BY = Parameter("by", "what is counted by; may be repeated", _some_of([one.value for one in By]))
_EXPORT = (
    Parameter("form", "form of the file", _one_of(list(FORMS))),
    Parameter("verify", "verify the trail before, and say so in a report", {"type": "boolean"}),
    Parameter("lang", "language of a report", _one_of(LANGUAGES)),
)


def _read(id_: str, summary: str, schema: str, parameters: Sequence[Parameter] = (),
          errors: Sequence[int] = ()) -> Operation:  # fmt: skip
    return Operation(
        id_, summary, parameters=parameters, answers={200: [JSON]}, schema=schema,
        errors=errors, audited=AuditAction.AUDIT, needs=Right.AUDIT,
    )  # fmt: skip


def _change(id_: str, summary: str, answers: Sequence[int], schema: str = "",
            errors: Sequence[int] = ()) -> Operation:  # fmt: skip
    return Operation(
        id_, summary, answers={status: [JSON] if schema else [] for status in answers},
        schema=schema, errors=errors, audited=AuditAction.AUDIT, needs=Right.HOLD,
        takes=[JSON] if schema else (),
    )  # fmt: skip


_KEPT = (408, 413, 415)

_REST: Mapping[str, Mapping[str, Operation]] = {
    audit_rest.RECORDS: {"GET": _read(
        "searchAuditRecords", "Search the audit trail, newest first", "AuditRecords",
        (*FILTER, *_PAGE),
    )},
    audit_rest.RECORD: {"GET": _read(
        "getAuditRecord", "A record of the audit trail", "AuditRecord", errors=(404,),
    )},
    audit_rest.PROOF: {"GET": _read(
        "proveAuditRecord", "The inclusion proof of a record", "AuditProof", errors=(404,),
    )},
    audit_rest.COUNT: {"GET": _read(
        "countAuditRecords", "How many records there are", "AuditCount", FILTER,
    )},
    audit_rest.TALLY: {"GET": _read(
        "tallyAuditRecords", "How many there are of each kind", "AuditTallies", (_BY, *FILTER),
    )},
    audit_rest.STORY: {"GET": _read(
        "tellStoryOfObject", "All that happened to an object, oldest first", "AuditStory",
    )},
    audit_rest.STATE: {"GET": _read(
        "getAuditState", "The audit trail at one glance", "AuditState",
    )},
    audit_rest.VERIFICATION: {"POST": Operation(
        "verifyAuditTrail", "Verify all that is sealed; as JSON lines it tells how far it is",
        takes=[JSON], answers={200: [JSON_LINES, JSON]}, schema="AuditVerification",
        errors=(406, *_KEPT), audited=AuditAction.VERIFY, needs=Right.AUDIT,
    )},
    EXPORT: {"GET": Operation(
        "exportAuditRecords", "All records that pass a filter, as a file",
        parameters=(*_EXPORT, *FILTER),
        answers={200: [form.media_type.partition(";")[0] for form in FORMS.values()]},
        audited=AuditAction.AUDIT, needs=Right.AUDIT,
    )},
    audit_notes.SEARCHES: {"GET": _read(
        "listSavedSearches", "Saved searches of the audit trail", "SavedSearches",
    )},
    audit_notes.SEARCH: {
        "GET": _read("getSavedSearch", "A saved search", "SavedSearch", errors=(404,)),
        "PUT": _change("saveSearch", "Save a search", (200, 201), "SavedSearch", _KEPT),
        "DELETE": _change("forgetSearch", "Remove a saved search", (204,), errors=(404,)),
    },
    audit_notes.HOLDS: {"GET": _read("listLegalHolds", "The legal holds", "LegalHolds")},
    audit_notes.HOLD: {
        "GET": _read("getLegalHold", "A legal hold", "LegalHold", errors=(404,)),
        "PUT": _change("placeLegalHold", "Let nothing expire", (201,), "LegalHold", (*_KEPT, 409)),
        "DELETE": _change("releaseLegalHold", "End a legal hold", (204,), errors=(404,)),
    },
}  # fmt: skip

_FHIR_SEARCH = (
    *(Parameter(one.name, one.says) for one in FHIR_PARAMETERS.values()),
    Parameter("_count", "most resources of a page; 0: the total alone", _number(0, 999_999_999)),
    Parameter("_sort", "the order", _one_of(["-date"])),
    Parameter("_format", "the form: JSON", _one_of(["json", JSON, FHIR_JSON])),
)


def _fhir(id_: str, summary: str, parameters: Sequence[Parameter] = ()) -> Operation:
    return Operation(
        id_, summary, parameters=parameters, answers={200: [FHIR_JSON]}, schema="FhirResource",
        errors=(404, 406), audited=AuditAction.AUDIT, needs=Right.AUDIT, errors_in=FHIR_JSON,
    )  # fmt: skip


_FHIR: Mapping[str, Mapping[str, Operation]] = {
    audit_fhir.METADATA: {"GET": replace(
        _fhir("fhirMetadata", "The CapabilityStatement of the FHIR server"),
        audited=NO_PATIENT_DATA,
    )},
    audit_fhir.EVENTS: {"GET": _fhir(
        "searchAuditEvents", "Search AuditEvent resources (IHE ITI-81)", _FHIR_SEARCH,
    )},
    audit_fhir.SEARCH: {"POST": replace(
        _fhir("searchAuditEventsByPost", "The same with the parameters in a form"),
        takes=[FORM], errors=(404, 406, *_KEPT),
    )},
    audit_fhir.EVENT: {"GET": _fhir("readAuditEvent", "An AuditEvent resource")},
    audit_fhir.OTHERS: {"GET": replace(
        _fhir("otherFhirResources", "There are no other resources"),
        answers={}, schema="", audited="there is nothing",
    )},
}  # fmt: skip


def _page(id_: str, summary: str, *parameters: Parameter, errors: Sequence[int] = ()) -> Operation:
    return Operation(
        id_, summary, parameters=(*parameters, LANGUAGE), answers={200: [HTML]},
        errors=errors, audited=AuditAction.AUDIT, needs=Right.AUDIT, errors_in=HTML,
    )  # fmt: skip


def _deed(id_: str, summary: str, errors: Sequence[int] = ()) -> Operation:
    return Operation(
        id_, summary, parameters=(LANGUAGE,), takes=[FORM], answers={303: []},
        errors=(*_KEPT, *errors), audited=AuditAction.AUDIT, needs=Right.HOLD, errors_in=HTML,
    )  # fmt: skip


HTML = "text/html"
LANGUAGE = Parameter("lang", "language of the page", _one_of(LANGUAGES))
_BEFORE = _PAGE[1]
_PAGES: Mapping[str, Mapping[str, Operation]] = {
    ROOT: {"GET": _page("auditOverviewPage", "The audit trail for people: overview")},
    audit_page.SEARCH: {"GET": _page(
        "auditSearchPage", "Search, for people", *FILTER, *_PAGE,
    )},
    audit_page.PATIENT: {"GET": _page(
        "auditPatientPage", "Accesses to a patient", Parameter("id", "Patient ID"), _BEFORE,
    )},
    audit_page.PERSON: {"GET": _page(
        "auditPersonPage", "What a person did",
        Parameter("id", "user, AE title, address or TLS subject"), _BEFORE,
    )},
    audit_page.STUDY: {"GET": _page(
        "auditStudyPage", "Accesses to a study",
        Parameter("id", "Study Instance UID", UID), _BEFORE,
    )},
    audit_page.OBJECT: {"GET": _page(
        "auditObjectPage", "All that happened to an object",
        Parameter("id", "SOP Instance UID", UID),
    )},
    audit_page.RECORD: {"GET": _page("auditRecordPage", "One record", errors=(404,))},
    audit_desk.VERIFICATION: {
        "GET": _page("auditVerificationPage", "The last verification"),
        "POST": replace(
            _page("auditVerifyPage", "Verify the trail; the page comes as that goes on"),
            takes=[FORM], errors=_KEPT, audited=AuditAction.VERIFY, needs=Right.AUDIT,
        ),
    },
    audit_desk.SEARCHES: {"POST": _deed("saveSearchByForm", "Save a search")},
    audit_desk.FORGOTTEN: {"POST": _deed("forgetSearchByForm", "Remove a saved search", (404,))},
    audit_desk.HOLDS: {"POST": _deed("placeLegalHoldByForm", "Place a legal hold", (409,))},
    audit_desk.RELEASED: {"POST": _deed("releaseLegalHoldByForm", "End a legal hold", (404,))},
    STATIC: {"GET": Operation(
        "auditStaticFile", "A file of these pages",
        answers={200: ["text/css", "image/svg+xml"], 304: []}, errors=(404, 412),
        audited=NO_PATIENT_DATA, needs=Door.OPEN,
    )},
}  # fmt: skip

ROUTES: Mapping[str, Mapping[str, Operation]] = {**_REST, **_FHIR, **_PAGES}
