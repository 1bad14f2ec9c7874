"""What the series and studies of the Elasticsearch index answer, worked out from their instances.

Any number of writers settle the same study at the same time. Each goes round until it has written
the study's document as it was when the round began:

1. read the study's document, then those of its series: their states;
2. refresh the instances, count them by series and context, merge the contexts;
3. write the series that differ, delete those without instances;
4. write the study's document, always.

Whoever writes it last has read its state after the write before, and has counted after that: all
that the others had written before they settled is in what he writes. A series is written before
the study, so a writer whose count is out of date fails there at the latest, and goes round again.
Documents are filled only from a count that was taken after they were there: new ones begin empty
and hidden (`claim`), so that none is made from an old count after another writer deleted it.

A study that leaves a patient, or takes attributes from one, says so in `unsettled` until that
patient is settled: then the same write again mends what an interruption left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from isocenter.adapters.index.elasticsearch import contexts
from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Held,
    Json,
    Place,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.documents import Context, place_of
from isocenter.adapters.index.elasticsearch.patients import PatientChange, Patients, patient_key
from isocenter.adapters.index.elasticsearch.rounds import rounds
from isocenter.adapters.index.elasticsearch.schema import (
    INSTANCES,
    PATIENTS,
    SERIES,
    SERIES_UID,
    STUDIES,
    STUDY_UID,
    Generation,
    fingerprint,
    order_fields,
    term_fields,
)
from isocenter.core.attributes import Attributes, merge
from isocenter.core.matching import JsonAttributes, Level, number, study_order
from isocenter.core.ports import StudyCount

_OF_STUDY = (Level.PATIENT, Level.STUDY)

# Of a study: series UID -> context -> how many instances have it.
Groups = dict[str, dict[str, int]]


@dataclass(slots=True)
class TouchedStudy:
    """A study that a write touches, and what is known of its documents."""

    partition: str
    uid: str
    path: str
    series: set[str] = field(default_factory=set)  # UIDs of those whose documents matter
    trace: str = ""  # of an entry that this write adds
    removal: bool = False
    changed: bool = False  # something of it was removed
    held: Held | None = None
    held_series: dict[str, Held] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    after: Json = field(default_factory=dict)  # its document as this write leaves it

    def id_of(self, series: str) -> str:
        """The id of a series' document."""
        return f"{self.path}/{series}"

    @property
    def count(self) -> StudyCount:
        """What it holds now."""
        instances = sum(n for groups in self.groups.values() for n in groups.values())
        return StudyCount(self.partition, self.uid, len(self.groups), instances)


class Settlement:
    """The second half of a write: the levels of the studies that it touches."""

    def __init__(
        self,
        client: ElasticsearchClient,
        generation: Generation,
        studies: dict[str, TouchedStudy],
        own: Mapping[str, Context],
        table: Attributes,
    ) -> None:
        self._client = client
        self._table = table
        self._generation = generation
        self._studies = studies
        self._own = own
        self._lost: set[str] = set()  # paths of studies that another writer was faster with

    def paths(self) -> list[str]:
        """The studies."""
        return list(self._studies)

    def counts(self) -> Sequence[StudyCount]:
        """Of the studies touched; of those that something was removed of, if it was a removal."""
        found = self._studies.values()
        return [study.count for study in found if study.changed or not study.removal]

    def leave_unknown(self) -> None:
        """Forget studies of which there is nothing."""
        for path, study in list(self._studies.items()):
            if study.held is None and not study.changed:
                del self._studies[path]

    async def settle(self) -> None:
        """Write series and studies. `read` and `claim` have been called once."""
        left = list(self._studies.values())
        async for attempt in rounds():
            if attempt:
                await self.read(left)
                await self.claim(left)
            await self._client.refresh(self._generation.alias(INSTANCES))
            await self._count(left)
            await self._write(left)
            left = [study for study in left if study.path in self._lost]
            self._lost.clear()
            if not left:
                return

    # --- before counting -------------------------------------------------------------------------

    async def read(self, studies: Iterable[TouchedStudy] | None = None) -> None:
        """The states of the documents; those of studies before those of series."""
        some = list(self._studies.values() if studies is None else studies)
        found = await self._client.get([self._study_place(study) for study in some])
        for study, held in zip(some, found, strict=True):
            study.held = held
            study.series |= set(held.source.get("known", ()) if held else ())
        pairs = [(study, uid) for study in some for uid in sorted(study.series)]
        places = [
            place_of(self._generation, SERIES, study.id_of(uid), fields=("print",))
            for study, uid in pairs
        ]
        for study in some:
            study.held_series = {}
        for (study, uid), held in zip(pairs, await self._client.get(places), strict=True):
            if held:
                study.held_series[uid] = held

    async def claim(self, studies: Iterable[TouchedStudy] | None = None) -> None:
        """Make hidden documents of new studies and series, to have a state of them."""
        some = self._studies.values() if studies is None else studies
        new: list[tuple[TouchedStudy, str]] = []
        for study in some:
            # A removal makes documents only of what it has found to be there.
            wanted = set(study.groups) if study.removal else study.series
            if wanted and study.held is None:
                new.append((study, ""))
            new += [(study, uid) for uid in wanted if uid not in study.held_series]
        writes = [self._hidden(study, uid) for study, uid in new]
        for (study, uid), state in zip(new, await self._client.write(writes), strict=True):
            if state is None:
                self._lost.add(study.path)
            elif uid:
                study.held_series[uid] = Held(state, {})
            else:
                study.held = Held(state, {})

    def _hidden(self, study: TouchedStudy, series: str) -> Write:
        if not series:
            return self._study_write(study, {"partition": study.partition, "study": study.uid})
        doc = {
            "partition": study.partition, "study": study.uid, "series": series, "shown": False,
            "id": study.id_of(series),
        }  # fmt: skip
        return self._series_write(study, series, doc)

    # --- counting --------------------------------------------------------------------------------

    async def _count(self, studies: Sequence[TouchedStudy]) -> None:
        paths = [study.path for study in studies]
        query = {"bool": {"filter": [{"terms": {"path": paths}}, {"term": {"shown": True}}]}}
        index = self._generation.alias(INSTANCES)
        found = await contexts.counted(self._client, index, "group", query, paths)
        groups: dict[str, Groups] = defaultdict(lambda: defaultdict(dict))
        for key, bucket in found.items():
            partition, study, series, _ = key.split("/")
            groups[f"{partition}/{study}"][series][key] = bucket["doc_count"]
        for touched in studies:
            touched.groups = groups.get(touched.path, {})
            touched.series |= set(touched.groups)

    # --- writing ---------------------------------------------------------------------------------

    async def _write(self, studies: Sequence[TouchedStudy]) -> None:
        ready = [study for study in studies if study.path not in self._lost and _claimed(study)]
        self._lost |= {study.path for study in studies} - {study.path for study in ready}
        keys = [key for s in ready for groups in s.groups.values() for key in groups]
        found = await contexts.read(self._client, self._generation, keys, self._own)
        if found is None:
            self._lost |= {study.path for study in ready}
            return
        series_writes: list[tuple[TouchedStudy, Write]] = []
        for study in ready:
            series_writes += [(study, write) for write in self._levels(study, found)]
        await self._try(series_writes)
        await self._try(
            [
                (study, self._study_write(study, study.after))
                for study in ready
                if study.path not in self._lost and study.held
            ]
        )

    async def _try(self, writes: Sequence[tuple[TouchedStudy, Write]]) -> None:
        states = await self._client.write([write for _, write in writes])
        for (study, write), state in zip(writes, states, strict=True):
            if state is None:
                self._lost.add(study.path)
            elif study.held and write.id == study.path:
                study.held = Held(state, study.held.source)

    def _levels(self, study: TouchedStudy, found: Mapping[str, JsonAttributes]) -> list[Write]:
        """The writes of the study's series; what becomes of the study is in `after`."""
        of_series = {uid: [found[key] for key in groups] for uid, groups in study.groups.items()}
        all_contexts = [c for some in of_series.values() for c in some]
        above = merge(self._table.select(c, _OF_STUDY) for c in all_contexts)
        above[STUDY_UID] = {"vr": "UI", "Value": [study.uid]}
        writes = []
        for uid, some in of_series.items():
            doc = self._series_document(study, uid, some, above)
            if doc["print"] != study.held_series[uid].source.get("print"):
                writes.append(self._series_write(study, uid, doc))
        gone = [uid for uid in study.held_series if uid not in study.groups]
        writes += [self._series_write(study, uid, None) for uid in gone]
        study.after = self._study_document(study, above)
        return writes

    def _series_document(
        self, study: TouchedStudy, uid: str, some: Sequence[JsonAttributes], above: JsonAttributes
    ) -> Json:
        instances = sum(study.groups[uid].values())
        doc = merge(self._table.select(context, (Level.SERIES,)) for context in some)
        doc[STUDY_UID] = above[STUDY_UID]
        doc[SERIES_UID] = {"vr": "UI", "Value": [uid]}
        doc["00201209"] = {"vr": "IS", "Value": [instances]}
        found = {
            "partition": study.partition,
            "study": study.uid,
            "series": uid,
            "id": study.id_of(uid),
            "shown": True,
            "order": study_order(above),
            "number": number(doc.get("00200011")),
            "instances": instances,
            "attributes": doc,
            "above": above,
            **term_fields(SERIES, self._table, {**above, **doc}),
        }
        found["print"] = fingerprint(orjson.dumps(found, option=orjson.OPT_SORT_KEYS))
        return found

    def _study_document(self, study: TouchedStudy, above: JsonAttributes) -> Json:
        before: Json = study.held.source if study.held else {}
        former = before.get("patient")
        unsettled = set(before.get("unsettled", ()))
        found: Json = {
            "partition": study.partition,
            "study": study.uid,
            "shown": bool(study.groups),
            "trace": study.trace or before.get("trace", ""),
        }
        if study.groups:
            count = study.count
            of_patient = self._table.select(above, (Level.PATIENT,))
            found |= {
                "order": study_order(above),
                "patient": patient_key(study.partition, of_patient),
                "known": sorted(study.groups),
                "series_count": count.series,
                "instance_count": count.instances,
                "attributes": {
                    **above,
                    "00201206": {"vr": "IS", "Value": [count.series]},
                    "00201208": {"vr": "IS", "Value": [count.instances]},
                },
                **term_fields(STUDIES, self._table, above),
                **order_fields(above),
            }
            known = self._table.select(before.get("attributes", {}), (Level.PATIENT,))
            if former == found["patient"] and merge([known, of_patient]) != of_patient:
                unsettled.add(former)
        if former and former != found.get("patient"):
            unsettled.add(former)
        if unsettled:
            found["unsettled"] = sorted(unsettled)
        study.changed |= study.removal and before.get("instance_count", 0) != study.count.instances
        return found

    def _series_write(self, study: TouchedStudy, uid: str, doc: Json | None) -> Write:
        place = place_of(self._generation, SERIES, study.id_of(uid))
        held = study.held_series.get(uid)
        blob = None if doc is None else encoded(doc)
        return Write(place.index, place.id, place.routing, blob, held.state if held else None)

    def _study_place(self, study: TouchedStudy) -> Place:
        return place_of(self._generation, STUDIES, study.path)

    def _study_write(self, study: TouchedStudy, doc: Json | None) -> Write:
        place = self._study_place(study)
        blob = None if doc is None else encoded({"shown": False, **doc})
        state = study.held.state if study.held else None
        return Write(place.index, place.id, place.routing, blob, state)

    # --- patients --------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Settle the patients, then take the marks off; everything is found afterwards."""
        settled = [study for study in self._studies.values() if study.held]
        changes: dict[str, PatientChange] = {}
        for study in settled:
            own, marked = study.after.get("patient"), study.after.get("unsettled", ())
            for key in {*marked, *([own] if own else [])}:
                change = changes.setdefault(key, PatientChange(key, study.partition))
                change.whole |= key in marked
                if key == own:
                    change.studies.append(self._study_place(study))
        await Patients(self._client, self._generation, self._table).settle(list(changes.values()))
        writes = []
        for study in settled:
            if study.after.pop("unsettled", None) or not study.groups:
                left = study.after if study.groups else None
                writes.append(self._study_write(study, left))
        # One that has written the study since then has taken the marks over.
        await self._client.write(writes)
        written = (SERIES, STUDIES, PATIENTS)
        await self._client.refresh(*(self._generation.alias(kind) for kind in written))


def _claimed(study: TouchedStudy) -> bool:
    """Whether the states of all documents to be filled were known before the count."""
    if not study.groups:
        return True
    return study.held is not None and set(study.groups) <= set(study.held_series)
