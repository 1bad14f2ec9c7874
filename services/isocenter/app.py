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
from types import ModuleType
from typing import TYPE_CHECKING, cast

from isocenter.core.apis import AuditTrail, Indexing, Ingest, Query, Storage, Transcoding
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.ports import AuditIndex, BlobStore, EventBus, StudyIndex
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.role import Env, Role, Section
from isocenter.settings import Settings

if TYPE_CHECKING:
    import grpc.aio


@dataclass(frozen=True, slots=True)
class RoleInfo:
    """What `isocenter roles` tells of a role."""

    name: str
    does: str
    listens: str = ""
    consumes: str = ""
    announces: str = ""

    def package(self, module: str) -> ModuleType:
        """A module of the role's package, imported when first used."""
        return importlib.import_module(f"isocenter.{self.name}.{module}")


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
        RoleInfo("audit", "keeps the audit trail", listens="gRPC", consumes="isocenter.audit"),
    )
}

REQUEST_ROLES = ("gateway", "web", "ingest", "storage", "query", "transcoding")
CONSUMER_ROLES = ("indexing", "audit")


@dataclass(frozen=True, slots=True)
class Adapter:
    """Where an adapter is, imported when first used, and its folder below the data directory."""

    module: str
    name: str
    folder: str

    async def open(self, path: Path, **options: object) -> object:
        """Open the adapter on a folder."""
        kind = getattr(importlib.import_module(self.module), self.name)
        opened: object = await kind.open(path, **options)
        return opened


# By URL scheme.
BUSES = {"log": Adapter("isocenter.adapters.bus.log", "LogBus", "log")}
BLOBS = {"file": Adapter("isocenter.adapters.blobs.files", "FileBlobs", "blobs")}
INDEXES = {"sqlite": Adapter("isocenter.adapters.index.sqlite", "SqliteIndex", "index")}
AUDIT_INDEXES = {
    "sqlite": Adapter("isocenter.adapters.index.sqlite_audit", "SqliteAuditIndex", "audit")
}


class Process(Env):
    """One process: opens what is asked for once, closes everything at the end."""

    def __init__(self, settings: Settings, roles: Sequence[str] = (), name: str = "") -> None:
        unknown = [name for name in roles if name not in ROLES]
        if unknown:
            raise Invalid(
                f"no role named {', '.join(unknown)}", fix=f"roles are: {', '.join(ROLES)}"
            )
        self.settings = settings
        self.role_names = tuple(roles)
        self.name = name or "+".join(roles) or "cli"
        self.roles: list[Role] = []
        self._opening: dict[str, asyncio.Future[object]] = {}
        self._opened: dict[str, object] = {}
        self._closing = AsyncExitStack()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.settings.data

    @property
    def instance(self) -> str:
        """Host and name: enough to tell the processes of an installation apart."""
        return f"{socket.gethostname()}/{self.name}"

    def section(self, kind: type[Section]) -> Section:
        """The settings section of this type."""
        return self.settings.section(kind)

    def readiness(self) -> Sequence[str]:
        """Problems of all roles of this process."""
        return [f"{role.name}: {problem}" for role in self.roles for problem in role.problems()]

    async def build(self) -> list[Role]:
        """Build the roles of this process, in the order they were named."""
        for name in self.role_names:
            self.roles.append(await ROLES[name].package("role").build(self))
        return self.roles

    async def close(self) -> None:
        """Close what was opened, in reverse order."""
        await self._closing.aclose()

    # --- adapters ---

    async def bus(self) -> EventBus:
        """The log."""
        keep = self.settings.events.model_dump()
        return cast(EventBus, await self._adapter("bus", self.settings.bus, BUSES, **keep))

    async def blobs(self) -> BlobStore:
        """The object store."""
        return cast(BlobStore, await self._adapter("blobs", self.settings.blobs, BLOBS))

    async def index(self) -> StudyIndex:
        """The search index."""
        return cast(StudyIndex, await self._adapter("index", self.settings.index, INDEXES))

    async def audit_index(self) -> AuditIndex:
        """The audit trail's index; it is kept where the search index is."""
        url = self.settings.index
        return cast(AuditIndex, await self._adapter("index", url, AUDIT_INDEXES))

    async def _adapter(
        self, setting: str, url: str, adapters: Mapping[str, Adapter], **options: object
    ) -> object:
        scheme, _, rest = url.partition(":")
        adapter = adapters.get(scheme)
        if adapter is None:
            raise Invalid(
                f"{setting}: no adapter for {url!r}",
                fix=f"schemes that are known: {', '.join(sorted(adapters))}",
            )
        path = Path(rest.removeprefix("//")) if rest else self.data / adapter.folder
        return await self._once(adapter.name, lambda: adapter.open(path, **options))

    # --- services: the local object, or the client of another process ---

    async def audit_log(self) -> AuditLog:
        """The writing side of the audit trail."""

        async def make() -> AuditLog:
            return AuditLog(await self.bus(), self.instance)

        return cast(AuditLog, await self._once("audit log", make))

    async def ingest(self) -> Ingest:
        """Admission and announcement."""
        return cast(Ingest, await self._service("ingest"))

    async def storage(self) -> Storage:
        """Custody."""
        return cast(Storage, await self._service("storage"))

    async def query(self) -> Query:
        """Matching."""
        return cast(Query, await self._service("query"))

    async def transcoding(self) -> Transcoding:
        """Codecs."""
        return cast(Transcoding, await self._service("transcoding"))

    async def indexing(self) -> Indexing:
        """Administration of the index."""
        return cast(Indexing, await self._service("indexing"))

    async def audit_trail(self) -> AuditTrail:
        """The reading side of the audit trail."""
        return cast(AuditTrail, await self._service("audit"))

    async def _service(self, role: str) -> object:
        address: str = getattr(self.settings.rpc, role)

        async def make() -> object:
            if role in self.role_names or not address:
                service: object = await ROLES[role].package("service").create(self)
            else:
                channel = cast("grpc.aio.Channel", await self._channel(address))
                service = getattr(ROLES[role].package("rpc"), f"{role.title()}Client")(channel)
            return service

        return await self._once(role, make)

    async def _channel(self, address: str) -> object:
        # gRPC takes long to import, and an embedded process has no channel.
        from isocenter.runtime.rpc_channel import open_channel  # noqa: PLC0415

        async def make() -> object:
            return open_channel(address)

        return await self._once(f"channel {address}", make)

    async def _once(self, name: str, make: Callable[[], Awaitable[object]]) -> object:
        """The object of this name, made at the first call; callers at the same time share it."""
        if name not in self._opening:
            self._opening[name] = asyncio.ensure_future(make())
        try:
            opened = await asyncio.shield(self._opening[name])
        except IsocenterError:
            self._opening.pop(name, None)  # the next caller tries again
            raise
        if name not in self._opened:
            self._opened[name] = opened
            close = getattr(opened, "close", None)
            if close is not None:
                self._closing.push_async_callback(close)
        return opened
