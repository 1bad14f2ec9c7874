"""Real servers for all tests that ask for them, and distribution over processes: tests that share
an installation or the servers stay together."""

from __future__ import annotations

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of a shared installation one worker process, and start the longest first."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "stack" in getattr(item, "fixturenames", ()) or params.get("isocenter") == "cluster":
            item.add_marker(pytest.mark.xdist_group("stack"))
        elif item.path.parent.name == "stack":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))  # servers of its own
        elif "isocenter" in params:
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{params['isocenter']}"))
        elif "isocenter" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(f"isocenter-{item.path.parent.name}"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
