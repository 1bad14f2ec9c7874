"""C-FIND: answers, their status, the audit record, and C-CANCEL."""

from __future__ import annotations

import asyncio
import gc

import pytest

from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.events import AuditAction
from isocenter.core.ports import Match
from isocenter.gateway.c_find import CFind
from isocenter.gateway.cancelling import unless_cancelled
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT
from isocenter.gateway.settings import GatewaySettings
from support.gateway_fakes import (
    EXPLICIT,
    FakeAudit,
    FakeQuery,
    FakeRequest,
    encode,
    identifier,
    series,
)
from support.gateway_parts import callers_of, lanes_of

HELD = series(3) + series(2, study="1.2.4")


def request(model: str = STUDY_ROOT.find, **keys) -> FakeRequest:
    asked = identifier(**{"QueryRetrieveLevel": "STUDY", **keys})
    return FakeRequest(model, encode(asked, EXPLICIT))


def find(query: FakeQuery, audit: FakeAudit | None = None) -> CFind:
    return CFind(
        query=query,
        audit=audit or FakeAudit(),
        callers=callers_of(GatewaySettings()),
        lanes=lanes_of(GatewaySettings()),
        ae_title="ISOCENTER",
        max_identifier=10_000,
    )


@pytest.mark.parametrize(
    ("model", "level", "count"),
    [
        (PATIENT_ROOT.find, "PATIENT", 1),
        (PATIENT_ROOT.find, "STUDY", 2),
        (STUDY_ROOT.find, "STUDY", 2),
        (STUDY_ROOT.find, "SERIES", 2),
        (STUDY_ROOT.find, "IMAGE", 5),
    ],
)
async def test_every_level_of_both_models_is_answered(model, level, count):
    asked = request(model, QueryRetrieveLevel=level, PatientID="PAT1", PatientName="")
    await find(FakeQuery(HELD))(asked)
    assert asked.statuses == [0xFF00] * count + [0x0000]
    for _, answer, _ in asked.answers[:-1]:
        assert answer.QueryRetrieveLevel == level
        assert answer.PatientName == "Doe^Jane"
        assert answer.RetrieveAETitle == "ISOCENTER"


async def test_keys_that_are_not_supported_are_told_in_the_status():
    asked = request(KVP="", PatientID="PAT1")
    await find(FakeQuery(HELD))(asked)
    assert asked.statuses == [0xFF01, 0xFF01, 0x0000]
    assert asked.answers[0][1]["KVP"].is_empty


async def test_the_search_is_in_the_audit_trail_before_its_answers():
    audit, asked = FakeAudit(), request(PatientID="PAT1", PatientName="")
    await find(FakeQuery(HELD), audit)(asked)
    [record] = audit.records
    assert record["action"] is AuditAction.QUERY
    assert record["patient_ids"] == ("PAT1",)
    assert record["detail"] == "C-FIND STUDY PatientID"
    assert record["query"] == "PatientID=PAT1"
    assert record["source"].ae_title == "SCANNER"


async def test_without_an_audit_record_nothing_is_answered():
    query, asked = FakeQuery(HELD), request(PatientID="PAT1")
    await find(query, FakeAudit(Unavailable("log does not answer")))(asked)
    assert asked.statuses == [0xA700]
    assert query.searches == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(QueryRetrieveLevel="PATIENT"), 0xA900),
        (request(QueryRetrieveLevel=""), 0xA900),
        (request(StudyDate="yesterday"), 0xC000),
        (FakeRequest(STUDY_ROOT.find, b"\x08\x00\x52\x00CS\xff\xffSTUDY "), 0xC000),
    ],
)
async def test_identifiers_that_cannot_be_understood_are_refused(asked, status):
    await find(FakeQuery(HELD))(asked)
    assert asked.statuses == [status]
    assert asked.answers[0][2]["error_comment"]


@pytest.mark.parametrize(
    ("error", "status"), [(Unavailable("index is down"), 0xA700), (IsocenterError("bug"), 0xC000)]
)
async def test_an_index_that_fails_has_its_status(error, status):
    asked = request(PatientID="PAT1")
    await find(FakeQuery(HELD, error=error))(asked)
    assert asked.statuses == [status]


async def test_cancel_between_answers_stops_the_search():
    query, asked = FakeQuery(HELD), request(QueryRetrieveLevel="IMAGE")
    asked.cancel_after = 2
    await find(query)(asked)
    assert asked.statuses == [0xFF00, 0xFF00, 0xFE00]
    assert query.closed.is_set()


async def test_cancel_is_honoured_while_the_index_is_silent():
    query, asked = FakeQuery(HELD, gate_after=1), request(QueryRetrieveLevel="IMAGE")
    running = asyncio.create_task(find(query)(asked))
    await asked.answered.wait()
    asked.cancelled.set()
    await asyncio.wait_for(running, 5)
    assert asked.statuses == [0xFF00, 0xFE00]
    assert query.closed.is_set()


async def test_answers_are_searched_for_only_as_fast_as_they_are_taken():
    given = 0

    class Endless(FakeQuery):
        async def search(self, caller, search):
            nonlocal given
            self.searches.append(search)
            self.callers.append(caller)
            while True:
                given += 1
                yield [Match(dict(HELD[0].attributes))]

    asked = request(PatientID="")
    asked.cancel_after = 1000
    taken: list[int] = []
    respond = asked.respond

    async def slowly(status, **fields):
        taken.append(given - len(taken))
        await respond(status)

    asked.respond = slowly
    await find(Endless([]))(asked)
    assert asked.statuses[-1] == 0xFE00
    assert max(taken[:-1]) == 1


async def test_work_that_fails_when_nobody_asks_any_more_is_no_error_of_ours():
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    asked = request()

    async def fails():
        asked.cancelled.set()
        await asyncio.sleep(0)  # both are done before anyone looks
        raise Unavailable("the index is gone")

    with pytest.raises(IsocenterError):
        await unless_cancelled(asked, fails())
    gc.collect()
    assert told == []
