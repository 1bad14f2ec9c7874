"""Logs on Kafka for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kafka import KafkaAdminClient

from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.settings import KafkaSettings

TOPIC = "isocenter.instances"
TOPICS = (TOPIC, f"{TOPIC}.dead", "one", "two")


def make_topics(address: str, namespace: str, partitions: int = 1) -> None:
    """The topics of the tests of the log."""
    client = KafkaAdminClient(bootstrap_servers=[address])
    try:
        names = [f"{namespace}.{topic.removeprefix('isocenter.')}" for topic in TOPICS]
        client.create_topics(
            {name: {"num_partitions": partitions, "replication_factor": 1} for name in names},
            wait_for_metadata=True,
        )
    finally:
        client.close()


@asynccontextmanager
async def opened(
    address: str, namespace: str, settings: KafkaSettings | None = None
) -> AsyncIterator[KafkaBus]:
    """A log that is closed afterwards."""
    bus = await KafkaBus.open(f"kafka://{address}/{namespace}", settings or KafkaSettings())
    try:
        yield bus
    finally:
        await bus.close()
