"""Looking into and changing the AE directory, for all the faces of administration.

Entries of the settings file are shown and never changed here. Every change is in the audit trail
before it is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from isocenter.core.access import Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.apis import Storage
from isocenter.core.errors import Conflict, IsocenterError, NotFound
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.ae_records import ae_records
from isocenter.runtime.aes import KnownAE, fields_of
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.named_records import NamedRecord
from isocenter.runtime.role import Env

_MAX_DETAIL = 1000  # characters of an audit record


class Origin(Enum):
    """Where an entry is kept."""

    SETTINGS = "settings"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class Entry:
    """An AE of the directory. Of those of the settings it is not known who named them when."""

    ae: KnownAE
    origin: Origin
    by: str = ""
    at: datetime | None = None


class AEAdministration:
    """The AE directory, as administrators see it: always as of now."""

    def __init__(
        self, fixed: Iterable[KnownAE], storage: Storage, audit_log: AuditLog, guard: Guard
    ) -> None:
        """`fixed`: the entries of the settings."""
        self._guard = guard
        self._fixed = {ae.title: Entry(ae, Origin.SETTINGS) for ae in fixed}
        self._records = ae_records(storage)
        self._audit_log = audit_log

    async def entries(self) -> Sequence[Entry]:
        """All of them, by title. Raises `Unavailable`."""
        latest = await self._records.latest()
        kept = {title: _entry(change) for title, change in latest.items()}
        found = {title: entry for title, entry in kept.items() if entry} | self._fixed
        return [found[title] for title in sorted(found)]

    async def entry(self, title: str) -> Entry:
        """One of them. Raises `NotFound`, `Unavailable`."""
        for entry in await self.entries():
            if entry.ae.title == title.strip(" "):
                return entry
        raise NotFound(
            f"{title[:17]!a} is not in the AE directory", fix="list it for those that are"
        )

    async def set(self, ae: KnownAE, asker: Asker) -> tuple[Entry, bool]:
        """Add an AE, or say everything about it anew; the entry, and whether it is new. Durable on
        return; gateways follow within seconds. Raises `Refused`, `Conflict`, `Unavailable`."""
        self._guard.require(asker.caller, Right.AES)
        self.check(ae.title)
        try:
            before = await self.entry(ae.title)
        except NotFound:
            before = None
        if before is not None and before.ae == ae:
            return before, False
        told = json.dumps(fields_of(ae), ensure_ascii=True)
        change = await self._change(
            ae.title, ae, asker.source, f"AE directory: set {ae.title} {told}"
        )
        return Entry(ae, Origin.DIRECTORY, change.by.who, change.at), before is None

    async def remove(self, title: str, asker: Asker) -> None:
        """An AE is not known any more. Raises `Refused`, `NotFound`,
        `Conflict`, `Unavailable`."""
        self._guard.require(asker.caller, Right.AES)
        title = title.strip(" ")
        self.check(title)
        await self.entry(title)
        await self._change(title, None, asker.source, f"AE directory: removed {title}")

    def check(self, title: str) -> None:
        """Raises `Conflict` if the settings say what counts of a title."""
        if title in self._fixed:
            raise Conflict(
                f"{title} is an entry of the settings ([gateway] known_aes)",
                fix="change it there, or take it out there first",
            )

    async def _change(
        self, title: str, ae: KnownAE | None, by: Source, detail: str
    ) -> NamedRecord[KnownAE]:
        detail = detail if len(detail) <= _MAX_DETAIL else detail[: _MAX_DETAIL - 3] + "..."
        await self._audit_log.record(AuditAction.SECURITY, by, detail=detail)
        try:
            return await self._records.append(title, ae, by)
        except IsocenterError as error:
            with suppress(IsocenterError):  # the first record tells of the attempt
                await self._audit_log.record(
                    AuditAction.SECURITY,
                    by,
                    outcome=AuditOutcome.FAILURE,
                    detail=detail,
                    error=str(error),
                )
            raise


def _entry(change: NamedRecord[KnownAE]) -> Entry | None:
    if change.value is None:
        return None
    return Entry(change.value, Origin.DIRECTORY, change.by.who, change.at)


async def administration(env: Env) -> AEAdministration:
    """That of a process."""
    fixed = tuple((await env.directory()).fixed.values())
    return AEAdministration(fixed, await env.storage(), await env.audit_log(), await env.guard())
