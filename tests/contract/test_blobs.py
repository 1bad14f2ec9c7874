"""The adapters of `BlobStore` that need no server keep its contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.blob_store_suite import BlobStoreSuite
from isocenter.adapters.blobs.files import FileBlobs
from isocenter.adapters.blobs.memory import MemoryBlobs


class TestMemoryBlobs(BlobStoreSuite):
    __test__ = True

    @pytest.fixture
    async def blobs(self):
        return MemoryBlobs()


class TestFileBlobs(BlobStoreSuite):
    __test__ = True

    @pytest.fixture
    async def blobs(self, tmp_path: Path):
        blobs = await FileBlobs.open(tmp_path / "blobs")
        yield blobs
        await blobs.close()
