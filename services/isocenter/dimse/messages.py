"""DIMSE messages (PS3.7): command sets, requests as handlers see them, and responses.

Command sets are always Implicit VR Little Endian (PS3.7 6.3.1) and have few, short elements, so
they are coded here by one table, without building data sets.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from isocenter.core.errors import OutOfResources, Unprocessable
from isocenter.core.ports import Buffer
from isocenter.dimse.stream import DataStream

if TYPE_CHECKING:
    from isocenter.dimse.association import Association, PresentationContext

NO_DATA_SET = 0x0101  # PS3.7 E.1, Command Data Set Type
WITH_DATA_SET = 0x0001
RESPONSE = 0x8000

SUCCESS = 0x0000
PENDING = frozenset({0xFF00, 0xFF01})
PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNIZED_OPERATION = 0x0211

MAX_ERROR_COMMENT = 64  # VR LO, PS3.5 6.2


class CommandField(IntEnum):
    """Command Field of requests (PS3.7 E.1)."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Command:
    """A command set (PS3.7 E.1). Absent elements have the defaults."""

    field: int
    message_id: int = 0
    message_id_being_responded_to: int = 0
    affected_sop_class: str = ""
    requested_sop_class: str = ""
    affected_sop_instance: str = ""
    requested_sop_instance: str = ""
    priority: int = 0  # 0 medium, 1 high, 2 low
    data_set_type: int = NO_DATA_SET
    status: int | None = None
    offending_elements: tuple[int, ...] = ()
    error_comment: str = ""
    error_id: int | None = None
    move_destination: str = ""
    move_originator: str = ""
    move_originator_message_id: int | None = None
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None
    event_type_id: int | None = None
    action_type_id: int | None = None
    attribute_identifiers: tuple[int, ...] = ()

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.data_set_type != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        """Whether this answers a request."""
        return bool(self.field & RESPONSE)

    @property
    def sop_class(self) -> str:
        """The affected or requested SOP class, whichever the message has."""
        return self.affected_sop_class or self.requested_sop_class

    @property
    def sop_instance(self) -> str:
        """The affected or requested SOP instance, whichever the message has."""
        return self.affected_sop_instance or self.requested_sop_instance


# Element of group 0000 -> field of `Command`, VR. In the order of tags, which is that of encoding.
_ELEMENTS: tuple[tuple[int, str, str], ...] = (
    (0x0002, "affected_sop_class", "UI"),
    (0x0003, "requested_sop_class", "UI"),
    (0x0100, "field", "US"),
    (0x0110, "message_id", "US"),
    (0x0120, "message_id_being_responded_to", "US"),
    (0x0600, "move_destination", "AE"),
    (0x0700, "priority", "US"),
    (0x0800, "data_set_type", "US"),
    (0x0900, "status", "US"),
    (0x0901, "offending_elements", "AT"),
    (0x0902, "error_comment", "LO"),
    (0x0903, "error_id", "US"),
    (0x1000, "affected_sop_instance", "UI"),
    (0x1001, "requested_sop_instance", "UI"),
    (0x1002, "event_type_id", "US"),
    (0x1005, "attribute_identifiers", "AT"),
    (0x1008, "action_type_id", "US"),
    (0x1020, "remaining", "US"),
    (0x1021, "completed", "US"),
    (0x1022, "failed", "US"),
    (0x1023, "warning", "US"),
    (0x1030, "move_originator", "AE"),
    (0x1031, "move_originator_message_id", "US"),
)
_BY_ELEMENT = {element: (name, vr) for element, name, vr in _ELEMENTS}
_HEADER = struct.Struct("<HHI")
_US = struct.Struct("<H")
_US_ELEMENT = struct.Struct("<HHIH")


def decode_command(data: bytes | bytearray) -> Command:
    """A command set. Elements that are not of PS3.7 E.1 are passed over. Raises
    `Unprocessable` if it is no command set, or has no Command Field."""
    values: dict[str, Any] = {}
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _HEADER.size:
            raise Unprocessable(f"a command set ends inside an element at byte {offset}")
        group, element, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        if group or length > end - offset:
            raise Unprocessable(f"no command element at byte {offset - _HEADER.size}")
        known = _BY_ELEMENT.get(element)
        if known is not None and length:
            values[known[0]] = _decode_value(data[offset : offset + length], known[1])
        offset += length
    if "field" not in values:
        raise Unprocessable("a command set has no Command Field (0000,0100)")
    return Command(**values)


def _decode_value(value: bytes | bytearray, vr: str) -> int | str | tuple[int, ...]:
    if vr == "US":
        if len(value) < _US.size:
            raise Unprocessable("a number in a command set is shorter than two bytes")
        return int(_US.unpack_from(value)[0])
    if vr == "AT":
        pairs = struct.iter_unpack("<HH", value[: len(value) // 4 * 4])
        return tuple(group << 16 | element for group, element in pairs)
    return value.decode("latin-1").strip(" \0")


def encode_command(fields: Mapping[str, Any]) -> bytes:
    """A command set with its group length, of these fields of `Command`."""
    body = b"".join(
        [_encode(element, vr, fields[name]) for element, name, vr in _ELEMENTS if name in fields]
    )
    return _HEADER.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def _encode(element: int, vr: str, value: int | str | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _US_ELEMENT.pack(0, element, _US.size, value)
    if isinstance(value, str):
        encoded = value.encode("ascii", "replace")
        if len(encoded) % 2:
            encoded += b"\0" if vr == "UI" else b" "
    else:
        encoded = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
    return _HEADER.pack(0, element, len(encoded)) + encoded


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a request of ours."""

    status: int
    command: Command
    data_set: bytes | None = None

    @property
    def pending(self) -> bool:
        """Whether further responses follow."""
        return self.status in PENDING

    @property
    def error_comment(self) -> str:
        """Error Comment (0000,0902)."""
        return self.command.error_comment

    @property
    def remaining(self) -> int | None:
        """Number of Remaining Sub-operations."""
        return self.command.remaining

    @property
    def completed(self) -> int | None:
        """Number of Completed Sub-operations."""
        return self.command.completed

    @property
    def failed(self) -> int | None:
        """Number of Failed Sub-operations."""
        return self.command.failed

    @property
    def warning(self) -> int | None:
        """Number of Warning Sub-operations."""
        return self.command.warning


@dataclass(eq=False, slots=True)
class Request:
    """A request of the peer, as its handler gets it: perhaps before its data set has arrived."""

    association: Association
    context: PresentationContext
    command: Command
    stream: DataStream
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by C-CANCEL with this message ID, and when the association goes away."""
    status: int | None = None
    """Of the final response, once it was sent."""

    @property
    def responded(self) -> bool:
        """Whether the final response was sent."""
        return self.status is not None

    @property
    def data(self) -> AsyncIterator[Buffer]:
        """The data set as it arrives. Each buffer is the reader's to keep. Raises
        `AssociationAborted` if the association ends before the data set does."""
        return self.stream

    async def read_data(self, limit: int) -> bytes:
        """The whole data set. Raises `OutOfResources` if it is longer than `limit` bytes."""
        whole = bytearray()
        async for part in self.stream:
            whole += part
            if len(whole) > limit:
                raise OutOfResources(
                    f"the data set of a message is longer than {limit} bytes",
                    fix="send a shorter one",
                )
        return bytes(whole)

    async def respond(
        self,
        status: int,
        *,
        data_set: bytes | None = None,
        error_comment: str = "",
        offending_elements: Sequence[int] = (),
        remaining: int | None = None,
        completed: int | None = None,
        failed: int | None = None,
        warning: int | None = None,
    ) -> None:
        """Send a response; one with a status other than pending (0xFF00, 0xFF01) is the last.
        Raises `AssociationAborted` if the association is gone."""
        optional = {
            "affected_sop_class": self.command.sop_class,
            "affected_sop_instance": self.command.sop_instance,
            "error_comment": error_comment[:MAX_ERROR_COMMENT],
            "offending_elements": tuple(offending_elements),
        }
        counts = {
            "remaining": remaining,
            "completed": completed,
            "failed": failed,
            "warning": warning,
        }
        fields: dict[str, Any] = {
            "field": self.command.field | RESPONSE,
            "message_id_being_responded_to": self.command.message_id,
            "data_set_type": NO_DATA_SET if data_set is None else WITH_DATA_SET,
            "status": status,
            **{name: value for name, value in optional.items() if value},
            **{name: value for name, value in counts.items() if value is not None},
        }
        await self.association.send_message(self.context.id, encode_command(fields), data_set)
        if status not in PENDING and self.status is None:
            self.status = status
