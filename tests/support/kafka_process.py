"""A member of a group of the log on Kafka in a process of its own, to be killed by a test.

`python kafka_process.py URL GROUP TOPIC COMMITTED`: joins, prints what it polls, and commits once
it has polled COMMITTED events, and never again.
"""

from __future__ import annotations

import asyncio
import sys

from isocenter.adapters.bus.kafka.bus import KafkaBus
from isocenter.adapters.settings import KafkaSettings


async def consume(url: str, group: str, topic: str, committed: int) -> None:
    bus = await KafkaBus.open(url, KafkaSettings())
    consumer = await bus.consumer(group, [topic])
    polled = 0
    while True:
        # One at a time, so that the commit covers exactly as many.
        for delivery in await consumer.poll(1, 60):
            polled += 1
            if polled == committed:
                await consumer.commit()
            print(delivery.data.decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(consume(*sys.argv[1:4], int(sys.argv[4])))
