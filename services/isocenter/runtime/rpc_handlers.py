"""Handlers of gRPC methods, taken apart by whoever stands before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

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
