"""Counting accesses: as few records as possible, and none lost with the process."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, Source
from isocenter.runtime import access_windows
from isocenter.runtime.access_journal import Access, Journal, leftovers
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import decode
from isocenter.runtime.outbox import Outbox

SOURCE = Source("DICOMweb", "192.0.2.7", user="eva")
ACCESS = Access(
    AuditAction.RETRIEVE, SOURCE, "main", "WADO-RS frames", ("P1",), ("1.2",), ("1.2.3",)
)


class Bus(MemoryBus):
    down = False

    async def append(self, topic, records):
        if self.down:
            raise Unavailable("the log is down", fix="start it")
        await super().append(topic, records)


class Slow(Bus):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def append(self, topic, records):
        self.asked.set()
        await self.answers.wait()
        await super().append(topic, records)


async def _no_storage():
    raise Unavailable("the object store is down")


def log_on(bus: Bus, folder: Path, seconds: float = 60) -> AuditLog:
    outbox = Outbox(bus, _no_storage, down_seconds=0)
    return AuditLog(outbox, "p1", journal=folder, window_seconds=seconds)


async def access(log: AuditLog, times: int = 1) -> None:
    for _ in range(times):
        await log.accessed(
            SOURCE,
            partition="main",
            patient_ids=("P1",),
            study="1.2",
            series="1.2.3",
            instance_count=1,
            detail="WADO-RS frames",
        )


async def counts(bus: Bus) -> dict[str, int]:
    """By record id: what is appended twice under one id is one record."""
    records = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    assert all(isinstance(record, AuditEvent) for record in records)
    return {record.id: record.instance_count for record in records}


async def test_the_first_has_its_record_and_the_others_are_counted_in_one(tmp_path):
    bus = Bus()
    log = log_on(bus, tmp_path)
    await access(log, 5)
    assert list((await counts(bus)).values()) == [1]
    await log.close()
    assert list((await counts(bus)).values()) == [1, 4]
    assert list(tmp_path.iterdir()) == [], "nothing is left of a process that ended well"


async def test_a_process_that_follows_one_that_was_killed_records_what_that_had_counted(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from isocenter.runtime.access_journal import Access, Journal
from isocenter.core.events import AuditAction, Source
journal = Journal(Path(sys.argv[1]))
eva = Source("DICOMweb", "192.0.2.7", user="eva")
access = Access(AuditAction.RETRIEVE, eva, "main", "WADO-RS frames", ("P1",), ("1.2",), ("1.2.3",))
for _ in range(799):
    journal.counted("a", access, 1)
journal.counted("done", access, 7)
journal.ended("done")
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    assert await process.wait() == -signal.SIGKILL
    bus = Bus()
    bus.down = True
    log = log_on(bus, tmp_path, seconds=0.05)
    log.start()
    await asyncio.sleep(0)
    assert len(list(tmp_path.iterdir())) == 1, "while the log is down the counts stay"
    bus.down = False
    while not await counts(bus):
        await asyncio.sleep(0.005)
    await log.close()
    assert await counts(bus) == {"a": 799}
    assert list(tmp_path.iterdir()) == []


async def test_counts_of_a_process_that_lives_are_left_to_it(tmp_path):
    bus = Bus()
    log = log_on(bus, tmp_path)
    await access(log, 3)
    assert list(leftovers(tmp_path)) == []
    other = log_on(bus, tmp_path)
    other.start()
    await access(other)
    await other.close()
    await log.close()
    assert sorted((await counts(bus)).values()) == [1, 1, 2]


async def test_what_was_cut_off_in_the_middle_of_a_line_counts_nothing(tmp_path):
    journal = Journal(tmp_path)
    journal.counted("a", ACCESS, 2)
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"of":"a","cou')
    os.close(journal._file)  # as the kernel does for a process that is gone
    (left,) = leftovers(tmp_path)
    assert [(one.record, one.count, one.access) for one in left.counts] == [("a", 2, ACCESS)]
    left.forget()
    assert list(leftovers(tmp_path)) == []


async def test_where_nothing_can_be_counted_each_access_has_a_record_of_its_own(tmp_path):
    (tmp_path / "file").write_text("no folder")
    bus = Bus()
    log = log_on(bus, tmp_path / "file")
    await access(log, 3)
    assert list((await counts(bus)).values()) == [1, 1, 1]
    await log.close()
    assert len(await counts(bus)) == 3


async def test_an_access_whose_record_cannot_be_made_durable_does_not_happen(tmp_path):
    bus = Bus()
    bus.down = True
    log = log_on(bus, tmp_path)
    with pytest.raises(Unavailable):
        await access(log)
    bus.down = False
    await access(log, 2)
    await log.close()
    assert sorted((await counts(bus)).values()) == [1, 1]


async def test_who_asks_meanwhile_waits_for_the_first_record(tmp_path):
    bus = Slow()
    log = log_on(bus, tmp_path)
    asking = [asyncio.create_task(access(log)) for _ in range(5)]
    await asyncio.wait_for(bus.asked.wait(), 5)
    asking[1].cancel()  # the others go on waiting
    done, _ = await asyncio.wait(asking, timeout=0.05)
    assert done == {asking[1]}
    bus.answers.set()
    await asyncio.gather(*asking, return_exceptions=True)
    await log.close()
    assert sorted((await counts(bus)).values()) == [1, 3]


async def test_if_who_asked_first_goes_away_another_one_s_record_is_the_first(tmp_path):
    bus = Slow()
    log = log_on(bus, tmp_path)
    first = asyncio.create_task(access(log))
    await asyncio.wait_for(bus.asked.wait(), 5)
    others = [asyncio.create_task(access(log)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    bus.answers.set()
    await asyncio.gather(*others)
    await log.close()
    assert sorted((await counts(bus)).values()) == [1, 2]


async def test_windows_end_by_themselves(tmp_path):
    bus = Bus()
    log = log_on(bus, tmp_path, seconds=0.05)
    await access(log, 4)
    while len(await counts(bus)) < 2:
        await asyncio.sleep(0.005)
    await access(log)
    await log.close()
    assert sum((await counts(bus)).values()) == 5


async def search(log: AuditLog, query: str, times: int = 1) -> None:
    for _ in range(times):
        await log.searched(SOURCE, partition="main", detail="QIDO-RS STUDY", query=query)


async def test_the_same_search_again_is_counted_and_another_one_is_another_record(tmp_path):
    bus = Bus()
    log = log_on(bus, tmp_path)
    await search(log, "PatientID=1", 38)
    await search(log, "PatientID=2", 2)
    await search(log, "PatientID=3")
    await log.close()
    events = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    assert [
        (event.query, event.detail, event.action, event.instance_count) for event in events
    ] == [
        ("PatientID=1", "QIDO-RS STUDY", AuditAction.QUERY, 0),
        ("PatientID=2", "QIDO-RS STUDY", AuditAction.QUERY, 0),
        ("PatientID=3", "QIDO-RS STUDY", AuditAction.QUERY, 0),
        ("PatientID=1", "QIDO-RS STUDY, 37 times", AuditAction.QUERY, 0),
        ("PatientID=2", "QIDO-RS STUDY", AuditAction.QUERY, 0),
    ]


def test_a_file_of_counts_does_not_grow_with_them(tmp_path):
    journal = Journal(tmp_path, most_bytes=2000)
    journal.counted("a", ACCESS, 1)
    journal.counted("b", ACCESS, 5)
    for number in range(1000):
        journal.counted("a", ACCESS, 1)
        journal.counted(f"short-{number}", ACCESS, 1)
        journal.ended(f"short-{number}")
        (path,) = tmp_path.iterdir()
        assert path.stat().st_size < 3000
    assert list(leftovers(tmp_path)) == [], "the new file is locked like the first one"
    os.close(journal._file)  # as the kernel does for a process that is gone
    (left,) = leftovers(tmp_path)
    assert {one.record: one.count for one in left.counts} == {"a": 1001, "b": 5}
    left.forget()


def test_where_no_new_file_can_be_written_the_one_in_use_stays(tmp_path, monkeypatch, caplog):
    journal = Journal(tmp_path, most_bytes=300)
    journal.counted("a", ACCESS, 1)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_new_file", full)
        journal.counted("b", ACCESS, 2)
    assert "take more room" in caplog.text
    journal.counted("a", ACCESS, 3)
    os.close(journal._file)
    (left,) = leftovers(tmp_path)
    assert {one.record: one.count for one in left.counts} == {"a": 4, "b": 2}
    left.forget()


async def test_more_windows_than_are_kept_have_a_record_each(tmp_path, monkeypatch):
    monkeypatch.setattr(access_windows, "_MOST", 2)
    bus = Bus()
    log = log_on(bus, tmp_path)
    for query in ("1", "2", "3", "3", "1"):
        await search(log, query)
    await log.close()
    events = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    assert [event.query for event in events] == ["1", "2", "3", "3", "1"]


async def test_a_disk_that_is_full_in_the_middle_of_a_line_takes_no_other_count_along(
    tmp_path, monkeypatch
):
    journal = Journal(tmp_path)
    journal.counted("a", ACCESS, 1)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, text: write(file, text[: len(text) // 2]))
        for one in ("a", "b"):
            with pytest.raises(Unavailable):
                journal.counted(one, ACCESS, 10)
    journal.counted("a", ACCESS, 2)
    journal.counted("b", ACCESS, 3)
    os.close(journal._file)
    (left,) = leftovers(tmp_path)
    assert {one.record: one.count for one in left.counts} == {"a": 3, "b": 3}
    left.forget()


async def test_a_line_that_somebody_damaged_keeps_nobody_from_the_others(tmp_path):
    journal = Journal(tmp_path)
    journal.counted("a", ACCESS, 1)
    journal.counted("a", ACCESS, 1)
    journal.counted("b", ACCESS, 5)
    os.close(journal._file)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b'{"begins":"a"', b"{", 1))
    (left,) = leftovers(tmp_path)
    assert [(one.record, one.count) for one in left.counts] == [("b", 5)]
    left.forget()


async def test_whatever_was_searched_for_is_counted_within_its_bounds(tmp_path):
    bus = Bus()
    log = log_on(bus, tmp_path)
    await search(log, "PatientName=\ud800" + "x" * 1_000_000, 3)
    assert sum(len(one.query) for one in log._windows._windows) < 3000
    await log.close()
    events = [decode(delivery) async for delivery in bus.replay(TOPIC_AUDIT)]
    assert [event.detail for event in events] == ["QIDO-RS STUDY", "QIDO-RS STUDY, 2 times"]
    assert len({event.query for event in events}) == 1
