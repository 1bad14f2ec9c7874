"""Handlers of gRPC methods, taken apart by whoever stands before them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from functools import partial
from typing import Any, TypeAlias

import grpc
import grpc.aio

from isocenter.runtime.rpc_callers import Context
from isocenter.runtime.rpc_errors import answers_errors

_OURS = "/isocenter.v1."

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for type checkers only


def parts_of(handler: Handler) -> tuple[Callable[..., Handler], Callable[..., Any]]:
    """How to make such a handler, and what it calls."""
    make: Callable[..., Handler]
    behaviour: Callable[..., Any] | None
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            make, behaviour = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        case False, True:
            make, behaviour = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        case True, False:
            make, behaviour = grpc.stream_unary_rpc_method_handler, handler.stream_unary
        case _:
            make, behaviour = grpc.stream_stream_rpc_method_handler, handler.stream_stream
    assert behaviour is not None
    return make, behaviour


class Doorkeeper(grpc.aio.ServerInterceptor):
    """Stands before all of our methods. Health and reflection, which tell nothing of patients, are
    for everybody."""

    @abstractmethod
    async def admit(self, method: str, context: Context) -> AbstractContextManager[object]:
        """Let a call of `Service/Method` in, or raise what becomes its status. What is returned is
        left when the call has ended."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler, behind the door."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        make, behaviour = parts_of(handler)
        within = self._stream if handler.response_streaming else self._unary
        guarded = partial(within, method.removeprefix(_OURS), behaviour)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    async def _unary(
        self, method: str, behaviour: Callable[..., Any], request: object, context: Context
    ) -> object:
        with await self._admit(method, context):
            return await behaviour(request, context)

    async def _stream(
        self, method: str, behaviour: Callable[..., Any], request: object, context: Context
    ) -> AsyncGenerator[object, None]:
        with await self._admit(method, context):
            async with aclosing(behaviour(request, context)) as answers:
                async for answer in answers:
                    yield answer

    @answers_errors
    async def _admit(self, method: str, context: Context) -> AbstractContextManager[object]:
        return await self.admit(method, context)
