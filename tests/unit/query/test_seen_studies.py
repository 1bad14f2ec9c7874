"""Who asks finds and counts the studies that they may see, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.access import (
    FACTS,
    OWN,
    SYSTEM,
    Caller,
    Kind,
    Marks,
    Patient,
    Patients,
    Policy,
    Right,
    Rule,
)
from isocenter.core.attributes import SITES
from isocenter.core.errors import Refused
from isocenter.core.matching import JsonAttributes, Key, Level, Search
from isocenter.query.service import QueryService
from isocenter.query.settings import QuerySettings
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard
from support.index_oracle import element, entry
from support.policies import allow, deny, person, study

OF_PATIENTS = {"00201200", "00201202", "00201204"}  # Number of Patient Related ...
UIDS = {
    Level.PATIENT: "00100020",
    Level.STUDY: "0020000D",
    Level.SERIES: "0020000E",
    Level.INSTANCE: "00080018",
}
OWN_SITE = (allow(sites=(OWN,)),)
NORTH = person("viewer", sites=("north",))
SOUTH = person("viewer", sites=("south",))
VIEWER = person("viewer")
SEEN = {  # in the order of the answers
    "north": {
        Level.PATIENT: ["A"],
        Level.STUDY: ["1.2"],
        Level.SERIES: ["1.2.1"],
        Level.INSTANCE: ["1.2.1.1", "1.2.1.2"],
    },
    "south": {
        Level.PATIENT: ["A", "B"],
        Level.STUDY: ["1.3", "1.4"],
        Level.SERIES: ["1.3.1", "1.4.1"],
        Level.INSTANCE: ["1.3.1.1", "1.4.1.1"],
    },
}


def placed(study_uid: str, number: int, site: str, **attributes: Any) -> Any:
    series = f"{study_uid}.1"
    attributes[f"t{SITES.tag}"] = site
    return entry(study_uid, series, f"{series}.{number}", t00200013=number, **attributes)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path)
    await index.upsert([
        placed("1.2", 1, "north", t00100020="A", t00080060="CT"),
        placed("1.2", 2, "north", t00100020="A", t00080060="CT"),
        placed("1.3", 1, "south", t00100020="A", t00080060="MR"),
        placed("1.4", 1, "south", t00100020="B", t00100021="HR", t00080060="MR"),
    ])  # fmt: skip
    yield index
    await index.close()


class Metadata:
    """Storage that answers with an attribute which is not in the index."""

    async def metadata(
        self, caller: Caller, partition: str, study: str, *_: str
    ) -> AsyncIterator[bytes]:
        assert (caller, partition) == (SYSTEM, "main")
        yield (
            b'{"0020000D":{"vr":"UI","Value":["%s"]},"00180060":{"vr":"DS","Value":[120]}}'
            % study.encode()
        )


def service(index: SqliteIndex, rules: tuple[Rule, ...], marks: Marks | None = None) -> Any:
    return QueryService(
        index=index,
        storage=Metadata(),  # type: ignore[arg-type]
        settings=QuerySettings(),
        guard=PolicyGuard(lambda: Policy(rules, marks or Marks())),
    )


async def found(query: QueryService, caller: Caller, search: Search) -> list[JsonAttributes]:
    answers = [m.attributes async for batch in query.search(caller, search) for m in batch]
    if search.limit is None and not search.offset:
        assert await query.count(caller, search) == len(answers)
    return answers


async def uids(
    query: QueryService, caller: Caller, level: Level = Level.STUDY, *keys: Key, **more: Any
) -> list[str]:
    search = Search(level, keys, **more)
    return [one[UIDS[level]]["Value"][0] for one in await found(query, caller, search)]


@pytest.mark.parametrize("level", Level)
async def test_who_asks_finds_and_counts_what_they_may_see(index, level) -> None:
    query = service(index, OWN_SITE)
    assert await uids(query, NORTH, level) == SEEN["north"][level]
    assert await uids(query, SOUTH, level) == SEEN["south"][level]
    assert await uids(query, VIEWER, level) == []
    assert set(await uids(query, SYSTEM, level)) == {
        *SEEN["north"][level], *SEEN["south"][level]
    }  # fmt: skip


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.INSTANCE])
async def test_a_key_does_not_reach_beyond_what_may_be_seen(index, level) -> None:
    query = service(index, OWN_SITE)
    assert await uids(query, NORTH, level, Key("0020000D", "UI", ("1.3",))) == []
    assert await uids(query, NORTH, level, Key(SITES.tag, SITES.vr, ("south",))) == []
    whole = Key("0020000D", "UI", ("1.2", "1.3", "1.4"))
    assert await uids(query, NORTH, level, whole) == SEEN["north"][level]


async def test_pages_are_those_of_what_may_be_seen(index) -> None:
    query = service(index, OWN_SITE)
    assert await uids(query, SOUTH, limit=1) == ["1.3"]
    assert await uids(query, SOUTH, limit=1, offset=1) == ["1.4"]
    assert await uids(query, SOUTH, offset=2) == []


async def test_somebody_whose_role_does_not_search_is_refused(index) -> None:
    query = service(index, OWN_SITE)
    auditor = person("auditor", sites=("north",))
    for caller in (auditor, person(), person("viewer", only=frozenset({Right.READ}))):
        with pytest.raises(Refused):
            await found(query, caller, Search(Level.STUDY))
        with pytest.raises(Refused):
            await query.count(caller, Search(Level.STUDY))


async def test_what_may_be_read_is_not_what_may_be_found(index) -> None:
    query = service(index, (allow(Right.READ), allow(Right.SEARCH, sites=("north",))))
    assert await uids(query, VIEWER) == ["1.2"]


async def test_denied_and_confidential_studies_are_not_found(index) -> None:
    staff = Patients(("B*",), "HR")
    assert await uids(service(index, (allow(), deny(patients=(staff,)))), VIEWER) == ["1.2", "1.3"]
    marked = Marks((Patient("A"),))
    assert await uids(service(index, (allow(),), marked), VIEWER) == ["1.4"]
    reaching = (allow(), allow(modalities=("MR",), confidential=True))
    assert await uids(service(index, reaching, marked), VIEWER) == ["1.3", "1.4"]


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY])
async def test_many_patterns_and_many_confidential_patients_narrow_a_search(index, level) -> None:
    patterns = Patients(tuple(f"X{number}*" for number in range(1000)))
    query = service(index, (allow(), deny(patients=(patterns,))))
    assert len(await uids(query, VIEWER, level)) == len(await uids(query, SYSTEM, level))
    marked = Marks(tuple(Patient(f"X{number}", "HR") for number in range(1000)))
    query = service(index, (allow(),), marked)
    assert len(await uids(query, VIEWER, level)) == len(await uids(query, SYSTEM, level))


async def test_in_an_emergency_a_patient_is_found(index) -> None:
    query = service(index, OWN_SITE)
    caller = person("viewer", sites=("north",), emergencies=(Patient("B", "HR"),))
    assert await uids(query, caller) == ["1.2", "1.4"]
    wild = person("viewer", emergencies=(Patient("*"),))
    assert await uids(query, wild) == []


async def test_a_link_finds_what_it_leads_to(index) -> None:
    link = Caller(Kind.LINK, "L1", ("guest",), studies=("1.3", "1.9"))
    query = service(index, OWN_SITE)
    assert await uids(query, link) == ["1.3"]
    assert await uids(query, link, Level.INSTANCE) == ["1.3.1.1"]
    assert await uids(query, link, Level.PATIENT) == ["A"]


@pytest.mark.parametrize(
    "more", [{}, {"include": tuple(sorted(OF_PATIENTS))}, {"include_all": True}], ids=str
)
async def test_of_a_patient_it_is_not_told_how_much_else_there_is(index, more) -> None:
    query, search = service(index, OWN_SITE), Search(Level.PATIENT, **more)
    for caller in (NORTH, SOUTH):
        for answer in await found(query, caller, search):
            assert not OF_PATIENTS & answer.keys()
            assert answer["00100020"]["Value"]
    for rules, caller in ((OWN_SITE, SYSTEM), ((allow(),), VIEWER)):
        first, second = await found(service(index, rules), caller, search)
        assert first["00201200"] == element("IS", 2)
        assert first["00201204"] == element("IS", 3)
        assert second["00201202"] == element("IS", 1)


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.INSTANCE])
async def test_below_a_patient_its_counts_are_not_told_either(index, level) -> None:
    query = service(index, OWN_SITE)
    for more in ({"include": tuple(sorted(OF_PATIENTS))}, {"include_all": True}):
        for answer in await found(query, NORTH, Search(level, **more)):
            assert not OF_PATIENTS & answer.keys()


async def test_a_study_that_may_be_seen_is_told_with_all_that_is_in_it(index) -> None:
    (answer,) = await found(service(index, OWN_SITE), NORTH, Search(Level.STUDY))
    assert answer["00201206"] == element("IS", 1)
    assert answer["00201208"] == element("IS", 2)


async def test_attributes_beyond_the_index_are_told_of_what_may_be_seen(index) -> None:
    search = Search(Level.STUDY, include=("00180060",))
    (answer,) = await found(service(index, OWN_SITE), NORTH, search)
    assert answer["00180060"] == element("DS", 120)


async def test_what_rules_look_at_is_known_to_the_index(index) -> None:
    query = service(index, ())

    async def opened() -> QueryService:
        return query

    known = await Facts(opened, opened).of("main", "1.4")
    assert known is not None
    assert {tag: value for tag, value in known.items() if tag in FACTS} == study(
        "1.4", patient="B", issuer="HR", modalities=["MR"], sites=["south"]
    )
