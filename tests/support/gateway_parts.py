"""Parts of a gateway by themselves, for its unit tests."""

from __future__ import annotations

from typing import Any

from isocenter.core.access import NOBODY
from isocenter.gateway.admission import Admissions
from isocenter.gateway.callers import Callers
from isocenter.gateway.identities import Users
from isocenter.gateway.lanes import Lanes
from isocenter.gateway.limits import Limits
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory


def callers_of(settings: GatewaySettings, directory: Directory | None = None) -> Callers:
    """The callers of a gateway with these settings, and this directory if it is not theirs. Nobody
    is trusted for an address."""
    return Callers(settings, directory or Directory(settings.known_aes), lambda _: NOBODY)


def lanes_of(settings: GatewaySettings) -> Lanes:
    """The lanes of a gateway with these settings."""
    return Lanes(Limits(settings, callers_of(settings)))


def admissions_of(
    settings: GatewaySettings, directory: Directory | None = None, users: Any = None
) -> Admissions:
    """The admissions of a gateway with these settings."""
    callers = callers_of(settings, directory)
    limits = Limits(settings, callers)
    return Admissions(settings=settings, callers=callers, limits=limits, users=users or NoUsers())


class NoUsers(Users):
    """Knows nobody."""

    def __init__(self) -> None:
        pass

    async def verify(self, claim: object, by: object) -> None:
        raise AssertionError("nobody says who they are")
