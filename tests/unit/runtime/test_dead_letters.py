"""Dead letters: which are open, and that what is done with them is recorded and done once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.errors import Invalid, NotFound, Unavailable
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    TOPICS,
    AuditAction,
    InstanceDeleted,
    LetterFate,
    Source,
)
from isocenter.core.identity import InstanceName
from isocenter.core.ports import Record
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.dead_letters import DeadLetters, Letter, LetterId
from isocenter.runtime.event_codec import decode, encode
from isocenter.runtime.outbox import Outbox

OPERATOR = Source("CLI", "host", user="eva")
EVENT = InstanceDeleted(InstanceName("main", "1.2", "1.3", "1.4"), "d" * 64, "legal", OPERATOR)


class Place:
    """A log with a consumer whose letters are dead."""

    def __init__(self, partitions: int = 3) -> None:
        self.bus = MemoryBus(partitions)
        self.letters = DeadLetters(self.bus, AuditLog(Outbox(self.bus, _no_storage), "test"))

    async def bury(self, *records: Record, topic: str = TOPIC_INSTANCES) -> None:
        await self.bus.append(topic, records)
        await self.bury_all(topic)

    async def bury_all(self, topic: str = TOPIC_INSTANCES) -> None:
        consumer = await self.bus.consumer("group", [topic])
        for delivery in await consumer.poll(100, 1):
            await consumer.dead_letter(delivery, "cannot be read")
        await consumer.commit()
        await consumer.close()

    async def all(self) -> list[Letter]:
        return [letter async for letter in self.letters.letters()]

    async def open(self) -> list[Letter]:
        return [letter for letter in await self.all() if letter.resolved is None]

    async def audited(self) -> list[tuple[AuditAction, str, tuple[str, ...]]]:
        held = [decode(delivery) async for delivery in self.bus.replay(TOPIC_AUDIT)]
        return [(event.action, event.detail, event.studies) for event in held]


async def _no_storage():
    raise Unavailable("not used")


async def test_letters_of_all_topics_are_told_with_their_error() -> None:
    place = Place()
    for number, topic in enumerate(TOPICS):
        await place.bury(Record(f"1.{number}", "T", b"data"), topic=topic)
    found = await place.all()
    assert [letter.id.topic for letter in found] == list(TOPICS)
    assert {letter.error for letter in found} == {"cannot be read"}
    assert [letter.resolved for letter in found] == [None] * len(TOPICS)


async def test_a_replayed_event_comes_to_its_topic_as_it_was_and_says_how_often() -> None:
    place = Place()
    sent = encode(EVENT)
    await place.bury(sent)
    for count in (1, 2):
        (letter,) = await place.open()
        assert letter.replayed == count - 1
        await place.letters.replay(letter, OPERATOR)
        assert await place.open() == []
        *_, again = [d async for d in place.bus.replay(TOPIC_INSTANCES)]
        assert (again.key, again.type, again.data) == (sent.key, sent.type, sent.data)
        assert again.headers == {**sent.headers, "replayed": str(count)}
        await place.bury_all()
    resolved = [letter.resolved for letter in await place.all() if letter.resolved]
    assert [(event.fate, event.by) for event in resolved] == [(LetterFate.REPLAYED, OPERATOR)] * 2


async def test_a_discarded_letter_is_done_and_keeps_the_reason() -> None:
    place = Place()
    await place.bury(encode(EVENT), Record("9", "T", b""))
    wanted = next(letter for letter in await place.open() if letter.delivery.key == "1.2")
    await place.letters.discard(wanted, OPERATOR, "sent by mistake")
    assert [letter.delivery.key for letter in await place.open()] == ["9"]
    found = await place.letters.find(wanted.id)
    assert found.resolved is not None
    assert (found.resolved.fate, found.resolved.reason) == (
        LetterFate.DISCARDED,
        "sent by mistake",
    )
    assert found.resolved.at <= datetime.now(UTC)
    for act in (
        place.letters.replay(found, OPERATOR),
        place.letters.discard(found, OPERATOR, "again"),
    ):
        with pytest.raises(Invalid, match="was discarded already"):
            await act


async def test_what_is_done_with_a_letter_is_in_the_audit_trail() -> None:
    place = Place(partitions=1)
    await place.bury(encode(EVENT), encode(EVENT))
    one, two = await place.open()
    await place.letters.replay(one, OPERATOR)
    await place.letters.discard(two, OPERATOR, "not needed")
    assert await place.audited() == [
        (AuditAction.SECURITY, f"dead letter {TOPIC_INSTANCES}/0/0 replayed", ("1.2",)),
        (
            AuditAction.SECURITY,
            f"dead letter {TOPIC_INSTANCES}/0/1 discarded: not needed",
            ("1.2",),
        ),
    ]


async def test_a_letter_that_is_not_there_is_not_found() -> None:
    place = Place()
    await place.bury(encode(EVENT))
    with pytest.raises(NotFound, match=r"isocenter\.instances/0/77"):
        await place.letters.find(LetterId(TOPIC_INSTANCES, 0, 77))


@pytest.mark.parametrize(
    "text", ["", "x", "isocenter.instances/0", "isocenter.instances/0/-1", "other/0/1"]
)
def test_what_is_no_name_of_a_letter_is_invalid(text: str) -> None:
    with pytest.raises(Invalid, match="TOPIC/PARTITION/OFFSET"):
        LetterId.parse(text)
    assert LetterId.parse("isocenter.audit/3/12") == LetterId("isocenter.audit", 3, 12)
