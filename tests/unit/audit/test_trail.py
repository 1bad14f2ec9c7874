"""Chains in the making: kept, sealed, taken over, and the index filled again from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.audit.keys import KeyFolder, public_keys
from isocenter.audit.segments import Segments
from isocenter.audit.trail import Trail
from isocenter.audit.verifying import verify
from isocenter.core.audit import AuditFilter, Place
from isocenter.core.errors import Conflict, Invalid, Unavailable
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from support.audit_parts import MemoryAuditIndex

START = datetime(2026, 11, 26, 12, tzinfo=UTC)


def record(number: int, chain: str = "audit-0") -> tuple[str, AuditEvent]:
    at = START + timedelta(seconds=number)
    source = Source("DIMSE", ae_title="CT1")
    event = AuditEvent(AuditAction.QUERY, AuditOutcome.SUCCESS, source, at, f"{chain}/{number}")
    return chain, event


class Rig:
    """What a process has: to be killed it is thrown away, with the same store and index."""

    def __init__(self, blobs, index, folder) -> None:
        self.segments = Segments(blobs)
        self.index = index
        self.keys = KeyFolder(folder, makes=True)
        self.trail = Trail(segments=self.segments, keys=self.keys, index=index)

    def again(self) -> Rig:
        return Rig(self.segments.blobs, self.index, self.keys.path)

    async def places(self) -> list[Place]:
        found = await self.index.search(AuditFilter(), 10_000)
        return sorted(entry.place for entry in found)

    async def proved(self):
        (*_, result) = [report async for report in verify(self.segments)]
        return result


@pytest.fixture(params=["memory", "files"])
async def rig(request, tmp_path):
    blobs = MemoryBlobs() if request.param == "memory" else await FileBlobs.open(tmp_path / "blobs")
    yield Rig(blobs, MemoryAuditIndex(), tmp_path / "keys")
    await blobs.close()


async def test_records_are_chained_indexed_and_sealed_and_all_of_it_is_proved(rig):
    await rig.trail.keep([record(n) for n in range(5)] + [record(0, "instances-0")])
    assert rig.trail.waiting == 6
    made = await rig.trail.seal()
    assert [(one.seal.chain, one.seal.first, one.seal.last) for one in made] == [
        ("audit-0", 1, 5), ("instances-0", 1, 1),
    ]  # fmt: skip
    await rig.trail.keep([record(n) for n in range(5, 7)])
    (second,) = await rig.trail.seal()
    assert second.seal.previous_seal == made[0].digest
    assert await rig.trail.seal() == ()
    result = await rig.proved()
    assert (result.records, result.segments, result.findings) == (8, 3, ())
    assert await rig.places() == [
        *(Place("audit-0", n) for n in range(1, 8)), Place("instances-0", 1),
    ]  # fmt: skip


async def test_a_record_that_comes_twice_is_one_record_wherever_its_first_stands(rig):
    await rig.trail.keep([record(1), record(2), record(1)])
    await rig.trail.keep([record(2)])
    await rig.trail.seal()
    await rig.trail.keep([record(1), record(3)])
    next_process = rig.again()
    await next_process.trail.keep([record(3), record(2), record(4)])
    await next_process.trail.seal()
    assert await rig.places() == [Place("audit-0", n) for n in range(1, 5)]
    assert (await rig.proved()).records == 4


async def test_what_a_killed_process_left_open_gets_the_same_places_again(rig):
    await rig.trail.keep([record(n) for n in range(3)])
    await rig.trail.seal()
    await rig.trail.keep([record(n) for n in range(3, 8)])
    before = await rig.places()
    next_process = rig.again()
    await next_process.trail.keep([record(n) for n in range(3, 6)])
    await next_process.trail.keep([record(n) for n in range(5, 9)])
    await next_process.trail.seal()
    assert await rig.places() == [*before, Place("audit-0", 9)]
    assert (await rig.proved()).findings == ()


async def test_of_two_that_seal_the_same_one_has_done_it_and_the_other_is_told(rig):
    other = rig.again()
    await rig.trail.keep([record(1), record(2)])
    await other.trail.keep([record(1)])
    await rig.trail.seal()
    with pytest.raises(Conflict, match="another process"):
        await other.trail.seal()
    other.trail.forget()
    await other.trail.keep([record(1), record(2), record(3)])
    await other.trail.seal()
    result = await rig.proved()
    assert (result.records, result.findings) == (3, ())


async def test_what_the_index_refuses_is_in_the_chain_and_is_told(rig):
    rig.index.refuses = {"audit-0/2"}
    refused = await rig.trail.keep([record(1), record(2), record(3)])
    assert [refusal.event.id for refusal in refused] == ["audit-0/2"]
    await rig.trail.seal()
    assert (await rig.proved()).records == 3


async def test_an_index_that_was_thrown_away_is_filled_from_the_segments(rig):
    told: list[str] = []
    for start in (0, 10, 20):
        await rig.trail.keep([record(n) for n in range(start, start + 10)])
        await rig.trail.seal()
    before = await rig.index.search(AuditFilter(), 100)
    rig.index.throw_away()
    await rig.again().trail.refill(told.append)
    assert await rig.index.search(AuditFilter(), 100) == before
    assert told[-1] == "30 of 30 records of audit-0"
    rig.index.lose_behind("audit-0", 15)
    await rig.again().trail.refill(told.append)
    assert await rig.index.search(AuditFilter(), 100) == before
    await rig.again().trail.refill(lambda _: pytest.fail("nothing is missing"))


async def test_a_rebuild_that_was_broken_off_is_brought_to_its_end_at_the_next_start(rig):
    for start in (0, 10, 20):
        await rig.trail.keep([record(n) for n in range(start, start + 10)])
        await rig.trail.seal()
    before = await rig.index.search(AuditFilter(), 100)
    append = rig.index.append
    rig.index.append = gone  # the process ends when the first segment is out and not in again
    with pytest.raises(KeyboardInterrupt):
        _ = [one async for one in rig.again().trail.rebuild()]
    rig.index.append = append
    assert len(await rig.index.search(AuditFilter(), 100)) == 20
    told: list[str] = []
    await rig.again().trail.refill(told.append)
    assert told[0] == "it was being filled anew when that was broken off"
    assert await rig.index.search(AuditFilter(), 100) == before
    await rig.again().trail.refill(lambda _: pytest.fail("nothing is missing"))


async def gone(_: object) -> None:
    raise KeyboardInterrupt


async def test_a_damaged_segment_keeps_nobody_from_finding_the_others(rig, caplog):
    for start in (0, 10, 20):
        await rig.trail.keep([record(n) for n in range(start, start + 10)])
        await rig.trail.seal()
    second = [one async for one in rig.segments.of("audit-0")][1].seal
    await rig.segments.blobs.delete(second.lines_key)
    rig.index.throw_away()
    await rig.again().trail.refill(lambda _: None)
    numbers = [entry.place.sequence for entry in await rig.index.search(AuditFilter(), 100)]
    assert numbers == [*range(30, 20, -1), *range(10, 0, -1)]
    assert "cannot be found by searches" in caplog.text


async def test_while_the_index_or_the_keys_are_away_nothing_is_lost(rig):
    rig.index.down = True
    with pytest.raises(Unavailable):
        await rig.trail.keep([record(1)])
    rig.index.down = False
    rig.trail.forget()
    await rig.trail.keep([record(1)])
    nobody = replace(rig.keys, path=rig.keys.path / "none", makes=False)
    keyless = Trail(segments=rig.segments, keys=nobody, index=rig.index)
    await keyless.keep([record(1)])
    with pytest.raises(Unavailable, match="no key"):
        await keyless.seal()
    await rig.trail.seal()
    assert (await rig.proved()).records == 1


async def test_keys_rotate_and_each_introduces_the_next(rig):
    for n in range(3):
        await rig.trail.keep([record(n)])
        await rig.trail.seal()
        rig.keys.add()
    first, second, third = (key for key, _ in await public_keys(rig.segments.blobs))
    assert (first.introduced_by, second.introduced_by, third.introduced_by) == (
        first.id, first.id, second.id,
    )  # fmt: skip
    result = await rig.proved()
    assert (len(result.keys), result.records, result.findings) == (3, 3, ())
    assert [file.name for file in sorted(rig.keys.path.iterdir())] == [
        f"{n:06}.pem" for n in range(1, 5)
    ]
    assert all(file.stat().st_mode & 0o077 == 0 for file in rig.keys.path.iterdir())


async def test_a_key_that_is_none_is_told_with_its_file(rig):
    rig.keys.path.mkdir()
    (rig.keys.path / "000001.pem").write_text("no key")
    await rig.trail.keep([record(1)])
    with pytest.raises(Invalid, match=r"000001\.pem"):
        await rig.trail.seal()


async def test_the_end_of_a_long_chain_is_found_without_looking_at_all_of_it(rig, monkeypatch):
    for million in (0, 1, 2, 7, 8, 20):
        monkeypatch.setattr("isocenter.audit.seals._MILLION", 10)
        chain = f"chain-{million}"
        for first in range(million * 10 + 1):
            await rig.trail.keep([record(first, chain)])
            await rig.trail.seal()
        assert (await rig.segments.last(chain)).seal.last == million * 10 + 1
    assert len(await rig.segments.chains()) == 6
    assert await rig.segments.last("none") is None


async def test_the_end_is_found_again_when_it_has_grown_or_was_cut_off(rig):
    other = Segments(rig.segments.blobs)
    for number in range(6):
        await rig.trail.keep([record(number)])
        await rig.trail.seal()
        assert (await other.last("audit-0")).seal.last == number + 1
    for number in range(5, 2, -1):
        await rig.segments.blobs.delete(f"{(await other.last('audit-0')).seal.folder}seal")
        assert (await other.last("audit-0")).seal.last == number


async def test_records_of_the_version_before_get_a_chain_of_their_own_once(rig):
    rig.index.before = [record(n, "old")[1] for n in range(20)]
    told: list[str] = []
    await rig.trail.adopt(START + timedelta(hours=1), told.append)
    assert told[-1] == "20 records of the version before"
    assert await rig.places() == [Place("earlier-0", n) for n in range(1, 21)]
    rig.index.before.append(record(20, "old")[1])  # that version still ran beside this one
    await rig.again().trail.adopt(START + timedelta(days=2), told.append)
    assert (await rig.places())[-1] == Place("earlier-0", 21)
    rig.index.before.append(record(21, "old")[1])
    await rig.again().trail.adopt(START + timedelta(days=2), told.append)
    assert len(await rig.places()) == 21, "it is done"
    assert (await rig.proved()).records == 21
