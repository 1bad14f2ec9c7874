"""Who asks reads the instances of the studies that they may read, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from isocenter.core.access import OWN, SYSTEM, Caller, Kind, Right
from isocenter.core.errors import NotFound, Refused, Unavailable, Withheld
from isocenter.runtime.access.guard import Policy, PolicyGuard
from support.objects import Archive, announcement, chunks, small
from support.policies import KnownStudies, allow, facts_of, guard_of, person, study, withheld

RULES = (allow(sites=(OWN,)),)
NORTH = person("viewer", sites=("north",))
HERE, THERE, UNKNOWN = "1.2", "1.3", "1.4"  # UNKNOWN: kept, but not indexed yet
Read = Callable[..., AsyncIterator[Any]]


async def filled(guard: PolicyGuard) -> Archive:
    archive = Archive(guard=guard)
    for uid in (HERE, THERE, UNKNOWN):
        for series in (f"{uid}.1", f"{uid}.2"):
            data = small(study=uid, series=series, instance=f"{series}.1")
            await archive.ingest.store(announcement(), chunks(data))
    return archive


@pytest.fixture
async def archive() -> Archive:
    known = study(HERE, sites=["north"]), study(THERE, sites=["south"])
    return await filled(guard_of(RULES, *known))


@pytest.fixture(params=["instances", "metadata", "described"])
def read(archive, request) -> Read:
    found: Read = getattr(archive.storage, request.param)
    return found


async def number(found: AsyncIterator[Any]) -> int:
    return len([one async for one in found])


async def test_who_asks_reads_what_they_may(read) -> None:
    assert await number(read(NORTH, "main", HERE)) == 2
    assert await number(read(NORTH, "main", HERE, f"{HERE}.1")) == 1
    assert await number(read(NORTH, "main", HERE, f"{HERE}.1", f"{HERE}.1.1")) == 1
    assert await number(read(NORTH, "main", HERE, f"{HERE}.9")) == 0


@pytest.mark.parametrize("level", [(), (f"{THERE}.1",), (f"{THERE}.1", f"{THERE}.1.1")])
async def test_what_they_may_not_is_withheld_at_every_level(read, level) -> None:
    with withheld("no rule lets person:eva read this study"):
        await number(read(NORTH, "main", THERE, *level))


async def test_a_study_that_is_not_indexed_yet_is_withheld_as_one_that_is_not_there(read) -> None:
    told = set()
    for uid in (UNKNOWN, "1.9"):
        with pytest.raises(Withheld) as raised:
            await number(read(NORTH, "main", uid))
        told.add(str(raised.value))
    assert len(told) == 1
    assert isinstance(raised.value, NotFound)


async def test_the_installation_itself_reads_everything(read) -> None:
    for uid in (HERE, THERE, UNKNOWN):
        assert await number(read(SYSTEM, "main", uid)) == 2


@pytest.mark.parametrize(
    "caller",
    [person("auditor"), person(), person("viewer", only=frozenset({Right.SEARCH}))],
    ids=str,
)
async def test_somebody_whose_role_does_not_read_is_refused(read, caller) -> None:
    with pytest.raises(Refused):
        await number(read(caller, "main", HERE))


async def test_a_link_reads_what_it_leads_to(read) -> None:
    link = Caller(Kind.LINK, "L1", ("guest",), studies=(THERE,))
    assert await number(read(link, "main", THERE)) == 2
    with withheld("another study"):
        await number(read(link, "main", HERE))


async def test_while_the_index_is_down_only_who_may_read_everything_reads() -> None:
    query = KnownStudies()
    query.error = Unavailable("the index is down")
    archive = await filled(PolicyGuard(lambda: Policy(RULES), facts_of(query)))
    with pytest.raises(Unavailable):
        await number(archive.storage.instances(NORTH, "main", HERE))
    assert await number(archive.storage.instances(SYSTEM, "main", HERE)) == 2
