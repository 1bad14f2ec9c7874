"""The C-STORE sub-operations of C-MOVE and C-GET (PS3.4 C.4.2.2.1, C.4.3.2.1).

An object goes out as it is stored where the receiver accepted its transfer syntax, transcoded
where not. There is a worker for each association to the receiver; each takes the next object that
no other one has. The next objects are read while some are under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from typing import Protocol

from isocenter.core.apis import Storage, StoredInstance, Transcoding
from isocenter.core.errors import DeadlineExceeded, IsocenterError, Unavailable, Unsupported
from isocenter.core.ports import Buffer
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import PresentationContext
from isocenter.dimse.errors import AssociationRejected
from isocenter.dimse.messages import Request
from isocenter.gateway import statuses
from isocenter.gateway.cancelling import stopped
from isocenter.gateway.lanes import Lanes, Work
from isocenter.gateway.payload import DataSets, Payload, ReadAhead
from isocenter.gateway.progress import Progress, Tally
from isocenter.gateway.renditions import AsStored, Rendition
from isocenter.runtime.instruments import RETRIEVE_FAILURES, RETRIEVE_RETRIES
from isocenter.runtime.telemetry import OFF, Telemetry
from isocenter.runtime.traced_services import GivenOut

log = logging.getLogger(__name__)

Contexts = Mapping[tuple[str, str], PresentationContext]
Ended = Callable[[Tally], Awaitable[None]]

# How long a C-CANCEL leaves to what is under way before it is broken off, seconds.
GRACE = 0.5
# Instances in a row that a receiver did not take for reasons that may pass, however often they were
# tried, before it is given up.
MAX_IN_VAIN = 3


class Route(Protocol):
    """How sub-operations reach the receiver: one association at a time."""

    @property
    def receiver(self) -> str:
        """The AE title of whoever gets the instances."""
        ...

    @property
    def pauses(self) -> Sequence[float]:
        """Seconds to wait before each further try of what failed for a reason that may pass."""
        ...

    @property
    def breakable(self) -> bool:
        """Whether a C-CANCEL may cost the association."""
        ...

    async def association(self, position: int) -> Association:
        """The association for the instance at a position of the list. Raises `Unavailable` or
        `AssociationRejected` if there is none to be had."""
        ...

    def contexts(self) -> Contexts:
        """The contexts of that association that carry objects to the receiver, by SOP class and
        transfer syntax."""
        ...

    async def store(
        self,
        context: PresentationContext,
        stored: StoredInstance,
        data: Buffer | AsyncIterable[Buffer],
        priority: int,
    ) -> int:
        """C-STORE on that association; the status that the receiver answers with."""
        ...

    async def break_off(self) -> None:
        """End the association in the middle of a sub-operation, if it is ours to end."""
        ...

    async def close(self) -> None:
        """Release the association, if it is ours to release."""
        ...


class SubOperations:
    """Delivers instances and reports on it to the requester."""

    def __init__(
        self,
        *,
        storage: Storage,
        transcoding: Transcoding,
        lanes: Lanes,
        telemetry: Telemetry = OFF,
    ) -> None:
        self._storage = storage
        self._as_stored = AsStored(transcoding)
        self._lanes = lanes
        self._telemetry = telemetry

    async def perform(
        self,
        request: Request,
        instances: Sequence[StoredInstance],
        routes: Sequence[Route],
        turn: AbstractAsyncContextManager[None] | None = None,
        *,
        ended: Ended,
        source: DataSets | None = None,
        rendition: Rendition | None = None,
    ) -> None:
        """Send every instance, of storage or another source, on some route, as it is there or in
        another rendition, once it is our turn, with pending responses now and then and the final
        response at the end. `ended` is told what became of them, whatever happens. Raises
        `AssociationAborted` if the requester is gone. Nothing is under way afterwards, and the
        routes are closed."""
        progress = Progress(request, len(instances))
        reading = ReadAhead(source or self._storage, instances)
        delivery = _Delivery(
            request,
            instances,
            progress,
            reading,
            rendition or self._as_stored,
            self._lanes,
            self._telemetry,
        )
        async with AsyncExitStack() as held:  # until the final response is on its way

            async def begin() -> None:
                await held.enter_async_context(turn or nullcontext())
                for route in routes:
                    held.push_async_callback(route.close)

            reporting = asyncio.create_task(progress.keep_up())
            try:
                await delivery.run(begin, routes)
            finally:
                await stopped(reporting)
                await reading.close()
                await ended(progress.tally)
            await progress.finish()
            tally = progress.tally
            log.info(
                "retrieve ended",
                extra={
                    "receiver": routes[0].receiver if routes else "",
                    "status": f"0x{tally.final:04X}",
                    "completed": tally.completed,
                    "warning": tally.warning,
                    "failed": tally.failed,
                    "remaining": tally.remaining,
                },
            )


class _Delivery:
    """The sub-operations of one request."""

    def __init__(
        self,
        request: Request,
        instances: Sequence[StoredInstance],
        progress: Progress,
        reading: ReadAhead,
        rendition: Rendition,
        lanes: Lanes,
        telemetry: Telemetry,
    ) -> None:
        self._request = request
        self._instances = instances
        self._left = deque(range(len(instances)))  # positions that no worker has
        self._progress = progress
        self._tally = progress.tally
        self._reading = reading
        self._rendition = rendition
        self._lanes = lanes
        self._telemetry = telemetry
        self._given_out = GivenOut(telemetry, "DIMSE")
        self._retries = Counter[int]()  # by position
        self._in_vain = 0
        self._sending = 0

    async def run(self, begin: Callable[[], Awaitable[None]], routes: Sequence[Route]) -> None:
        """All of them, or as many as there are until the request is cancelled. What has not
        begun by then remains; what is broken off has failed."""
        work = asyncio.create_task(self._all(begin, routes))
        cancel = asyncio.create_task(self._request.cancelled.wait())
        try:
            await asyncio.wait({work, cancel}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                finishes = self._sending and not all(route.breakable for route in routes)
                await asyncio.wait({work}, timeout=None if finishes else GRACE)
            if work.done():
                work.result()
        finally:
            await stopped(work, cancel)

    async def _all(self, begin: Callable[[], Awaitable[None]], routes: Sequence[Route]) -> None:
        await begin()
        workers = {asyncio.create_task(self._work(route)) for route in routes}
        working = workers
        try:
            while working and self._tally.remaining:
                done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for worker in done:
                    worker.result()
        finally:  # one that still waits for its association is not needed
            await stopped(*workers)
        if not self._request.cancelled.is_set():
            self._give_up([self._instances[position] for position in sorted(self._left)], routes)

    async def _work(self, route: Route) -> None:
        """One sub-operation after another, until none is left, it is cancelled, or the receiver
        cannot be reached."""
        with self._lanes.turn(Work.READ, self._request) as turn:
            while self._left and not self._request.cancelled.is_set():
                await turn.step()
                if not self._left:
                    return
                if self._in_vain >= MAX_IN_VAIN:
                    log.warning("receiver given up", extra={"receiver": route.receiver})
                    return
                position = self._left[0]
                try:
                    await self._reach(route, position)
                except IsocenterError as error:
                    log.warning(
                        "receiver not reached",
                        extra={"receiver": route.receiver, "error": str(error)},
                    )
                    return
                if self._left and self._left[0] == position:  # no other worker took it meanwhile
                    self._left.popleft()
                    await self._perform(route, position)
                    await self._progress.report()

    async def _reach(self, route: Route, position: int) -> None:
        for pause in route.pauses:
            try:
                await route.association(position)
            except IsocenterError as error:
                if not _may_pass(error):
                    raise
                await asyncio.sleep(pause)
            else:
                return
        await route.association(position)

    async def _perform(self, route: Route, position: int) -> None:
        stored = self._instances[position]
        try:
            status = await self._send(route, position)
        except IsocenterError as error:
            why = {"error": str(error)}
            again = _may_pass(error)
            passing = again or isinstance(error, DeadlineExceeded)
        else:
            if status is None:  # cancelled: it remains
                return
            if self._tally.count(status):
                self._given_out.count(stored.size, route.receiver)
                self._in_vain = 0
                return
            why = {"status": f"0x{status:04X}"}
            passing = again = statuses.may_pass(status)
        if again and self._retries[position] < len(route.pauses):
            await self._retry(route, position)
            return
        log.warning("sub-operation failed", extra={"instance": stored.name.instance, **why})
        self._give_up([stored], [route])
        # A receiver of a C-GET is asked for every instance; it can end that itself.
        self._in_vain = self._in_vain + 1 if passing and route.pauses else 0

    async def _retry(self, route: Route, position: int) -> None:
        """Leave it to the next worker that asks, which may be this one, after a pause."""
        pause = route.pauses[self._retries[position]]
        self._retries[position] += 1
        self._telemetry.count(RETRIEVE_RETRIES, 1, {"ae": self._telemetry.ae(route.receiver)})
        await asyncio.sleep(pause)
        self._left.appendleft(position)

    def _give_up(self, instances: Sequence[StoredInstance], routes: Sequence[Route]) -> None:
        if instances:
            self._tally.fail(instances)
            ae = self._telemetry.ae(routes[0].receiver)
            self._telemetry.count(RETRIEVE_FAILURES, len(instances), {"ae": ae})

    async def _send(self, route: Route, position: int) -> int | None:
        """The status that the receiver answers with; none if nothing was sent, since the request
        was cancelled."""
        stored = self._instances[position]
        try:
            context = self._context(stored, route.contexts())
        except Unsupported:
            await self._reading.skip(position)
            raise
        payload = await self._reading.take(position)
        try:
            target = context.transfer_syntax
            if not self._rendition.changes(stored, target):
                return await self._store(route, context, stored, payload)
            changed = await Payload.begin(
                self._rendition.data_set(payload.chunks(), stored, target)
            )
            try:
                return await self._store(route, context, stored, changed)
            finally:
                await changed.close()
        finally:
            await payload.close()

    async def _store(
        self, route: Route, context: PresentationContext, stored: StoredInstance, payload: Payload
    ) -> int | None:
        if self._request.cancelled.is_set():
            return None
        self._sending += 1
        try:
            priority = self._request.command.priority
            return await route.store(context, stored, payload.data, priority)
        except asyncio.CancelledError:  # nobody knows whether the receiver keeps it
            self._give_up([stored], [route])
            self._tally.broken_off = True
            await route.break_off()
            raise
        finally:
            self._sending -= 1

    def _context(self, stored: StoredInstance, contexts: Contexts) -> PresentationContext:
        """The context that takes the object best."""
        for syntax in self._rendition.syntaxes(stored):
            if context := contexts.get((stored.sop_class, syntax)):
                return context
        raise Unsupported(
            f"the receiver accepts SOP class {stored.sop_class} in no transfer syntax"
            f" that {stored.transfer_syntax} can be turned into"
        )


def _may_pass(error: IsocenterError) -> bool:
    """Whether another try may succeed."""
    if isinstance(error, AssociationRejected):
        return error.transient
    return isinstance(error, Unavailable)
