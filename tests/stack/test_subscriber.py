"""The example for subscribers does what its page says, on a real installation."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.files import write_series
from support.harness import Isocenter, wait_until
from support.requests import SUCCESS, c_store
from support.stack import Stack

EXAMPLE = Path(__file__).parents[2] / "examples/follow_instances.py"
NAME = "subscriber"


@pytest.fixture
def cluster(stack: Stack, tmp_path: Path) -> Iterator[Isocenter]:
    """Every role in a process of its own."""
    cluster = Isocenter(tmp_path / "data", "split", stack.settings(NAME))
    try:
        cluster.prepare()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def test_the_example_fetches_every_object_once_also_when_it_is_killed_in_between(
    cluster: Isocenter, stack: Stack, tmp_path: Path
) -> None:
    folder = tmp_path / "followed"
    command = [
        *(sys.executable, EXAMPLE, "--kafka", stack.kafka.address, "--namespace", NAME),
        *("--archive", f"127.0.0.1:{cluster.grpc_port}", "--to", folder),
        *("--purpose", "test"),
    ]
    series = [write_series(tmp_path / f"sent{n}", 5) for n in range(2)]
    for one in series:
        follower = subprocess.Popen(command)
        try:
            for path in one.files.values():
                assert c_store(cluster, path) == SUCCESS
            wait_until(
                lambda one=one: len(list(folder.glob(f"{one.study}/*.dcm"))) == 5, 60, "fetched"
            )
        finally:
            follower.kill()
            follower.wait()
    kept = {hashlib.sha256(c).hexdigest() for c in cluster.objects.contents().values()}
    fetched = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.dcm")]
    assert sorted(fetched) == sorted(kept)
    assert len(fetched) == 10

    def audited() -> list[dict[str, object]]:
        listed = cluster.cli("audit list", "--json", "--study", series[0].study, "--limit", "1000")
        records = [json.loads(line) for line in listed.stdout.splitlines()]
        return [
            record
            for record in records
            if (record["detail"], record["source"]["purpose"]) == ("gRPC GetObject", "test")
        ]

    wait_until(lambda: len(audited()) == 5, 30, "each access is in the audit trail")
