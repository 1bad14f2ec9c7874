"""What one caller may have of a process, so that there is some of it left for the others: how many
requests and gRPC calls at once, and how many a second.

Who is known counts by name, wherever they call from; who is not, by address. What somebody shows
(a token, the cookie of a session) that was not right here lately counts for the address too, before
it is looked up, so that nobody guesses; whoever was let in a moment ago is not shut out by others
of the same address. Everything is in memory, bounded, and costs a few look-ups of dictionaries.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from isocenter.core.access import NOBODY, Caller
from isocenter.core.errors import TooMany
from isocenter.runtime.access.doors import OPERATOR
from isocenter.runtime.addresses import place_of
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import HELD, AtOnce, Clock, Limit, LimitSettings, Rate
from isocenter.runtime.telemetry import OFF, Telemetry


@dataclass(frozen=True, slots=True)
class _Share:
    """What each caller of a kind may have."""

    whose: str  # for people
    rate: Rate
    at_once: int
    too_often: Limit
    too_many: Limit


class FairUse:
    """The limits of a process."""

    def __init__(
        self,
        settings: LimitSettings,
        telemetry: Telemetry = OFF,
        clock: Clock = time.monotonic,
    ) -> None:
        self._telemetry = telemetry
        self._known = _Share(
            "one caller",
            Rate(settings.requests_per_second, settings.burst, clock),
            settings.requests_at_once,
            Limit.REQUESTS,
            Limit.AT_ONCE,
        )
        self._strangers = _Share(
            "callers of one address who have not signed in",
            Rate(settings.address_requests_per_second, settings.address_burst, clock),
            settings.address_requests_at_once,
            Limit.ADDRESS_REQUESTS,
            Limit.ADDRESS_AT_ONCE,
        )
        self._at_once = AtOnce()
        self._right: OrderedDict[int, None] = OrderedDict()  # hashes of what was shown lately

    def visit(self) -> Visit:
        """One request or call, from its arrival to its end."""
        return Visit(self)

    # --- for visits ------------------------------------------------------------------------------

    def take(self, who: str, *, known: bool) -> None:
        """Raises `TooMany`."""
        share = self._known if known else self._strangers
        if wait := share.rate.take(who):
            raise self._refused(share.too_often, f"{share.whose} may not ask so often", wait)

    def give_back(self, place: str) -> None:
        """Whoever came from there is known."""
        self._strangers.rate.give_back(place)

    def enter(self, who: str, *, known: bool) -> None:
        """Raises `TooMany`."""
        share = self._known if known else self._strangers
        if not self._at_once.enter(who, share.at_once):
            much = f"{share.whose} may not have more than {share.at_once} requests under way"
            raise self._refused(share.too_many, much, 1)

    def leave(self, who: str) -> None:
        """It is over."""
        self._at_once.leave(who)

    def was_right(self, shown: str) -> bool:
        """Whether somebody was known by this lately."""
        return bool(shown) and hash(shown) in self._right

    def is_right(self, shown: str) -> None:
        """Somebody is known by this."""
        self._right[hash(shown)] = None
        self._right.move_to_end(hash(shown))
        if len(self._right) > HELD:
            self._right.popitem(last=False)

    def is_wrong(self, shown: str) -> None:
        """Nobody is known by this any more."""
        self._right.pop(hash(shown), None)

    def _refused(self, limit: Limit, message: str, seconds: float) -> TooMany:
        self._telemetry.count(LIMITS_REFUSED, 1, {"limit": limit.value})
        return TooMany(message, fix="ask again later, and more slowly", seconds=seconds)


class Visit:
    """A request or a call: first it comes, then it is known whose it is."""

    __slots__ = ("_place", "_taken", "_use", "_who", "_whose", "shown")

    def __init__(self, use: FairUse) -> None:
        self._use = use
        self.shown = ""  # what says who asks; empty: nothing
        self._place = ""
        self._taken = False  # one of the address
        self._whose = False  # it is known whose it is, if anybody's
        self._who = ""  # who has one more under way; empty: nobody

    def come(self, host: str, shown: str) -> None:
        """From an address, with something that says who asks, or nothing. Raises `TooMany`."""
        self._place, self.shown = place_of(host), shown
        if not self._use.was_right(shown):
            self._use.take(self._place, known=False)
            self._taken = True

    def of(self, caller: Caller) -> None:
        """Who it is. Raises `TooMany`. The operator of the machine has no limits: where that is
        trusted, nobody else is to be there."""
        known = caller is not NOBODY
        if known and self._taken:
            self._use.give_back(self._place)
        if known and self.shown:
            self._whose = True
            self._use.is_right(self.shown)
        if caller is OPERATOR:
            return
        who = str(caller) if known else self._place
        if known or not self._taken:
            self._use.take(who, known=known)
        self._use.enter(who, known=known)
        self._who = who

    def end(self) -> None:
        """It is over."""
        if self._who:
            self._use.leave(self._who)
            self._who = ""
        if self.shown and not self._whose:
            self._use.is_wrong(self.shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
