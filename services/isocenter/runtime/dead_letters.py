"""Dead letters: events that could not be processed, on the `.dead` topic beside their own.

A log forgets nothing on demand, so what is done with a letter is itself an event: a
`DeadLetterResolved` behind it in the same topic. A letter without one is open. Letters are
kept as long as other events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from isocenter.core.errors import Invalid, IsocenterError, NotFound
from isocenter.core.events import (
    DEAD_SUFFIX,
    TOPICS,
    AuditAction,
    DeadLetterResolved,
    LetterFate,
    Source,
)
from isocenter.core.identity import is_uid
from isocenter.core.ports import Delivery, EventBus, Record
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import decode, encode, type_of
from isocenter.runtime.streams import generator

ERROR = "error"  # header of a letter: why it could not be processed
REPLAYED = "replayed"  # header of an event: how often it came back from the dead letters

_RESOLVED = type_of(DeadLetterResolved)


@dataclass(frozen=True, slots=True)
class LetterId:
    """`TOPIC/PARTITION/OFFSET`: the event's own topic, and where the letter is beside it."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> LetterId:
        """Raises `Invalid`."""
        match text.split("/"):
            case [topic, partition, offset] if partition.isdecimal() and offset.isdecimal():
                if topic in TOPICS:
                    return cls(topic, int(partition), int(offset))
        raise Invalid(
            f"{text!r} names no dead letter", fix="use TOPIC/PARTITION/OFFSET as `dead list` does"
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and what was done with it."""

    id: LetterId
    delivery: Delivery
    resolved: DeadLetterResolved | None

    @property
    def error(self) -> str:
        """Why it could not be processed."""
        return self.delivery.headers.get(ERROR, "")

    @property
    def replayed(self) -> int:
        """How often it was replayed before it came here."""
        count = self.delivery.headers.get(REPLAYED, "")
        return int(count) if count.isdecimal() else 0


class DeadLetters:
    """Reads letters and does something with them."""

    def __init__(self, bus: EventBus, audit_log: AuditLog) -> None:
        self._bus = bus
        self._audit_log = audit_log

    async def letters(self, topics: Sequence[str] = TOPICS) -> AsyncGenerator[Letter, None]:
        """All letters of these topics, the oldest of each topic first."""
        for topic in topics:
            resolved = await self._resolved(topic)
            async with aclosing(generator(self._bus.replay(topic + DEAD_SUFFIX))) as held:
                async for delivery in held:
                    if delivery.type != _RESOLVED:
                        place = delivery.partition, delivery.offset
                        yield Letter(LetterId(topic, *place), delivery, resolved.get(place))

    async def find(self, name: LetterId) -> Letter:
        """One letter. Raises `NotFound`."""
        async with aclosing(self.letters([name.topic])) as letters:
            async for letter in letters:
                if letter.id == name:
                    return letter
        raise NotFound(
            f"there is no dead letter {name}", fix="`isocenter dead list --all` names all there are"
        )

    async def replay(self, letter: Letter, by: Source) -> None:
        """Append its event to its own topic again, and mark the letter as done."""
        self._check_open(letter)
        await self._record(letter, LetterFate.REPLAYED, by)
        kept = letter.delivery
        headers = {name: text for name, text in kept.headers.items() if name != ERROR}
        headers[REPLAYED] = str(letter.replayed + 1)
        again = Record(kept.key, kept.type, kept.data, headers)
        await self._bus.append(letter.id.topic, [again])
        await self._resolve(letter, LetterFate.REPLAYED, by)

    async def discard(self, letter: Letter, by: Source, reason: str) -> None:
        """Mark a letter as done without its event."""
        self._check_open(letter)
        await self._record(letter, LetterFate.DISCARDED, by, reason)
        await self._resolve(letter, LetterFate.DISCARDED, by, reason)

    async def _resolved(self, topic: str) -> dict[tuple[int, int], DeadLetterResolved]:
        """What was done with the letters of a topic, by partition and offset."""
        found: dict[tuple[int, int], DeadLetterResolved] = {}
        async with aclosing(generator(self._bus.replay(topic + DEAD_SUFFIX))) as held:
            async for delivery in held:
                if delivery.type == _RESOLVED:
                    try:
                        event = decode(delivery)
                    except IsocenterError:
                        continue  # of a newer version: the letter counts as open
                    assert isinstance(event, DeadLetterResolved)
                    found[event.partition, event.offset] = event
        return found

    def _check_open(self, letter: Letter) -> None:
        if letter.resolved is not None:
            raise Invalid(
                f"the dead letter {letter.id} was {letter.resolved.fate.value} already",
                fix="`isocenter dead list` names those that are open",
            )

    async def _record(self, letter: Letter, fate: LetterFate, by: Source, reason: str = "") -> None:
        key = letter.delivery.key
        await self._audit_log.record(
            AuditAction.SECURITY,
            by,
            studies=(key,) if key and is_uid(key) else (),
            detail=f"dead letter {letter.id} {fate.value}" + (f": {reason}" if reason else ""),
        )

    async def _resolve(
        self, letter: Letter, fate: LetterFate, by: Source, reason: str = ""
    ) -> None:
        event = DeadLetterResolved(
            letter.id.partition, letter.id.offset, fate, by, datetime.now(UTC), reason
        )
        await self._bus.append(letter.id.topic + DEAD_SUFFIX, [encode(event)])
