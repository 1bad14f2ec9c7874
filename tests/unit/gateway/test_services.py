"""A request on a presentation context of another service is refused (PS3.7 9.1)."""

from __future__ import annotations

import itertools
import struct

import pytest

from isocenter.dimse.messages import CommandField, encode_command
from isocenter.dimse.negotiation import request_pdu
from isocenter.gateway.contexts import STUDY_ROOT, VERIFICATION
from support.dimse_peers import CT, IMPLICIT, ProposedContext, RawPeer, p_data, pdv
from support.gateway_fakes import encode, identifier
from support.live_gateway import live

OWN = {
    CommandField.C_ECHO: VERIFICATION,
    CommandField.C_FIND: STUDY_ROOT.find,
    CommandField.C_MOVE: STUDY_ROOT.move,
    CommandField.C_GET: STUDY_ROOT.get,
}
SOP_CLASS_NOT_SUPPORTED = struct.pack("<HHIH", 0, 0x0900, 2, 0x0122)
CASES = [pair for pair in itertools.product(OWN, (*OWN.values(), CT)) if OWN[pair[0]] != pair[1]]


@pytest.mark.parametrize(("field", "sop_class"), CASES)
async def test_it_is_answered_that_the_sop_class_is_not_supported(field: int, sop_class: str):
    command = {
        "field": field, "message_id": 1, "affected_sop_class": sop_class, "priority": 0,
        "data_set_type": 1, "move_destination": "NOWHERE",
    }  # fmt: skip
    data = encode(identifier(QueryRetrieveLevel="STUDY", StudyInstanceUID="1.2.3"), IMPLICIT)
    proposed = [ProposedContext(sop_class, (IMPLICIT,))]
    async with live() as gateway:
        peer = await RawPeer.connect(gateway)
        peer.send(request_pdu("RAW", "ISOCENTER", proposed, 16384)[1])
        assert (await peer.receive())[0] == 2
        peer.send(p_data(pdv(1, 3, encode_command(command)), pdv(1, 2, data)))
        kind, body = await peer.receive()
        peer.close()
        assert (gateway.env.fake_query.searches, gateway.env.fake_audit.records) == ([], [])
    assert kind == 4
    assert SOP_CLASS_NOT_SUPPORTED in body
