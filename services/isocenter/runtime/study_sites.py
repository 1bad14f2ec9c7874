"""The sites that studies came from (`core.sites`), as one process remembers them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from hashlib import sha256

from isocenter.core.apis import Storage
from isocenter.core.sites import site_key, site_of, sites_prefix
from isocenter.runtime.streams import generator

_HELD = 20_000  # studies
_FRESH_SECONDS = 60.0

_NOTHING = sha256(b"").hexdigest()


class StudySites:
    """Looked up once in a while, and told of what is new."""

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], tuple[float, frozenset[str]]] = OrderedDict()

    async def note(self, partition: str, study: str, site: str) -> None:
        """Something of a study came from a site: durable on return. Raises `Unavailable`."""
        held = self._held.get((partition, study))
        if held is not None and site in held[1]:
            return
        await self._storage.put(site_key(partition, study, site), [b""], _NOTHING)
        self._keep(partition, study, (held[1] if held else frozenset()) | {site})

    async def of(self, partition: str, study: str, site: str = "") -> frozenset[str]:
        """All sites of a study; `site`: one that is among them."""
        held = self._held.get((partition, study))
        told = frozenset({site} if site else ())
        if held is not None and self._clock() < held[0] and told <= held[1]:
            return held[1]
        return self._keep(partition, study, told | await self.now(partition, study))

    async def now(self, partition: str, study: str) -> frozenset[str]:
        """All sites of a study, looked up."""
        found = self._storage.list(sites_prefix(partition, study))
        async with aclosing(generator(found)) as infos:
            return frozenset([name async for info in infos if (name := site_of(info.key))])

    def _keep(self, partition: str, study: str, sites: frozenset[str]) -> frozenset[str]:
        self._held[partition, study] = self._clock() + _FRESH_SECONDS, sites
        self._held.move_to_end((partition, study))
        if len(self._held) > _HELD:
            self._held.popitem(last=False)
        return sites
