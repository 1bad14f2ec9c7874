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
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.aes import Directory
from support.gateway_fakes import FakeAudit, FakeStorage


def callers_of(settings: GatewaySettings, directory: Directory | None = None) -> Callers:
    """The callers of a gateway with these settings, and this directory if it is not theirs. Nobody
    is trusted for an address."""
    return Callers(settings, directory or Directory(settings.known_aes), lambda _: NOBODY)


def lanes_of(settings: GatewaySettings) -> Lanes:
    """The lanes of a gateway with these settings."""
    return Lanes(Limits(settings, callers_of(settings)))


def admissions_of(
    settings: GatewaySettings, directory: Directory | None = None, users: Users | None = None
) -> Admissions:
    """The admissions of a gateway with these settings."""
    callers = callers_of(settings, directory)
    limits = Limits(settings, callers)
    return Admissions(settings=settings, callers=callers, limits=limits, users=users or _nobody())


def _nobody() -> Users:
    storage: Any = FakeStorage([])
    audit: Any = FakeAudit()
    return Users(Doors.of(storage, AccessSettings()), audit)
