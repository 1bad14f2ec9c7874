"""The adapters of `EventBus` that need no server keep its contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.event_bus_suite import EventBusSuite
from isocenter.adapters.bus.log import LogBus
from isocenter.adapters.bus.memory import MemoryBus


class TestMemoryBus(EventBusSuite):
    __test__ = True

    @pytest.fixture
    async def bus(self):
        bus = MemoryBus()
        yield bus
        await bus.close()


class TestLogBus(EventBusSuite):
    __test__ = True

    @pytest.fixture
    async def bus(self, tmp_path: Path):
        bus = await LogBus.open(tmp_path / "log")
        yield bus
        await bus.close()
