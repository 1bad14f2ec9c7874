"""Parts of a gateway by themselves, for its unit tests."""

from __future__ import annotations

from isocenter.gateway.admission import Admissions
from isocenter.gateway.callers import Callers
from isocenter.gateway.identities import Identities
from isocenter.gateway.lanes import Lanes
from isocenter.gateway.limits import Limits
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory


def lanes_of(settings: GatewaySettings) -> Lanes:
    """The lanes of a gateway with these settings."""
    return Lanes(Limits(settings, Callers(settings, Directory(settings.known_aes))))


def admissions_of(
    settings: GatewaySettings, directory: Directory | None = None, users: Identities | None = None
) -> Admissions:
    """The admissions of a gateway with these settings, and this directory if it is not theirs."""
    callers = Callers(settings, directory or Directory(settings.known_aes))
    limits = Limits(settings, callers)
    return Admissions(settings=settings, callers=callers, limits=limits, users=users)
