"""One installation per shape for all journeys: everything embedded by `isocenter up`, and a process
a role on Kafka, Elasticsearch and MinIO."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.harness import Isocenter, running
from support.ports import free_ports

# An AE whose objects are corrected.
COERCED = {
    "title": "COERCED",
    "character_set": "ISO_IR 100",
    "coercions": [
        {"attribute": "IssuerOfPatientID", "set_if_absent": "NORTH"},
        {"attribute": "PatientID", "trim_leading": "0"},
        {"attribute": "StationName", "map": {"OLD-*": "CT-*"}},
    ],
}
# One that sends over HTTP from its address, and names a wrong character set.
EDITOR = {"title": "EDITOR", "host": "127.0.0.2", "character_set": "ISO_IR 100"}


@pytest.fixture(scope="session", params=["up", "cluster"])
def isocenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isocenter]:
    """A running installation that knows the AE title DESTINATION as a C-MOVE destination, and
    SEVERAL, which is the same over several associations."""
    destination_port = free_ports(1)[0]
    place = {"host": "127.0.0.1", "port": destination_port}
    settings = {
        "gateway.known_aes": [
            {**place, "title": "DESTINATION"},
            {**place, "title": "SEVERAL", "move_associations": 2},
            {"title": "DEAD", "host": "127.0.0.1", "port": free_ports(1)[0]},
            COERCED,
            EDITOR,
            {"title": "EMERGENCY", "lane": "emergency"},
            {"title": "MIGRATION", "lane": "bulk", "max_bytes": 1_000_000},
        ],
    }
    shape = "up"
    if request.param == "cluster":
        shape = "split"
        settings |= request.getfixturevalue("stack").settings("journeys")
    data: Path = tmp_path_factory.mktemp(request.param) / "data"
    with running(data, shape, settings) as installation:
        installation.destination_port = destination_port
        yield installation
