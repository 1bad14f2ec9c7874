"""The feed of changes: the log's events of instances and studies over HTTP, page by page with long
polling, or as server-sent events.

The format is that of CloudEvents 1.0 in JSON (3.1 and 4); docs/events.md describes the types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from isocenter.core.errors import Invalid
from isocenter.core.events import AuditAction
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.change_feed import Change, ChangeFeed
from isocenter.runtime.event_codec import SOURCE, SPEC_VERSION
from isocenter.web import negotiation
from isocenter.web.chunks import Chunks
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import JSON, Offer

ROUTE = "/changes"
EVENT_STREAM = "text/event-stream"

_FORMS = (Offer(JSON), Offer(EVENT_STREAM))
_MOST, _USUAL = 1000, 100  # changes of a page
_LONGEST_WAIT = 60  # seconds
_BEAT_SECONDS = 15.0  # without a change, after which a comment tells that the stream lives


class Changes:
    """The transaction that reads the feed."""

    def __init__(self, *, feed: ChangeFeed, audit_log: AuditLog) -> None:
        self._feed = feed
        self._audit_log = audit_log

    async def read(self, exchange: Exchange) -> None:
        """A page, or the stream, from a position on."""
        given = exchange.parameters("accept", "since", "limit", "wait")
        form = negotiation.accepted(exchange).best(_FORMS)
        if form is None:
            raise negotiation.not_acceptable(_FORMS)
        limit = _number(given, "limit", _USUAL, 1, _MOST)
        wait = _number(given, "wait", 0, 0, _LONGEST_WAIT)
        streamed = form.media == EVENT_STREAM
        since = exchange.header(b"last-event-id") if streamed else ""
        since = since or given.get("since", "now" if streamed else "oldest")
        position = await self._feed.position(since)
        if streamed:
            if not exchange.head:
                await self._record(exchange, "stream of changes", since)
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await exchange.stream(200, headers, self._stream(exchange, position, limit))
            return
        page = await self._feed.read(exchange.caller, position, limit, wait)
        if page.changes and not exchange.head:
            await self._record(exchange, "changes", since)
        changes = [_cloud_event(one, exchange.root) for one in page.changes]
        body = orjson.dumps({"changes": changes, "next": page.position})
        headers = [(b"content-type", JSON.encode("ascii")), (b"cache-control", b"no-store")]
        await exchange.answer(200, headers, body)

    async def _stream(self, exchange: Exchange, position: str, limit: int) -> Chunks:
        root = exchange.root
        yield b"retry: 1000\n\n"
        while True:
            page = await self._feed.read(exchange.caller, position, limit, _BEAT_SECONDS)
            position = page.position
            if not page.changes:
                yield b": nothing new\n\n"
            for one in page.changes:
                data = orjson.dumps(_cloud_event(one, root))
                head = f"id: {one.position}\nevent: {one.type}\ndata: ".encode("ascii")
                yield head + data + b"\n\n"
            if self._feed.stopped:
                return

    async def _record(self, exchange: Exchange, detail: str, since: str) -> None:
        await self._audit_log.record(
            AuditAction.QUERY,
            exchange.source,
            partition=DEFAULT_PARTITION,
            detail=detail,
            query=f"since={since}",
        )


def _cloud_event(change: Change, root: str) -> dict[str, Any]:
    path = "/".join(
        f"{segment}/{change.data[name]}"
        for segment, name in (("studies", "study"), ("series", "series"), ("instances", "instance"))
        if name in change.data
    )
    return {
        "specversion": SPEC_VERSION,
        "id": change.id,
        "source": SOURCE,
        "type": change.type,
        "time": change.time,
        "subject": path,
        "datacontenttype": JSON,
        "data": {**change.data, "retrieveUrl": f"{root}/{path}"},
    }


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most):
        raise Invalid(f"parameter {name} must be a number from {least} to {most}")
    return int(text)
