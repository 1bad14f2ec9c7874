"""Four gateways behind haproxy: one is killed while sixteen senders store, another one drains."""

from __future__ import annotations

import asyncio
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import CommandField, decode_command, encode_command
from isocenter.dimse.negotiation import request_pdu
from support.datasets import ct_image
from support.dimse_peers import CT, EXPLICIT, RawPeer, p_data, pdv
from support.files import Series, data_set_bytes, write_series
from support.gateway_fakes import identifier
from support.haproxy import ADDRESS, haproxy
from support.harness import Isocenter, wait_until
from support.senders import DimseSender, check_kept

GATEWAYS = 4
SENDERS, SLICES = 16, 12
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """An installation of a process a role, with four gateways that haproxy may speak for."""
    settings = {"gateway.proxy_protocol_from": [ADDRESS], "indexing.orphan_seconds": 3600}
    data = tmp_path_factory.mktemp("copies") / "data"
    installation = Isocenter(data, "split", settings, {"gateway": GATEWAYS})
    try:
        installation.start()
        yield installation
    finally:
        installation.kill()


def found(installation: Isocenter, series: Series) -> set[str]:
    """The SOP Instance UIDs that C-FIND answers with."""
    caller = AE("FINDER")
    caller.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = caller.associate(
        installation.host, installation.dicom_port, ae_title=installation.ae_title
    )
    assert association.is_established
    keys = identifier(
        QueryRetrieveLevel="IMAGE",
        StudyInstanceUID=series.study,
        SeriesInstanceUID=series.series,
        SOPInstanceUID="",
    )
    answers = association.send_c_find(keys, StudyRootQueryRetrieveInformationModelFind)
    uids = {str(match.SOPInstanceUID) for status, match in answers if status.Status == 0xFF00}
    association.release()
    return uids


async def test_senders_lose_nothing_acknowledged_when_one_of_four_gateways_is_killed(
    copies: Isocenter, tmp_path: Path
) -> None:
    series = [write_series(tmp_path / f"sent{one}", SLICES) for one in range(SENDERS)]
    ports = [copies.ports[name] for name in copies.names["gateway"]]
    options = "send-proxy-v2 check check-send-proxy inter 100"
    async with haproxy(tmp_path, ports, options) as balancer:
        senders = [DimseSender(copies, [one], balancer.port, pause=0.02) for one in series]
        for sender in senders:
            sender.start()
        wait_until(lambda: all(one.acknowledged for one in senders), 120, "all senders store")
        assert all(sender.pending for sender in senders)
        copies.kill_one("gateway-2")
        wait_until(lambda: not any(one.pending for one in senders), 300, "all is acknowledged")
        for sender in senders:
            sender.stop()
    acknowledged = {uid: path for sender in senders for uid, path in sender.acknowledged.items()}
    assert len(acknowledged) == SENDERS * SLICES
    assert sum(sender.attempts for sender in senders) > len(acknowledged)  # some were cut off
    check_kept(copies, series, acknowledged)
    for one in series:
        assert found(copies, one) == one.files.keys()


async def test_a_gateway_that_drains_finishes_what_is_under_way(
    copies: Isocenter, tmp_path: Path
) -> None:
    instance, path = ct_image(64, 64), tmp_path / "one.dcm"
    instance.save_as(path, enforce_file_format=True)
    data, uid = data_set_bytes(path), str(instance.SOPInstanceUID)
    command = encode_command(
        {
            "field": CommandField.C_STORE,
            "message_id": 1,
            "affected_sop_class": CT,
            "affected_sop_instance": uid,
            "priority": 0,
            "data_set_type": 1,
        }
    )
    process, port = copies.processes["gateway-3"], copies.ports["gateway-3"]
    peer = RawPeer(*await asyncio.open_connection(copies.host, port))
    proposed = [ProposedContext(CT, (EXPLICIT,))]
    peer.send(request_pdu("SENDER", copies.ae_title, proposed, 16384)[1])
    assert (await peer.receive())[0] == 2
    peer.send(p_data(pdv(1, 3, command)) + p_data(pdv(1, 0, data[:2000])))
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: not copies.listens(port), 30, "it takes no new associations")
    assert process.poll() is None
    peer.send(p_data(pdv(1, 2, data[2000:])))
    kind, body = await peer.receive()
    assert (kind, decode_command(body[6:]).status) == (4, 0)
    assert (await peer.receive())[0] == 5  # it releases
    peer.send(struct.pack(">BxIxxxx", 6, 4))
    with suppress(ConnectionResetError):
        await peer.rest()
    assert await asyncio.to_thread(process.wait, 30) == 0
    del copies.processes["gateway-3"]
    series = Series(tmp_path, str(instance.StudyInstanceUID), str(instance.SeriesInstanceUID), "")
    wait_until(lambda: found(copies, series) == {uid}, 30, "it is found")
