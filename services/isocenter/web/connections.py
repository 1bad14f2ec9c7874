"""Connections of each address, so that one client cannot hold all that there may be."""

from __future__ import annotations

from isocenter.runtime.addresses import is_loopback, is_within, place_of
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import AtOnce, Limit
from isocenter.runtime.telemetry import Telemetry
from isocenter.web.settings import WebSettings


class Connections:
    """Those that are open. Trusted proxies, and whoever is on this machine, speak for many."""

    def __init__(self, settings: WebSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._open = AtOnce()

    def opened(self, host: str) -> str | None:
        """Whose connection it is, to be told to `closed`; empty where they are not counted. None if
        it is one too many."""
        if is_loopback(host) or is_within(host, self._settings.proxies):
            return ""
        place = place_of(host)
        if self._open.enter(place, self._settings.max_connections_per_address):
            return place
        self._telemetry.count(LIMITS_REFUSED, 1, {"limit": Limit.ADDRESS_CONNECTIONS.value})
        return None

    def closed(self, place: str | None) -> None:
        """It is over."""
        if place:
            self._open.leave(place)
