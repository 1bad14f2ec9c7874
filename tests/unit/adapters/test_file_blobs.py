"""The file store beyond its contract: its layout, killed processes, full disks, damaged files."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from isocenter.adapters.blobs import listing, staging
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.blobs.reading import CHUNK, CheckedReader
from isocenter.core.errors import Corrupted, Invalid, OutOfResources, Unavailable
from isocenter.core.ports import Kept
from isocenter.runtime.checksum import Checksum
from support import log_process
from support.processes import lines_until_killed, python

PROGRAM = Path(log_process.__file__)
KEY = "objects/main/1.2/1.2.3/1.2.3.4/abc.dcm"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
async def blobs(tmp_path):
    blobs = await FileBlobs.open(tmp_path)
    yield blobs
    await blobs.close()


async def test_a_series_is_one_directory(blobs, tmp_path):
    await blobs.put(KEY, [b"x"], digest(b"x"))
    assert (tmp_path / "objects/main/1.2/1.2.3/1.2.3.4@abc.dcm").read_bytes() == b"x"


async def test_a_deleted_blob_takes_its_empty_directories_along(blobs, tmp_path):
    await blobs.put(KEY, [b"x"], digest(b"x"))
    await blobs.delete(KEY)
    assert [path.name for path in tmp_path.iterdir()] == [".staging"]


async def _put(blobs: FileBlobs, content: bytes) -> Kept:
    await blobs.put(KEY, [content], digest(content))
    return Kept(KEY, digest(content), 1, Checksum(content).hexdigest())


async def _read_in(blobs: FileBlobs, kept: Kept, monkeypatch) -> tuple[bytes, set[bool]]:
    """What is read, and whether that was in the event loop's thread."""
    places = set()
    read = CheckedReader.read

    def told(self: CheckedReader, flags: int = 0) -> memoryview:
        chunk = read(self, flags)
        places.add(threading.current_thread() is threading.main_thread())
        return chunk

    monkeypatch.setattr(CheckedReader, "read", told)
    return b"".join([chunk async for chunk in blobs.checked(kept)]), places


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux tells what is in memory")
async def test_what_is_in_memory_and_has_a_checksum_is_read_without_a_thread(blobs, monkeypatch):
    content = os.urandom(3 * CHUNK)
    kept = await _put(blobs, content)
    await blobs.get(KEY)
    assert await _read_in(blobs, kept, monkeypatch) == (content[1:], {True})
    by_digest = replace(kept, checksum="")
    assert await _read_in(blobs, by_digest, monkeypatch) == (content[1:], {False})


async def test_what_is_not_in_memory_is_read_in_a_thread(blobs, monkeypatch):
    content = os.urandom(3 * CHUNK)
    kept = await _put(blobs, content)
    preadv = os.preadv

    def cold(descriptor, buffers, offset, flags=0):
        if flags:
            raise BlockingIOError(errno.EAGAIN, "not in memory")
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", cold)
    assert await _read_in(blobs, kept, monkeypatch) == (content[1:], {False})


async def test_a_blob_that_is_only_partly_in_memory_is_read_whole(blobs, monkeypatch):
    content = os.urandom(3 * CHUNK)
    kept = await _put(blobs, content)
    preadv = os.preadv

    def partly(descriptor, buffers, offset, flags=0):
        return preadv(descriptor, [memoryview(buffers[0])[:1000]], offset)

    monkeypatch.setattr(os, "preadv", partly)
    assert await _read_in(blobs, kept, monkeypatch) == (content[1:], {True})


@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 5])
async def test_a_blob_that_became_shorter_or_changed_is_found_out(blobs, tmp_path, size):
    content = os.urandom(3 * CHUNK)
    kept = await _put(blobs, content)
    path = tmp_path / "objects/main/1.2/1.2.3/1.2.3.4@abc.dcm"
    path.write_bytes(content[:size])
    with pytest.raises(Corrupted):
        [chunk async for chunk in blobs.checked(kept)]
    path.write_bytes(content[:size] + bytes([content[size] ^ 1]) + content[size + 1 :])
    with pytest.raises(Corrupted):
        [chunk async for chunk in blobs.checked(kept)]


async def test_names_that_are_too_long_for_a_file_are_invalid(blobs):
    with pytest.raises(Invalid, match="characters long"):
        await blobs.put(f"a/{'b' * 128}/{'c' * 128}", [b"x"], digest(b"x"))


async def test_every_acknowledged_put_of_killed_processes_is_there_and_whole(tmp_path):
    async def putter(prefix: str) -> list[str]:
        async with python(PROGRAM, "put", str(tmp_path), prefix) as process:
            return await lines_until_killed(process, 60)

    acknowledged = list(chain(*await asyncio.gather(putter("1"), putter("2"))))
    blobs = await FileBlobs.open(tmp_path)
    kept = [info.key async for info in blobs.list("objects/")]
    assert set(acknowledged) <= set(kept)
    assert kept == sorted(kept)
    for key in kept:  # also those that were not acknowledged: whole or absent
        assert digest(await blobs.get(key)) == key.rpartition("/")[2].removesuffix(".dcm")
    await blobs.close()


async def test_what_a_killed_process_staged_is_removed_and_what_a_living_one_stages_is_not(
    tmp_path,
):
    async with (
        python(PROGRAM, "stage", str(tmp_path)) as dead,
        python(PROGRAM, "stage", str(tmp_path)) as alive,
    ):
        assert await dead.stdout.readline() == b"staged\n"
        assert await alive.stdout.readline() == b"staged\n"
        dead.kill()
        await dead.wait()
        blobs = await FileBlobs.open(tmp_path)
        directories = [path for path in (tmp_path / ".staging").iterdir() if path.is_dir()]
        sizes = sorted(sum(f.stat().st_size for f in d.iterdir()) for d in directories)
        assert sizes == [0, 2 * staging.BLOCK]  # ours and the living one's
        await blobs.close()


async def test_a_kept_file_of_another_length_is_corrupted(blobs, tmp_path):
    await blobs.put(KEY, [b"whole"], digest(b"whole"))
    (tmp_path / "objects/main/1.2/1.2.3/1.2.3.4@abc.dcm").write_bytes(b"who")
    with pytest.raises(Corrupted, match="3 bytes"):
        await blobs.put(KEY, [b"whole"], digest(b"whole"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, OutOfResources),
        (errno.EDQUOT, OutOfResources),
        (errno.EIO, Unavailable),
        (errno.EROFS, Unavailable),
    ],
)
@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync"])
async def test_a_failing_disk_is_no_success_and_says_why(
    blobs, tmp_path, monkeypatch, number, expected, call
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(staging.os, call, fail)
        with pytest.raises(expected, match=r"1\.2\.3\.4") as raised:
            await blobs.put(KEY, [b"x"], digest(b"x"))
    assert raised.value.fix
    kept = [info.key async for info in blobs.list("objects/")]
    assert kept == ([KEY] if call == "fsync" else []), "a name is only given to what is whole"
    (own,) = [path for path in (tmp_path / ".staging").iterdir() if path.is_dir()]
    assert [path.name for path in own.iterdir()] == ["lock"]
    await blobs.put(KEY, [b"x"], digest(b"x"))
    assert await blobs.get(KEY) == b"x"


async def test_short_writes_are_continued(blobs, monkeypatch):
    real = os.write
    monkeypatch.setattr(staging.os, "write", lambda file, data: real(file, data[:4096]))
    content = os.urandom(10_000)
    await blobs.put(KEY, [content[:4], b"", content[4:]], digest(content))
    assert await blobs.get(KEY) == content


async def test_listing_many_directories_goes_in_windows(blobs, monkeypatch):
    monkeypatch.setattr(listing, "WINDOW", 3)
    keys = sorted(f"objects/main/1.{number}/1/1/a" for number in range(10))
    for key in keys:
        await blobs.put(key, [b"x"], digest(b"x"))
    assert [info.key async for info in blobs.list("objects/")] == keys
    assert [info.key async for info in blobs.list("objects/", keys[4])] == keys[5:]


async def test_a_reader_sees_whole_blobs_while_writers_write(blobs):
    content = os.urandom(300_000)
    key = "objects/main/1/1/{}/" + digest(content) + ".dcm"

    async def write() -> None:
        for number in range(40):
            await blobs.put(key.format(number), [content], digest(content))

    writing = asyncio.create_task(write())
    seen = 0
    while not writing.done():
        async for info in blobs.list("objects/"):
            assert info.size == len(content)
            seen += 1
        await asyncio.sleep(0)
    await writing
    assert seen
    assert len([i async for i in blobs.list("objects/")]) == 40


@pytest.fixture
def held_disk(monkeypatch):
    """The first fsync of a file waits for `go`; `reached` tells that it does."""
    reached, go = threading.Event(), threading.Event()
    real = os.fsync

    def slow(descriptor):
        if not reached.is_set():
            reached.set()
            assert go.wait(10)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    return reached, go


async def test_a_cancelled_put_keeps_its_buffers_until_the_disk_is_done_with_them(blobs, held_disk):
    reached, go = held_disk
    buffer = bytearray(b"whole" * 100_000)
    expected = digest(buffer)
    task = asyncio.create_task(blobs.put(KEY, [buffer], expected))
    assert await asyncio.to_thread(reached.wait, 10)
    for _ in range(2):  # however often
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    buffer[:] = bytes(len(buffer))
    assert digest(await blobs.get(KEY)) == expected


def open_blobs(root: Path) -> list[str]:
    """Files below the root's objects that this process holds open."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [link for link in links if link.startswith(str(root / "objects"))]


async def test_streams_that_are_left_or_cancelled_leave_no_file_open(blobs, tmp_path):
    content = b"x" * 3_000_000
    await blobs.put(KEY, [content], digest(content))

    async def read() -> None:
        async for _ in blobs.stream(KEY):
            await asyncio.sleep(0)

    for number in range(40):
        task = asyncio.create_task(read())
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    stream = blobs.stream(KEY)
    await anext(stream)
    await stream.aclose()
    assert open_blobs(tmp_path) == []


@pytest.mark.parametrize("size", [10, staging.BLOCK * 3])
async def test_the_name_of_every_blob_is_synced(blobs, tmp_path, monkeypatch, size):
    """By the first fsync of the file, if it comes after the rename; else by the directory's."""
    moved: set[str] = set()
    synced_before: set[str] = set()
    durable: set[str] = set()
    rename = os.rename

    def sync(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(name):
            durable.update(path for path in moved if os.path.dirname(path) == name)
        elif name in moved and name not in synced_before:
            durable.add(name)
        elif name not in moved:
            synced_before.add(name)

    def move(staged, path):
        rename(staged, path)
        moved.add(path)
        if staged in synced_before:
            synced_before.add(path)

    monkeypatch.setattr(staging, "_SYNC_EVERY", staging.BLOCK * 2)
    for call in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, call, sync)
    monkeypatch.setattr(os, "rename", move)
    for number in range(3):
        content = os.urandom(size)
        key = f"objects/main/1/1/{number}/{digest(content)}.dcm"
        if number == 1:
            await blobs.put(key, [content], digest(content))
            continue
        async with await blobs.stage() as staged:
            await staged.write(content)
            await staged.commit(key, digest(content))
    assert len(moved) == 3
    assert durable == moved
