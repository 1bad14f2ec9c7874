"""/api/openapi.json: the whole HTTP surface as an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import orjson

from isocenter import __version__
from isocenter.core.access import Right
from isocenter.core.dictionary import LONG_VRS, SHORT_VRS
from isocenter.runtime.aes import KnownAE
from isocenter.web import cookies
from isocenter.web.access_schemas import SCHEMAS as ACCESS_SCHEMAS
from isocenter.web.admission import SAFE
from isocenter.web.audit_schemas import SCHEMAS as AUDIT_SCHEMAS
from isocenter.web.exchange import DICOMWEB, Exchange
from isocenter.web.operation import Door, Operation, Parameter
from isocenter.web.operations import OPERATIONS, PATH_PARAMETERS

_PROBLEM = "application/problem+json"
# Malformed requests, of somebody unknown, too many of them; ourselves; what we depend on.
_EVERYWHERE = (400, 401, 429, 500, 503)
_FOREIGN = 403  # to whoever lacks the right, and to the page of another site
_KNOWN_BY: Mapping[str, Mapping[str, object]] = {
    "token": {
        "type": "http", "scheme": "bearer",
        "description": "of `isocenter token`, or an access token of the identity provider",
    },
    "session": {
        "type": "apiKey", "in": "cookie", "name": cookies.SESSION,
        "description": "of a browser that is signed in; over TLS its name begins with __Host-",
    },
}  # fmt: skip

_ELEMENT: Mapping[str, object] = {
    "type": "object",
    "required": ["vr"],
    "properties": {
        "vr": {"enum": sorted(SHORT_VRS | LONG_VRS)},
        "Value": {"type": "array"},
        "BulkDataURI": {"type": "string"},
        "InlineBinary": {"type": "string", "contentEncoding": "base64"},
    },
    "additionalProperties": False,
}
_NUMBER: Mapping[str, object] = {"type": "integer", "minimum": 0}
_TIME: Mapping[str, object] = {"type": "string", "format": "date-time"}
_DELETION: Mapping[str, object] = {
    "description": "What was deleted together",
    "type": "object",
    "required": ["id", "study", "instances", "objects", "bytes", "deleted", "at", "keptUntil"],
    "properties": {
        "id": {"type": "string"},
        "study": {"type": "string", "description": "Study Instance UID"},
        "series": {"type": "string", "description": "Series Instance UID, of less than a study"},
        "instance": {"type": "string", "description": "SOP Instance UID, of one instance"},
        "instances": _NUMBER,
        "objects": {**_NUMBER, "description": "all kept versions of the instances"},
        "bytes": _NUMBER,
        "deleted": {**_NUMBER, "description": "of the objects, those that are deleted now"},
        "at": _TIME,
        "keptUntil": {**_TIME, "description": "until then it can be restored"},
        "by": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_AE = KnownAE.model_json_schema(ref_template="#/components/schemas/{model}")
SCHEMAS: Mapping[str, Mapping[str, object]] = {
    **_AE.pop("$defs"),
    "KnownAE": _AE,
    "AEEntry": {
        "description": "An AE of the directory",
        "type": "object",
        "required": ["ae", "source"],
        "properties": {
            "ae": {"$ref": "#/components/schemas/KnownAE"},
            "source": {"enum": ["settings", "directory"], "description": "where it is kept"},
            "by": {"type": "string", "description": "who changed it last, in the directory"},
            "at": _TIME,
        },
    },
    "AEs": {
        "type": "object",
        "required": ["aes"],
        "properties": {"aes": {"type": "array", "items": {"$ref": "#/components/schemas/AEEntry"}}},
    },
    "DataSet": {
        "description": "DICOM JSON Model (PS3.18 F.2)",
        "type": "object",
        "patternProperties": {"^[0-9A-F]{8}$": _ELEMENT},
        "additionalProperties": False,
    },
    "DataSets": {"type": "array", "items": {"$ref": "#/components/schemas/DataSet"}},
    "Problem": {
        "description": "Problem document (RFC 9457)",
        "type": "object",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "what is wrong, and what to do"},
            "instance": {"type": "string", "description": "names the request in our logs"},
        },
    },
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string"},
            "problems": {"type": "array", "items": {"type": "string"}},
        },
    },
    "Deletion": _DELETION,
    "Deletions": {
        "type": "object",
        "required": ["deletions"],
        "properties": {
            "deletions": {"type": "array", "items": {"$ref": "#/components/schemas/Deletion"}}
        },
    },
    **AUDIT_SCHEMAS,
    **ACCESS_SCHEMAS,
    "Document": {"type": "object"},
}


async def openapi(exchange: Exchange) -> None:
    """The document, with the address by which this client reaches us."""
    server = {"url": exchange.root.removesuffix(DICOMWEB)}
    body = orjson.dumps({**document(), "servers": [server]})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache")]
    await exchange.answer(200, headers, body)


@cache
def document() -> Mapping[str, Any]:
    """The document without its servers."""
    paths = {
        template.replace("...", ""): _path_item(template, methods)
        for template, methods in OPERATIONS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Isocenter",
            "version": __version__,
            "description": "DICOMweb (PS3.18) and what comes with it; errors are problem documents",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{name: []} for name in _KNOWN_BY],
        "paths": paths,
        "components": {
            "securitySchemes": _KNOWN_BY,
            "schemas": SCHEMAS,
            "parameters": _parameters(),
            "responses": {
                f"Problem{status}": {
                    "description": HTTPStatus(status).phrase,
                    "content": {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status in sorted(_error_statuses())
            },
        },
    }


def _error_statuses() -> set[int]:
    return {*_EVERYWHERE, _FOREIGN} | {
        status
        for methods in OPERATIONS.values()
        for operation in methods.values()
        for status in operation.errors
    }


def _parameters() -> Mapping[str, object]:
    """Those of the queries, each once."""
    return {
        _key(one): {
            "name": one.name,
            "in": "query",
            "description": one.description,
            "schema": one.schema,
            **({"style": "form", "explode": True} if one.others else {}),
        }
        for alike in _alike().values()
        for one in alike
    }


@cache
def _alike() -> Mapping[str, Sequence[Parameter]]:
    """Parameters of the queries by their names, which may mean something else elsewhere."""
    found: dict[str, list[Parameter]] = {}
    for methods in OPERATIONS.values():
        for operation in methods.values():
            for one in operation.parameters:
                alike = found.setdefault(one.name, [])
                if one not in alike:
                    alike.append(one)
    return found


def _key(parameter: Parameter) -> str:
    at = _alike()[parameter.name].index(parameter)
    return f"query.{parameter.name}.{at + 1}" if at else f"query.{parameter.name}"


def _path_item(template: str, methods: Mapping[str, Operation]) -> Mapping[str, object]:
    names = re.findall(r"\{(\w+)", template)
    item: dict[str, object] = {}
    if names:
        item["parameters"] = [_path_parameter(PATH_PARAMETERS[name]) for name in names]
    for method, operation in methods.items():
        item[method.lower()] = _operation(method, operation)
    item.setdefault("options", _options(max(one.errors_in for one in methods.values())))
    return item


def _path_parameter(parameter: Parameter) -> Mapping[str, object]:
    return {
        "name": parameter.name, "in": "path", "required": True,
        "description": parameter.description, "schema": parameter.schema,
    }  # fmt: skip


def _options(errors_in: str) -> Mapping[str, object]:
    allow = {"description": "the methods", "schema": {"type": "string"}}
    answer = {"description": "The methods of this resource", "headers": {"Allow": allow}}
    errors = {str(status): _error(status, errors_in) for status in (400, 401, 429)}
    return {
        "summary": "Ask for the methods",
        "responses": {"204": answer, **errors},
        "security": [],
    }


def _operation(method: str, operation: Operation) -> Mapping[str, object]:
    responses: dict[str, object] = {
        str(status): _response(method, status, media, operation.schema)
        for status, media in operation.answers.items()
    }
    refused = isinstance(operation.needs, Right) or method not in SAFE
    for status in sorted({*_EVERYWHERE, *operation.errors, *([_FOREIGN] if refused else ())}):
        responses.setdefault(str(status), _error(status, operation.errors_in))
    described: dict[str, object] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.needs is Door.OPEN:
        described["security"] = []
    if operation.section:
        described["description"] = f"PS3.18 {operation.section}"
        described["tags"] = ["DICOMweb"]
    if operation.parameters:
        described["parameters"] = [
            {"$ref": f"#/components/parameters/{_key(one)}"} for one in operation.parameters
        ]
    if operation.takes:
        described["requestBody"] = {
            "required": True,
            "content": {media: {} for media in operation.takes},
        }
    return described


def _error(status: int, media: str) -> Mapping[str, object]:
    if media:
        return {"description": HTTPStatus(status).phrase, "content": {media: {}}}
    return {"$ref": f"#/components/responses/Problem{status}"}


def _response(method: str, status: int, media: Sequence[str], schema: str) -> Mapping[str, object]:
    response: dict[str, object] = {"description": HTTPStatus(status).phrase}
    if media and method != "HEAD":
        response["content"] = {one: _content(one, schema) for one in media}
    return response


def _content(media: str, schema: str) -> Mapping[str, object]:
    of_json = schema and media.endswith("json")
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}} if of_json else {}
