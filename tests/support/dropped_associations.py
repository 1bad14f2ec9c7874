"""Peers that open associations and drop them, each in another phase and in another way."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import CommandField, encode_command
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.pdu import RELEASE_RQ, abort_pdu
from support.dimse_peers import CT, FIND, GET, IMPLICIT, RawPeer, p_data, pdv, store_command

AT_ONCE = 32
WAYS = ("close", "reset", "abort")
_REQUEST = request_pdu(
    "DROPPER",
    "ISOCENTER",
    [ProposedContext(uid, (IMPLICIT,), scp=uid == CT) for uid in (FIND, CT, GET)],
    16384,
)[1]


def _asked(context: int, field: CommandField, sop_class: str, study: str) -> bytes:
    """A C-FIND or C-GET of a study."""
    uid = study.encode() + b"\0" * (len(study) % 2)
    identifier = struct.pack("<HHI6s", 0x0008, 0x0052, 6, b"STUDY ")
    identifier += struct.pack("<HHI", 0x0020, 0x000D, len(uid)) + uid
    command = {
        "field": field, "message_id": 1, "affected_sop_class": sop_class, "priority": 0,
        "data_set_type": 1,
    }  # fmt: skip
    return p_data(pdv(context, 3, encode_command(command)), pdv(context, 2, identifier))


def phases(study: str) -> dict[str, tuple[bytes, int]]:
    """What is sent to come into a phase, and how many PDUs come back until then."""
    store = p_data(pdv(3, 3, store_command()))
    return {
        "connected": (b"", 0),
        "half a request": (_REQUEST[:100], 0),
        "established": (_REQUEST, 1),
        "in a command": (_REQUEST + p_data(pdv(3, 1, store_command()[:20])), 1),
        "in a C-STORE": (_REQUEST + store + p_data(pdv(3, 0, bytes(5000))), 1),
        "in the answers of a C-FIND": (_REQUEST + _asked(1, CommandField.C_FIND, FIND, study), 2),
        "in a C-GET": (_REQUEST + _asked(5, CommandField.C_GET, GET, study), 2),
        "releasing": (_REQUEST + RELEASE_RQ, 1),
    }


async def drop(host: str, port: int, study: str, numbers: Sequence[int]) -> None:
    """So many associations, some at once: every phase in every way in turn."""
    left = iter(numbers)
    each = [(*phase, way) for phase in phases(study).values() for way in WAYS]

    async def work() -> None:
        for number in left:
            sent, answers, way = each[number % len(each)]
            peer = RawPeer(*await asyncio.open_connection(host, port))
            peer.send(sent)
            for _ in range(answers):
                kind, body = await peer.receive()
                assert kind in (2, 4), body.hex()
            if way == "abort":
                peer.send(abort_pdu(0, 0))
            if way == "reset":
                peer.reset()
            peer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
