"""`AuditIndex` on Elasticsearch: one document a record, never changed and never rebuilt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from isocenter.adapters.index.audit_records import event_of, time_text, who
from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Json,
    Place,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.paging import PAGE
from isocenter.adapters.index.elasticsearch.schema import AUDIT, TERM_LENGTH, alias, problem, uses
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.events import AuditEvent
from isocenter.core.ports import AuditFilter


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

    async def append(self, records: Sequence[AuditEvent]) -> None:
        """See `AuditIndex`."""
        if not records:
            return
        await self._look()
        await self._client.write(
            [Write(self._index, event.id, event.id, _document(event)) for event in records]
        )
        await self._client.refresh(self._index)

    async def search(
        self, which: AuditFilter, limit: int, before: str = ""
    ) -> Sequence[AuditEvent]:
        """See `AuditIndex`. A `before` that is not known answers from the beginning."""
        await self._look()
        after = await self._place_in_order(before) if before else None
        found: list[AuditEvent] = []
        while len(found) < limit:
            body: Json = {
                "query": _query(which),
                "sort": [{"at": "desc"}, {"id": "desc"}],
                "size": min(limit - len(found), PAGE),
                "track_total_hits": False,
                "_source": ["record"],
            }
            if after:
                body["search_after"] = after
            hits = (await self._client.search(self._index, body))["hits"]["hits"]
            found += [event_of(hit["_source"]["record"]) for hit in hits]
            if len(hits) < body["size"]:
                break
            after = hits[-1]["sort"]
        return found

    async def count(self, which: AuditFilter) -> int:
        """See `AuditIndex`."""
        await self._look()
        body = {"size": 0, "track_total_hits": True, "query": _query(which)}
        answer = await self._client.search(self._index, body)
        return int(answer["hits"]["total"]["value"])

    async def close(self) -> None:
        """See `AuditIndex`."""
        await self._client.close()

    async def _look(self) -> None:
        if not self._seen:
            found = (await uses(self._client, [AUDIT]))[AUDIT]
            if wrong := problem(self._client.address.prefix, AUDIT, found):
                raise wrong
            self._seen = True

    async def _place_in_order(self, record: str) -> list[str] | None:
        (held,) = await self._client.get([Place(self._index, record, record, ("at", "id"))])
        return [held.source["at"], held.source["id"]] if held else None


def _document(event: AuditEvent) -> bytes:
    return encoded(
        {
            "at": time_text(event.at),
            "id": event.id,
            "action": event.action.value,
            "outcome": event.outcome.value,
            "who": _words(sorted(who(event))),
            "study": _words(event.studies),
            "patient": _words(event.patient_ids),
            "record": event,
        }
    )


def _words(values: Iterable[str]) -> list[str]:
    return [value[:TERM_LENGTH] for value in values]


def _query(which: AuditFilter) -> Json:
    filters: list[Json] = []
    for field, name in (
        ("who", which.who.strip(" ")),
        ("study", which.study),
        ("patient", which.patient_id),
    ):
        if name:
            filters.append({"term": {field: name[:TERM_LENGTH]}})
    for field, members in (("action", which.actions), ("outcome", which.outcomes)):
        if members:
            filters.append({"terms": {field: [member.value for member in members]}})
    for comparison, moment in (("gte", which.since), ("lt", which.until)):
        if moment:
            filters.append({"range": {"at": {comparison: time_text(moment)}}})
    return {"bool": {"filter": filters}}
