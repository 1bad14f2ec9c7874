"""Listening ports, and connections from being accepted to their upper layer.

A PROXY header comes before TLS, so it is read from the bare socket, of which asyncio makes a
transport afterwards: from then on the connection is like any other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from asyncio import IncompleteReadError
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from isocenter.core.errors import Invalid
from isocenter.dimse import proxy_protocol
from isocenter.dimse.upper_layer import UpperLayer
from isocenter.runtime.addresses import Address, Networks, is_within

log = logging.getLogger(__name__)

Contexts = Callable[[], ssl.SSLContext]
"""The context of the next connection."""

_BACKLOG = 1024
_AT_ONCE = 64  # accepted before anything else has its turn
_PAUSE_SECONDS = 1.0  # after an accept that failed, for want of descriptors or memory


class Port:
    """One port, on every address of its host."""

    def __init__(
        self,
        layer: Callable[[Address], UpperLayer],
        *,
        has_room: Callable[[], bool],
        balancers: Networks,
        tls: Contexts | None,
        seconds: float,
        turned_away: Callable[[str, str], None],
    ) -> None:
        """`layer`: makes the upper layer of a connection, given who calls. `has_room`: whether one
        more connection is welcome. `balancers`: whose connections begin with a PROXY header.
        `seconds`: how long header and handshake may take, each. `turned_away`: told of hosts whose
        connections are not let in, and why."""
        self._layer = layer
        self._has_room = has_room
        self._balancers = balancers
        self._tls = tls
        self._seconds = seconds
        self._turned_away = turned_away
        self._loop = asyncio.get_running_loop()
        self._listening: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def number(self) -> int:
        """The number that is listened on; 0 if none is."""
        return int(self._listening[0].getsockname()[1]) if self._listening else 0

    @property
    def opening(self) -> int:
        """How many connections have been accepted and have no upper layer yet."""
        return len(self._opening)

    async def listen(self, host: str, number: int, *, reuse: bool) -> None:
        """`number` 0: any free one; `reuse`: several processes share it. Raises `OSError`."""
        found = await self._loop.getaddrinfo(
            host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, address in dict.fromkeys((one[0], one[4]) for one in found):
                listening = socket.create_server(
                    address, family=family, backlog=_BACKLOG, reuse_port=reuse
                )
                listening.setblocking(False)
                self._listening.append(listening)
        except OSError:
            self.close()
            raise
        for listening in self._listening:
            self._watch(listening)

    def close(self) -> None:
        """Accept nothing any more. Connections that are being opened go on."""
        for listening in self._listening:
            self._loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    async def abandon(self) -> None:
        """Close, those connections too."""
        self.close()
        opening = tuple(self._opening)
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                log.error("no connection can be accepted", extra={"problem": error.strerror})
                self._loop.remove_reader(listening)
                self._loop.call_later(_PAUSE_SECONDS, self._watch, listening)
                return
            if not self._has_room():
                log.warning("too many connections", extra={"peer": address[0]})
                self._turned_away(address[0], "too many connections")
                connection.close()
                continue
            connection.setblocking(False)
            opening = self._loop.create_task(self._open(connection, address[:2]))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket, sender: Address) -> None:
        with ExitStack() as unless_opened:
            unless_opened.callback(connection.close)
            caller = await self._caller(connection, sender)
            if caller is None:
                return
            unless_opened.pop_all()
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._layer(caller),
                connection,
                ssl=self._tls() if self._tls else None,
                ssl_handshake_timeout=self._seconds if self._tls else None,
            )
        except ConnectionResetError:  # by balancers and probes that look whether we listen
            log.debug("connection closed within the TLS handshake", extra={"peer": caller[0]})
        except OSError as error:
            log.warning("TLS handshake failed", extra={"peer": caller[0], "problem": str(error)})
            self._turned_away(caller[0], f"TLS handshake failed: {error}")

    async def _caller(self, connection: socket.socket, sender: Address) -> Address | None:
        """Who calls; None if the connection is to be closed."""
        if not is_within(sender[0], self._balancers):
            return sender
        try:
            async with asyncio.timeout(self._seconds):
                return await proxy_protocol.read(partial(self._receive, connection)) or sender
        except (IncompleteReadError, ConnectionError):
            log.debug("connection closed before its PROXY header", extra={"peer": sender[0]})
        except TimeoutError:
            self._refused(sender, f"no whole PROXY header within {self._seconds:g} s")
        except Invalid as error:
            self._refused(sender, error.message)
        return None

    def _refused(self, sender: Address, problem: str) -> None:
        log.warning(
            "connection of a load balancer refused", extra={"peer": sender[0], "problem": problem}
        )
        self._turned_away(sender[0], problem)

    async def _receive(self, connection: socket.socket, size: int) -> bytes:
        """Exactly so many bytes. Raises `IncompleteReadError`."""
        received = bytearray()
        while len(received) < size:
            part = await self._loop.sock_recv(connection, size - len(received))
            if not part:
                raise IncompleteReadError(bytes(received), size)
            received += part
        return bytes(received)
