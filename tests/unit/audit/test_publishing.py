"""Heads are published after every seal, and whatever becomes of it holds nobody up."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.audit import publishing
from isocenter.audit.heads import read_heads
from isocenter.audit.keys import KeyFolder
from isocenter.audit.publishing import HeadsFile, Publisher
from isocenter.audit.segments import Segments
from isocenter.audit.settings import AuditSettings
from isocenter.core.errors import Unavailable
from isocenter.runtime.instruments import AUDIT_PUBLISH_FAILURES
from support.seals import sealed
from support.telemetry import Recorder
from support.tsa import stamping
from support.waiting import until


@pytest.fixture
def keys(tmp_path):
    return KeyFolder(tmp_path / "keys", makes=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(publishing, "_STOP_SECONDS", 0.3)


@asynccontextmanager
async def publishing_to(keys, recorder=None, segments=None, told=None, **settings):
    publisher = Publisher(
        settings=AuditSettings(**settings),
        keys=keys,
        segments=segments or Segments(MemoryBlobs()),
        collectors=(told if told is not None else []).extend,
        **({"telemetry": recorder.telemetry} if recorder else {}),
    )
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


def lines(path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def test_a_file_grows_by_a_line_for_every_seal_and_collectors_are_told(keys, tmp_path):
    path, told = tmp_path / "heads.jsonl", []
    seals = [sealed("audit-0", 1, 5), sealed("audit-0", 6, 9)]
    async with publishing_to(keys, told=told, heads_file=path) as publisher:
        for count, one in enumerate(seals, 1):
            await publisher.sealed([one])
            await until(lambda: len(lines(path)) == count)  # noqa: B023 (awaited at once, 10)
        assert publisher.problems() == []
    assert told == seals
    assert [head.last for head in read_heads(lines(path))] == [5, 9]


async def test_what_could_not_be_published_is_so_with_the_next_seal(keys, tmp_path):
    path, recorder = tmp_path / "mount" / "heads.jsonl", Recorder()
    async with publishing_to(keys, recorder, heads_file=path) as publisher:
        await publisher.sealed([sealed("audit-0", 1, 5), sealed("instances-0", 1, 2)])
        await until(publisher.problems, 10)
        (problem,) = publisher.problems()
        assert problem.startswith("heads of the audit trail are not published: heads cannot be")
        assert "No such file or directory; check audit.heads_file" in problem
        assert recorder.values(AUDIT_PUBLISH_FAILURES) == {("file",): 1}
        path.parent.mkdir()
        await publisher.sealed([sealed("audit-0", 6, 9)])
        await until(lambda: not publisher.problems(), 10)
    heads = read_heads(lines(path))
    assert {(head.chain, head.last) for head in heads} == {("audit-0", 9), ("instances-0", 2)}
    assert len(lines(path)) == 1


async def test_a_line_behind_one_that_was_not_written_to_its_end_is_a_line(keys, tmp_path):
    path = tmp_path / "heads.jsonl"
    path.write_text('{"at":"2026-')
    await HeadsFile(path, keys).publish([sealed("audit-0", 1, 5)])
    torn, whole = lines(path)
    assert torn == '{"at":"2026-'
    assert read_heads([whole])[0].last == 5


async def test_a_line_is_on_the_disk_before_it_counts(keys, tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(publishing.os, "fsync", lambda at: (fsync(at), synced.append(at)))
    await HeadsFile(tmp_path / "heads.jsonl", keys).publish([sealed("audit-0", 1, 5)])
    assert len(synced) >= 1


async def test_a_disk_without_room_is_told(keys):
    with pytest.raises(Unavailable, match="No space left on device"):
        await HeadsFile(Path("/dev/full"), keys).publish([sealed("audit-0", 1, 5)])


async def test_a_place_that_hangs_holds_up_neither_sealing_nor_the_end(keys, tmp_path, monkeypatch):
    blocked = threading.Event()
    monkeypatch.setattr(HeadsFile, "_append", lambda *_: blocked.wait(30))
    with stamping(tmp_path / "tsa") as authority:
        segments = Segments(MemoryBlobs())
        how = {"tsa_url": authority.url, "tsa_ca_file": authority.ca, "tsa_hours": 0}
        try:
            async with publishing_to(
                keys, segments=segments, heads_file=tmp_path / "heads", **how
            ) as publisher:
                async with asyncio.timeout(5):
                    await publisher.sealed([sealed("audit-0", 1, 5)])
                    await publisher.sealed([sealed("audit-0", 6, 9)])
                    while not [one async for one in segments.blobs.list("audit/")]:
                        await asyncio.sleep(0.005)
        finally:
            blocked.set()


async def test_the_last_heads_are_published_before_the_end(keys, tmp_path):
    path = tmp_path / "heads.jsonl"
    async with publishing_to(keys, heads_file=path) as publisher:
        await publisher.sealed([sealed("audit-0", 1, 5)])
    assert [head.last for head in read_heads(lines(path))] == [5]


async def test_seals_are_stamped_and_an_authority_that_is_down_is_a_problem(keys, tmp_path):
    segments, recorder = Segments(MemoryBlobs()), Recorder()
    with stamping(tmp_path / "tsa") as authority:
        authority.is_down = True
        how = {"tsa_url": authority.url, "tsa_ca_file": authority.ca}
        async with publishing_to(keys, recorder, segments, **how) as publisher:
            await publisher.sealed([sealed("audit-0", 1, 5)])
            await until(publisher.problems, 10)
            assert "it answers 503" in publisher.problems()[0]
            assert recorder.values(AUDIT_PUBLISH_FAILURES) == {("stamp",): 1}
            authority.is_down = False
            await publisher.sealed([sealed("audit-0", 6, 9)])
            await until(lambda: not publisher.problems(), 10)
    keys_now = [info.key async for info in segments.blobs.list("audit/")]
    assert keys_now == [f"{sealed('audit-0', 6, 9).seal.folder}stamp.tsr"]


async def test_without_settings_only_collectors_are_told(keys):
    told = []
    async with publishing_to(keys, told=told) as publisher:
        await publisher.sealed([sealed("audit-0", 1, 5)])
        assert publisher.problems() == []
    assert len(told) == 1
