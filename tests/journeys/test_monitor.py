"""What an installation tells of itself: probes, metrics, and the verbs that ask for them."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.clients import dcmtk
from support.files import count_instances, write_series
from support.harness import Isocenter, wait_until
from support.monitors import refusal
from support.ports import free_ports

SHAPES = ["up", "split"]


@pytest.fixture(params=SHAPES)
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Isocenter, int]]:
    """An installation with a monitor, and its port: of all its processes, or of its gateway."""
    (port,) = free_ports(1)
    isocenter = Isocenter(tmp_path / "data", request.param, {"site": "north"})
    try:
        if request.param == "up":
            isocenter.settings["monitor.port"] = port
            isocenter.start()
        else:
            variables = {"ISOCENTER_MONITOR__PORT": str(port)}
            for name in isocenter.ports:
                isocenter.start_one(name, variables if name == "gateway" else None)
            wait_until(isocenter.ready, 60, "ready")
        yield isocenter, port
    finally:
        isocenter.kill()


def metric(port: int, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    chosen = [one for one in samples if one.name == name and labels.items() <= one.labels.items()]
    return sum(one.value for one in chosen)


def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isocenter", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_stored_is_counted(watched: tuple[Isocenter, int], tmp_path: Path) -> None:
    isocenter, port = watched
    series = write_series(tmp_path / "sent", count=8)
    stored = dcmtk("storescu", isocenter, "+sd", series.folder)
    assert stored.code == 0, stored.text
    wait_until(lambda: count_instances(isocenter, series.study) == 8, what="findable")
    asked = {"protocol": "DIMSE", "outcome": "ok", "site": "north"}
    if isocenter.shape == "up":
        assert metric(port, "isocenter_store_instances_total", **asked) == 8
        assert metric(port, "isocenter_indexing_findable_duration_seconds_count") == 8
    success = {"verb": "C-STORE", "status": "success"}
    assert metric(port, "isocenter_dimse_duration_seconds_count", **success) == 8
    assert metric(port, "isocenter_associations_total", outcome="accepted") == 1


def test_health_and_probe_ask_as_users_do(watched: tuple[Isocenter, int], tmp_path: Path) -> None:
    isocenter, port = watched
    ready = verb("health", f"http://127.0.0.1:{port}", isocenter.http_url)
    assert (ready.returncode, ready.stdout.count(": ready")) == (0, 2), ready.stdout
    if isocenter.shape == "split":
        storage = verb("health", f"grpc://127.0.0.1:{isocenter.ports['storage']}")
        assert storage.returncode == 0, storage.stdout
    dicom = f"dicom://ISOCENTER@127.0.0.1:{isocenter.dicom_port}"
    token = tmp_path / "token"
    token.write_text(isocenter.cli("token create", "probe", "--role", "viewer").stdout)
    for shown in ((), ("--token-file", str(token))):
        probed = verb("probe", "--dicom", dicom, "--web", isocenter.dicomweb, *shown)
        assert probed.returncode == 0, probed.stdout + probed.stderr
        assert "as it was sent" in probed.stdout
    assert len(isocenter.search("/instances?PatientID=ISOCENTER-PROBE")) == 1
    (nobody,) = free_ports(1)
    gone = verb("health", f"http://127.0.0.1:{nobody}")
    assert gone.returncode == 1
    lost = verb("probe", "--dicom", dicom, "--web", f"http://127.0.0.1:{nobody}/dicomweb")
    assert lost.returncode != 0
    assert "fix:" in lost.stderr


@pytest.mark.parametrize("watched", ["split"], indirect=True)
def test_a_draining_process_is_not_ready(watched: tuple[Isocenter, int]) -> None:
    isocenter, port = watched
    with urllib.request.urlopen(f"{isocenter.http_url}/readyz", timeout=10) as answer:
        assert answer.status == 200
    held = subprocess.Popen(  # a peer that does not answer the release holds the drain up
        [sys.executable, "-c", HOLD, str(isocenter.dicom_port)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == b"held\n"
        held.send_signal(signal.SIGSTOP)
        isocenter.processes["gateway"].send_signal(signal.SIGTERM)
        told = wait_until(lambda: refusal(port), 20, "not ready")
        assert "stopping" in told
    finally:
        held.kill()
        held.wait()


HOLD = """
import sys
from pynetdicom import AE
from pynetdicom.sop_class import Verification
ae = AE("HOLDER")
ae.add_requested_context(Verification)
association = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="ISOCENTER")
assert association.is_established
print("held", flush=True)
sys.stdin.read()
"""
