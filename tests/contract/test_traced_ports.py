"""A port that is measured from outside keeps the contract of what is inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.audit_index_suite import AuditIndexSuite
from contract.blob_store_suite import BlobStoreSuite
from contract.event_bus_suite import EventBusSuite
from contract.study_index_suite import StudyIndexSuite
from isocenter.adapters.blobs.memory import MemoryBlobs
from isocenter.adapters.bus.memory import MemoryBus
from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.adapters.index.sqlite_audit import SqliteAuditIndex
from isocenter.runtime.traced_blobs import TracedBlobs
from isocenter.runtime.traced_bus import TracedBus
from isocenter.runtime.traced_index import TracedAuditIndex, TracedIndex
from support.telemetry import Recorder


class TestTracedBus(EventBusSuite):
    __test__ = True

    @pytest.fixture
    async def bus(self) -> AsyncIterator[TracedBus]:
        bus = TracedBus(MemoryBus(), Recorder().telemetry)
        yield bus
        await bus.close()


class TestTracedBlobs(BlobStoreSuite):
    __test__ = True

    @pytest.fixture
    async def blobs(self) -> TracedBlobs:
        return TracedBlobs(MemoryBlobs(), Recorder().telemetry)


class TestTracedIndex(StudyIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[TracedIndex]:
        index = TracedIndex(await SqliteIndex.open(tmp_path / "index"), Recorder().telemetry)
        yield index
        await index.close()


class TestTracedAuditIndex(AuditIndexSuite):
    __test__ = True

    @pytest.fixture
    async def index(self, tmp_path: Path) -> AsyncIterator[TracedAuditIndex]:
        index = TracedAuditIndex(
            await SqliteAuditIndex.open(tmp_path / "audit"), Recorder().telemetry
        )
        yield index
        await index.close()
