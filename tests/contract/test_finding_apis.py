"""The APIs of query and indexing, on the local object and over gRPC."""

from __future__ import annotations

import pytest

from isocenter.core.apis import (
    FillProgress,
    RebuildProgress,
    ReplayProgress,
    SweepProgress,
)
from isocenter.core.matching import Key, Level, Search
from support.fake_services import (
    AT,
    FakeQuery,
)
from support.service_pairs import CALLER, all_of

# --- query ---------------------------------------------------------------------------------------


async def test_what_is_not_filled_is_told_with_how_far_it_is(service):
    api, fake = await service("query")
    assert await api.unfilled() == {
        "00180010": FillProgress(7, 2**40),
        "0029xx10 ACME 1.0": FillProgress(0, 1),
    }
    assert fake.asked == [("unfilled",)]


async def test_a_search_is_asked_and_answered_in_full(service):
    api, fake = await service("query")
    search = Search(
        Level.INSTANCE,
        keys=(
            Key("00100010", "PN", ("Müller*",)),
            Key("00081110", "SQ", (), (Key("00080050", "SH", ("A", "B")),)),
        ),
        partition="other",
        include=("00081030",),
        include_all=True,
        limit=0,
        offset=5,
        fuzzy=True,
    )
    batches = await all_of(api.search(CALLER, search))
    assert [match for batch in batches for match in batch] == [FakeQuery.MATCH] * 3
    assert await api.count(CALLER, Search(Level.PATIENT)) == 2**40
    assert fake.asked == [(CALLER, search), (CALLER, Search(Level.PATIENT))]


# --- indexing -------------------------------------------------------------------------------------


async def test_a_rebuild_tells_how_far_it_is(service):
    api, _ = await service("indexing")
    assert await all_of(api.rebuild()) == [
        RebuildProgress(1, 2, {}, False),
        RebuildProgress(3, 4, {"k": "damaged"}, True),
    ]


@pytest.mark.parametrize("asked", [(None, {}), (AT, {0: 7, 3: 2**40})])
async def test_a_replay_begins_where_it_is_told_and_tells_how_far_it_is(service, asked):
    api, fake = await service("indexing")
    assert await all_of(api.replay(*asked)) == [
        ReplayProgress(1, {}, False),
        ReplayProgress(2, {"0/7": "damaged"}, True),
    ]
    assert fake.asked == [asked]


async def test_a_sweep_tells_what_it_found(service):
    api, _ = await service("indexing")
    assert await all_of(api.sweep()) == [
        SweepProgress(1, 0, 0, {}, False),
        SweepProgress(9, 2, 1, {"k": "damaged"}, True),
    ]
