"""What one AE may have of this process: associations and bytes in flight, and its lane. Strangers
share one set of limits, of which one address has a part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from isocenter.dimse.budget import Budget
from isocenter.dimse.contexts import (
    LOCAL_LIMIT_EXCEEDED,
    Accepted,
    Admission,
    AssociationOffer,
)
from isocenter.gateway.callers import Callers, Peer
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.addresses import is_loopback, place_of
from isocenter.runtime.aes import Lane
from isocenter.runtime.limits import AtOnce

_STRANGERS = ""  # no AE title


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an AE."""

    name: str
    """Its title; one name for all strangers."""
    lane: Lane
    max_associations: int
    max_bytes: int  # 0: none


@dataclass(slots=True)
class _Used:
    """What an AE has of it."""

    associations: int = 0
    budget: Budget = field(default_factory=lambda: Budget(0))


class Limits:
    """Of all peers of this process."""

    def __init__(self, settings: GatewaySettings, callers: Callers) -> None:
        self._callers = callers
        self._of_address = settings.unknown_max_associations_per_address
        self._addresses = AtOnce()  # of strangers
        self._used: dict[str, _Used] = {}
        # Bulk: nobody said that they may delay those who are known.
        self._strangers = Bounds(
            _STRANGERS, Lane.BULK, settings.unknown_max_associations, settings.unknown_max_bytes
        )

    def bounds(self, peer: Peer) -> Bounds:
        """The limits of a peer."""
        known = self._callers.known(peer)
        if known is None:
            return self._strangers
        return Bounds(known.title, known.lane, known.max_associations, known.max_bytes)

    def within(self, offer: AssociationOffer, accepted: Accepted) -> Admission:
        """Count one more association, which is told its limits; rejected if that is too many."""
        bounds = self.bounds(offer)
        used = self._used.get(bounds.name) or _Used()
        if used.associations >= bounds.max_associations:
            return replace(LOCAL_LIMIT_EXCEEDED, why="as many associations as it may have")
        place = "" if bounds.name or is_loopback(offer.peer_host) else place_of(offer.peer_host)
        if place and not self._addresses.enter(place, self._of_address):
            return replace(LOCAL_LIMIT_EXCEEDED, why="as many associations as its address may have")
        self._used[bounds.name] = used
        used.associations += 1
        used.budget.limit = bounds.max_bytes
        return replace(
            accepted,
            budget=used.budget if bounds.max_bytes else None,
            on_end=partial(self._end, bounds.name, place),
        )

    def _end(self, name: str, place: str) -> None:
        if place:
            self._addresses.leave(place)
        used = self._used[name]
        used.associations -= 1
        if not used.associations:
            del self._used[name]
