"""Messages out of the fragments of P-DATA-TF PDUs (PS3.7 6.3.1, PS3.8 E)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.errors import MalformedPdu
from isocenter.dimse.messages import Command, decode_command
from isocenter.dimse.pdu import COMMAND, LAST, AbortReason
from isocenter.dimse.stream import DataStream

# The elements of PS3.7 E.1 fill less than 1 KiB, but for lists of attribute tags.
MAX_COMMAND_SET = 16 * 1024


class Receiver(Protocol):
    """Who takes the messages."""

    def message_received(
        self, context: PresentationContext, command: Command, data: DataStream
    ) -> None:
        """A message whose data set may still be arriving."""
        ...


class Assembler:
    """The message that is arriving on one association."""

    def __init__(
        self,
        receiver: Receiver,
        held: Callable[[int], None],
        taken: Callable[[int], None],
        done: Callable[[int], None],
    ) -> None:
        """How many bytes of data sets: are `held` as they arrive, `taken` by who reads them, and
        `done` when a message is."""
        self._receiver = receiver
        self._held = held
        self._taken = taken
        self._done = done
        self._context: PresentationContext | None = None
        self._command = bytearray()
        self._data: DataStream | None = None

    @property
    def incomplete(self) -> bool:
        """Whether the rest of a message is still to come."""
        return self._data is not None or bool(self._command)

    def add(
        self,
        contexts: Mapping[int, PresentationContext],
        context_id: int,
        control: int,
        fragment: memoryview,
    ) -> None:
        """One more fragment. Raises `MalformedPdu` if it does not belong here, `Unprocessable`
        if the command set makes no sense."""
        context = contexts.get(context_id)
        if context is None:
            raise MalformedPdu(
                f"a message on presentation context {context_id}, which was not accepted",
                AbortReason.INVALID_PDU_PARAMETER_VALUE,
            )
        if self.incomplete and context is not self._context:
            raise _unexpected("a message changes its presentation context")
        self._context = context
        if control & COMMAND:
            self._add_command(context, control, fragment)
        elif self._data is None:
            raise _unexpected("a data set without a command set")
        else:
            self._held(self._data.feed(fragment))
            if control & LAST:
                self._data.end()
                self._data = None

    def fail(self, error: Exception) -> None:
        """The rest will never arrive."""
        if self._data is not None:
            self._data.fail(error)
            self._data = None
        self._command.clear()

    def _add_command(
        self, context: PresentationContext, control: int, fragment: memoryview
    ) -> None:
        if self._data is not None:
            raise _unexpected("a command set in the middle of a data set")
        self._command += fragment
        if len(self._command) > MAX_COMMAND_SET:
            raise _unexpected(f"a command set of more than {MAX_COMMAND_SET} bytes")
        if control & LAST:
            command = decode_command(self._command)
            self._command.clear()
            data = DataStream(self._taken, self._done)
            if command.has_data_set:
                self._data = data
            else:
                data.end()
            self._receiver.message_received(context, command, data)


def _unexpected(problem: str) -> MalformedPdu:
    return MalformedPdu(problem, AbortReason.UNEXPECTED_PDU_PARAMETER)
