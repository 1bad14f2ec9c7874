"""What a FHIR server says of itself and of errors: CapabilityStatement and OperationOutcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from isocenter import __version__
from isocenter.web.audit_fhir_search import PARAMETERS, Parameter
from isocenter.web.problems import Headers, Problem

FHIR_JSON = "application/fhir+json"
FHIR_VERSION = "4.0.1"
HEADERS: Headers = (
    (b"content-type", FHIR_JSON.encode("ascii")),
    (b"cache-control", b"no-store"),
)
_SINCE = "2026-11-26"  # of this description
_DEFINITIONS = "http://hl7.org/fhir/SearchParameter"

# HTTP status -> code of http://hl7.org/fhir/issue-type
_ISSUES: Mapping[int, str] = {
    400: "invalid",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    409: "conflict",
    413: "too-long",
    415: "not-supported",
    503: "transient",
    504: "timeout",
}

Resource = Mapping[str, Any]


def outcome(severity: str, code: str, texts: Sequence[str]) -> Resource:
    """Issues of one kind."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": text} for text in texts],
    }


def told(problem: Problem, request_id: str) -> tuple[Headers, bytes]:
    """An error in the form that FHIR has for it: header fields and the body."""
    code = _ISSUES.get(problem.status, "exception")
    text = f"{problem.detail} (request {request_id})"
    return HEADERS, orjson.dumps(outcome("error", code, [text]))


def capabilities(base: str) -> Resource:
    """The CapabilityStatement of the server at this root of FHIR."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _SINCE,
        "kind": "instance",
        "software": {"name": "Isocenter", "version": __version__},
        "implementation": {"description": "The audit trail of Isocenter", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["json", FHIR_JSON],
        "rest": [{"mode": "server", "documentation": _ABOUT, "resource": [_audit_events()]}],
    }


_ABOUT = (
    "The Audit Record Repository of IHE ITI-81 (Retrieve ATNA Audit Event): searched and read,"
    " never changed. Every search and reading is itself recorded in the trail."
)


def _audit_events() -> Resource:
    return {
        "type": "AuditEvent",
        "documentation": "Answers are exact, newest first; a total that cannot be told exactly is"
        " left out. The only order is -date.",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "searchParam": [_parameter(one) for one in PARAMETERS.values()],
    }


def _parameter(one: Parameter) -> Resource:
    defined = {} if one.chained or one.name == "_id" else {
        "definition": f"{_DEFINITIONS}/AuditEvent-{one.name}"
    }  # fmt: skip
    return {"name": one.name, **defined, "type": one.type, "documentation": one.says}
