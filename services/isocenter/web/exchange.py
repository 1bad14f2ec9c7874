"""One HTTP request and its answer, over ASGI.

An answer that has begun either ends as announced or its connection is aborted: a client never
takes a part for the whole.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
import uuid
from asyncio import Transport
from collections.abc import (
    Awaitable,
    Callable,
    MutableMapping,
)
from contextlib import aclosing, suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from isocenter.core.access import NOBODY
from isocenter.core.access_api import Asker
from isocenter.core.errors import Cancelled, Code, Invalid, IsocenterError
from isocenter.core.events import Source
from isocenter.core.ports import Buffer
from isocenter.runtime.access.sessions import KnownSession
from isocenter.runtime.fair_use import Visit
from isocenter.runtime.listen import LOOPBACK_ADDRESSES
from isocenter.web.chunks import Chunks, Pieces
from isocenter.web.forwarded import Forwarded, forwarded
from isocenter.web.patience import Patience
from isocenter.web.problems import Headers, Problem, Telling, as_problem, in_document
from isocenter.web.settings import WebSettings

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
DICOMWEB = "/dicomweb"
CONNECTION = "isocenter.connection"  # ASGI extension: the transport; given by `web.server`
ROUTE = "isocenter.route"  # in the scope: the template of the route; given by `web.routes`

# The viewer's page is isolated from other origins: shared memory needs it.
_ISOLATION: Headers = (
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),  # of browsers that do not know frame-ancestors
)
_USUAL: Headers = (
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    ),
    (b"cache-control", b"no-store"),
)
_STRICT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")  # RFC 6797
_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_MAX_PARAMETERS = 200


class Disconnected(Cancelled):
    """The client went away."""


@lru_cache(maxsize=1024)
def _source(host: str, purpose: str, user: str) -> Source:
    return Source(protocol="DICOMweb", host=host, purpose=purpose, user=user)


@lru_cache(maxsize=1024)
def _root(scheme: str, host: str, address: str, port: int | None, prefix: str) -> str:
    """Our DICOMweb root at a Host header field, asked for at this address. Raises `Invalid`.

    Some clients leave the port out of Host; where they name our own address, it is known.
    """
    if not _HOST.fullmatch(host):
        raise Invalid("the Host header field is missing or malformed (RFC 9110 7.2)")
    ours = host == address or (host == "localhost" and address in LOOPBACK_ADDRESSES)
    missing = f":{port}" if ours and port not in (None, 80, 443) else ""
    return f"{scheme}://{host}{missing}{prefix}{DICOMWEB}"


def _parameters(raw: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string. Raises `ValueError`."""
    text = raw.decode("ascii")
    if "%" in text or "+" in text:
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    # Nothing is encoded, as in most searches: the same without the cost of decoding.
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    if text.count("&") >= _MAX_PARAMETERS:
        raise ValueError
    return [(name, value) for name, _, value in pairs]


def guarded(headers: Headers, *, secure: bool) -> Headers:
    """With what keeps an answer where it belongs: what is no page runs nothing, what is about
    somebody stays in nobody's cache. `secure`: whether the client reaches us over TLS."""
    names = {name for name, _ in headers}
    more = [one for one in (*_ISOLATION, *_USUAL) if one[0] not in names]
    return [*headers, *more, *((_STRICT,) if secure else ())]


class Exchange:
    """A request, and the means to answer it once."""

    __slots__ = (
        "_connection", "_id", "_query", "_receive", "_send", "broken", "caller", "path",
        "purpose", "scope", "session", "settings", "started", "told", "visit", "whole",
    )  # fmt: skip

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, settings: WebSettings
    ) -> None:
        self.scope = scope
        self.settings = settings
        self.path: dict[str, str] = {}  # values of the route's placeholders
        self.caller = NOBODY  # who asks; given by `web.admission`
        self.session: KnownSession | None = None  # of the browser that asks
        self.visit: Visit | None = None  # what it has of what its caller may; the same
        self.purpose = ""  # why this is asked for, as the client says; given by `web.routes`
        self.started = False
        self.whole = False  # what was asked for is on its way to its end
        self.broken: Callable[[], Awaitable[None]] | None = None  # records that it never was
        self.told: Telling = in_document  # of errors; given by `web.routes`
        self._receive = receive
        self._send = send
        self._connection: Transport | None = scope.get("extensions", {}).get(CONNECTION)
        self._query: list[tuple[str, str]] | None = None
        self._id = ""

    # --- request ---

    def header(self, name: bytes) -> str:
        """A header field's value (several fields are one list), empty if absent."""
        found = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(found).decode("latin-1")

    @property
    def query(self) -> list[tuple[str, str]]:
        """The decoded query parameters, in order. Raises `Invalid`."""
        if self._query is None:
            try:
                self._query = _parameters(self.scope["query_string"])
            except ValueError as error:
                raise Invalid(
                    "the query of the address cannot be read",
                    fix=f"give at most {_MAX_PARAMETERS} parameters, percent-encoded UTF-8",
                ) from error
        return self._query

    def parameters(self, *known: str) -> dict[str, str]:
        """The query parameters, each of which must be known and given once."""
        found: dict[str, str] = {}
        for name, value in self.query:
            if name not in known:
                raise Invalid(f"parameter {name[:64]!a} is not known here")
            if name in found:
                raise Invalid(f"parameter {name} is given twice")
            found[name] = value
        return found

    @property
    def head(self) -> bool:
        """Whether the answer's content stays here (RFC 9110 9.3.2). All else is as with GET, the
        work included that tells the status and the header fields."""
        return bool(self.scope["method"] == "HEAD")

    @property
    def source(self) -> Source:
        """Who asks, as events and audit records name it."""
        return _source(self.host, self.purpose, self.caller.name)

    @property
    def host(self) -> str:
        """The address of who asks."""
        return self._forwarded.host or self._peer

    @property
    def asker(self) -> Asker:
        """The same, with who it is for the policy."""
        return Asker(self.caller, self.source)

    @property
    def _peer(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def _forwarded(self) -> Forwarded:
        return forwarded(self.header, self._peer, self.settings.proxies)

    @property
    def root(self) -> str:
        """Our DICOMweb root as this client reaches it. Raises `Invalid`."""
        if self.settings.public_url:
            return self.settings.public_url + DICOMWEB
        address, port = self.scope.get("server") or ("", None)
        told = self._forwarded
        scheme = told.scheme or self.scope["scheme"]
        if told.authority:
            return _root(scheme, told.authority, "", None, told.prefix)
        return _root(scheme, self.header(b"host"), address, port, told.prefix)

    @property
    def request_id(self) -> str:
        """What log lines and problem documents of this request have in common."""
        if not self._id:
            given = self.header(b"x-request-id")
            self._id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        return self._id

    async def body(self) -> Chunks:
        """The request's body as it arrives. Raises `Disconnected`, 408 and 413 `Problem`s."""
        size = 0
        while True:
            try:
                async with asyncio.timeout(self.settings.stall_timeout):
                    message = await self._receive()
            except TimeoutError as error:
                raise Problem(408, "the request stopped arriving; send it again") from error
            if message["type"] == "http.disconnect":
                raise Disconnected("the client went away before its request ended")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self.settings.max_upload:
                limit = self.settings.max_upload
                raise Problem(413, f"the body has more than {limit} bytes; send fewer objects")
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return

    # --- answer ---

    async def _start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": self._guarded(headers)}
        )

    def _guarded(self, headers: Headers) -> Headers:
        return guarded(headers, secure=self.is_secure)

    @property
    def is_secure(self) -> bool:
        """Whether this client reaches us over TLS."""
        told = self.settings.public_url.partition(":")[0] or self._forwarded.scheme
        return (told or str(self.scope["scheme"])) == "https"

    async def answer(self, status: int, headers: Headers, *parts: bytes) -> None:
        """A complete answer from parts that are in memory."""
        length = b"%d" % sum(map(len, parts))
        await self._start(status, [*headers, (b"content-length", length)])
        if self.head:
            parts = ()
        for part in parts[:-1]:
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        last = parts[-1] if parts else b""
        await self._send({"type": "http.response.body", "body": last})
        self.whole = status < 400

    async def without_content(self, status: int, headers: Headers) -> None:
        """204 or 304, which have no Content-Length either (RFC 9110 8.6), or a head alone."""
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": b""})

    async def hand_over(self, response: ASGIApp) -> None:
        """Let another ASGI application answer."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.started = True
                message["headers"] = self._guarded(message["headers"])
            await self._send(message)

        await response(self.scope, self._receive, send)

    async def stream(self, status: int, headers: Headers, chunks: Pieces) -> None:
        """An answer as it comes. An error before the first chunk is raised, a later one aborts
        the connection. Ends quietly, with `chunks` closed, when the client goes away."""
        async with aclosing(chunks):
            first = await anext(chunks, b"")
            if self.head:
                await self.without_content(status, headers)
                return
            gone = asyncio.create_task(self._until_gone())
            try:
                await self._start(status, headers)
                async with Patience(self.settings.stall_timeout) as patience:
                    await patience.step(self._send_on(first))
                    async for chunk in chunks:
                        if self._is_gone(gone):
                            return
                        await patience.step(self._send_on(chunk))
                self.whole = not self._is_gone(gone)
                await self._send({"type": "http.response.body", "body": b""})
            finally:
                gone.cancel()
                with suppress(asyncio.CancelledError):
                    await gone

    async def _send_on(self, chunk: Buffer) -> None:
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    def _is_gone(self, told: asyncio.Task[None]) -> bool:
        """Whether nothing reaches the client any more. The connection knows at once; `told` has a
        turn of the event loop only when sending waits."""
        return told.done() or (self._connection is not None and self._connection.is_closing())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def fail(self, error: Exception) -> None:
        """Answer with a problem document, or abort an answer that has begun."""
        if isinstance(error, Disconnected):
            return
        self._log(error)
        if self.started:
            if self._connection is None:
                raise error  # how a server without the extension is told to close the connection
            self._connection.abort()
            await asyncio.sleep(0)
            return
        problem = as_problem(error)
        headers, body = self.told(problem, self.request_id)
        await self.answer(problem.status, [*headers, *problem.headers], body)

    def _log(self, error: Exception) -> None:
        """Expected errors in one line; of others the place, without values of variables."""
        fields: dict[str, Any] = {"request_id": self.request_id, "kind": type(error).__name__}
        if isinstance(error, Problem) or (
            isinstance(error, IsocenterError) and error.code is not Code.INTERNAL
        ):
            fields["error"] = str(error)
            failed = as_problem(error).status >= 500
            logger.log(logging.ERROR if failed else logging.INFO, "request failed", extra=fields)
            return
        frames = traceback.extract_tb(error.__traceback__)
        fields["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-5:]]
        logger.error("request failed unexpectedly", extra=fields)


Handler = Callable[[Exchange], Awaitable[None]]
