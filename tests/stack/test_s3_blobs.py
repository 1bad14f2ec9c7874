"""Blobs in a bucket of MinIO: the port's contract, and what it costs to keep it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from minio import S3Error

from contract.blob_store_suite import KEY, BlobStoreSuite
from isocenter.adapters.blobs.s3 import writing as s3_writing
from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.adapters.blobs.s3.staging import FIRST_PART, STAGING
from isocenter.core.errors import Corrupted, Invalid, NotFound
from support.buckets import SETTINGS, digest, opened, prepared, put
from support.cutting_proxy import CuttingProxy
from support.harness import wait_until
from support.stack import Stack

MIB = 1024 * 1024


@pytest.fixture
def url(stack: Stack, name: str) -> str:
    return f"s3://{stack.minio.address}/{name}"


@pytest.fixture
async def blobs(url: str) -> AsyncIterator[S3Blobs]:
    async with prepared(url) as store:
        yield store


class TestS3Blobs(BlobStoreSuite):
    __test__ = True

    @pytest.fixture
    async def blobs(self, url):
        async with prepared(url) as store:
            yield store


class TestS3BlobsWithVersions(BlobStoreSuite):
    """What was deleted stays in the bucket as an old version, and nobody sees it."""

    __test__ = True

    @pytest.fixture
    async def blobs(self, url):
        async with prepared(url, SETTINGS.model_copy(update={"versioning": True})) as store:
            yield store


@pytest.fixture
async def watched(stack: Stack, name: str, blobs: S3Blobs) -> AsyncIterator[tuple[S3Blobs, list]]:
    """The same bucket, and the requests that go there."""
    with CuttingProxy(stack.minio.address) as proxy:
        async with opened(f"s3://{proxy.address}/{name}") as store:
            yield store, proxy.requests


async def stage(blobs: S3Blobs, key: str, content: bytes, step: int = 100_000) -> None:
    async with await blobs.stage() as staged:
        for start in range(0, len(content), step):
            await staged.write(content[start : start + step])
        await staged.commit(key, digest(content))


async def staged_keys(blobs: S3Blobs) -> list[str]:
    return [info.key async for info in blobs.list(STAGING)]


async def test_a_blob_is_kept_by_exactly_one_request(watched, name):
    blobs, requests = watched
    await put(blobs, KEY, b"x" * 600_000)
    await stage(blobs, f"{KEY}2", b"y" * 600_000)
    assert requests == [f"PUT /{name}/{KEY}", f"PUT /{name}/{KEY}2"]


async def test_each_way_of_reading_is_one_request(watched, name):
    blobs, requests = watched
    await put(blobs, KEY, b"x" * 3 * MIB)
    requests.clear()
    assert len(await blobs.get(KEY, 5, 10)) == 10
    assert sum([len(chunk) async for chunk in blobs.stream(KEY)]) == 3 * MIB
    assert requests == [f"GET /{name}/{KEY}"] * 2


@pytest.mark.parametrize("size", [9, FIRST_PART, FIRST_PART + 1])
async def test_making_a_blob_again_does_not_change_its_time(blobs, size):
    content = os.urandom(size)
    await put(blobs, KEY, content)
    before = await blobs.stat(KEY)
    wait_until(lambda: datetime.now(UTC) - before.modified_at > timedelta(seconds=1.1))
    await put(blobs, KEY, content)
    await stage(blobs, KEY, content)
    assert await blobs.stat(KEY) == before
    assert [info async for info in blobs.list("objects/")] == [before]
    assert await staged_keys(blobs) == []


async def test_other_bytes_are_refused_under_a_key_that_is_there(blobs):
    await put(blobs, KEY, b"meant")
    with pytest.raises(Corrupted, match="arrived"):
        await blobs.put(KEY, [b"other"], digest(b"meant"))
    with pytest.raises(Corrupted, match="5 bytes, but has 6"):
        await put(blobs, KEY, b"longer")
    assert await blobs.get(KEY) == b"meant"


@pytest.mark.parametrize("size", [0, FIRST_PART - 1, FIRST_PART, FIRST_PART + 1, 3 * FIRST_PART])
async def test_a_staged_blob_of_any_length_is_what_was_written(blobs, size):
    content = os.urandom(size)
    await stage(blobs, KEY, content, step=MIB + 1)
    assert digest(await blobs.get(KEY)) == digest(content)
    assert await staged_keys(blobs) == []


async def test_a_large_blob_is_copied_piece_by_piece(blobs, monkeypatch):
    monkeypatch.setattr(s3_writing, "COPIED_AT_ONCE", 5 * MIB)
    content = os.urandom(13 * MIB)
    await stage(blobs, KEY, content, step=MIB)
    assert digest(await blobs.get(KEY)) == digest(content)
    before = await blobs.stat(KEY)
    await stage(blobs, KEY, content, step=MIB)
    assert await blobs.stat(KEY) == before


async def test_a_large_blob_is_staged_in_bounded_memory(blobs):
    block = os.urandom(MIB)
    tracemalloc.start()
    try:
        async with await blobs.stage() as staged:
            for _ in range(64):
                await staged.write(block)
            await staged.commit(KEY, staged.digest())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * FIRST_PART
    assert await blobs.get(KEY, 63 * MIB) == block


async def test_a_large_blob_with_a_wrong_digest_leaves_nothing(blobs):
    async with await blobs.stage() as staged:
        await staged.write(bytes(FIRST_PART + 1))
        with pytest.raises(Corrupted):
            await staged.commit(KEY, digest(b"meant"))
        with pytest.raises(Invalid, match="closed"):
            await staged.write(b"more")
    with pytest.raises(NotFound):
        await blobs.stat(KEY)
    assert await staged_keys(blobs) == []


async def test_leaving_a_large_blob_ends_its_upload(blobs):
    async with await blobs.stage() as staged:
        await staged.write(bytes(2 * FIRST_PART + 1))
        upload = staged._upload
    with pytest.raises(S3Error, match="NoSuchUpload"):
        upload._send(1, bytearray(b"late"))
    assert await staged_keys(blobs) == []


async def test_listing_goes_beyond_one_answer_of_the_store(blobs):
    keys = [f"objects/main/1/{number:04}/a" for number in range(1003)]
    for key in keys:
        await put(blobs, key, b"")
    assert [info.key async for info in blobs.list("objects/main/1/")] == keys
    assert [info.key async for info in blobs.list("objects/main/1/", keys[1000])] == keys[1001:]


async def test_listing_after_a_key_outside_the_prefix(blobs):
    await put(blobs, "b/1", b"")
    assert [info.key async for info in blobs.list("b/", "a/9")] == ["b/1"]
    assert [info.key async for info in blobs.list("b/", "c/0")] == []


async def test_closing_a_stream_early_leaves_the_rest_unread(blobs):
    await put(blobs, KEY, bytes(8 * MIB))
    for _ in range(40):  # more often than there are connections
        stream = blobs.stream(KEY)
        assert len(await anext(stream)) == MIB
        await stream.aclose()
    assert await blobs.get(KEY, 1, 2) == bytes(2)
