"""Forwarding of the newest heads, and which collectors the log remembers."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.adapters.bus.memory import MemoryBus
from isocenter.audit.forwarding import GROUPS, HEADS, Forwarding
from isocenter.audit.heads import read_heads
from isocenter.audit.keys import KeyFolder
from isocenter.audit.settings import Collector
from isocenter.core.errors import Unavailable
from isocenter.core.events import TOPIC_AUDIT
from support.collectors import SyslogCollector, collecting, id_of
from support.forwarding_rig import (
    GROUP,
    NO_KEYS,
    append,
    arrived,
    forwarder,
    nothing_waits,
    numbers,
    running,
)
from support.seals import sealed
from support.waiting import until

pytestmark = pytest.mark.usefixtures("hurried")


async def test_the_newest_heads_arrive_as_a_message_of_their_own(tmp_path):
    bus, keys = MemoryBus(), KeyFolder(tmp_path, makes=True)
    older, newer, other = (
        sealed("audit-0", 1, 5),
        sealed("audit-0", 6, 9),
        sealed("instances-0", 1, 2),
    )
    collector = SyslogCollector()
    part = forwarder(bus, collector, keys=keys)
    async with running(part):
        part.tell([older, other])
        await until(part.problems, 30)
        part.tell([newer])
        collector.start()
        await arrived(collector, 1)
        await until(lambda: not part._heads, 30)
        part.tell([sealed("audit-0", 10, 12)])
        await arrived(collector, 2)
    collector.stop()
    first, second = dict.fromkeys(collector.messages)
    assert f" {HEADS} [".encode() in first
    assert first.startswith(b"<85>1 ")
    heads = read_heads([first.decode()])
    assert {(head.chain, head.last, head.seal) for head in heads} == {
        ("audit-0", 9, newer.digest),
        ("instances-0", 2, other.digest),
    }
    assert [head.last for head in read_heads([second.decode()])] == [12]


async def test_the_heads_of_the_last_seal_arrive_before_the_end(tmp_path):
    bus, keys = MemoryBus(), KeyFolder(tmp_path, makes=True)
    with collecting() as collector:
        part = forwarder(bus, collector, keys=keys)
        async with running(part):
            await asyncio.to_thread(collector.wait_for_connection)
            part.tell([sealed("audit-0", 1, 5)])
        assert [read_heads([one.decode()])[0].last for one in collector.messages] == [5]


async def test_heads_that_were_not_confirmed_come_again(tmp_path):
    bus, keys = MemoryBus(), KeyFolder(tmp_path, makes=True)
    with collecting() as collector:
        collector.break_after = 1
        part = forwarder(bus, collector, keys=keys)
        async with running(part):
            part.tell([sealed("audit-0", 1, 5)])
            await until(lambda: len(collector.messages) > 1, 30)
            collector.break_after = 0
            await until(lambda: not part._heads, 30)
    assert all(read_heads([one.decode()])[0].last == 5 for one in collector.messages)


async def test_heads_that_cannot_be_signed_keep_no_record_back():
    bus = MemoryBus()
    await append(bus, 0, 3)
    with collecting() as collector:
        part = forwarder(bus, collector)  # its folder of keys is nowhere
        part.tell([sealed("audit-0", 1, 5)])
        async with running(part):
            await arrived(collector, 3)
            await nothing_waits(bus)
    assert all(id_of(one) in numbers(3) for one in collector.messages)


# --- all of them ---------------------------------------------------------------------------------


def to_all(bus: MemoryBus, collector: SyslogCollector) -> Forwarding:
    """Forwarding to all collectors of the settings, which are this one."""
    return Forwarding(
        bus=bus,
        collectors=[Collector(name="siem", url=collector.url)],
        keys=NO_KEYS,
        site="",
    )


async def test_a_collector_that_is_gone_from_the_settings_is_forgotten():
    bus = MemoryBus()
    await append(bus, 0, 3)
    for group in (f"{GROUPS}former", GROUP, "audit"):
        member = await bus.consumer(group, [TOPIC_AUDIT])
        await member.poll(2, 0)
        await member.commit()
        await member.close()
    with collecting() as collector:
        async with running(to_all(bus, collector)):
            await arrived(collector, 1)
    assert collector.ids == ["2"]
    assert await bus.lag(f"{GROUPS}former", TOPIC_AUDIT) == 3, "as if it had never been"
    assert await bus.lag("audit", TOPIC_AUDIT) == 1


async def test_a_log_that_forgets_nothing_now_keeps_no_collector_from_beginning():
    bus = MemoryBus()

    async def failing(prefix, keep):
        raise Unavailable("the log is down", fix="start it")

    bus.forget = failing
    await append(bus, 0, 1)
    with collecting() as collector:
        async with running(to_all(bus, collector)):
            await arrived(collector, 1)
