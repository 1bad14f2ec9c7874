"""gRPC calls with traces and metrics, on both sides; the trace context travels as metadata.

The client's side is a channel and no interceptors: grpc.aio replaces intercepted streaming calls by
objects of its own, whose writing, cancelling and status are not those of the calls that
`rpc_stream` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from isocenter.runtime.instruments import RPC_CLIENT_DURATION, RPC_SERVER_DURATION, Metric
from isocenter.runtime.rpc_handlers import Handler, parts_of
from isocenter.runtime.rpc_stream import now
from isocenter.runtime.telemetry import TRACEPARENT, TRACESTATE, Span, Telemetry

_OURS = "/isocenter."  # health and reflection are asked all the time, and tell nothing
_STATUS_SECONDS = 0.5
# The caller's doing, or no failure at all.
_NO_FAILURE = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

_Context = grpc.aio.ServicerContext[Any, Any]


def _attributes(method: str) -> dict[str, str]:
    service, _, name = method.partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _over(
    telemetry: Telemetry,
    metric: Metric,
    method: str,
    seconds: float,
    span: Span,
    code: grpc.StatusCode,
) -> None:
    """Measure a call that has ended with a status."""
    telemetry.record(metric, seconds, {"method": method, "code": code.name})
    span.set({"rpc.grpc.status_code": code.value[0]})
    if code not in _NO_FAILURE:
        span.fail(code.name)


# --- the server's side ---------------------------------------------------------------------------


class _Served:
    """A call while it is being served."""

    def __init__(self, telemetry: Telemetry, method: str, context: _Context) -> None:
        self._telemetry = telemetry
        self._method = method
        self._context = context
        self._began = perf_counter()
        sent = dict(context.invocation_metadata() or ())
        carried = {name: str(sent[name]) for name in (TRACEPARENT, TRACESTATE) if name in sent}
        self._span = telemetry.span(method, _attributes(method), role="server", parent=carried)

    def __enter__(self) -> Self:
        self._span.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        code = self._code(error)
        seconds = perf_counter() - self._began
        _over(self._telemetry, RPC_SERVER_DURATION, self._method, seconds, self._span, code)
        self._span.__exit__(None, None, None)

    def _code(self, error: BaseException | None) -> grpc.StatusCode:
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return grpc.StatusCode.CANCELLED
        given: grpc.StatusCode | None = self._context.code()
        if given is not None:
            return given
        return grpc.StatusCode.OK if error is None else grpc.StatusCode.UNKNOWN


class TracedServing(grpc.aio.ServerInterceptor):
    """Measures the calls that a server answers."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler, within a span."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        make, behaviour = parts_of(handler)
        within = self._stream if handler.response_streaming else self._unary
        traced = partial(within, behaviour, method.removeprefix("/"))
        return make(traced, handler.request_deserializer, handler.response_serializer)

    async def _unary(
        self, behaviour: Callable[..., Any], method: str, request: object, context: _Context
    ) -> object:
        with _Served(self._telemetry, method, context):
            return await behaviour(request, context)

    async def _stream(
        self, behaviour: Callable[..., Any], method: str, request: object, context: _Context
    ) -> AsyncGenerator[object, None]:
        with _Served(self._telemetry, method, context):
            async with aclosing(behaviour(request, context)) as answers:
                async for answer in answers:
                    yield answer


# --- the client's side ---------------------------------------------------------------------------


class TracedChannel:
    """A channel that measures the calls on it: as much of one as stubs need."""

    def __init__(self, channel: grpc.aio.Channel, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self.unary_unary = partial(self._callable, channel.unary_unary)
        self.unary_stream = partial(self._callable, channel.unary_stream)
        self.stream_unary = partial(self._callable, channel.stream_unary)
        self.stream_stream = partial(self._callable, channel.stream_stream)
        self.get_state = channel.get_state
        self.wait_for_state_change = channel.wait_for_state_change
        self.close = channel.close

    def _callable(
        self,
        make: Callable[..., Callable[..., Any]],
        method: str,
        *serializers: Any,  # noqa: ANN401 - grpc's signature
        **options: Any,  # noqa: ANN401
    ) -> Callable[..., Any]:
        """What a stub calls for this method."""
        return partial(self._call, make(method, *serializers, **options), method.removeprefix("/"))

    def _call(
        self,
        inner: Callable[..., Any],
        method: str,
        *request: Any,  # noqa: ANN401 - grpc's signature
        metadata: tuple[tuple[str, str], ...] = (),
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - a call of grpc.aio
        """Begin a call; it is measured when it is done, however that comes about."""
        began = perf_counter()
        span = self._telemetry.child(method, _attributes(method), role="client")
        with span.active():
            carried = tuple(self._telemetry.headers().items())
        call = inner(*request, metadata=(*metadata, *carried), **options)
        call.add_done_callback(partial(self._done, method, began, span))
        return call

    def _done(self, method: str, began: float, span: Span, call: grpc.aio.Call) -> None:
        seconds = perf_counter() - began
        tell = partial(self._tell, method, seconds, span, call)
        if now(call.code()) is grpc.StatusCode.INTERNAL:
            # Perhaps a placeholder of grpc.aio (`rpc_stream.Outcome`) that is replaced soon.
            asyncio.get_running_loop().call_later(_STATUS_SECONDS, tell)
        else:
            tell()

    def _tell(self, method: str, seconds: float, span: Span, call: grpc.aio.Call) -> None:
        _over(self._telemetry, RPC_CLIENT_DURATION, method, seconds, span, now(call.code()))
        span.end()
