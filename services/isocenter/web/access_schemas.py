"""JSON schemas of links and marks (`web.access_rest`), for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping

from isocenter.web.operation import UID

_TEXT: Mapping[str, object] = {"type": "string"}
_TIME: Mapping[str, object] = {"type": "string", "format": "date-time"}
_NUMBER: Mapping[str, object] = {"type": "integer", "minimum": 0}
_ID: Mapping[str, object] = {"type": "string", "pattern": "^[0-9a-f]{32}$"}

_LINK: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "id": _ID,
        "study": UID,
        **dict.fromkeys(("label", "made_by"), _TEXT),
        **dict.fromkeys(("made_at", "ends_at"), _TIME),
        "passcode": {"type": "boolean", "description": "whether one is asked for"},
        "openings": {**_NUMBER, "description": "how often it can be opened; 0: any number"},
        "opened": _NUMBER,
        "download": {"type": "boolean", "description": "whether objects can be taken away"},
    },
    "additionalProperties": False,
}
_MARK: Mapping[str, object] = {
    "description": "A patient or a study; fields that are empty are left out",
    "type": "object",
    "required": ["id"],
    "properties": {"id": _ID, **dict.fromkeys(("patient", "issuer", "study", "reason"), _TEXT)},
    "additionalProperties": False,
}

SCHEMAS: Mapping[str, Mapping[str, object]] = {
    "Links": {
        "type": "object",
        "required": ["links"],
        "properties": {"links": {"type": "array", "items": _LINK}},
    },
    "MadeLink": {
        "description": "The address is told this once",
        "type": "object",
        "required": ["id", "url"],
        "properties": {"id": _ID, "url": {"type": "string", "format": "uri"}},
        "additionalProperties": False,
    },
    "Marks": {
        "type": "object",
        "required": ["marks"],
        "properties": {"marks": {"type": "array", "items": _MARK}},
    },
    "Mark": _MARK,
}
