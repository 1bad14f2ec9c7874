"""What every `BlobStore` promises. An adapter subclasses `BlobStoreSuite`, sets `__test__` and
overrides the fixture `blobs`."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from isocenter.core.errors import Corrupted, Invalid, NotFound
from isocenter.core.ports import BlobStore, Kept
from isocenter.runtime.checksum import Checksum

KEY = "objects/main/1.2/1.2.3/1.2.3.4/abc.dcm"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def put(blobs: BlobStore, key: str, content: bytes = b"x") -> None:
    await blobs.put(key, [content], digest(content))


class BlobStoreSuite:
    __test__ = False

    @pytest.fixture
    async def blobs(self) -> AsyncIterator[BlobStore]:
        raise NotImplementedError

    async def test_a_blob_is_the_concatenation_of_its_buffers(self, blobs):
        parts = [b"one", bytearray(b"two"), memoryview(b"three"), b""]
        await blobs.put(KEY, parts, digest(b"onetwothree"))
        assert await blobs.get(KEY) == b"onetwothree"
        info = await blobs.stat(KEY)
        assert (info.key, info.size) == (KEY, 11)
        assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)

    async def test_an_empty_blob_can_be_kept(self, blobs):
        await put(blobs, KEY, b"")
        assert await blobs.get(KEY) == b""
        assert [c async for c in blobs.stream(KEY)] == []

    async def test_a_wrong_digest_is_refused_and_nothing_is_kept(self, blobs):
        with pytest.raises(Corrupted, match=r"1\.2\.3\.4"):
            await blobs.put(KEY, [b"other"], digest(b"meant"))
        with pytest.raises(NotFound):
            await blobs.stat(KEY)

    async def test_creating_a_key_again_is_a_success_and_changes_nothing(self, blobs):
        await put(blobs, KEY, b"same")
        before = await blobs.stat(KEY)
        await put(blobs, KEY, b"same")
        assert await blobs.stat(KEY) == before

    async def test_the_same_key_put_many_times_at_once_is_one_blob(self, blobs):
        await asyncio.gather(*(put(blobs, KEY, b"same" * 1000) for _ in range(20)))
        assert [i.key async for i in blobs.list("objects/")] == [KEY]
        assert await blobs.get(KEY) == b"same" * 1000

    @pytest.mark.parametrize(
        "key",
        ["", "one", "/a/b", "a/../b", "a/./b", "a//b", "a/b/", "a/b@c", "a\\b/c", "a/b\0c",
         "a/-b", "../a/b", "a/" + "b" * 129, "a/é"],
    )  # fmt: skip
    async def test_a_key_that_is_no_key_is_never_a_path(self, blobs, key):
        for call in (put(blobs, key), blobs.stat(key), blobs.get(key), blobs.delete(key)):
            with pytest.raises(Invalid):
                await call
        with pytest.raises(Invalid):
            [c async for c in blobs.stream(key)]
        with pytest.raises(Invalid):
            [c async for c in blobs.checked(Kept(key, "0" * 64))]

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [(0, None, b"0123456789"), (3, 4, b"3456"), (8, 9, b"89"), (10, 1, b""), (99, None, b""),
         (4, 0, b"")],
    )  # fmt: skip
    async def test_ranges(self, blobs, offset, length, expected):
        await put(blobs, KEY, b"0123456789")
        assert await blobs.get(KEY, offset, length) == expected
        assert b"".join([c async for c in blobs.stream(KEY, offset, length)]) == expected

    async def test_a_negative_range_is_invalid(self, blobs):
        await put(blobs, KEY)
        with pytest.raises(Invalid):
            await blobs.get(KEY, -1)

    async def test_a_long_blob_is_streamed_in_bounded_chunks(self, blobs):
        content = bytes(range(256)) * 4096 * 5
        await put(blobs, KEY, content)
        chunks = [c async for c in blobs.stream(KEY, 1)]
        assert b"".join(chunks) == content[1:]
        assert max(map(len, chunks)) <= 1024 * 1024

    @pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
    @pytest.mark.parametrize("offset", [0, 1, 2**20, 5 * 2**20])
    async def test_a_checked_blob_is_read_whole_from_an_offset(self, blobs, size, offset):
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        await put(blobs, KEY, content)
        chunks = [c async for c in blobs.checked(Kept(KEY, digest(content), offset))]
        assert b"".join(chunks) == content[offset:]
        assert all(0 < len(chunk) <= 2**20 for chunk in chunks)
        known = Kept(KEY, digest(content), offset, Checksum(content).hexdigest())
        assert [c async for c in blobs.checked(known)] == chunks

    @pytest.mark.parametrize("size", [0, 9, 2**20, 2**21 + 1])
    @pytest.mark.parametrize("checksum", ["", "0" * 16])
    async def test_the_last_chunk_of_a_blob_that_changed_never_comes(self, blobs, size, checksum):
        content = bytes(size)
        await put(blobs, KEY, content)
        kept = Kept(KEY, digest(content) if checksum else "0" * 64, 0, checksum)
        received: list[bytes] = []

        async def read() -> None:
            async for chunk in blobs.checked(kept):
                received.append(chunk)  # noqa: PERF401 (what came before an error is looked at)

        with pytest.raises(Corrupted, match=r"1\.2\.3\.4"):
            await read()
        assert sum(map(len, received)) < max(size, 1)

    async def test_what_is_missing_is_not_found(self, blobs):
        with pytest.raises(NotFound):
            await blobs.stat(KEY)
        with pytest.raises(NotFound):
            await blobs.get(KEY)
        with pytest.raises(NotFound):
            [c async for c in blobs.stream(KEY)]
        with pytest.raises(NotFound):
            [c async for c in blobs.checked(Kept(KEY, "0" * 64))]

    async def test_a_staged_blob_is_invisible_until_it_is_committed(self, blobs):
        buffer = bytearray(3 * 1024 * 1024)
        content = b""
        async with await blobs.stage() as staged:
            for number in range(3):
                buffer[:] = bytes([number]) * len(buffer)  # the buffer is reused
                await staged.write(buffer)
                content += bytes(buffer)
            assert [i async for i in blobs.list("objects/")] == []
            await staged.commit(KEY, digest(content))
        assert await blobs.get(KEY) == content

    @pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 20) + 5])
    async def test_a_staged_blob_tells_its_digest(self, blobs, size):
        content = os.urandom(size)
        async with await blobs.stage() as staged:
            for start in range(0, size, 300_000):
                await staged.write(content[start : start + 300_000])
            assert staged.digest() == staged.digest() == digest(content)
            await staged.commit(KEY, digest(content))
        assert await blobs.get(KEY) == content

    @pytest.mark.parametrize("complete", [False, True])
    async def test_a_staged_blob_that_is_left_is_discarded(self, blobs, complete):
        async def leave() -> None:
            async with await blobs.stage() as staged:
                await staged.write(b"half")
                if complete:
                    staged.digest()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await leave()
        assert [i async for i in blobs.list("objects/")] == []

    async def test_a_staged_blob_with_a_wrong_digest_is_refused(self, blobs):
        async with await blobs.stage() as staged:
            await staged.write(b"other")
            with pytest.raises(Corrupted):
                await staged.commit(KEY, digest(b"meant"))
        with pytest.raises(NotFound):
            await blobs.stat(KEY)

    async def test_a_staged_blob_of_a_key_that_is_there_is_a_success(self, blobs):
        await put(blobs, KEY, b"same")
        async with await blobs.stage() as staged:
            await staged.write(b"same")
            await staged.commit(KEY, digest(b"same"))
        assert await blobs.get(KEY) == b"same"

    async def test_listing_is_in_key_order_below_the_prefix(self, blobs):
        keys = [
            "objects/main/1.2/1.2.3/1.2.3.4/a.dcm",
            "objects/main/1.2/1.2.3/1.2.3.4/b.dcm",
            "objects/main/1.2/1.2.3/1.2.3.40/a.dcm",
            "objects/main/1.2/1.2.3-x/9/a.dcm",
            "objects/main/1.2/1.2.30/1/a.dcm",
            "objects/main/1.20/1/1/a.dcm",
            "objects/main/1.2/short",
            "objects/main/1.2/1.2.3/middle",
            "objects/other/1.2/1/1/a.dcm",
            "packs/main/1.2/1.2.3/p1",
        ]
        for key in keys:
            await put(blobs, key)
        prefixes = [
            "objects/",
            "objects/main/",
            "objects/main/1.2/",
            "objects/main/1.2/1.2.3/",
            "objects/main/1.2/1.2.3/1.2.3.4/",
            "packs/main/1.2/",
            "objects/none/",
        ]
        for prefix in prefixes:
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert [i.key async for i in blobs.list(prefix)] == expected, prefix
            for number, after in enumerate(expected):
                rest = [i.key async for i in blobs.list(prefix, after)]
                assert rest == expected[number + 1 :], (prefix, after)

    async def test_listing_continues_after_a_key_that_is_gone(self, blobs):
        await put(blobs, "a/b/c/1")
        await put(blobs, "a/b/c/3")
        assert [i.key async for i in blobs.list("a/", "a/b/c/2")] == ["a/b/c/3"]
        assert [i.key async for i in blobs.list("a/", "a/b/a")] == ["a/b/c/1", "a/b/c/3"]

    @pytest.mark.parametrize("prefix", ["", "objects", "/", "../", "a//", "a/../"])
    async def test_a_prefix_that_is_no_prefix_is_invalid(self, blobs, prefix):
        with pytest.raises(Invalid):
            [i async for i in blobs.list(prefix)]

    async def test_a_deleted_blob_is_gone_and_deleting_again_is_a_success(self, blobs):
        other = KEY.replace("abc", "abd")
        await put(blobs, KEY)
        await put(blobs, other)
        await blobs.delete(KEY)
        await blobs.delete(KEY)
        with pytest.raises(NotFound):
            await blobs.stat(KEY)
        assert [i.key async for i in blobs.list("objects/")] == [other]

    async def test_a_blob_that_moves_is_under_the_other_key_alone(self, blobs):
        other = "deleted/main/1.2/1.2.3/1.2.3.4/abc.dcm"
        await put(blobs, KEY, b"content")
        before = await blobs.stat(KEY)
        await blobs.move(KEY, other)
        assert await blobs.get(other) == b"content"
        assert (await blobs.stat(other)).size == before.size
        with pytest.raises(NotFound):
            await blobs.stat(KEY)
        assert [info.key async for info in blobs.list("objects/")] == []
        await blobs.move(KEY, other)
        assert await blobs.get(other) == b"content", "moving again is a success"
        await put(blobs, KEY, b"content")
        await blobs.move(KEY, other)
        assert [info.key async for info in blobs.list("deleted/")] == [other]
        assert [info.key async for info in blobs.list("objects/")] == []
        await blobs.move(other, KEY)
        assert await blobs.get(KEY) == b"content"

    async def test_what_is_not_there_cannot_move(self, blobs):
        with pytest.raises(NotFound):
            await blobs.move(KEY, "deleted/main/1.2/abc.dcm")
        await put(blobs, KEY)
        for one, other in ((KEY, "../b"), ("../b", KEY)):
            with pytest.raises(Invalid):
                await blobs.move(one, other)

    async def test_puts_and_deletes_in_one_place_do_not_disturb_each_other(self, blobs):
        async def cycle(number: int) -> None:
            key = f"objects/main/1/2/{number}/a.dcm"
            for _ in range(10):
                await put(blobs, key)
                assert await blobs.get(key) == b"x"
                await blobs.delete(key)

        await asyncio.gather(*(cycle(number) for number in range(8)))
        assert [i async for i in blobs.list("objects/")] == []

    async def test_free_bytes_is_a_number_or_unknown(self, blobs):
        free = await blobs.free_bytes()
        assert free is None or free > 0
