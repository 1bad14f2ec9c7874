"""Several copies of a service, each a gRPC server of its own, and a throw-away CA."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime.role import Role
from isocenter.runtime.rpc_peers import Tls
from isocenter.runtime.rpc_server import RpcServer
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

    def __init__(self, host: str = "127.0.0.1", port: int = 0, tls: Tls | None = None) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.role = QueryRole()
        self.server: RpcServer | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def asked(self) -> int:
        return len(self.role.service.asked)

    async def start(self) -> None:
        self.server = RpcServer([self.role], self.host, self.port, tls=self.tls)
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


class Authority:
    """A CA in a directory."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.certificate = directory / "ca.crt"
        self._key = directory / "ca.key"
        _openssl(
            "req", "-x509", *_NEW_KEY, "-subj", "/O=Hospital/CN=CA", "-days", "2",
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, subject_alternative_name: str = "IP:127.0.0.1") -> Tls:
        """A certificate of this name, in place of the one that had it before."""
        key, request, certificate = (
            self.directory / f"{name}.{end}" for end in ("key", "csr", "crt")
        )
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName={subject_alternative_name}\n")
        _openssl(
            "req", *_NEW_KEY, "-subj", f"/O=Hospital/CN={name}", "-keyout", key, "-out", request
        )
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return Tls(self.certificate, certificate, key)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
