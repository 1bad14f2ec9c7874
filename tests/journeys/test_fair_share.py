"""An emergency beside a migration, and requests that are sent before the last one was answered."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import CommandField, decode_command, encode_command
from isocenter.dimse.negotiation import request_pdu
from support.clients import Outcome, dcmtk
from support.dimse_peers import CT, EXPLICIT, RawPeer, p_data, pdv
from support.files import Series, count_instances, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until

OUTSTANDING = 4


def test_a_migration_and_an_emergency_both_arrive(isocenter: Isocenter, tmp_path: Path) -> None:
    migration = [write_series(tmp_path / f"old{one}", 25, rows=256) for one in range(4)]
    emergency = write_series(tmp_path / "urgent", 10, rows=256)

    def store(series: Series, calling: str) -> Outcome:
        return dcmtk("storescu", isocenter, "+sd", series.folder, calling=calling)

    with ThreadPoolExecutor() as pool:
        slow = [pool.submit(store, one, "MIGRATION") for one in migration]
        urgent = pool.submit(store, emergency, "EMERGENCY")
        for outcome in (urgent.result(), *(one.result() for one in slow)):
            assert outcome.code == 0, outcome.text
    for series in (emergency, *migration):
        wait_until(
            lambda one=series: count_instances(isocenter, one.study) == one.count, 60, "all found"
        )


async def test_objects_sent_in_an_asynchronous_window_are_all_kept(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", 12)
    primitive, _ = request_pdu("ASYNC", isocenter.ae_title, [ProposedContext(CT, (EXPLICIT,))], 0)
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = OUTSTANDING
    primitive.user_information.append(window)
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    peer = RawPeer(*await asyncio.open_connection(isocenter.host, isocenter.dicom_port))
    peer.send(request.encode())
    kind, body = await peer.receive()
    assert kind == 2
    accepted = A_ASSOCIATE_AC()
    accepted.decode(bytes([2, 0]) + len(body).to_bytes(4, "big") + body)
    [answered] = [
        item
        for item in accepted.to_primitive().user_information
        if isinstance(item, AsynchronousOperationsWindowNegotiation)
    ]
    assert answered.maximum_number_operations_invoked == OUTSTANDING

    outstanding: set[int] = set()
    most = 0
    for message_id, (uid, path) in enumerate(series.files.items(), 1):
        if len(outstanding) == OUTSTANDING:
            outstanding.remove(await success(peer))
        command = {
            "field": CommandField.C_STORE,
            "message_id": message_id,
            "affected_sop_class": CT,
            "affected_sop_instance": uid,
            "priority": 0,
            "data_set_type": 1,
        }
        peer.send(p_data(pdv(1, 3, encode_command(command))))
        peer.send(p_data(pdv(1, 2, data_set_bytes(path))))
        outstanding.add(message_id)
        most = max(most, len(outstanding))
    while outstanding:
        outstanding.remove(await success(peer))
    peer.close()
    assert most == OUTSTANDING
    wait_until(lambda: set(find_instances(isocenter, series.study)) == set(series.files), 60)


async def success(peer: RawPeer) -> int:
    """The next response: which request was answered with success."""
    kind, body = await peer.receive()
    response = decode_command(body[6:])
    assert (kind, response.status) == (4, 0)
    return response.message_id_being_responded_to
