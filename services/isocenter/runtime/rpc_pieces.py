"""Messages that carry large data, written and read with as few copies as gRPC allows.

protobuf copies a field of bytes twice on each side of a call, which costs more than the call
itself. Here such a field is framed (tag, length) round the caller's own buffers, and read as a view
of what arrived. On the wire it is the same protobuf: other messages, and other fields, go through
the generated code, and a peer that uses it for everything sees no difference.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Hashable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import cache
from typing import Any, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from isocenter.core.ports import Buffer

# The most data in a message. An object of the usual size should be one message, because each costs
# as much as copying a megabyte; but both sides of a stream hold about two of them at a time.
CHUNK = 1024 * 1024

M = TypeVar("M", bound=Message)

_LENGTH_DELIMITED = 2  # wire type


class Piece:
    """A message that carries data, as it is read: has the fields of the generated class."""

    __slots__ = ("_field", "_others", "_view")

    def __init__(self, field: str, view: memoryview, others: Message) -> None:
        self._field = field
        self._view = view
        self._others = others

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (any field)
        return self._view if name == self._field else getattr(self._others, name)

    def WhichOneof(self, name: str, /) -> str | None:  # noqa: N802 (protobuf's name)
        """The field that is set, of those of which only one can be."""
        later: str | None = self._others.WhichOneof(name)
        group = self._others.DESCRIPTOR.fields_by_name[self._field].containing_oneof
        ours = group is not None and group.name == name
        return self._field if later is None and ours else later


@cache
def _tags(kind: Hashable) -> Mapping[str, int]:
    """The byte that each field of bytes of a message class begins with."""
    return {
        field.name: field.number << 3 | _LENGTH_DELIMITED
        for field in cast(type[Message], kind).DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_BYTES and not field.is_repeated
    }


def piece(
    kind: type[M], data: Sequence[Buffer], *, field: str = "data", others: M | None = None
) -> M:
    """A message with these buffers as one field, and `others`. It is encoded already: its fields
    cannot be read any more, and the buffers may be reused."""
    length = sum(map(len, data))
    head = bytearray((_tags(cast(Hashable, kind))[field],))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    tail = others.SerializeToString() if others is not None else b""
    return cast(M, b"".join((head, *data, tail)))


def _serialized(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _parser(from_string: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    kind: type[Message] = from_string.__self__  # type: ignore[attr-defined]  # a class method
    fields = {tag: name for name, tag in _tags(cast(Hashable, kind)).items()}
    if not fields:
        return from_string
    nothing_else = kind()

    def parse(message: bytes) -> Message | Piece:
        field = fields.get(message[0]) if message else None
        if field is not None:
            start, end = _bounds(message)
            if end == len(message):
                return Piece(field, memoryview(message)[start:], nothing_else)
            if end < len(message):
                others = kind.FromString(message[end:])
                return Piece(field, memoryview(message)[start:end], others)
        return kind.FromString(message)

    return parse


def _bounds(message: bytes) -> tuple[int, int]:
    """Where the value of the first field begins and ends; beyond the message if it is malformed."""
    length, start = 0, 1
    for byte in message[1:6]:
        length |= (byte & 0x7F) << 7 * (start - 1)
        start += 1
        if byte < 0x80:
            return start, start + length
    return start, len(message) + 1


class _Channel:
    """What a generated stub asks of a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Callable[..., object]:
        make = getattr(self._channel, name)

        def multi_callable(
            method: str,
            request_serializer: object,
            response_deserializer: Callable[[bytes], Any],
            **more: object,
        ) -> object:
            del request_serializer
            return make(method, _serialized, _parser(response_deserializer), **more)

        return multi_callable


class _Server:
    """What the generated registration asks of a server."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """They are the same as the registered ones, which are preferred."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The handlers of a service by the name of the method."""
        lean = {
            name: handler._replace(
                request_deserializer=_parser(handler.request_deserializer),
                response_serializer=_serialized,
            )
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, lean),)
        )
        self._server.add_registered_method_handlers(service, lean)


def lean_channel(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """The channel for a stub whose messages carry data."""
    return cast(grpc.aio.Channel, _Channel(channel))


def lean_server(server: grpc.aio.Server) -> grpc.aio.Server:
    """The server for a servicer whose messages carry data."""
    return cast(grpc.aio.Server, _Server(server))


class Gathering:
    """Small buffers on their way into messages of a good size."""

    def __init__(self, kind: type[Message]) -> None:
        self._kind = kind
        self._held: list[Buffer] = []
        self._size = 0

    def add(self, data: Buffer) -> Iterator[Any]:
        """The messages that are full. `data` may be reused when all of them are sent."""
        view = memoryview(data).cast("B")
        start = 0
        while self._size + len(view) - start > CHUNK:
            end = start + CHUNK - self._size
            yield piece(self._kind, [*self._held, view[start:end]])
            self._held, self._size, start = [], 0, end
        if start < len(view):
            rest = view[start:]
            self._held.append(rest if isinstance(view.obj, bytes) else bytes(rest))
            self._size += len(view) - start

    def rest(self) -> Sequence[Buffer]:
        """What is in no message yet."""
        return self._held


async def gathered(
    data: AsyncIterable[Buffer], kind: type[M], gathering: Gathering | None = None
) -> AsyncGenerator[M, None]:
    """Data, after what is in `gathering` already, as few messages, the last of which says that it
    is."""
    gathering = gathering or Gathering(kind)
    async for part in data:
        for message in gathering.add(part):
            yield message
    yield piece(kind, gathering.rest(), field="last")


async def at_once(
    data: AsyncIterable[Buffer], kind: type[M], complete: M
) -> AsyncGenerator[M, None]:
    """Data as messages, each buffer as soon as it is there: somebody may wait for its answer."""
    async for part in data:
        for message in pieces(part, kind):
            yield message
    yield complete


def pieces(data: Buffer, kind: type[M]) -> Iterator[M]:
    """One buffer as messages; none if it is empty."""
    view = memoryview(data).cast("B")
    for start in range(0, len(view), CHUNK):
        yield piece(kind, [view[start : start + CHUNK]])
