"""The upper layer protocol on an asyncio transport: the state machine of PS3.8 9.2 at work.

`UpperLayer` receives into one buffer that all connections of an event loop share: what arrives is
handed on before the next read, so an idle association costs no buffer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, cast

from isocenter.core.ports import Buffer
from isocenter.dimse import sockets
from isocenter.dimse.contexts import Rejected
from isocenter.dimse.errors import AssociationAborted, MalformedPdu
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.pdu import (
    RELEASE_RP,
    RELEASE_RQ,
    AbortReason,
    AbortSource,
    Framer,
    PduType,
    abort_pdu,
    reject_pdu,
)
from isocenter.dimse.service_user import ServiceUser
from isocenter.dimse.states import NEXT_STATE, TRANSITIONS, Action, Event, State
from isocenter.dimse.tls import fingerprint, loss, subject
from isocenter.runtime.addresses import Address

log = logging.getLogger(__name__)

READ_BUFFER = 256 * 1024
_WRITE_HIGH = 512 * 1024
_WRITE_LOW = 128 * 1024

_EVENTS = {
    PduType.A_ASSOCIATE_AC: Event.EVT3,
    PduType.A_ASSOCIATE_RJ: Event.EVT4,
    PduType.A_ASSOCIATE_RQ: Event.EVT6,
    PduType.A_RELEASE_RQ: Event.EVT12,
    PduType.A_RELEASE_RP: Event.EVT13,
    PduType.A_ABORT: Event.EVT16,
}
_UNEXPECTED = (AbortSource.SERVICE_PROVIDER, AbortReason.UNEXPECTED_PDU)
_UNSPECIFIED = (AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED)
_RECEIVING = frozenset({State.STA6, State.STA7})
_ENDED = frozenset({State.STA1, State.STA13})


def new_buffer() -> memoryview:
    """What connections of one event loop receive into."""
    return memoryview(bytearray(READ_BUFFER))


class UpperLayer(asyncio.BufferedProtocol):
    """One transport connection; `sides` has what only an acceptor or only a requestor does."""

    # What an open transport connection is to this side, and its state in a release collision.
    _opened: ClassVar[Event]
    _collision: ClassVar[State]

    def __init__(
        self,
        user: ServiceUser,
        *,
        timeouts: Timeouts,
        max_length: int,
        buffer: memoryview,
        peer: Address | None = None,
    ) -> None:
        """`peer`: who that is, if not whoever the transport connection is with."""
        self._user = user
        self._timeouts = timeouts
        self._buffer = buffer
        self._framer = Framer(self, max_length)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._artim: asyncio.TimerHandle | None = None
        self._network: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = self._abort_sent = False
        self._loss = ""
        self._state = State.STA1
        self._reason = (AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)
        self._requested_abort: tuple[int, int] | None = None
        self.peer: Address = peer or ("", 0)
        self.tls_subject = ""
        self.tls_fingerprint = ""
        self.last_read = 0.0
        self._actions = self._table()

    def _table(self) -> dict[Action, Callable[[bytes], None]]:
        """What is done for each action, with the body of the PDU or the PDU to send."""
        return {
            Action.AR1: lambda _: self._write(RELEASE_RQ),
            Action.AR2: lambda _: self._user.release_indication(),
            Action.AR3: lambda _: self._ar3(),
            Action.AR4: lambda _: self._send_last(RELEASE_RP),
            Action.AR5: lambda _: self._stop_timers(),
            Action.AR8: lambda _: self._ar8(),
            Action.AR9: lambda _: self._write(RELEASE_RP),
            Action.AR10: lambda _: self._user.release_confirmation(),
            Action.AA1: lambda _: self._aa1(),
            Action.AA2: lambda _: self._close(),
            Action.AA3: self._aa3,
            Action.AA4: lambda _: self._aborted(self._loss),
            Action.AA5: lambda _: self._stop_timers(),
            Action.AA7: lambda _: self._send_abort(*self._reason),
            Action.AA8: lambda _: self._aa8(),
        }

    # --- asyncio ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport connection is open."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_WRITE_HIGH, _WRITE_LOW)
        self._socket = sockets.socket_of(self._transport)
        if not self.peer[0]:
            address = self._transport.get_extra_info("peername") or self.peer
            self.peer = (str(address[0]), int(address[1]))
        self.tls_subject = subject(self._transport)
        self.tls_fingerprint = fingerprint(self._transport)
        self.last_read = self._active = self._loop.time()
        self._network = self._loop.call_later(self._timeouts.network, self._watch)
        self._user.connected()
        if self._fire(self._opened) is None:  # aborted before the connection was open
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer: `buffer_updated` follows before any other connection reads."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Data arrived."""
        self.last_read = self._active = self._loop.time()
        try:
            self._framer.feed(self._buffer[:nbytes])
        except MalformedPdu as error:
            self._framer.stopped = True  # where the next PDU begins is not known
            self._malformed(error)
        self._acknowledge()

    def eof_received(self) -> bool:
        """The peer sends nothing more: it is gone."""
        self._close()
        return False

    def pause_writing(self) -> None:
        """The peer reads slower than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Write again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport connection is closed."""
        self._loss = loss(exc)
        self._fire(Event.EVT17)
        self._stop_timers()
        if self._socket is not None:
            self._socket.detach()
        self._socket = self._transport = None
        self._writable.set()
        self._user.disconnected()

    # --- what the framer finds -------------------------------------------------------------------

    def pdu_received(self, kind: PduType, body: bytes) -> None:
        """A whole PDU other than P-DATA-TF."""
        self._reason = _UNEXPECTED
        try:
            self._fire(_EVENTS[kind], body)
        except MalformedPdu as error:
            self._malformed(error)

    def data_begins(self) -> None:
        """A P-DATA-TF PDU begins."""
        self._reason = _UNEXPECTED
        self._fire(Event.EVT10)

    def fragment_received(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Some bytes of a PDV. Those of a PDU that is not expected are passed over."""
        if self._state not in _RECEIVING:
            return
        try:
            self._user.data_indication(context_id, control, fragment)
        except MalformedPdu as error:
            self._malformed(error)

    def _malformed(self, error: MalformedPdu) -> None:
        log.warning("malformed PDU", extra={"peer": self.peer[0], "problem": error.message})
        self._reason = (AbortSource.SERVICE_PROVIDER, AbortReason(error.reason))
        self._fire(Event.EVT19)

    # --- primitives of the service user ----------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of PS3.8 9.2."""
        return self._state

    def accept(self, pdu: bytes) -> None:
        """A-ASSOCIATE response: accepted."""
        self._fire(Event.EVT7, pdu)

    def reject(self, rejection: Rejected) -> None:
        """A-ASSOCIATE response: rejected."""
        log.debug("association rejected", extra={"peer": self.peer[0], "rejection": str(rejection)})
        self._fire(Event.EVT8, reject_pdu(rejection.result, rejection.source, rejection.reason))

    def send(self, pdus: list[Buffer]) -> None:
        """P-DATA request, with the parts of encoded P-DATA-TF PDUs, which must not change any more.
        Raises `AssociationAborted` if there is no association to send on."""
        if (Event.EVT9, self._state) not in TRANSITIONS:
            raise AssociationAborted(
                f"the association with {self.peer[0]} is over", fix="establish another one"
            )
        self._state = NEXT_STATE[TRANSITIONS[Event.EVT9, self._state]]
        if self._transport is not None and not self._transport.is_closing():
            self._active = self._loop.time()
            self._transport.writelines(pdus)

    @property
    def unsent(self) -> int:
        """Bytes that were sent and that the peer's host does not have yet."""
        return sockets.unsent(self._transport, self._socket) if self._transport is not None else 0

    async def drained(self) -> None:
        """Wait until the peer has taken most of what was sent; a peer that reads nothing within
        the network timeout is aborted. Raises `AssociationAborted`."""
        while not self._writable.is_set():
            before = self.unsent
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.network):
                    await self._writable.wait()
            if not self._writable.is_set() and self.unsent >= before:
                self.abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "it reads nothing")
                self.close()
                return

    def release_request(self) -> None:
        """A-RELEASE request; nothing happens without an established association."""
        self._fire(Event.EVT11)

    def release_response(self) -> None:
        """A-RELEASE response; nothing happens if none is asked for."""
        self._fire(Event.EVT14)

    def abort(self, source: int, reason: int, why: str) -> None:
        """A-ABORT request; nothing happens without an association."""
        if (Event.EVT15, self._state) in TRANSITIONS:
            log.warning("association aborted", extra={"peer": self.peer[0], "problem": why})
            self._requested_abort = (source, reason)
            self._user.aborted(
                AssociationAborted(f"the association with {self.peer[0]} was aborted: {why}")
            )
            self._fire(Event.EVT15)

    def close(self) -> None:
        """Close the transport connection at once, whatever is under way."""
        if self._transport is not None:
            sockets.abort(self._transport, self._socket)

    def pause_reading(self) -> None:
        """Take nothing more from the peer until `resume_reading`."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._active = self._loop.time()
            self._transport.resume_reading()

    # --- the machine -----------------------------------------------------------------------------

    def _fire(self, event: Event, body: bytes = b"") -> Action | None:
        """Do what the table says; answers with the action taken."""
        action = TRANSITIONS.get((event, self._state))
        if action is None:
            return None
        self._state = NEXT_STATE[action]
        perform = self._actions.get(action)
        if perform is not None:
            perform(body)
        if self._state in _ENDED and not self._ended:
            self._ended = True
            self._user.ended()
        return action

    def _ar3(self) -> None:
        self._user.release_confirmation()
        self._close()

    def _ar8(self) -> None:
        self._state = self._collision
        self._user.release_indication()

    def _aa1(self) -> None:
        if self._requested_abort is None:
            log.warning("unexpected PDU before an association", extra={"peer": self.peer[0]})
        self._send_abort(*(self._requested_abort or _UNSPECIFIED))
        self._start_artim()

    def _aa3(self, body: bytes) -> None:
        source, reason = body[2], body[3]
        self._aborted(f"the peer aborts, source {source}, reason {reason}")
        self._close()

    def _aa8(self) -> None:
        self._send_abort(*self._reason)
        self._start_artim()
        self._aborted(f"a protocol error of the peer, reason {self._reason[1]}")

    def _aborted(self, why: str) -> None:
        log.warning("association aborted", extra={"peer": self.peer[0], "problem": why})
        self._user.aborted(AssociationAborted(f"the association with {self.peer[0]} ended: {why}"))

    def _send_abort(self, source: int, reason: int) -> None:
        if not self._abort_sent:  # our direction is closed after the first
            self._abort_sent = True
            self._write(abort_pdu(source, reason))
            self._half_close()

    def _send_last(self, pdu: bytes) -> None:
        self._write(pdu)
        self._start_artim()
        self.resume_reading()

    def _acknowledge(self) -> None:
        """Let a peer with Nagle's algorithm go on; a complete message is acknowledged by our
        answer."""
        waiting = self._user.incomplete or not self._framer.between
        if waiting and self._socket is not None:
            sockets.acknowledge(self._socket)

    def _write(self, data: Buffer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._active = self._loop.time()
            self._transport.write(data)

    def _half_close(self) -> None:
        """Let a peer that does not speak DICOM see an end, and still read the A-ABORT."""
        self.resume_reading()
        if self._transport is not None and self._transport.can_write_eof():
            with suppress(OSError):  # the peer is gone already; `connection_lost` follows
                self._transport.write_eof()

    def _close(self) -> None:
        """Nothing is left to be said. A transport that waits for a peer to read what was said
        before would wait for ever."""
        self._stop_timers()
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    # --- timers ----------------------------------------------------------------------------------

    def _start_artim(self) -> None:
        self._stop_artim()
        self._artim = self._loop.call_later(self._timeouts.artim, self._artim_expired)

    def _artim_expired(self) -> None:
        log.warning("ARTIM timer expired", extra={"peer": self.peer[0], "state": self._state.name})
        self._fire(Event.EVT18)

    def _stop_artim(self) -> None:
        if self._artim is not None:
            self._artim.cancel()
            self._artim = None

    def _stop_timers(self) -> None:
        self._stop_artim()
        if self._network is not None:
            self._network.cancel()
            self._network = None

    def _watch(self) -> None:
        """Abort after too long a silence of a peer whose turn it is."""
        silent = self._loop.time() - self._active
        left = self._timeouts.network - silent
        if not self._user.awaits_peer():
            left = self._timeouts.network
        elif left <= 0:
            self.abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "it is silent")
            return
        self._network = self._loop.call_later(left, self._watch)
