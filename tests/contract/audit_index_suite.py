"""What every `AuditIndex` promises. An adapter subclasses `AuditIndexSuite`, sets `__test__` and
overrides the fixture `index`."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from contract.audit_index_filters_suite import AuditFiltersSuite
from isocenter.core.audit import AuditFilter, AuditIndex, By, Entry, Place, Tally
from isocenter.core.errors import NotFound
from isocenter.core.events import AuditAction, AuditOutcome, Source
from support.audit_index_oracle import OracleAuditIndex, matches
from support.audit_index_samples import (
    CHAIN,
    EVERYTHING,
    HOSTILE,
    START,
    Samples,
    entry,
    ids,
    numbered,
    record,
)


async def pages(index: AuditIndex, which: AuditFilter, size: int) -> list[Entry]:
    """All there is, a page at a time; every page but the last is full."""
    found: list[Entry] = []
    before = ""
    while page := await index.search(which, size, before):
        found += page
        before = page[-1].event.id
        if len(page) < size:
            assert not await index.search(which, size, before)
            break
    return found


class AuditIndexSuite(AuditFiltersSuite):
    __test__ = False

    @pytest.fixture
    async def index(self) -> AsyncIterator[AuditIndex]:
        raise NotImplementedError
        return

    # --- records ---------------------------------------------------------------------------------

    async def test_a_record_comes_back_as_it_was_in_its_place(self, index: AuditIndex) -> None:
        event = record(
            1,
            action=AuditAction.EXPORT,
            outcome=AuditOutcome.MINOR_FAILURE,
            at=datetime(2026, 1, 1, 14, 0, 0, 123456, tzinfo=UTC),
            partition="main",
            patient_ids=("P1", "P2", "P1"),
            studies=("1.2",),
            series=("1.3",),
            instances=("1.4",),
            instance_count=3,
            detail="C-MOVE",
            destination="STORE",
            error="none",
            query="PatientID=P1",
            digests=("a" * 64,),
            process="gateway-1",
            site="north",
            trace="b" * 32,
            source=Source(
                "DICOMweb", "::1", "AE", "CALLED", "dr.who", "CN=x", known=False, purpose="TREAT"
            ),
        )
        held = Entry(event, Place("audit-3", 2**40))
        await index.append([held])
        assert list(await index.search(EVERYTHING, 10)) == [held]
        assert await index.get("r0001") == held
        assert await index.count(AuditFilter(patient_id="P1")) == 1

    async def test_hostile_texts_come_back_and_are_found(self, index: AuditIndex) -> None:
        held = numbered([
            record(
                n,
                id=f"{text}{n}",
                patient_ids=(text,),
                studies=(text,),
                instances=(text,),
                detail=text,
                site=text,
                source=Source("DIMSE", user=text, tls_subject=text),
            )
            for n, text in enumerate(HOSTILE)
        ])  # fmt: skip
        await index.append(held)
        assert list(await index.search(EVERYTHING, 100)) == held[::-1]
        for one, text in zip(held, HOSTILE, strict=True):
            assert await index.get(one.event.id) == one
            for which in (
                AuditFilter(patient_id=text), AuditFilter(study=text), AuditFilter(instance=text),
                AuditFilter(place=text), AuditFilter(who=text),
            ):  # fmt: skip
                assert list(await index.search(which, 100)) == [one], which
            expected = [e for e in held[::-1] if matches(e.event, AuditFilter(text=text))]
            assert list(await index.search(AuditFilter(text=text), 100)) == expected, text

    async def test_ids_may_be_any_text(self, index: AuditIndex) -> None:
        names = ["", " ", "é" * 2000, "é" * 2001, "/", "..", "_id", "a b", "A B"]
        held = numbered([record(n, id=name) for n, name in enumerate(names)])
        await index.append(held)
        assert await index.count(EVERYTHING) == len(names)
        assert await index.places(names) == {e.event.id: e.place for e in held}
        for one in held:
            assert await index.get(one.event.id) == one

    async def test_a_record_that_is_not_held_is_not_found(self, index: AuditIndex) -> None:
        await index.append([entry(1)])
        for unknown in ("r0002", "", "r", "R0001", "*"):
            with pytest.raises(NotFound):
                await index.get(unknown)

    async def test_nothing_appended_is_nothing_changed(self, index: AuditIndex) -> None:
        await index.append([])
        assert await index.count(EVERYTHING) == 0
        assert list(await index.search(EVERYTHING, 10)) == []
        assert list(await index.tally(EVERYTHING, [By.ACTION])) == []
        assert list(await index.tally(EVERYTHING, [])) == []
        assert await index.reach() == {}
        assert await index.places([]) == {}

    # --- places ----------------------------------------------------------------------------------

    async def test_a_record_appended_again_moves_and_nothing_else_of_it_changes(
        self, index: AuditIndex
    ) -> None:
        await index.append([entry(1), entry(2)])
        again = record(1, detail="again", action=AuditAction.DELETE, at=START + timedelta(days=1))
        await index.append([Entry(again, Place("audit-9", 77)), entry(3)])
        assert list(await index.search(EVERYTHING, 10)) == [
            entry(3), entry(2), Entry(record(1), Place("audit-9", 77)),
        ]  # fmt: skip
        assert await index.count(EVERYTHING) == 3
        assert await index.count(AuditFilter(text="again")) == 0
        assert list(await index.tally(EVERYTHING, [By.ACTION])) == [Tally(("query",), 3)]
        assert await index.places(["r0001"]) == {"r0001": Place("audit-9", 77)}

    async def test_of_records_appended_together_twice_the_last_place_holds(
        self, index: AuditIndex
    ) -> None:
        changed = Entry(record(1, detail="again"), Place(CHAIN, 3))
        await index.append([entry(1), entry(2), changed])
        assert await index.get("r0001") == Entry(record(1), Place(CHAIN, 3))
        assert await index.count(EVERYTHING) == 2
        assert list(await index.tally(EVERYTHING, [])) == [Tally((), 2)]

    async def test_places_are_those_of_what_was_appended_before(self, index: AuditIndex) -> None:
        held = [entry(n, chain=f"audit-{n % 3}") for n in range(1, 1201)]
        await index.append(held)
        asked = [f"r{n:04}" for n in range(3000)]
        assert await index.places(asked) == {e.event.id: e.place for e in held}
        await index.append([Entry(record(5), Place("audit-7", 1))])
        assert await index.places(["r0005", "none"]) == {"r0005": Place("audit-7", 1)}

    async def test_reach_is_the_highest_number_held_of_each_chain(self, index: AuditIndex) -> None:
        await index.append([
            Entry(record(1), Place("b", 9)), Entry(record(2), Place("b", 10)),
            Entry(record(3), Place("a", 2**40)), Entry(record(4), Place("b", 8)),
        ])  # fmt: skip
        assert await index.reach() == {"a": 2**40, "b": 10}
        await index.append([Entry(record(2), Place("c", 1))])
        assert await index.reach() == {"a": 2**40, "b": 9, "c": 1}
        await index.expire("c", 1)
        assert await index.reach() == {"a": 2**40, "b": 9}

    # --- order -----------------------------------------------------------------------------------

    async def test_pages_are_newest_first_disjoint_and_complete(self, index: AuditIndex) -> None:
        await index.append([entry(n, at=START + timedelta(seconds=n // 3)) for n in range(1, 21)])
        found = await pages(index, EVERYTHING, 7)
        assert found == list(await index.search(EVERYTHING, 100))
        assert len({one.event.id for one in found}) == 20
        times = [one.event.at for one in found]
        assert times == sorted(times, reverse=True)

    async def test_a_page_is_the_same_whatever_is_new(self, index: AuditIndex) -> None:
        await index.append([entry(n, at=START) for n in range(1, 11)])
        first = await index.search(EVERYTHING, 5)
        second = await index.search(EVERYTHING, 5, first[-1].event.id)
        await index.append([entry(n, at=START + timedelta(seconds=1)) for n in range(11, 21)])
        assert await index.search(EVERYTHING, 5, first[-1].event.id) == second

    async def test_behind_a_record_that_is_not_known_is_everything(self, index) -> None:
        await index.append([entry(n) for n in range(1, 4)])
        assert await index.search(EVERYTHING, 2, "unknown") == await index.search(EVERYTHING, 2)

    async def test_a_page_goes_on_behind_a_record_that_the_filter_does_not_match(
        self, index
    ) -> None:
        await index.append([entry(n, studies=(f"1.{n % 2}",)) for n in range(1, 7)])
        found = await index.search(AuditFilter(study="1.1"), 10, "r0004")
        assert [one.event.id for one in found] == ["r0003", "r0001"]

    async def test_times_count_and_not_when_a_record_came(self, index: AuditIndex) -> None:
        """Clocks go backwards, are wrong by centuries, and differ by a microsecond."""
        times = [
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999998, tzinfo=UTC),
            START + timedelta(hours=1),
            START + timedelta(microseconds=2),
            START + timedelta(microseconds=1),
            START,
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(1900, 1, 1, tzinfo=UTC),
            datetime(1, 1, 1, tzinfo=UTC),
        ]
        newest_first = [record(n, at=at) for n, at in enumerate(times)]
        shuffled = newest_first[1::2] + newest_first[::2]
        for number, event in enumerate(shuffled, 1):
            await index.append([Entry(event, Place(CHAIN, number))])
        assert [one.event for one in await index.search(EVERYTHING, 100)] == newest_first
        assert [one.event for one in await pages(index, EVERYTHING, 3)] == newest_first
        for number, at in enumerate(times):
            newer = await ids(index, AuditFilter(since=at))
            older = await ids(index, AuditFilter(until=at))
            assert (len(newer), len(older)) == (number + 1, len(times) - number - 1)
            assert await index.count(AuditFilter(since=at)) == number + 1
            assert await index.count(AuditFilter(until=at)) == len(older)
            assert await index.count(AuditFilter(since=at, until=at)) == 0

    async def test_thousands_of_records_of_one_moment_are_in_one_order(
        self, index: AuditIndex
    ) -> None:
        held = [entry(n, at=START + timedelta(microseconds=n % 2)) for n in range(1, 2501)]
        await index.append(held[::-1])
        found = list(await index.search(EVERYTHING, 3000))
        assert sorted(found, key=lambda one: one.place) == held
        assert [one.event.at for one in found] == [START + timedelta(microseconds=1)] * 1250 + [
            START
        ] * 1250
        assert await pages(index, EVERYTHING, 999) == found
        assert await index.count(AuditFilter(until=START + timedelta(microseconds=1))) == 1250
        assert await index.count(AuditFilter(who="SCANNER", since=START)) == 2500

    # --- expiring --------------------------------------------------------------------------------

    async def test_what_has_expired_is_found_no_more(self, index: AuditIndex) -> None:
        held = [entry(n, patient_ids=("P1",), detail="old") for n in range(1, 1301)]
        others = numbered([record(n + 5000, patient_ids=("P1",)) for n in range(3)], "audit-1")
        await index.append([*held, *others])
        assert await index.expire(CHAIN, 1200) == 1200
        assert await index.expire(CHAIN, 1200) == 0
        assert await index.expire("unknown", 10**12) == 0
        assert await index.count(EVERYTHING) == 103
        assert await index.count(AuditFilter(patient_id="P1")) == 103
        assert await index.count(AuditFilter(text="old")) == 100
        assert await index.count(AuditFilter(who="SCANNER")) == 103
        assert list(await index.tally(EVERYTHING, [By.ACTION])) == [Tally(("query",), 103)]
        assert await index.places(["r0001", "r1201"]) == {"r1201": Place(CHAIN, 1201)}
        assert await index.reach() == {CHAIN: 1300, "audit-1": 3}
        with pytest.raises(NotFound):
            await index.get("r1200")
        assert (await ids(index, limit=2000))[-1] == "r1201"
        assert await index.expire(CHAIN, 10**12) == 100
        assert await index.reach() == {"audit-1": 3}
        await index.append(held[:2])
        assert await index.count(AuditFilter(text="old")) == 2

    async def test_records_in_the_middle_expire(self, index: AuditIndex) -> None:
        await index.append([entry(n) for n in range(1, 11)])
        assert await index.expire(CHAIN, 6, since=4) == 3
        assert await ids(index) == [f"r{n:04}" for n in (10, 9, 8, 7, 3, 2, 1)]
        assert await index.expire(CHAIN, 3, since=4) == 0
        assert await index.reach() == {CHAIN: 10}

    async def test_what_takes_the_place_of_what_has_expired_is_another_record(
        self, index: AuditIndex
    ) -> None:
        for number in range(1, 5):
            patient = f"P{number}"
            await index.append(
                [Entry(record(0, id=patient, patient_ids=(patient,)), Place("a", 1))]
            )
            for other in range(1, 5):
                held = await index.count(AuditFilter(patient_id=f"P{other}"))
                assert held == (other == number)
            assert await index.expire("a", 1) == 1

    async def test_a_record_expires_in_the_chain_that_it_moved_to(self, index: AuditIndex) -> None:
        await index.append([entry(1), entry(2)])
        await index.append([Entry(record(1), Place("audit-1", 5))])
        assert await index.expire(CHAIN, 10) == 1
        assert await ids(index) == ["r0001"]
        assert await index.expire("audit-1", 4) == 0
        assert await index.expire("audit-1", 5) == 1
        assert await index.count(EVERYTHING) == 0

    # --- everything together ---------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(4))
    async def test_answers_are_those_of_an_index_in_memory(
        self, index: AuditIndex, seed: int
    ) -> None:
        samples, oracle = Samples(seed), OracleAuditIndex()
        for _ in range(4):
            for size in (1, samples.number(40), samples.number(40)):
                entries = samples.entries(size)
                await index.append(entries)
                await oracle.append(entries)
            chain = samples.chain()
            through = samples.through(chain) // 3
            span = through, max(1, samples.number(40))
            assert await index.expire(chain, *span) == await oracle.expire(chain, *span)
            assert await index.reach() == await oracle.reach()
            asked = [*oracle.held, "unknown"]
            assert await index.places(asked) == await oracle.places(asked)
            for which in (EVERYTHING, *samples.filters(30)):
                await _agrees(index, oracle, which, samples)


async def _agrees(
    index: AuditIndex, oracle: OracleAuditIndex, which: AuditFilter, samples: Samples
) -> None:
    expected = await oracle.search(which, 10_000)
    found = list(await index.search(which, 10_000))
    times = [one.event.at for one in found]
    assert times == sorted(times, reverse=True), which
    assert Counter(found) == Counter(expected), which
    assert await pages(index, which, samples.number(20)) == found, which
    assert await index.count(which) == len(found), which
    by = samples.by()
    assert list(await index.tally(which, by)) == list(await oracle.tally(which, by)), (which, by)
