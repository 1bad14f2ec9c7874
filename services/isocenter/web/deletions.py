"""Deletion and its undoing over HTTP: extensions of ours, which PS3.18 does not have.

DELETE on a study, series or instance hides it at once; the deletions that can still be undone are
resources of their own below `/api/deletions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import orjson

from isocenter.core.apis import Ingest
from isocenter.core.deletions import Deletion
from isocenter.core.events import AuditAction
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.runtime.audit_log import AuditLog
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import JSON
from isocenter.web.problems import Problem
from isocenter.web.retrieving import address

ROUTE = "/api/deletions"
RESTORE = ROUTE + "/{deletion}/restore"

_HEADERS = ((b"content-type", JSON.encode("ascii")), (b"cache-control", b"no-store"))


class Deletions:
    """The transactions."""

    def __init__(self, *, ingest: Ingest, audit_log: AuditLog, allowed: bool) -> None:
        self._ingest = ingest
        self._audit_log = audit_log
        self._allowed = allowed

    async def delete(self, exchange: Exchange) -> None:
        """200 when nothing of it can be found or retrieved any more, 202 when the rest follows."""
        self._check()
        reason = exchange.parameters("reason").get("reason", "")
        deletion = await self._ingest.delete(
            exchange.caller, *address(exchange), exchange.source, reason
        )
        await _answer(exchange, 200 if deletion.kept == deletion.objects else 202, deletion)

    async def listed(self, exchange: Exchange) -> None:
        """What can be restored, that which ends first first."""
        exchange.parameters()
        found = [one async for one in self._ingest.deletions(exchange.caller, DEFAULT_PARTITION)]
        if not exchange.head:
            await self._audit_log.record(
                AuditAction.QUERY,
                exchange.source,
                partition=DEFAULT_PARTITION,
                studies=tuple(dict.fromkeys(one.study for one in found)),
                detail="list of deletions",
            )
        told = [_told(one) for one in found]
        await exchange.answer(200, _HEADERS, orjson.dumps({"deletions": told}))

    async def restore(self, exchange: Exchange) -> None:
        """200 when all of it is back, 202 when the rest follows."""
        self._check()
        exchange.parameters()
        identifier = exchange.path["deletion"]
        deletion = await self._ingest.restore(
            exchange.caller, DEFAULT_PARTITION, identifier, exchange.source
        )
        await _answer(exchange, 202 if deletion.kept else 200, deletion)

    def _check(self) -> None:
        if not self._allowed:
            raise Problem(403, "this server deletes nothing over HTTP ([web] deletion = false)")


async def _answer(exchange: Exchange, status: int, deletion: Deletion) -> None:
    await exchange.answer(status, _HEADERS, orjson.dumps(_told(deletion)))


def _told(deletion: Deletion) -> Mapping[str, object]:
    level = {"study": deletion.study, "series": deletion.series, "instance": deletion.instance}
    return {
        "id": deletion.id,
        **{name: uid for name, uid in level.items() if uid},
        "instances": deletion.instances,
        "objects": deletion.objects,
        "bytes": deletion.size,
        "deleted": deletion.kept,
        "at": _time(deletion.at),
        "keptUntil": _time(deletion.keep_until),
        "by": deletion.who,
        "reason": deletion.reason,
    }


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
