"""The gRPC server of a process: the services of its roles, health, reflection and limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from isocenter.core.errors import Unavailable
from isocenter.runtime.health import Health
from isocenter.runtime.role import Role
from isocenter.runtime.rpc_channel import KEEPALIVE, MAX_MESSAGE, WINDOW
from isocenter.runtime.rpc_health import HealthServicer
from isocenter.runtime.rpc_peers import listening_on
from isocenter.runtime.rpc_roles import RolesOnly
from isocenter.runtime.rpc_tls import server_credentials
from isocenter.runtime.tls_files import Tls, WatchedFiles

_CONCURRENT_STREAMS = 1000  # of one connection
_DRAIN_SECONDS = 3600.0  # the caller bounds it
_OPTIONS = (
    *KEEPALIVE,
    ("grpc.max_send_message_length", MAX_MESSAGE),
    *WINDOW,
    ("grpc.max_concurrent_streams", _CONCURRENT_STREAMS),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # After this time clients connect anew, for which they look for new copies and read new
    # certificates; calls under way finish on the old connection.
    ("grpc.max_connection_age_ms", 30_000),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What callers may ask for. The defaults are those that every channel of ours keeps."""

    max_request: int = MAX_MESSAGE  # bytes of a message
    max_calls: int | None = None  # at once, on all connections


def new_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    *,
    shared: bool = False,
    limits: Limits = Limits(),
) -> grpc.aio.Server:
    """A server. `shared`: other processes may listen on the same port."""
    options = (
        *_OPTIONS,
        ("grpc.max_receive_message_length", limits.max_request),
        ("grpc.so_reuseport", int(shared)),
    )
    return grpc.aio.server(
        interceptors=interceptors, options=options, maximum_concurrent_rpcs=limits.max_calls
    )


class RpcServer(Role):
    """Serves the gRPC services of the other roles of a process."""

    name = "rpc"

    def __init__(
        self,
        roles: Iterable[Role],
        host: str,
        port: int,
        *,
        tls: Tls | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        setting: str = "rpc.port",
        shared: bool = False,
        limits: Limits = Limits(),
        callers: Sequence[str] | None = None,
    ) -> None:
        """Port 0 lets the system choose; see `port` after `start`. With a CA in `tls`, clients must
        have a certificate; with `callers`, it must have one of these names (`rpc_roles`).
        `setting`: what says which port; `shared`: with other processes."""
        self._roles = tuple(roles)
        self._host = host
        self.port = port
        self._tls = tls
        self._interceptors = interceptors
        self._setting = setting
        self._shared = shared
        self._limits = limits
        self._callers = callers
        self._server: grpc.aio.Server | None = None
        self._health = Health(self._roles)
        self._health_servicer: HealthServicer | None = None

    async def start(self) -> None:
        """Register the services and listen. Raises `Unavailable` if the port is taken, `Invalid`
        if the certificates cannot be used."""
        files = WatchedFiles(self._tls) if self._tls is not None else None
        interceptors = [*self._interceptors]
        if files is not None and self._callers is not None:
            interceptors.append(RolesOnly(self._callers, files))
        server = new_server(interceptors, shared=self._shared, limits=self._limits)
        names = [name for role in self._roles for name in role.add_to(server)]
        self._health_servicer = HealthServicer(self._health, names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health_servicer, server)
        names += [health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, server)
        address = listening_on(self._host, self.port)
        try:
            if files is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, server_credentials(files))
            await server.start()
        except RuntimeError as error:
            raise Unavailable(
                f"cannot listen on {address} for gRPC",
                fix=f"free the port or set another one in `{self._setting}`",
            ) from error
        self._server = server

    def problems(self) -> Sequence[str]:
        """Not ready before the port is open."""
        return () if self._server is not None else ("not listening for gRPC",)

    async def drain(self) -> None:
        """Tell the clients to call others, then accept no new calls and wait for those under
        way."""
        self._health.drain()
        if self._server is not None and self._health_servicer is not None:
            await self._health_servicer.leave()
            await self._server.stop(grace=_DRAIN_SECONDS)

    async def stop(self) -> None:
        """Cancel the calls that are still under way."""
        if self._server is not None:
            await self._server.stop(grace=None)
            self._server = None
