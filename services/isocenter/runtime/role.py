"""What a role is, and what it may ask of its surroundings.

A role module offers `async def build(env: Env) -> Role`; what it touches on `env` is what it
depends on. Backends and peers are opened when first asked for, so a role never dials what it
does not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import BaseModel

from isocenter.core.access_api import Guard
from isocenter.core.apis import Indexing, Ingest, Query, Storage, Transcoding
from isocenter.core.attributes import Attributes
from isocenter.core.audit import AuditIndex
from isocenter.core.audit_api import AuditTrail
from isocenter.core.ports import BlobStore, EventBus, StudyIndex
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.aes import Directory
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.telemetry import Telemetry

if TYPE_CHECKING:  # it takes long to import, and embedded processes never use it
    import grpc.aio

Section = TypeVar("Section", bound=BaseModel)


class Role:
    """One role in one process. The defaults suit a role that only answers calls."""

    name = "role"

    async def start(self) -> None:
        """Open listeners or begin consuming."""

    async def drain(self) -> None:
        """Accept nothing new and finish what is under way (bounded by the caller)."""

    async def stop(self) -> None:
        """Release everything."""

    def problems(self) -> Sequence[str]:
        """Why this role cannot do its work now; empty when it is ready."""
        return ()

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the role's gRPC services; answers with their full names."""
        del server
        return ()


class Env(Protocol):
    """What a process hands to its roles."""

    @property
    def data(self) -> Path:
        """The data directory (embedded parts and scratch files)."""
        ...

    @property
    def instance(self) -> str:
        """A name of this process, for logs and the audit trail."""
        ...

    @property
    def site(self) -> str:
        """Name of the site that this process serves, if it has one."""
        ...

    def section(self, kind: type[Section]) -> Section:
        """The settings section of this type."""
        ...

    @property
    def attributes(self) -> Attributes:
        """The table of what is searchable."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """Where spans and measurements go."""
        ...

    def readiness(self) -> Sequence[str]:
        """Why this process is not ready: the problems of all its roles."""
        ...

    async def directory(self) -> Directory: ...

    async def bus(self) -> EventBus: ...

    async def blobs(self) -> BlobStore: ...

    async def index(self) -> StudyIndex: ...

    async def audit_index(self) -> AuditIndex: ...

    async def audit_store(self) -> BlobStore: ...

    async def outbox(self) -> Outbox: ...

    async def guard(self) -> Guard: ...

    async def doors(self) -> Doors: ...

    async def audit_log(self) -> AuditLog: ...

    async def ingest(self) -> Ingest: ...

    async def storage(self) -> Storage: ...

    async def query(self) -> Query: ...

    async def transcoding(self) -> Transcoding: ...

    async def audit_trail(self) -> AuditTrail: ...

    async def indexing(self) -> Indexing: ...
