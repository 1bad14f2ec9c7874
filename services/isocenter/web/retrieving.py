"""What all retrieve transactions share: the instances behind an address, and their audit."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.apis import Storage, StoredInstance, Transcoding
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.events import AuditAction, Source
from isocenter.core.identity import DEFAULT_PARTITION, InstanceName
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.traced_services import GivenOut
from isocenter.web.exchange import Exchange, Pieces, closing
from isocenter.web.recent import RecentInstances

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
    """Finds what is asked for, and records who gets it before it is sent.

    HEAD is not recorded, as 304 is not: nothing of a patient is disclosed to who knows the UIDs.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        audit_log: AuditLog,
        telemetry: Telemetry = OFF,
        protocol: str = "DICOMweb",
    ) -> None:
        self.storage = storage
        self.given_out = GivenOut(telemetry, protocol)
        self._recent = RecentInstances(storage)
        self._recent.lookups.tell(telemetry, "instances")
        self._audit_log = audit_log

    # --- of any protocol -------------------------------------------------------------------------

    async def all_at(self, level: Level) -> Sequence[StoredInstance]:
        """The instances at or below a level. Raises `NotFound` if there are none."""
        found = [one async for one in self.storage.instances(*level)]
        if not found:
            raise unknown(level)
        return found

    async def one_at(self, level: Level) -> StoredInstance:
        """The instance of a level. Raises `NotFound`."""
        *series, uid = level
        seen = self._recent.find((series[0], series[1], series[2]), uid)
        return seen or (await self.all_at(level))[0]

    async def record_of(
        self,
        source: Source,
        level: Level,
        instance_count: int,
        detail: str,
        action: AuditAction = AuditAction.RETRIEVE,
    ) -> None:
        """A retrieve, durable in the audit trail on return."""
        partition, study, series, instance = level
        await self._audit_log.record(
            action,
            source,
            partition=partition,
            studies=(study,),
            series=(series,) if series else (),
            instances=(instance,) if instance else (),
            instance_count=instance_count,
            detail=detail,
        )

    async def access_of(self, source: Source, name: InstanceName, detail: str) -> None:
        """One of many retrieves that follow each other."""
        await self._audit_log.accessed(
            source,
            partition=name.partition,
            study=name.study,
            series=name.series,
            instance_count=1,
            detail=detail,
        )

    # --- of HTTP ---------------------------------------------------------------------------------

    async def all(self, exchange: Exchange) -> Sequence[StoredInstance]:
        """The instances at or below the address. Raises `NotFound` if there are none."""
        return await self.all_at(address(exchange))

    async def one(self, exchange: Exchange) -> StoredInstance:
        """The instance of the address. Raises `NotFound`."""
        return await self.one_at(address(exchange))

    async def record(
        self,
        exchange: Exchange,
        instance_count: int,
        detail: str,
        action: AuditAction = AuditAction.RETRIEVE,
    ) -> None:
        """As `record_of`, of what is not HEAD."""
        if not exchange.head:
            level = address(exchange)
            await self.record_of(exchange.source, level, instance_count, detail, action)

    async def accessed(self, exchange: Exchange, name: InstanceName, detail: str) -> None:
        """As `access_of`, of what is not HEAD."""
        if not exchange.head:
            await self.access_of(exchange.source, name, detail)


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
