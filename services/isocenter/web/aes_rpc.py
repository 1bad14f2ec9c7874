"""The AE directory over gRPC, for programs outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc.aio
import orjson

from isocenter.core.errors import Refused
from isocenter.runtime.ae_administration import AEAdministration, Entry
from isocenter.runtime.aes import fields_of, parsed
from isocenter.runtime.rpc_callers import Context, asker_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_pieces import lean_server
from isocenter.runtime.wire import timestamp
from isocenter.v1 import aes_pb2, aes_pb2_grpc
from isocenter.web.aes import read


class AEDirectoryServicer(aes_pb2_grpc.AEDirectoryServiceServicer):
    """Answers calls of programs."""

    def __init__(self, directory: AEAdministration, *, allowed: bool) -> None:
        self._directory = directory
        self._allowed = allowed

    @answers_errors
    async def ListAEs(  # noqa: N802 (named in the proto, as all below)
        self, request: aes_pb2.ListAEsRequest, context: Context
    ) -> AsyncIterator[aes_pb2.AEEntry]:
        """All of them, by title."""
        del request, context
        for entry in await self._directory.entries():
            yield _entry_to(entry)

    @answers_errors
    async def GetAE(  # noqa: N802
        self, request: aes_pb2.GetAERequest, context: Context
    ) -> aes_pb2.AEEntry:
        """One of them."""
        del context
        return _entry_to(await self._directory.entry(request.title))

    @answers_errors
    async def SetAE(  # noqa: N802
        self, request: aes_pb2.SetAERequest, context: Context
    ) -> aes_pb2.AEEntry:
        """Add it, or say everything about it anew."""
        self._check()
        entry, _ = await self._directory.set(parsed(read(request.ae)), asker_of(context))
        return _entry_to(entry)

    @answers_errors
    async def RemoveAE(  # noqa: N802
        self, request: aes_pb2.RemoveAERequest, context: Context
    ) -> aes_pb2.RemoveAEResponse:
        """Forget it."""
        self._check()
        await self._directory.remove(request.title, asker_of(context))
        return aes_pb2.RemoveAEResponse()

    def _check(self) -> None:
        if not self._allowed:
            raise Refused("the AE directory is not changed here", fix="see [web] ae_directory")


def _entry_to(entry: Entry) -> aes_pb2.AEEntry:
    return aes_pb2.AEEntry(
        title=entry.ae.title,
        ae=orjson.dumps(fields_of(entry.ae)).decode(),
        source=entry.origin.value,
        by=entry.by,
        changed_at=timestamp(entry.at) if entry.at else None,
    )


def add_to(server: grpc.aio.Server, servicer: AEDirectoryServicer) -> Sequence[str]:
    """Register the service; answers with its full name."""
    aes_pb2_grpc.add_AEDirectoryServiceServicer_to_server(servicer, lean_server(server))
    return [aes_pb2.DESCRIPTOR.services_by_name["AEDirectoryService"].full_name]
