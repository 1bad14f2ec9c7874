"""Composition root: the one file that imports every service and every adapter.

A `Process` hands its roles what they ask for: an adapter chosen by the URL's scheme, and for each
service either the local object or the gRPC client of the role's address in the settings.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from isocenter.core.apis import AuditTrail, Indexing, Ingest, Query, Storage, Transcoding
from isocenter.core.errors import Invalid
from isocenter.core.ports import AuditIndex, BlobStore, EventBus, StudyIndex
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.role import Env, Role, Section
from isocenter.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RoleInfo:
    """What `isocenter roles` tells of a role."""

    name: str
    does: str
    listens: str = ""
    consumes: str = ""
    announces: str = ""

    @property
    def module(self) -> str:
        """The module with the role's `build`."""
        return f"isocenter.{self.name}.role"


ROLES: Mapping[str, RoleInfo] = {
    role.name: role
    for role in (
        RoleInfo("gateway", "takes and gives objects over DIMSE", listens="DICOM"),
        RoleInfo("web", "DICOMweb, health and the viewer", listens="HTTP"),
        RoleInfo(
            "ingest",
            "decides what may come in, and announces it",
            listens="gRPC",
            announces="InstanceStored, InstanceRejected",
        ),
        RoleInfo("storage", "keeps objects and what is derived from them", listens="gRPC"),
        RoleInfo("query", "answers searches", listens="gRPC"),
        RoleInfo("transcoding", "decodes and renders pixels", listens="gRPC"),
        RoleInfo(
            "indexing",
            "makes objects findable",
            listens="gRPC",
            consumes="isocenter.instances",
            announces="InstanceConflict, StudyChanged, StudyQuiet",
        ),
        RoleInfo(
            "audit", "keeps the audit trail", listens="gRPC", consumes="isocenter.audit"
        ),
    )
}

REQUEST_ROLES = ("gateway", "web", "ingest", "storage", "query", "transcoding")
CONSUMER_ROLES = ("indexing", "audit")


async def _log_bus(path: Path) -> EventBus:
    from isocenter.adapters.bus.log import LogBus

    return await LogBus.open(path)


async def _file_blobs(path: Path) -> BlobStore:
    from isocenter.adapters.blobs.files import FileBlobs

    return await FileBlobs.open(path)


async def _sqlite_index(path: Path) -> StudyIndex:
    from isocenter.adapters.index.sqlite import SqliteIndex

    return await SqliteIndex.open(path)


async def _sqlite_audit_index(path: Path) -> AuditIndex:
    from isocenter.adapters.index.sqlite_audit import SqliteAuditIndex

    return await SqliteAuditIndex.open(path)


Opener = Callable[[Path], Awaitable[Any]]

# Adapter by URL scheme, and the folder below the data directory if the URL names none.
BUSES: Mapping[str, tuple[Opener, str]] = {"log": (_log_bus, "log")}
BLOBS: Mapping[str, tuple[Opener, str]] = {"file": (_file_blobs, "blobs")}
INDEXES: Mapping[str, tuple[Opener, str]] = {"sqlite": (_sqlite_index, "index")}
AUDIT_INDEXES: Mapping[str, tuple[Opener, str]] = {"sqlite": (_sqlite_audit_index, "audit")}


class Process(Env):
    """One process: opens what is asked for once, closes everything at the end."""

    def __init__(self, settings: Settings, roles: Sequence[str] = ()) -> None:
        unknown = [name for name in roles if name not in ROLES]
        if unknown:
            raise Invalid(
                f"no role named {', '.join(unknown)}", fix=f"roles are: {', '.join(ROLES)}"
            )
        self.settings = settings
        self.role_names = tuple(roles)
        self.roles: list[Role] = []
        self._opened: dict[str, asyncio.Future[Any]] = {}
        self._closing = AsyncExitStack()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.settings.data

    @property
    def instance(self) -> str:
        """Host and roles: enough to tell the processes of an installation apart."""
        return f"{socket.gethostname()}/{'+'.join(self.role_names) or 'cli'}"

    def section(self, kind: type[Section]) -> Section:
        """The settings section of this type."""
        return self.settings.section(kind)

    def readiness(self) -> Sequence[str]:
        """Problems of all roles of this process."""
        return [f"{role.name}: {problem}" for role in self.roles for problem in role.problems()]

    async def build(self) -> list[Role]:
        """Build the roles of this process, in the order they were named."""
        for name in self.role_names:
            module = importlib.import_module(ROLES[name].module)
            self.roles.append(await module.build(self))
        return self.roles

    async def close(self) -> None:
        """Close what was opened, in reverse order."""
        await self._closing.aclose()

    # --- adapters ---

    async def bus(self) -> EventBus:
        """The log."""
        return await self._once("bus", lambda: self._open("bus", self.settings.bus, BUSES))

    async def blobs(self) -> BlobStore:
        """The object store."""
        return await self._once("blobs", lambda: self._open("blobs", self.settings.blobs, BLOBS))

    async def index(self) -> StudyIndex:
        """The search index."""
        return await self._once("index", lambda: self._open("index", self.settings.index, INDEXES))

    async def audit_index(self) -> AuditIndex:
        """The audit trail's index; it lives beside the search index."""
        return await self._once(
            "audit index", lambda: self._open("index", self.settings.index, AUDIT_INDEXES)
        )

    async def _open(self, setting: str, url: str, adapters: Mapping[str, tuple[Opener, str]]) -> Any:
        scheme, _, rest = url.partition(":")
        if scheme not in adapters:
            raise Invalid(
                f"{setting}: no adapter for {url!r}",
                fix=f"schemes that are known: {', '.join(sorted(adapters))}",
            )
        opener, folder = adapters[scheme]
        return await opener(Path(rest.removeprefix("//")) if rest else self.data / folder)

    # --- services: the local object, or the client of another process ---

    async def audit_log(self) -> AuditLog:
        """The writing side of the audit trail."""

        async def make() -> AuditLog:
            return AuditLog(await self.bus(), self.instance)

        return await self._once("audit log", make)

    async def ingest(self) -> Ingest:
        """Admission and announcement."""

        async def local() -> Ingest:
            from isocenter.ingest.service import create

            return await create(self)

        return await self._service("ingest", local)

    async def storage(self) -> Storage:
        """Custody."""

        async def local() -> Storage:
            from isocenter.storage.service import create

            return await create(self)

        return await self._service("storage", local)

    async def query(self) -> Query:
        """Matching."""

        async def local() -> Query:
            from isocenter.query.service import create

            return await create(self)

        return await self._service("query", local)

    async def transcoding(self) -> Transcoding:
        """Codecs."""

        async def local() -> Transcoding:
            from isocenter.transcoding.service import create

            return await create(self)

        return await self._service("transcoding", local)

    async def indexing(self) -> Indexing:
        """Administration of the index."""

        async def local() -> Indexing:
            from isocenter.indexing.service import create

            return await create(self)

        return await self._service("indexing", local)

    async def audit_trail(self) -> AuditTrail:
        """The reading side of the audit trail."""

        async def local() -> AuditTrail:
            from isocenter.audit.service import create

            return await create(self)

        return await self._service("audit", local)

    async def _service(self, role: str, local: Callable[[], Awaitable[T]]) -> T:
        address: str = getattr(self.settings.rpc, role)
        if role in self.role_names or not address:
            return await self._once(role, local)

        async def client() -> Any:
            module = importlib.import_module(f"isocenter.{role}.rpc")
            return module.client(await self._channel(address))

        return await self._once(role, client)

    async def _channel(self, address: str) -> grpc.aio.Channel:
        from isocenter.runtime.rpc_channel import open_channel

        async def make() -> grpc.aio.Channel:
            return open_channel(address)

        return await self._once(f"channel {address}", make)

    async def _once(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """The object of this name, made at the first call; callers at the same time share it."""
        if name not in self._opened:
            self._opened[name] = asyncio.ensure_future(make())
            made = await asyncio.shield(self._opened[name])
            close = getattr(made, "close", None)
            if close is not None:
                self._closing.push_async_callback(close)
        result: T = await asyncio.shield(self._opened[name])
        return result
