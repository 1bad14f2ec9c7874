"""Forwarding: every record reaches every collector, whatever becomes of either meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit import forwarding
from isocenter.audit.forwarding import GROUPS, Forwarding
from isocenter.audit.keys import KeyFolder
from isocenter.audit.records import record_of
from isocenter.audit.settings import Collector
from isocenter.core.errors import Unavailable
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    ConflictPolicy,
    InstanceConflict,
    InstanceDeleted,
    InstanceStored,
)
from isocenter.core.identity import InstanceName
from isocenter.core.ports import Record
from isocenter.runtime.audit_dicom import message
from isocenter.runtime.event_codec import decode, encode
from isocenter.runtime.instruments import (
    AUDIT_FORWARD_DOWN,
    AUDIT_FORWARD_FAILURES,
    AUDIT_FORWARDED,
)
from support.authority import Authority
from support.collectors import SyslogCollector, collecting, text_of
from support.forwarding_rig import (
    GROUP,
    SOURCE,
    append,
    arrived,
    event,
    forwarder,
    in_order,
    nothing_waits,
    numbers,
    running,
)
from support.telemetry import Recorder
from support.waiting import until

pytestmark = pytest.mark.usefixtures("hurried")
SCHEMA = Path(__file__).parents[2] / "data/audit-message.rng"


# --- what is sent --------------------------------------------------------------------------------


async def test_records_arrive_as_audit_messages_in_order():
    bus = MemoryBus()
    records = [event("a"), event("b", outcome=AuditOutcome.FAILURE)]
    await bus.append(TOPIC_AUDIT, [encode(one) for one in records])
    with collecting() as collector:
        async with running(forwarder(bus, collector)):
            await arrived(collector, 2)
            await nothing_waits(bus)
    assert collector.ids == ["a", "b"]
    assert [one.partition(b" ")[0] for one in collector.messages] == [b"<85>1", b"<84>1"]
    kept = [record_of(one, decode(one), "here") async for one in bus.replay(TOPIC_AUDIT)]
    assert [text_of(one) for one in collector.messages] == [message(one) for one in kept]
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    for one in collector.messages:
        schema.assertValid(etree.fromstring(text_of(one)))


async def test_events_of_instances_are_forwarded_where_they_are_records():
    bus, name = MemoryBus(), InstanceName("main", "1.2", "1.2.3", "1.2.3.4")
    stored = InstanceStored(
        name=name,
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax="1.2.840.10008.1.2.1",
        key="objects/main/1.2/1.2.3/1.2.3.4/0.dcm",
        digest="0" * 64,
        size=1,
        data_set_offset=0,
        header_length=1,
        header=b"",
        source=SOURCE,
        received_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    conflict = InstanceConflict(name, "0" * 64, "1" * 64, ConflictPolicy.KEEP_FIRST, SOURCE)
    deleted = InstanceDeleted(name, "0" * 64, "retention", SOURCE)
    events = [encode(one) for one in (stored, conflict, deleted)]
    await bus.append(TOPIC_INSTANCES, events)
    with collecting() as collector:
        async with running(forwarder(bus, collector)):
            await nothing_waits(bus, TOPIC_INSTANCES)
    assert collector.ids == [events[0].headers["ce_id"], events[2].headers["ce_id"]]


async def test_a_collector_gets_the_actions_that_it_wants():
    bus = MemoryBus()
    wanted = [AuditAction.EXPORT, AuditAction.SIGN_IN]
    await bus.append(TOPIC_AUDIT, [encode(event(one.value, one)) for one in AuditAction])
    with collecting() as collector:
        async with running(forwarder(bus, collector, actions=wanted)):
            await nothing_waits(bus)
    assert set(collector.ids) == {one.value for one in wanted}


async def test_what_nobody_can_read_is_passed_over_for_it_is_a_letter_of_those_who_keep_it():
    bus = MemoryBus()
    poison = Record("", "isocenter.v1.AuditEvent", b"\xff\xff", {})
    await bus.append(TOPIC_AUDIT, [encode(event("a")), poison, encode(event("b"))])
    with collecting() as collector:
        async with running(forwarder(bus, collector)):
            await nothing_waits(bus)
    assert collector.ids == ["a", "b"]
    assert [one async for one in bus.replay(f"{TOPIC_AUDIT}.dead")] == []


async def test_a_record_that_no_message_can_be_written_of_is_a_letter_and_the_rest_goes_on(
    monkeypatch,
):
    def picky(record: AuditEvent) -> bytes:
        if record.id == "1":
            raise RuntimeError("Doe^Jane is no name")
        return message(record)

    monkeypatch.setattr(forwarding, "message", picky)
    bus = MemoryBus()
    await append(bus, 0, 3)
    with collecting() as collector:
        async with running(forwarder(bus, collector)):
            await nothing_waits(bus)
    assert collector.ids == ["0", "2"]
    (letter,) = [one async for one in bus.replay(f"{TOPIC_AUDIT}.dead")]
    assert letter.headers["error"] == "not forwarded to siem: RuntimeError"


# --- what happens to collectors ------------------------------------------------------------------


async def test_while_a_collector_is_down_the_log_keeps_what_is_its_and_it_is_said_so():
    bus, recorder, collector = MemoryBus(), Recorder(), SyslogCollector()
    await append(bus, 0, 2500)
    part = forwarder(bus, collector, recorder.telemetry)
    async with running(part):
        await until(part.problems, 30)
        (problem,) = part.problems()
        assert "audit records wait for siem since 20" in problem
        assert "Connection refused" in problem
        await until(lambda: recorder.values(AUDIT_FORWARD_DOWN)[("siem",)] > 0, 30)
        assert recorder.values(AUDIT_FORWARD_FAILURES)[("siem",)] >= 1
        await append(bus, 2500, 3000)
        assert await bus.lag(GROUP, TOPIC_AUDIT) == 3000
        collector.start()
        await arrived(collector, 3000)
        await nothing_waits(bus)
        await until(lambda: not part.problems(), 30)
        assert recorder.values(AUDIT_FORWARD_DOWN) == {("siem",): 0.0}
    collector.stop()
    assert in_order(collector.ids) == numbers(3000)
    assert recorder.values(AUDIT_FORWARDED) == {("siem",): 3000}


async def test_after_a_broken_connection_all_that_was_not_confirmed_comes_again():
    bus = MemoryBus()
    await append(bus, 0, 500)
    with collecting() as collector:
        collector.break_after = 300
        async with running(forwarder(bus, collector)):
            await arrived(collector, 300)
            collector.break_after = 0
            await arrived(collector, 500)
            await nothing_waits(bus)
    assert in_order(collector.ids) == numbers(500)
    assert collector.ids[:301] == [*numbers(300), "0"]


@pytest.mark.parametrize("kind", ["tcp", "tls"])
async def test_a_collector_that_is_killed_again_and_again_misses_nothing(kind, tmp_path):
    """With TLS not even what it had read and not kept."""
    tls = Authority(tmp_path).issue("collector") if kind == "tls" else None
    bus = MemoryBus()
    with collecting(kind, tls) as collector:
        async with running(forwarder(bus, collector, **({"ca_file": tls.ca} if tls else {}))):
            await append(bus, 0, 1)
            await nothing_waits(bus)
            collector.keeps_what_it_reads = kind == "tcp"
            for start in range(1, 2001, 200):
                await append(bus, start, start + 200)
                await arrived(collector, start + 100)
                collector.stop()
                collector.start()
            await arrived(collector, 2001)
            await nothing_waits(bus)
    assert in_order(collector.ids) == numbers(2001)


async def test_a_collector_that_takes_little_of_a_connection_gets_everything_all_the_same():
    bus = MemoryBus()
    await append(bus, 0, 100)
    with collecting() as collector:
        collector.break_after, collector.bytes_a_read = 8, 500
        async with running(forwarder(bus, collector)):
            await nothing_waits(bus)
    assert in_order(collector.ids) == numbers(100)


async def test_nothing_is_committed_of_a_collector_that_hangs(impatient):
    bus = MemoryBus()
    await append(bus, 0, 100)
    with collecting() as collector:
        collector.reading.clear()
        part = forwarder(bus, collector)
        async with running(part):
            await until(lambda: any("not read to the end" in one for one in part.problems()), 30)
            assert await bus.lag(GROUP, TOPIC_AUDIT) == 100
            collector.reading.set()
            await nothing_waits(bus)
    assert in_order(collector.ids) == numbers(100)


async def test_a_collector_that_reads_slowly_holds_up_nobody_else(impatient):
    bus = MemoryBus()
    await append(bus, 0, 1000)
    with collecting(buffer=4096) as slow, collecting() as fast:
        slow.bytes_a_read, slow.seconds_a_read = 1000, 0.001
        part = Forwarding(
            bus=bus,
            collectors=[
                Collector(name="slow", url=slow.url),
                Collector(name="fast", url=fast.url),
            ],
            keys=KeyFolder(Path("nowhere"), makes=False),
            site="",
        )
        async with running(part):
            await arrived(fast, 1000)
            assert len(slow.ids) < 1000
            await nothing_waits(bus, group=f"{GROUPS}fast")
            await nothing_waits(bus, group=f"{GROUPS}slow")
    assert in_order(slow.ids) == in_order(fast.ids) == numbers(1000)


async def test_who_stops_has_confirmed_what_was_sent(monkeypatch):
    monkeypatch.setattr(forwarding, "_CONFIRM_SECONDS", 3600)
    bus = MemoryBus()
    await append(bus, 0, 10)
    with collecting() as collector:
        async with running(forwarder(bus, collector)):
            await arrived(collector, 10)
            assert await bus.lag(GROUP, TOPIC_AUDIT) == 10
    assert await bus.lag(GROUP, TOPIC_AUDIT) == 0


async def test_who_stops_waits_for_no_collector_that_hangs():
    bus = MemoryBus()
    await append(bus, 0, 5000)
    with collecting(buffer=4096) as collector:
        collector.reading.clear()
        part = forwarder(bus, collector)
        await part.start()
        await asyncio.to_thread(collector.wait_for_connection)
        async with asyncio.timeout(5):
            await part.stop()
    assert await bus.lag(GROUP, TOPIC_AUDIT) == 5000


async def test_what_has_moved_to_another_member_is_left_to_it():
    bus = MemoryBus()
    await append(bus, 0, 2)
    with collecting() as collector:
        part = forwarder(bus, collector)
        member = await bus.consumer(GROUP, [TOPIC_AUDIT])
        poll = member.poll

        async def polled_and_moved(most: int, timeout: float):
            found = await poll(most, timeout)
            await bus.revoke(GROUP, TOPIC_AUDIT)
            return found

        member.poll = polled_and_moved
        part._sender.open()
        await part._step(member)
        await part._confirm(member)
        await part.stop()
    assert collector.messages == []
    assert await bus.lag(GROUP, TOPIC_AUDIT) == 2


async def test_while_the_log_is_down_it_is_tried_again():
    bus, down = MemoryBus(), True
    join = bus.consumer

    async def joining(group, topics):
        if down:
            raise Unavailable("the log is down", fix="start it")
        return await join(group, topics)

    bus.consumer = joining
    await append(bus, 0, 3)
    with collecting() as collector:
        part = forwarder(bus, collector)
        async with running(part):
            await until(lambda: any("the log is down" in one for one in part.problems()), 30)
            down = False
            await arrived(collector, 3)


async def test_by_udp_they_arrive_too():
    bus = MemoryBus()
    await append(bus, 0, 300)
    with collecting("udp") as collector:
        async with running(forwarder(bus, collector)):
            await nothing_waits(bus)
            await arrived(collector, 300)
    assert collector.ids == numbers(300)
