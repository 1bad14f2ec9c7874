"""What may be used once: codes of a second factor, one-time links, answers of an identity provider.

Whoever uses one leaves a claim in the object store and then looks whether there is another. Of two
at the same moment neither gets it, rather than both.
"""

from __future__ import annotations

import secrets
from contextlib import aclosing, suppress
from hashlib import sha256

from isocenter.core.apis import Storage
from isocenter.core.errors import NotFound
from isocenter.core.identity import ACCESS
from isocenter.runtime.streams import generator

CLAIMS = f"{ACCESS}claims/"


class Once:
    """The claims of an installation."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def claim(self, name: str, step: int = 0) -> bool:
        """Whether nobody claimed this step of a name before, nor a later one."""
        folder = f"{CLAIMS}{sha256(name.encode()).hexdigest()[:32]}/"
        mine = f"{folder}{step:016x}-{secrets.token_hex(8)}"
        await self._storage.put(mine, [b""], sha256(b"").hexdigest())
        async with aclosing(generator(self._storage.list(folder))) as infos:
            others = [info.key async for info in infos if info.key != mine]
        for key in others:
            if key < f"{folder}{step:016x}":
                with suppress(NotFound):
                    await self._storage.remove(key)
        return not any(key >= f"{folder}{step:016x}" for key in others)
