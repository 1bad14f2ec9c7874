"""`isocenter up` at the edge of a network: its processes share a port of TLS behind haproxy, and
whoever calls is in the audit trail by address and certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from isocenter.runtime.tls_files import Tls
from support.authority import Authority
from support.files import count_instances, write_series
from support.haproxy import ADDRESS, Balancer, haproxy
from support.harness import Isocenter, running, wait_until
from support.live_gateway import dcmtk
from support.ports import free_ports

MODALITY = "192.0.2.7"
SEEN_FROM_ELSEWHERE = f"tcp-request connection set-src ipv4({MODALITY})"
WORKERS = 2
LISTENING = "0A"  # in /proc/net/tcp


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def files(authority: Authority) -> Tls:
    return authority.issue("gateway", section="gateway")


@pytest.fixture
def installation(tmp_path: Path, files: Tls) -> Iterator[Isocenter]:
    settings = {
        "process.workers": WORKERS,
        "gateway.tls_port": free_ports(1)[0],
        "gateway.certificate_file": str(files.certificate),
        "gateway.key_file": str(files.key),
        "gateway.ca_file": str(files.ca),
        "gateway.proxy_protocol_from": [ADDRESS],
        "gateway.known_aes": [{"title": "CT1", "host": MODALITY}],
    }
    with running(tmp_path / "data", settings=settings) as isocenter:
        yield isocenter


def to(balancer: Balancer, files: Tls) -> tuple[object, ...]:
    identity = ("+tls", files.key, files.certificate, "+cf", files.ca)
    return *identity, "-aet", "CT1", "-aec", "ISOCENTER", "127.0.0.1", balancer.port


def listeners(port: int) -> int:
    """How many sockets share a port."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(one[3] == LISTENING and int(one[1].split(":")[1], 16) == port for one in sockets)


async def test_processes_share_the_port_of_tls_and_the_audit_trail_names_the_caller(
    installation: Isocenter, authority: Authority, tmp_path: Path
) -> None:
    tls_port = int(str(installation.settings["gateway.tls_port"]))
    wait_until(lambda: listeners(tls_port) == WORKERS, what="every process listens")
    series = write_series(tmp_path / "sent", count=4)
    modality = authority.issue("CT1")
    async with haproxy(tmp_path, tls_port, "send-proxy-v2", rules=SEEN_FROM_ELSEWHERE) as balancer:
        outcomes = await asyncio.gather(
            *(dcmtk("storescu", *to(balancer, modality), path) for path in series.files.values())
        )
    assert [outcome.code for outcome in outcomes] == [0] * series.count, outcomes
    wait_until(lambda: count_instances(installation, series.study) == series.count)

    def stores() -> list[dict[str, object]]:
        listed = installation.cli("audit list", "--action", "store", "--json")
        return [json.loads(line) for line in listed.stdout.splitlines()]

    wait_until(lambda: len(stores()) == series.count)
    for record in stores():
        assert MODALITY in json.dumps(record)
        assert "CN=CT1,O=Hospital" in json.dumps(record)


async def test_an_association_outlives_the_certificates_it_began_with(
    installation: Isocenter, authority: Authority, files: Tls, tmp_path: Path
) -> None:
    tls_port = int(str(installation.settings["gateway.tls_port"]))
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    ae = AE("CT1")
    ae.add_requested_context(Verification)
    async with haproxy(tmp_path, tls_port, "send-proxy-v2", rules=SEEN_FROM_ELSEWHERE) as balancer:
        association = await asyncio.to_thread(
            ae.associate,
            "127.0.0.1",
            balancer.port,
            ae_title="ISOCENTER",
            tls_args=(context, "127.0.0.1"),
        )
        assert association.is_established
        before = await dcmtk("echoscu", *to(balancer, files))
        assert before.code == 0, before.text
        Authority(authority.directory).issue("gateway")
        after = await dcmtk("echoscu", *to(balancer, files))
        assert after.code == 0, after.text
        assert (await asyncio.to_thread(association.send_c_echo)).Status == 0
        await asyncio.to_thread(association.release)
    assert set(installation.stop().values()) == {0}
    assert "Traceback" not in installation.log.read_text()
