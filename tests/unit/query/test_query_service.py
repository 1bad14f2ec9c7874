"""What the query service adds to the index: checks, limits, further attributes, outages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import SYSTEM, Caller, Policy
from isocenter.core.attributes import BUILT_IN
from isocenter.core.errors import Corrupted, Invalid, Unavailable
from isocenter.core.matching import Key, Level, Order, Search
from isocenter.query.service import QueryService
from isocenter.query.settings import QuerySettings
from isocenter.runtime.access.guard import PolicyGuard
from support.index_oracle import entry

KVP = "00180060"  # not in the table


class Metadata:
    """Storage that answers with metadata only, and counts the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        assert caller is SYSTEM  # what the caller may find is decided by the index
        self.asked.append((partition, study, series, instance))
        for number in range(1, 4):
            uid = f"{series}.{number}"
            if instance in ("", uid):
                yield json.dumps({
                    "0020000D": {"vr": "UI", "Value": [study]},
                    "0020000E": {"vr": "UI", "Value": [series]},
                    "00080018": {"vr": "UI", "Value": [uid]},
                    KVP: {"vr": "DS", "Value": [number]},
                    "00181151": {"vr": "IS", "Value": [7]},
                    "00110010": {"vr": "LO", "Value": ["ACME"]},
                    "00111001": {"vr": "LO", "Value": ["x"]},
                }).encode()  # fmt: skip


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path)
    await index.upsert([
        entry("1.2", "1.2.1", f"1.2.1.{n}", t00100020="A", t00200013=n) for n in (1, 2, 3)
    ])  # fmt: skip
    yield index
    await index.close()


def service(index, storage=None, **settings) -> QueryService:
    return QueryService(
        index=index,
        storage=storage or Metadata(),
        settings=QuerySettings(**settings),
        guard=PolicyGuard(Policy),
    )


async def found(query: QueryService, search: Search):
    return [match.attributes async for batch in query.search(SYSTEM, search) for match in batch]


async def test_tags_and_representations_of_keys_are_made_canonical(index) -> None:
    search = Search(Level.STUDY, (Key("(0010,0020)", "UN", ("A",)),), include=("0008103e",))
    assert len(await found(service(index), search)) == 1
    assert await service(index).count(SYSTEM, search) == 1


@pytest.mark.parametrize(
    "search",
    [
        Search(Level.STUDY, (Key("PatientID", "LO", ("A",)),)),
        Search(Level.STUDY, partition="../x"),
        Search(Level.STUDY, limit=-1),
        Search(Level.STUDY, offset=-1),
        Search(Level.SERIES, order=(Order("00100020"),)),
        Search(Level.STUDY, order=(Order("00081030"),)),
        Search(Level.STUDY, (Key("00100020", "LO", ("A",)),) * 3),
        Search(Level.STUDY, (Key("0020000D", "UI", ("1", "2", "3", "4")),)),
        Search(Level.STUDY, (Key("00091001", "DA", ("soon",)),)),
    ],
)
async def test_a_search_that_cannot_be_meant_is_invalid(index, search) -> None:
    query = service(index, max_keys=2, max_values=3)
    with pytest.raises(Invalid):
        await found(query, search)
    with pytest.raises(Invalid):
        await query.count(SYSTEM, search)


async def test_the_settings_bound_the_number_of_answers_but_not_the_count(index) -> None:
    query = service(index, max_results=2)
    assert len(await found(query, Search(Level.INSTANCE, limit=50))) == 2
    assert len(await found(query, Search(Level.INSTANCE, limit=1))) == 1
    assert await query.count(SYSTEM, Search(Level.INSTANCE)) == 3


async def test_attributes_beyond_the_index_come_from_the_metadata_once_per_series(index) -> None:
    storage = Metadata()
    answers = await found(service(index, storage), Search(Level.INSTANCE, include=(KVP,)))
    assert [a[KVP]["Value"] for a in answers] == [[1], [2], [3]]
    assert all("00181151" not in a for a in answers)
    assert storage.asked == [("main", "1.2", "1.2.1", "")]


async def test_one_instance_of_a_series_needs_its_metadata_only(index) -> None:
    storage = Metadata()
    search = Search(Level.INSTANCE, (Key("00080018", "UI", ("1.2.1.2",)),), include_all=True)
    (answer,) = await found(service(index, storage), search)
    assert answer[KVP]["Value"] == [2]
    assert "00181151" in answer
    assert "00100020" in answer
    assert storage.asked == [("main", "1.2", "1.2.1", "1.2.1.2")]


async def test_what_the_index_holds_is_answered_without_the_metadata(index) -> None:
    storage = Metadata()
    await found(service(index, storage), Search(Level.INSTANCE, include=("00080023",)))
    await found(service(index, storage), Search(Level.STUDY, include_all=True))
    await found(service(index, storage), Search(Level.PATIENT, include=(KVP,)))
    assert storage.asked == []


async def test_a_series_or_study_answers_with_what_its_instances_agree_on(index) -> None:
    storage = Metadata()
    named = (KVP, "00181151", "00091001")
    for level, series in ((Level.SERIES, "1.2.1"), (Level.STUDY, "")):
        (answer,) = await found(service(index, storage), Search(level, include=named))
        assert answer["00181151"] == {"vr": "IS", "Value": [7]}
        assert answer["0020000D"]["Value"] == ["1.2"]
        assert not {KVP, "00091001"} & answer.keys()
        assert storage.asked.pop() == ("main", "1.2", series, "")


async def test_a_damaged_index_is_an_outage_to_those_who_ask() -> None:
    class Damaged:
        attributes = BUILT_IN

        async def search(self, _search: Search):
            raise Corrupted("the index is damaged", fix="rebuild it")
            yield

        async def count(self, _search: Search) -> int:
            raise Corrupted("the index is damaged", fix="rebuild it")

    with pytest.raises(Unavailable, match="rebuild it"):
        await found(service(Damaged()), Search(Level.STUDY))
    with pytest.raises(Unavailable, match="rebuild it"):
        await service(Damaged()).count(SYSTEM, Search(Level.STUDY))


@pytest.mark.parametrize("level", [Level.STUDY, Level.INSTANCE])
@pytest.mark.parametrize(("creator", "answered"), [("ACME", True), ("OTHER", False)])
async def test_private_attributes_are_those_of_the_creator_asked_for(
    index, level, creator, answered
) -> None:
    key = Key("00110010", "LO", (creator,))
    search = Search(level, (key,), include=("00111001", "00110010", KVP))
    (first, *_) = await found(service(index), search)
    assert (first.get("00111001") == {"vr": "LO", "Value": ["x"]}) is answered
    assert ("00110010" in first) is answered
