"""An upper layer between a service user that remembers and a raw peer on a live socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from isocenter.dimse.contexts import Rejected
from isocenter.dimse.errors import AssociationAborted
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.sides import AcceptorLayer, RequestorLayer
from isocenter.dimse.upper_layer import UpperLayer, new_buffer
from support.dimse_peers import RawPeer, associate_rq

PATIENT = Timeouts(artim=20, network=20, dimse=20, connect=20)


@dataclass
class Remembering:
    """A service user that answers nothing by itself."""

    told: list[str] = field(default_factory=list)
    ends: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    incomplete = False

    def connected(self) -> None:
        return

    def associate_indication(self, body: bytes) -> None:
        del body
        self.told.append("A-ASSOCIATE indication")

    def associate_confirmation(self, body: bytes) -> None:
        del body
        self.told.append("A-ASSOCIATE confirmation")

    def rejected(self, rejection: Rejected) -> None:
        del rejection
        self.told.append("A-ASSOCIATE confirmation, rejected")

    def data_indication(self, context_id: int, control: int, fragment: memoryview) -> None:
        del context_id, control, fragment
        self.told.append("P-DATA indication")

    def release_indication(self) -> None:
        self.told.append("A-RELEASE indication")

    def release_confirmation(self) -> None:
        self.told.append("A-RELEASE confirmation")

    def aborted(self, error: AssociationAborted) -> None:
        del error
        self.told.append("abort")

    def ended(self) -> None:
        self.ends += 1

    def disconnected(self) -> None:
        self.gone.set()

    def awaits_peer(self) -> bool:
        return False


class _Watched(UpperLayer):
    """Tells when it has dealt with what arrived."""

    dealt: asyncio.Event

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.dealt.set()


class _Acceptor(_Watched, AcceptorLayer):
    pass


class _Requestor(_Watched, RequestorLayer):
    pass


@dataclass
class Rig:
    """One upper layer, and its peer once that is connected."""

    layer: _Acceptor | _Requestor
    user: Remembering
    peer: RawPeer | None = None
    _listening: asyncio.Server | None = None

    async def connect(self) -> None:
        """Open the transport connection, from the side that requests."""
        loop = asyncio.get_running_loop()
        if isinstance(self.layer, _Acceptor):
            self._listening = await loop.create_server(lambda: self.layer, "127.0.0.1", 0)
            self.peer = RawPeer(*await asyncio.open_connection(*self._address))
            async with asyncio.timeout(10):
                while not self.layer.last_read:  # its side of the connection is open
                    await asyncio.sleep(0)
            return
        met: asyncio.Future[RawPeer] = loop.create_future()
        self._listening = await asyncio.start_server(
            lambda reader, writer: met.set_result(RawPeer(reader, writer)), "127.0.0.1", 0
        )
        await loop.create_connection(lambda: self.layer, *self._address)
        self.peer = await asyncio.wait_for(met, 10)

    @property
    def _address(self) -> tuple[str, int]:
        assert self._listening is not None
        host, port = self._listening.sockets[0].getsockname()[:2]
        return host, port

    async def receive(self, data: bytes) -> None:
        """The peer sends this, in one piece; it has been dealt with."""
        assert self.peer is not None
        self.layer.dealt.clear()
        self.peer.send(data)
        await asyncio.wait_for(self.layer.dealt.wait(), 10)

    async def lose(self) -> None:
        """The peer ends the transport connection; what it got can still be read."""
        assert self.peer is not None
        self.peer.end()
        await asyncio.wait_for(self.user.gone.wait(), 10)

    async def sent(self) -> bytes:
        """All that the peer has got and not read yet; the connection is closed for that."""
        if self.peer is None:
            return b""
        self.layer.close()
        return await self.peer.rest()

    async def end(self) -> None:
        """Leave nothing open."""
        self.layer.close()
        if self.peer is not None:
            self.peer.close()
        if self._listening is not None:
            self._listening.close()
            await self._listening.wait_closed()


@asynccontextmanager
async def rig(side: str, timeouts: Timeouts = PATIENT) -> AsyncIterator[Rig]:
    """A layer of a side, idle."""
    user = Remembering()
    layer: _Acceptor | _Requestor
    if side == "acceptor":
        layer = _Acceptor(user, timeouts=timeouts, max_length=16384, buffer=new_buffer())
    else:
        layer = _Requestor(
            user, timeouts=timeouts, max_length=16384, buffer=new_buffer(), request=associate_rq()
        )
    layer.dealt = asyncio.Event()
    made = Rig(layer, user)
    try:
        yield made
    finally:
        await made.end()
