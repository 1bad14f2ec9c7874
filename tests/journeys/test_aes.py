"""The AE directory while everything runs: changed by command, HTTP and gRPC, and followed by every
gateway within seconds, whatever becomes of the object store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE

from isocenter.v1 import aes_pb2
from isocenter.v1.aes_pb2_grpc import AEDirectoryServiceStub
from support.clients import Outcome, dcmtk, run
from support.harness import Isocenter, wait_until

TITLE = "JOURNEY-AE"
VERIFICATION, CT = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"
SOON = 15  # seconds, of which gateways use 3


def echo(isocenter: Isocenter) -> Outcome:
    return dcmtk("echoscu", isocenter, calling=TITLE)


def set_over_http(isocenter: Isocenter, **fields: object) -> None:
    answer = httpx.put(f"{isocenter.http_url}/api/aes/{TITLE}", json=fields, timeout=60)
    assert answer.is_success, answer.text


def changes(isocenter: Isocenter) -> list[str]:
    done = isocenter.cli("audit list", "--action", "security", "--json", "--limit", "500")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [one["detail"].partition(" {")[0] for one in records if TITLE in one["detail"]]


def test_changes_come_into_force_under_an_open_association(isocenter: Isocenter) -> None:
    ae, data_set = AE(TITLE), dcmread(str(get_testdata_file("CT_small.dcm")))
    for uid in (VERIFICATION, CT):
        ae.add_requested_context(uid)
    association = ae.associate("127.0.0.1", isocenter.dicom_port, ae_title="ISOCENTER")
    assert association.send_c_store(data_set).Status == 0

    def stores_with(status: int) -> bool:
        return bool(association.send_c_store(data_set).Status == status)

    done = isocenter.cli("aes set", TITLE, "host=127.0.0.1", "verbs=echo")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: stores_with(0x0124), SOON, "not authorized")
    assert association.send_c_echo().Status == 0
    set_over_http(isocenter, host="127.0.0.1", verbs=["store"])
    wait_until(lambda: stores_with(0), SOON, "authorized again")
    wait_until(lambda: echo(isocenter).code != 0, SOON, "no echo")
    with grpc.insecure_channel(f"127.0.0.1:{isocenter.grpc_port}") as channel:
        stub = AEDirectoryServiceStub(channel)
        entry = stub.GetAE(aes_pb2.GetAERequest(title=TITLE))
        assert json.loads(entry.ae)["verbs"] == ["store"]
        stub.RemoveAE(aes_pb2.RemoveAERequest(title=TITLE))
    wait_until(lambda: echo(isocenter).code == 0, SOON, "as a stranger from this machine again")
    assert association.is_established
    association.release()
    expected = [f"AE directory: removed {TITLE}", *[f"AE directory: set {TITLE}"] * 2]
    wait_until(lambda: changes(isocenter) == expected, SOON, "three audit records")


# --- several gateways, each a process of its own -------------------------------------------------


@pytest.fixture
def split(tmp_path: Path) -> Iterator[Isocenter]:
    """Two gateways that admit nobody but the AEs of the directory."""
    settings = {"gateway.unknown_callers": "never"}
    isocenter = Isocenter(tmp_path / "data", "split", settings, {"gateway": 2})
    try:
        isocenter.start()
        yield isocenter
    finally:
        isocenter.kill()


def test_every_gateway_follows_and_keeps_what_it_knows_without_the_object_store(
    split: Isocenter,
) -> None:
    ports = [split.ports[name] for name in split.names["gateway"]]

    def answers(port: int) -> str:
        return run("echoscu", "-aet", TITLE, "-aec", "ISOCENTER", "127.0.0.1", port).text

    for port in ports:
        assert "Calling AE Title Not Recognized" in answers(port)
    set_over_http(split)
    for port in ports:
        wait_until(lambda port=port: not answers(port), SOON, "admitted")
    split.kill_one("storage")
    wait_until(lambda: "what is known counts" in split.log.read_text(), 60, "a gateway has noticed")
    for port in ports:
        assert not answers(port)
    split.start_one("storage")
    wait_until(lambda: split.cli("aes remove", TITLE).returncode == 0, 60, "removed")
    for port in ports:
        wait_until(lambda port=port: "Not Recognized" in answers(port), 60, "refused again")
