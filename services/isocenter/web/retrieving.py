"""What all retrieve transactions share: the instances behind an address, and their audit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from isocenter.core.access import Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Storage, StoredInstance, Transcoding
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Withheld
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import DEFAULT_PARTITION, InstanceName
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.study_patients import StudyPatients
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.traced_services import GivenOut
from isocenter.web.chunks import Pieces, closing
from isocenter.web.exchange import Exchange
from isocenter.web.recent import RecentInstances

logger = logging.getLogger(__name__)

LEVELS = ("study", "series", "instance")

Level = tuple[str, str, str, str]  # partition and UIDs, empty below it


def address(exchange: Exchange) -> Level:
    """Partition and the UIDs of the address, empty below its level."""
    uids = [exchange.path.get(level, "") for level in LEVELS]
    return DEFAULT_PARTITION, uids[0], uids[1], uids[2]


def resource(root: str, name: InstanceName) -> str:
    """The address of an instance below a DICOMweb root."""
    return f"{root}/studies/{name.study}/series/{name.series}/instances/{name.instance}"


def unknown(level: Level) -> NotFound:
    """The error for a level at which there is nothing."""
    name = [name for name, uid in zip(LEVELS, level[1:], strict=True) if uid][-1]
    return NotFound(f"no such {name} is kept here")


class Retrieving:
    """Finds what is asked for, and records who gets it before it is sent: who asks for what is not
    there too, and an answer that does not leave whole once more, as far as that can be told.

    HEAD is not recorded, as 304 is not: nothing of a patient is disclosed to who knows the UIDs.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        audit_log: AuditLog,
        patients: StudyPatients,
        guard: Guard,
        telemetry: Telemetry = OFF,
        protocol: str = "DICOMweb",
    ) -> None:
        self.storage = storage
        self.given_out = GivenOut(telemetry, protocol)
        self._recent = RecentInstances(storage)
        self._recent.lookups.tell(telemetry, "instances")
        self._audit_log = audit_log
        self._patients = patients
        self._guard = guard
        self._in_vain = f"{protocol} retrieve"

    # --- of any protocol -------------------------------------------------------------------------

    async def all_at(
        self, caller: Caller, level: Level, by: Source | None
    ) -> Sequence[StoredInstance]:
        """The instances at or below a level. Raises `NotFound` if the caller may see none, which is
        recorded of `by`."""
        try:
            found = [one async for one in self.storage.instances(caller, *level)]
        except Withheld as withheld:
            raise await self.missing(level, by, withheld.message) from withheld
        if not found:
            raise await self.missing(level, by)
        return found

    async def check_taking(self, caller: Caller, level: Level, by: Source | None) -> None:
        """Whether whole objects of a study may be taken away. Raises `Refused`, and `NotFound`,
        recorded, as `all_at`."""
        try:
            await self._guard.check(caller, Right.DOWNLOAD, level[0], level[1])
        except Withheld as withheld:
            raise await self.missing(level, by, withheld.message) from withheld

    async def one_at(self, caller: Caller, level: Level, by: Source | None) -> StoredInstance:
        """The instance of a level. Raises `NotFound`, as above."""
        *series, uid = level
        seen = self._recent.find((caller, series[0], series[1], series[2]), uid)
        return seen or (await self.all_at(caller, level, by))[0]

    async def missing(self, level: Level, by: Source | None, why: str = "") -> NotFound:
        """The error for a level at which there is nothing, or nothing that somebody may know of:
        recorded with the reason, which they are not told."""
        error = unknown(level)
        if by is not None:
            failed, why = AuditOutcome.FAILURE, why or error.message
            await self.record_of(by, level, 0, self._in_vain, outcome=failed, error=why)
        return error

    async def record_of(
        self,
        source: Source,
        level: Level,
        instance_count: int,
        detail: str,
        action: AuditAction = AuditAction.RETRIEVE,
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
        error: str = "",
    ) -> None:
        """A retrieve, durable in the audit trail on return."""
        partition, study, series, instance = level
        await self._audit_log.record(
            action,
            source,
            outcome=outcome,
            partition=partition,
            patient_ids=await self._patients.of(partition, (study,)),
            studies=(study,),
            series=(series,) if series else (),
            instances=(instance,) if instance else (),
            instance_count=instance_count,
            detail=detail,
            error=error,
        )

    async def broken_off(
        self, source: Source, level: Level, detail: str, action: AuditAction = AuditAction.RETRIEVE
    ) -> None:
        """Record that not all of an answer has left: its first record tells that it would."""
        try:
            outcome, why = AuditOutcome.MINOR_FAILURE, "broken off before its end"
            await self.record_of(source, level, 0, detail, action, outcome, why)
        except IsocenterError as error:
            logger.warning("the end of a retrieve is not recorded", extra={"error": str(error)})

    @asynccontextmanager
    async def whole(self, source: Source, level: Level, detail: str) -> AsyncIterator[None]:
        """Around an answer, which is recorded as broken off unless it comes to its end."""
        try:
            yield
        except BaseException:  # whoever asked may have gone, which cancels this
            await asyncio.shield(self.broken_off(source, level, detail))
            raise

    async def access_of(self, source: Source, name: InstanceName, detail: str) -> None:
        """One of many retrieves that follow each other."""
        await self._audit_log.accessed(
            source,
            partition=name.partition,
            patient_ids=await self._patients.of(name.partition, (name.study,)),
            study=name.study,
            series=name.series,
            instance_count=1,
            detail=detail,
        )

    # --- of HTTP ---------------------------------------------------------------------------------

    async def all(self, exchange: Exchange) -> Sequence[StoredInstance]:
        """The instances at or below the address. Raises `NotFound` if there are none."""
        return await self.all_at(exchange.caller, address(exchange), _by(exchange))

    async def taken(self, exchange: Exchange) -> Sequence[StoredInstance]:
        """The same, to be taken away as they are."""
        await self.check_taking(exchange.caller, address(exchange), _by(exchange))
        return await self.all(exchange)

    async def one(self, exchange: Exchange) -> StoredInstance:
        """The instance of the address. Raises `NotFound`."""
        return await self.one_at(exchange.caller, address(exchange), _by(exchange))

    async def nothing(self, exchange: Exchange, why: str = "") -> NotFound:
        """As `missing`, of the address."""
        return await self.missing(address(exchange), _by(exchange), why)

    async def record(
        self,
        exchange: Exchange,
        instance_count: int,
        detail: str,
        action: AuditAction = AuditAction.RETRIEVE,
    ) -> None:
        """As `record_of`, of what is not HEAD."""
        if not exchange.head:
            source, level = exchange.source, address(exchange)
            await self.record_of(source, level, instance_count, detail, action)
            exchange.broken = partial(self.broken_off, source, level, detail, action)

    async def accessed(self, exchange: Exchange, name: InstanceName, detail: str) -> None:
        """As `access_of`, of what is not HEAD."""
        if not exchange.head:
            await self.access_of(exchange.source, name, detail)


def _by(exchange: Exchange) -> Source | None:
    """Whose failure is recorded: nobody's that asks for a head alone."""
    return None if exchange.head else exchange.source


async def part10(
    retrieving: Retrieving,
    transcoding: Transcoding,
    instance: StoredInstance,
    target: str,
    head: bytes,
) -> Pieces:
    """An instance in a transfer syntax, with what stands before its data set: File Meta
    Information, and the head of a part. Read against the checksum, or the digest."""
    stored = instance.transfer_syntax
    async with closing(retrieving.storage.data_set(instance)) as kept:
        data = kept if target == stored else transcoding.data_set(kept, stored, target)
        async with closing(data):
            async for chunk in data:
                if head:  # not before the data set is known to be there
                    yield head
                    head = b""
                yield chunk
    retrieving.given_out.count(instance.size)


def frame_numbers(text: str, most: int) -> Sequence[int]:
    """The frame list of an address. Raises `Invalid`."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        raise Invalid("the frame list is malformed", fix="write frame numbers from 1, as 1,2,3")
    numbers = [int(part) for part in parts]
    if 0 in numbers:
        raise Invalid("frame 0 does not exist", fix="frames are numbered from 1")
    if len(numbers) > most:
        raise Invalid(f"more than {most} frames are asked for", fix="ask for fewer at a time")
    return numbers
