"""Associations that peers request: listening, admission, limits, draining."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from isocenter.core.errors import Unavailable
from isocenter.dimse import negotiation
from isocenter.dimse.association import MAX_BUFFERED_BYTES, Association, Handler
from isocenter.dimse.contexts import (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    LOCAL_LIMIT_EXCEEDED,
    NO_REASON_GIVEN,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    TEMPORARY_CONGESTION,
    Accepted,
    Admission,
    AssociationOffer,
    Rejected,
)
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.ports import Contexts, Port
from isocenter.dimse.sides import AcceptorLayer
from isocenter.dimse.upper_layer import new_buffer
from isocenter.runtime.addresses import Address, Networks

__all__ = [
    "Accepted",
    "Admission",
    "AssociationOffer",
    "Handler",
    "Listener",
    "Rejected",
    "Server",
    "Timeouts",
    "serve",
]

log = logging.getLogger(__name__)

Decide = Callable[[], Awaitable[Admission]]
Admit = Callable[[AssociationOffer], Admission | Decide]
"""Says how to decide where that takes a look-up."""
Answered = Callable[[AssociationOffer, Admission], None]
TurnedAway = Callable[[str, str], None]  # a host, and why its connection is no association

# Connections that have no association yet, besides the associations: beyond, they are closed.
_MAX_UNASSOCIATED = 256
# How long an idle association may take to answer our release while draining, seconds.
_RELEASE_TIME = 2.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Where and how to listen."""

    host: str
    port: int | None  # 0: any free one; None: no plain one
    tls_port: int | None = None  # the same
    tls: Contexts | None = None  # of connections to `tls_port`
    balancers: Networks = ()  # whose connections begin with a PROXY header
    reuse_port: bool = False  # several processes share the ports
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_pdu: int = 128 * 1024  # of P-DATA-TF PDUs received, bytes
    max_associations: int = 1000
    max_buffered_bytes: int = MAX_BUFFERED_BYTES  # received and not yet taken, per association


class _Accepted(Association):
    """An association from the transport connection on."""

    def __init__(self, server: Server, listener: Listener, handlers: Mapping[int, Handler]) -> None:
        super().__init__(
            handlers=handlers,
            timeouts=listener.timeouts,
            max_buffered_bytes=listener.max_buffered_bytes,
        )
        self._server = server
        self._admission: Accepted | None = None
        self._deciding: asyncio.Task[None] | None = None
        self.disconnect = asyncio.Event()

    def connected(self) -> None:
        """The transport connection is open."""
        self._server.connections.add(self)

    def associate_indication(self, body: bytes) -> None:
        """Admit or reject, at once where nothing has to be looked up."""
        layer = self._layer
        acceptor = self._server.acceptor
        request = acceptor.decode(body, layer.peer, layer.tls_subject, layer.tls_fingerprint)
        admission = self._server.admission(request)
        if isinstance(admission, Accepted | Rejected):
            self._conclude(body, request, admission)
        else:
            self._deciding = asyncio.create_task(self._decide(body, request, admission))

    async def _decide(
        self, body: bytes, request: negotiation.AssociateRequest, decide: Decide
    ) -> None:
        """Until then the state is Sta3; a peer that does not wait for the answer ends this."""
        self._conclude(body, request, await self._server.decided(request, decide))

    def _conclude(
        self, body: bytes, request: negotiation.AssociateRequest, admission: Admission
    ) -> None:
        layer, acceptor = self._layer, self._server.acceptor
        if isinstance(admission, Rejected):
            self._server.answered(request.offer, admission)
            layer.reject(admission)
            return
        self._admission = admission
        negotiated, pdu = acceptor.accept(body, request, admission)
        self.calling_ae_title = request.offer.calling_ae_title
        self.called_ae_title = request.offer.called_ae_title
        self.tls_subject = request.offer.tls_subject
        self.tls_fingerprint = request.offer.tls_fingerprint
        self.user, self.user_now = admission.user, admission.user_now
        self.common = request.offer.common
        layer.accept(pdu)
        self.establish(negotiated, admission.budget)
        self._server.established.add(self)
        self._server.answered(request.offer, admission)

    def ended(self) -> None:
        """There is no association any more."""
        super().ended()
        if self._deciding is not None:
            self._deciding.cancel()
        self._server.established.discard(self)
        if self._admission is not None:
            self._admission.on_end()

    def disconnected(self) -> None:
        """The transport connection is closed."""
        self._server.connections.discard(self)
        self.disconnect.set()


class Server:
    """The listening DICOM ports, plain and of TLS."""

    def __init__(
        self,
        listener: Listener,
        handlers: Mapping[int, Handler],
        admit: Admit,
        answered: Answered,
        turned_away: TurnedAway,
    ) -> None:
        self._listener = listener
        self._handlers = handlers
        self._admit = admit
        self.answered = answered
        self._turned_away = turned_away
        self._buffer = new_buffer()
        self.acceptor = negotiation.Acceptor(listener.max_pdu)
        self._plain = self._port(None)
        self._encrypted = self._port(listener.tls)
        self._draining = False
        self.connections: set[_Accepted] = set()
        """Open transport connections, with or without an association."""
        self.established: set[_Accepted] = set()
        """Associations in use."""

    async def listen(self) -> None:
        """Open the ports. Raises `Unavailable`."""
        host, reuse = self._listener.host, self._listener.reuse_port
        numbers = (self._listener.port, self._listener.tls_port)
        for port, number in zip(self._ports, numbers, strict=True):
            if number is None:
                continue
            try:
                await port.listen(host, number, reuse=reuse)
            except OSError as error:
                self._plain.close()
                taken = error.errno == errno.EADDRINUSE
                raise Unavailable(
                    f"cannot listen on {host}:{number}: {error.strerror or error}",
                    fix="choose another port, or stop what uses it"
                    if taken
                    else "check the address",
                ) from error

    @property
    def port(self) -> int:
        """The plain port that is listened on; 0 if none is."""
        return self._plain.number

    @property
    def tls_port(self) -> int:
        """The port of TLS that is listened on; 0 if none is."""
        return self._encrypted.number

    @property
    def associations(self) -> int:
        """How many associations are in use."""
        return len(self.established)

    def admission(self, request: negotiation.AssociateRequest) -> Admission | Decide:
        """What PS3.8 table 9-21 says about a request, then what `admit` says."""
        if not request.version_supported:
            return PROTOCOL_VERSION_NOT_SUPPORTED
        if request.application_context != negotiation.APPLICATION_CONTEXT:
            return APPLICATION_CONTEXT_NOT_SUPPORTED
        if (full := self._full()) is not None:
            return full
        try:
            return self._admit(request.offer)
        except Exception:  # whatever it is, the port goes on
            log.exception("admission failed", extra={"peer": request.offer.peer_host})
            return NO_REASON_GIVEN

    async def decided(self, request: negotiation.AssociateRequest, decide: Decide) -> Admission:
        """What `admit` says in the end; there may be no room any more by then."""
        try:
            async with asyncio.timeout(self._listener.timeouts.artim):
                admission = await decide()
        except TimeoutError:
            return replace(TEMPORARY_CONGESTION, why="who calls could not be found out in time")
        except Exception:  # whatever it is, the port goes on
            log.exception("admission failed", extra={"peer": request.offer.peer_host})
            return NO_REASON_GIVEN
        full = self._full()
        if full is None or isinstance(admission, Rejected):
            return admission
        admission.on_end()
        return full

    def _full(self) -> Rejected | None:
        if self._draining:
            return replace(LOCAL_LIMIT_EXCEEDED, why="this process stops")
        if len(self.established) >= self._listener.max_associations:
            return replace(LOCAL_LIMIT_EXCEEDED, why="as many associations as there may be")
        return None

    async def drain(self, timeout: float) -> None:
        """Accept nothing new, let the requests under way finish, then end every association:
        by release, or by abort where the peer does not answer or `timeout` seconds are over."""
        self._draining = True
        for port in self._ports:
            port.close()
        waiting = [asyncio.create_task(self._finish(one)) for one in tuple(self.established)]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for association in tuple(self.established):
            await association.abort()

    async def close(self) -> None:
        """Close the ports and every connection at once."""
        self._draining = True
        for port in self._ports:
            await port.abandon()
        for connection in tuple(self.connections):
            await connection.abort()
            await connection.abandon()
            await connection.disconnect.wait()

    async def _finish(self, association: _Accepted) -> None:
        await association.idle()
        try:
            async with asyncio.timeout(_RELEASE_TIME):
                await association.release()
        except TimeoutError:
            await association.abort()

    @property
    def _ports(self) -> tuple[Port, Port]:
        return self._plain, self._encrypted

    def _port(self, tls: Contexts | None) -> Port:
        return Port(
            self._layer,
            has_room=self._has_room,
            balancers=self._listener.balancers,
            tls=tls,
            seconds=self._listener.timeouts.artim,
            turned_away=self._turned_away,
        )

    def _has_room(self) -> bool:
        open_now = len(self.connections) + sum(port.opening for port in self._ports)
        return open_now < self._listener.max_associations + _MAX_UNASSOCIATED

    def _layer(self, caller: Address) -> AcceptorLayer:
        association = _Accepted(self, self._listener, self._handlers)
        layer = AcceptorLayer(
            association,
            timeouts=self._listener.timeouts,
            max_length=self._listener.max_pdu,
            buffer=self._buffer,
            peer=caller,
        )
        association.attach(layer)
        return layer


def _untold(whom: object, why: object) -> None:
    del whom, why


async def serve(
    listener: Listener,
    handlers: Mapping[int, Handler],
    admit: Admit,
    answered: Answered = _untold,
    turned_away: TurnedAway = _untold,
) -> Server:
    """Listen, and give the requests on admitted associations to the handler of their command
    field (`messages.CommandField`). `answered` is told of every request of an association,
    `turned_away` of connections that do not come so far. Raises `Unavailable` if the port cannot
    be opened."""
    server = Server(listener, handlers, admit, answered, turned_away)
    await server.listen()
    return server
