"""Connections of HTTP: one address cannot hold all that there may be."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.telemetry import OFF
from isocenter.web import connections
from isocenter.web.connections import Connections
from isocenter.web.role import WebRole
from isocenter.web.settings import WebSettings
from support.telemetry import Recorder
from support.waiting import until
from support.web_fakes import Web

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def test_each_address_has_its_own_and_proxies_and_this_machine_speak_for_many() -> None:
    settings = WebSettings(max_connections_per_address=2, trusted_proxies=("10.0.0.0/8",))
    held = Connections(settings, OFF)
    opened = [held.opened(host) for host in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")]
    assert opened == ["192.0.2.1", "192.0.2.1", None]
    assert held.opened("192.0.2.2") == "192.0.2.2"
    assert {held.opened(host) for host in ("10.0.0.7", "127.0.0.1", "::1") * 5} == {""}
    for place in opened:
        held.closed(place)
    held.closed("")
    assert held.opened("192.0.2.1") == "192.0.2.1"


async def test_one_too_many_is_told_so_at_once_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    web, recorder = Web(WebSettings(port=0, max_connections_per_address=2)), Recorder()
    role = WebRole(web.application, web.settings, web.feed, telemetry=recorder.telemetry)
    await role.start()
    try:
        held = [await asyncio.open_connection("127.0.0.1", role.port) for _ in range(2)]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{role.port}") as client:
            refused = await client.get("/livez")
            assert refused.status_code == 429
            assert refused.headers["content-type"] == "application/problem+json"
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("5", "close")
            assert refused.json()["detail"].startswith("this address has as many connections")
        for reader, writer in held:
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        held[0][1].close()
        await until(lambda: role._server._server.server_state.connections.__len__() == 1)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{role.port}") as client:
            assert (await client.get("/livez")).status_code == 200
        held[1][1].close()
    finally:
        await role.stop()
    assert recorder.values(LIMITS_REFUSED) == {("address-connections",): 1}
