"""The web role on a real socket: streams, drains, aborts, and independent clients."""

from __future__ import annotations

import asyncio
import io
import re
import socket
from contextlib import suppress

import httpx
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread

from isocenter.core.errors import Unavailable
from isocenter.web.role import WebRole
from isocenter.web.server import JoiningTransport
from isocenter.web.settings import WebSettings
from support.web_fakes import INSTANCE, SERIES, STUDY, Web, part10, study

BIG = 8 * 1024 * 1024
SERIES_PATH = f"/dicomweb/studies/{STUDY}/series/{SERIES}"


async def test_an_answer_that_fails_midway_is_visibly_incomplete() -> None:
    web = Web()
    web.storage.keep(data=bytes(1_000_000))
    web.storage.corrupted = True
    async with web.listening() as (_, url), httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(url + SERIES_PATH)
        with pytest.raises(httpx.TransportError):
            await client.get(url + INSTANCE, headers={"accept": "application/dicom"})
        assert (await client.get(url + "/livez")).status_code == 200


async def test_a_reader_that_stops_costs_a_bounded_buffer_and_frees_all_when_it_goes() -> None:
    web = Web()
    web.storage.keep(data=bytes(64 * 1024 * 1024))
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port, limit=1024)
        writer.write(f"GET {SERIES_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readexactly(64)
        before = -1
        while web.storage.sent != before:
            before = web.storage.sent
            await asyncio.sleep(0.3)
        assert web.storage.sent * web.storage.chunk < 16 * 1024 * 1024
        writer.transport.abort()
        async with asyncio.timeout(5):
            while not web.storage.closed:
                await asyncio.sleep(0.01)


async def test_a_reader_that_stalls_too_long_is_cut_off() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=0.3))
    web.storage.keep(data=bytes(64 * 1024 * 1024))
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port, limit=1024)
        writer.write(f"GET {SERIES_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = len(await reader.readexactly(64))
        async with asyncio.timeout(5):
            while not web.storage.closed:
                await asyncio.sleep(0.01)
            with suppress(ConnectionError):
                while chunk := await reader.read(65536):
                    received += len(chunk)
        assert received < 64 * 1024 * 1024, "the connection ended before the answer did"
        writer.close()


async def test_draining_finishes_what_is_under_way_and_accepts_nothing_new() -> None:
    web = Web()
    web.storage.keep(data=bytes(BIG))
    async with web.listening() as (role, url), httpx.AsyncClient() as client:
        async with client.stream("GET", url + SERIES_PATH) as answer:
            drained = asyncio.create_task(role.drain())
            while role.problems() == ():
                await asyncio.sleep(0.01)
            size = sum([len(chunk) async for chunk in answer.aiter_bytes()])
        await asyncio.wait_for(drained, 5)
        assert size > BIG
        with pytest.raises(httpx.ConnectError):
            await client.get(url + "/livez")


async def test_two_roles_share_a_port_and_a_stranger_is_told() -> None:
    web = Web()
    async with web.listening() as (role, _):
        shared = web.settings.model_copy(update={"port": role.port})
        second = WebRole(web.application, shared, web.feed)
        await second.start()
        assert second.problems() == ()
        await second.stop()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        alone = WebRole(web.application, WebSettings(port=port), web.feed)
        with pytest.raises(Unavailable, match=r"cannot listen on 127\.0\.0\.1"):
            await alone.start()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x01\x00\x00\x00\x00\xcd not http at all\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000,
        b"GET /" + b"a" * 200_000,
    ],
)
async def test_what_is_not_http_or_too_long_is_refused_and_the_next_request_works(
    sent: bytes,
) -> None:
    web = Web()
    async with web.listening() as (role, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
        writer.close()
        async with httpx.AsyncClient() as client:
            assert (await client.get(url + "/livez")).status_code == 200


async def test_a_silent_connection_is_closed() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=0.2))
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(b"GET / HT")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_later_head_that_does_not_end_is_not_awaited_for_ever() -> None:
    web = Web(settings=WebSettings(port=0, stall_timeout=0.2))
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HT")
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.count(b"HTTP/1.1") == 1
        writer.close()


async def test_answers_to_pipelined_requests_come_whole_and_in_order() -> None:
    web = Web()
    web.query.answers = [study(1)]
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        paths = [b"/livez", b"/dicomweb/studies", b"/nothing", b"/livez"]
        heads = [b"GET %s HTTP/1.1\r\nHost: localhost\r\n" % path for path in paths]
        writer.write(b"\r\n".join(heads) + b"Connection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        codes = re.findall(rb"HTTP/1\.1 (\d+)", answer)
        assert codes == [b"200", b"200", b"404", b"200"]
        writer.close()


class FakeTransport(asyncio.Transport):
    """Notes what leaves together."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[bytes]] = []
        self.closed = False

    def write(self, data) -> None:
        self.sent.append([data])

    def writelines(self, list_of_data) -> None:
        self.sent.append(list(list_of_data))

    def close(self) -> None:
        self.closed = True


async def test_a_head_leaves_together_with_what_follows_it_at_once() -> None:
    inner = FakeTransport()
    transport = JoiningTransport(inner, asyncio.get_running_loop())
    transport.write(b"head")
    assert inner.sent == []
    transport.write(b"body")
    assert inner.sent == [[b"head", b"body"]]
    transport.write(b"alone")
    await asyncio.sleep(0)
    assert inner.sent[1:] == [[b"alone"]]
    transport.write(bytes(100_000))
    assert len(inner.sent) == 3
    transport.write(b"last")
    transport.close()
    await asyncio.sleep(0)
    assert inner.sent[3:] == [[b"last"]]
    assert inner.closed


async def test_dicomweb_client_stores_searches_and_retrieves() -> None:
    web = Web()
    web.storage.keep()
    web.query.answers = [study(n) for n in range(250)]
    async with web.listening() as (_, url):
        client = DICOMwebClient(url + "/dicomweb")
        named = (STUDY, SERIES, "1.2.3.4.5")
        found = await asyncio.to_thread(
            client.search_for_studies, search_filters={"PatientID": "P*"}
        )
        assert len(found) == 250
        instance = await asyncio.to_thread(client.retrieve_instance, *named)
        assert instance.SOPInstanceUID == "1.2.3.4.5"
        series = await asyncio.to_thread(client.retrieve_series, STUDY, SERIES)
        assert [one.PatientID for one in series] == ["P1"]
        metadata = await asyncio.to_thread(client.retrieve_series_metadata, STUDY, SERIES)
        assert "00420011" in metadata[0]
        frames = await asyncio.to_thread(client.retrieve_instance_frames, *named, [1, 2])
        assert frames == [b"FRAME", b"FRAME"]
        bulk = await asyncio.to_thread(
            client.retrieve_bulkdata, metadata[0]["00420011"]["BulkDataURI"]
        )
        assert bulk == [b"%PDF-1.7"]
        stored = dcmread(io.BytesIO(part10("1.9")))
        answer = await asyncio.to_thread(client.store_instances, [stored])
        assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.9"


async def test_curl_uploads_in_chunks_and_waits_for_100_continue() -> None:
    web = Web()
    boundary = "c" * 70
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + part10("1.9") + bytes(BIG) + f"\r\n--{boundary}--".encode()
    async with web.listening() as (_, url):
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "-T", "-", "-X", "POST", "-w", "%{http_code}",
            "-H", "Expect: 100-continue", "-H",
            f'Content-Type: multipart/related; type="application/dicom"; boundary={boundary}',
            url + "/dicomweb/studies",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate(body)
    assert out.endswith(b"200")
    assert len(web.ingest.received["1.9"]) > BIG
