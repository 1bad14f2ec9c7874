"""What all retrieve transactions share: the instances behind an address, and their audit."""

from __future__ import annotations

from collections.abc import Sequence

from isocenter.core.apis import Storage, StoredInstance, Transcoding
from isocenter.core.errors import Invalid, NotFound
from isocenter.core.events import AuditAction
from isocenter.core.identity import DEFAULT_PARTITION, InstanceName
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.traced_services import GivenOut
from isocenter.web.exchange import Exchange, Pieces, closing
from isocenter.web.recent import RecentInstances

LEVELS = ("study", "series", "instance")


def address(exchange: Exchange) -> tuple[str, str, str, str]:
    """Partition and the UIDs of the address, empty below its level."""
    uids = [exchange.path.get(level, "") for level in LEVELS]
    return DEFAULT_PARTITION, uids[0], uids[1], uids[2]


def resource(root: str, name: InstanceName) -> str:
    """The address of an instance below a DICOMweb root."""
    return f"{root}/studies/{name.study}/series/{name.series}/instances/{name.instance}"


def unknown(exchange: Exchange) -> NotFound:
    """The error for an address behind which there is nothing."""
    level = next(name for name in reversed(LEVELS) if name in exchange.path)
    return NotFound(f"no such {level} is kept here")


class Retrieving:
    """Finds what is asked for, and records who gets it before it is sent.

    HEAD is not recorded, as 304 is not: nothing of a patient is disclosed to who knows the UIDs.
    """

    def __init__(
        self, *, storage: Storage, audit_log: AuditLog, telemetry: Telemetry = OFF
    ) -> None:
        self.storage = storage
        self.given_out = GivenOut(telemetry, "DICOMweb")
        self._recent = RecentInstances(storage)
        self._recent.lookups.tell(telemetry, "instances")
        self._audit_log = audit_log

    async def all(self, exchange: Exchange) -> Sequence[StoredInstance]:
        """The instances at or below the address. Raises `NotFound` if there are none."""
        found = [one async for one in self.storage.instances(*address(exchange))]
        if not found:
            raise unknown(exchange)
        return found

    async def one(self, exchange: Exchange) -> StoredInstance:
        """The instance of the address. Raises `NotFound`."""
        *series, uid = address(exchange)
        seen = self._recent.find((series[0], series[1], series[2]), uid)
        return seen or (await self.all(exchange))[0]

    async def record(
        self,
        exchange: Exchange,
        instance_count: int,
        detail: str,
        action: AuditAction = AuditAction.RETRIEVE,
    ) -> None:
        """A retrieve, durable in the audit trail on return."""
        if exchange.head:
            return
        _, study, series, instance = address(exchange)
        await self._audit_log.record(
            action,
            exchange.source,
            partition=DEFAULT_PARTITION,
            studies=(study,),
            series=(series,) if series else (),
            instances=(instance,) if instance else (),
            instance_count=instance_count,
            detail=detail,
        )

    async def accessed(self, exchange: Exchange, name: InstanceName, detail: str) -> None:
        """One of many retrieves that follow each other."""
        if exchange.head:
            return
        await self._audit_log.accessed(
            exchange.source,
            partition=name.partition,
            study=name.study,
            series=name.series,
            instance_count=1,
            detail=detail,
        )


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
