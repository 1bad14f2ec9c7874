"""What every `StudyIndex` promises of attributes that are added to its table. An adapter subclasses
`AddedAttributesSuite`, sets `__test__` and overrides the fixture `opened`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.added import added
from isocenter.core.attributes import Attributes
from isocenter.core.fill_state import FillState, whole
from isocenter.core.identity import ObjectName
from isocenter.core.matching import JsonAttributes, Key, Level, Search
from isocenter.core.ports import IndexEntry, StudyIndex
from support.index_oracle import Oracle, element, entry
from support.index_samples import KEYS, SMALL, VALUES, VR_OF, answers, entries, key

Opened = Callable[[Attributes], Awaitable[StudyIndex]]  # the same index, with another table

AGENT = added("ContrastBolusAgent", "SERIES")
REQUESTER = added("RequestingPhysician", "STUDY")
EXPOSURE = added("Exposure", "INSTANCE")
CALIBRATED = added("DateOfLastCalibration", "INSTANCE")  # VM 1-n
FRAME = added("ImageComments", "INSTANCE")  # LT
SITE = added("0029xx10", "SERIES", "ACME 1.0*?=", "SH")
ROWS = (AGENT, REQUESTER, EXPOSURE, CALIBRATED, FRAME, SITE)
TABLE = Attributes(ROWS)
BUILT_IN = Attributes()

ADDED_VALUES: dict[str, list[list[Any]]] = {
    AGENT.tag: [["Iodine"], ["Gadolinium", "Iodine"], ["iodine 50%"]],
    REQUESTER.tag: [["Müller^Eva"], ["SMITH^JOHN"], ["Yamada^Tarou=山田^太郎"]],
    EXPOSURE.tag: [[5], [50], [-5]],
    CALIBRATED.tag: [["20240101"], ["20240101", "20250101"]],
    FRAME.tag: [["blurred"], ["Blurred, again"]],
    SITE.tag: [["North"], ["North 2"], ["South"]],
}
ADDED_KEYS = {
    AGENT.tag: ["Iodine", "*odi*", "Gad*", "iodine*", "*"],
    REQUESTER.tag: ["muller*", "smith^john", "山田*", "Smith", "muller^*", "tarou"],
    EXPOSURE.tag: ["5", "+50", "-5"],
    CALIBRATED.tag: ["20240101", "20240601-", "-20231231", "20240101-20250101"],
    FRAME.tag: ["blurred", "*again", "B*"],
    SITE.tag: ["North", "No?th*", "*th", "*?*"],
}


@st.composite
def entries_with_added(draw: st.DrawFn) -> list[IndexEntry]:
    return [
        replace(one, attributes=one.attributes | draw(_added_attributes()))
        for one in draw(entries())
    ]


@st.composite
def _added_attributes(draw: st.DrawFn) -> JsonAttributes:
    return {
        row.tag: element(row.vr, *draw(st.sampled_from(ADDED_VALUES[row.tag])))
        for row in ROWS
        if draw(st.booleans())
    }


@st.composite
def searches_by_added(draw: st.DrawFn) -> Search:
    rows = draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=2, unique=True))
    keys = [Key(row.tag, row.vr, (draw(st.sampled_from(ADDED_KEYS[row.tag])),)) for row in rows]
    tags = draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=1))
    keys += [Key(tag, VR_OF[tag], (draw(st.sampled_from(KEYS[tag])),)) for tag in tags]
    return Search(
        draw(st.sampled_from(list(Level))),
        tuple(keys),
        include=tuple(draw(st.lists(st.sampled_from([*sorted(VALUES), *TABLE_TAGS]), max_size=2))),
        include_all=draw(st.booleans()),
        limit=draw(st.sampled_from([None, 1, 3])),
        offset=draw(st.sampled_from([0, 1])),
        fuzzy=draw(st.booleans()),
    )


TABLE_TAGS = [row.tag for row in ROWS]


def asking(row: Any, value: str, level: Level = Level.STUDY, **more: Any) -> Search:
    return Search(level, (Key(row.tag, row.vr, (value,)),), include=(row.tag,), **more)


async def register(index: StudyIndex, state: FillState | None = None) -> FillState:
    """See to it that the index holds its table, as if nothing was there before."""
    before = await index.fill_state()
    after = state or before.with_table(index.attributes, now=1.0, total=0, forget=True)
    if after is not before:
        assert await index.replace_fill_state(after, before)
    return after


class AddedAttributesSuite:
    __test__ = False

    @pytest.fixture
    async def opened(self) -> Opened:
        raise NotImplementedError

    @pytest.fixture
    async def index(self, opened: Opened) -> StudyIndex:
        """An index that has held the table from the beginning."""
        index = await opened(TABLE)
        await register(index)
        return index

    async def test_an_index_that_was_told_nothing_holds_nothing(self, opened: Opened) -> None:
        index = await opened(TABLE)
        assert index.attributes is TABLE
        assert await index.fill_state() == FillState()
        assert (await index.fill_state()).lacks(TABLE) == {row.tag for row in ROWS}

    async def test_a_state_is_kept_unless_it_has_changed_meanwhile(self, opened: Opened) -> None:
        index, other = await opened(TABLE), await opened(TABLE)
        first = await register(index)
        assert await other.fill_state() == first
        second = first.revised(after="objects/x", looked=7)
        assert await other.replace_fill_state(second, first)
        assert not await index.replace_fill_state(first.revised(looked=1), first)
        assert await index.fill_state() == second

    @SMALL
    @given(some=entries_with_added(), asked=st.lists(searches_by_added(), min_size=1, max_size=8))
    async def test_answers_and_counts_are_those_of_the_reference_matcher(
        self, index, some, asked
    ) -> None:
        scratch = await index.scratch()
        try:
            await scratch.upsert(some)
            oracle = Oracle(some, TABLE)
            for search in asked:
                assert await answers(scratch, search) == oracle.search(search)
                whole_search = replace(search, limit=None, offset=0)
                assert await scratch.count(search) == len(oracle.search(whole_search))
        finally:
            await scratch.close()

    @SMALL
    @given(
        some=entries_with_added(),
        new=st.lists(st.booleans(), min_size=14, max_size=14),
        asked=st.lists(searches_by_added(), min_size=1, max_size=6),
    )
    async def test_what_was_indexed_before_is_found_once_it_is_refilled(
        self, index, some, new, asked
    ) -> None:
        """Some have come with the attributes meanwhile; none comes by being refilled."""
        scratch = await index.scratch()
        try:
            await scratch.upsert([_without_added(one) for one in some])
            await scratch.upsert([one for one, is_new in zip(some, new, strict=False) if is_new])
            await scratch.refill(some)
            await scratch.refill(some)
            await scratch.refill([entry("9.9", "9.9.1", "1", t00100020="NEVER THERE")])
            oracle = Oracle(some, TABLE)
            for search in [Search(level, include_all=True) for level in Level] + asked:
                assert await answers(scratch, search) == oracle.search(search)
                whole_search = replace(search, limit=None, offset=0)
                assert await scratch.count(search) == len(oracle.search(whole_search))
        finally:
            await scratch.close()

    async def test_refilling_leaves_versions_and_decisions_as_they_are(self, index) -> None:
        one = entry("1.2", "1.2.1", "1", digest="a" * 64, decision=3, current=False)
        two = entry("1.2", "1.2.1", "1", digest="b" * 64, decision=3)
        await index.upsert([one, two])
        before = await index.versions([one.name]), await index.totals()
        filled = [_with(each, AGENT, "Iodine") for each in (one, two)]
        await index.refill([replace(each, current=True, decision=0) for each in filled])
        assert (await index.versions([one.name]), await index.totals()) == before
        assert await index.count(asking(AGENT, "Iodine", Level.INSTANCE)) == 1

    async def test_a_scratch_index_counts_as_filled_and_so_does_the_one_it_becomes(
        self, opened: Opened
    ) -> None:
        index = await opened(TABLE)
        scratch = await index.scratch()
        await scratch.upsert([_with(entry("1.2", "1.2.1", "1"), AGENT, "Iodine")])
        await scratch.promote()
        await scratch.close()
        state = await index.fill_state()
        assert not state.lacks(TABLE)
        assert replace(state, revision="") == replace(whole(TABLE), revision="")
        assert await index.count(asking(AGENT, "Iodine")) == 1

    async def test_an_attribute_that_went_and_came_back_is_right_after_it_is_refilled(
        self, opened: Opened
    ) -> None:
        """Processes without it have added, replaced and removed in between."""
        some = [
            _with(_with(entry("1.2", f"1.2.{n}", f"{n}"), AGENT, "Iodine"), EXPOSURE, 5)
            for n in range(3)
        ]
        index = await opened(TABLE)
        await register(index)
        await index.upsert(some)
        plain = await opened(BUILT_IN)
        await register(plain)
        assert await plain.count(asking(AGENT, "Iodine")) == 1  # the key is ignored
        assert await plain.count(asking(AGENT, "Xenon")) == 1
        (answer,) = await answers(plain, Search(Level.STUDY, include_all=True))
        assert AGENT.tag not in answer
        new = entry("1.2", "1.2.0", "9")
        await plain.upsert([new, _without_added(some[1])])
        await plain.remove([_object(some[2])])
        again = await opened(TABLE)
        assert (await register(again)).lacks(TABLE) == {row.tag for row in ROWS}
        kept = [some[0], some[1], _with(new, AGENT, "Gadolinium")]
        await again.refill(kept)
        oracle = Oracle(kept, TABLE)
        for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
            for row, value in ((AGENT, "Iodine"), (AGENT, "Gad*"), (EXPOSURE, "5")):
                search = asking(row, value, level)
                assert await answers(again, search) == oracle.search(search), search
                assert await again.count(search) == len(oracle.search(search)), search

    async def test_an_attribute_of_another_level_is_answered_by_that_level(
        self, opened: Opened
    ) -> None:
        below = added("ContrastBolusAgent", "STUDY")
        some = [
            _with(entry("1.2", "1.2.1", "1"), AGENT, "Iodine"),
            _with(entry("1.2", "1.2.2", "2"), AGENT, "Xenon, cold"),
        ]
        index = await opened(TABLE)
        await register(index)
        await index.upsert(some)
        moved = await opened(Attributes([below]))
        await register(moved)
        await moved.refill(some)
        for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
            search = Search(level, (key("0020000D", "1.2"),), include=(below.tag,))
            expected = Oracle(some, moved.attributes).search(search)
            assert await answers(moved, search) == expected
        assert await moved.count(asking(below, "Iodine", Level.SERIES)) == 0
        assert await moved.count(asking(below, "Xenon*", Level.SERIES)) == 2


def _with(one: IndexEntry, row: Any, *values: Any) -> IndexEntry:
    attributes = one.attributes | {row.tag: element(row.vr, *values)}
    return replace(one, attributes=attributes)


def _without_added(one: IndexEntry) -> IndexEntry:
    kept = {tag: value for tag, value in one.attributes.items() if tag not in TABLE_TAGS}
    return replace(one, attributes=kept)


def _object(one: IndexEntry) -> ObjectName:
    return ObjectName(one.name, one.digest)
