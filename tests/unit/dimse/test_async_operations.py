"""The Asynchronous Operations Window (PS3.7 D.3.3.3): what is answered, and that it is true."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

from isocenter.dimse.contexts import AssociationOffer, ProposedContext
from isocenter.dimse.messages import (
    Command,
    CommandField,
    Request,
    decode_command,
    encode_command,
)
from isocenter.dimse.negotiation import request_pdu
from isocenter.dimse.server import Server
from support.dimse_peers import (
    CT,
    FIND,
    IMPLICIT,
    VERIFICATION,
    RawPeer,
    accept_all,
    echo_command,
    p_data,
    pdv,
    port,
    store_command,
)

RELEASE_RQ = bytes([5, 0, 0, 0, 0, 4, 0, 0, 0, 0])


def admit(offer: AssociationOffer):
    return replace(accept_all(offer), max_operations=4)


def associate_rq(invoked: int | None, performed: int = 1) -> bytes:
    proposed = [ProposedContext(uid, (IMPLICIT,)) for uid in (VERIFICATION, CT, FIND)]
    primitive, pdu = request_pdu("RAW", "ISOCENTER", proposed, 16384)
    if invoked is None:
        return pdu
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = invoked
    window.maximum_number_operations_performed = performed
    primitive.user_information.append(window)
    encoder = A_ASSOCIATE_RQ()
    encoder.from_primitive(primitive)
    return encoder.encode()


async def associated(server: Server, invoked: int | None, performed: int = 1):
    """A peer, and the window that it was answered (invoked, performed), or None."""
    peer = await RawPeer.connect(server)
    peer.send(associate_rq(invoked, performed))
    kind, body = await peer.receive()
    assert kind == 2
    accepted = A_ASSOCIATE_AC()
    accepted.decode(bytes([2, 0]) + len(body).to_bytes(4, "big") + body)
    windows = [
        (item.maximum_number_operations_invoked, item.maximum_number_operations_performed)
        for item in accepted.to_primitive().user_information
        if isinstance(item, AsynchronousOperationsWindowNegotiation)
    ]
    assert len(windows) <= 1
    return peer, windows[0] if windows else None


def store(message_id: int, data: bytes = b"data") -> bytes:
    return p_data(pdv(3, 3, store_command(message_id))) + p_data(pdv(3, 2, data))


async def answer(peer: RawPeer) -> Command:
    """The next response."""
    kind, body = await peer.receive()
    assert kind == 4
    return decode_command(body[6:])


class Gated:
    """A handler that answers a request when its message ID is let go."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.cancelled: list[int] = []
        self.go: dict[int, asyncio.Event] = {}
        self.news = asyncio.Condition()

    async def __call__(self, request: Request) -> None:
        message_id = request.command.message_id
        await request.read_data(1 << 20)
        go = self.go.setdefault(message_id, asyncio.Event())
        self.began.append(message_id)
        async with self.news:
            self.news.notify_all()
        waits = [asyncio.create_task(one.wait()) for one in (go, request.cancelled)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await request.respond(0xFE00 if request.cancelled.is_set() else 0)

    async def until(self, count: int) -> list[int]:
        """So many have begun."""
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: len(self.began) >= count)
        return self.began


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (None, None),  # nothing was asked for: synchronous, and nothing is said
        ((1, 1), (1, 1)),
        ((3, 1), (3, 1)),
        ((4, 5), (4, 1)),
        ((100, 100), (4, 1)),
        ((0, 0), (4, 1)),  # 0: any number
    ],
)
async def test_a_requestor_gets_what_it_asks_for_up_to_our_limit(asked, answered):
    async with port(admit=admit) as server:
        _, window = await associated(server, *(asked or (None,)))
    assert window == answered


async def test_so_many_operations_are_under_way_at_once_and_the_next_ones_wait():
    gated = Gated()
    async with port({CommandField.C_STORE: gated}, admit) as server:
        peer, window = await associated(server, 3)
        assert window == (3, 1)
        for number in range(1, 6):
            peer.send(store(number))
        peer.send(p_data(pdv(1, 3, echo_command(6))))
        assert await gated.until(3) == [1, 2, 3]
        gated.go[2].set()
        assert (await answer(peer)).message_id_being_responded_to == 2
        assert await gated.until(4) == [1, 2, 3, 4]
        gated.go[1].set()
        assert (await answer(peer)).message_id_being_responded_to == 1
        await gated.until(5)
        for number in (3, 4, 5):
            gated.go[number].set()
        left = {(await answer(peer)).message_id_being_responded_to for _ in range(4)}
    assert left == {3, 4, 5, 6}


async def test_without_a_window_requests_that_come_early_wait_for_their_turn():
    gated = Gated()
    async with port({CommandField.C_STORE: gated}, admit) as server:
        peer, _ = await associated(server, None)
        for number in (1, 2, 3):
            peer.send(store(number))
        for number in (1, 2, 3):
            assert await gated.until(number) == list(range(1, number + 1))
            gated.go[number].set()
            assert (await answer(peer)).message_id_being_responded_to == number


async def test_a_cancel_is_for_one_of_those_under_way():
    gated = Gated()
    async with port({CommandField.C_FIND: gated}, admit) as server:
        peer, _ = await associated(server, 2)
        for number in (1, 2):
            fields = {
                "field": CommandField.C_FIND,
                "message_id": number,
                "affected_sop_class": FIND,
                "priority": 0,
                "data_set_type": 1,
            }
            peer.send(p_data(pdv(5, 3, encode_command(fields)), pdv(5, 2, b"key")))
        await gated.until(2)
        cancel = {"field": CommandField.C_CANCEL, "message_id_being_responded_to": 1}
        peer.send(p_data(pdv(5, 3, encode_command({**cancel, "data_set_type": 0x0101}))))
        first = await answer(peer)
        assert (first.message_id_being_responded_to, first.status) == (1, 0xFE00)
        gated.go[2].set()
        second = await answer(peer)
        assert (second.message_id_being_responded_to, second.status) == (2, 0)


async def test_a_release_waits_for_all_that_are_under_way():
    gated = Gated()
    async with port({CommandField.C_STORE: gated}, admit) as server:
        peer, _ = await associated(server, 4)
        peer.send(store(1) + store(2) + RELEASE_RQ)
        await gated.until(2)
        gated.go[2].set()
        assert (await answer(peer)).message_id_being_responded_to == 2
        gated.go[1].set()
        assert (await answer(peer)).message_id_being_responded_to == 1
        assert (await peer.receive())[0] == 6


async def test_a_peer_that_vanishes_ends_all_that_is_under_way():
    gated = Gated()
    async with port({CommandField.C_STORE: gated}, admit) as server:
        peer, _ = await associated(server, 4)
        peer.send(store(1) + store(2))
        await gated.until(2)
        [association] = server.established
        peer.reset()
        await asyncio.wait_for(association.closed.wait(), 5)
        await asyncio.wait_for(association.idle(), 5)
        assert all(worker.done() for worker in await _settled(association._workers))


async def _settled(workers: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    await asyncio.wait(workers, timeout=5)
    return workers


async def test_draining_waits_for_all_that_are_under_way():
    gated = Gated()
    async with port({CommandField.C_STORE: gated}, admit) as server:
        peer, _ = await associated(server, 4)
        peer.send(store(1) + store(2))
        await gated.until(2)
        draining = asyncio.create_task(server.drain(30))
        gated.go[2].set()
        assert (await answer(peer)).message_id_being_responded_to == 2
        assert not draining.done()
        gated.go[1].set()
        assert (await answer(peer)).message_id_being_responded_to == 1
        assert (await peer.receive())[0] == 5  # we release
        peer.send(bytes([6, 0, 0, 0, 0, 4, 0, 0, 0, 0]))
        await asyncio.wait_for(draining, 5)
