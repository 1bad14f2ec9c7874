"""Thousands of associations that are dropped, in every phase, leave no task, no socket and no
object behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections import Counter
from pathlib import Path

import pytest

from isocenter.dimse.association import Association
from isocenter.dimse.messages import Request
from isocenter.dimse.stream import DataStream
from isocenter.dimse.upper_layer import UpperLayer
from support.dropped_associations import drop
from support.gateway_fakes import series
from support.live_gateway import live

COUNT, WARM_UP = 5000, 500
ROUNDS = 3  # the allocator of a process of many tests may grow once; a leak grows every time
GROWTH = 16 * 1024**2  # bytes
KINDS = (Association, UpperLayer, Request, DataStream)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def _held() -> Counter[str]:
    """What there is of associations in this process."""
    gc.collect()
    found = (kind.__name__ for one in gc.get_objects() for kind in KINDS if isinstance(one, kind))
    return Counter(found)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_dropped_associations_leave_nothing_behind(caplog):
    # What is captured of thousands of warnings would count as memory of the gateway.
    caplog.set_level(logging.CRITICAL, logger="isocenter")
    async with live(series(3), association_timeout=5, network_timeout=5) as gateway:
        gateway.env.fake_query.gate_after = 1  # a search goes on until nobody asks any more
        tasks, descriptors = len(asyncio.all_tasks()), _descriptors()
        await drop("127.0.0.1", gateway.port, "1.2.3", range(WARM_UP))
        grown = []
        while not grown or (grown[-1] >= GROWTH and len(grown) < ROUNDS):
            resident = _resident()
            await drop("127.0.0.1", gateway.port, "1.2.3", range(COUNT))
            async with asyncio.timeout(20):
                while len(asyncio.all_tasks()) > tasks or _descriptors() > descriptors:
                    await asyncio.sleep(0.05)
            assert _held() == Counter()
            grown.append(_resident() - resident)
        assert grown[-1] < GROWTH, grown
        assert len(gateway.env.fake_query.searches) > COUNT // 10
        assert gateway.env.fake_ingest.taken == []
