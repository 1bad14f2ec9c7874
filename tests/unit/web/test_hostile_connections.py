"""What generated requests found at the level of connections: each was once answered wrongly."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import h11
import pytest

from isocenter.web.role import WebRole
from isocenter.web.settings import WebSettings
from support.raw_connections import answers, connected, talk
from support.web_fakes import SERIES, STUDY, Web

SERIES_PATH = f"/dicomweb/studies/{STUDY}/series/{SERIES}"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/dicom\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def assert_problem(answer: tuple[h11.Response, bytes], status: int) -> None:
    response, body = answer
    assert response.status_code == status
    assert dict(response.headers)[b"content-type"] == b"application/problem+json"
    assert dict(response.headers)[b"connection"] == b"close"
    assert json.loads(body)["status"] == status
    assert json.loads(body)["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        b"FOO / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        CHUNKED + b"x\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    ],
)
async def test_what_is_no_http_gets_a_problem_document(sent: bytes) -> None:
    (answer,) = await talk(sent)
    assert_problem(answer, 400)


@pytest.mark.parametrize("behind", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000])
async def test_garbage_behind_a_request_leaves_its_answer_whole(behind: bytes) -> None:
    web = Web()
    web.storage.keep(data=bytes(3_000_000))
    ask = f"GET {SERIES_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    ((response, body),) = await talk(ask + behind, web)
    assert response.status_code == 200
    assert len(body) > 3_000_000


@pytest.mark.parametrize("trailer", [b"X: y\r\n" * 50_000, b"X: " + b"y" * 300_000])
async def test_trailers_without_end_are_refused(trailer: bytes) -> None:
    (answer,) = await talk(CHUNKED + b"1\r\nx\r\n0\r\n" + trailer)
    assert_problem(answer, 431)


@pytest.mark.parametrize("before", [b"", GET], ids=["first", "behind a request"])
async def test_empty_lines_without_end_are_refused(before: bytes) -> None:
    *_, last = await talk(before + b"\r\n" * 500_000)
    assert_problem(last, 431)


async def test_trailers_are_no_header_fields() -> None:
    body = b"2\r\n[]\r\n0\r\nAccept: text/html\r\nConnection: close\r\n\r\n"
    kind = b"Content-Type: application/dicom+json\r\nTransfer-Encoding: chunked\r\n"
    sent = (
        b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        + kind
        + b"\r\n"
    )
    ((response, _),) = await talk(sent + body)
    assert response.status_code == 400


async def test_a_connection_stays_open_over_many_small_requests() -> None:
    async with connected(Web()) as (reader, writer):
        for _ in range(2 * WebSettings().max_head // len(GET)):
            writer.write(GET)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert b"connection: close" not in head.lower()
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))


@pytest.mark.parametrize(
    "ahead",
    [GET * 4000, (POST + b"Content-Length: 100000\r\n\r\n" + bytes(100_000)) * 2],
    ids=["heads", "bodies"],
)
async def test_a_head_is_not_as_long_as_what_is_sent_ahead_of_it(ahead: bytes) -> None:
    requests, half = ahead.count(b" HTTP/1.1"), len(GET) // 2
    async with connected(Web()) as (reader, writer):
        writer.write(ahead + GET[:half])
        assert len(await statuses(reader, requests)) == requests
        writer.write(GET[half:])
        assert await statuses(reader, 1) == [b"200"]


async def statuses(reader: asyncio.StreamReader, count: int) -> list[bytes]:
    """Of so many answers, as they come; 431 is none of them."""
    read = b""
    while len(found := re.findall(rb"HTTP/1.1 (\d+)", read)) < count:
        piece = await asyncio.wait_for(reader.read(65_536), 10)
        assert piece, (len(found), read[-500:])
        read += piece
    assert b"431" not in found
    return found


async def test_requests_that_are_sent_ahead_wait_at_the_client() -> None:
    web = Web()
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        sending = asyncio.create_task(_flood(writer))
        waiting = received = 0
        while received < 1_000_000:
            received += len(await reader.read(1 << 16))
            for one in role._server._server.server_state.connections:
                waiting = max(waiting, len(one.pipeline))  # type: ignore[union-attr]
        sending.cancel()
        writer.transport.abort()
    assert 0 < waiting < 10_000, "what one read of the socket holds, of 300,000"


async def _flood(writer: asyncio.StreamWriter) -> None:
    for _ in range(300):
        writer.write(GET * 1000)
        await writer.drain()


async def test_a_body_that_was_answered_before_its_end_is_not_awaited_for_ever() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=0.3))
    sent = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    async with connected(web) as (reader, writer), asyncio.timeout(10):
        writer.write(sent)
        assert (await reader.readline()).startswith(b"HTTP/1.1 405")
        rest = asyncio.create_task(reader.read())
        while not rest.done():  # a byte now and then
            writer.write(b"x")
            await asyncio.sleep(0.05)


async def test_too_many_connections_are_answered_with_a_problem_document() -> None:
    web = Web(settings=WebSettings(port=0, max_connections=2))
    async with web.listening() as (role, _):
        held = [await asyncio.open_connection("127.0.0.1", role.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(GET)
        (answer,) = answers(await asyncio.wait_for(reader.read(), 10))
        assert_problem(answer, 503)
        for _, writer in held:
            writer.transport.abort()


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_a_request_to_upgrade_is_answered_and_is_the_last(
    protocol: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n"
    ((response, _),) = await talk(ask % protocol + GET)
    assert response.status_code == 200
    assert dict(response.headers)[b"connection"] == b"close"
    assert "pip install" not in caplog.text


async def test_no_task_is_left_of_broken_connections() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=0.3))
    web.storage.keep(data=bytes(3_000_000))
    async with web.listening() as (role, _):
        await asyncio.sleep(0)
        before = len(asyncio.all_tasks())
        series = f"GET {SERIES_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        length = POST + b"Content-Length: 9\r\n\r\n1"
        for sent in (GET * 50, CHUNKED + b"x\r\n", length, b"GET", series):
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", role.port)
                writer.write(sent)
                await writer.drain()
                writer.transport.abort()
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > before or web_connections(role):
                await asyncio.sleep(0.01)


def web_connections(role: WebRole) -> int:
    return len(role._server._server.server_state.connections)
