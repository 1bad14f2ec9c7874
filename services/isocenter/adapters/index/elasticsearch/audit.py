"""`AuditIndex` on Elasticsearch: one document a record, found by its id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from typing import Self

from isocenter.adapters.index.elasticsearch import audit_v1
from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Held,
    Json,
    State,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.client import Place as Document
from isocenter.adapters.index.elasticsearch.paging import PAGE
from isocenter.adapters.index.elasticsearch.schema import AUDIT, TERM_LENGTH, alias, problem, uses
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.audit import (
    AuditFilter,
    By,
    Entry,
    Place,
    Tally,
    names_of,
    places_of,
    words,
    words_of,
)
from isocenter.core.errors import IsocenterError, NotFound, Unprocessable
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_records import event_of, fields_of, time_text

_ID_BYTES = 512  # of a document, at most
_BUCKETS = 1000  # of a page of counts
_EXPIRED = 1000  # records that one request removes
_HOUR = len("2026-11-26T17")
_PIT = "1m"  # how long a state of the index is kept, from one page to the next

# What is counted by is a field of its own.
_FIELDS: Mapping[By, str] = {
    By.HOUR: "hour", By.WHO: "principal", By.ACTION: "action", By.OUTCOME: "outcome",
}  # fmt: skip
_ENTRY = ("record", "chain", "sequence")


class ElasticsearchAuditIndex:
    """Records in the order of their times, which sort as the texts they are kept as."""

    def __init__(self, client: ElasticsearchClient) -> None:
        self._client = client
        self._index = alias(client.address.prefix, AUDIT)
        self._seen = False

    @classmethod
    async def open(cls, url: str, settings: ElasticsearchSettings) -> Self:
        """Nothing is asked: the cluster may be away."""
        return cls(ElasticsearchClient.open(url, settings))

    async def append(self, entries: Sequence[Entry]) -> None:
        """See `AuditIndex`."""
        if not entries:
            return
        await self._look()
        events: dict[str, AuditEvent] = {}
        places: dict[str, Place] = {}
        for entry in entries:
            events.setdefault(entry.event.id, entry.event)
            places[entry.event.id] = entry.place
        left = {record: Entry(events[record], places[record]) for record in events}
        held: dict[str, Held | None] = {}
        while left:
            writes = [self._write(entry, held.get(record)) for record, entry in left.items()]
            done = dict(zip(left, await self._client.write(writes), strict=True))
            # Those that are there already, or that somebody else has changed meanwhile.
            held = await self._held([record for record, state in done.items() if state is None])
            left = {
                record: left[record]
                for record, found in held.items()
                if found is None or _place(found.source) != left[record].place
            }
        await self._client.refresh(self._index)

    async def places(self, ids: Sequence[str]) -> Mapping[str, Place]:
        """See `AuditIndex`."""
        await self._look()
        held = await self._held(ids, ("chain", "sequence"))
        return {record: _place(found.source) for record, found in held.items() if found}

    async def reach(self) -> Mapping[str, int]:
        """See `AuditIndex`."""
        await self._look()
        highest: Json = {"highest": {"max": {"field": "sequence"}}}
        found = await self._buckets({"match_all": {}}, ["chain"], highest)
        return {bucket["key"]["chain"]: int(bucket["highest"]["value"]) for bucket in found}

    async def search(self, which: AuditFilter, limit: int, before: str = "") -> Sequence[Entry]:
        """See `AuditIndex`."""
        await self._look()
        after = await self._order(before) if before else None
        found: list[Entry] = []
        while len(found) < limit:
            body: Json = {
                "query": _query(which),
                "sort": [{"at": "desc"}, {"id": "desc"}],
                "size": min(limit - len(found), PAGE),
                "track_total_hits": False,
                "_source": list(_ENTRY),
            }
            if after:
                body["search_after"] = after
            hits = (await self._client.search(self._index, body))["hits"]["hits"]
            found += [_entry(hit["_source"]) for hit in hits]
            if len(hits) < body["size"]:
                break
            after = hits[-1]["sort"]
        return found

    async def get(self, record: str) -> Entry:
        """See `AuditIndex`."""
        await self._look()
        held = (await self._held([record]))[record]
        if held is None:
            raise NotFound(
                "there is no audit record with this id", fix="it may have expired; search for it"
            )
        return _entry(held.source)

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        await self._look()
        body = {"size": 0, "track_total_hits": True, "query": _query(which)}
        answer = await self._client.search(self._index, body)
        return int(answer["hits"]["total"]["value"])

    async def tally(self, which: AuditFilter, by: Sequence[By]) -> Sequence[Tally]:
        """See `AuditIndex`."""
        if not by:
            count = await self.count(which)
            return [Tally((), count)] if count else []
        await self._look()
        fields = [_FIELDS[kind] for kind in by]
        found = await self._buckets(_query(which), sorted(set(fields)))
        tallies = {
            tuple(str(bucket["key"][field]) for field in fields): int(bucket["doc_count"])
            for bucket in found
        }
        return [Tally(keys, tallies[keys]) for keys in sorted(tallies)]

    async def expire(self, chain: str, through: int, since: int = 1) -> int:
        """See `AuditIndex`."""
        await self._look()
        numbers = {"range": {"sequence": {"gte": since, "lte": through}}}
        filters = [{"term": {"chain": chain}}, numbers]
        body: Json = {
            "query": {"bool": {"filter": filters}},
            "size": _EXPIRED,
            "track_total_hits": False,
            "_source": False,
            "seq_no_primary_term": True,
        }
        gone = 0
        while hits := (await self._client.search(self._index, body))["hits"]["hits"]:
            # One that moves meanwhile is not removed, but looked at again.
            writes = [Write(self._index, hit["_id"], hit["_id"], None, _state(hit)) for hit in hits]
            gone += sum(state is not None for state in await self._client.write(writes))
            await self._client.refresh(self._index)
        return gone

    def earlier(self) -> AsyncIterator[Sequence[AuditEvent]]:
        """See `AuditIndex`."""
        return audit_v1.earlier(self._client)

    async def close(self) -> None:
        """See `AuditIndex`."""
        await self._client.close()

    # --- requests --------------------------------------------------------------------------------

    async def _look(self) -> None:
        if not self._seen:
            found = (await uses(self._client, [AUDIT]))[AUDIT]
            if wrong := problem(self._client.address.prefix, AUDIT, found):
                raise wrong
            self._seen = True

    async def _held(
        self, ids: Iterable[str], fields: tuple[str, ...] = _ENTRY
    ) -> dict[str, Held | None]:
        """The documents of these records, whether or not searches find them yet."""
        names = {record: _name(record) for record in ids}
        documents = [Document(self._index, name, name, fields) for name in names.values()]
        return dict(zip(names, await self._client.get(documents), strict=True))

    def _write(self, entry: Entry, held: Held | None) -> Write:
        name = _name(entry.event.id)
        if held is None:
            return Write(self._index, name, name, _document(entry))
        moved = Entry(event_of(held.source["record"]), entry.place)
        return Write(self._index, name, name, _document(moved), held.state)

    async def _order(self, record: str) -> list[str] | None:
        """The sort values of a record."""
        held = (await self._held([record], ("at", "id")))[record]
        return [held.source["at"], held.source["id"]] if held else None

    async def _buckets(
        self, query: Json, fields: Sequence[str], more: Json | None = None
    ) -> list[Json]:
        """All combinations of the values of these fields, of one state of the index."""
        sources = [{field: {"terms": {"field": field}}} for field in fields]
        composite: Json = {"size": _BUCKETS, "sources": sources}
        found: list[Json] = []
        async with self._one_state() as state:
            while True:
                by: Json = {"composite": composite, "aggs": more or {}}
                body: Json = {**state, "size": 0, "query": query, "aggs": {"by": by}}
                answer = (await self._client.search("", body))["aggregations"]["by"]
                found += answer["buckets"]
                if len(answer["buckets"]) < _BUCKETS:
                    return found
                composite["after"] = answer["after_key"]

    @asynccontextmanager
    async def _one_state(self) -> AsyncIterator[Json]:
        """What makes searches look at one state of the index."""
        params = {"keep_alive": _PIT, "allow_partial_search_results": "false"}
        opened = await self._client.request("POST", f"/{self._index}/_pit", params=params)
        try:
            yield {"pit": {"id": opened["id"], "keep_alive": _PIT}}
        finally:
            with suppress(IsocenterError):  # the cluster forgets it by itself
                await self._client.request("DELETE", "/_pit", {"id": opened["id"]})


# --- documents -----------------------------------------------------------------------------------


def _name(record: str) -> str:
    """The id of a record's document: its own, if it can be one."""
    if record and len(record.encode()) <= _ID_BYTES:
        return record
    return f"#{blake2b(record.encode()).hexdigest()}"


def _document(entry: Entry) -> bytes:
    event, place = entry.event, entry.place
    try:
        at, fields = time_text(event.at), fields_of(event)
    except OverflowError as error:
        raise Unprocessable(
            "an audit record is of no time that can be told in UTC",
            fix="set the clock of the process that makes them",
        ) from error
    return encoded(
        {
            "at": at,
            "id": event.id,
            "hour": at[:_HOUR],
            "action": event.action.value,
            "outcome": event.outcome.value,
            "principal": event.source.who[:TERM_LENGTH],
            "who": _cut(names_of(event)),
            "patient": _cut(event.patient_ids),
            "study": _cut(event.studies),
            "instance": _cut(event.instances),
            "place": _cut(places_of(event)),
            "words": words_of(event),
            "chain": place.chain,
            "sequence": place.sequence,
            "record": fields,
        }
    )


def _cut(values: Iterable[str]) -> list[str]:
    return [value[:TERM_LENGTH] for value in values]


def _state(hit: Json) -> State:
    return hit["_seq_no"], hit["_primary_term"]


def _place(source: Json) -> Place:
    return Place(source["chain"], source["sequence"])


def _entry(source: Json) -> Entry:
    return Entry(event_of(source["record"]), _place(source))


def _query(which: AuditFilter) -> Json:
    filters: list[Json] = []
    for field, name in (
        ("who", which.who),
        ("patient", which.patient_id),
        ("study", which.study),
        ("instance", which.instance),
        ("place", which.place),
    ):
        if name:
            filters.append({"term": {field: name[:TERM_LENGTH]}})
    for field, members in (("action", which.actions), ("outcome", which.outcomes)):
        if members:
            filters.append({"terms": {field: [member.value for member in members]}})
    for comparison, moment in (("gte", which.since), ("lt", which.until)):
        if moment:
            filters.append({"range": {"at": {comparison: time_text(moment)}}})
    filters += [{"prefix": {"words": {"value": word}}} for word in sorted(set(words(which.text)))]
    return {"bool": {"filter": filters}}
