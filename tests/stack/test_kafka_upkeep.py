"""`check` and `check --prepare` of the topics on a Kafka broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from isocenter.adapters.bus.kafka.client import MAX_RECORD_BYTES
from isocenter.adapters.bus.kafka.upkeep import KafkaUpkeep
from isocenter.adapters.settings import KafkaSettings
from isocenter.core import events
from isocenter.core.errors import Invalid
from support.kafka_logs import opened
from support.stack import Stack

TOPICS = sorted(
    topic.removeprefix("isocenter.") + suffix
    for topic in events.TOPICS
    for suffix in ("", events.DEAD_SUFFIX)
)
Keeper = Callable[..., AbstractAsyncContextManager[KafkaUpkeep]]


@pytest.fixture
def keeper(stack: Stack, name: str) -> Keeper:
    """What looks after the topics of this test's namespace, under some settings."""

    @asynccontextmanager
    async def made(**settings: int) -> AsyncIterator[KafkaUpkeep]:
        url = f"kafka://{stack.kafka.address}/{name}"
        upkeep = await KafkaUpkeep.open(
            url, KafkaSettings(**settings), keep_days=2.5, keep_bytes=12 * 10**9
        )
        try:
            yield upkeep
        finally:
            await upkeep.close()

    return made


@pytest.fixture
def admin(stack: Stack) -> KafkaAdminClient:
    client = KafkaAdminClient(bootstrap_servers=[stack.kafka.address])
    yield client
    client.close()


async def test_topics_are_made_once_and_nothing_is_to_fix_then(keeper, name, stack):
    names = [f"{name}.{topic}" for topic in TOPICS]
    async with keeper() as upkeep:
        found = await upkeep.check()
        assert not found[0].fix
        assert stack.kafka.address in found[0].state
        missing = [finding for finding in found if finding.fix]
        assert sorted(finding.what for finding in missing) == [f"topic {n}" for n in names]
        assert all("isocenter check --prepare" in finding.fix for finding in missing)
        assert all(finding.preparable for finding in missing)
        made = await upkeep.prepare()
        assert [line.partition(":")[0] for line in made] == [f"topic {n}" for n in names]
        assert await upkeep.prepare() == []
        found = await upkeep.check()
        assert [finding for finding in found if finding.fix] == []
        assert any(finding.state == "12 partitions, 1 copy" for finding in found)


async def test_topics_are_made_as_the_settings_say_and_dead_letters_are_kept(keeper, admin, name):
    async with keeper(partitions=3) as upkeep:
        await upkeep.prepare()
    described = {topic["name"]: topic for topic in admin.describe_topics()}
    assert len(described[f"{name}.instances"]["partitions"]) == 3
    assert len(described[f"{name}.instances.dead"]["partitions"]) == 1
    ours = configured(admin, f"{name}.instances")
    assert ours["retention.ms"] == str(60 * 60 * 60 * 1000)
    assert ours["retention.bytes"] == str(4 * 10**9)
    assert int(ours["max.message.bytes"]) >= MAX_RECORD_BYTES
    assert ours["min.insync.replicas"] == "1"
    dead = configured(admin, f"{name}.instances.dead")
    assert (dead["retention.ms"], dead["retention.bytes"]) == ("-1", "-1")


def configured(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (found,) = admin.describe_configs([resource], config_filter="all")["topic"].values()
    return {key: entry["value"] for key, entry in found.items()}


async def test_several_may_prepare_at_once(keeper, name, stack):
    async with keeper() as one, keeper() as other:
        made = await asyncio.gather(*(upkeep.prepare() for upkeep in (one, other) * 3))
        assert len({line for lines in made for line in lines}) == len(TOPICS)
        assert [finding for finding in await other.check() if finding.fix] == []
    async with opened(stack.kafka.address, name) as bus:
        assert sum((await bus.end("isocenter.instances")).values()) == 0


async def test_topics_that_are_there_stay_as_they_are(keeper, admin, name):
    admin.create_topics({f"{name}.audit": {"num_partitions": 2, "replication_factor": 1}})
    async with keeper() as upkeep:
        made = await upkeep.prepare()
        assert not any(line.startswith(f"topic {name}.audit:") for line in made)
        states = {finding.what: finding.state for finding in await upkeep.check()}
    assert states[f"topic {name}.audit"] == "2 partitions, 1 copy"


async def test_more_copies_than_brokers_are_refused_with_the_setting(keeper):
    async with keeper(replicas=3) as upkeep:
        with pytest.raises(Invalid, match=r"\[kafka\] replicas"):
            await upkeep.prepare()


async def test_too_few_copies_are_told_and_not_mended_by_prepare(keeper):
    async with keeper() as upkeep:
        await upkeep.prepare()
    async with keeper(replicas=3) as upkeep:
        wrong = [finding for finding in await upkeep.check() if finding.fix]
        assert len(wrong) == len(TOPICS)
        assert all("3 copies" in finding.fix and not finding.preparable for finding in wrong)
