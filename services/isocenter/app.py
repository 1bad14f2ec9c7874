"""Composition root: the one file that imports every service, and with `isocenter.backends` every
adapter.

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
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from isocenter.backends import (
    AUDIT_INDEXES,
    BACKENDS,
    BLOBS,
    BUSES,
    INDEXES,
    Adapter,
    Server,
    adapter_of,
    load,
)
from isocenter.core.access_api import Guard
from isocenter.core.apis import Indexing, Ingest, Query, Storage, Transcoding
from isocenter.core.attributes import Attributes
from isocenter.core.audit import AuditIndex
from isocenter.core.audit_api import AuditTrail
from isocenter.core.errors import Invalid, IsocenterError
from isocenter.core.ports import BlobStore, EventBus, StudyIndex
from isocenter.core.upkeep import Upkeep
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard
from isocenter.runtime.access.policy import PolicyInForce
from isocenter.runtime.ae_records import DirectoryFollower
from isocenter.runtime.aes import Directory
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.role import Env, Role, Section
from isocenter.runtime.telemetry import Outlets, Telemetry, telemetry_to
from isocenter.runtime.traced import measured
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
            consumes="isocenter.instances, isocenter.studies, isocenter.jobs",
            announces="InstanceConflict, StudyChanged, StudyQuiet, SweepCheckpoint",
        ),
        RoleInfo(
            "audit",
            "keeps the audit trail",
            listens="gRPC",
            consumes="isocenter.audit, isocenter.instances",
        ),
    )
}

REQUEST_ROLES = ("gateway", "web", "ingest", "storage", "query", "transcoding")
CONSUMER_ROLES = ("indexing", "audit")
# By itself it has no way to the log, and records no start: what decodes the pixels of strangers
# must not be able to write there.
WITHOUT_LOG = frozenset({"transcoding"})


class Process(Env):
    """One process: opens what is asked for once, closes everything at the end."""

    def __init__(
        self,
        settings: Settings,
        roles: Sequence[str] = (),
        name: str = "",
        *,
        scraped: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """`scraped`: whether its metrics are read, `labels`: what they all have."""
        if unknown := [name for name in roles if name not in ROLES]:
            raise Invalid(
                f"no role named {', '.join(unknown)}", fix=f"roles are: {', '.join(ROLES)}"
            )
        self.settings = settings
        self.role_names = tuple(roles)
        self.name = name or "+".join(roles) or "cli"
        site = {"site": settings.site} if settings.site else {}
        self._outlets = Outlets(
            settings.telemetry.endpoint,
            settings.telemetry.sample,
            scraped,
            {**site, **(labels or {})},
        )
        self.roles: list[Role] = []
        self._opening: dict[str, asyncio.Future[object]] = {}
        self._opened: dict[str, object] = {}
        self._closing = AsyncExitStack()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.settings.data

    @property
    def site(self) -> str:
        """Name of the site, if it has one."""
        return self.settings.site

    @property
    def instance(self) -> str:
        """Host and name: enough to tell the processes of an installation apart."""
        return f"{socket.gethostname()}/{self.name}"

    @cached_property
    def telemetry(self) -> Telemetry:
        """Where spans and measurements go; opened when first asked for, closed last of all."""
        telemetry = telemetry_to(self._outlets, self.instance, self.role_names)
        self._closing.push_async_callback(telemetry.close)
        return telemetry

    @cached_property
    def attributes(self) -> Attributes:
        """The table of what is searchable."""
        return Attributes([one.row for one in self.settings.attributes])

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
        return cast(EventBus, await self._adapter("bus", self.settings.bus, BUSES))

    async def blobs(self) -> BlobStore:
        """The object store."""
        return cast(BlobStore, await self._adapter("blobs", self.settings.blobs, BLOBS))

    async def index(self) -> StudyIndex:
        """The search index."""
        url, table = self.settings.index, self.attributes
        return cast(StudyIndex, await self._adapter("index", url, INDEXES, attributes=table))

    async def audit_index(self) -> AuditIndex:
        """The audit trail's index; it is kept where the search index is."""
        url = self.settings.index
        return cast(AuditIndex, await self._adapter("index", url, AUDIT_INDEXES, "audit index"))

    async def audit_store(self) -> BlobStore:
        """Where the audit trail's segments are: the object store, unless they have their own."""
        audit = self.settings.audit
        if not audit.store:
            return await self.blobs()
        adapter = adapter_of("audit.store", audit.store, BLOBS)
        how = {"lock_days": audit.lock_days} if isinstance(adapter, Server) else {}
        port = "audit store"
        return cast(BlobStore, await self._adapter("blobs", audit.store, BLOBS, port, **how))

    async def upkeep(self) -> Mapping[str, Upkeep]:
        """Setting -> what looks after its backend, for those that are servers."""
        found: dict[str, Upkeep] = {}
        for setting, adapters in BACKENDS.items():
            url: str = getattr(self.settings, setting)
            adapter = adapter_of(setting, url, adapters)
            if isinstance(adapter, Server):
                module = f"{adapter.module.rpartition('.')[0]}.upkeep"
                kind = load(module, adapter.upkeep, setting, adapter.extra)
                made = await kind.open(url, self.section(adapter.settings), **self._keep(setting))
                self._closing.push_async_callback(made.close)
                found[setting] = made
        return found

    async def _adapter(
        self, setting: str, url: str, adapters: Mapping[str, Adapter], port: str = "", **how: object
    ) -> object:
        """`port`: what it is, where that is not what the setting is called; `how`: to open it."""
        adapter = adapter_of(setting, url, adapters)

        async def open_it() -> object:
            if isinstance(adapter, Server):
                kind = load(adapter.module, adapter.name, setting, adapter.extra)
                return await kind.open(url, self.section(adapter.settings), **how)
            kind = getattr(importlib.import_module(adapter.module), adapter.name)
            return await kind.open(adapter.path(url, self.data), **self._keep(setting), **how)

        async def make() -> object:
            return measured(port or setting, await open_it(), self.telemetry)

        return await self._once(port or adapter.name, make)

    def _keep(self, setting: str) -> Mapping[str, Any]:
        """How long a log keeps its events."""
        return self.settings.events.model_dump() if setting == "bus" else {}

    # --- services: the local object, or the client of another process ---

    async def outbox(self) -> Outbox:
        """Where events go while the log is down; the object store is opened only then."""

        async def make() -> Outbox:
            return Outbox(await self.bus(), self.storage, telemetry=self.telemetry)

        return cast(Outbox, await self._once("outbox", make))

    async def audit_log(self) -> AuditLog:
        """The writing side of the audit trail."""

        async def make() -> AuditLog:
            log = AuditLog(await self.outbox(), self.instance, journal=self.data / "audit-counts")
            log.start()
            return log

        return cast(AuditLog, await self._once("audit log", make))

    async def directory(self) -> Directory:
        """The AEs that are known; it follows what administrators change."""

        async def make() -> DirectoryFollower:
            settings = self.settings.gateway
            directory = Directory(settings.known_aes)
            follower = DirectoryFollower(
                directory, await self.storage(), settings.directory_seconds
            )
            await follower.start()
            return follower

        return cast(DirectoryFollower, await self._once("AE directory", make)).directory

    async def guard(self) -> Guard:
        """Who may do what, by the policy as it is now."""
        policy = await self.policy()
        return PolicyGuard(policy, self._facts, lambda: policy.complete)

    async def doors(self) -> Doors:
        """Who asks, by what they show."""

        async def make() -> Doors:
            return Doors.of(await self.storage(), self.settings.access, self.telemetry)

        return cast(Doors, await self._once("doors", make))

    @cached_property
    def _facts(self) -> Facts:
        return Facts(self.query, self.storage)

    async def policy(self) -> PolicyInForce:
        """The policy as it is now."""

        async def make() -> PolicyInForce:
            settings = self.settings.access
            # The services need each other: storage asks the policy, whose marks storage keeps.
            policy = PolicyInForce(
                settings.policy, settings.follow_seconds, self.storage, self.telemetry
            )
            await policy.start()
            return policy

        return cast(PolicyInForce, await self._once("policy", make))

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
                made: object = await ROLES[role].package("service").create(self)
                service = measured(role, made, self.telemetry)
                if service is not made:
                    self._close_later(made)
                return service
            channel = cast("grpc.aio.Channel", await self._channel(role, address))
            return getattr(ROLES[role].package("rpc"), f"{role.title()}Client")(channel)

        return await self._once(role, make)

    async def _channel(self, role: str, address: str) -> object:
        # gRPC takes long to import, and an embedded process has no channel.
        from isocenter.runtime.rpc_channel import open_channel  # noqa: PLC0415
        from isocenter.runtime.rpc_tracing import TracedChannel  # noqa: PLC0415

        async def make() -> object:
            name, tls = f"isocenter.v1.{role.title()}Service", self.settings.rpc.tls
            channel = open_channel(address, service=name, tls=tls)
            return TracedChannel(channel, self.telemetry) if self.telemetry.on else channel

        return await self._once(f"channel to {role}", make)

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
            self._close_later(opened)
        return opened

    def _close_later(self, opened: object) -> None:
        if (close := getattr(opened, "close", None)) is not None:
            self._closing.push_async_callback(close)
