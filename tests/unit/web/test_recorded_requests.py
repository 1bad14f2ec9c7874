"""What requests leave in the audit trail beside what their own suites look at: why, in vain, broken
off, refused."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import httpx
import pytest

from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_notices import Notices
from isocenter.v1 import archive_pb2 as pb
from isocenter.web.role import application
from isocenter.web.settings import WebSettings
from support.archive_calls import ended, failed, served
from support.web_fakes import INSTANCE, SERIES, SHOWN, STUDY, Web, multipart, part10

STUDIES = "/dicomweb/studies"
SERIES_PATH = f"{STUDIES}/{STUDY}/series/{SERIES}"


def kept(**more: Any) -> Web:
    web = Web(**more)
    web.storage.keep()
    return web


def purposes_of(web: Web) -> list[str]:
    return [record["source"].purpose for _, record in web.audit.records]


# --- why -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "purpose"),
    [("TREAT", "TREAT"), ("zweite Meinung für Ärzte", "zweite Meinung für Ärzte"), ("", "")],
)
async def test_every_record_of_a_request_says_why_as_the_client_does(
    field: str, purpose: str
) -> None:
    web = kept()
    headers = {"purpose-of-use": field.encode()} if field else {}
    async with web.client() as client:
        for path in (STUDIES, f"{STUDIES}/{STUDY}", INSTANCE + "/metadata", INSTANCE + "/frames/1"):
            assert (await client.get(path, headers=headers)).status_code == 200
        kind = {"content-type": 'multipart/related; type="application/dicom"; boundary=b0'}
        await client.post(STUDIES, content=multipart(part10()), headers={**headers, **kind})
    assert purposes_of(web) == [purpose] * 4
    assert [one.source.purpose for one in web.ingest.announced] == [purpose]


@pytest.mark.parametrize("field", [b"x" * 257, b"a\tb", b"\xff\xfe", "\u2028".encode()])
@pytest.mark.parametrize("path", [STUDIES, INSTANCE, "/viewer/app-config.js"])
async def test_what_cannot_be_recorded_as_a_purpose_is_400(path: str, field: bytes) -> None:
    web = kept()
    async with web.client() as client:
        answer = await client.get(path, headers={"purpose-of-use": field})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Purpose-Of-Use" in answer.json()["detail"]
    assert web.audit.records == []


async def test_a_store_with_a_purpose_that_cannot_be_recorded_stores_nothing() -> None:
    web = Web()
    kind = 'multipart/related; type="application/dicom"; boundary=b0'
    async with web.client() as client:
        answer = await client.post(
            STUDIES,
            content=multipart(part10()),
            headers={"content-type": kind, "purpose-of-use": "x" * 300},
        )
    assert answer.status_code == 400
    assert web.ingest.announced == []


async def test_calls_over_grpc_say_why_in_their_metadata() -> None:
    web = kept()
    metadata = (("purpose-of-use", "TREAT"),)
    async with served(web) as stub:
        ask = pb.RetrieveObjectsRequest(study=STUDY)
        await ended(stub.RetrieveObjects(ask, metadata=metadata))
        await ended(stub.SearchArchive(pb.SearchArchiveRequest(), metadata=metadata))
        long = (("purpose-of-use", "x" * 257),)
        error = await failed(stub.RetrieveObjects(ask, metadata=long))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert purposes_of(web) == ["TREAT", "TREAT"]


# --- in vain -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"{STUDIES}/9.9", f"{STUDIES}/9.9/metadata", f"{STUDIES}/9.9/thumbnail",
        f"{STUDIES}/9.9/rendered", f"{STUDIES}/9.9/bulkdata", f"{STUDIES}/9.9/pixeldata",
        f"{STUDIES}/9.9/series/9.9.1/instances/9.9.1.1/frames/1",
        f"{STUDIES}/9.9/series/9.9.1/instances/9.9.1.1/bulkdata/00420011",
        "/wado?requestType=WADO&studyUID=9.9&seriesUID=9.9.1&objectUID=9.9.1.1",
    ],
)  # fmt: skip
async def test_who_asks_for_what_is_not_there_is_recorded(path: str) -> None:
    web = kept()
    assert (await web.get(path, accept="*/*")).status_code == 404
    ((action, record),) = web.audit.records
    assert (action, record["outcome"]) == ("retrieve", AuditOutcome.FAILURE)
    assert (record["studies"], record["instance_count"]) == (("9.9",), 0)
    assert record["error"].startswith("no such ")
    async with web.client() as client:
        assert (await client.head(path)).status_code == 404
    assert len(web.audit.records) == 1


# --- broken off ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [f"{STUDIES}/{STUDY}", SERIES_PATH])
async def test_an_answer_that_breaks_off_is_recorded_once_more(path: str) -> None:
    web = kept()
    web.storage.chunk = 50
    web.storage.corrupted = True
    async with web.listening() as (_, address), httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(address + path)
        async with asyncio.timeout(10):
            while len(web.audit.records) < 2:
                await asyncio.sleep(0.01)
    (first, told), (action, broken) = web.audit.records
    assert first == action == "retrieve"
    assert (told["outcome"], told["instance_count"]) == (AuditOutcome.SUCCESS, 1)
    assert broken["outcome"] is AuditOutcome.MINOR_FAILURE
    assert (broken["studies"], broken["series"]) == (told["studies"], told["series"])
    assert (broken["detail"], broken["source"]) == (told["detail"], told["source"])
    assert broken["error"]


async def test_a_client_that_goes_away_is_recorded_as_one_that_did_not_get_all() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=30))
    web.storage.keep(data=bytes(64 * 1024 * 1024))
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(f"GET {INSTANCE} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n".encode())
        await reader.readexactly(1000)
        writer.transport.abort()
        async with asyncio.timeout(10):
            while len(web.audit.records) < 2:
                await asyncio.sleep(0.01)
    assert web.audit.records[1][1]["outcome"] is AuditOutcome.MINOR_FAILURE


async def test_an_answer_that_leaves_whole_leaves_one_record() -> None:
    web = kept()
    async with web.listening() as (_, address), httpx.AsyncClient() as client:
        for path in (f"{STUDIES}/{STUDY}", INSTANCE, INSTANCE + "/metadata"):
            answer = await client.get(address + path)
            assert answer.status_code == 200
            known = {"if-none-match": answer.headers["etag"]}
            assert (await client.get(address + path, headers=known)).status_code == 304
            assert (await client.head(address + path)).status_code == 200
    outcomes = [record["outcome"] for _, record in web.audit.records]
    assert outcomes == [AuditOutcome.SUCCESS] * 3


async def test_a_call_that_breaks_off_is_recorded_once_more() -> None:
    web = kept()
    web.storage.corrupted = True
    async with served(web) as stub:
        error = await failed(stub.RetrieveObjects(pb.RetrieveObjectsRequest(study=STUDY)))
        assert error.code() is grpc.StatusCode.DATA_LOSS
    outcomes = [record["outcome"] for _, record in web.audit.records]
    assert outcomes == [AuditOutcome.SUCCESS, AuditOutcome.MINOR_FAILURE]


# --- refused -------------------------------------------------------------------------------------


async def test_what_is_forbidden_is_recorded_without_holding_anybody_up() -> None:
    web = kept(settings=WebSettings(port=0, deletion=False))
    notices = Notices(web.audit)  # type: ignore[arg-type]
    served_ = application(web.settings, web.services, list, notices)
    transport = httpx.ASGITransport(served_)  # type: ignore[arg-type]
    known = httpx.AsyncClient(transport=transport, base_url="http://pacs.test", cookies=SHOWN)
    async with known as client:
        for _ in range(5):
            assert (await client.delete(f"{STUDIES}/{STUDY}")).status_code == 403
    await notices.stop()
    assert {action for action, _ in web.audit.records} == {AuditAction.NETWORK.value}
    *_, record = (fields for _, fields in web.audit.records)
    assert record["outcome"] is AuditOutcome.FAILURE
    assert record["source"].host == "127.0.0.1"
    assert "DELETE /dicomweb/studies/{study}: " in record["error"]
    assert STUDY not in record["error"]
