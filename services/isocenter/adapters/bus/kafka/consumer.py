"""One member of a consumer group of Kafka.

The library's consumer belongs to a thread of its own, which goes on polling whatever its caller
does: so the group keeps a member whose caller waits an hour for a search server. What is polled
from the brokers waits in a bounded buffer (`holding`) for the caller.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from isocenter.adapters.bus.kafka.client import LIBRARY_ERRORS, MAX_RECORD_BYTES, Connection, opened
from isocenter.adapters.bus.kafka.holding import Holding, Place
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.ports import Delivery

logger = logging.getLogger(__name__)

FETCH_OPTIONS: Mapping[str, Any] = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    "fetch_max_bytes": 8 * 1024 * 1024,
    "max_partition_fetch_bytes": MAX_RECORD_BYTES,
    "max_poll_records": 500,
    "metrics_enabled": False,
}
SESSION_MS = 10_000  # of silence after which others take a member's partitions
_GROUP_OPTIONS: Mapping[str, Any] = {
    "session_timeout_ms": SESSION_MS,
    "heartbeat_interval_ms": 1_000,  # also how soon a member hears of others
    "max_poll_interval_ms": 30_000,  # of this module's thread, not of the caller
}
JOIN_SECONDS = 15.0  # longer than the session of a member that was killed
COMMIT_SECONDS = 10.0
_COMMIT_MS = 5_000
_LEAVE_MS = 3_000
_RETRY_SECONDS = 1.0
_SILENCE_SECONDS = 3.0  # without a word from the brokers; then they are asked for one
_ASK_MS = 2_000

# How long the thread waits for records, and between two looks while nobody waits for them. Short
# while records come: the library may sleep on some that arrive just before it begins to wait.
_WAIT_MS = 50
_LONG_WAIT_MS = 250
_REBALANCE_MS = 50
_LULL = 0.03
# After records have come, for so many seconds no more are asked for: a request for every event
# would cost the brokers and this process more than the events themselves.
_BREATH = 0.3
_LONG_LULL = 0.25
_ACTIVE_SECONDS = 1.0
_ROOMY = 0.5  # how full the buffer is at most when fetching begins again

# The group has gone on without this member, or is about to.
_MOVED_ON = (
    kafka_errors.CommitFailedError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
)

Bury = Callable[[Delivery, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Commit:
    """A commit that the thread is to make."""

    places: Mapping[TopicPartition, Place]
    done: asyncio.Future[None]
    deadline: float = field(default_factory=lambda: time.monotonic() + COMMIT_SECONDS)

    def resolve(self, error: IsocenterError | None) -> None:
        """Tell the caller how it ended."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.done.get_loop().call_soon_threadsafe(self._settle, error)

    def _settle(self, error: IsocenterError | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class KafkaMember:
    """A `Consumer` of a `KafkaBus`."""

    def __init__(
        self, connection: Connection, group: str, topics: Sequence[str], bury: Bury
    ) -> None:
        names = {topic: connection.topic(topic) for topic in topics}
        self._connection = connection
        self._group = connection.group(group)
        self._names = list(names.values())
        self._bury = bury
        self._holding = Holding(names)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()  # records have come, or how things stand has changed
        self._settled = asyncio.Event()  # it has joined the group, or cannot
        self._problem: IsocenterError | None = None
        # What the event loop asks of the thread:
        self._changed = threading.Condition()
        self._closing = False
        self._waiting_until = 0.0
        self._commits: deque[_Commit] = deque()
        # Of the thread alone:
        self._heard = 0.0
        self._active_until = 0.0
        self._breathe_until = 0.0
        self._joined = False
        self._topic_ids: dict[str, uuid.UUID] = {}
        self._thread = threading.Thread(target=self._run, name=f"kafka-member-{group}", daemon=True)

    async def join(self) -> None:
        """Join the group, and wait for its partitions, or for none if others have them all."""
        self._thread.start()
        try:
            with suppress(TimeoutError):  # it stands by until a lost member's session is over
                async with asyncio.timeout(JOIN_SECONDS):
                    await self._settled.wait()
            self._raise_problem()
        except BaseException:
            await self.close()
            raise

    async def poll(self, max_records: int, timeout: float) -> Sequence[Delivery]:
        """The next events of the partitions that this member owns."""
        deadline = time.monotonic() + timeout
        while True:
            self._news.clear()
            found = self._holding.take(max_records)
            left = deadline - time.monotonic()
            if found or self._closing:
                return found
            self._raise_problem()
            if left <= 0:
                return found
            self._tell_thread(waiting_until=deadline)
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                continue  # for what came at the last moment
            finally:
                self._waiting_until = 0.0

    def owns(self, delivery: Delivery) -> bool:
        """Whether the delivery's partition has been this member's ever since."""
        return self._holding.owns(delivery)

    async def commit(self) -> None:
        """Make durable that everything polled so far of owned partitions is done."""
        places = self._holding.uncommitted()
        if places:
            commit = _Commit(places, self._loop.create_future())
            self._commits.append(commit)
            self._tell_thread()
            await commit.done

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """Copy the event, with the error, to the dead-letter topic."""
        await self._bury(delivery, error)

    async def close(self) -> None:
        """Leave the group."""
        self._closing = True
        self._tell_thread()
        self._news.set()
        await asyncio.to_thread(self._thread.join)
        self._make_commits(None)

    def _raise_problem(self) -> None:
        problem = self._problem
        if problem is not None:
            raise type(problem)(problem.message, fix=problem.fix)

    def _tell_thread(self, *, waiting_until: float = 0.0) -> None:
        with self._changed:
            self._waiting_until = waiting_until
            self._changed.notify()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            try:
                self._serve()
            except Exception as error:  # noqa: BLE001 (whatever it is, the member must go on)
                self._complain(error)
            self._holding.lose()
            self._make_commits(None)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, _RETRY_SECONDS)

    def _serve(self) -> None:
        """Be a member of the group until told to close, an error that polling does not cure, or
        another topic of the same name."""
        assignor = CooperativeStickyAssignor()
        options = {**self._connection.options, **FETCH_OPTIONS, **_GROUP_OPTIONS}
        options |= {"group_id": self._group, "partition_assignment_strategy": [assignor]}
        consumer = opened(KafkaConsumer, options)
        try:
            consumer.subscribe(self._names, listener=_Moves(self._holding, assignor))
            self._look_at_topics(consumer)
            self._hear()
            while not self._closing and not self._is_made_anew(consumer):
                self._turn(consumer)
        finally:
            with suppress(*LIBRARY_ERRORS):
                consumer.close(autocommit=False, timeout_ms=_LEAVE_MS)

    def _look_at_topics(self, consumer: KafkaConsumer) -> None:
        """Wait until the topics' partitions are known: one that leads the group without knowing
        them gives nobody any."""
        with suppress(kafka_errors.KafkaTimeoutError):  # of one without a leader, not of all
            firsts = [TopicPartition(name, 0) for name in self._names]
            consumer.beginning_offsets(firsts, timeout_ms=_ASK_MS)

    def _is_made_anew(self, consumer: KafkaConsumer) -> bool:
        """Whether a topic was deleted and made again. Its offsets begin anew; the library goes on
        from those of the former one, behind the first events. The group has forgotten them."""
        topic_id = consumer._cluster.topic_id  # noqa: SLF001 (all else would ask the brokers)
        found = {name: one for name in self._names if (one := topic_id(name)) and one.int}
        anew = [name for name, one in found.items() if self._topic_ids.get(name, one) != one]
        self._topic_ids |= found
        if anew:
            logger.warning("topics were made anew", extra={"group": self._group, "topics": anew})
        return bool(anew)

    def _turn(self, consumer: KafkaConsumer) -> None:
        self._make_commits(consumer)
        fill = self._holding.fill()
        if fill >= 1:
            consumer.pause(*consumer.assignment())
        elif fill < _ROOMY and (paused := consumer.paused()):
            consumer.resume(*paused)
        records = consumer.poll(timeout_ms=self._patience())
        if records:
            self._breathe_until = time.monotonic() + _BREATH
            self._waiting_until = 0.0  # whoever waits for them has something else to do now
            self._holding.add(records)
            self._active_until = time.monotonic() + _ACTIVE_SECONDS
            self._hear()
            self._tell_loop(self._news)
        elif time.monotonic() - self._heard > _SILENCE_SECONDS:
            self._ask(consumer)
        joined = consumer.group_metadata().state == MemberState.STABLE
        if joined and not self._joined:
            self._tell_loop(self._settled)
        self._joined = joined
        self._rest()

    def _patience(self) -> int:
        """For how many milliseconds to wait for records: a commit can only be made between."""
        if left := max(0.0, self._waiting_until - time.monotonic()):
            return min(_WAIT_MS if self._is_active() else _LONG_WAIT_MS, int(left * 1000) + 1)
        return 0 if self._joined and not self._commits else _REBALANCE_MS

    def _rest(self) -> None:
        """While nobody waits for records, look for them now and then, and be there to commit."""
        with self._changed:
            if (breath := self._breathe_until - time.monotonic()) > 0 and self._joined:
                self._changed.wait_for(lambda: self._closing or bool(self._commits), breath)
                return
            if self._joined:
                lull = _LULL if self._is_active() else _LONG_LULL
                self._changed.wait_for(self._is_wanted, lull)

    def _is_active(self) -> bool:
        return time.monotonic() < self._active_until

    def _is_wanted(self) -> bool:
        return self._closing or bool(self._commits) or self._waiting_until > time.monotonic()

    def _make_commits(self, consumer: KafkaConsumer | None) -> None:
        """Make the commits that were asked for; without a consumer nothing is owned any more."""
        while self._commits:
            commit = self._commits[0]
            places = self._holding.still(commit.places)
            error: IsocenterError | None = None
            if places and consumer is not None:
                try:
                    consumer.commit(_offsets(places), timeout_ms=_COMMIT_MS)
                except _MOVED_ON:
                    if time.monotonic() < commit.deadline:
                        return  # polling takes part in the group's rebalance: again after it
                    error = Unavailable(
                        f"the group {self._group} is being divided anew", fix="try again"
                    )
                except kafka_errors.KafkaError as raised:
                    error = self._connection.translated(raised)
                else:
                    self._holding.note_committed(places)
                    self._hear()
            self._commits.popleft()
            self._active_until = time.monotonic() + _ACTIVE_SECONDS
            commit.resolve(error)

    def _ask(self, consumer: KafkaConsumer) -> None:
        """Have the brokers say something: the library itself bears their absence. The group's
        coordinator says nothing while it lets a member wait for others to join."""
        first = TopicPartition(self._names[0], 0)
        try:
            if self._joined:
                consumer.committed(first, timeout_ms=_ASK_MS)
            else:
                consumer.end_offsets([first], timeout_ms=_ASK_MS)
        except kafka_errors.RetriableError as error:
            self._complain(error)
        else:
            self._hear()

    def _hear(self) -> None:
        self._heard = time.monotonic()
        if self._problem is not None:
            self._problem = None
            logger.info("a consumer is back", extra={"group": self._group})

    def _complain(self, error: Exception) -> None:
        if self._problem is None:
            logger.warning(
                "a consumer cannot go on and tries again",
                extra={"group": self._group, "error": type(error).__name__},
            )
        self._problem = self._connection.translated(error)
        self._tell_loop(self._settled)
        self._tell_loop(self._news)

    def _tell_loop(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(event.set)


class _Moves(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hears from the library which partitions come and go."""

    def __init__(self, holding: Holding, assignor: CooperativeStickyAssignor) -> None:
        self._holding = holding
        self._assignor = assignor

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """These are the member's now."""
        self._holding.gain(assigned)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """These are to be another's."""
        self._holding.lose(revoked)

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """These have become another's, as the group went on without this member."""
        self._holding.lose(lost)
        self._assignor.member_assignment = None  # or it would claim them when it joins again


def _offsets(places: Mapping[TopicPartition, Place]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        partition: OffsetAndMetadata(offset, "", -1) for partition, (_, offset) in places.items()
    }
