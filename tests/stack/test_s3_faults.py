"""What happens to blobs in a bucket when the server, the network or the settings fail."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from pydantic import SecretStr

from contract.blob_store_suite import KEY
from isocenter.adapters.blobs.s3 import client as s3_client
from isocenter.adapters.settings import S3Settings
from isocenter.core.errors import Invalid, NotFound, Unavailable
from isocenter.core.ports import Kept
from support.buckets import SETTINGS, digest, opened, prepared, put
from support.cutting_proxy import CuttingProxy
from support.ports import free_ports
from support.stack import Server, Stack

MIB = 1024 * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A MinIO of the test's own."""
    server = Server("minio", tmp_path / "minio")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def proxy(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[CuttingProxy]:
    monkeypatch.setattr(s3_client, "PAUSES", (0.01, 0.02))
    with CuttingProxy(stack.minio.address) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: CuttingProxy, name: str) -> str:
    return f"s3://{proxy.address}/{name}"


@pytest.mark.slow
async def test_what_was_acknowledged_survives_the_end_of_the_server(server):
    url = f"s3://{server.address}/kill"
    acknowledged: dict[str, str] = {}

    async def send(worker: int) -> None:
        for number in range(10_000):
            content = os.urandom(200_000 + number)
            key = f"objects/main/{worker}/{number}/{digest(content)}"
            await put(blobs, key, content)
            acknowledged[key] = digest(content)

    async with prepared(url) as blobs:
        sending = [asyncio.create_task(send(worker)) for worker in range(8)]
        while len(acknowledged) < 60:
            await asyncio.sleep(0.01)
        server.kill()
        ends = await asyncio.gather(*sending, return_exceptions=True)
        assert {type(end) for end in ends} == {Unavailable}
        server.start()
        listed = {info.key: info.size async for info in blobs.list("objects/")}
        assert set(acknowledged) <= set(listed)
        for key, size in listed.items():  # what was not acknowledged is whole too
            content = await blobs.get(key)
            assert (len(content), digest(content)) == (size, key.rpartition("/")[2])


async def test_a_frozen_server_is_unavailable_in_bounded_time(server, monkeypatch):
    monkeypatch.setattr(s3_client, "TIMEOUT", urllib3.Timeout(connect=1, read=2))
    async with prepared(f"s3://{server.address}/frozen") as blobs:
        await put(blobs, KEY, b"x")
        server.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(Unavailable, match="in time"):
                await put(blobs, f"{KEY}2", b"y")
            assert time.monotonic() - began < s3_client.REPEAT_SECONDS + 3
        finally:
            server.thaw()
        await put(blobs, f"{KEY}2", b"y")


async def test_a_server_that_is_away_is_unavailable_and_its_return_needs_no_opening(server):
    async with prepared(f"s3://{server.address}/away") as blobs:
        await put(blobs, KEY, b"x")
        server.stop()
        with pytest.raises(Unavailable, match=server.address):
            await blobs.get(KEY)
        with pytest.raises(Unavailable):
            await put(blobs, f"{KEY}2", b"y")
        server.start()
        assert await blobs.get(KEY) == b"x"


async def test_opening_asks_nothing_of_a_server_that_was_never_there():
    (port,) = free_ports(1)
    async with opened(f"s3://127.0.0.1:{port}/none") as blobs:
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}"):
            [info async for info in blobs.list("objects/")]


@pytest.mark.parametrize("size", [1, MIB, 5 * MIB])
async def test_reading_goes_on_where_the_connection_broke(proxy, url, size):
    content = os.urandom(size)
    async with prepared(url) as blobs:
        await put(blobs, KEY, content)
        for after in (30, 100, size // 3, size // 2 + 300):
            proxy.cut(after, times=2)
            assert await blobs.get(KEY) == content
            assert proxy.cuts_left == 0
            proxy.cut(after, times=2)
            assert b"".join([chunk async for chunk in blobs.stream(KEY, 1)]) == content[1:]
            proxy.cut(after, times=2)
            kept = Kept(KEY, digest(content))
            assert b"".join([chunk async for chunk in blobs.checked(kept)]) == content


async def test_a_connection_that_always_breaks_is_no_end_of_a_blob(proxy, url):
    async with prepared(url) as blobs:
        await put(blobs, KEY, os.urandom(MIB))
        proxy.cut(200, times=1000)
        for reading in (blobs.stream(KEY), blobs.checked(Kept(KEY, "0" * 64))):
            with pytest.raises(Unavailable, match="broke"):
                [chunk async for chunk in reading]
        with pytest.raises(Unavailable, match="broke"):
            await blobs.get(KEY)


@pytest.mark.parametrize("size", [1000, 20 * MIB])
async def test_a_lost_answer_to_a_write_makes_no_difference(proxy, url, size):
    content = os.urandom(size)
    lost = 0
    async with prepared(url) as blobs:
        for number in range(8):
            key = f"objects/main/1/2/{number}/a.dcm"
            async with await blobs.stage() as staged:
                proxy.cut(500 * number)  # an answer is not much longer: it is another one each time
                await staged.write(content)
                await staged.commit(key, digest(content))
            lost += proxy.cuts_left == 0
            proxy.cut(0, times=0)
            assert digest(await blobs.get(key)) == digest(content)
    assert lost >= (1 if size == 1000 else 8)


async def test_an_answer_to_a_put_that_is_lost_is_asked_for_again(proxy, url, name):
    async with prepared(url) as blobs:
        proxy.requests.clear()
        proxy.cut(0)
        await put(blobs, KEY, b"x")
    assert [one.partition(" ")[0] for one in proxy.requests] == ["PUT", "PUT", "HEAD"]


async def test_a_staged_blob_that_lost_a_part_cannot_be_committed(proxy, url):
    async with prepared(url) as blobs, await blobs.stage() as staged:
        await staged.write(bytes(8 * MIB))
        proxy.cut(0, times=1000)
        with pytest.raises(Unavailable):
            await staged.write(b"one more")
        proxy.cut(0, times=0)
        for call in (staged.write(b"x"), staged.commit(KEY, digest(bytes(8 * MIB) + b"x"))):
            with pytest.raises(Invalid, match="closed"):
                await call
        with pytest.raises(NotFound):
            await blobs.stat(KEY)


async def test_wrong_keys_are_named_and_never_told(stack, name):
    url = f"s3://{stack.minio.address}/{name}"
    async with prepared(url):
        pass
    wrong = SETTINGS.model_copy(update={"secret_key": SecretStr("not-the-secret")})
    unknown = SETTINGS.model_copy(update={"access_key": "nobody"})
    for settings, told in ((wrong, "secret_key is not"), (unknown, "not know .s3. access_key")):
        async with opened(url, settings) as blobs:
            for call in (put(blobs, KEY, b"x"), blobs.stat(KEY), blobs.get(KEY)):
                with pytest.raises(Unavailable, match=told) as raised:
                    await call
                assert "not-the-secret" not in str(raised.value)


async def test_a_missing_bucket_is_never_a_missing_blob(stack, name):
    async with opened(f"s3://{stack.minio.address}/{name}") as blobs:
        calls = (
            put(blobs, KEY, b"x"),
            blobs.stat(KEY),
            blobs.get(KEY),
            blobs.delete(KEY),
            anext(blobs.list("objects/")),
        )
        for call in calls:
            with pytest.raises(Unavailable, match=f"bucket {name} does not exist.*--prepare"):
                await call


async def test_blobs_travel_encrypted_to_a_server_that_is_trusted(stack, name, tmp_path):
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    content = os.urandom(9 * MIB)
    async with prepared(f"s3://{stack.minio.address}/{name}"):
        pass
    with CuttingProxy(stack.minio.address, tls) as proxy:
        url = f"s3://{proxy.address}/{name}"
        trusting = SETTINGS.model_copy(update={"tls": True, "ca_file": certificate})
        async with opened(url, trusting) as blobs:
            await put(blobs, KEY, content)
            async with await blobs.stage() as staged:
                await staged.write(content)
                await staged.commit(f"{KEY}2", digest(content))
            assert await blobs.get(f"{KEY}2") == content
        async with opened(url, S3Settings(**{**dict(trusting), "ca_file": None})) as blobs:
            with pytest.raises(Unavailable, match=r"encrypted.*ca_file"):
                await blobs.get(KEY)
