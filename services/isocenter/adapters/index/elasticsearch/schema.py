"""Indices of the Elasticsearch index: their names, mappings, and the terms of a document.

A *generation* is one set of indices, one for each kind of document; the aliases of `alias`
lead to the one in use, and every generation has aliases of its own, through which one operation
keeps to it from beginning to end.

Every schema has a generation in use, and a group of consumers that fills it: versions of
isocenter with different schemas run side by side, and going back to the older one loses nothing.
The index of the audit trail has a schema of its own: it is filled from the trail's sealed segments.
That of its first schema was the trail itself, so nothing here removes it (`audit_v1`).

- `instances`: one document an instance name, with all kept versions of it and their `size` in
  bytes together. `group` names the context of the version that answers, `held` those of the others.
- `contexts`: the distinct patient, study and series attributes of the instances of a series.
- `series`, `studies`, `patients`: what these levels answer, with the order of `core.matching`
  and the canonical terms of their own attributes and of those above (`t`; of names also the words
  and how they sound: `w`; those of added attributes are all in `t.added`, behind the tag, so that
  adding one adds no field); of studies also the terms by which they can be put in order (`o`).
- `audit`: one document a record, with what it is found and counted by, its words and its place.

All documents of a study lie on one shard. Nothing is found by chance before a writer refreshes
an index, so there is no refresh in the background. Terms are cut off at `TERM_LENGTH`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient, Json
from isocenter.adapters.index.elasticsearch.errors import IndexMissing
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.attributes import BUILT_IN, ORDERS, Attribute, Attributes, order_term
from isocenter.core.errors import Unavailable
from isocenter.core.matching import JsonAttributes, Level
from isocenter.core.ports import FEED
from isocenter.core.terms import fuzzy_terms, terms

SCHEMA = 2  # of the search index; whoever raises it changes nothing that the former one means
AUDIT_SCHEMA = 2  # of the index of the audit trail
INSTANCES, CONTEXTS, SERIES, STUDIES, PATIENTS = KINDS = (
    "instances", "contexts", "series", "studies", "patients",
)  # fmt: skip
AUDIT = "audit"
FIRST = "0"  # the generation that is made where there is none

TERM_LENGTH = 8000  # characters; a term of Lucene has 32,766 bytes at most
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"
UID_FIELDS = {STUDY_UID: "study", SERIES_UID: "series", INSTANCE_UID: "instance"}
ADDED = "added"  # in `t`
LONG_VRS = frozenset({"LT", "ST", "UT"})  # matched in the documents alone

_LEVELS: Mapping[str, tuple[Level, ...]] = {
    PATIENTS: (Level.PATIENT,),
    STUDIES: (Level.PATIENT, Level.STUDY),
    SERIES: (Level.PATIENT, Level.STUDY, Level.SERIES),
    INSTANCES: (Level.INSTANCE,),
    CONTEXTS: (),
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One set of indices."""

    prefix: str
    suffix: str

    def index(self, kind: str) -> str:
        """The index of this kind of document."""
        return f"{self.prefix}-{kind}-v{schema_of(kind)}-{self.suffix}"

    def alias(self, kind: str) -> str:
        """Its own alias: gone when it is, so that no late write makes it anew."""
        return f"{alias(self.prefix, kind)}.{self.suffix}"


@dataclass(frozen=True, slots=True)
class InUse:
    """Whichever generation is in use."""

    prefix: str

    def alias(self, kind: str) -> str:
        """What leads to its index."""
        return alias(self.prefix, kind)


Names = Generation | InUse


def schema_of(kind: str) -> int:
    """The schema of this version for a kind of document."""
    return AUDIT_SCHEMA if kind == AUDIT else SCHEMA


def alias(prefix: str, kind: str, schema: int = 0) -> str:
    """What leads to the index in use of a schema, of this version's if none is named."""
    schema = schema or schema_of(kind)
    return f"{prefix}-{kind}" if schema == 1 else f"{prefix}-{kind}.v{schema}"


def feed() -> str:
    """The group of consumers that fills the index of this version's schema."""
    return FEED if SCHEMA == 1 else f"{FEED}-v{SCHEMA}"


def index_pattern(prefix: str) -> re.Pattern[str]:
    """Matches indices of any schema and generation; groups: kind, schema, suffix."""
    kinds = "|".join((*KINDS, AUDIT))
    return re.compile(rf"{re.escape(prefix)}-({kinds})-v([0-9]+)-([0-9a-f]+)")


# --- which indices are in use --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """Where an alias leads."""

    index: str
    kind: str  # of document, as the mapping says; empty: not ours
    schema: int
    suffix: str


async def uses(
    client: ElasticsearchClient, kinds: Iterable[str] = KINDS
) -> Mapping[str, list[Use]]:
    """Where the aliases of these kinds lead."""
    prefix = client.address.prefix
    names = {alias(prefix, kind): kind for kind in kinds}
    answer = await client.request(
        "GET",
        f"/{','.join(names)}",
        params={"ignore_unavailable": "true", "filter_path": "*.mappings._meta,*.aliases"},
    )
    found: dict[str, list[Use]] = {kind: [] for kind in names.values()}
    for index, facts in answer.items():
        meta = facts.get("mappings", {}).get("_meta", {})
        named = index_pattern(prefix).fullmatch(index)
        use = Use(
            index, str(meta.get("isocenter", "")), int(meta.get("schema", 0)),
            named[3] if named else "",
        )  # fmt: skip
        for name in {index, *facts.get("aliases", {})} & set(names):
            found[names[name]].append(use)
    return found


async def other_schemas(client: ElasticsearchClient) -> Mapping[int, list[str]]:
    """The other schemas that have a generation in use, with its indices."""
    prefix = client.address.prefix
    pattern = index_pattern(prefix)
    answer = await client.request(
        "GET",
        f"/{','.join(f'{prefix}-{kind}-v*' for kind in KINDS)}",
        params={"ignore_unavailable": "true", "filter_path": "*.aliases"},
    )
    found: dict[int, list[str]] = {}
    for index, facts in answer.items():
        if named := pattern.fullmatch(index):
            schema = int(named[2])
            if schema != SCHEMA and alias(prefix, named[1], schema) in facts.get("aliases", {}):
                found.setdefault(schema, []).append(index)
    return found


async def live(client: ElasticsearchClient) -> Generation:
    """The generation in use. Raises `Unavailable` if there is none that can be used."""
    found = await uses(client)
    for kind in KINDS:
        if wrong := problem(client.address.prefix, kind, found[kind]):
            raise wrong
    suffixes = {use.suffix for kind in KINDS for use in found[kind]}
    if len(suffixes) > 1:
        raise Unavailable(
            f"index: the indices of the prefix {client.address.prefix} do not belong together",
            fix="run `isocenter rebuild`",
        )
    return Generation(client.address.prefix, suffixes.pop())


def problem(prefix: str, kind: str, found: list[Use]) -> Unavailable | None:
    """What is wrong with where the alias of a kind leads."""
    name = alias(prefix, kind)
    if not found:
        return IndexMissing(
            f"index: {name} does not exist", fix="make it with `isocenter check --prepare`"
        )
    (first, *more) = found
    if first.kind != kind or not first.suffix:
        return Unavailable(
            f"index: {name} is not an index of isocenter",
            fix="set another prefix in index: elasticsearch://host:port/prefix",
        )
    needed = schema_of(kind)
    if first.schema != needed:
        newer = first.schema > needed
        return Unavailable(
            f"index: {name} has schema {first.schema}, this version needs {needed}",
            fix="run this version of isocenter nowhere any more" if newer
            else "run `isocenter rebuild`",
        )  # fmt: skip
    if more:
        return Unavailable(
            f"index: {name} leads to {len(found)} indices", fix="run `isocenter rebuild`"
        )
    return None


# --- making --------------------------------------------------------------------------------------


def definition(
    generation: Generation, kind: str, settings: ElasticsearchSettings, *, in_use: bool
) -> Json:
    """The body that creates an index; `in_use`: everyone's alias leads to it at once."""
    aliases: Json = {generation.alias(kind): {}}
    if in_use:
        aliases[alias(generation.prefix, kind)] = {}
    return {
        "aliases": aliases,
        "settings": {
            "number_of_shards": settings.shards,
            "number_of_replicas": settings.replicas,
            "refresh_interval": -1,
        },
        "mappings": {
            "_meta": {"isocenter": kind, "schema": schema_of(kind)},
            "_source": {"excludes": ["t", "w", "o", "words"]},
            "dynamic": "strict",
            "properties": {**_FIELDS[kind], **_term_properties(_LEVELS.get(kind, ()))},
        },
    }


async def admit_added(client: ElasticsearchClient, generation: Generation) -> None:
    """Make the field for added attributes in indices from before there was one."""
    fields: Json = {"properties": {"t": {"properties": {ADDED: _FILTER}}}}
    names = [generation.alias(kind) for kind in KINDS if _LEVELS[kind]]
    await client.request("PUT", f"/{','.join(names)}/_mapping", fields)


_WORD: Json = {"type": "keyword"}
_KEPT: Json = {"type": "keyword", "index": False, "doc_values": False}  # only given back
_FILTER: Json = {"type": "keyword", "doc_values": False}
_NUMBER: Json = {"type": "long"}
_FLAG: Json = {"type": "boolean"}
_OPAQUE: Json = {"type": "object", "enabled": False}

_FIELDS: Mapping[str, Json] = {
    INSTANCES: {
        "partition": _FILTER, "study": _FILTER, "series": _FILTER, "instance": _WORD,
        "path": _FILTER, "parent": _WORD, "group": _WORD, "held": _WORD,
        "shown": _FLAG, "number": _NUMBER, "size": _NUMBER, "versions": _OPAQUE,
    },
    CONTEXTS: {
        "id": _WORD, "path": _FILTER, "attributes": _OPAQUE,
        "condemned": {"type": "boolean", "index": False, "doc_values": False},
    },
    SERIES: {
        "partition": _FILTER, "study": _FILTER, "series": _WORD, "id": _FILTER,
        "shown": _FLAG, "order": _WORD, "number": _NUMBER, "instances": _NUMBER,
        "attributes": _OPAQUE, "above": _OPAQUE, "print": _KEPT,
    },
    STUDIES: {
        "partition": _FILTER, "study": _WORD, "shown": _FLAG, "order": _WORD,
        "patient": _WORD, "unsettled": _KEPT, "known": _KEPT, "trace": _KEPT,
        "series_count": _NUMBER, "instance_count": _NUMBER, "attributes": _OPAQUE,
        "o": {"properties": dict.fromkeys(ORDERS, _WORD)},
    },
    PATIENTS: {
        "partition": _FILTER, "shown": _FLAG, "id": _WORD, "issuer": _WORD, "key": _WORD,
        "attributes": _OPAQUE,
    },
    AUDIT: {
        "at": _WORD, "id": _WORD, "hour": _WORD, "principal": _WORD, "action": _WORD,
        "outcome": _WORD, "who": _FILTER, "patient": _FILTER, "study": _FILTER,
        "instance": _FILTER, "place": _FILTER, "words": _FILTER, "chain": _WORD,
        "sequence": _NUMBER, "record": _OPAQUE,
    },
}  # fmt: skip


def _term_properties(levels: Iterable[Level]) -> Json:
    rows = [row for level in levels for row in indexed(BUILT_IN, level)]
    names = {
        name
        for row in rows
        for name in ([item_field(row.tag, tag) for tag in row.items] or [row.tag])
    }
    found: Json = {}
    if rows:
        found["t"] = {"properties": dict.fromkeys([*sorted(names), ADDED], _FILTER)}
    words = [row.tag for row in rows if row.vr == "PN"]
    if words:
        found["w"] = {"properties": dict.fromkeys(words, _FILTER)}
    return found


# --- terms ---------------------------------------------------------------------------------------


def indexed(attributes: Attributes, level: Level) -> Iterator[Attribute]:
    """The attributes of a level whose terms are in the index."""
    for row in attributes.of_level(level):
        if row.matched and row.vr not in LONG_VRS and row.tag not in UID_FIELDS:
            yield row


def added_term(row: Attribute, *, words: bool = False) -> str:
    """What stands in front of the terms of an added attribute; no tag and no creator holds what
    ends it."""
    return f"{row.tag}\x1e" if words else f"{row.tag}\x1f"


def item_field(sequence: str, tag: str) -> str:
    """The field with the terms of an attribute of a sequence's items."""
    return f"{sequence}_{tag}"


def term_fields(kind: str, attributes: Attributes, doc: JsonAttributes) -> Json:
    """The fields `t` and `w` of a document of this kind with these attributes."""
    found: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for level in _LEVELS[kind]:
        for row in indexed(attributes, level):
            element = doc.get(row.tag)
            if element is None:
                continue
            if row.added:
                found.setdefault(ADDED, []).extend(_added_terms(row, element))
                continue
            if row.vr == "SQ":
                _item_terms(row, element, found)
            elif values := terms(row.vr, element):
                found[row.tag] = _cut(values)
            if row.vr == "PN":
                words[row.tag] = _cut(fuzzy_terms(element))
    return {"t": found, "w": words} if words else {"t": found}


def _added_terms(row: Attribute, element: dict[str, Any]) -> Iterator[str]:
    for term in _cut(terms(row.vr, element)):
        yield added_term(row) + term
    if row.vr == "PN":
        for word in _cut(fuzzy_terms(element)):
            yield added_term(row, words=True) + word


def order_fields(doc: JsonAttributes) -> Json:
    """The field `o` of a study with these attributes."""
    return {"o": {tag: order_term(tag, doc) for tag in ORDERS}}


def _item_terms(row: Attribute, sequence: dict[str, Any], found: dict[str, list[str]]) -> None:
    for item in sequence.get("Value") or ():
        for tag in row.items:
            if tag in item:
                values = found.setdefault(item_field(row.tag, tag), [])
                values += _cut(terms(item[tag]["vr"], item[tag]))


def _cut(values: Iterable[str]) -> list[str]:
    return [value[:TERM_LENGTH] for value in values]


def fingerprint(blob: bytes) -> str:
    """A short name of what has this content."""
    return hashlib.blake2b(blob, digest_size=16).hexdigest()
