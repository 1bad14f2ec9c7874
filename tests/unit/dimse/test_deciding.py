"""Associations whose admission takes a look-up: the state is Sta3 until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from isocenter.dimse.contexts import Accepted, Admission, AssociationOffer, Rejected
from isocenter.dimse.limits import Timeouts
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.server import Decide, Listener, Server, serve
from support.dimse_peers import FIND, IMPLICIT, ProposedContext, RawPeer
from support.waiting import until

ACCEPTED = 2


class Decider:
    """Decides when it is told to."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()
        self.asked = self.cancelled = self.ended = 0
        self.error: Exception | None = None

    def __call__(self, offer: AssociationOffer) -> Decide:
        del offer
        return self._decide

    async def _decide(self) -> Admission:
        self.asked += 1
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Accepted({FIND: (IMPLICIT,)}, on_end=self._end)

    def _end(self) -> None:
        self.ended += 1


@asynccontextmanager
async def serving(admit: Decider, **more: object) -> AsyncIterator[Server]:
    server = await serve(Listener("127.0.0.1", 0, **more), {}, admit)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        await server.close()


async def ask(server: Server) -> RawPeer:
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", server.port))
    peer.send(request_pdu("PEER", "ISOCENTER", [ProposedContext(FIND, (IMPLICIT,))], 16384)[1])
    return peer


async def test_the_answer_comes_when_it_is_decided():
    decider = Decider()
    async with serving(decider) as server:
        peer = await ask(server)
        await until(lambda: decider.asked)
        assert server.associations == 0
        decider.answer.set()
        assert (await peer.receive())[0] == ACCEPTED
        assert server.associations == 1
        peer.close()
        await until(lambda: decider.ended)


@pytest.mark.parametrize(
    ("error", "timeouts", "answer"),
    [
        (RuntimeError("anything"), Timeouts(), Rejected(1, 1, 1)),
        (None, Timeouts(artim=0.2), Rejected(2, 3, 1)),
    ],
    ids=["an error of ours", "no decision in time"],
)
async def test_without_a_decision_the_request_is_rejected(error, timeouts, answer):
    decider = Decider()
    decider.error = error
    if error is not None:
        decider.answer.set()
    async with serving(decider, timeouts=timeouts) as server:
        peer = await ask(server)
        kind, body = await peer.receive()
        peer.close()
    assert (kind, Rejected(*body[1:4])) == (3, answer)
    assert decider.ended == 0


async def test_who_does_not_wait_ends_the_look_up():
    decider = Decider()
    async with serving(decider) as server:
        peer = await ask(server)
        await until(lambda: decider.asked)
        peer.close()
        await until(lambda: decider.cancelled)
        assert server.associations == 0


async def test_there_may_be_no_room_any_more_once_it_is_decided():
    decider = Decider()
    async with serving(decider, max_associations=1) as server:
        peers = [await ask(server) for _ in range(2)]
        await until(lambda: decider.asked == 2)
        decider.answer.set()
        answers = sorted([(await peer.receive())[0] for peer in peers])
        for peer in peers:
            peer.close()
        await until(lambda: decider.ended == 2)
    assert answers == [ACCEPTED, 3]
