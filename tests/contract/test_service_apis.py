"""The APIs of ingest and storage (`core.apis`), on the local object and over gRPC: no difference
is seen."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from isocenter.core.apis import (
    Announcement,
    Stored,
    Verification,
)
from isocenter.core.errors import (
    BY_CODE,
    Corrupted,
    IsocenterError,
    NotFound,
    OutOfResources,
    Refused,
    Unavailable,
    Withheld,
)
from isocenter.core.matching import Level, Search
from isocenter.core.ports import BlobInfo
from isocenter.ingest import rpc as ingest_rpc
from isocenter.query import rpc as query_rpc
from isocenter.runtime.rpc_channel import open_channel
from isocenter.storage import rpc as storage_rpc
from support.fake_services import (
    AT,
    BIG,
    DELETION,
    INSTANCE,
    NAME,
    PIXELS,
    VERSIONS,
    FakeQuery,
    FakeStorage,
)
from support.policies import withheld
from support.rpc_fixture import served
from support.service_pairs import CALLER, ENOUGH, SOURCE, all_of, failing, parts, reused

# --- ingest --------------------------------------------------------------------------------------

SMALL, LARGE = BIG[:1000], 3 * BIG  # one message over gRPC, and several
ANNOUNCEMENT = Announcement(SOURCE, CALLER, "1.2.840.10008.1.2.1", "1.9", "1.2.3.4", "1.2", "1.8")


async def test_an_object_arrives_as_it_was_sent_whatever_the_buffers(service):
    api, fake = await service("ingest")
    stored = await api.store(ANNOUNCEMENT, reused(b"head", BIG, b"", b"tail"))
    assert fake.asked == [(ANNOUNCEMENT,), b"head" + BIG + b"tail"]
    assert stored == Stored(NAME, "1.9", "1.2.840.10008.1.2.1", "d" * 64, len(BIG) + 8)


async def test_an_object_whose_sender_fails_is_not_taken_for_a_whole_one(service):
    api, fake = await service("ingest")
    with pytest.raises(ZeroDivisionError):
        await api.store(ANNOUNCEMENT, failing(fake, b"half", BIG))
    async with asyncio.timeout(ENOUGH):
        await fake.closed.wait()
    assert fake.asked == [(ANNOUNCEMENT,)]


async def test_a_refusal_reaches_the_sender_while_it_still_sends(service):
    api, fake = await service("ingest")
    fake.error = OutOfResources("the disk is full", fix="free space")

    async def endless():
        while True:
            yield BIG
            await asyncio.sleep(0)

    async with asyncio.timeout(ENOUGH):
        with pytest.raises(OutOfResources, match="the disk is full; free space"):
            await api.store(ANNOUNCEMENT, endless())


async def test_cancelling_a_store_reaches_the_service(service):
    api, fake = await service("ingest")
    begun = asyncio.Event()

    async def waiting():
        yield LARGE
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(api.store(ANNOUNCEMENT, waiting()))
    async with asyncio.timeout(ENOUGH):
        await begun.wait()
        while not fake.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fake.closed.wait()
    assert fake.asked == [(ANNOUNCEMENT,)]


async def test_what_is_deleted_is_told_listed_and_restored(service):
    api, fake = await service("ingest")
    deleted = await api.delete(CALLER, "main", "1.2", "1.3", "1.4", SOURCE, "wrong patient")
    assert deleted == DELETION
    assert fake.asked == [(CALLER, "main", "1.2", "1.3", "1.4", SOURCE, "wrong patient")]
    assert await all_of(api.deletions(CALLER, "main")) == [DELETION, DELETION]
    assert await api.restore(CALLER, "main", DELETION.id, SOURCE) == DELETION
    assert fake.asked[1:] == [(CALLER, "main"), (CALLER, "main", DELETION.id, SOURCE)]
    fake.error = NotFound("nothing is kept there")
    with pytest.raises(NotFound):
        await api.delete(CALLER, "main", "1.2", "", "", SOURCE, "")


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(BY_CODE.values()))
async def test_every_error_is_raised_as_it_was(service, kind):
    api, fake = await service("query")
    fake.error = kind("what is wrong: Ä", fix="what to do")
    with pytest.raises(IsocenterError) as unary:
        await api.count(CALLER, Search(Level.STUDY))
    with pytest.raises(IsocenterError) as stream:
        await all_of(api.search(CALLER, Search(Level.STUDY)))
    for raised in (unary.value, stream.value):
        assert type(raised) is kind
        assert (raised.message, raised.fix) == ("what is wrong: Ä", "what to do")


async def test_what_is_withheld_is_told_from_what_is_not_there_over_grpc_too():
    fake = FakeStorage()
    fake.error = Withheld("denied by the rule 'staff'")
    async with served(lambda server: storage_rpc.add_to(server, fake)) as channel:
        with withheld("denied by the rule 'staff'"):
            await all_of(storage_rpc.StorageClient(channel).instances(CALLER, "main", "1.2"))


async def test_an_unexpected_error_is_internal_and_tells_nothing():
    fake = FakeQuery()
    fake.error = KeyError("secret")
    async with served(lambda server: query_rpc.add_to(server, fake)) as channel:
        with pytest.raises(IsocenterError) as raised:
            await query_rpc.QueryClient(channel).count(CALLER, Search(Level.STUDY))
    assert type(raised.value) is IsocenterError
    assert "secret" not in str(raised.value)


async def test_a_peer_that_is_down_is_unavailable(unused_tcp_port):
    channel = open_channel(f"127.0.0.1:{unused_tcp_port}")
    try:
        with pytest.raises(Unavailable):
            await query_rpc.QueryClient(channel).count(CALLER, Search(Level.STUDY))
        with pytest.raises(Unavailable):
            await ingest_rpc.IngestClient(channel).store(ANNOUNCEMENT, parts(BIG))
        with pytest.raises(Unavailable):
            await storage_rpc.StorageClient(channel).put("c/d", [BIG], "d" * 64)
        with pytest.raises(Unavailable):
            await _staged(storage_rpc.StorageClient(channel), LARGE)
        with pytest.raises(Unavailable):
            await all_of(storage_rpc.StorageClient(channel).read("a/b"))
    finally:
        await channel.close()


async def test_a_caller_that_is_cancelled_is_cancelled_not_failed(service):
    api, fake = await service("query")
    fake.endless = True

    async def use():
        async for _ in api.search(CALLER, Search(Level.STUDY)):
            begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(use())
    async with asyncio.timeout(ENOUGH):
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- storage -------------------------------------------------------------------------------------


async def test_a_small_object_is_put_whole(service):
    api, fake = await service("storage")
    await api.put("c/d", [b"one", BIG, memoryview(b"two")], "d" * 64)
    assert fake.kept["c/d"] == b"one" + BIG + b"two"
    assert fake.asked == [("c/d", "d" * 64)]


async def _staged(api, *contents):
    async with await api.stage() as upload:
        for content in contents:
            await upload.write(content)
        await upload.commit("c/d", "d" * 64)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one message", "several"])
async def test_an_object_is_staged_and_committed(service, content):
    api, fake = await service("storage")
    buffer = bytearray(content)
    async with await api.stage() as upload:
        await upload.write(buffer)
        buffer[:] = b"\0" * len(buffer)
        await upload.write(b"tail")
        await upload.commit("c/d", "d" * 64)
    assert fake.kept["c/d"] == content + b"tail"
    assert not fake.closed.is_set()


async def test_a_large_object_that_is_left_is_discarded(service):
    api, fake = await service("storage")
    async with await api.stage() as upload:
        await upload.write(LARGE)
    async with asyncio.timeout(ENOUGH):
        await fake.closed.wait()
    assert list(fake.kept) == ["a/b"]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["one message", "several"])
async def test_staging_is_refused_at_the_commit_at_the_latest(service, content):
    api, fake = await service("storage")
    fake.error = OutOfResources("the reserve is reached", fix="add a disk")
    with pytest.raises(OutOfResources, match="add a disk"):
        await _staged(api, content)


async def test_a_write_or_commit_that_fails_says_why(service):
    api, fake = await service("storage")
    async with await api.stage() as upload:
        fake.write_error = OutOfResources("the disk is full")

        async def write_on():
            while True:
                await upload.write(BIG)

        with pytest.raises(OutOfResources, match="the disk is full"):
            await write_on()
    fake.write_error = None
    async with await api.stage() as upload:
        await upload.write(BIG)
        fake.error = Corrupted("another digest")
        with pytest.raises(Corrupted, match="another digest"):
            await upload.commit("c/d", "d" * 64)


@pytest.mark.parametrize(("offset", "length"), [(0, None), (5, 10), (3, None), (0, 0)])
async def test_ranges_are_read(service, offset, length):
    api, fake = await service("storage")
    end = None if length is None else offset + length
    assert b"".join(await all_of(api.read("a/b", offset, length))) == BIG[offset:end]
    assert fake.asked == [("a/b", offset, length)]


async def test_blobs_are_found_listed_and_removed(service):
    api, fake = await service("storage")
    assert await api.stat("a/b") == BlobInfo("a/b", len(BIG), AT)
    with pytest.raises(NotFound, match="a/x"):
        await api.stat("a/x")
    assert await all_of(api.list("a/", "a/a")) == [
        BlobInfo("a/b", 2**33, AT),
        BlobInfo("a/c", 2**33, AT),
    ]
    await api.move("a/b", "c/d")
    assert fake.asked[-1] == ("a/b", "c/d")
    await api.remove("a/b")
    assert fake.kept == {}
    with pytest.raises(Refused, match="use retention"):
        await api.remove("objects/x")


async def test_instances_metadata_and_pixels_are_read(service):
    api, fake = await service("storage")
    assert await all_of(api.instances(CALLER, "main", "1.2", "1.2.3", "1.2.3.4")) == [INSTANCE] * 2
    assert await all_of(api.metadata(CALLER, "main", "1.2")) == [b"{}", BIG, b""]
    assert b"".join(await all_of(api.data_set(INSTANCE))) == BIG + b"end"
    assert await api.pixel_format(INSTANCE) == PIXELS
    frames = await all_of(api.frames(INSTANCE, [2, 1]))
    assert [(f.number, f.data) for f in frames] == [(2, BIG), (1, BIG)]
    assert await api.bulk_size(INSTANCE, "00420011") == len(BIG)
    assert b"".join(await all_of(api.bulk(INSTANCE, "00420011"))) == BIG
    assert b"".join(await all_of(api.bulk(INSTANCE, "00420011", 7, 0))) == BIG
    assert fake.asked == [
        (CALLER, "main", "1.2", "1.2.3", "1.2.3.4"),
        (CALLER, "main", "1.2", "", ""),
        (INSTANCE,),
        (INSTANCE,),
        (INSTANCE, (2, 1)),
        (INSTANCE, "00420011"),
        (INSTANCE, "00420011", 0, None),
        (INSTANCE, "00420011", 7, 0),
    ]


@pytest.mark.parametrize("versions", [VERSIONS, None])  # None: of an earlier release
async def test_metadata_come_with_the_versions_that_they_are_of(service, versions):
    api, fake = await service("storage")
    fake.versions = versions
    found = await all_of(api.described(CALLER, "main", "1.2"))
    assert found == [(versions, b"{}"), (versions, BIG), (versions, b"")]


async def test_verification_tells_of_each_object(service):
    api, _ = await service("storage")
    assert await all_of(api.verify("objects/")) == [
        Verification("k", True),
        Verification("l", False, "short"),
    ]


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("query", lambda api: api.search(CALLER, Search(Level.STUDY))),
        ("storage", lambda api: api.data_set(INSTANCE)),
        ("storage", lambda api: api.metadata(CALLER, "main", "1.2")),
        ("storage", lambda api: api.list("a/")),
    ],
)
async def test_closing_a_stream_stops_the_work(service, name, call):
    api, fake = await service(name)
    fake.endless = True
    async with asyncio.timeout(ENOUGH):
        async with aclosing(call(api)) as values:
            await anext(values)
            assert not fake.closed.is_set()
        await fake.closed.wait()
    assert fake.closed.is_set()


async def test_a_reader_that_stops_reading_stops_the_writer():
    fake = FakeStorage()
    sent = 0

    async def data_set(instance):
        nonlocal sent
        while True:
            sent += 1
            yield BIG

    fake.data_set = data_set
    async with served(lambda server: storage_rpc.add_to(server, fake)) as channel:
        stream = storage_rpc.StorageClient(channel).data_set(INSTANCE)
        await anext(stream)
        before = -1
        while before != sent:  # until it does not grow any more
            before = sent
            await asyncio.sleep(0.2)
        await stream.aclose()
    assert sent < 32
