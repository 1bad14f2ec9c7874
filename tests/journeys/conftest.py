"""One installation per shape for all journeys: by `isocenter up`, and a process a role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import Isocenter, free_ports, running


@pytest.fixture(scope="session", params=["up", "split"])
def isocenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isocenter]:
    """A running installation that knows the AE title DESTINATION as a C-MOVE destination."""
    shape: str = request.param
    destination_port = free_ports(1)[0]
    settings = {
        "gateway.known_aes": [
            {"title": "DESTINATION", "host": "127.0.0.1", "port": destination_port},
            {"title": "DEAD", "host": "127.0.0.1", "port": free_ports(1)[0]},
        ],
    }
    data: Path = tmp_path_factory.mktemp(shape) / "data"
    with running(data, shape, settings) as installation:
        installation.destination_port = destination_port
        yield installation
