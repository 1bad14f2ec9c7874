"""Prints charts/isocenter/README.md: the chart's values as its schema and values.yaml have them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts/isocenter"
INTRODUCTION = Path(__file__).with_name("chart.md")
Schema = Mapping[str, Any]
MAX_DEFAULT = 100
WHOLE = {"#/definitions/resources", "#/definitions/affinity"}  # as Kubernetes has them


class Values:
    """The schema of the values, and their defaults."""

    def __init__(self, schema: Schema, defaults: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Schema] = schema["definitions"]
        self._root = schema
        self._defaults = defaults

    def page(self) -> Iterator[str]:
        """The tables: one for each value at the top that has values below it."""
        plain = {n: s for n, s in self._root["properties"].items() if not self._below(s)}
        yield self._table("Top level", "", plain, "")
        for name, schema in self._root["properties"].items():
            if below := self._below(schema):
                yield self._table(f"`{name}`", schema["description"], below, name)
        deployment = self._root["properties"]["deployments"]["additionalProperties"]["anyOf"][1]
        own = {n: s for n, s in deployment["properties"].items() if n in ("roles", "settings")}
        told = "Each may also have all that `defaults` has."
        yield self._table("A deployment", told, own, "deployments.NAME")
        site = self._root["properties"]["sites"]["items"]["properties"]
        own = {n: s for n, s in site.items() if n in ("name", "aeTitle", "service", "settings")}
        yield self._table("A site", told, own, "sites[]")

    def _table(self, title: str, told: str, schemas: Mapping[str, Schema], above: str) -> str:
        lines = [f"## {title}\n", *([f"{told}\n"] if told else [])]
        lines += ["| value | type | default | what it is |", "|---|---|---|---|"]
        for name, schema in schemas.items():
            lines += self._rows(f"{above}.{name}" if above else name, schema)
        return "\n".join(lines) + "\n"

    def _rows(self, path: str, schema: Schema) -> Iterator[str]:
        whole = self._resolved(schema)
        if below := self._below(schema):
            yield f"| `{path}` | | | {whole['description']} |"
            for name, one in below.items():
                yield from self._rows(f"{path}.{name}", one)
        else:
            yield f"| `{path}` | {self._kind(whole)} | {self._default(path)} | {_told(whole)} |"

    def _resolved(self, schema: Schema) -> Schema:
        """What it refers to, with a description of its own where it has one."""
        own: dict[str, Any] = dict(schema)
        while "$ref" in own:
            there = self._definitions[own.pop("$ref").rpartition("/")[2]]
            own = {**there, **own}
        return own

    def _below(self, schema: Schema) -> Mapping[str, Schema]:
        found: Mapping[str, Schema] = self._resolved(schema).get("properties", {})
        return {} if schema.get("$ref") in WHOLE else found

    def _kind(self, schema: Schema) -> str:
        if "enum" in schema:
            return ", ".join(f"`{one}`" for one in schema["enum"])
        if "anyOf" in schema:
            return " or ".join(self._kind(self._resolved(one)) for one in schema["anyOf"])
        kind = str(schema["type"])
        if kind == "array":
            return f"list of {self._kind(self._resolved(schema['items']))}"
        names = {"object": "map", "string": "text", "boolean": "true or false", "integer": "number"}
        return names.get(kind, kind)

    def _default(self, path: str) -> str:
        value: Any = self._defaults
        for part in path.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return ""
            value = value[part]
        if value in ("", [], {}, None):
            return ""
        text = json.dumps(value) if not isinstance(value, str) else value
        return f"`{text}`" if len(text) <= MAX_DEFAULT else "see values.yaml"


def _told(schema: Schema) -> str:
    text: str = schema["description"]
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page to standard output."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    introduction = INTRODUCTION.read_text(encoding="utf-8")
    sys.stdout.write("\n".join([introduction, *Values(schema, defaults).page()]))


if __name__ == "__main__":
    main()
