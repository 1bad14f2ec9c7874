"""Removes what is older than the retention wants it, a sealed segment at a time.

The seal stays, with its root, and a signed file beside it says that the lines were removed and why;
so does a record in the trail. While there is a legal hold nothing is removed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from isocenter.audit.keys import KeyFolder, signing_key
from isocenter.audit.notes import HOLDS, Notes
from isocenter.audit.seals import CHAINS, Expiry, Signed
from isocenter.audit.segments import Sealed, Segments
from isocenter.core.audit import AuditIndex
from isocenter.core.events import TOPIC_AUDIT, AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.runtime.audit_records import time_text
from isocenter.runtime.event_codec import encode
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

BY = Source("process", user="retention")


class Retention:
    """Looks from time to time. Several processes may do so at the same time."""

    def __init__(
        self,
        *,
        segments: Segments,
        keys: KeyFolder,
        index: AuditIndex,
        outbox: Outbox,
        keep_days: int,
    ) -> None:
        """`keep_days` 0: for ever."""
        self._segments = segments
        self._keys = keys
        self._index = index
        self._outbox = outbox
        self._keep_days = keep_days
        self._holds = Notes(segments.blobs, HOLDS)
        self._after: dict[str, str] = {}  # the last key of each chain that was looked at

    async def look(self, now: datetime) -> int:
        """Remove what is too old; answers with how many records. Raises what the object store, the
        index and the log raise; what is half done then is done by the next look."""
        if not self._keep_days:
            return 0
        limit = time_text(now - timedelta(days=self._keep_days))
        removed = 0
        for chain in await self._segments.chains():
            async with aclosing(self._older(chain, limit)) as segments:
                async for sealed in segments:
                    if await self._holds.all():
                        return removed
                    await self._expire(sealed)
                    removed += sealed.seal.count
        return removed

    async def _older(self, chain: str, limit: str) -> AsyncGenerator[Sealed, None]:
        """The segments of a chain that are too old and still have their lines, oldest first."""
        prefix = f"{CHAINS}{chain}/"
        after = self._after.get(chain, "")
        async with aclosing(generator(self._segments.blobs.list(prefix, after))) as infos:
            async for info in infos:
                if not info.key.endswith(".jsonl.gz"):
                    continue
                folder = info.key.rpartition("/")[0]
                sealed = await self._segments.read_seal(f"{folder}/seal")
                if sealed.seal.until >= limit:
                    return
                if sealed.seal.lines_key == info.key:
                    yield sealed
                self._after[chain] = info.key

    async def _expire(self, sealed: Sealed) -> None:
        seal = sealed.seal
        reason = f"older than {self._keep_days} days"
        key = await signing_key(self._keys, self._segments.blobs)
        now = datetime.now(UTC)
        expiry = Expiry(
            seal.chain, seal.first, seal.last, sealed.digest, time_text(now), reason, key.id
        )
        record = AuditEvent(
            action=AuditAction.AUDIT,
            outcome=AuditOutcome.SUCCESS,
            source=BY,
            at=now,
            id=f"expired/{seal.chain}/{seal.first}",
            detail=f"records {seal.first} to {seal.last} of {seal.chain} expired: {reason}",
        )
        await self._outbox.append(TOPIC_AUDIT, encode(record))
        await self._segments.say_expired(seal, Signed.by(key.private, expiry))
        await self._index.expire(seal.chain, seal.last)
        await self._segments.blobs.delete(seal.lines_key)
        logger.info(
            "a segment of the audit trail expired",
            extra={"chain": seal.chain, "first": seal.first, "last": seal.last},
        )
