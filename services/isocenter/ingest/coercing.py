"""What is corrected in an object as it comes in: an overlay beside it, durable before it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime

from isocenter.core.apis import Announcement, Storage
from isocenter.core.coercion import Coercions, Evaluated, evaluate
from isocenter.core.identity import ObjectName, OverlayName, objects_prefix
from isocenter.core.matching import JsonAttributes
from isocenter.core.overlays import Overlay, microseconds
from isocenter.ingest.intake import INLINE_WORK, Taken
from isocenter.runtime.aes import KnownAE
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

_SYSTEM = "ISOCENTER"


class Coercer:
    """Applies the rules of sources."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def overlay(
        self,
        taken: Taken,
        announcement: Announcement,
        ae: KnownAE | None,
        received_at: datetime,
        check: Callable[[JsonAttributes], None],
    ) -> Overlay | None:
        """The corrections of an object of an AE, durable on return; None if there are none.
        `check` is told before what becomes another, if the AE has rules."""
        if ae is None or ae.coercing is None:
            return None
        evaluated = await _evaluated(taken, announcement.transfer_syntax, ae.coercing)
        if evaluated.unfit:
            tags = [f"{tag:08X}" for tag in evaluated.unfit]
            logger.warning("values as coerced do not fit", extra={"ae": ae.title, "tags": tags})
        check(evaluated.attributes)
        if not evaluated.attributes:
            return None
        system = announcement.source.called_ae_title or _SYSTEM
        overlay = Overlay(evaluated.attributes, taken.header.length, ae.title, system)
        return await self._kept(overlay, ObjectName(taken.name, taken.digest), received_at)

    async def _kept(self, overlay: Overlay, name: ObjectName, at: datetime) -> Overlay:
        """The same as the last one of an object that is kept is no other one. Of an object that is
        not, it is: what is left of one that was deleted goes when that is destroyed."""
        is_kept, last = await self._there(name)
        made = max(microseconds(at), last.made + 1 if last else 0)
        new = overlay.kept(name, made)
        if last and is_kept and new.digest == last.digest:
            return overlay.kept(name, last.made)
        await self._storage.put(new.key, [new.content], new.digest)
        return new

    async def _there(self, name: ObjectName) -> tuple[bool, OverlayName | None]:
        """Whether an object is kept, and its last overlay."""
        of = name.name
        prefix = objects_prefix(of.partition, of.study, of.series, of.instance)
        is_kept, last = False, None
        async with aclosing(generator(self._storage.list(prefix))) as infos:
            async for info in infos:
                is_kept = is_kept or info.key == name.key
                found = OverlayName.from_key(info.key)
                if found is not None and found.object == name:
                    last = found
        return is_kept, last


async def _evaluated(taken: Taken, transfer_syntax: str, coercions: Coercions) -> Evaluated:
    header = taken.header_bytes
    if len(header) > INLINE_WORK:
        return await asyncio.to_thread(evaluate, header, transfer_syntax, coercions)
    return evaluate(header, transfer_syntax, coercions)
