"""Limits of what one caller may have of a process: their settings, and what counts.

Each process counts for itself.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

HELD = 20_000  # callers of whom it is kept how often they came lately

Clock = Callable[[], float]


class Limit(Enum):
    """What somebody had too much of: the label of the metric."""

    REQUESTS = "requests"
    AT_ONCE = "requests-at-once"
    ADDRESS_REQUESTS = "address-requests"
    ADDRESS_AT_ONCE = "address-requests-at-once"
    ADDRESS_CONNECTIONS = "address-connections"
    ATTEMPTS = "attempts"
    ASSOCIATIONS = "associations"


class LimitSettings(BaseModel):
    """What one caller may have of each process that serves HTTP and gRPC; see
    [access](access.md#limits). 0: no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_second: float = Field(
        1000,
        ge=0,
        description="Requests and gRPC calls a second, of one person, program or link.",
    )
    burst: int = Field(
        10_000, ge=1, description="How many of them may come together after a pause."
    )
    requests_at_once: int = Field(
        250, ge=0, description="How many of them may be under way, those that wait included."
    )
    address_requests_per_second: float = Field(
        100,
        ge=0,
        description="Requests and gRPC calls a second, of all callers at one address (of IPv6:"
        " one network of 64 bits) who have not signed in, or show what is not right.",
    )
    address_burst: int = Field(
        1000, ge=1, description="How many of them may come together after a pause."
    )
    address_requests_at_once: int = Field(
        100, ge=0, description="How many of them may be under way."
    )


class Rate:
    """How often each of many may come: the generic cell rate algorithm (ITU-T I.371), which keeps
    one moment of each."""

    def __init__(self, per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        """`per_second` 0: as often as they like."""
        self._interval = 1 / per_second if per_second else 0.0
        self._most = self._interval * (burst + 0.01)  # a little more than rounding may take away
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()  # when all that came is paid off

    def take(self, who: str) -> float:
        """Come once; or the seconds after which that is possible again."""
        if not self._interval:
            return 0.0
        now = self._clock()
        until = max(self._until.get(who, now), now) + self._interval
        if (wait := until - now - self._most) > 0:
            return wait
        self._until[who] = until
        self._until.move_to_end(who)
        if len(self._until) > HELD:
            self._until.popitem(last=False)
        return 0.0

    def give_back(self, who: str) -> None:
        """It did not count."""
        if who in self._until:
            self._until[who] -= self._interval


class AtOnce:
    """How many each of many has now."""

    def __init__(self) -> None:
        self._now: dict[str, int] = {}

    def enter(self, who: str, most: int) -> bool:
        """One more, unless that is too many; `most` 0: any number."""
        now = self._now.get(who, 0)
        if most and now >= most:
            return False
        self._now[who] = now + 1
        return True

    def leave(self, who: str) -> None:
        """One less."""
        now = self._now[who] - 1
        if now:
            self._now[who] = now
        else:
            del self._now[who]
