"""uvicorn inside a role: no signal handlers of its own, a socket shared by several processes,
bounded request heads, and connections that can be aborted."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import MutableMapping, Sized
from functools import partial
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from isocenter.core.errors import Unavailable
from isocenter.runtime.listen import LOOPBACK_ADDRESSES
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.web.connections import Connections
from isocenter.web.exchange import CONNECTION, ASGIApp, Exchange, Receive, Send, guarded
from isocenter.web.problems import Problem, in_document
from isocenter.web.settings import WebSettings

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_SHORT = 16_384  # bytes
_NEAR_BUFFER = 300_000  # bytes
_LINGER = 1.0  # seconds
_HEAD_END = b"\r\n\r\n"  # RFC 9112 2.1
_TOO_MANY = Problem(
    503,
    "there are too many connections; send again later",
    [(b"retry-after", b"5"), (b"connection", b"close")],
)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that other processes of ours may share the port with.

    Raises `Unavailable` if the address is not ours or the port is taken by someone else.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _not_listening(host, port, error) from error
    return sock


def _not_listening(host: str, port: int, error: OSError) -> Unavailable:
    return Unavailable(
        f"cannot listen on {host}:{port} for HTTP: {error.strerror}",
        fix="free the port, or set web.host and web.port",
    )


_TOO_MANY_OF_ADDRESS = Problem(
    429, "this address has as many connections as it may have", [(b"retry-after", b"5")]
)


class JoiningTransport(asyncio.Transport):
    """A transport by which a short piece leaves together with the next one, if that comes in the
    same step of the event loop: the head of an answer with the beginning of its body, in one
    system call and one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.abort = transport.abort  # type: ignore[method-assign]
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Send, soon."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.writelines((held, data))
        elif len(data) < _SHORT:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Send what is held and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)


def _fit_send_buffer(transport: asyncio.Transport) -> None:
    """To a peer on this machine (a reverse proxy) nothing is long under way: what waits for it
    should fit into the processor's cache. For other peers the system finds the size."""
    peer, sock = transport.get_extra_info("peername"), transport.get_extra_info("socket")
    if peer and sock is not None and peer[0] in LOOPBACK_ADDRESSES:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _NEAR_BUFFER)


class PatientFlow(FlowControl):
    """Flow control that reads on when the requests that a client sent ahead are answered: a
    client that sends them faster than they are answered has to wait."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        """Unless requests wait."""
        if not self._pipeline:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded request head, which must arrive in time, and problem documents for
    what is no HTTP/1.1."""

    def __init__(
        self,
        settings: WebSettings,
        connections: Connections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = settings
        self._connections = connections
        self._of: str | None = None  # whose connection it is
        self._head_size = 0
        self._framing_size = 0  # bytes since a request began or had a piece of its body
        self._body_size = 0  # bytes of bodies in what arrived last
        self._in_head = True
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        _fit_send_buffer(transport)
        super().connection_made(JoiningTransport(transport, self.loop))
        self.flow = PatientFlow(self.transport, self.pipeline)
        self._of = self._connections.opened(self.client[0] if self.client else "")
        if self._of is None:
            self._refuse(_TOO_MANY_OF_ADDRESS)
        else:
            self._await()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._arrived()
        self._connections.closed(self._of)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Of each request of the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self.transport}  # type: ignore[dict-item]
        self._in_head, self._head_size, self._framing_size = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailer fields, behind a body, are dropped (RFC 9110 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._arrived()
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser takes what follows for another protocol

    def on_body(self, body: bytes) -> None:
        """A piece of it."""
        self._framing_size = 0
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """What is left of a body that was answered before its end may still come, but not forever
        (RFC 9112 9.6)."""
        super().on_response_complete()
        if not self.pipeline and self.cycle.response_complete and self.cycle.more_body:
            self._await()

    def data_received(self, data: bytes) -> None:
        """Bytes of heads are counted as they arrive: the parser gives them on when complete."""
        if self._refused:
            return
        self._framing_size += len(data)
        self._body_size = 0
        super().data_received(data)
        self._bound(data)

    def _bound(self, data: bytes) -> None:
        """Refuse what is too long, and await the rest of a head."""
        if self._refused or self.transport.is_closing():
            return
        if self._in_head:
            self._head_size += len(data) - self._behind_requests(data)
        most = self._settings.max_head
        if max(self._head_size, self._framing_size) > most:
            detail = f"the request line and header fields have more than {most} bytes"
            self._refuse(Problem(431, detail))
        elif self._in_head and self._deadline is None:
            self._await()

    def _behind_requests(self, data: bytes) -> int:
        """Where a head that is not whole yet begins, or goes on: not before the end of other heads
        and of bodies."""
        end = data.rfind(_HEAD_END)
        return max(self._body_size, end + len(_HEAD_END) if end >= 0 else 0)

    def send_400_response(self, msg: str) -> None:
        """What the parser does not take."""
        del msg
        self._refuse(Problem(400, "this is no request of HTTP/1.1 (RFC 9112); send it anew"))

    def _unsupported_upgrade_warning(self) -> None:
        """To go on with HTTP/1.1 is right (RFC 9110 7.8), and nothing to log."""

    def _refuse(self, problem: Problem) -> None:
        """Answer, then read on for a moment: closing on unread data would reset the connection
        before the client has read the answer."""
        self._refused = True
        self._arrived()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body or self.pipeline:
                cycle.keep_alive = False  # what came before is answered, and is the last
                return
            cycle.disconnected = True  # whoever reads the body is told
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self.transport.write(_refusal(problem, self._settings))
        self._deadline = self.loop.call_later(_LINGER, self.transport.close)

    def _await(self) -> None:
        """The rest of a head or a body has to come in time."""
        self._arrived()
        self._deadline = self.loop.call_later(self._settings.stall_timeout, self.transport.close)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _refusal(problem: Problem, settings: WebSettings) -> bytes:
    """The answer to what is no request."""
    headers, body = in_document(problem, uuid.uuid4().hex)
    size = (b"content-length", b"%d" % len(body))
    fields = guarded(
        [*headers, *problem.headers, size], secure=settings.public_url.startswith("https:")
    )
    phrase = HTTPStatus(problem.status).phrase.encode("ascii")
    head = b"".join(b"%b: %b\r\n" % field for field in fields)
    line = b"HTTP/1.1 %d %b\r\nconnection: close\r\n" % (problem.status, phrase)
    return line + head + b"\r\n" + body


class HttpServer:
    """One listener with its connections."""

    def __init__(
        self, application: ASGIApp, settings: WebSettings, telemetry: Telemetry = OFF
    ) -> None:
        self._application = application
        config = uvicorn.Config(
            self._answer,
            http=partial(BoundedProtocol, settings, Connections(settings, telemetry)),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=settings.keep_alive,
            backlog=_BACKLOG,
        )
        config.load()
        self._settings = settings
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._socket: socket.socket | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.port = 0

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, unless there are too many connections."""
        if len(self._server.server_state.connections) <= self._settings.max_connections:
            await self._application(scope, receive, send)
            return
        await Exchange(scope, receive, send, self._settings).fail(_TOO_MANY)

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._ticking is not None and not self._server.should_exit

    async def start(self) -> None:
        """Raises `Unavailable`."""
        self._socket = listen(self._settings.host, self._settings.port)
        self.port = self._socket.getsockname()[1]
        await self._server.startup(sockets=[self._socket])
        self._ticking = asyncio.create_task(self._server.main_loop())
        fields = {"host": self._settings.host, "port": self.port}
        logger.debug("listening for http", extra=fields)

    async def drain(self) -> None:
        """Accept nothing new; return when the requests under way are answered."""
        if self._ticking is None or self._server.should_exit:
            return
        self._server.should_exit = True
        await self._ticking
        assert self._socket is not None
        await self._server.shutdown(sockets=[self._socket])

    async def stop(self) -> None:
        """Close everything, requests under way too."""
        if self._ticking is None:
            return
        self._server.should_exit = self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await self._ticking
        for listener in self._server.servers:
            listener.close()
        tasks = list(self._server.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ticking = None
