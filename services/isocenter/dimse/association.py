"""An association, whoever requested it: its life, and the DIMSE services on it.

Requests of the peer go to handlers, one after another in synchronous mode, several at once in
asynchronous mode (PS3.7 D.3.3.3); requests of ours are the `c_...` operations, one at a time. Both
may be under way together: the SCP of a C-GET stores on the association that the C-GET came on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from typing import Any

from isocenter.core.access import Caller
from isocenter.core.errors import Unprocessable
from isocenter.core.ports import Buffer
from isocenter.dimse.assembly import Assembler
from isocenter.dimse.budget import Budget
from isocenter.dimse.contexts import CommonExtended, PresentationContext
from isocenter.dimse.errors import AssociationAborted, MalformedPdu
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import (
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    UNRECOGNIZED_OPERATION,
    Command,
    CommandField,
    Request,
)
from isocenter.dimse.negotiation import Negotiated
from isocenter.dimse.operations import MESSAGE_WEIGHT, Operations
from isocenter.dimse.pdu import COMMAND, AbortReason, AbortSource, data_pdus
from isocenter.dimse.sending import Chunks
from isocenter.dimse.states import State
from isocenter.dimse.stream import DataStream
from isocenter.dimse.upper_layer import UpperLayer

__all__ = ["MAX_BUFFERED_BYTES", "Association", "Handler", "PresentationContext"]

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[None]]

MAX_BUFFERED_BYTES = 1024 * 1024


class Association(Operations):
    """One association with a peer; made by `server.serve` and `requestor.associate`."""

    def __init__(
        self, *, handlers: Mapping[int, Handler], timeouts: Timeouts, max_buffered_bytes: int
    ) -> None:
        super().__init__(timeouts)
        self.calling_ae_title = ""
        self.called_ae_title = ""
        self.peer_host = ""
        self.peer_port = 0
        self.tls_subject = ""
        self.tls_fingerprint = ""
        self.user = ""
        """Who the peer is, where its user identity was verified."""
        self.user_now: Callable[[], Awaitable[Caller]] | None = None
        """See `contexts.Accepted`."""
        self.contexts: Mapping[int, PresentationContext] = {}
        """The accepted presentation contexts by ID; the roles are ours."""
        self.extended: Mapping[str, bytes] = {}
        """Our answers to the peer's SOP Class Extended Negotiation, by SOP class."""
        self.common: Mapping[str, CommonExtended] = {}
        """The peer's SOP Class Common Extended Negotiation, by SOP class."""
        self.max_pdu_out = 0
        """Longest P-DATA-TF PDU sent, bytes after the PDU header."""
        self.closed = asyncio.Event()
        """Set when the association has ended: released, aborted or lost."""
        self._handlers = handlers
        self._layer: UpperLayer
        self._max_buffered = max_buffered_bytes
        self._buffered = 0
        self._full = False  # more than that
        self._over_budget = False
        self._assembler = Assembler(self, self._arrived, self.let_go, self._done)
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self._open: dict[int, Request] = {}  # by message ID: queued or being handled
        self._under_way = 0  # of these
        self._idle = asyncio.Event()
        self._idle.set()
        self._workers: list[asyncio.Task[None]] = []
        self._budget: Budget | None = None
        self._send_lock = asyncio.Lock()
        self._release_wanted = False
        self._error: AssociationAborted | None = None

    # --- life ------------------------------------------------------------------------------------

    def attach(self, layer: UpperLayer) -> None:
        """Where the primitives go."""
        self._layer = layer

    def establish(self, negotiated: Negotiated, budget: Budget | None = None) -> None:
        """The association is established; `budget` bounds what it and others have in flight."""
        self._budget = budget
        self.peer_host, self.peer_port = self._layer.peer
        self.contexts = negotiated.contexts
        self.extended = negotiated.extended
        self.max_pdu_out = negotiated.max_length
        self._workers = [asyncio.create_task(self._work()) for _ in range(negotiated.operations)]

    async def release(self) -> None:
        """Release, and wait until that is done; an association that ended is left alone. A peer
        that does not answer within the ARTIM time is aborted."""
        self._layer.release_request()
        try:
            async with asyncio.timeout(self._timeouts.artim):
                await self.closed.wait()
        except TimeoutError:
            self._layer.abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "no release")

    async def abort(
        self,
        source: AbortSource = AbortSource.SERVICE_USER,
        reason: AbortReason = AbortReason.NOT_SPECIFIED,
    ) -> None:
        """Abort; an association that ended is left alone."""
        self._layer.abort(source, reason, "aborted locally")
        await asyncio.sleep(0)  # lets the A-ABORT leave before a caller ends the loop

    async def idle(self) -> None:
        """Wait until no request of the peer is under way."""
        await self._idle.wait()

    async def abandon(self) -> None:
        """Close the connection at once, cancel the handlers and wait for them."""
        self._layer.close()
        workers = [one for one in self._workers if one is not asyncio.current_task()]
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    # --- sending ---------------------------------------------------------------------------------

    async def send_message(
        self,
        context_id: int,
        command: bytes,
        data_set: Buffer | AsyncIterable[Buffer] | None = None,
    ) -> None:
        """Send one message, its command set encoded. Raises `AssociationAborted`; if the data set
        raises or the caller is cancelled after the first byte left, the association is aborted,
        since the rest of the message can never follow."""
        parts = data_pdus(context_id, COMMAND, command, self.max_pdu_out, last=True)
        if data_set is None or isinstance(data_set, Buffer):
            if data_set is not None:
                parts += data_pdus(context_id, 0, data_set, self.max_pdu_out, last=True)
            async with self._send_lock:
                self._layer.send(parts)
                await self._drained()
            return
        chunks = Chunks(data_set)
        await chunks.begin()  # a source that fails at once costs no association
        async with self._send_lock:
            await self._send_chunks(context_id, parts, chunks)

    async def _send_chunks(self, context_id: int, command: list[Buffer], chunks: Chunks) -> None:
        self._layer.send(command)
        try:
            async for parts in chunks.pdus(context_id, self.max_pdu_out):
                self._layer.send(parts)
                await self._drained()
        except AssociationAborted:
            raise
        except BaseException:
            if not chunks.complete:
                self._layer.abort(
                    AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "unfinished message"
                )
            raise

    async def _drained(self) -> None:
        await self._layer.drained()
        if self._error is not None:
            raise self._error

    # --- indications of the upper layer ----------------------------------------------------------

    def connected(self) -> None:
        """The transport connection is open."""

    def data_indication(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Part of a message."""
        try:
            self._assembler.add(self.contexts, context_id, control, fragment)
        except MalformedPdu:
            raise
        except Unprocessable as error:
            self._layer.abort(AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, str(error))

    def message_received(
        self, context: PresentationContext, command: Command, data: DataStream
    ) -> None:
        """A message whose data set may still be arriving."""
        if command.field == CommandField.C_CANCEL:
            data.discard()
            request = self._open.get(command.message_id_being_responded_to)
            if request is not None:
                request.cancelled.set()
        elif command.is_response:
            self.response_received(command, data)
        elif self._layer.state is not State.STA6:  # we release: it could not be answered
            data.discard()
        else:
            request = Request(self, context, command, data)
            self._open[command.message_id] = request
            self._under_way += 1
            self._idle.clear()
            self.hold(MESSAGE_WEIGHT)
            self._requests.put_nowait(request)

    def release_indication(self) -> None:
        """The peer wants to release; it may as soon as its requests are answered."""
        if self._assembler.incomplete:
            self._layer.abort(
                AbortSource.SERVICE_PROVIDER,
                AbortReason.UNEXPECTED_PDU,
                "a release in the middle of a message",
            )
            return
        self.fail_operation(AssociationAborted(f"{self.peer_host} releases the association"))
        self._release_wanted = True
        self._release_if_idle()

    def release_confirmation(self) -> None:
        """The peer released; if it wanted to at the same time, it waits for our response."""
        self._release_if_idle()

    def aborted(self, error: AssociationAborted) -> None:
        """The association ended without release."""
        self._error = self._error or error

    def ended(self) -> None:
        """There is no association any more."""
        error = self._error or AssociationAborted(
            f"the association with {self.peer_host} was released", fix="establish another one"
        )
        self._error = error
        self.closed.set()
        self._assembler.fail(error)
        self.fail_operation(error)
        if self._budget is not None:
            self._budget.leave(self)
        for request in self._open.values():
            request.cancelled.set()
        for _ in self._workers:
            self._requests.put_nowait(None)

    def disconnected(self) -> None:
        """The transport connection is closed."""

    @property
    def incomplete(self) -> bool:
        """Whether the rest of a message is still to come."""
        return self._assembler.incomplete

    def awaits_peer(self) -> bool:
        """Whether the peer's silence counts: nothing of ours is under way, or half a message
        has arrived. Responses to our requests have a timeout of their own."""
        if self._full or self._over_budget or not self._workers:
            return False
        return self._assembler.incomplete or (self._idle.is_set() and not self.operating)

    # --- bounded buffering -----------------------------------------------------------------------

    def hold(self, count: int) -> None:
        """So many more bytes are held; past the bound the socket is not read."""
        self._buffered += count
        if self._buffered > self._max_buffered and not self._full:
            self._full = True
            self._layer.pause_reading()

    def let_go(self, count: int) -> None:
        """So many bytes less are held; at half the bound the socket is read again."""
        self._buffered -= count
        if self._full and self._buffered <= self._max_buffered // 2:
            self._full = False
            self._read_again()

    def stop_reading(self) -> None:
        """Those who share the budget have too much in flight."""
        self._over_budget = True
        self._layer.pause_reading()

    def read_on(self) -> None:
        """They have no more."""
        self._over_budget = False
        self._read_again()

    def _read_again(self) -> None:
        if not self._full and not self._over_budget:
            self._layer.resume_reading()

    def _arrived(self, count: int) -> None:
        """So many bytes of a data set."""
        self.hold(count)
        if self._budget is not None and not self.closed.is_set():
            self._budget.add(self, count)

    def _done(self, count: int) -> None:
        """A message whose data set had so many bytes."""
        if self._budget is not None:
            self._budget.remove(self, count)

    # --- requests of the peer --------------------------------------------------------------------

    async def _work(self) -> None:
        while (request := await self._requests.get()) is not None:
            try:
                if not self.closed.is_set():
                    await self._handle(request)
            finally:
                request.stream.discard()
                if self._open.get(request.command.message_id) is request:
                    del self._open[request.command.message_id]
                self.let_go(MESSAGE_WEIGHT)
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
                self._release_if_idle()

    async def _handle(self, request: Request) -> None:
        fields: dict[str, Any] = {
            "peer": self.peer_host,
            "ae_title": self.calling_ae_title,
            "command": f"{request.command.field:04X}H",
        }
        try:
            await self._dispatch(request)
            if not request.responded:
                log.error("a handler sent no final response", extra=fields)
        except AssociationAborted as error:
            log.info("a request was not answered", extra={**fields, "problem": error.message})
            return
        except Exception:  # whatever it is, the association goes on
            log.exception("a handler failed", extra=fields)
        if not request.responded and not self.closed.is_set():
            try:
                await request.respond(PROCESSING_FAILURE)
            except AssociationAborted as error:
                log.info("a request was not answered", extra={**fields, "problem": error.message})

    async def _dispatch(self, request: Request) -> None:
        handler = self._handlers.get(request.command.field)
        if handler is None:
            await request.respond(UNRECOGNIZED_OPERATION)
        elif not _may_ask(request):
            await request.respond(SOP_CLASS_NOT_SUPPORTED)
        else:
            await handler(request)

    def _release_if_idle(self) -> None:
        if self._release_wanted and self._idle.is_set():
            self._layer.release_response()


def _may_ask(request: Request) -> bool:
    """Whether the peer has the role that a request is of: an SCP reports events, all else is asked
    by SCUs."""
    if request.command.field == CommandField.N_EVENT_REPORT:
        return request.context.scu
    return request.context.scp
