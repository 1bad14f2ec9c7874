"""Our requests on an association: the DIMSE-C services as SCU (PS3.7 9.1), and of the DIMSE-N
services those of Storage Commitment (PS3.7 10.1.1 and 10.1.4)."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isocenter.core.errors import DeadlineExceeded, OutOfResources, Unsupported
from isocenter.core.ports import Buffer
from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.errors import AssociationAborted
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import (
    NO_DATA_SET,
    WITH_DATA_SET,
    Command,
    CommandField,
    Response,
    encode_command,
)
from isocenter.dimse.pdu import AbortReason, AbortSource
from isocenter.dimse.stream import DataStream
from isocenter.dimse.upper_layer import UpperLayer

log = logging.getLogger(__name__)

VERIFICATION = "1.2.840.10008.1.1"
MAX_RESPONSE_DATA_SET = 4 * 1024 * 1024
# What a message that waits for its turn counts for in bounded buffering, besides its data set.
MESSAGE_WEIGHT = 4096
_MAX_MESSAGE_ID = 0xFFFF
# What the SOP class is called in the command set, where it is not Affected (PS3.7 10.3).
_SOP_CLASS = {CommandField.N_ACTION: "requested_sop_class"}


@dataclass(eq=False, slots=True)
class _Operation:
    """The request of ours that is under way."""

    message_id: int
    answers: deque[tuple[Command, DataStream] | AssociationAborted] = field(default_factory=deque)
    waiter: asyncio.Future[None] | None = None

    def add(self, answer: tuple[Command, DataStream] | AssociationAborted) -> None:
        """An answer, or why there will be none."""
        self.answers.append(answer)
        self.wake()

    def wake(self) -> None:
        """Let who waits look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Operations(ABC):
    """One request of ours at a time; further ones wait for their turn."""

    contexts: Mapping[int, PresentationContext]
    closed: asyncio.Event
    _layer: UpperLayer

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._turn = asyncio.Lock()
        self._operation: _Operation | None = None
        self._last_message_id = 0

    @property
    def operating(self) -> bool:
        """Whether a request of ours is under way."""
        return self._operation is not None

    # --- the services ----------------------------------------------------------------------------

    async def c_echo(self) -> int:
        """C-ECHO; answers with its status. Raises `Unsupported` without a context for it."""
        for context in self.contexts.values():
            if context.abstract_syntax == VERIFICATION:
                return (await self._single(context, CommandField.C_ECHO, VERIFICATION)).status
        raise Unsupported(
            "the association has no presentation context of the Verification SOP class",
            fix="propose one",
        )

    async def c_store(
        self,
        context: PresentationContext,
        sop_class: str,
        sop_instance: str,
        data: Buffer | AsyncIterable[Buffer],
        *,
        priority: int = 0,
        move_originator: str = "",
        move_originator_message_id: int = 0,
    ) -> Response:
        """C-STORE of a data set encoded in the transfer syntax of `context`. If `data` raises
        before its first chunk, nothing is sent; later, the association is aborted. In one piece
        it leaves without a copy, so it must not change."""
        fields: dict[str, Any] = {"affected_sop_instance": sop_instance, "priority": priority}
        if move_originator:
            fields["move_originator"] = move_originator
            fields["move_originator_message_id"] = move_originator_message_id
        return await self._single(context, CommandField.C_STORE, sop_class, data, fields)

    def c_find(
        self, context: PresentationContext, sop_class: str, identifier: bytes, *, priority: int = 0
    ) -> AsyncGenerator[Response, None]:
        """C-FIND: the pending responses with their identifiers, then the final one.

        Closing the iterator early (`contextlib.aclosing`) sends C-CANCEL and waits for the final
        response; `cancel` asks for the end and lets the iteration go on to it."""
        fields = {"priority": priority}
        return self._many(context, CommandField.C_FIND, sop_class, identifier, fields)

    def c_move(
        self,
        context: PresentationContext,
        sop_class: str,
        destination: str,
        identifier: bytes,
        *,
        priority: int = 0,
    ) -> AsyncGenerator[Response, None]:
        """C-MOVE to the AE title `destination`; responses and cancelling as with `c_find`."""
        fields = {"priority": priority, "move_destination": destination}
        return self._many(context, CommandField.C_MOVE, sop_class, identifier, fields)

    def c_get(
        self, context: PresentationContext, sop_class: str, identifier: bytes, *, priority: int = 0
    ) -> AsyncGenerator[Response, None]:
        """C-GET; responses and cancelling as with `c_find`. The C-STORE sub-operations go to the
        association's handlers."""
        fields = {"priority": priority}
        return self._many(context, CommandField.C_GET, sop_class, identifier, fields)

    async def n_action(
        self,
        context: PresentationContext,
        sop_class: str,
        sop_instance: str,
        action_type: int,
        information: bytes,
    ) -> Response:
        """N-ACTION with its action information."""
        fields = {"requested_sop_instance": sop_instance, "action_type_id": action_type}
        return await self._single(context, CommandField.N_ACTION, sop_class, information, fields)

    async def n_event_report(
        self,
        context: PresentationContext,
        sop_class: str,
        sop_instance: str,
        event_type: int,
        information: bytes,
    ) -> Response:
        """N-EVENT-REPORT with its event information."""
        fields = {"affected_sop_instance": sop_instance, "event_type_id": event_type}
        return await self._single(
            context, CommandField.N_EVENT_REPORT, sop_class, information, fields
        )

    async def cancel(self) -> None:
        """C-CANCEL of the request that is under way, if there is one."""
        operation = self._operation
        if operation is None or self.closed.is_set():
            return
        fields = {
            "field": CommandField.C_CANCEL,
            "message_id_being_responded_to": operation.message_id,
            "data_set_type": NO_DATA_SET,
        }
        await self.send_message(self._context_id, encode_command(fields))

    # --- what the association offers and tells ---------------------------------------------------

    @abstractmethod
    async def send_message(
        self,
        context_id: int,
        command: bytes,
        data_set: Buffer | AsyncIterable[Buffer] | None = None,
    ) -> None:
        """Send one message."""

    @abstractmethod
    def hold(self, count: int) -> None:
        """So many more bytes are held in memory."""

    @abstractmethod
    def let_go(self, count: int) -> None:
        """So many bytes less are held in memory."""

    def response_received(self, command: Command, data: DataStream) -> None:
        """A response of the peer, whose data set may still be arriving."""
        operation = self._operation
        if operation is None or operation.message_id != command.message_id_being_responded_to:
            log.info("a response to no request", extra={"command": f"{command.field:04X}H"})
            data.discard()
            return
        self.hold(MESSAGE_WEIGHT)
        operation.add((command, data))

    def fail_operation(self, error: AssociationAborted) -> None:
        """No further response will come."""
        if self._operation is not None:
            self._operation.add(error)

    # --- how they work ---------------------------------------------------------------------------

    async def _send_request(
        self,
        context: PresentationContext,
        command: CommandField,
        sop_class: str,
        data: Buffer | AsyncIterable[Buffer] | None,
        fields: Mapping[str, Any],
    ) -> _Operation:
        """It is our turn: make this the operation that is under way. `_finish` must follow."""
        # An SCP reports events. Peers that take them do not always answer the role selection.
        if not context.scu and command is not CommandField.N_EVENT_REPORT:
            raise Unsupported(
                f"presentation context {context.id} does not make us SCU of {sop_class}",
                fix="propose the SCP role to the requestor (role selection)",
            )
        self._last_message_id = self._last_message_id % _MAX_MESSAGE_ID + 1
        self._context_id = context.id
        self._operation = _Operation(self._last_message_id)
        encoded = encode_command(
            {
                "field": command,
                _SOP_CLASS.get(command, "affected_sop_class"): sop_class,
                "message_id": self._last_message_id,
                "data_set_type": NO_DATA_SET if data is None else WITH_DATA_SET,
                **fields,
            }
        )
        await self.send_message(context.id, encoded, data)
        return self._operation

    def _finish(self) -> None:
        """No operation is under way any more; drop the answers that nobody took."""
        operation, self._operation = self._operation, None
        while operation is not None and operation.answers:
            answer = operation.answers.popleft()
            if not isinstance(answer, AssociationAborted):
                answer[1].discard()
                self.let_go(MESSAGE_WEIGHT)

    async def _single(
        self,
        context: PresentationContext,
        command: CommandField,
        sop_class: str,
        data: Buffer | AsyncIterable[Buffer] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Response:
        async with self._turn:
            try:
                operation = await self._send_request(
                    context, command, sop_class, data, fields or {}
                )
                return await self._answer(operation)
            finally:
                self._finish()

    async def _many(
        self,
        context: PresentationContext,
        command: CommandField,
        sop_class: str,
        identifier: bytes,
        fields: Mapping[str, Any],
    ) -> AsyncGenerator[Response, None]:
        async with self._turn:
            pending = False
            try:
                operation = await self._send_request(
                    context, command, sop_class, identifier, fields
                )
                pending = True
                while pending:
                    response = await self._answer(operation)
                    pending = response.pending
                    yield response
            finally:
                try:
                    if pending and not self.closed.is_set():
                        await self._abandon(operation)
                finally:
                    self._finish()

    async def _abandon(self, operation: _Operation) -> None:
        """Cancel, and wait for the final response."""
        await self.cancel()
        while (await self._answer(operation)).pending:
            pass

    async def _answer(self, operation: _Operation) -> Response:
        """The next response. A peer that sends nothing within the DIMSE timeout is aborted."""
        answer = await self._wait(operation)
        if isinstance(answer, AssociationAborted):
            raise answer
        command, stream = answer
        data = bytearray()
        try:
            async for part in stream:
                data += part
                if len(data) > MAX_RESPONSE_DATA_SET:
                    raise OutOfResources(
                        f"a response is longer than {MAX_RESPONSE_DATA_SET} bytes",
                        fix="ask for less",
                    )
        finally:
            stream.discard()
            self.let_go(MESSAGE_WEIGHT)
        status = command.status or 0
        return Response(status, command, bytes(data) if command.has_data_set else None)

    async def _wait(self, operation: _Operation) -> tuple[Command, DataStream] | AssociationAborted:
        limit = self._timeouts.dimse
        loop = asyncio.get_running_loop()
        began, unsent = loop.time(), self._layer.unsent
        while not operation.answers:
            # A C-GET is not late while its sub-operations are coming in.
            left = max(began, self._layer.last_read) + limit - loop.time()
            if left <= 0 and self._layer.unsent < unsent:  # nor a peer that still reads the request
                began, unsent, left = loop.time(), self._layer.unsent, limit
            if left <= 0:
                self._layer.abort(
                    AbortSource.SERVICE_USER, AbortReason.NOT_SPECIFIED, "no response in time"
                )
                raise DeadlineExceeded(
                    f"the peer sent no response within {limit} s", fix="try again later"
                )
            operation.waiter = loop.create_future()
            timer = loop.call_later(left, operation.wake)
            try:
                await operation.waiter
            finally:
                timer.cancel()
        return operation.answers.popleft()
