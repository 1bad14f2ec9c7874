"""Requests made of the server's OpenAPI document, and answers held against it."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from fuzz.target import MARK, PROBLEM, Answer, Violation
from support.harness import Isocenter, wait_until

METHODS = ("get", "head", "post", "put", "options", "delete")
OTHER_METHODS = ("PUT", "PATCH", "TRACE", "PROPFIND", "SEARCH", "REPORT", "POST", "HEAD")
# The parser answers so, and the table of routes: before there is an operation.
_BEFORE_OPERATIONS = frozenset({"400", "405", "431"})

_GARBAGE = st.one_of(
    st.text(max_size=40),
    st.binary(max_size=20).map(lambda data: "".join(f"%{byte:02x}" for byte in data)),
    st.sampled_from(
        ["", "%", "%0", "%zz", "%00", "..", "../..%2f", "%2e%2e", "*", "-1", "0", "NaN", "1e999",
         "9" * 400, "%ff", "%ed%a0%80", "\\", "1\\2", "'", '"', "<x>", "{}", "true", "null",
         "x" * 5000, "💀", "ß", "%F0%9F%92%80", "1.2.3" * 20, "1..2", "01.2", "1,", ",", "1-", "-",
         "*" * 60, "?" * 60]
    ),
)  # fmt: skip
# What values of attributes look like.
_VALUES = st.sampled_from(
    ["20260102", "19000101-20301231", "20260102-", "-20260102", "20260230", "101112", "1011-1213",
     "2300-0100", "CT", "C?", "*", "", "Z*", "A1", "MR\\CT", "1", "-1", "1.5", "O", "1.2.3",
     "1.2.3,1.2.4", "1.2.3\\1.2.4", "20260102101112-"]
)  # fmt: skip
_MARKED = st.sampled_from([MARK.decode(), f"{MARK.decode()}^*", f"{MARK.decode()}-1"])


@dataclass(frozen=True)
class Described:
    """The document, and resources that are there."""

    document: Mapping[str, Any]
    known: Mapping[str, Sequence[str]]  # of path parameters: values

    @classmethod
    def of(cls, isocenter: Isocenter, reference: Iterable[str]) -> Described:
        """The server's own description; `reference`: addresses of instances."""
        with urllib.request.urlopen(f"{isocenter.http_url}/api/openapi.json") as answer:
            document = json.load(answer)
        parts = [address.split("/") for address in reference]
        known = {
            "study": sorted({one[2] for one in parts}),
            "series": sorted({one[4] for one in parts}),
            "instance": sorted({one[6] for one in parts}),
            "frames": ["1", "2", "1,2,3", "9"],
            "deletion": ["1", f"{0:016x}-{0:016x}-{0:08x}"],
            "title": ["FUZZ", "CT 1", "a/b"],
            "path": ["00420011", "7FE00010", "00081140/0/00081150", "00100010"],
            "file": ["app.js", "index.html", "viewer", "x/y", "app-config.js", "pages.css"],
            "record": _records(isocenter),
            "name": ["night", "a/b"],
            "resource": ["Patient/1", "AuditEvent/1/_history"],
            "secret": ["A" * 43, "a" * 12],
            "link": ["0" * 16, "link"],
            "mark": ["0" * 16, "mark"],
        }
        return cls(document, known)

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = node.get("$ref")
        if reference is None:
            return node
        found: Any = self.document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        return dict(found)

    # --- requests ---

    def operations(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Path, method, and the operation, of all."""
        return [
            (path, method.upper(), operation)
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        ]

    def targets(self, path: str, operation: Mapping[str, Any]) -> st.SearchStrategy[str]:
        """Request targets of an operation, most of them what the document allows."""
        parameters = [self._resolved(one) for one in operation.get("parameters", ())]
        query = st.lists(self._pair(parameters), max_size=5) if parameters else st.just([])
        stray = st.one_of(query, query, query, st.lists(st.tuples(_GARBAGE, _GARBAGE), max_size=3))
        return st.tuples(self.paths(path), stray).map(lambda made: _target(*made))

    def paths(self, template: str) -> st.SearchStrategy[str]:
        """Paths of a template."""
        schemas = {
            one["name"]: one["schema"]
            for one in self.document["paths"][template].get("parameters", ())
        }
        names = re.findall(r"\{(\w+)\}", template)
        segments = {name: self._segment(name, schemas[name]) for name in names}
        return st.fixed_dictionaries(segments).map(
            lambda found: re.sub(r"\{(\w+)\}", lambda name: found[name[1]], template)
        )

    def _segment(self, name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
        there = st.sampled_from(list(self.known[name]))
        pattern = schema.get("pattern")
        longest = schema.get("maxLength", 1000)
        conforming = st.from_regex(pattern or ".*", fullmatch=True)
        escaped = _GARBAGE.map(lambda text: quote(text, safe="%/."))
        allowed = conforming.filter(lambda text: len(text) <= longest) if pattern else escaped
        return st.integers(0, 9).flatmap(
            lambda dice: there if dice < 8 else allowed if dice == 8 else escaped
        )

    def _pair(self, parameters: Sequence[Mapping[str, Any]]) -> st.SearchStrategy[tuple[str, str]]:
        return st.sampled_from(list(parameters)).flatmap(
            lambda one: st.tuples(st.just(one["name"]), _value(one["name"], one["schema"]))
        )

    # --- answers ---

    def judge(self, method: str, path: str, answer: Answer) -> None:
        """Raises `Violation` for an answer that the document does not have."""
        status = str(answer.status)
        template = self._template(unquote(path))
        operation = self.document["paths"].get(template, {}).get(method.lower())
        if operation is None or template is None:
            allowed = _BEFORE_OPERATIONS if template else {"404"}
            if status not in allowed and method != "OPTIONS":
                raise Violation(f"{status} to {method} {path}, which is not described")
            return
        if status == "431":
            return
        response = operation["responses"].get(status)
        if response is None:
            raise Violation(
                f"{status} is not described for {method} {template}: {answer.body[:300]!r}"
            )
        self._judge_body(self._resolved(response), answer, f"{method} {template}")

    def _template(self, path: str) -> str | None:
        if path in self.document["paths"]:
            return path
        for template, item in self.document["paths"].items():
            last = re.findall(r"\{(path|title|name|resource)\}$|^/viewer/\{file\}$", template)
            pattern = re.sub(r"\{\w+\}$", ".*", template) if last else template
            pattern = re.sub(r"\{\w+\}", "[^/]+", pattern)
            if "parameters" in item and re.fullmatch(pattern, path, re.DOTALL):
                return str(template)
        return None

    def _judge_body(self, response: Mapping[str, Any], answer: Answer, what: str) -> None:
        if not answer.body:
            return
        content = response.get("content", {})
        given = answer.get("content-type")
        media = given.partition(";")[0]
        if media == PROBLEM:
            return
        inner = re.search(r'type="([^"]+)"', given)
        listed = f'{media}; type="{inner[1]}"' if inner else media
        if listed not in content and "*/*" not in content:
            raise Violation(f"{given} is not described for {what} with {answer.status}")
        schema = content.get(listed, {}).get("schema")
        if schema and media.endswith("json"):
            self._validator(schema["$ref"]).validate(json.loads(answer.body))

    def _validator(self, reference: str) -> Draft202012Validator:
        root = Resource.from_contents(dict(self.document), default_specification=DRAFT202012)
        registry: Any = Registry().with_resource("urn:api", root)
        return Draft202012Validator({"$ref": f"urn:api{reference}"}, registry=registry)


def _records(isocenter: Isocenter) -> list[str]:
    """Names of audit records, once there are any: they follow what they tell of."""

    def found() -> list[str]:
        with urllib.request.urlopen(f"{isocenter.http_url}/api/audit/records?limit=20") as answer:
            return [one["name"] for one in json.load(answer)["records"]]

    return wait_until(found, 30, "audit records are found")


def _value(name: str, schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    match schema.get("type"):
        case "integer":
            allowed = st.integers(schema["minimum"], schema["maximum"]).map(str)
        case "boolean":
            allowed = st.sampled_from(["true", "false"])
        case "array":
            allowed = st.lists(_VALUES, max_size=3).map(",".join)
        case _ if name[0].isupper():  # an attribute
            allowed = st.one_of(_VALUES, _MARKED)
        case _:
            allowed = _VALUES
    return st.integers(0, 9).flatmap(lambda dice: allowed if dice < 7 else _GARBAGE)


def _target(path: str, query: Sequence[tuple[str, str]]) -> str:
    """A request target; what is no ASCII, and what would end the line, is encoded."""
    pairs = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in query)
    return quote(path, safe="%/.,*~-_") + (f"?{pairs}" if pairs else "")


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="%,.*?\\'\"<>{}^-_~/;:@!$()=+")
