"""Deletion and its undoing over HTTP."""

from __future__ import annotations

import pytest

from isocenter.core.errors import NotFound, Unavailable
from isocenter.web.settings import WebSettings
from support.web_fakes import INSTANCE, SERIES, STUDY, Web

ADDRESS = f"/dicomweb/studies/{STUDY}"


@pytest.mark.parametrize(
    ("path", "level"),
    [
        (ADDRESS, (STUDY, "", "")),
        (f"{ADDRESS}/series/{SERIES}", (STUDY, SERIES, "")),
        (INSTANCE, (STUDY, SERIES, "1.2.3.4.5")),
    ],
)
async def test_each_level_is_deleted_with_the_reason(path, level) -> None:
    web = Web()
    async with web.client() as client:
        answer = await client.delete(path, params={"reason": "wrong patient"})
    assert answer.status_code == 200
    (done,) = web.ingest.deleted
    assert (done.study, done.series, done.instance) == level
    assert (done.reason, done.by.protocol) == ("wrong patient", "DICOMweb")
    told = answer.json()
    names = ("study", "series", "instance")
    assert {n: told[n] for n in names if n in told} == {
        n: uid for n, uid in zip(names, level, strict=True) if uid
    }
    assert (told["id"], told["deleted"], told["objects"]) == (done.id, 3, 3)
    assert told["keptUntil"] == "2026-12-03T00:00:00.000Z"


async def test_what_follows_later_is_accepted() -> None:
    web = Web()
    web.ingest.slow = True
    async with web.client() as client:
        answer = await client.delete(ADDRESS)
        assert (answer.status_code, answer.json()["deleted"]) == (202, 1)
        back = await client.post(f"/api/deletions/{answer.json()['id']}/restore")
        assert (back.status_code, back.json()["deleted"]) == (202, 1)


async def test_deletions_are_listed_and_undone_and_both_are_recorded() -> None:
    web = Web()
    async with web.client() as client:
        first = (await client.delete(ADDRESS)).json()
        await client.delete(INSTANCE)
        listed = (await client.get("/api/deletions")).json()["deletions"]
        assert [one["id"] for one in listed] == [one.id for one in web.ingest.deleted]
        assert web.audit.records[-1][0] == "query"
        back = await client.post(f"/api/deletions/{first['id']}/restore")
        assert (back.status_code, back.json()["deleted"]) == (200, 0)
        again = await client.post(f"/api/deletions/{first['id']}/restore")
        assert again.status_code == 404
        assert len((await client.get("/api/deletions")).json()["deletions"]) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("nothing is kept there"), 404), (Unavailable("away"), 503)]
)
async def test_what_cannot_be_deleted_is_a_problem(error, status) -> None:
    web = Web()
    web.ingest.error = error
    async with web.client() as client:
        answer = await client.delete(ADDRESS)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_unknown_parameters_and_addresses_are_refused() -> None:
    web = Web()
    async with web.client() as client:
        assert (await client.delete(f"{ADDRESS}?why=x")).status_code == 400
        assert (await client.delete("/dicomweb/studies/1..2")).status_code == 400
        assert (await client.delete("/dicomweb/studies")).status_code == 405
        assert (await client.get("/api/deletions?x=y")).status_code == 400
        assert (await client.get("/api/deletions/1/restore")).status_code == 405
    assert web.ingest.deleted == []


async def test_a_server_that_deletes_nothing_says_so() -> None:
    web = Web(settings=WebSettings(port=0, deletion=False))
    async with web.client() as client:
        for answer in (await client.delete(ADDRESS), await client.post("/api/deletions/1/restore")):
            assert answer.status_code == 403
            assert "[web] deletion" in answer.json()["detail"]
    assert web.ingest.deleted == []
