"""One stack of real servers for all tests of this folder that ask for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from support.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, Elasticsearch and MinIO, running."""
    servers = Stack(tmp_path_factory.mktemp("stack"))
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def name() -> str:
    """A name that nothing on the servers has yet."""
    return f"t{uuid.uuid4().hex[:12]}"
