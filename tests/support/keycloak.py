"""A real Keycloak with the realm `hospital` (tests/data/keycloak), of which the link can be cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx

from support.cutting_proxy import CuttingProxy
from support.stack import Server

REALM = Path(__file__).parents[1] / "data/keycloak/realm.json"
SECRETS = {one: f"{one}-client-secret" for one in ("isocenter", "ris", "keeper")}
AUDIENCE = "isocenter-api"
_ALL = 10**6


def password_of(user: str) -> str:
    """Of the realm."""
    return f"{user}-password"


class Keycloak:
    """The server, which everybody reaches by `address`."""

    def __init__(self, directory: Path) -> None:
        self._server = Server("keycloak", directory, str(REALM))
        self._link: CuttingProxy

    def __enter__(self) -> Self:
        self._server.start()
        self._link = CuttingProxy(self._server.address).__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._link.__exit__(None, None, None)
        self._server.kill()

    @property
    def url(self) -> str:
        """Where browsers and installations find it."""
        return f"http://{self._link.address}"

    @property
    def issuer(self) -> str:
        """The realm."""
        return f"{self.url}/realms/hospital"

    def settings(self, directory: Path) -> dict[str, object]:
        """Those of an installation whose people sign in here; the secret goes to a file."""
        secret = directory / "client-secret"
        secret.write_text(SECRETS["isocenter"], "utf-8")
        return {
            "access.trust_loopback": False,
            "access.oidc.issuer": self.issuer,
            "access.oidc.client_secret_file": str(secret),
            "access.oidc.audience": AUDIENCE,
            "access.oidc.roles": {"radiologist": "viewer"},
        }

    def token(self, client: str) -> str:
        """An access token of a program (RFC 6749 4.4)."""
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": SECRETS[client],
        }
        answer = httpx.post(f"{self.issuer}/protocol/openid-connect/token", data=form, timeout=60)
        return str(answer.raise_for_status().json()["access_token"])

    @contextmanager
    def disabled(self, user: str) -> Iterator[None]:
        """Somebody may not sign in any more."""
        self._set(user, enabled=False)
        try:
            yield
        finally:
            self._set(user, enabled=True)

    def _set(self, user: str, *, enabled: bool) -> None:
        users = f"{self.url}/admin/realms/hospital/users"
        headers = {"authorization": f"Bearer {self.token('keeper')}"}
        with httpx.Client(headers=headers, timeout=60) as client:
            (one,) = client.get(users, params={"username": user, "exact": "true"}).json()
            client.put(f"{users}/{one['id']}", json={**one, "enabled": enabled}).raise_for_status()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Every connection to it breaks before it answers."""
        self._link.cut(0, _ALL)
        try:
            yield
        finally:
            self._link.cut(0, 0)
