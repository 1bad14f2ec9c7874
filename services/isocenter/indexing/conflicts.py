"""Which version of an instance is the current one: the decision objects of `core.identity`.

A decision is a small JSON object `{"current": digest, "other": digest, "policy": ...}` under
`conflicts/{name}/{n}.{current}`. It is taken once for every digest that arrives under the name
of another; the decisions alone, not the index, tell what has been decided.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass

from isocenter.core.apis import Storage
from isocenter.core.events import ConflictPolicy
from isocenter.core.identity import InstanceName, conflicts_prefix

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What has been decided about one name."""

    last: int = 0  # the highest `n`
    current: str = ""  # digest; empty: nothing was decided
    considered: frozenset[str] = frozenset()

    def current_of(self, digests: Collection[str], otherwise: str) -> str:
        """The digest to answer with among those that are kept."""
        return self.current if self.current in digests else otherwise


async def read_decisions(storage: Storage, name: InstanceName) -> Decisions:
    """All decisions about a name. Of a damaged one, what its key says still counts."""
    last, current, considered = 0, "", set()
    async for info in storage.list(conflicts_prefix(name)):
        number, _, digest = info.key.rsplit("/", 1)[-1].partition(".")
        if not number.isdecimal():
            continue
        considered.add(digest)
        if int(number) > last:
            last, current = int(number), digest
        text = b"".join([chunk async for chunk in storage.read(info.key)])
        try:
            considered.add(json.loads(text)["other"])
        except (ValueError, KeyError, TypeError) as error:
            logger.warning(
                "a conflict decision is damaged", extra={"key": info.key, "error": str(error)}
            )
    return Decisions(last, current, frozenset(considered))


async def decide(
    storage: Storage,
    name: InstanceName,
    before: Decisions,
    kept: str,
    arrived: str,
    policy: ConflictPolicy,
) -> Decisions:
    """Decide between the current version and the one that arrived, durable on return; what is
    decided now. What `reject` could not refuse in time is kept beside the first."""
    latest = policy is ConflictPolicy.KEEP_LATEST
    current, other = (arrived, kept) if latest else (kept, arrived)
    decision = {"current": current, "other": other, "policy": policy.value}
    blob = json.dumps(decision, sort_keys=True).encode()
    key = f"{conflicts_prefix(name)}{before.last + 1}.{current}"
    await storage.put(key, [blob], hashlib.sha256(blob).hexdigest())
    return Decisions(before.last + 1, current, before.considered | {arrived, kept})
