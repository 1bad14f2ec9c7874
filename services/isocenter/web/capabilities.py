"""Retrieve Capabilities (PS3.18 8.9 and Annex H): a WADL document that describes the resources
below the DICOMweb root, in XML or in the JSON of Annex G.

The standard's request is OPTIONS to the root; GET answers the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

import orjson

from isocenter.web import negotiation
from isocenter.web.conditions import Validators, tag_of
from isocenter.web.exchange import DICOMWEB, Exchange
from isocenter.web.negotiation import JSON
from isocenter.web.operation import Operation, Parameter
from isocenter.web.operations import OPERATIONS, PATH_PARAMETERS, WADL

_NAMESPACES = {
    "@xmlns": "http://wadl.dev.java.net/2009/02",
    "@xmlns:xs": "http://www.w3.org/2001/XMLSchema",
}
_TYPES = {"integer": "xs:nonNegativeInteger", "boolean": "xs:boolean"}

# An element as Annex G has it: attributes as "@name", unique children as objects, children that
# may come several times as arrays, in the order that WADL asks for.
_Element = dict[str, Any]


async def capabilities(exchange: Exchange) -> None:
    """The description of everything below the root."""
    exchange.parameters("accept")
    media = negotiation.pick(exchange, (WADL, JSON))
    application = description(exchange.root)
    body = to_xml(application) if media == WADL else orjson.dumps(application)
    known = Validators(tag_of([body]))
    if await known.settled(exchange):
        return
    allow = (b"allow", b"GET, HEAD, OPTIONS")
    headers = [*known.headers, allow, (b"content-type", media.encode("ascii"))]
    await exchange.answer(200, headers, body)


def description(root: str) -> _Element:
    """The document, of the service that clients reach at `root`."""
    resources = {"@base": root, "resource": _resources()}
    return {"application": {**_NAMESPACES, "resources": resources}}


@cache
def _resources() -> list[_Element]:
    """The tree of resources, from the paths of the table."""
    top: _Element = {}
    for template, methods in OPERATIONS.items():
        if not template.startswith(f"{DICOMWEB}/") or template == f"{DICOMWEB}/":
            continue
        above = top
        for segment in template.removeprefix(f"{DICOMWEB}/").replace("...", "").split("/"):
            below = above.setdefault("resource", [])
            found = next((one for one in below if one["@path"] == segment), None)
            if found is None:
                found = _resource(segment)
                below.append(found)
            above = found
        above["method"] = [_method(name, operation) for name, operation in methods.items()]
    resources: list[_Element] = top["resource"]
    return resources


def _resource(segment: str) -> _Element:
    resource: _Element = {"@path": segment}
    if segment.startswith("{"):
        known = PATH_PARAMETERS[segment[1:-1]]
        doc = [{"@title": known.description}]
        param = {"@name": known.name, "@style": "template", "@required": "true", "doc": doc}
        resource["param"] = [param]
    return resource


def _method(name: str, operation: Operation) -> _Element:
    title = f"{operation.summary} (PS3.18 {operation.section})" if operation.section else ""
    media = [media for answers in operation.answers.values() for media in answers]
    accept = {
        "@name": "Accept", "@style": "header",
        "option": [{"@value": one} for one in dict.fromkeys(media)],
    }  # fmt: skip
    request: _Element = {
        "param": [accept, *(_query(one) for one in operation.parameters if not one.others)]
    }
    if operation.takes:
        request["representation"] = [{"@mediaType": one} for one in operation.takes]
    errors = {str(status): ["application/problem+json"] for status in operation.errors}
    answers = {str(status): media for status, media in operation.answers.items()} | errors
    return {
        "@name": name,
        "@id": operation.id,
        "doc": [{"@title": title or operation.summary}],
        "request": request,
        "response": [
            _response(status, () if name == "HEAD" else media) for status, media in answers.items()
        ],
    }


def _query(parameter: Parameter) -> _Element:
    schema = parameter.schema
    element: _Element = {"@name": parameter.name, "@style": "query"}
    if schema["type"] == "array":
        element["@repeating"] = "true"
    elif schema["type"] in _TYPES:
        element["@type"] = _TYPES[str(schema["type"])]
    element["doc"] = [{"@title": parameter.description}]
    return element


def _response(status: str, media: Sequence[str]) -> _Element:
    response: _Element = {"@status": status}
    if media:
        response["representation"] = [{"@mediaType": one} for one in media]
    return response


def to_xml(document: Mapping[str, _Element]) -> bytes:
    """A document of Annex G as XML."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    for name, element in document.items():
        _write(out, name, element)
    return "".join(out).encode("utf-8")


def _write(out: list[str], name: str, element: _Element) -> None:
    attributes = [
        f' {key[1:]}="{escape(value)}"' for key, value in element.items() if key[0] == "@"
    ]
    out.append(f"<{name}{''.join(attributes)}>")
    for key, value in element.items():
        if key[0] == "@":
            continue
        for child in value if isinstance(value, list) else [value]:
            _write(out, key, child)
    out.append(f"</{name}>")
