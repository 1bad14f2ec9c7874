"""Documents of instances: the versions kept under one name, and which of them answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from isocenter.adapters.index.elasticsearch.client import Json, Place, encoded
from isocenter.adapters.index.elasticsearch.schema import (
    INSTANCES,
    Names,
    fingerprint,
    term_fields,
)
from isocenter.core.attributes import Attributes
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import JsonAttributes, Level, number
from isocenter.core.ports import IndexEntry

_ABOVE_INSTANCE = (Level.PATIENT, Level.STUDY, Level.SERIES)

# One kept version in an instance's document.
Version = dict[str, Any]


def study_path(partition: str, study: str) -> str:
    """What names a study, and where its documents lie."""
    return f"{partition}/{study}"


@dataclass(frozen=True, slots=True)
class Context:
    """Attributes above instance level that an instance brings."""

    id: str  # {partition}/{study}/{series}/{digest of the content}
    attributes: bytes

    def document(self) -> bytes:
        """As it is kept."""
        path = "/".join(self.id.split("/")[:2])
        return encoded(
            {"id": self.id, "path": path, "attributes": orjson.Fragment(self.attributes)}
        )


def context_of(entry: IndexEntry, table: Attributes) -> Context:
    """The context of an entry."""
    name = entry.name
    attributes = table.select(entry.attributes, _ABOVE_INSTANCE)
    blob = encoded({tag: attributes[tag] for tag in sorted(attributes)})
    parent = f"{name.partition}/{name.study}/{name.series}"
    return Context(f"{parent}/{fingerprint(blob)}", blob)


def place_of(names: Names, kind: str, key: str, **how: tuple[str, ...]) -> Place:
    """A document of a study, series, context or instance, by the path that is its id."""
    partition, study, *_ = key.split("/")
    return Place(names.alias(kind), key, study_path(partition, study), **how)


def put(
    versions: Sequence[Version], entry: IndexEntry, context: Context, table: Attributes
) -> list[Version] | None:
    """The versions with an entry among them; None if it follows an earlier decision than what is
    kept of the same version."""
    for version in versions:
        if version["digest"] == entry.digest and version["decision"] > entry.decision:
            return None
    kept = [version for version in versions if version["digest"] != entry.digest]
    added: Version = {
        "digest": entry.digest,
        "current": entry.current,
        "decision": entry.decision,
        "size": entry.size,
        "sop_class": entry.sop_class,
        "transfer_syntax": entry.transfer_syntax,
        **_described(entry, context, table),
    }
    if entry.key != ObjectName(entry.name, entry.digest).key:
        added["key"] = entry.key
    return sorted([*kept, added], key=lambda version: str(version["digest"]))


def refilled(
    versions: Sequence[Version], entry: IndexEntry, context: Context, table: Attributes
) -> list[Version]:
    """The versions, of which that of the entry has its attributes."""
    described = _described(entry, context, table)
    return [
        version | described if version["digest"] == entry.digest else version
        for version in versions
    ]


def _described(entry: IndexEntry, context: Context, table: Attributes) -> Version:
    own = table.select(entry.attributes, (Level.INSTANCE,))
    return {"context": context.id, "attributes": own}


def document(name: InstanceName, versions: Sequence[Version], table: Attributes) -> bytes:
    """An instance's document. Of the current versions the one with the smallest digest answers,
    so that the choice does not depend on the order of arrival."""
    shown = next((version for version in versions if version["current"]), None)
    found: Json = {
        "partition": name.partition,
        "study": name.study,
        "series": name.series,
        "instance": name.instance,
        "path": study_path(name.partition, name.study),
        "parent": f"{name.partition}/{name.study}/{name.series}",
        "shown": shown is not None,
        "size": sum(version["size"] for version in versions),
        "versions": versions,
    }
    held = [version["context"] for version in versions if version is not shown]
    if held:
        found["held"] = held
    if shown:
        found["group"] = shown["context"]
        found["number"] = number(shown["attributes"].get("00200013"))
        found |= term_fields(INSTANCES, table, shown["attributes"])
    return encoded(found)


def answer(source: Json) -> JsonAttributes:
    """The attributes of the version that answers."""
    shown: JsonAttributes = next(v["attributes"] for v in source["versions"] if v["current"])
    return {**shown, "00080018": {"vr": "UI", "Value": [source["instance"]]}}


def entries(name: InstanceName, source: Json) -> list[IndexEntry]:
    """What is kept under a name, without attributes."""
    return [
        IndexEntry(
            name,
            version["digest"],
            version.get("key") or ObjectName(name, version["digest"]).key,
            version["size"],
            version["sop_class"],
            version["transfer_syntax"],
            {},
            version["current"],
            version["decision"],
        )
        for version in source["versions"]
    ]


def without(versions: Sequence[Version], digests: Mapping[str, None]) -> list[Version]:
    """The versions that are left when these are forgotten."""
    return [version for version in versions if version["digest"] not in digests]
