"""An answer that streams, and who is there to get it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from isocenter.web.exchange import CONNECTION, Exchange
from isocenter.web.settings import WebSettings


async def pieces(count: int) -> AsyncIterator[bytes]:
    """That come without ever waiting."""
    for _ in range(count):
        yield b"x" * 1024


@pytest.mark.parametrize(("lives", "whole"), [(3, False), (10, False), (100, True)])
async def test_who_goes_away_while_nothing_waits_has_not_got_all(lives: int, whole: bool) -> None:
    """`lives`: how many messages leave before the connection breaks."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nothing is received")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    connection = SimpleNamespace(is_closing=lambda: len(sent) >= lives)
    scope = {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "headers": [],
        "extensions": {CONNECTION: connection},
    }
    exchange = Exchange(scope, receive, send, WebSettings())
    await exchange.stream(200, [], pieces(9))
    assert exchange.whole is whole
    assert len(sent) <= lives + 1, "the rest is not read for nobody"
