"""uvicorn inside a role: no signal handlers of its own, a socket shared by several processes,
bounded request heads, and connections that can be aborted."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from isocenter.core.errors import Unavailable
from isocenter.runtime.listen import LOOPBACK_ADDRESSES
from isocenter.web.exchange import ABORT, ASGIApp
from isocenter.web.problems import Problem, document
from isocenter.web.settings import WebSettings

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_SHORT = 16_384  # bytes
_NEAR_BUFFER = 300_000  # bytes
_LINGER = 1.0  # seconds
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
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


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded request head, which must arrive in time."""

    def __init__(
        self,
        settings: WebSettings,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings = settings
        self._head_size = 0
        self._in_head = True
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        _fit_send_buffer(transport)
        super().connection_made(JoiningTransport(transport, self.loop))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_arrived()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Of each request of the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]
        self._in_head, self._head_size = True, 0

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._head_arrived()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes of heads are counted as they arrive: the parser gives them on when complete."""
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > self._settings.max_head and not self.transport.is_closing():
                self._refuse()
            elif self._deadline is None:
                self._await_head()

    def _refuse(self) -> None:
        """Answer, then read on for a moment: closing on unread data would reset the connection
        before the client has read the answer."""
        self._refused = True
        most = self._settings.max_head
        problem = Problem(431, f"the request line and header fields have more than {most} bytes")
        body = document(problem, uuid.uuid4().hex)
        self.transport.write(_REFUSAL % (len(body), body))
        self._head_arrived()
        self._deadline = self.loop.call_later(_LINGER, self.transport.close)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(self._settings.stall_timeout, self.transport.close)

    def _head_arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class HttpServer:
    """One listener with its connections."""

    def __init__(self, application: ASGIApp, settings: WebSettings) -> None:
        config = uvicorn.Config(
            application,
            http=partial(BoundedProtocol, settings),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
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
