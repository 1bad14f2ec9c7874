"""What the requester of a C-MOVE or C-GET learns of its sub-operations: counts in pending
responses, and the final one (PS3.4 C.4.2.1, C.4.3.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from isocenter.core.apis import StoredInstance
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.identifiers import FAILED_UIDS, write

# Pending responses are for the requester's patience, not for each sub-operation (C.4.2.3.1,
# C.4.3.3.1): seconds between two of them, at least, and at most while nothing happens.
PENDING_INTERVAL = 0.25
HEARTBEAT = 2.0


@dataclass(slots=True)
class Tally:
    """The counts of PS3.7 tables 9.1-3 and 9.1-4, and what failed."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)
    broken_off: bool = False  # by a C-CANCEL, in the middle of a sub-operation

    def fail(self, instances: Sequence[StoredInstance]) -> None:
        """These were not delivered."""
        self.remaining -= len(instances)
        self.failed += len(instances)
        self.failed_uids += [stored.name.instance for stored in instances]

    def count(self, status: int) -> bool:
        """Count the receiver's answer; whether it kept the object. A failure is counted with
        `fail`."""
        kept = status == statuses.SUCCESS or statuses.is_warning(status)
        if kept:
            self.remaining -= 1
            self.completed += status == statuses.SUCCESS
            self.warning += status != statuses.SUCCESS
        return kept

    @property
    def final(self) -> int:
        """The status of the last response (PS3.4 tables C.4-2 and C.4-3); what remains was
        cancelled."""
        if self.remaining or self.broken_off:
            return statuses.CANCELLED
        if self.failed and not self.completed and not self.warning:
            return statuses.CANNOT_PERFORM_SUB_OPERATIONS
        return statuses.SUB_OPERATIONS_FAILED if self.failed or self.warning else statuses.SUCCESS


class Progress:
    """Responses to one request."""

    def __init__(self, request: Request, sub_operations: int) -> None:
        self.tally = Tally(sub_operations)
        self._request = request
        self._clock = asyncio.get_running_loop().time
        self._pending_at = self._clock()  # when the next pending response is due

    async def report(self) -> None:
        """A pending response if one is due. Raises `AssociationAborted`."""
        now = self._clock()
        if now >= self._pending_at:
            self._pending_at = now + PENDING_INTERVAL
            await self._respond(statuses.PENDING)

    async def keep_up(self) -> None:
        """Report now and then, whatever happens, until it is cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            await self.report()

    async def finish(self) -> None:
        """The final response. Raises `AssociationAborted`."""
        await self._respond(self.tally.final)

    async def _respond(self, status: int) -> None:
        tally = self.tally
        identifier = None
        if status != statuses.PENDING and tally.failed_uids:
            failed = {FAILED_UIDS: {"vr": "UI", "Value": tally.failed_uids}}
            identifier = write(failed, self._request.context.transfer_syntax)
        # Remaining has no place in a final response but that to a C-CANCEL (C.4.2.1.6).
        going_on = status in (statuses.PENDING, statuses.CANCELLED)
        await self._request.respond(
            status,
            data_set=identifier,
            remaining=_us(tally.remaining) if going_on else None,
            completed=_us(tally.completed),
            failed=_us(tally.failed),
            warning=_us(tally.warning),
        )


def _us(count: int) -> int:
    """A count as the VR of the command elements can hold it."""
    return min(count, 0xFFFF)
