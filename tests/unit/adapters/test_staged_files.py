"""Blobs of the file store that are written before their key is known."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.adapters.blobs import staging
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.core.errors import Invalid, OutOfResources
from support.objects import digest

KEY = "objects/main/1.2/1.2.3/1.2.3.4/abc.dcm"


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[FileBlobs]:
    blobs = await FileBlobs.open(tmp_path)
    yield blobs
    await blobs.close()


async def test_a_staged_blob_that_gets_no_name_leaves_nothing(blobs, tmp_path):
    content = b"x" * (staging.BLOCK + 1)
    for key in ("no-key", f"a/{'b' * 128}/{'c' * 128}"):
        async with await blobs.stage() as staged:
            await staged.write(content)
            with pytest.raises(Invalid):
                await staged.commit(key, digest(content))
    (own,) = [path for path in (tmp_path / ".staging").iterdir() if path.is_dir()]
    assert [path.name for path in own.iterdir()] == ["lock"]


@pytest.mark.parametrize("call", ["write", "ftruncate"])
async def test_a_disk_that_fails_before_the_commit_fails_the_commit(
    blobs, tmp_path, monkeypatch, call
):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(staging.os, call, fail)
        async with await blobs.stage() as staged:
            await staged.write(b"x")
            assert staged.digest() == digest(b"x")
            with pytest.raises(OutOfResources, match=r"1\.2\.3\.4"):
                await staged.commit(KEY, digest(b"x"))
    assert [info.key async for info in blobs.list("objects/")] == []
    (own,) = [path for path in (tmp_path / ".staging").iterdir() if path.is_dir()]
    assert [path.name for path in own.iterdir()] == ["lock"]


async def test_nothing_is_added_to_a_blob_whose_digest_was_told(blobs):
    async with await blobs.stage() as staged:
        await staged.write(b"x")
        staged.digest()
        with pytest.raises(Invalid):
            await staged.write(b"y")


@pytest.mark.parametrize("call", ["open", "write"])
async def test_a_file_system_without_direct_writes_will_do(blobs, monkeypatch, call):
    real = getattr(os, call)

    def without(file, *rest):
        flags = rest[0] if call == "open" else fcntl.fcntl(file, fcntl.F_GETFL)
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(file, *rest)

    monkeypatch.setattr(staging.os, call, without)
    content = os.urandom(staging.BLOCK + 10_000)
    async with await blobs.stage() as staged:
        await staged.write(content)
        await staged.commit(KEY, digest(content))
    assert await blobs.get(KEY) == content


async def test_a_cancelled_write_is_over_before_its_file_is_discarded(blobs, tmp_path, monkeypatch):
    reached, go = threading.Event(), threading.Event()
    real = os.write

    def slow(descriptor, data):
        reached.set()
        assert go.wait(10)
        return real(descriptor, data)

    monkeypatch.setattr(staging.os, "write", slow)

    async def write() -> None:
        async with await blobs.stage() as staged:
            await staged.write(b"x" * 2_000_000)

    task = asyncio.create_task(write())
    assert await asyncio.to_thread(reached.wait, 10)
    task.cancel()
    await asyncio.sleep(0.01)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    (own,) = [path for path in (tmp_path / ".staging").iterdir() if path.is_dir()]
    assert [path.name for path in own.iterdir()] == ["lock"]
