"""Associations on bare sockets: thousands that are held open in one process, and one that asks for
C-ECHO. (pynetdicom cannot: its select() ends at 1,024 descriptors.)"""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from bench.clients import Wrong
from bench.server import HOST, Server
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import NO_DATA_SET, CommandField, decode_command, encode_command
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.pdu import COMMAND, PDU_HEADER, PduType, data_pdus

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
PATIENCE = 60.0  # s
_PDV_HEADER = 6  # bytes: length, context and control header (PS3.8 9.3.5.1)
_ECHO = b"".join(
    data_pdus(
        1,
        COMMAND,
        encode_command(
            {
                "field": CommandField.C_ECHO,
                "message_id": 1,
                "affected_sop_class": VERIFICATION,
                "data_set_type": NO_DATA_SET,
            }
        ),
        16384,
        last=True,
    )
)


class Held:
    """One association with the Verification SOP class."""

    def __init__(self, server: Server, calling: str) -> None:
        """Raises `Wrong` if it is not accepted."""
        proposed = [ProposedContext(VERIFICATION, (IMPLICIT,))]
        _, request = request_pdu(calling, server.ae_title, proposed, 16384)
        self._socket = socket.create_connection((HOST, server.dicom_port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        kind, _ = self._receive()
        if kind != PduType.A_ASSOCIATE_AC:
            raise Wrong(f"{server.name} does not accept an association: PDU type {kind}")

    def echo(self) -> None:
        """C-ECHO. Raises `Wrong` if it does not succeed."""
        self._socket.sendall(_ECHO)
        kind, body = self._receive()
        if kind != PduType.P_DATA_TF or decode_command(body[_PDV_HEADER:]).status != 0:
            raise Wrong("a C-ECHO was not answered with success")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self) -> tuple[int, bytes]:
        kind, length = PDU_HEADER.unpack(self._read(PDU_HEADER.size))
        return kind, self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise Wrong("an association was dropped")
            data += part
        return data


@contextmanager
def held(server: Server, count: int, calling: str) -> Iterator[list[Held]]:
    """So many, closed at the end. Raises `Wrong`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as opened:
        yield [opened.enter_context(closing(Held(server, calling))) for _ in range(count)]
