"""Members of the audit role on Kafka killed in turns while records come in: each record stands in a
chain once, whoever took it, and all of it is proved."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from isocenter.adapters.blobs.s3.blobs import S3Blobs
from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.settings import KafkaSettings
from isocenter.audit.consumer import GROUP
from isocenter.audit.segments import Segments
from isocenter.core.events import TOPIC_AUDIT
from isocenter.runtime.event_codec import encode
from support.audited import event
from support.buckets import SETTINGS
from support.harness import Isocenter
from support.kills import kills
from support.stack import Stack

KILLS = kills(4, 12)
MEMBERS = 3
AT_ONCE = 40  # records of an append


@pytest.fixture
def members(stack: Stack, name: str, tmp_path: Path) -> Iterator[Isocenter]:
    """Copies of the audit role, and nothing else."""
    settings = {
        **stack.settings(name),
        # Often: kills fall between the seal and the commit, too.
        "audit.linger_seconds": 0.05,
        "audit.seal_seconds": 0.2,
    }
    members = Isocenter(tmp_path / "data", "split", settings, {"audit": MEMBERS})
    try:
        members.prepare()
        for one in members.names["audit"]:
            members.start_one(one)
        yield members
    finally:
        members.kill()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_record_stands_in_a_chain_once(
    members: Isocenter, stack: Stack, name: str
) -> None:
    settings = stack.settings(name)
    bus = await KafkaBus.open(str(settings["bus"]), KafkaSettings(partitions=4))
    blobs = await S3Blobs.open(str(settings["blobs"]), SETTINGS)
    chance = random.Random(8)
    appended: list[str] = []
    over = asyncio.Event()
    appending = asyncio.create_task(_append(bus, appended, over))
    try:
        sealed = 0
        for _ in range(KILLS):
            sealed = await _more_than(bus, appended, sealed)
            victim = chance.choice(members.names["audit"])
            members.kill_one(victim)
            members.start_one(victim)
            await asyncio.sleep(chance.uniform(0, 1))  # how far it comes differs each time
        over.set()
        await appending
        await _more_than(bus, appended, len(appended) - 1)
        assert set(members.stop().values()) == {0}
        held = await _chained(Segments(blobs))
    finally:
        over.set()
        await appending
        await bus.close()
        await blobs.close()
    assert len(appended) > KILLS * AT_ONCE
    assert max(held.values()) == 1, "a record stands twice"
    assert set(appended) <= held.keys(), "a record stands nowhere"
    verified = members.cli("audit verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["records"] == held.total()
    counted = members.cli("audit count", "--action", "retrieve")
    assert int(counted.stdout.replace(",", "")) == len(appended)


async def _append(bus: KafkaBus, appended: list[str], over: asyncio.Event) -> None:
    """Records without pause, each for another partition."""
    while not over.is_set():
        events = [event(len(appended) + one) for one in range(AT_ONCE)]
        await bus.append(TOPIC_AUDIT, [encode(one) for one in events])
        appended += [one.id for one in events]
        await asyncio.sleep(0.05)


async def _more_than(bus: KafkaBus, appended: Sequence[str], sealed: int) -> int:
    """When more of what was appended is sealed: how much. What members say of themselves waits
    among it, so it may be a few more."""
    deadline = asyncio.get_running_loop().time() + 90
    while True:
        now = len(appended) - await bus.lag(GROUP, TOPIC_AUDIT)
        if now > sealed:
            return now
        assert asyncio.get_running_loop().time() < deadline, "records are not taken in any more"
        await asyncio.sleep(0.1)


async def _chained(segments: Segments) -> Counter[str]:
    """How often each record stands in the chains."""
    held: Counter[str] = Counter()
    for chain in await segments.chains():
        async for sealed in segments.of(chain):
            links = await segments.lines(sealed.seal)
            held.update(json.loads(line)["record"]["id"] for line in links.lines)
    return held
