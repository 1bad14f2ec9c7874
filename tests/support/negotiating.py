"""Association requests written by hand, byte by byte (PS3.8 9.3.2, PS3.7 annex D), so that nothing
is left out that a library would not propose, and their answers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_CONTEXTS = 128
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
ACCEPTANCE, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 0, 3, 4  # PS3.8 table 9-18
CLASS_UID, VERSION_NAME, MAX_LENGTH, ROLES = 0x52, 0x55, 0x51, 0x54

_APPLICATION, _CONTEXT, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x30, 0x40, 0x50
_RESULT = 0x21
_FIXED = 68
_CALLING = b"NEGOTIATOR".ljust(16)


@dataclass(frozen=True, slots=True)
class Answer:
    """An A-ASSOCIATE-AC, item by item."""

    application_context: str
    contexts: Mapping[int, tuple[int, str]]  # id -> result, transfer syntax
    user_items: Mapping[int, Sequence[bytes]]  # type -> values

    @property
    def roles(self) -> dict[str, tuple[bool, bool]]:
        """SOP class -> whether the requestor may be its SCU, and its SCP."""
        found = {}
        for value in self.user_items.get(ROLES, ()):
            (length,) = struct.unpack_from(">H", value)
            found[value[2 : 2 + length].decode()] = (bool(value[-2]), bool(value[-1]))
        return found


def negotiate(
    address: tuple[str, int],
    contexts: Sequence[tuple[str, Sequence[str]]],
    *,
    roles: Sequence[str] = (),
    called: str = "ISOCENTER",
    more: bytes = b"",
    version: int = 1,
    application_context: str = APPLICATION_CONTEXT,
) -> Answer | tuple[int, int, int]:
    """Propose abstract syntaxes with their transfer syntaxes, the role of both SCU and SCP for
    those in `roles`, and further user items; release what is accepted. The answer, or the result,
    source and reason of the rejection."""
    assert len(contexts) <= MAX_CONTEXTS
    with socket.create_connection(address, timeout=30) as connection:
        head = struct.pack(">H2x16s16s32x", version, called.encode().ljust(16), _CALLING)
        context = item(_APPLICATION, application_context.encode())
        connection.sendall(_request(head + context, contexts, roles, more))
        kind, body = _receive(connection)
        if kind == 3:
            return body[1], body[2], body[3]
        assert kind == 2, f"answered with a PDU of type {kind}"
        connection.sendall(struct.pack(">BxI4x", 5, 4))  # A-RELEASE-RQ
        assert _receive(connection)[0] == 6
    return _answer(body)


def item(kind: int, value: bytes) -> bytes:
    """An item or sub-item."""
    return struct.pack(">BxH", kind, len(value)) + value


def _request(
    head: bytes, contexts: Sequence[tuple[str, Sequence[str]]], roles: Sequence[str], more: bytes
) -> bytes:
    proposed = b"".join(
        item(
            _CONTEXT,
            struct.pack(">B3x", 2 * number + 1)
            + item(_ABSTRACT, abstract.encode())
            + b"".join(item(_TRANSFER, uid.encode()) for uid in syntaxes),
        )
        for number, (abstract, syntaxes) in enumerate(contexts)
    )
    wanted = b"".join(
        item(ROLES, struct.pack(">H", len(uid)) + uid.encode() + b"\1\1") for uid in roles
    )
    user = item(MAX_LENGTH, struct.pack(">I", 16384)) + item(CLASS_UID, b"1.2.3.4")
    body = head + proposed + item(_USER, user + wanted + more)
    return struct.pack(">BxI", 1, len(body)) + body


def _receive(connection: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", _exactly(connection, 6))
    return kind, _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the connection is closed"
        data += more
    return data


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _answer(body: bytes) -> Answer:
    context, results, user = "", {}, {}
    for kind, value in _items(body[_FIXED:]):
        if kind == _APPLICATION:
            context = value.decode()
        elif kind == _RESULT:
            syntax = dict(_items(value[4:])).get(_TRANSFER, b"").decode()
            results[value[0]] = (value[2], syntax)
        elif kind == _USER:
            for sub, content in _items(value):
                user.setdefault(sub, []).append(content)
    return Answer(context, results, user)
