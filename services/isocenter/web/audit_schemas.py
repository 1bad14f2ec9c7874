"""JSON schemas of what is told of the audit trail (`web.audit_json`), for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.core.audit import By
from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_ids import PATTERN
from isocenter.web.audit_filters import EXACT, MOMENTS, REPEATED, TEXT, UIDS

Schema = Mapping[str, object]

ACTIONS: Schema = {"enum": [action.value for action in AuditAction]}
OUTCOMES: Schema = {"enum": [outcome.value for outcome in AuditOutcome]}
BYS: Schema = {"enum": [by.value for by in By]}

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MOMENT: Schema = {"type": "string", "description": "ISO 8601 in UTC, or empty"}
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

_SOURCE: Schema = {
    "description": "who did it, as far as the protocol tells",
    "type": "object",
    "properties": {
        **dict.fromkeys(
            ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject", "purpose"),
            _TEXT,
        ),
        "known": {"type": "boolean", "description": "false for a peer that the settings lack"},
    },
    "additionalProperties": False,
}
_RECORD: Schema = {
    "description": "A record in its place; fields that are empty are left out",
    "type": "object",
    "required": ["name", "id", "at", "action", "outcome", "source", "chain", "sequence"],
    "properties": {
        "name": {"type": "string", "pattern": f"^{PATTERN}$", "description": "in addresses"},
        "id": _TEXT,
        "at": _TIME,
        "action": ACTIONS,
        "outcome": OUTCOMES,
        "source": _SOURCE,
        **dict.fromkeys(("patient_ids", "studies", "series", "instances", "digests"), _TEXTS),
        "instance_count": _NUMBER,
        **dict.fromkeys(
            (
                "partition", "detail", "destination", "error", "query", "process", "site", "trace",
            ),
            _TEXT,
        ),
        "chain": _TEXT,
        "sequence": {**_NUMBER, "description": "its number in the chain, from 1"},
    },
    "additionalProperties": False,
}  # fmt: skip
_HEAD: Schema = {
    "description": "The end of a chain, as it was sealed",
    "type": "object",
    "required": ["chain", "last", "head", "seal", "at"],
    "properties": {
        "chain": _TEXT, "last": _NUMBER, "head": _DIGEST, "seal": _DIGEST, "at": _TIME,
    },
}  # fmt: skip
_KEY: Schema = {
    "description": "A key that seals are signed with",
    "type": "object",
    "required": ["number", "id", "since", "introduced_by"],
    "properties": {
        "number": _NUMBER,
        "id": {**_DIGEST, "description": "SHA-256 of the public key: its fingerprint"},
        "since": _TIME,
        "introduced_by": _DIGEST,
    },
}
_FINDING: Schema = {
    "description": "Something that is not as it was sealed",
    "type": "object",
    "required": ["what"],
    "properties": {
        "what": _TEXT, "chain": _TEXT, "first": _NUMBER, "last": _NUMBER, "since": _TEXT,
        "until": _TEXT,
    },
}  # fmt: skip
_VERIFICATION: Schema = {
    "description": "How far a verification is, or its result",
    "type": "object",
    "required": ["records", "total", "segments", "chains", "expired", "findings", "done"],
    "properties": {
        "records": {**_NUMBER, "description": "that are verified"},
        "total": {**_NUMBER, "description": "that are sealed, about"},
        "segments": _NUMBER,
        "chains": _TEXTS,
        "expired": {**_NUMBER, "description": "that retention removed"},
        "since": _MOMENT,
        "until": _MOMENT,
        "keys": {"type": "array", "items": _KEY},
        "findings": {"type": "array", "items": _FINDING},
        "done": {"type": "boolean"},
    },
}
_FILTER: Schema = {
    "description": "as the parameters of a search; what is left out matches everything",
    "type": "object",
    "properties": {
        **dict.fromkeys((*MOMENTS, *EXACT, *UIDS, TEXT), _TEXT),
        **{
            name: {"type": "array", "items": {"enum": [member.value for member in kind]}}
            for name, (_, kind) in REPEATED.items()
        },
    },
    "additionalProperties": False,
}
_BY_AT: Mapping[str, Schema] = {"by": _TEXT, "at": _TIME}


def _list_of(schema: str, name: str) -> Schema:
    items = {"$ref": f"#/components/schemas/{schema}"}
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"type": "array", "items": items}},
    }


SCHEMAS: Mapping[str, Schema] = {
    "AuditRecord": _RECORD,
    "AuditRecords": {
        "type": "object",
        "required": ["records", "total", "next"],
        "properties": {
            "records": {"type": "array", "items": {"$ref": "#/components/schemas/AuditRecord"}},
            "total": {**_NUMBER, "description": "that pass the filter, on all pages"},
            "next": {"type": ["string", "null"], "description": "address of the next page"},
        },
    },
    "AuditStory": _list_of("AuditRecord", "records"),
    "AuditCount": {"type": "object", "required": ["count"], "properties": {"count": _NUMBER}},
    "AuditTallies": {
        "type": "object",
        "required": ["by", "tallies"],
        "properties": {
            "by": {"type": "array", "items": BYS},
            "tallies": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["count"],
                    "properties": {**{by.value: _TEXT for by in By}, "count": _NUMBER},
                    "additionalProperties": False,
                },
            },
        },
    },
    "AuditState": {
        "description": "The trail at one glance",
        "type": "object",
        "required": ["heads", "keys", "records", "sealed", "problems", "holds"],
        "properties": {
            "heads": {"type": "array", "items": _HEAD},
            "keys": {"type": "array", "items": _KEY},
            "records": {**_NUMBER, "description": "that can be found"},
            "sealed": {**_NUMBER, "description": "those that expired among them"},
            "problems": _TEXTS,
            "holds": _NUMBER,
        },
    },
    "AuditVerification": _VERIFICATION,
    "AuditProof": {
        "description": "An inclusion proof, which can be checked offline",
        "type": "object",
    },
    "SavedSearch": {
        "type": "object",
        "required": ["name", "filter", "by", "at"],
        "properties": {
            "name": _TEXT,
            "filter": _FILTER,
            "days": {**_NUMBER, "description": "instead of since: the last so many days"},
            **_BY_AT,
        },
    },
    "SavedSearches": _list_of("SavedSearch", "searches"),
    "LegalHold": {
        "description": "While there is one, nothing expires",
        "type": "object",
        "required": ["name", "reason", "by", "at"],
        "properties": {"name": _TEXT, "reason": _TEXT, **_BY_AT},
    },
    "LegalHolds": _list_of("LegalHold", "holds"),
    "FhirResource": {
        "description": "A resource of FHIR R4",
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": _TEXT},
    },
}
