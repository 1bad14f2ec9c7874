"""The AE directory over HTTP, below `/api/aes`: an extension of ours to PS3.18."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

import orjson

from isocenter.core.errors import Invalid
from isocenter.runtime.ae_administration import AEAdministration, Entry
from isocenter.runtime.aes import fields_of, parsed
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import JSON
from isocenter.web.problems import Problem, shown

ROUTE = "/api/aes"
ENTRY = ROUTE + "/{title...}"  # a title may hold slashes

_HEADERS = ((b"content-type", JSON.encode("ascii")), (b"cache-control", b"no-store"))
_MAX_BODY = 256 * 1024  # bytes


class AEDirectory:
    """The transactions."""

    def __init__(self, *, directory: AEAdministration, allowed: bool) -> None:
        self._directory = directory
        self._allowed = allowed

    async def listed(self, exchange: Exchange) -> None:
        """All of them, by title."""
        exchange.parameters()
        found = [told(entry) for entry in await self._directory.entries()]
        await exchange.answer(200, _HEADERS, orjson.dumps({"aes": found}))

    async def entry(self, exchange: Exchange) -> None:
        """One of them."""
        exchange.parameters()
        await self._answer(exchange, 200, await self._directory.entry(exchange.path["title"]))

    async def put(self, exchange: Exchange) -> None:
        """201 when it is new, else 200."""
        self._check()
        exchange.parameters()
        fields = await _body(exchange)
        title = exchange.path["title"]
        ae = parsed({"title": title, **fields})
        if ae.title != title.strip(" "):
            raise Invalid(
                f"the address names {shown(title)}, and the body {ae.title}",
                fix="leave the title out of the body, or give the same",
            )
        entry, new = await self._directory.set(ae, exchange.asker)
        await self._answer(exchange, 201 if new else 200, entry)

    async def remove(self, exchange: Exchange) -> None:
        """204 when it is gone."""
        self._check()
        exchange.parameters()
        await self._directory.remove(exchange.path["title"], exchange.asker)
        await exchange.without_content(204, ())

    async def _answer(self, exchange: Exchange, status: int, entry: Entry) -> None:
        await exchange.answer(status, _HEADERS, orjson.dumps(told(entry)))

    def _check(self) -> None:
        if not self._allowed:
            raise Problem(
                403, "the AE directory is not changed over HTTP here ([web] ae_directory = false)"
            )


async def _body(exchange: Exchange) -> Mapping[str, object]:
    """The JSON object of a request. Raises `Invalid`, and `Problem`s of HTTP."""
    media = exchange.header(b"content-type").partition(";")[0].strip().lower()
    if media != JSON:
        raise Problem(415, f"send the fields of the AE as {JSON}")
    body = bytearray()
    async with aclosing(exchange.body()) as arriving:
        async for chunk in arriving:
            body += chunk
            if len(body) > _MAX_BODY:
                raise Problem(413, f"the body has more than {_MAX_BODY} bytes")
    return read(bytes(body))


def read(text: bytes | str) -> Mapping[str, object]:
    """The JSON object that holds the fields of an AE. Raises `Invalid`."""
    try:
        fields = orjson.loads(text)
    except ValueError as error:
        raise Invalid("what describes the AE is not JSON", fix="send a JSON object") from error
    if not isinstance(fields, dict):
        raise Invalid("what describes the AE is no JSON object", fix='send {"host": ...}')
    return fields


def told(entry: Entry) -> Mapping[str, object]:
    """An entry as JSON has it."""
    at = entry.at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if entry.at else ""
    changed = {"by": entry.by, "at": at} if at else {}
    return {"ae": fields_of(entry.ae), "source": entry.origin.value, **changed}
