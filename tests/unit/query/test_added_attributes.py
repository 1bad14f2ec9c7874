"""Added attributes in searches: private ones are asked for and answered in the block of the search,
and whoever asks learns which are not filled yet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import SYSTEM, Policy
from isocenter.core.added import added
from isocenter.core.apis import FillProgress
from isocenter.core.attributes import Attributes
from isocenter.core.errors import Invalid
from isocenter.core.fill_state import whole
from isocenter.core.matching import JsonAttributes, Key, Level, Search
from isocenter.query.service import QueryService
from isocenter.query.settings import QuerySettings
from isocenter.runtime.access.guard import PolicyGuard
from support.index_oracle import element, entry

SITE = added("0029xx10", "STUDY", "ACME 1.0", "LO")
ROOM = added("0029xx11", "SERIES", "ACME 1.0", "SH")
OTHER = added("0029xx10", "STUDY", "OTHER", "IS")
TABLE = Attributes([SITE, ROOM, OTHER, added("ContrastBolusAgent", "SERIES")])
CREATOR = {"vr": "LO", "Value": ["ACME 1.0"]}
KVP = "00180060"


class Metadata:
    """An object that has the creator in block 20, and another one in block 10."""

    asked = 0

    async def metadata(self, *_: object) -> AsyncIterator[bytes]:
        self.asked += 1
        yield json.dumps({
            "0020000D": element("UI", "1.2"), "0020000E": element("UI", "1.2.1"),
            "00080018": element("UI", "1"), KVP: element("DS", 120),
            "00290010": element("LO", "SOMEBODY"), "00291010": element("LO", "theirs"),
            "00290020": element("LO", "ACME 1.0"), "00292010": element("LO", "North"),
            "00292012": element("LO", "not in the table"),
        }).encode()  # fmt: skip


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path, TABLE)
    await index.replace_fill_state(whole(TABLE), await index.fill_state())
    values = {SITE.tag: element("LO", "North"), ROOM.tag: element("SH", "R1")}
    one = entry("1.2", "1.2.1", "1", t00100020="A")
    two = entry("1.3", "1.3.1", "1", t00100020="B")
    await index.upsert([
        replace(one, attributes=one.attributes | values),
        replace(two, attributes=two.attributes | {OTHER.tag: element("IS", 5)}),
    ])  # fmt: skip
    yield index
    await index.close()


async def found(index: SqliteIndex, search: Search, storage: object = None) -> list[JsonAttributes]:
    query = QueryService(
        index=index,
        storage=storage or Metadata(),
        settings=QuerySettings(),  # type: ignore[arg-type]
        guard=PolicyGuard(Policy),
    )
    answers = [match.attributes async for batch in query.search(SYSTEM, search) for match in batch]
    assert await query.count(SYSTEM, search) == len(answers)
    return answers


def private(value: str, creator: str = "ACME 1.0", block: str = "10") -> tuple[Key, Key]:
    return (
        Key(f"0029{block}10", "UN", (value,) if value else ()),
        Key(f"002900{block}", "LO", (creator,)),
    )


@pytest.mark.parametrize("block", ["10", "AB"])
async def test_a_private_key_is_matched_and_answered_in_the_block_of_the_search(
    index: SqliteIndex, block: str
) -> None:
    tag, creator, storage = f"0029{block}10", f"002900{block}", Metadata()
    search = Search(Level.STUDY, private("N*", block=block), include=(tag, creator))
    (answer,) = await found(index, search, storage)
    assert (answer[tag], answer[creator]) == (element("LO", "North"), CREATOR)
    assert SITE.tag not in answer
    assert storage.asked == 0
    assert await found(index, Search(Level.STUDY, private("S*", block=block))) == []


async def test_a_private_key_is_that_of_its_creator_alone(index: SqliteIndex) -> None:
    async def patients(*keys: Key) -> list[str]:
        answers = await found(index, Search(Level.STUDY, keys))
        return sorted(answer["00100020"]["Value"][0] for answer in answers)

    assert await patients(*private("5", "OTHER")) == ["B"]
    assert await patients(*private("North")) == ["A"]
    assert await patients(*private("North", "NOBODY")) == ["A", "B"]  # ignored
    assert await patients(private("North")[0]) == ["A", "B"]
    with pytest.raises(Invalid, match="IS"):
        await patients(*private("North", "OTHER"))


async def test_what_a_match_does_not_have_is_not_answered(index: SqliteIndex) -> None:
    search = Search(Level.STUDY, private(""), include=("00291010", "00290010"))
    answers = {a["00100020"]["Value"][0]: a for a in await found(index, search)}
    assert "00291010" in answers["A"]
    assert not {"00291010", "00290010"} & answers["B"].keys()


async def test_everything_of_a_series_has_its_private_attributes_in_blocks_that_are_free(
    index: SqliteIndex,
) -> None:
    (answer, other) = await found(index, Search(Level.SERIES, include_all=True))
    assert answer["00290010"] == CREATOR
    assert (answer["00291010"], answer["00291011"]) == (
        element("LO", "North"), element("SH", "R1"),
    )  # fmt: skip
    assert (other["00290011"], other["00291110"]) == (element("LO", "OTHER"), element("IS", 5))
    assert not {SITE.tag, ROOM.tag, OTHER.tag} & (answer.keys() | other.keys())


async def test_everything_of_an_instance_has_them_where_the_object_has_them(
    index: SqliteIndex,
) -> None:
    search = Search(Level.INSTANCE, (Key("0020000D", "UI", ("1.2",)),), include_all=True)
    (answer,) = await found(index, search)
    assert answer["00292010"] == element("LO", "North")
    assert answer["00291010"] == element("LO", "theirs")
    assert not {SITE.tag, ROOM.tag} & answer.keys()
    (answer,) = await found(index, replace(search, keys=(*search.keys, *private("North"))))
    assert (answer["00291010"], answer["00290010"]) == (element("LO", "North"), CREATOR)


async def test_further_attributes_come_from_the_metadata_beside_those_of_the_index(
    index: SqliteIndex,
) -> None:
    include = ("00292010", "00292012", "00290020", KVP)
    search = Search(Level.STUDY, private("North", block="20"), include=include)
    (answer,) = await found(index, search)
    assert answer["00292010"] == element("LO", "North")
    assert answer["00292012"] == element("LO", "not in the table")
    assert answer[KVP] == element("DS", 120)


async def test_whoever_asks_learns_what_is_not_filled(index: SqliteIndex) -> None:
    query = QueryService(
        index=index,
        storage=Metadata(),  # type: ignore[arg-type]
        settings=QuerySettings(),
        guard=PolicyGuard(Policy),
    )
    assert await query.unfilled() == {}
    state = await index.fill_state()
    held = tuple(replace(one, filled=one.tag != ROOM.tag) for one in state.held)
    await index.replace_fill_state(state.revised(held=held, looked=3, total=9), state)
    assert await query.unfilled() == {ROOM.tag: FillProgress(3, 9)}
