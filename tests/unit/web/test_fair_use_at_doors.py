"""Limits of callers over HTTP and gRPC: one set for both."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from isocenter.core.events import AuditAction
from isocenter.runtime.audit_notices import Notices
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import LimitSettings
from isocenter.v1 import archive_pb2 as pb
from isocenter.v1 import archive_pb2_grpc
from isocenter.web.role import application
from isocenter.web.settings import WebSettings
from support.archive_calls import channel_to, failed
from support.closed_web import ClosedWeb, bearer
from support.telemetry import Recorder
from support.waiting import until
from support.web_fakes import INSTANCE

HERE, STUDIES = "192.0.2.1", "/dicomweb/studies"
COUNT = pb.SearchArchiveRequest()


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def test_too_many_requests_are_a_problem_with_the_time_to_try_again() -> None:
    recorder = Recorder()
    web = ClosedWeb(
        limits=LimitSettings(requests_per_second=0.25, burst=2), telemetry=recorder.telemetry
    )
    wild, calm = bearer(await web.token("wild")), bearer(await web.token("calm"))
    async with web.from_address(HERE) as client:
        answers = [await client.get(STUDIES, headers=wild) for _ in range(3)]
        assert [one.status_code for one in answers] == [200, 200, 429]
        refused = answers[-1]
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        assert refused.json()["title"] == "Too Many Requests"
        assert refused.json()["detail"].startswith("one caller may not ask so often")
        assert (await client.get(STUDIES, headers=calm)).status_code == 200
        web.now += 4
        assert (await client.get(STUDIES, headers=wild)).status_code == 200
    assert recorder.values(LIMITS_REFUSED) == {("requests",): 1}


async def test_requests_under_way_are_counted_until_they_are_answered() -> None:
    web = ClosedWeb(limits=LimitSettings(requests_at_once=2))
    token = bearer(await web.token("wild"))
    async with web.from_address(HERE, headers=token) as client:
        waiting = [asyncio.create_task(client.get("/changes?wait=20")) for _ in range(2)]
        while (refused := await client.get(STUDIES)).status_code == 200:
            await asyncio.sleep(0)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        waiting.pop().cancel()
        while (await client.get(STUDIES)).status_code == 429:
            await asyncio.sleep(0)
        web.feed.stop()
        assert (await waiting[0]).status_code == 200


async def test_a_request_that_fails_is_over() -> None:
    web = ClosedWeb(limits=LimitSettings(requests_at_once=1))
    async with web.from_address(HERE, headers=bearer(await web.token("one"))) as client:
        for path in ("/nothing", f"{STUDIES}/no-uid", "/access", f"{STUDIES}?limit=x", STUDIES):
            assert (await client.get(path)).status_code in (200, 400, 403, 404), path
        assert (await client.get("/access", headers={"accept": "text/html"})).status_code == 403


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_whether_we_are_well_may_be_asked_all_the_time(path: str) -> None:
    web = ClosedWeb(limits=LimitSettings(address_burst=1))
    async with web.from_address(HERE) as client:
        assert {(await client.get(path)).status_code for _ in range(20)} == {200}


async def test_the_address_is_the_one_that_a_trusted_proxy_tells() -> None:
    web = ClosedWeb(
        WebSettings(port=0, trusted_proxies=("10.0.0.1",)),
        limits=LimitSettings(address_requests_per_second=0.1, address_burst=2),
    )

    async def ask(client: httpx.AsyncClient, behind: str) -> int:
        return (await client.get("/sign-in", headers={"x-forwarded-for": behind})).status_code

    async with web.from_address("10.0.0.1") as proxy, web.from_address("10.0.0.2") as other:
        assert [await ask(proxy, "192.0.2.1") for _ in range(3)] == [200, 200, 429]
        assert await ask(proxy, "192.0.2.2") == 200
        assert [await ask(other, f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]


async def test_frames_of_a_viewer_come_as_quickly_as_it_asks() -> None:
    web = ClosedWeb()
    web.storage.keep(frames=1)
    async with web.from_address(HERE, headers=bearer(await web.token("viewer"))) as client:
        asked = [client.get(f"{INSTANCE}/frames/1") for _ in range(1000)]
        for at in range(0, 1000, 100):
            answers = await asyncio.gather(*asked[at : at + 100])
            assert {one.status_code for one in answers} == {200}


async def test_who_had_too_much_is_in_the_audit_trail() -> None:
    web = ClosedWeb(limits=LimitSettings(requests_per_second=0.1, burst=1))
    notices = Notices(web.audit)  # type: ignore[arg-type]
    web.application = application(web.settings, web.services, list, notices)
    async with web.from_address(HERE, headers=bearer(await web.token("wild"))) as client:
        assert [(await client.get(STUDIES)).status_code for _ in range(2)] == [200, 429]
        await notices.stop()
    action, fields = web.audit.records[-1]
    assert (action, fields["source"].user) == (AuditAction.NETWORK.value, "wild")
    assert "one caller may not ask so often" in fields["error"]


async def test_calls_of_grpc_and_requests_count_together_and_are_refused_in_their_own_form() -> (
    None
):
    web = ClosedWeb(limits=LimitSettings(requests_per_second=0.1, burst=2))
    wild, calm = await web.token("wild"), await web.token("calm")
    async with channel_to(web) as channel, web.from_address(HERE) as client:
        stub = archive_pb2_grpc.ArchiveServiceStub(channel)
        assert (await client.get(STUDIES, headers=bearer(wild))).status_code == 200
        await stub.CountArchive(COUNT, metadata=metadata(wild))
        error = await failed(stub.CountArchive(COUNT, metadata=metadata(wild)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.details().startswith("one caller may not ask so often")
        await stub.CountArchive(COUNT, metadata=metadata(calm))
    sent = dict(error.trailing_metadata())["grpc-status-details-bin"]
    *_, detail = status_pb2.Status.FromString(sent).details
    again = error_details_pb2.RetryInfo()
    assert detail.Unpack(again)
    assert again.retry_delay.seconds == 10


async def test_calls_under_way_are_counted_until_they_end() -> None:
    web = ClosedWeb(limits=LimitSettings(requests_at_once=1))
    wild, calm = metadata(await web.token("wild")), metadata(await web.token("calm"))
    async with channel_to(web) as channel, asyncio.timeout(20):
        stub = archive_pb2_grpc.ArchiveServiceStub(channel)
        watching = stub.WatchChanges(pb.WatchChangesRequest(), metadata=wild)
        await watching.read()
        error = await failed(stub.CountArchive(COUNT, metadata=wild))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "more than 1 requests under way" in error.details()
        await stub.CountArchive(COUNT, metadata=calm)
        watching.cancel()
        await until(lambda: not web.fair_use._at_once._now)
        await stub.CountArchive(COUNT, metadata=wild)


async def test_wrong_tokens_over_grpc_cost_the_address() -> None:
    web = ClosedWeb(limits=LimitSettings(address_requests_per_second=0.1, address_burst=3))
    known = metadata(await web.token("reader"))
    async with channel_to(web) as channel:
        stub = archive_pb2_grpc.ArchiveServiceStub(channel)
        await stub.CountArchive(COUNT, metadata=known)
        wrong = metadata(f"iso_{'0' * 16}_{'x' * 43}")
        codes = [(await failed(stub.CountArchive(COUNT, metadata=wrong))).code() for _ in range(5)]
        unauthenticated, exhausted = (
            grpc.StatusCode.UNAUTHENTICATED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        )
        assert codes == [unauthenticated] * 3 + [exhausted] * 2
        await stub.CountArchive(COUNT, metadata=known)
