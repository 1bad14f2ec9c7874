"""Several copies of a service, each a gRPC server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime.role import Role
from isocenter.runtime.rpc_server import RpcServer
from isocenter.runtime.tls_files import Tls
from support.fake_services import FakeIngest, FakeQuery

SERVICE = "isocenter.v1.QueryService"
INGEST = "isocenter.v1.IngestService"


class QueryRole(Role):
    """A query role whose answers and problems a test decides about, which takes in objects too."""

    name = "query"

    def __init__(self) -> None:
        self.service = FakeQuery()
        self.why: tuple[str, ...] = ()

    def problems(self):
        return self.why

    def add_to(self, server):
        return [
            *query_rpc.add_to(server, self.service),
            *ingest_rpc.add_to(server, FakeIngest()),
        ]


class Copy:
    """One copy, which can be ended and started again on the same port."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: Tls | None = None,
        callers: Sequence[str] | None = None,
    ) -> None:
        """`callers`: as of `RpcServer`."""
        self.host = host
        self.port = port
        self.tls = tls
        self.callers = callers
        self.role = QueryRole()
        self.server: RpcServer | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def asked(self) -> int:
        return len(self.role.service.asked)

    async def start(self) -> None:
        self.server = RpcServer(
            [self.role], self.host, self.port, tls=self.tls, callers=self.callers
        )
        await self.server.start()
        self.port = self.server.port

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()
            self.server = None


@asynccontextmanager
async def copies(*all_of: Copy) -> AsyncIterator[Sequence[Copy]]:
    """These copies, started."""
    try:
        for one in all_of:
            await one.start()
        yield all_of
    finally:
        for one in all_of:
            await one.stop()
