"""What every `StudyIndex` promises. An adapter subclasses `StudyIndexSuite`, sets `__test__` and
overrides the fixture `index`."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.attributes import SITES
from isocenter.core.errors import Invalid
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import Key, Level, Order, Search
from isocenter.core.ports import IndexEntry, StudyCount, StudyIndex
from isocenter.core.scope import has, without
from support.index_oracle import Oracle, entry
from support.index_samples import NAMES, SMALL, answers, entries, key, searches, studies


class StudyIndexSuite:
    __test__ = False

    @pytest.fixture
    async def index(self) -> AsyncIterator[StudyIndex]:
        raise NotImplementedError
        return

    async def test_an_empty_index_answers_nothing(self, index: StudyIndex) -> None:
        assert await answers(index, studies()) == []
        assert await index.count(studies()) == 0

    async def test_upsert_is_visible_on_return_and_tells_the_new_counts(self, index) -> None:
        one = entry("1.2", "1.2.3", "1.2.3.1", t00100020="P")
        two = entry("1.2", "1.2.4", "1.2.4.1", t00100020="P")
        assert list(await index.upsert([one])) == [StudyCount("main", "1.2", 1, 1)]
        assert list(await index.upsert([one, two])) == [StudyCount("main", "1.2", 2, 2)]
        (found,) = await answers(index, studies(key("00100020", "P")))
        assert found["00201206"]["Value"] == [2]
        assert found["00201208"]["Value"] == [2]

    async def test_the_same_sop_instance_uid_in_two_series_and_studies_is_kept_apart(
        self, index
    ) -> None:
        names = [("1.2", "1.2.1"), ("1.2", "1.2.2"), ("1.3", "1.2.1")]
        await index.upsert([entry(*name, "9.9", t00100020=name[0]) for name in names])
        found = await answers(index, Search(Level.INSTANCE, (key("00080018", "9.9"),)))
        assert [(f["0020000D"]["Value"][0], f["0020000E"]["Value"][0]) for f in found] == names
        assert len(await index.versions([InstanceName("main", *names[1], "9.9")])) == 1

    async def test_versions_are_one_instance_and_the_current_one_answers(self, index) -> None:
        first = entry("1.2", "1.2.1", "1", digest="b" * 64, t00200013=1)
        second = entry("1.2", "1.2.1", "1", digest="a" * 64, t00200013=2, current=False)
        await index.upsert([first])
        assert [c.instances for c in await index.upsert([second])] == [1]
        (found,) = await answers(index, Search(Level.INSTANCE))
        assert found["00200013"]["Value"] == [1]
        held = (await index.versions([first.name]))[first.name]
        assert {(v.digest, v.current, v.key) for v in held} == {
            (first.digest, True, first.key),
            (second.digest, False, second.key),
        }

    async def test_totals_follow_what_comes_what_answers_and_what_goes(self, index) -> None:
        async def held() -> tuple[int, int, int]:
            totals = await index.totals()
            return totals.studies, totals.instances, totals.bytes

        def bytes_of(*some: IndexEntry) -> int:
            return sum(one.size for one in some)

        assert await held() == (0, 0, 0)
        first = entry("1.2", "1.2.1", "1", digest="a" * 64)
        other = entry("1.2", "1.2.1", "1", digest="b" * 64, current=False)
        second = entry("1.2", "1.2.2", "2", partition="other")
        hidden = entry("1.4", "1.4.1", "1", current=False)
        some = [first, other, second, hidden]
        await index.upsert([first, other])
        await index.upsert([second, hidden])
        assert await held() == (2, 2, bytes_of(*some))
        await index.upsert([replace(first, size=4321), hidden])
        assert await held() == (2, 2, bytes_of(replace(first, size=4321), *some[1:]))
        await index.remove([ObjectName(first.name, first.digest)])
        assert await held() == (1, 1, bytes_of(*some[1:]))
        await index.remove([ObjectName(one.name, one.digest) for one in some])
        assert await held() == (0, 0, 0)

    async def test_totals_of_a_rebuilt_index_are_those_of_what_it_was_filled_with(
        self, index
    ) -> None:
        await index.upsert([entry("1.2", "1.2.1", str(n)) for n in range(3)])
        scratch = await index.scratch()
        await scratch.upsert([entry("1.3", "1.3.1", "1")])
        await scratch.promote()
        await scratch.close()
        totals = await index.totals()
        assert (totals.studies, totals.instances) == (1, 1)

    async def test_switching_the_current_version_changes_every_level(self, index) -> None:
        def version(digest: str, patient: str, current: bool) -> IndexEntry:
            return entry("1.2", "1.2.1", "1", digest=digest * 64, current=current,
                         t00100020=patient, t00080060="CT" if patient == "A" else "MR")  # fmt: skip

        await index.upsert([version("a", "A", True), version("b", "B", False)])
        await index.upsert([version("a", "A", False), version("b", "B", True)])
        assert await answers(index, studies(key("00100020", "A"))) == []
        (found,) = await answers(index, studies(key("00100020", "B")))
        assert found["00080061"]["Value"] == ["MR"]
        assert len(await answers(index, Search(Level.PATIENT))) == 1

    async def test_an_entry_of_an_earlier_decision_does_not_replace_one_of_a_later(
        self, index
    ) -> None:
        def version(digest: str, decision: int, current: bool) -> IndexEntry:
            return entry("1.2", "1.2.1", "1", digest=digest * 64, current=current,
                         decision=decision, t00200013=ord(digest))  # fmt: skip

        await index.upsert([version("a", 0, True)])
        await index.upsert([version("a", 1, False), version("b", 1, True)])
        counts = await index.upsert([version("a", 0, True)])
        assert list(counts) == [StudyCount("main", "1.2", 1, 1)]
        (found,) = await answers(index, Search(Level.INSTANCE))
        assert found["00200013"]["Value"] == [ord("b")]
        held = (await index.versions([version("a", 0, True).name])).popitem()[1]
        assert {(v.digest[0], v.current, v.decision) for v in held} == {
            ("a", False, 1),
            ("b", True, 1),
        }

    async def test_a_study_remembers_the_trace_of_what_was_added_last(self, index) -> None:
        await index.upsert([entry("1.2", "1.2.1", "1", trace="00-1"), entry("1.3", "1.3.1", "1")])
        await index.upsert([entry("1.2", "1.2.1", "2", trace="00-2")])
        matches = [m async for batch in index.search(studies(include_all=True)) for m in batch]
        assert {m.attributes["0020000D"]["Value"][0]: m.trace for m in matches} == {
            "1.2": "00-2",
            "1.3": "",
        }
        assert all("trace" not in m.attributes for m in matches)

    async def test_removing_the_last_instance_removes_every_level(self, index) -> None:
        one = entry("1.2", "1.2.1", "1", t00100020="A")
        await index.upsert([one])
        removed = await index.remove([ObjectName(one.name, one.digest)])
        assert list(removed) == [StudyCount("main", "1.2", 0, 0)]
        for level in Level:
            assert await answers(index, Search(level)) == []
        assert await index.remove([ObjectName(one.name, one.digest)]) == []
        assert await index.versions([one.name]) == {}

    async def test_the_order_and_repetition_of_entries_do_not_change_the_answers(
        self, index
    ) -> None:
        some = [
            entry(f"1.{s}", f"1.{s}.{e}", f"1.{s}.{e}.{i}", t00100020=f"P{s % 2}",
                  t00100010=NAMES[(s + e + i) % len(NAMES)], t00080020=f"2024010{i + 1}",
                  t00080060="CT" if e else "MR", t00081030="x" * i)
            for s in range(3) for e in range(2) for i in range(3)
        ]  # fmt: skip
        expected = {level: Oracle(some).search(Search(level, include_all=True)) for level in Level}
        shuffled = random.Random(7).sample(some * 2, len(some) * 2)
        for start in range(0, len(shuffled), 5):
            await index.upsert(shuffled[start : start + 5])
        for level in Level:
            assert await answers(index, Search(level, include_all=True)) == expected[level]

    async def test_pages_are_disjoint_and_complete(self, index) -> None:
        await index.upsert([entry(f"1.{n}", f"1.{n}.1", "1", t00080020="20240101")
                            for n in range(25)])  # fmt: skip
        everything = await answers(index, studies())
        pages = [
            found
            for offset in range(0, 30, 7)
            for found in await answers(index, studies(limit=7, offset=offset))
        ]
        assert pages == everything
        assert len(everything) == await index.count(studies(limit=7)) == 25

    async def test_an_asked_order_holds_across_pages_and_equal_studies_come_by_uid(
        self, index
    ) -> None:
        some = [
            entry(f"1.{n}", f"1.{n}.1", "1", t00100010=NAMES[n % 3],
                  **({"t00080020": f"202401{n % 28 + 1:02}"} if n % 5 else {}))
            for n in range(500)
        ]  # fmt: skip
        await index.upsert(some)
        for keys in ((), (key("00080020", "20240103-20240120"),), (key("00100010", "smith*"),)):
            for orders in ((Order("00100010", descending=True), Order("00080020")),
                           (Order("00080020"), Order("00080030", descending=True))):  # fmt: skip
                search = studies(*keys, order=orders)
                expected = Oracle(some).search(search)
                assert await answers(index, search) == expected
                page = replace(search, limit=7, offset=len(expected) - 9)
                assert await answers(index, page) == expected[-9:-2]

    async def test_absurd_numbers_are_kept_and_sort_at_the_ends(self, index) -> None:
        numbers = [1e30, 5, -1e30]
        await index.upsert([entry("1.2", "1.2.1", f"1.{n}", t00200013=number)
                            for n, number in enumerate(numbers)])  # fmt: skip
        found = await answers(index, Search(Level.INSTANCE))
        assert [a["00080018"]["Value"][0] for a in found] == ["1.2", "1.1", "1.0"]

    async def test_a_malformed_key_is_invalid_and_names_the_attribute(self, index) -> None:
        with pytest.raises(Invalid, match="0008,0020"):
            await answers(index, studies(key("00080020", "yesterday")))
        with pytest.raises(Invalid, match="0020,000D"):
            await index.count(studies(key("0020000D", "1.2.*")))

    async def test_a_key_that_is_not_searchable_is_ignored(self, index) -> None:
        await index.upsert([entry("1.2", "1.2.1", "1")])
        odd = (Key("00091001", "LO", ("x",)), key("00080060", "MR"))
        assert len(await answers(index, studies(*odd))) == 1

    async def test_a_sequence_key_matches_within_one_item(self, index) -> None:
        items = [
            {"00400009": {"vr": "SH", "Value": ["S1"]}, "00401001": {"vr": "SH", "Value": ["R1"]}},
            {"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["R2"]}},
        ]
        await index.upsert([entry("1.2", "1.2.1", "1", t00400275=items)])

        def asking(step: str, procedure: str) -> Search:
            wanted = (Key("00400009", "SH", (step,)), Key("00401001", "SH", (procedure,)))
            return Search(Level.SERIES, (Key("00400275", "SQ", items=wanted),))

        for step, procedure, count in (("S2", "R2", 1), ("S1", "R2", 0), ("S*", "", 1)):
            assert len(await answers(index, asking(step, procedure))) == count
            assert await index.count(asking(step, procedure)) == count

    async def test_a_list_of_many_uids_finds_exactly_these(self, index) -> None:
        await index.upsert([entry(f"1.{n}", f"1.{n}.1", "1") for n in range(300)])
        wanted = [f"1.{n}" for n in range(0, 600, 2)]
        found = await answers(index, studies(key("0020000D", *wanted)))
        assert {f["0020000D"]["Value"][0] for f in found} == set(wanted[:150])

    async def test_a_scratch_index_answers_nothing_until_it_is_promoted(self, index) -> None:
        await index.upsert([entry("1.2", "1.2.1", "1", t00100020="OLD")])
        scratch = await index.scratch()
        await scratch.upsert([entry("1.3", "1.3.1", "1", t00100020="NEW")])
        assert len(await answers(index, studies(key("00100020", "NEW")))) == 0
        await scratch.promote()
        await scratch.close()
        assert [f["00100020"]["Value"] for f in await answers(index, studies())] == [["NEW"]]
        await index.upsert([entry("1.4", "1.4.1", "1")])
        assert await index.count(studies()) == 2

    async def test_a_scratch_index_that_is_closed_changes_nothing(self, index) -> None:
        await index.upsert([entry("1.2", "1.2.1", "1")])
        scratch = await index.scratch()
        await scratch.upsert([entry("1.3", "1.3.1", "1")])
        await scratch.close()
        assert await index.count(studies()) == 1
        again = await index.scratch()
        assert await again.count(studies()) == 0
        await again.close()

    async def test_ten_thousand_answers_stream_in_bounded_batches(self, index) -> None:
        for start in range(0, 10_000, 2_000):
            await index.upsert([
                entry("1.2", "1.2.1", f"1.{n}", t00200013=n) for n in range(start, start + 2_000)
            ])  # fmt: skip
        tracemalloc.start()
        numbers, largest = [], 0
        async for batch in index.search(Search(Level.INSTANCE, (key("0020000D", "1.2"),))):
            numbers += [match.attributes["00200013"]["Value"][0] for match in batch]
            largest = max(largest, len(batch))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert numbers == list(range(10_000))
        assert largest <= 1_000
        assert peak < 8_000_000

    async def test_closing_a_search_early_stops_it_and_the_next_one_works(self, index) -> None:
        await index.upsert([entry(f"1.{n}", f"1.{n}.1", "1") for n in range(900)])
        found = index.search(studies())
        first = await anext(found)
        await found.aclose()
        assert 0 < len(first) < 900
        running = asyncio.ensure_future(answers(index, studies()))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await index.count(studies()) == 900

    async def test_what_a_scope_hides_hides_nothing_else(self, index: StudyIndex) -> None:
        """However much is hidden of what a search would find."""
        for number in range(100):
            site = {f"t{SITES.tag}": "north" if number == 99 else "south"}
            uid = f"1.{number}"
            await index.upsert([entry(uid, f"{uid}.1", f"{uid}.1.1", t00100030="19700101", **site)])
        for level, found in ((Level.PATIENT, 1), (Level.STUDY, 1), (Level.INSTANCE, 1)):
            search = Search(level, (key("00100030", "19700101"),), "main")
            north = replace(search, scope=has(SITES.tag, "LO", ["north"]))
            south = replace(search, scope=without(has(SITES.tag, "LO", ["north"])))
            assert len(await answers(index, north)) == await index.count(north) == found
            if level is not Level.PATIENT:
                assert len(await answers(index, south)) == await index.count(south) == 99

    @SMALL
    @given(some=entries(), asked=st.lists(searches(), min_size=1, max_size=8), data=st.data())
    async def test_answers_and_counts_are_those_of_the_reference_matcher(
        self, index, some, asked, data
    ) -> None:
        scratch = await index.scratch()
        try:
            await scratch.upsert(some)
            gone = data.draw(st.lists(st.sampled_from(some), max_size=2, unique_by=id))
            await scratch.remove([ObjectName(e.name, e.digest) for e in gone])
            oracle = Oracle([e for e in some if e not in gone])
            for search in asked:
                assert await answers(scratch, search) == oracle.search(search)
                whole = replace(search, limit=None, offset=0)
                assert await scratch.count(search) == len(oracle.search(whole))
        finally:
            await scratch.close()
