"""Lanes on a live gateway: an emergency while a migration has all the places that it may have."""

from __future__ import annotations

import asyncio
from collections import Counter

from isocenter.core.apis import Announcement
from isocenter.dimse.contexts import ProposedContext
from isocenter.dimse.messages import decode_command
from isocenter.dimse.negotiation import request_pdu
from isocenter.gateway.lanes import PLACES
from isocenter.runtime.aes import Lane
from support.dimse_peers import CT, EXPLICIT, VERIFICATION, RawPeer, p_data, pdv, store_command
from support.live_gateway import Live, live

KNOWN = [{"title": "ER", "lane": "emergency"}, {"title": "OLD", "lane": "bulk"}]
STORE = p_data(pdv(3, 3, store_command())) + p_data(pdv(3, 2, bytes(1000)))


async def storing(gateway: Live, title: str) -> RawPeer:
    """An association on which an object was sent."""
    peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
    proposed = [ProposedContext(uid, (EXPLICIT,)) for uid in (VERIFICATION, CT)]
    peer.send(request_pdu(title, "ISOCENTER", proposed, 16384)[1])
    assert (await peer.receive())[0] == 2
    peer.send(STORE)
    return peer


async def stored(peer: RawPeer) -> None:
    """The object is acknowledged."""
    kind, body = await peer.receive()
    assert (kind, decode_command(body[6:]).status) == (4, 0)


async def test_a_migration_in_commit_does_not_keep_an_emergency_out():
    more = 5
    async with live(known_aes=KNOWN) as gateway:
        ingest = gateway.env.fake_ingest
        take, go, arrived = ingest.store, asyncio.Event(), Counter[str]()

        async def slow(announcement: Announcement, data_set):
            done = await take(announcement, data_set)
            arrived[announcement.source.ae_title] += 1
            if announcement.source.ae_title == "OLD":
                await go.wait()
            return done

        ingest.store = slow
        migration = [await storing(gateway, "OLD") for _ in range(PLACES[Lane.BULK] + more)]
        async with asyncio.timeout(10):
            while arrived["OLD"] < PLACES[Lane.BULK]:
                await asyncio.sleep(0)
        await stored(await storing(gateway, "ER"))
        assert arrived == {"OLD": PLACES[Lane.BULK], "ER": 1}
        go.set()
        for peer in migration:
            await stored(peer)
        assert arrived["OLD"] == PLACES[Lane.BULK] + more
