"""Capabilities and OpenAPI: they describe what is served, all of it and nothing else."""

# ruff: noqa: ARG002 - a stand-in has the signatures of what it stands for
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from isocenter.core.access import Right
from isocenter.core.errors import Unavailable, Unprocessable
from isocenter.core.identity import is_uid
from isocenter.web.operation import Door
from isocenter.web.operations import OPERATIONS, PATH_PARAMETERS
from support.web_fakes import (
    INSTANCE,
    JPEG_LS,
    SERIES,
    STUDY,
    FakeTranscoding,
    Web,
    multipart,
    part10,
    study,
)

STUDY_PATH = f"/dicomweb/studies/{STUDY}"
WADL = "application/vnd.sun.wadl+xml"
METHODS = {"get", "head", "post", "put", "delete", "options", "patch"}


async def _openapi() -> dict[str, Any]:
    answer = await Web().get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def test_all_routes_are_described_and_nothing_else() -> None:
    served = {route.template: set(route.methods) for route in Web().application.routes}
    assert served == {template: set(methods) for template, methods in OPERATIONS.items()}


def test_operations_have_names_of_their_own() -> None:
    names = [operation.id for methods in OPERATIONS.values() for operation in methods.values()]
    assert len(set(names)) == len(names)


# --- OpenAPI -----------------------------------------------------------------------------------


def _within(node: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for child in node.values():
            yield from _within(child)
    elif isinstance(node, list):
        for child in node:
            yield from _within(child)


def _resolved(document: Mapping[str, Any], reference: str) -> Any:
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


async def test_the_document_has_the_structure_of_openapi() -> None:
    document = await _openapi()
    assert document["openapi"].startswith("3.1.")
    assert document.keys() <= {
        "openapi", "info", "servers", "security", "paths", "components",
    }  # fmt: skip
    assert {"title", "version"} <= document["info"].keys()
    assert document["servers"] == [{"url": "http://pacs.test"}]
    for node in _within(document):
        if "$ref" in node:
            assert _resolved(document, node["$ref"])
    for name in (*document["components"]["schemas"], *document["components"]["parameters"]):
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
    for path, item in document["paths"].items():
        parameters = [
            (one["in"], one["name"], one["required"]) for one in item.get("parameters", ())
        ]
        assert parameters == [("path", name, True) for name in re.findall(r"\{(\w+)\}", path)]
        assert "options" in item
        for method, operation in item.items():
            if method != "parameters":
                assert method in METHODS
                _assert_operation(document, operation)


async def test_it_says_who_is_let_in_and_what_others_are_told() -> None:
    document = await _openapi()
    schemes = document["components"]["securitySchemes"]
    assert [{name: []} for name in schemes] == document["security"]
    for template, methods in OPERATIONS.items():
        for method, described in methods.items():
            path = document["paths"][template.replace("...", "")]
            operation = path[method.lower()]
            assert (operation.get("security") == []) == (described.needs is Door.OPEN)
            assert "401" in operation["responses"]
            if isinstance(described.needs, Right) or method in ("POST", "PUT", "DELETE"):
                assert "403" in operation["responses"]


def _assert_operation(document: Mapping[str, Any], operation: Mapping[str, Any]) -> None:
    known = {"operationId", "summary", "description", "tags", "parameters", "requestBody",
             "responses", "security"}  # fmt: skip
    assert {"summary", "responses"} <= operation.keys() <= known
    for status, response in operation["responses"].items():
        assert re.fullmatch("[1-5][0-9]{2}", status)
        resolved = _resolved(document, response["$ref"]) if "$ref" in response else response
        assert resolved["description"]
        for media, content in resolved.get("content", {}).items():
            assert re.fullmatch(r'[\w*]+/[\w.*+-]+(; type="[\w/+.-]+")?', media)
            assert content.keys() <= {"schema"}
    names = []
    for one in operation.get("parameters", ()):
        parameter = _resolved(document, one["$ref"])
        assert parameter["in"] == "query"
        Draft202012Validator.check_schema(parameter["schema"])
        names.append(parameter["name"])
    assert len(set(names)) == len(names)


async def test_schemas_are_json_schemas() -> None:
    for schema in (await _openapi())["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for parameter in PATH_PARAMETERS.values():
        Draft202012Validator.check_schema(parameter.schema)


def _check(document: Mapping[str, Any], response: Mapping[str, Any], answer: Any) -> None:
    """An answer is one of those that the document has for it."""
    response = _resolved(document, response["$ref"]) if "$ref" in response else response
    got = answer.headers.get("content-type", "")
    content = response.get("content", {})
    if not answer.content:
        return
    kind = got.partition(";")[0]
    inner = re.search(r'type="([^"]+)"', got)
    listed = f'{kind}; type="{inner[1]}"' if inner else kind
    assert listed in content, (got, list(content))
    if kind.endswith("json") and "schema" in content[kind]:
        root = Resource.from_contents(document, default_specification=DRAFT202012)
        registry: Any = Registry().with_resource("urn:api", root)
        schema = {"$ref": "urn:api" + content[kind]["schema"]["$ref"]}
        Draft202012Validator(schema, registry=registry).validate(answer.json())


REQUESTS = [
    ("/studies", "/dicomweb/studies", ""),
    ("/studies", "/dicomweb/studies?limit=x", ""),
    ("/studies", "/dicomweb/studies", "text/html"),
    ("/studies/{study}", STUDY_PATH, ""),
    ("/studies/{study}", STUDY_PATH, "application/zip"),
    ("/studies/{study}", "/dicomweb/studies/9.9", ""),
    ("/studies/{study}/metadata", STUDY_PATH + "/metadata", ""),
    ("/studies/{study}/series/{series}/instances/{instance}", INSTANCE, "application/dicom"),
    ("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
     INSTANCE + "/frames/1,2", "multipart/related; type=image/jls; transfer-syntax=*"),
    ("/studies/{study}/series/{series}/instances/{instance}/rendered",
     INSTANCE + "/rendered", "image/png"),
    ("/studies/{study}/series/{series}/thumbnail", f"{STUDY_PATH}/series/{SERIES}/thumbnail", ""),
    ("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}",
     INSTANCE + "/bulkdata/00420011", "application/octet-stream"),
    ("", "/dicomweb", ""),
    ("/", "/dicomweb/", "application/json"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "path", "accept"), REQUESTS)
async def test_answers_are_as_described(template: str, path: str, accept: str) -> None:
    document = await _openapi()
    web = Web()
    web.storage.keep(syntax=JPEG_LS)
    web.query.answers = [study(1), study(2)]
    answer = await web.get(path, accept=accept)
    responses = document["paths"]["/dicomweb" + template]["get"]["responses"]
    assert str(answer.status_code) in responses
    _check(document, responses[str(answer.status_code)], answer)


async def test_answers_beside_dicomweb_and_to_post_are_as_described() -> None:
    document = await _openapi()
    web = Web()
    web.problems = ["the log does not answer"]
    for path in ("/livez", "/readyz", "/", "/api/openapi.json"):
        answer = await web.get(path)
        responses = document["paths"][path]["get"]["responses"]
        _check(document, responses[str(answer.status_code)], answer)
    web.ingest.errors["1.2.3.4.6"] = Unavailable("down")
    for body in (
        multipart(part10("1.2.3.4.5")),
        multipart(part10("1.2.3.4.5"), part10("1.2.3.4.6")),
        multipart(b"nonsense"),
        multipart(part10("1.2.3.4.6")),
        b"",
    ):
        answer = await web.stow(body)
        responses = document["paths"]["/dicomweb/studies"]["post"]["responses"]
        _check(document, responses[str(answer.status_code)], answer)


class BrokenTranscoding(FakeTranscoding):
    """Meets pixel data that it cannot read."""

    async def data_set(self, data_set: Any, transfer_syntax: str, target: str) -> Any:
        raise Unprocessable("the codestream of a frame cannot be read")
        yield b""

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: Any) -> bytes:
        raise Unprocessable("the codestream of a frame cannot be read")


@pytest.mark.parametrize(
    ("method", "template", "path", "status"),
    [
        ("get", "/studies/{study}", STUDY_PATH, 422),
        ("get", "/studies/{study}/series/{series}/instances/{instance}", INSTANCE, 422),
        ("get", "/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}",
         INSTANCE + "/bulkdata/7FE00010", 422),
        ("options", "/studies/{study}/metadata", "/dicomweb/studies/1.2.x/metadata", 400),
    ],
)  # fmt: skip
async def test_errors_that_generated_requests_met_are_described(
    method: str, template: str, path: str, status: int
) -> None:
    web = Web(transcoding=BrokenTranscoding())
    web.storage.keep(syntax=JPEG_LS)
    async with web.client() as client:
        answer = await client.request(method.upper(), path)
    assert answer.status_code == status
    document = await _openapi()
    responses = document["paths"]["/dicomweb" + template][method]["responses"]
    _check(document, responses[str(status)], answer)


def test_uids_are_described_as_they_are_taken() -> None:
    for name in ("study", "series", "instance"):
        uid = Draft202012Validator(PATH_PARAMETERS[name].schema)
        for text in ("1.2.3", "1." + "2" * 62, "1." + "2" * 63, "1.02", "", "x", "0"):
            assert uid.is_valid(text) == is_uid(text), text


# --- capabilities ------------------------------------------------------------------------------

_UNIQUE = {"resources", "request"}  # PS3.18 G.2.2; all others are repeatable


def _as_json(element: ET.Element) -> dict[str, Any]:
    """By PS3.18 Annex G."""
    found: dict[str, Any] = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        name = child.tag.partition("}")[2]
        if name in _UNIQUE:
            found[name] = _as_json(child)
        else:
            found.setdefault(name, []).append(_as_json(child))
    return found


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
@pytest.mark.parametrize("path", ["/dicomweb", "/dicomweb/"])
async def test_the_root_answers_with_capabilities(path: str, method: str) -> None:
    async with Web().client() as client:
        xml = await client.request(method, path)
        json = await client.request(method, path, headers={"accept": "application/json"})
        same = await client.request(method, path, headers={"if-none-match": xml.headers["etag"]})
        wrong = await client.request(method, path, headers={"accept": "image/png"})
    assert (xml.status_code, xml.headers["content-type"]) == (200, WADL)
    assert xml.headers["allow"] == "GET, HEAD, OPTIONS"
    assert json.headers["content-type"] == "application/json"
    assert (same.status_code, wrong.status_code) == (304, 406)
    root = ET.fromstring(xml.content)
    assert root.tag == "{http://wadl.dev.java.net/2009/02}application"
    described = {"@xmlns": "http://wadl.dev.java.net/2009/02",
                 "@xmlns:xs": "http://www.w3.org/2001/XMLSchema"}  # fmt: skip
    assert json.json() == {"application": described | _as_json(root)}


def _tree(resource: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in resource.get("resource", ()):
        path = f"{above}/{one['@path']}"
        yield path, one
        yield from _tree(one, path)


async def test_capabilities_have_every_resource_with_its_methods() -> None:
    answer = await Web().get("/dicomweb", accept="application/json")
    resources = answer.json()["application"]["resources"]
    assert resources["@base"] == "http://pacs.test/dicomweb"
    described = {
        path: {method["@name"] for method in resource["method"]}
        for path, resource in _tree(resources)
        if "method" in resource
    }
    assert described == {
        template.removeprefix("/dicomweb").replace("...", ""): set(methods)
        for template, methods in OPERATIONS.items()
        if template.startswith("/dicomweb/") and template != "/dicomweb/"
    }
    for path, resource in _tree(resources):
        for method in resource.get("method", ()):
            accept = method["request"]["param"][0]
            assert accept["@name"] == "Accept", path
            assert accept["option"], path
            assert any(one["@status"] == "200" for one in method["response"])


# --- OPTIONS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("template", [one for one in OPERATIONS if not one.endswith("dicomweb")])
async def test_options_tells_the_methods(template: str) -> None:
    path = template
    for name, value in {
        "{study}": "1.2", "{series}": "1.3", "{instance}": "1.4", "{frames}": "1",
        "{path...}": "00420011", "{file...}": "x.js",
    }.items():  # fmt: skip
        path = path.replace(name, value)
    async with Web().client() as client:
        answer = await client.options(path)
    methods = {*OPERATIONS[template], "OPTIONS"}
    assert answer.headers["allow"].split(", ") == sorted(methods)
    if "OPTIONS" in OPERATIONS[template]:
        return  # the root, above
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers
