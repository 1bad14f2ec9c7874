"""A DICOM port for tests of the upper layer, and raw bytes to throw at it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from isocenter.core.ports import Buffer
from isocenter.dimse.contexts import Accepted, Admission, AssociationOffer, ProposedContext
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import CommandField, Request, encode_command
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.server import Handler, Listener, Server, serve

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def accept_all(offer: AssociationOffer) -> Admission:
    """Everything that is proposed uncompressed and in little endian, roles included."""
    contexts = {context.abstract_syntax: (EXPLICIT, IMPLICIT) for context in offer.contexts}
    return Accepted(contexts, roles=frozenset(contexts))


async def echo(request: Request) -> None:
    """C-ECHO SCP."""
    await request.respond(0)


@dataclass
class Keeper:
    """C-STORE SCP that keeps what it gets."""

    kept: dict[str, bytes] = field(default_factory=dict)
    commands: list[Request] = field(default_factory=list)

    async def __call__(self, request: Request) -> None:
        self.commands.append(request)
        self.kept[request.command.sop_instance] = await request.read_data(1 << 30)
        await request.respond(0)


@asynccontextmanager
async def port(
    handlers: Mapping[int, Handler] | None = None,
    admit: object = accept_all,
    number: int = 0,
    **listener: object,
) -> AsyncIterator[Server]:
    """A listening server on loopback, at any free port or at this one; C-ECHO is always
    answered."""
    listener.setdefault("timeouts", Timeouts(artim=5, network=5, dimse=5, connect=5))
    server = await serve(
        Listener("127.0.0.1", number, **listener),
        {CommandField.C_ECHO: echo, **(handlers or {})},
        admit,
    )
    try:
        yield server
    finally:
        await asyncio.wait_for(server.close(), 5)


async def run_tool(*arguments: object) -> tuple[int, str]:
    """Run a command line tool; answers with its exit code and all its output."""
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, output.decode(errors="replace")


class RawPeer:
    """A socket that speaks PDUs, right or wrong."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, server: Server, number: int = 0) -> RawPeer:
        """To the plain port, or to this one."""
        return cls(*await asyncio.open_connection("127.0.0.1", number or server.port))

    @classmethod
    async def associated(cls, server: Server, max_pdu: int = 16384) -> RawPeer:
        """With contexts 1 (Verification), 3 (CT) and 5 (Study Root FIND) accepted."""
        peer = await cls.connect(server)
        peer.send(associate_rq(max_pdu))
        kind, _ = await peer.receive()
        assert kind == 2
        return peer

    def send(self, data: Buffer) -> None:
        self._writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """The next PDU: type and body."""
        async with asyncio.timeout(10):
            kind, length = struct.unpack(">BxI", await self._reader.readexactly(6))
            return kind, await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """All bytes until the other side ends the connection."""
        async with asyncio.timeout(10):
            return await self._reader.read()

    def stop_reading(self) -> None:
        """Let what comes pile up in the socket."""
        self._writer.transport.pause_reading()

    def end(self) -> None:
        """Say that nothing more comes from here."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self._writer.transport.abort()


def associate_rq(max_pdu: int = 16384) -> bytes:
    """An A-ASSOCIATE-RQ PDU."""
    proposed = [ProposedContext(uid, (IMPLICIT,)) for uid in (VERIFICATION, CT, FIND)]
    return request_pdu("RAW", "ISOCENTER", proposed, max_pdu)[1]


def pdv(context_id: int, control: int, value: bytes) -> bytes:
    """A PDV item."""
    return struct.pack(">IBB", len(value) + 2, context_id, control) + value


def p_data(*items: bytes) -> bytes:
    """A P-DATA-TF PDU."""
    body = b"".join(items)
    return struct.pack(">BxI", 4, len(body)) + body


def store_command(message_id: int = 1) -> bytes:
    """The command set of a C-STORE-RQ."""
    return encode_command(
        {
            "field": CommandField.C_STORE,
            "message_id": message_id,
            "affected_sop_class": CT,
            "affected_sop_instance": "1.2.3",
            "priority": 0,
            "data_set_type": 1,
        }
    )


def echo_command(message_id: int = 1) -> bytes:
    """The command set of a C-ECHO-RQ."""
    return encode_command(
        {
            "field": CommandField.C_ECHO,
            "message_id": message_id,
            "affected_sop_class": VERIFICATION,
            "data_set_type": 0x0101,
        }
    )
