"""Attempts to sign in that failed, counted by account and by address, so that nobody guesses.

They are counted in the object store, since whoever guesses asks every process in turn. Somebody
who guesses from one address shuts out nobody who comes from another, unless they go on for long.
An attempt counts before it is looked at, and no more once it was right: of many at the same moment
no more are looked at than of as many in a row.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from isocenter.core.apis import Storage
from isocenter.core.errors import NotFound, TooMany
from isocenter.core.identity import ACCESS
from isocenter.runtime.addresses import place_of
from isocenter.runtime.instruments import LIMITS_REFUSED
from isocenter.runtime.limits import Limit
from isocenter.runtime.streams import generator
from isocenter.runtime.telemetry import OFF, Telemetry

ATTEMPTS = f"{ACCESS}attempts/"
WINDOW = timedelta(minutes=15)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many attempts may fail within the window before all are refused for its rest."""

    pair: int = 5  # for an account, from one address
    account: int = 50  # from anywhere
    address: int = 100  # for whatever accounts


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that is looked at."""

    pair: str  # where those for the account from this address are
    keys: tuple[str, ...]


class Attempts:
    """The attempts that failed lately."""

    def __init__(
        self, storage: Storage, telemetry: Telemetry = OFF, bounds: Bounds = Bounds()
    ) -> None:
        self._storage = storage
        self._telemetry = telemetry
        self._bounds = bounds

    async def begin(self, account: str, address: str) -> Attempt:
        """One more, which counts as failed. Raises `TooMany`: then it is not looked at, right or
        wrong, and does not count."""
        now = datetime.now(UTC)
        name = f"{_moment(now)}-{secrets.token_hex(4)}"
        folders = self._folders(account, place_of(address))
        begun: list[str] = []
        for folder, most in folders:
            key = f"{folder}{name}"
            await self._storage.put(key, [b""], sha256(b"").hexdigest())
            begun.append(key)
            if len(await self._lately(folder, now)) > most:
                await self._forget(begun)
                self._telemetry.count(LIMITS_REFUSED, 1, {"limit": Limit.ATTEMPTS.value})
                seconds = WINDOW.total_seconds()
                fix = f"try again in {seconds / 60:.0f} minutes"
                raise TooMany("too many attempts failed", fix=fix, seconds=seconds)
        return Attempt(folders[0][0], tuple(begun))

    async def succeeded(self, attempt: Attempt) -> None:
        """It does not count any more, nor do those for the account from this address."""
        await self._forget({*await self._all(attempt.pair), *attempt.keys})

    def _folders(self, account: str, place: str) -> Sequence[tuple[str, int]]:
        """Where they are counted, and how many there may be; names say nothing of people. What
        comes from one address is bounded before it counts for everybody."""
        bounds = self._bounds
        return (
            (_folder("pair", f"{account}\n{place}"), bounds.pair),
            (_folder("address", place), bounds.address),
            (_folder("account", account), bounds.account),
        )

    async def _lately(self, folder: str, now: datetime) -> list[str]:
        """Those within the window; older ones are removed."""
        since = f"{folder}{_moment(now - WINDOW)}"
        keys = await self._all(folder)
        await self._forget(key for key in keys if key < since)
        return [key for key in keys if key >= since]

    async def _all(self, folder: str) -> list[str]:
        async with aclosing(generator(self._storage.list(folder))) as infos:
            return [info.key async for info in infos]

    async def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            with suppress(NotFound):
                await self._storage.remove(key)


def _moment(at: datetime) -> str:
    return f"{(at - _EPOCH) // _MICROSECOND:016x}"


def _folder(kind: str, what: str) -> str:
    return f"{ATTEMPTS}{kind}-{sha256(what.encode()).hexdigest()[:32]}/"
