"""The gRPC server of a process: the services of its roles, health, reflection and limits."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from isocenter.core.errors import Unavailable
from isocenter.runtime.health import Health
from isocenter.runtime.role import Role
from isocenter.runtime.rpc_channel import MAX_MESSAGE

_CONCURRENT_STREAMS = 1000  # of one connection
_DRAIN_SECONDS = 3600.0  # the caller bounds it
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_concurrent_streams", _CONCURRENT_STREAMS),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)


def new_server() -> grpc.aio.Server:
    """A server with the limits that every channel of ours keeps."""
    return grpc.aio.server(options=_OPTIONS)


class RpcServer(Role):
    """Serves the gRPC services of the other roles of a process."""

    name = "rpc"

    def __init__(self, roles: Iterable[Role], host: str, port: int) -> None:
        """Port 0 lets the system choose; see `port` after `start`."""
        self._roles = tuple(roles)
        self._host = host
        self.port = port
        self._server: grpc.aio.Server | None = None
        self._health = Health(self._roles)

    async def start(self) -> None:
        """Register the services and listen. Raises `Unavailable` if the port is taken."""
        server = new_server()
        names = [name for role in self._roles for name in role.add_to(server)]
        health_pb2_grpc.add_HealthServicer_to_server(_HealthServicer(self._health, names), server)
        names += [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        try:
            self.port = server.add_insecure_port(f"{self._host}:{self.port}")
            await server.start()
        except RuntimeError as error:
            raise Unavailable(
                f"cannot listen on {self._host}:{self.port} for gRPC",
                fix="free the port or set another one in `rpc.port`",
            ) from error
        self._server = server

    async def drain(self) -> None:
        """Accept no new calls and wait for those under way."""
        self._health.drain()
        if self._server is not None:
            await self._server.stop(grace=_DRAIN_SECONDS)

    async def stop(self) -> None:
        """Cancel the calls that are still under way."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None


class _HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no stubs
    """grpc.health.v1: one answer for the process and for each of its services."""

    def __init__(self, state: Health, names: Iterable[str]) -> None:
        self._state = state
        self._names = {health.OVERALL_HEALTH, *names}

    async def Check(  # noqa: N802 (gRPC's name)
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> health_pb2.HealthCheckResponse:
        """SERVING when no role of the process has a problem."""
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service!r}")
        answer = health_pb2.HealthCheckResponse
        return answer(status=answer.NOT_SERVING if self._state.problems() else answer.SERVING)
