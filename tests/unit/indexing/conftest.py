"""An archive whose index is SQLite, for the tests of indexing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from support.archive import Archive


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[SqliteIndex]:
    index = await SqliteIndex.open(tmp_path / "index")
    yield index
    await index.close()


@pytest.fixture
def archive(index: SqliteIndex) -> Archive:
    return Archive(index)
