"""Deletion as indexing carries it out: whatever is delivered again, and whoever comes late."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.core.access import SYSTEM
from isocenter.core.deletions import DeletedObject, deleted_prefix, deletion_id, record_key
from isocenter.core.errors import OutOfResources, Unavailable
from isocenter.core.events import (
    DEAD_SUFFIX,
    TOPIC_INSTANCES,
    TOPIC_STUDIES,
    ConflictPolicy,
    Event,
    InstanceDeleted,
    InstanceStored,
    StudyChanged,
)
from isocenter.core.identity import ObjectName
from isocenter.core.matching import Level, Search
from isocenter.indexing.applying import Applier
from support.archive import SOURCE, Archive, announcement, values
from support.datasets import ct_image, tiny

STUDIES = Search(Level.STUDY, include_all=True)
INSTANCES = Search(Level.INSTANCE, include_all=True)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEEP = timedelta(days=7)


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


def deleted(event: InstanceStored, at: datetime, number: int = 0) -> InstanceDeleted:
    identifier = deletion_id(at, at + KEEP, number)
    return InstanceDeleted(event.name, event.digest, "wrong patient", SOURCE, identifier)


def key_of(event: InstanceDeleted) -> str:
    return DeletedObject(event.deletion, ObjectName(event.name, event.digest)).key


async def order(archive: Archive, *events: InstanceDeleted) -> None:
    """What a deletion puts into the object store before it is told."""
    for event in events:
        await archive.blobs.put(
            record_key("main", event.deletion), [b"{}"], "44136fa355b3678a1146ad16f7e8649e94fb4fc21"
            "fe77e8310c060f61caaff8a",
        )  # fmt: skip


async def there(archive: Archive, event: InstanceStored) -> tuple[bool, bool, bool]:
    """Whether an object is found, retrieved, and among the deleted ones."""
    found = await archive.index.versions([event.name])
    kept = [one.digest async for one in archive.storage.instances(SYSTEM, *_level(event))]
    waits = await archive.keys(deleted_prefix(event.name.partition, event.name.study))
    return (
        any(version.digest == event.digest for version in found.get(event.name, ())),
        event.digest in kept,
        any(key.endswith(f"{event.digest}.dcm") for key in waits),
    )


def _level(event: InstanceStored) -> tuple[str, str, str, str]:
    name = event.name
    return name.partition, name.study, name.series, name.instance


HERE, GONE = (True, True, False), (False, False, True)


async def test_a_deleted_object_is_neither_found_nor_retrieved_and_is_kept(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4", PatientID="GONE"))
    two = await archive.store(tiny("1.2", "1.3", "1.5", PatientID="GONE"))
    event = deleted(one, minutes(1))
    await order(archive, event)
    await archive.announce(event)
    await archive.index_all()
    assert await there(archive, one) == GONE
    assert await there(archive, two) == HERE
    assert values(await archive.answers(STUDIES), "00201208") == [1]
    told = await archive.events(TOPIC_STUDIES, StudyChanged)
    assert told[-1] == StudyChanged("main", "1.2", 1, 1)


async def test_a_study_of_which_all_is_deleted_is_not_found(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    event = deleted(one, minutes(1))
    await order(archive, event)
    await archive.announce(event)
    await archive.index_all()
    assert await archive.answers(STUDIES) == []
    assert (await archive.events(TOPIC_STUDIES, StudyChanged))[-1].instance_count == 0


async def test_what_is_delivered_again_changes_nothing(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    event = deleted(one, minutes(1))
    await order(archive, event)
    await archive.announce(event, one, event, event)
    await archive.index_all()
    assert await there(archive, one) == GONE


async def test_an_object_stored_again_after_its_deletion_is_there_again(archive) -> None:
    """Also if the store found the object in its place, before it was hidden."""
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    gone = deleted(one, minutes(1))
    again = replace(one, received_at=minutes(2))
    await order(archive, gone)
    await archive.announce(gone, again)
    await archive.index_all()
    assert await there(archive, one) == HERE
    await archive.announce(gone, one, again)  # delivered again
    await archive.index_all()
    assert await there(archive, one) == HERE


async def test_an_object_that_was_written_anew_stays_and_is_deleted_again(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    first, second = deleted(one, minutes(1)), deleted(one, minutes(3))
    await order(archive, first, second)
    await archive.announce(first)
    await archive.index_all()
    await archive.store(tiny("1.2", "1.3", "1.4"))
    await archive.announce(replace(one, received_at=minutes(2)))
    await archive.index_all()
    assert (await there(archive, one))[:2] == HERE[:2]
    await archive.announce(second)
    await archive.index_all()
    assert await there(archive, one) == GONE
    await archive.announce(replace(one, received_at=minutes(4)))
    await archive.index_all()
    assert (await there(archive, one))[:2] == HERE[:2]


async def test_a_large_header_of_a_deleted_object_is_no_dead_letter(archive) -> None:
    one = await archive.store(ct_image(16, 16, study="1.2", series="1.3"), inline=False)
    event = deleted(one, minutes(1))
    await order(archive, event)
    await archive.announce(event, one)
    await archive.index_all()
    assert await there(archive, one) == GONE
    assert [d async for d in archive.bus.replay(TOPIC_INSTANCES + DEAD_SUFFIX)] == []


async def test_a_member_that_comes_late_does_not_hide_what_was_stored_since(archive) -> None:
    """It looked for the mark before the partition's new owner made it."""
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    gone, again = deleted(one, minutes(1)), replace(one, received_at=minutes(2))
    await order(archive, gone)
    await archive.announce(gone)
    await archive.index_all()
    owner = Applier(index=archive.index, storage=archive.storage, announce=_nobody)

    class Late:
        def __getattr__(self, name: str):
            return getattr(archive.storage, name)

        async def move(self, key: str, target: str) -> None:
            if target == key_of(gone):
                await owner.apply([again])
            await archive.storage.move(key, target)

    await Applier(index=archive.index, storage=Late(), announce=_nobody).apply([gone])
    assert (await there(archive, one))[1]


async def test_what_a_replay_applies_follows_what_is_kept(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    two = await archive.store(tiny("1.2", "1.3", "1.5"))
    three = await archive.store(tiny("1.2", "1.3", "1.6"))
    gone, back = deleted(one, minutes(1)), deleted(two, minutes(1), 1)
    await order(archive, gone, back)
    await archive.announce(gone, back, replace(two, received_at=minutes(2)))
    await archive.index_all()
    onlooker = Applier(index=archive.index, storage=archive.storage)
    before = [await archive.keys(prefix) for prefix in ("objects/", "deleted/")]
    for events in ([one, two, three], [gone, back], [one, gone], [back, two]):
        await onlooker.apply(events)
        assert [await there(archive, e) for e in (one, two, three)] == [GONE, HERE, HERE]
    assert [await archive.keys(prefix) for prefix in ("objects/", "deleted/")] == before


async def test_a_rebuild_finds_what_is_not_deleted(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    two = await archive.store(tiny("1.2", "1.3", "1.5"))
    gone = deleted(one, minutes(1))
    await order(archive, gone)
    await archive.announce(gone)
    await archive.index_all()
    steps = [step async for step in archive.service().rebuild()]
    assert (steps[-1].instances, steps[-1].problems) == (1, {})
    assert [await there(archive, e) for e in (one, two)] == [GONE, HERE]


async def test_versions_that_are_deleted_and_restored_answer_as_decided(archive) -> None:
    first = await archive.store(
        tiny("1.2", "1.3", "1.4", PatientID="A"), ConflictPolicy.KEEP_LATEST
    )
    latest = await archive.store(
        tiny("1.2", "1.3", "1.4", PatientID="B"), ConflictPolicy.KEEP_LATEST
    )
    await archive.index_all()
    gone = [deleted(first, minutes(1)), deleted(latest, minutes(1))]
    await order(archive, *gone)
    await archive.announce(*gone)
    await archive.index_all()
    assert await archive.answers(INSTANCES) == []
    await archive.announce(*(replace(e, received_at=minutes(2)) for e in (first, latest)))
    await archive.index_all()
    assert values(await archive.answers(INSTANCES), "00100020") == ["B"]
    found = [stored.digest async for stored in archive.storage.instances(SYSTEM, "main", "1.2")]
    assert found == [latest.digest]


async def test_a_full_store_holds_up_nothing_and_is_told(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    gone = deleted(one, minutes(1))
    await order(archive, gone)
    await archive.index_all()
    storage = archive.storage

    class Full:
        def __getattr__(self, name: str):
            return getattr(storage, name)

        async def move(self, *_: str) -> None:
            raise OutOfResources("full")

    archive.storage = Full()
    await archive.announce(gone)
    await archive.index_all()
    letters = [d async for d in archive.bus.replay(TOPIC_INSTANCES + DEAD_SUFFIX)]
    assert [letter.headers["error"] for letter in letters] == ["full"]


async def test_while_the_store_is_away_a_deletion_waits(archive) -> None:
    one = await archive.store(tiny("1.2", "1.3", "1.4"))
    gone = deleted(one, minutes(1))
    await order(archive, gone)
    storage, failures = archive.storage, [Unavailable("away")] * 3

    class Away:
        def __getattr__(self, name: str):
            return getattr(storage, name)

        async def move(self, key: str, target: str) -> None:
            if failures:
                raise failures.pop()
            await storage.move(key, target)

    archive.storage = Away()
    await archive.announce(gone)
    await archive.index_all()
    archive.storage = storage
    assert await there(archive, one) == GONE


async def _nobody(_: Event) -> None:
    """Announces nothing."""


@pytest.mark.parametrize("seed", range(60))
async def test_the_log_decides_however_often_it_is_delivered(archive, seed) -> None:
    """Stores and deletions of three objects, applied by a consumer that ends anywhere and begins
    again at its last commit, while more of them happen."""
    chance = random.Random(seed)
    made = [announcement(tiny("1.2", "1.3", f"1.4.{n}"), ConflictPolicy.KEEP_FIRST) for n in "123"]
    log: list[Event] = []
    last: dict[str, Event] = {}
    applied = committed = 0
    applier = Applier(index=archive.index, storage=archive.storage, announce=_nobody)
    for step in range(40):
        event, part10 = chance.choice(made)
        match chance.choice(("store", "delete", "apply", "apply", "end")):
            case "store":
                await archive.blobs.put(event.key, [part10], event.digest)
                log.append(replace(event, received_at=minutes(step)))
                last[event.digest] = log[-1]
            case "delete" if event.key in await archive.keys("objects/"):
                gone = deleted(event, minutes(step), step)
                await order(archive, gone)
                log.append(gone)
                last[event.digest] = gone
            case "apply":
                until = chance.randint(applied, len(log))
                await applier.apply(log[applied:until])
                applied = until
                committed = chance.choice((committed, applied))
            case "end":
                applied = committed
    await applier.apply(log[committed:])
    for event, _ in made:
        if event.digest in last:
            stored = isinstance(last[event.digest], InstanceStored)
            expected = HERE[:2] if stored else GONE[:2]
            assert (await there(archive, event))[:2] == expected
            if not stored:
                assert (await there(archive, event))[2], "it is kept for as long as it may be"
