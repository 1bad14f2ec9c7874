"""Errors over gRPC: one table from `core.errors.Code` to the status, and details for the rest.

The status carries a google.rpc.ErrorInfo whose reason is the code and whose metadata holds what
to do, so that the client raises the same error as the service did; of what is too much also a
google.rpc.RetryInfo.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from functools import wraps
from inspect import isasyncgenfunction
from typing import Any, NoReturn, Protocol, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2

from isocenter.core.errors import (
    BY_CODE,
    Cancelled,
    Code,
    DeadlineExceeded,
    Invalid,
    IsocenterError,
    NotFound,
    OutOfResources,
    Refused,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
    Withheld,
)
from isocenter.runtime.rpc_callers import ADMITTED

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

DOMAIN = "isocenter"
_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"  # negative: do not try again

STATUS: dict[Code, grpc.StatusCode] = {
    Code.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Code.MISMATCH: grpc.StatusCode.INVALID_ARGUMENT,
    Code.UNPROCESSABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.WITHHELD: grpc.StatusCode.NOT_FOUND,
    Code.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Code.REFUSED: grpc.StatusCode.PERMISSION_DENIED,
    Code.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    Code.OUT_OF_RESOURCES: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Code.CORRUPTED: grpc.StatusCode.DATA_LOSS,
    Code.CANCELLED: grpc.StatusCode.CANCELLED,
    Code.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
}

# What a status without our details means: it comes from gRPC itself or from a proxy.
_WITHOUT_DETAILS: dict[grpc.StatusCode, type[IsocenterError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Invalid,
    grpc.StatusCode.PERMISSION_DENIED: Refused,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OutOfResources,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.ABORTED: Unavailable,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def details_of(error: IsocenterError) -> bytes:
    """The google.rpc.Status of an error, as the binary trailer carries it."""
    info = error_details_pb2.ErrorInfo(
        reason=error.code.value, domain=DOMAIN, metadata={"fix": error.fix}
    )
    number = STATUS[error.code].value[0]
    status = status_pb2.Status(code=number, message=error.message)
    status.details.add().Pack(info)
    if isinstance(error, TooMany):
        delay = duration_pb2.Duration(seconds=error.seconds)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return bytes(status.SerializeToString())


def error_of(
    status_code: grpc.StatusCode, message: str, trailers: Iterable[tuple[str, object]]
) -> IsocenterError:
    """The error that a call failed with, of the class that the service raised."""
    for key, value in trailers:
        if key == _DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    kind = BY_CODE.get(_code(info.reason), IsocenterError)
                    return kind(status.message, fix=info.metadata.get("fix", ""))
    kind = _WITHOUT_DETAILS.get(status_code, IsocenterError)
    return kind(f"a gRPC call failed: {message}", fix="see the logs of the called process")


def _code(reason: str) -> Code:
    try:
        return Code(reason)
    except ValueError:  # of a newer version
        return Code.INTERNAL


@contextmanager
def raised_by_peer() -> Iterator[None]:
    """Raise the failure of a call as the error of the service."""
    try:
        yield
    except grpc.aio.AioRpcError as sent:
        trailers = sent.trailing_metadata() or ()
        raise error_of(sent.code(), sent.details() or "", trailers) from sent
    except asyncio.CancelledError as cancelled:
        raise cancelled_by_peer(cancelled) from None


def cancelled_by_peer(cancelled: asyncio.CancelledError) -> BaseException:
    """grpc.aio raises the same for the status CANCELLED as for a task that is cancelled here:
    the former is an error of the service, the latter is to be raised again."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return cancelled
    return Cancelled("the called process cancelled the call", fix="try again")


class _Context(Protocol):
    """What is needed of a servicer's context."""

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str,
        trailing_metadata: tuple[tuple[str, str | bytes], ...],
    ) -> NoReturn: ...


async def _abort(context: _Context, error: Exception) -> NoReturn:
    if not isinstance(error, IsocenterError):
        logger.error("a gRPC call failed unexpectedly", exc_info=error)
        error = IsocenterError("the service failed", fix="see its log")
    by_program = ADMITTED.get(None) is not None
    if isinstance(error, Withheld) and by_program:  # roles may know why
        error = NotFound(str(error))
    await context.abort(STATUS[error.code], error.message, _trailers(error))


def _trailers(error: IsocenterError) -> tuple[tuple[str, str | bytes], ...]:
    details = (_DETAILS, details_of(error))
    if error.code is not Code.UNAVAILABLE:
        return (details,)
    # What this service depends on is down, for its other copies too: gRPC tries again only where
    # a copy itself did not answer.
    return (details, (_PUSHBACK, "-1"))


def answers_errors(method: F) -> F:
    """Decorates a method of a servicer: what it raises becomes the call's status."""
    if isasyncgenfunction(method):
        return cast(F, _streaming(method))
    return cast(F, _unary(method))


def _streaming(
    method: Callable[[object, object, _Context], AsyncGenerator[object, None]],
) -> Callable[[object, object, _Context], AsyncGenerator[object, None]]:
    @wraps(method)
    async def stream(
        self: object, request: object, context: _Context
    ) -> AsyncGenerator[object, None]:
        try:
            async with aclosing(method(self, request, context)) as answers:
                async for answer in answers:
                    yield answer
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 (becomes the status)
            await _abort(context, error)

    return stream


def _unary(
    method: Callable[[object, object, _Context], Awaitable[object]],
) -> Callable[[object, object, _Context], Awaitable[object]]:
    @wraps(method)
    async def call(self: object, request: object, context: _Context) -> object:
        try:
            return await method(self, request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 (becomes the status)
            await _abort(context, error)

    return call
