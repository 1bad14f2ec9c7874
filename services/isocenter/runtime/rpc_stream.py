"""Streams over gRPC: messages of bounded size, progress, and closing that reaches the other side.

A stream has no deadline, as it may be as long as an object is large. Instead each of its steps has
to come to an end: keepalive finds a peer that is gone, `in_time` one that is there and stuck.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from isocenter.core.errors import DeadlineExceeded, Invalid, IsocenterError
from isocenter.core.ports import Buffer
from isocenter.runtime.rpc_errors import cancelled_by_peer, error_of
from isocenter.runtime.rpc_pieces import CHUNK, piece, pieces
from isocenter.runtime.streams import generator
from isocenter.v1 import storage_pb2

_PLACEHOLDER = "Internal error from Core"  # grpc.aio's words
_STATUS_SECONDS = 1.0
# For one step of a stream: longer than any disk or store takes for it that still works.
STEP_SECONDS = 120.0

R = TypeVar("R")
M = TypeVar("M", bound=Message)
M_contra = TypeVar("M_contra", contravariant=True)


class _Part(Protocol):
    """A message of an uploading stream: `oneof part {<first>; data; complete; last}`."""

    @property
    def data(self) -> Buffer: ...

    @property
    def last(self) -> Buffer: ...

    def WhichOneof(self, name: str, /) -> str | None: ...  # noqa: N802 (protobuf's name)


P = TypeVar("P", bound=_Part)


async def as_chunks(data: AsyncIterator[Buffer]) -> AsyncGenerator[storage_pb2.Chunk, None]:
    """Bytes as messages."""
    async with aclosing(generator(data)) as parts:
        async for part in parts:
            for chunk in pieces(part, storage_pb2.Chunk):
                yield chunk


async def first_of(requests: AsyncIterator[P], name: str) -> P:
    """The first message of an upload. Raises `Invalid` unless it is the one called `name`."""
    async for request in requests:
        if request.WhichOneof("part") == name:
            return request
        break
    raise Invalid(f"the stream does not begin with `{name}`", fix="send it first")


async def uploaded(requests: AsyncIterator[P]) -> AsyncIterator[Buffer]:
    """The data of an upload after its first message. Raises `Invalid` unless it is complete:
    the end of a stream alone may also mean that the sender vanished."""
    async for request in requests:
        match request.WhichOneof("part"):
            case "data":
                yield request.data
            case "last":
                yield request.last
                return
            case "complete":
                return
            case other:
                raise Invalid(f"`{other}` within the data of a stream", fix="send it first")
    raise Invalid("the stream ended before it was complete", fix="end it with `last`")


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
        code: grpc.StatusCode = now(call.code())
        details: str = now(call.details())
        if code is not grpc.StatusCode.OK and details != _PLACEHOLDER:
            self._error = error_of(code, details, now(call.trailing_metadata()) or ())
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


def now(ready: Coroutine[Any, Any, R]) -> R:
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


async def in_time(step: Awaitable[R], seconds: float | None = STEP_SECONDS) -> R:
    """The result of one step of a call. Raises `DeadlineExceeded`, which cancels the call."""
    try:
        async with asyncio.timeout(seconds):
            return await step
    except TimeoutError:
        raise DeadlineExceeded(
            f"the called process did nothing for {seconds:.0f} s",
            fix="see its log, then try again",
        ) from None


async def download(
    call: grpc.aio.UnaryStreamCall[Any, R], patience: float | None = STEP_SECONDS
) -> AsyncGenerator[R, None]:
    """The answers of a call, each within `patience` seconds of when it is asked for."""
    async with closing(call):
        while (answer := await in_time(call.read(), patience)) is not grpc.aio.EOF:
            yield cast(R, answer)


async def items(
    call: grpc.aio.UnaryStreamCall[Any, storage_pb2.ItemChunk],
) -> AsyncGenerator[tuple[storage_pb2.ItemChunk, bytes], None]:
    """The values that a call answers with in pieces, each with the piece that ends it."""
    parts: list[Buffer] = []
    async with aclosing(download(call)) as answers:
        async for answer in answers:
            parts.append(answer.data)
            if answer.last:
                yield answer, b"".join(parts)
                parts = []


def as_items(
    value: bytes, *, number: int = 0, versions: storage_pb2.Versions | None = None
) -> Iterator[storage_pb2.ItemChunk]:
    """One value in pieces."""
    view = memoryview(value)
    for start in range(0, len(view) or 1, CHUNK):
        last = start + CHUNK >= len(view)
        others = storage_pb2.ItemChunk(last=last, number=number, versions=versions)
        yield piece(storage_pb2.ItemChunk, [view[start : start + CHUNK]], others=others)


class _Upload(Protocol[M_contra]):
    def write(self, request: M_contra) -> Coroutine[Any, Any, None]: ...


async def send(call: _Upload[M], message: M) -> bool:
    """Write one message, waiting until the transport takes it. False if the call is over: the
    service has answered already, and its answer tells why."""
    try:
        await in_time(call.write(message))
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


async def upload(call: _Upload[M], first: M, messages: AsyncGenerator[M, None]) -> None:
    """Send an upload: its first message, then the data. It is not half-closed: its last message
    says that it is complete, and the answer ends the call."""
    if not await send(call, first):
        return
    async with aclosing(messages):
        async for message in messages:
            if not await send(call, message):
                return


async def each(parts: Iterable[Buffer]) -> AsyncIterator[Buffer]:
    """Buffers that are there already, for `upload`."""
    for part in parts:
        yield part


async def received(
    call: grpc.aio.UnaryStreamCall[Any, storage_pb2.Chunk],
) -> AsyncGenerator[Buffer, None]:
    """The bytes that a call answers with in chunks."""
    async with aclosing(download(call)) as chunks:
        async for chunk in chunks:
            yield chunk.data


async def collected(parts: AsyncIterator[Buffer]) -> bytes:
    """All of a stream in memory; its sender bounds it (a frame, a value)."""
    return b"".join([part async for part in parts])


async def exchange(
    call: grpc.aio.StreamStreamCall[M, storage_pb2.Chunk],
    first: M,
    messages: AsyncGenerator[M, None],
) -> AsyncGenerator[bytes, None]:
    """What a call answers with while an upload to it goes on.

    The upload's own failure (of what it sends) ends the call and is raised in place of its answers.
    An answer may have to wait for what is sent, so only the steps of the upload have a limit.
    """
    async with closing(call):
        sending = asyncio.create_task(upload(call, first, messages))
        sending.add_done_callback(lambda task: _cancel_if_failed(task, call))
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                yield bytes(cast(storage_pb2.Chunk, answer).data)
        except (asyncio.CancelledError, grpc.aio.AioRpcError):
            # What it sends failed: that is why the call was cancelled.
            if sending.done() and not sending.cancelled() and (error := sending.exception()):
                raise error from None
            raise
        finally:
            sending.cancel()
            await asyncio.wait([sending])


def _cancel_if_failed(task: asyncio.Task[None], call: _Call) -> None:
    if not task.cancelled() and task.exception() is not None:
        call.cancel()
