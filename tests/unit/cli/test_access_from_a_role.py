"""Where roles run apart, the verbs of access work from any of them, as the notes of the chart say:
what they make is kept by the storage role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.cli.account import administration, link_of
from isocenter.cli.common import operating
from isocenter.core.access import Kind
from isocenter.runtime.access.administration import new_account
from isocenter.runtime.access.tokens import new_token
from isocenter.runtime.rpc_server import RpcServer
from isocenter.settings import Settings, load

URL = "https://pacs.example.org"


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[tuple[Process, int]]:
    """The storage role and its port."""
    env = Process(load(data=tmp_path / "kept"), ["storage"])
    server = RpcServer(await env.build(), "127.0.0.1", 0)
    await server.start()
    try:
        yield env, server.port
    finally:
        await server.stop()
        await env.close()


@pytest.fixture
def settings(tmp_path: Path, storage: tuple[Process, int]) -> Settings:
    """Those of another pod."""
    flags = {"rpc.storage": f"127.0.0.1:{storage[1]}", "web.public_url": URL}
    return load(data=tmp_path / "pod", flags=flags)


async def test_the_first_link_of_another_pod_is_taken_by_all(settings, storage) -> None:
    async with administration(settings) as access:
        secret = await access.add(operating(), new_account("admin", roles=["administrator"]))
    assert link_of(settings, secret) == f"{URL}/invitation/{secret}"
    accounts = (await storage[0].doors()).accounts
    invited = await accounts.invited(secret)
    assert (invited.name, invited.roles) == ("admin", ("administrator",))


async def test_a_token_of_another_pod_is_taken_by_all(settings, storage) -> None:
    token, secret = new_token("helm-test", ["viewer"], 30)
    async with administration(settings) as access:
        shown = await access.make_token(operating(), token, secret)
    caller = await (await storage[0].doors()).by_bearer(shown)
    assert (caller.kind, caller.name, caller.roles) == (Kind.PROGRAM, "helm-test", ("viewer",))
