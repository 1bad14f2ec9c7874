"""Finds out who calls the gRPC port of programs, and lets in whoever may: before any method sees a
call.

Programs show a token in the metadata (`authorization: Bearer ...`), or a certificate that the
settings know. With both, the token says who calls: one that is not taken is not made up for.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack

from isocenter.core.access import NOBODY, Caller, Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.errors import Unauthenticated
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.fair_use import FairUse
from isocenter.runtime.rpc_callers import (
    ADMITTED,
    Context,
    certificate_of,
    host_of,
    source_of,
)
from isocenter.runtime.rpc_handlers import Doorkeeper

_BEARER = "bearer "
_SHOW = "send a token in the metadata, or show a certificate that [access] certificates names"

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
    "ObjectService/GetObject": Right.DOWNLOAD,
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


class GuardedServing(Doorkeeper):
    """The doorkeeper."""

    def __init__(self, doors: Doors, guard: Guard, fair_use: FairUse) -> None:
        self._doors = doors
        self._guard = guard
        self._fair_use = fair_use

    async def admit(self, method: str, context: Context) -> AbstractContextManager[object]:
        """Raises `Unauthenticated`, `Refused`, `TooMany`."""
        with ExitStack() as leaving:
            visit = leaving.enter_context(self._fair_use.visit())
            shown = _shown(context)
            visit.come(host_of(context), shown)
            caller = await self._caller(context, shown)
            visit.of(caller)
            needs = NEEDS.get(method)
            if caller is NOBODY or needs is None:
                raise Unauthenticated("it is not known who calls", fix=_SHOW)
            self._guard.require(caller, needs)
            ADMITTED.set(Asker(caller, source_of(context, caller.name)))
            return leaving.pop_all()

    async def _caller(self, context: Context, shown: str) -> Caller:
        if not shown:
            known = self._doors.by_certificate(certificate_of(context))
            return known or self._doors.by_address(host_of(context))
        if shown[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("only tokens are taken here", fix="send Bearer and a token")
        return await self._doors.by_bearer(shown[len(_BEARER) :].strip())


def _shown(context: Context) -> str:
    """What says who calls; empty without it."""
    shown = dict(context.invocation_metadata() or ()).get("authorization", "")
    return shown.decode(errors="replace") if isinstance(shown, bytes) else shown
