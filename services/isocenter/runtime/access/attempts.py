"""Attempts to sign in that failed, counted by account and by address, so that nobody guesses.

They are counted in the object store, since whoever guesses asks every process in turn. Somebody
who guesses from one address shuts out nobody who comes from another, unless they go on for long.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from isocenter.core.apis import Storage
from isocenter.core.errors import NotFound
from isocenter.core.identity import ACCESS
from isocenter.runtime.streams import generator

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


class Attempts:
    """The attempts that failed lately."""

    def __init__(self, storage: Storage, bounds: Bounds = Bounds()) -> None:
        self._storage = storage
        self._bounds = bounds

    async def are_too_many(self, account: str, address: str) -> bool:
        """Whether one more is not looked at, right or wrong."""
        now = datetime.now(UTC)
        for folder, most in self._folders(account, address).items():
            if len(await self._lately(folder, now)) >= most:
                return True
        return False

    async def failed(self, account: str, address: str) -> None:
        """One more failed."""
        moment = f"{(datetime.now(UTC) - _EPOCH) // _MICROSECOND:016x}-{secrets.token_hex(4)}"
        for folder in self._folders(account, address):
            await self._storage.put(f"{folder}{moment}", [b""], sha256(b"").hexdigest())

    async def succeeded(self, account: str, address: str) -> None:
        """Those for the account from this address do not count any more."""
        pair = next(iter(self._folders(account, address)))
        for key in await self._all(pair):
            await self._remove(key)

    def _folders(self, account: str, address: str) -> Mapping[str, int]:
        """Where they are counted, and how many there may be; names say nothing of people."""
        bounds = self._bounds
        return {
            _folder("pair", f"{account}\n{address}"): bounds.pair,
            _folder("account", account): bounds.account,
            _folder("address", address): bounds.address,
        }

    async def _lately(self, folder: str, now: datetime) -> list[str]:
        """Those within the window; older ones are removed."""
        since = f"{folder}{(now - WINDOW - _EPOCH) // _MICROSECOND:016x}"
        keys = await self._all(folder)
        for key in keys:
            if key < since:
                await self._remove(key)
        return [key for key in keys if key >= since]

    async def _all(self, folder: str) -> list[str]:
        async with aclosing(generator(self._storage.list(folder))) as infos:
            return [info.key async for info in infos]

    async def _remove(self, key: str) -> None:
        with suppress(NotFound):
            await self._storage.remove(key)


def _folder(kind: str, what: str) -> str:
    return f"{ATTEMPTS}{kind}-{sha256(what.encode()).hexdigest()[:32]}/"
