"""Uses the embedded log or file store in a process of its own, to be killed by a test.

`python log_process.py append DIRECTORY TOPIC PREFIX`: appends until it is killed; each
acknowledged record is printed. `... consume DIRECTORY TOPIC`: joins group "g", prints what it
polls, never commits. `... put DIRECTORY PREFIX`: puts blobs until it is killed; each
acknowledged key is printed. `... stage DIRECTORY`: leaves a half-written blob and waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from itertools import count
from pathlib import Path

from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.bus.log import LogBus
from isocenter.core.ports import Record


def say(text: str) -> None:
    """One line, in one write, so that a kill cannot tear it."""
    os.write(1, f"{text}\n".encode())


async def append(directory: str, topic: str, prefix: str) -> None:
    bus = await LogBus.open(Path(directory))

    async def producer(number: int) -> None:
        for step in count():
            name = f"{prefix}-{number}-{step}"
            await bus.append(topic, [Record(f"{prefix}-{number}", "t", name.encode())])
            say(name)

    await asyncio.gather(*(producer(number) for number in range(4)))


async def consume(directory: str, topic: str) -> None:
    bus = await LogBus.open(Path(directory))
    consumer = await bus.consumer("g", [topic])
    say("ready")
    while True:
        for delivery in await consumer.poll(10, 60):
            say(delivery.data.decode())


async def put(directory: str, prefix: str) -> None:
    blobs = await FileBlobs.open(Path(directory))

    async def producer(number: int) -> None:
        for step in count():
            content = f"{prefix}{number}.{step} ".encode() * 5000
            digest = hashlib.sha256(content).hexdigest()
            key = f"objects/main/1.{step % 5}/{prefix}{number}/{step}/{digest}.dcm"
            await blobs.put(key, [content], digest)
            say(key)

    await asyncio.gather(*(producer(number) for number in range(4)))


async def stage(directory: str) -> None:
    blobs = await FileBlobs.open(Path(directory))
    async with await blobs.stage() as staged:
        await staged.write(b"x" * 3_000_000)
        say("staged")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
