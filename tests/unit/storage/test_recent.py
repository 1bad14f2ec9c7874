"""What was listed a moment ago answers for the instances of a series, and for a moment only."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.ports import BlobInfo
from isocenter.storage.recent import GOOD_SECONDS, Recent

SERIES = ("main", "1.2", "1.2.3")


class CountingBlobs(MemoryBlobs):
    """Tells which prefixes were listed."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        self.listed.append(prefix)
        async for info in super().list(prefix, after):
            yield info


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def keep(blobs: MemoryBlobs, instance: str, content: bytes = b"x") -> str:
    digest = hashlib.sha256(content).hexdigest()
    await blobs.put(ObjectName(InstanceName(*SERIES, instance), digest).key, [content], digest)
    return digest


async def test_the_second_instance_of_a_series_has_it_listed_for_those_that_follow() -> None:
    blobs, clock = CountingBlobs(), Clock()
    for number in range(5):
        await keep(blobs, f"1.{number}")
    recent = Recent(blobs, clock)
    for number in range(5):
        (found,) = await recent.versions(SERIES, f"1.{number}")
        assert found[0].name.instance == f"1.{number}"
    assert blobs.listed == ["objects/main/1.2/1.2.3/1.0/", "objects/main/1.2/1.2.3/"]


async def test_after_a_moment_it_is_looked_for_again() -> None:
    blobs, clock = CountingBlobs(), Clock()
    first = await keep(blobs, "1.1")
    recent = Recent(blobs, clock)
    for _ in range(2):
        await recent.versions(SERIES, "1.1")
    second = await keep(blobs, "1.1", b"another")
    assert len(await recent.versions(SERIES, "1.1")) == 1
    clock.now += GOOD_SECONDS + 0.1
    found = await recent.versions(SERIES, "1.1")
    assert {name.digest for name, _ in found} == {first, second}


async def test_what_was_not_seen_is_always_looked_for() -> None:
    blobs, clock = CountingBlobs(), Clock()
    await keep(blobs, "1.1")
    recent = Recent(blobs, clock)
    for _ in range(3):
        await recent.versions(SERIES, "1.1")
    assert await recent.versions(SERIES, "1.9") == []
    await keep(blobs, "1.9")
    assert len(await recent.versions(SERIES, "1.9")) == 1
