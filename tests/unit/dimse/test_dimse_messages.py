"""Command sets, checked against pynetdicom's."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom.uid import UID
from pynetdicom.dimse_messages import C_FIND_RSP, C_STORE_RQ
from pynetdicom.dimse_primitives import C_FIND, C_STORE
from pynetdicom.dsutils import decode, encode

from isocenter.core.errors import Unprocessable
from isocenter.dimse.messages import CommandField, decode_command, encode_command
from support.dimse_peers import CT, FIND, store_command


def test_a_store_request_of_pynetdicom_is_decoded():
    primitive = C_STORE()
    primitive.MessageID = 7
    primitive.AffectedSOPClassUID = UID(CT)
    primitive.AffectedSOPInstanceUID = UID("1.2.3.4")
    primitive.Priority = 2
    primitive.MoveOriginatorApplicationEntityTitle = "MOVER"
    primitive.MoveOriginatorMessageID = 3
    primitive.DataSet = BytesIO(b"x")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    command = decode_command(encode(message.command_set, True, True))
    assert command.field == CommandField.C_STORE
    assert (command.message_id, command.priority) == (7, 2)
    assert (command.sop_class, command.sop_instance) == (CT, "1.2.3.4")
    assert (command.move_originator, command.move_originator_message_id) == ("MOVER", 3)
    assert command.has_data_set
    assert not command.is_response


def test_what_is_encoded_reads_back_with_pydicom():
    encoded = encode_command(
        {
            "field": CommandField.C_FIND | 0x8000,
            "message_id_being_responded_to": 9,
            "affected_sop_class": FIND,
            "data_set_type": 0x0101,
            "status": 0xA900,
            "offending_elements": (0x00100010, 0x0020000D),
            "error_comment": "odd",
        }
    )
    read = decode(BytesIO(encoded), True, True)
    assert read.CommandGroupLength == len(encoded) - 12
    assert (read.CommandField, read.Status) == (0x8020, 0xA900)
    assert read.AffectedSOPClassUID == FIND
    assert list(read.OffendingElement) == [0x00100010, 0x0020000D]
    assert read.ErrorComment == "odd"
    response = C_FIND_RSP()
    response.command_set = read
    assert isinstance(response.message_to_primitive(), C_FIND)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        store_command()[:-1],
        b"\x08\x00\x16\x00\x02\x00\x00\x00ab",
        b"\x00\x00\x00\x01\xff\xff\xff\xff\x01\x00",
        b"\x00\x00\x00\x01\x01\x00\x00\x00\x01",
    ],
    ids=["empty", "one-byte", "cut", "other-group", "4-gb-element", "short-number"],
)
def test_what_is_no_command_set_is_refused(data: bytes):
    with pytest.raises(Unprocessable):
        decode_command(data)
