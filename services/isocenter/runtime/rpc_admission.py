"""Finds out who calls the gRPC port of programs, and lets in whoever may: before any method sees a
call.

Programs show a token in the metadata (`authorization: Bearer ...`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import grpc.aio

from isocenter.core.access import NOBODY, Caller, Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.errors import Unauthenticated
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.fair_use import FairUse, Visit
from isocenter.runtime.rpc_callers import ADMITTED, Context, host_of, source_of
from isocenter.runtime.rpc_errors import answers_errors
from isocenter.runtime.rpc_handlers import Handler, parts_of

_OURS = "/isocenter.v1."
_BEARER = "bearer "

# What a caller of the port of programs must be allowed to do; what is not here is not let through.
NEEDS: Mapping[str, Right] = {
    "ArchiveService/StoreObjects": Right.STORE,
    "ArchiveService/RetrieveObjects": Right.DOWNLOAD,
    "ArchiveService/RetrieveMetadata": Right.READ,
    "ArchiveService/RetrieveFrames": Right.READ,
    "ArchiveService/RetrieveBulkData": Right.READ,
    "ArchiveService/SearchArchive": Right.SEARCH,
    "ArchiveService/CountArchive": Right.SEARCH,
    "ArchiveService/WatchChanges": Right.SEARCH,
    "AEDirectoryService/ListAEs": Right.AES,
    "AEDirectoryService/GetAE": Right.AES,
    "AEDirectoryService/SetAE": Right.AES,
    "AEDirectoryService/RemoveAE": Right.AES,
    **{
        f"AuditService/{method}": Right.AUDIT
        for method in (
            "SearchRecords", "CountRecords", "GetRecord", "TallyRecords", "GetStory", "ProveRecord",
            "VerifyTrail", "GetTrailState", "ListSavedSearches", "ListHolds",
        )
    },
    **{
        f"AuditService/{method}": Right.HOLD
        for method in ("SaveSearch", "ForgetSearch", "AddHold", "ReleaseHold")
    },
}  # fmt: skip


class GuardedServing(grpc.aio.ServerInterceptor):
    """The doorkeeper."""

    def __init__(self, doors: Doors, guard: Guard, fair_use: FairUse) -> None:
        self._doors = doors
        self._guard = guard
        self._fair_use = fair_use

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler, behind the door. Health and reflection tell nothing of patients."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        make, behaviour = parts_of(handler)
        within = self._stream if handler.response_streaming else self._unary
        guarded = partial(within, NEEDS.get(method.removeprefix(_OURS)), behaviour)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    async def _unary(
        self,
        needs: Right | None,
        behaviour: Callable[..., Any],
        request: object,
        context: Context,
    ) -> object:
        with self._fair_use.visit() as visit:
            await self._admit(needs, context, visit)
            return await behaviour(request, context)

    async def _stream(
        self,
        needs: Right | None,
        behaviour: Callable[..., Any],
        request: object,
        context: Context,
    ) -> AsyncGenerator[object, None]:
        with self._fair_use.visit() as visit:
            await self._admit(needs, context, visit)
            async with aclosing(behaviour(request, context)) as answers:
                async for answer in answers:
                    yield answer

    async def _admit(self, needs: Right | None, context: Context, visit: Visit) -> None:
        await _Admission(self._doors, self._guard, visit).admit(needs, context)


class _Admission:
    """Of one call; what it raises becomes the call's status."""

    def __init__(self, doors: Doors, guard: Guard, visit: Visit) -> None:
        self._doors = doors
        self._guard = guard
        self._visit = visit

    @answers_errors
    async def admit(self, needs: Right | None, context: Context) -> None:
        """Raises `Unauthenticated`, `Refused`, `TooMany`."""
        shown = _shown(context)
        self._visit.come(host_of(context), shown)
        caller = await self._caller(context, shown)
        self._visit.of(caller)
        if caller is NOBODY or needs is None:
            raise Unauthenticated("it is not known who calls", fix="send a token in the metadata")
        self._guard.require(caller, needs)
        ADMITTED.set(Asker(caller, source_of(context, caller.name)))

    async def _caller(self, context: Context, shown: str) -> Caller:
        if not shown:
            return self._doors.by_address(host_of(context))
        if shown[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("only tokens are taken here", fix="send Bearer and a token")
        return await self._doors.by_bearer(shown[len(_BEARER) :].strip())


def _shown(context: Context) -> str:
    """What says who calls; empty without it."""
    shown = dict(context.invocation_metadata() or ()).get("authorization", "")
    return shown.decode(errors="replace") if isinstance(shown, bytes) else shown
