"""The web role while the identity provider is away: it starts, is ready, and says so to who signs
in."""

from __future__ import annotations

from pathlib import Path

import httpx

from isocenter.app import Process
from isocenter.settings import load


async def test_the_role_is_ready_and_a_sign_in_is_told_that_the_provider_is_away(
    tmp_path: Path,
) -> None:
    flags = {"web.port": "0", "web.grpc_port": "0", "access.oidc.issuer": "http://127.0.0.1:1"}
    env = Process(load(data=tmp_path, flags=flags), ["web"])
    try:
        (role,) = await env.build()
        await role.start()
        assert env.readiness() == []
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{role.port}") as browser:  # type: ignore[attr-defined]
            assert (await browser.get("/readyz")).status_code == 200
            assert "/sign-in/provider" in (await browser.get("/sign-in")).text
            told = await browser.get("/sign-in/provider", headers={"accept": "text/html"})
        assert told.status_code == 503
        assert "does not answer at the moment" in told.text
        await role.stop()
    finally:
        await env.close()
