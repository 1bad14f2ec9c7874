"""Both ends of a C-MOVE: who asks, and destinations that take what they get as a test wants it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from time import monotonic

from isocenter.core.json_model import JsonAttributes
from isocenter.dimse.association import Association
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.messages import CommandField, Request, Response
from isocenter.dimse.requestor import associate
from isocenter.dimse.server import Server
from isocenter.gateway.contexts import STUDY_ROOT
from isocenter.gateway.identifiers import write
from support.dimse_peers import CT, EXPLICIT, port

PATIENCE = Timeouts(artim=20, network=60, dimse=60, connect=10)
MR = "1.2.840.10008.5.1.4.1.1.4"
MODELS = {"find": STUDY_ROOT.find, "move": STUDY_ROOT.move, "get": STUDY_ROOT.get}


@dataclass
class Asked:
    """A request of ours, and its responses as they come."""

    association: Association
    responses: list[Response] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """How many pending responses have come."""
        return sum(response.pending for response in self.responses)

    async def final(self) -> Response:
        """The last response."""
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), 60)
        return self.responses[-1]

    async def cancel(self) -> tuple[Response, float]:
        """C-CANCEL; the final response, and the seconds until it came."""
        began = monotonic()
        await self.association.cancel()
        return await self.final(), monotonic() - began


@dataclass
class Requester:
    """Asks a gateway for a study, on an association for each request."""

    port: int
    store: Callable[[Request], Awaitable[None]] | None = None  # what C-GET brings
    all: list[Asked] = field(default_factory=list)

    async def ask(
        self,
        verb: str,
        study: str = "",
        *,
        series: str = "",
        destination: str = "DEST",
        priority: int = 0,
    ) -> Asked:
        """Ask for a study, or for a series whose study is to be found out; take the responses as
        they come."""
        contexts = [ProposedContext(MODELS[verb], (EXPLICIT,))]
        if verb == "get":
            contexts += [ProposedContext(uid, (EXPLICIT,), scu=True, scp=True) for uid in (CT, MR)]
        association = await associate(
            "127.0.0.1",
            self.port,
            calling_ae_title="TESTER",
            called_ae_title="ISOCENTER",
            contexts=contexts,
            timeouts=PATIENCE,
            handlers={CommandField.C_STORE: self.store} if self.store else {},
        )
        keys: JsonAttributes = {
            "00080052": {"vr": "CS", "Value": ["SERIES" if series else "STUDY"]},
            "0020000D": {"vr": "UI", "Value": [study] if study else []},
        }
        if series:
            keys["0020000E"] = {"vr": "UI", "Value": [series]}
        context = next(iter(association.contexts.values()))
        arguments = [context, MODELS[verb], write(keys, context.transfer_syntax)]
        if verb == "move":
            arguments.insert(2, destination)
        asked = Asked(association)
        self.all.append(asked)
        responses = getattr(association, f"c_{verb}")(*arguments, priority=priority)

        async def take() -> None:
            async for response in responses:
                asked.responses.append(response)
                asked.at.append(monotonic())

        asked.task = asyncio.create_task(take())
        return asked

    async def close(self) -> None:
        """End every association at once."""
        for asked in self.all:
            await asked.association.abort()
            await asked.association.abandon()
        await asyncio.gather(*(one.task for one in self.all if one.task), return_exceptions=True)


@asynccontextmanager
async def requester(number: int, **more: object) -> AsyncIterator[Requester]:
    """Whoever asks the gateway at a port."""
    asking = Requester(number, **more)
    try:
        yield asking
    finally:
        await asking.close()


@dataclass
class Destination:
    """Receives; `answer` gives the status of each object, or ends the association."""

    answer: Callable[[Request], Awaitable[int]] | None = None
    received: list[str] = field(default_factory=list)  # kept ones
    tried: list[str] = field(default_factory=list)
    most: int = 0  # associations at once
    server: Server | None = None

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    async def __call__(self, request: Request) -> None:
        assert self.server is not None
        self.most = max(self.most, self.server.associations)
        uid = request.command.sop_instance
        self.tried.append(uid)
        async for _ in request.data:
            pass
        status = await self.answer(request) if self.answer else 0
        if status == 0:
            self.received.append(uid)
        with suppress(Exception):
            await request.respond(status)


@asynccontextmanager
async def destination(
    answer: Callable[[Request], Awaitable[int]] | None = None, **listener: object
) -> AsyncIterator[Destination]:
    """A listening one."""
    receiving = Destination(answer)
    listener.setdefault("timeouts", PATIENCE)
    async with port({CommandField.C_STORE: receiving}, **listener) as server:
        receiving.server = server
        yield receiving


def bound_socket() -> socket.socket:
    """A free port that stays ours; nobody listens there yet."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def port_of(bound: socket.socket) -> int:
    """Its number."""
    return int(bound.getsockname()[1])


@asynccontextmanager
async def slow_link(
    target: int, rate: int, piece: int = 8192, bound: socket.socket | None = None
) -> AsyncIterator[int]:
    """A port, any one or that of a socket, that passes on what comes at so many bytes a second,
    with the smallest buffers that the system has; what the target says passes at once."""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(piece):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(len(data) / rate)

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        both = [slowly(reader, far_writer), back(far_reader, writer)]
        tasks = [asyncio.create_task(one) for one in both]
        with closing(writer), closing(far_writer):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with bound or bound_socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server = await asyncio.start_server(connected, sock=listening, limit=piece)
        async with server:
            yield port_of(listening)
