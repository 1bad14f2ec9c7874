"""The gRPC port for programs outside. Imported when it is opened: gRPC takes long to import."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from isocenter.runtime import audit_rpc
from isocenter.runtime.audit_rpc import AuditServicer
from isocenter.runtime.role import Role
from isocenter.runtime.rpc_admission import GuardedServing
from isocenter.runtime.rpc_server import Limits, RpcServer
from isocenter.runtime.rpc_tracing import TracedServing
from isocenter.web import aes_rpc, objects_rpc
from isocenter.web.aes_rpc import AEDirectoryServicer
from isocenter.web.archive_rpc import ArchiveServicer, add_to
from isocenter.web.audit_routes import trail_access
from isocenter.web.objects_rpc import ObjectServicer
from isocenter.web.services import Services
from isocenter.web.settings import WebSettings

_MAX_REQUEST = 4 * 1024 * 1024  # bytes of a message: gRPC's own default, which programs know


class _Archive(Role):
    """What the port serves."""

    name = "archive"

    def __init__(
        self,
        archive: ArchiveServicer,
        objects: ObjectServicer,
        directory: AEDirectoryServicer,
        trail: AuditServicer,
    ) -> None:
        self._archive = archive
        self._objects = objects
        self._directory = directory
        self._trail = trail

    def add_to(self, server: grpc.aio.Server) -> Sequence[str]:
        """Register the services; answers with their full names."""
        return [
            *add_to(server, self._archive),
            *objects_rpc.add_to(server, self._objects),
            *aes_rpc.add_to(server, self._directory),
            *audit_rpc.add_to(server, self._trail),
        ]


def port(settings: WebSettings, services: Services) -> RpcServer:
    """The port of the settings, which several processes may share."""
    telemetry = services.telemetry
    traced = [TracedServing(telemetry)] if telemetry.on else []
    objects = ObjectServicer(
        storage=services.storage, guard=services.guard, audit_log=services.audit_log
    )
    directory = AEDirectoryServicer(services.aes, allowed=settings.ae_directory)
    trail = AuditServicer(trail_access(settings, services))
    return RpcServer(
        [_Archive(ArchiveServicer(settings, services), objects, directory, trail)],
        settings.grpc_host,
        settings.grpc_port,
        setting="web.grpc_port",
        shared=True,
        tls=settings.grpc_tls,
        limits=Limits(max_request=_MAX_REQUEST, max_calls=settings.grpc_max_calls),
        interceptors=[*traced, GuardedServing(services.doors, services.guard, services.fair_use)],
    )
