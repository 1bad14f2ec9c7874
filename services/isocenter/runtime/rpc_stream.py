"""Streams over gRPC: chunks of bounded size, and closing that reaches the other side."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.ports import Buffer
from isocenter.runtime.rpc_errors import cancelled_by_peer, error_of
from isocenter.v1 import storage_pb2

CHUNK = 128 * 1024

_PLACEHOLDER = "Internal error from Core"  # grpc.aio's words
_STATUS_SECONDS = 1.0

R = TypeVar("R")
M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)


class _Part(Protocol):
    """A message of an uploading stream: `oneof part {<first>; data; complete}`."""

    data: bytes

    def WhichOneof(self, name: str, /) -> str | None: ...  # noqa: N802 (protobuf's name)


P = TypeVar("P", bound=_Part)


def chunks(data: Buffer) -> Iterator[bytes]:
    """Copies of `data` in pieces of CHUNK bytes; none for empty data."""
    view = memoryview(data).cast("B")
    for start in range(0, len(view), CHUNK):
        yield bytes(view[start : start + CHUNK])


async def as_chunks(data: AsyncIterator[Buffer]) -> AsyncGenerator[storage_pb2.Chunk, None]:
    """Bytes as messages."""
    async with aclosing(generator(data)) as parts:
        async for part in parts:
            for piece in chunks(part):
                yield storage_pb2.Chunk(data=piece)


async def first_of(requests: AsyncIterator[P], name: str) -> P:
    """The first message of an upload. Raises `Invalid` unless it is the one called `name`."""
    async for request in requests:
        if request.WhichOneof("part") == name:
            return request
        break
    raise Invalid(f"the stream does not begin with `{name}`", fix="send it first")


async def uploaded(requests: AsyncIterator[P]) -> AsyncIterator[bytes]:
    """The data of an upload after its first message. Raises `Invalid` unless it is complete:
    the end of a stream alone may also mean that the sender vanished."""
    async for request in requests:
        match request.WhichOneof("part"):
            case "data":
                yield request.data
            case "complete":
                return
            case other:
                raise Invalid(f"`{other}` within the data of a stream", fix="send it first")
    raise Invalid("the stream ended before it was complete", fix="end it with `complete`")


class _Call(Protocol):
    """What any call of grpc.aio can do."""

    def cancel(self) -> bool: ...

    def add_done_callback(self, callback: Callable[[Any], None]) -> None: ...

    async def code(self) -> grpc.StatusCode: ...

    async def details(self) -> str: ...

    async def trailing_metadata(self) -> Any: ...  # noqa: ANN401 (a tuple or a Metadata)


C = TypeVar("C", bound=_Call)


class Outcome:
    """Remembers with which status the service ended a call.

    A write that meets a call which the service has just ended makes grpc.aio replace the status
    by a placeholder, before or after the service's own arrives; ours says why.
    """

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._error: IsocenterError | None = None
        self._known = asyncio.Event()
        call.add_done_callback(self._done)

    def _done(self, _: object) -> None:
        call = self._call
        code: grpc.StatusCode = _now(call.code())
        details: str = _now(call.details())
        if code is not grpc.StatusCode.OK and details != _PLACEHOLDER:
            self._error = error_of(code, details, _now(call.trailing_metadata()) or ())
            self._known.set()

    @asynccontextmanager
    async def raised(self) -> AsyncIterator[None]:
        """Raise the failure of the call as the error of the service."""
        try:
            yield
        except grpc.aio.AioRpcError as sent:
            if sent.details() == _PLACEHOLDER:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STATUS_SECONDS):
                        await self._known.wait()
            if self._error is not None:
                raise self._error from sent
            trailers = sent.trailing_metadata() or ()
            raise error_of(sent.code(), sent.details() or "", trailers) from sent
        except asyncio.CancelledError as cancelled:
            raise cancelled_by_peer(cancelled) from None


def _now(ready: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine that has nothing to wait for: the status of a call that is done,
    which grpc.aio offers in no other way to a callback."""
    try:
        ready.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    raise AssertionError("a call that is done has its status")


@asynccontextmanager
async def closing(call: C) -> AsyncIterator[C]:
    """A call that is cancelled on the other side when it is left early, and whose failure is
    raised as the error of the service."""
    outcome = Outcome(call)
    try:
        async with outcome.raised():
            yield call
    finally:
        call.cancel()  # does nothing to a call that is done


async def download(call: grpc.aio.UnaryStreamCall[Any, R]) -> AsyncGenerator[R, None]:
    """The answers of a call."""
    async with closing(call):
        async for answer in call:
            yield answer


async def items(
    call: grpc.aio.UnaryStreamCall[Any, storage_pb2.ItemChunk],
) -> AsyncGenerator[tuple[int, bytes], None]:
    """The values (and their numbers) that a call answers with in pieces."""
    parts: list[bytes] = []
    async with aclosing(download(call)) as pieces:
        async for piece in pieces:
            parts.append(piece.data)
            if piece.last:
                yield piece.number, parts[0] if len(parts) == 1 else b"".join(parts)
                parts = []


def as_items(number: int, value: bytes) -> Iterator[storage_pb2.ItemChunk]:
    """One value in pieces."""
    pieces = list(chunks(value)) or [b""]
    for index, piece in enumerate(pieces, start=1):
        yield storage_pb2.ItemChunk(data=piece, last=index == len(pieces), number=number)


class _Upload(Protocol[M_contra]):
    async def write(self, request: M_contra) -> None: ...

    async def done_writing(self) -> None: ...


async def send(call: _Upload[M], message: M) -> bool:
    """Write one message, waiting until the transport takes it. False if the call is over: the
    service has answered already, and its answer tells why."""
    try:
        await call.write(message)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


async def upload(
    call: _Upload[M], first: M, data: AsyncIterable[Buffer], kind: Callable[..., M]
) -> None:
    """Send an upload: its first message, the data in chunks, and that it is complete."""
    if not await send(call, first):
        return
    async for part in data:
        for piece in chunks(part):
            if not await send(call, kind(data=piece)):
                return
    if await send(call, kind(complete=True)):
        await call.done_writing()


async def each(parts: Iterable[Buffer]) -> AsyncIterator[Buffer]:
    """Buffers that are there already, for `upload`."""
    for part in parts:
        yield part


async def generator(values: AsyncIterator[R]) -> AsyncGenerator[R, None]:
    """The values of an iterator that is closed with this generator, if it can be closed."""
    try:
        async for value in values:
            yield value
    finally:
        if isinstance(values, AsyncGenerator):
            await values.aclose()


async def received(
    call: grpc.aio.UnaryStreamCall[Any, storage_pb2.Chunk],
) -> AsyncGenerator[bytes, None]:
    """The bytes that a call answers with in chunks."""
    async with aclosing(download(call)) as pieces:
        async for piece in pieces:
            yield piece.data


async def collected(parts: AsyncIterator[bytes]) -> bytes:
    """All of a stream in memory; its sender bounds it (a frame, a value)."""
    found = [part async for part in parts]
    return found[0] if len(found) == 1 else b"".join(found)


async def exchange(
    call: grpc.aio.StreamStreamCall[M, storage_pb2.Chunk],
    first: M,
    data: AsyncIterable[Buffer],
    kind: Callable[..., M],
) -> AsyncGenerator[bytes, None]:
    """What a call answers with while an upload to it goes on.

    The upload's own failure (of `data`) ends the call and is raised in place of its answers.
    """
    async with closing(call):
        sending = asyncio.create_task(upload(call, first, data, kind))
        sending.add_done_callback(lambda task: _cancel_if_failed(task, call))
        try:
            while isinstance(answer := await call.read(), storage_pb2.Chunk):
                yield answer.data
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            # `data` failed: that is why the call was cancelled.
            if sending.done() and not sending.cancelled() and (error := sending.exception()):
                raise error from None
            raise
        finally:
            sending.cancel()
            await asyncio.wait([sending])


def _cancel_if_failed(task: asyncio.Task[None], call: _Call) -> None:
    if not task.cancelled() and task.exception() is not None:
        call.cancel()
