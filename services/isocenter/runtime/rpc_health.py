"""grpc.health.v1: what a process says about itself, to probes and to the channels that balance.

Two questions, two answers. The empty name asks whether the process is as it should be: it is not
while one of its roles has a problem. The name of a service asks whether calls of it may be sent
here: they may until the process is stopping. A role's problem is that something it needs is away,
and that is away for every copy: if it took them all out of balancing, callers would hear that
nobody is there instead of what is wrong, calls that do not need it would fail too, and so would
those that bring it back. For the same reason, what decides about a process' address (a readiness
probe) should ask for a service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from isocenter.runtime.health import Health

_LOOK_SECONDS = 0.25
_TOLD_SECONDS = 0.75  # until all who watch know, and what they sent before has come

Context = grpc.aio.ServicerContext[object, object]


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no stubs
    """Answers for the process and for each of its services."""

    def __init__(self, state: Health, services: Iterable[str]) -> None:
        self._state = state
        self._services = frozenset(services)
        self._watching = 0
        self._ended = False

    async def leave(self) -> None:
        """Returns when nobody sends calls any more who watches: the process is stopping."""
        if self._watching:
            await asyncio.sleep(_TOLD_SECONDS)
        self._ended = True

    async def Check(  # noqa: N802 (gRPC's name)
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """How it is now."""
        status = self._status(request.service)
        if status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 (gRPC's name)
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """How it is now, and whenever that changes."""
        del context
        told: int | None = None
        self._watching += 1
        try:
            while not self._ended:
                status = self._status(request.service)
                if status != told:
                    yield health_pb2.HealthCheckResponse(status=status)
                    told = status
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watching -= 1

    def _status(self, service: str) -> int:
        answer = health_pb2.HealthCheckResponse
        if service == health.OVERALL_HEALTH:
            well = not self._state.problems()
        elif service in self._services:
            well = not self._state.draining
        else:
            unknown: int = answer.SERVICE_UNKNOWN
            return unknown
        status: int = answer.SERVING if well else answer.NOT_SERVING
        return status
