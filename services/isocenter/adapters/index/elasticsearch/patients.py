"""What the patients of the Elasticsearch index answer, worked out from their studies.

As in `levels`, whoever writes a patient's document last has read its state after
the write before, and has counted after that. Attributes are added to those that are there, unless
a study may have taken some away: then all of the patient's studies are merged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Held,
    Json,
    Place,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.contexts import counted
from isocenter.adapters.index.elasticsearch.rounds import rounds
from isocenter.adapters.index.elasticsearch.schema import (
    PATIENTS,
    STUDIES,
    TERM_LENGTH,
    Generation,
    fingerprint,
    term_fields,
)
from isocenter.core.attributes import BUILT_IN, Attributes, merge
from isocenter.core.matching import JsonAttributes, Level, order_key

_SEPARATOR = "\x1f"
_PAGE = 500
_SUMS = ("series_count", "instance_count")
_COUNTS = frozenset(row.tag for row in BUILT_IN.of_level(Level.PATIENT) if not row.matched)


def patient_key(partition: str, attributes: JsonAttributes) -> str:
    """What names the patient with these attributes."""
    parts = (partition, *order_key(Level.PATIENT, attributes))
    return fingerprint(_SEPARATOR.join(parts).encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class PatientChange:
    """A patient whose studies have changed."""

    key: str
    partition: str
    whole: bool = False  # a study may have taken attributes away
    studies: list[Place] = field(default_factory=list)  # that may have added some
    held: Held | None = None
    fresh: list[JsonAttributes] = field(default_factory=list)  # of these studies, as they are now


class Patients:
    """Settles patients of one generation."""

    def __init__(
        self, client: ElasticsearchClient, generation: Generation, table: Attributes
    ) -> None:
        self._client = client
        self._table = table
        self._patients = generation.alias(PATIENTS)
        self._studies = generation.alias(STUDIES)

    async def settle(self, changes: Sequence[PatientChange]) -> None:
        """Write the documents of these patients."""
        left = list(changes)
        async for _ in rounds():
            if not left:
                return
            await self._read(left)
            left = await self._write(left)

    async def _read(self, changes: Sequence[PatientChange]) -> None:
        """The states of the documents, then what the studies say."""
        found = await self._client.get([Place(self._patients, c.key, c.key) for c in changes])
        for change, held in zip(changes, found, strict=True):
            change.held = held
        await self._claim([change for change in changes if change.held is None])
        places = [place for change in changes for place in change.studies]
        studies, _ = await asyncio.gather(
            self._client.get(places), self._client.refresh(self._studies)
        )
        by_place = dict(zip(places, studies, strict=True))
        for change in changes:
            now = [study.source for place in change.studies if (study := by_place[place])]
            change.fresh = [self._of_patient(s) for s in now if s.get("patient") == change.key]

    async def _claim(self, changes: Sequence[PatientChange]) -> None:
        """Make hidden documents of new patients, to have a state of them."""
        writes = [
            self._document(c, {"partition": c.partition, "key": c.key, "shown": False})
            for c in changes
        ]
        for change, state in zip(changes, await self._client.write(writes), strict=True):
            change.held = Held(state, {}) if state else None

    async def _write(self, changes: Sequence[PatientChange]) -> list[PatientChange]:
        """Those that another writer was faster with."""
        claimed = [change for change in changes if change.held]
        lost = [change for change in changes if not change.held]
        query = {"terms": {"patient": [change.key for change in claimed]}}
        counts = await counted(self._client, self._studies, "patient", query, (), _SUMS)
        writes = []
        for change in claimed:
            bucket = counts.get(change.key)
            writes.append(self._document(change, bucket and await self._answer(change, bucket)))
        states = await self._client.write(writes)
        return lost + [c for c, state in zip(claimed, states, strict=True) if state is None]

    async def _answer(self, change: PatientChange, bucket: Json) -> Json:
        assert change.held
        known: JsonAttributes | None = change.held.source.get("attributes")
        whole = change.whole or (known is None and bucket["doc_count"] != len(change.fresh))
        if whole:
            attributes = await self._merged(change.key)
        else:
            attributes = merge([_uncounted(known or {}), *change.fresh])
        patient_id, issuer = order_key(Level.PATIENT, attributes)
        terms = term_fields(PATIENTS, self._table, attributes)
        numbers = (bucket["doc_count"], *(int(bucket[name]["value"]) for name in _SUMS))
        for tag, count in zip(("00201200", "00201202", "00201204"), numbers, strict=True):
            attributes[tag] = {"vr": "IS", "Value": [count]}
        return {
            "partition": change.partition,
            "key": change.key,
            "shown": True,
            "id": patient_id[:TERM_LENGTH],
            "issuer": issuer[:TERM_LENGTH],
            "attributes": attributes,
            **terms,
        }

    async def _merged(self, key: str) -> JsonAttributes:
        """The attributes of all studies of a patient."""
        merged: JsonAttributes = {}
        after: list[object] = []
        while True:
            body: Json = {
                "query": {"term": {"patient": key}},
                "sort": ["study"],
                "size": _PAGE,
                "track_total_hits": False,
                "_source": ["attributes"],
            }
            answer = await self._client.search(
                self._studies, {**body, **({"search_after": after} if after else {})}
            )
            hits = answer["hits"]["hits"]
            merged = merge([merged, *(self._of_patient(hit["_source"]) for hit in hits)])
            if len(hits) < _PAGE:
                return merged
            after = hits[-1]["sort"]

    def _of_patient(self, study: Json) -> JsonAttributes:
        return self._table.select(study.get("attributes", {}), (Level.PATIENT,))

    def _document(self, change: PatientChange, doc: Json | None) -> Write:
        blob = encoded(doc) if doc else None
        state = change.held.state if change.held else None
        return Write(self._patients, change.key, change.key, blob, state)


def _uncounted(attributes: JsonAttributes) -> JsonAttributes:
    return {tag: element for tag, element in attributes.items() if tag not in _COUNTS}
