"""Puts records into their chains, into the index, and into sealed segments.

A chain belongs to a partition of a topic, in the order of which its records stand. It is open in
the memory of the partition's owner from the last seal on; the log gives everything behind that
again, so that a process that was killed leaves nothing undone, and the same records get the same
places. A record that was delivered twice is one record: the index knows where it stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from isocenter.audit.chain import BEGINNING, digest_of, line_of, record_of, root_of
from isocenter.audit.keys import KeyFolder, PrivateKey, signing_key
from isocenter.audit.seals import NOTHING, Seal, Signed
from isocenter.audit.segments import Sealed, Segments, packed
from isocenter.core.audit import AuditIndex, Entry, Place
from isocenter.core.errors import Code, Corrupted, IsocenterError, NotFound
from isocenter.core.events import AuditEvent
from isocenter.runtime.audit_bounds import bounded
from isocenter.runtime.audit_records import decoded, encoded, time_text
from isocenter.runtime.streams import generator

_EARLIER = "earlier-0"
_ADOPTED = "audit/earlier/adopted"
_REBUILT = "audit/rebuilt"
_ADOPTED_AT_ONCE = 10_000  # records
_BESIDE = timedelta(days=1)  # that two versions run beside each other at most
_USUAL = 2000  # bytes of a record; a longer one may have texts that are cut off
_REFILL = 1000  # records that are given to the index at once

# What an index has against a record itself; anything else passes.
_OWN = frozenset({Code.INVALID, Code.UNPROCESSABLE, Code.UNSUPPORTED, Code.REFUSED})

Told = Callable[[str], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the index does not take."""

    event: AuditEvent
    why: str


@dataclass(frozen=True, slots=True)
class Filled:
    """A segment whose records were given to the index."""

    seal: Seal
    records: int  # 0 where it expired
    problem: str = ""


@dataclass(slots=True)
class _Open:
    """A chain from its last seal on."""

    chain: str
    sealed: Sealed | None
    head: str
    sequence: int  # of the last record
    lines: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    @classmethod
    def behind(cls, chain: str, sealed: Sealed | None) -> _Open:
        if sealed is None:
            return cls(chain, None, BEGINNING, 0)
        return cls(chain, sealed, sealed.seal.head, sealed.seal.last)

    @property
    def first(self) -> int:
        """The number of the first record that is not sealed."""
        return self.sequence - len(self.lines) + 1

    def add(self, event: AuditEvent) -> Entry:
        text = encoded(event)
        if len(text) > _USUAL:
            event = bounded(event)
            text = encoded(event)
        self.sequence += 1
        line = line_of(self.head, self.sequence, text)
        leaf = digest_of(line)
        self.head = leaf.hex()
        self.lines.append(line)
        self.leaves.append(leaf)
        self.times.append(time_text(event.at))
        self.ids.add(event.id)
        return Entry(event, Place(self.chain, self.sequence))

    def segment(self, key: PrivateKey) -> tuple[Seal, bytes]:
        """What is open as a segment. Blocks: it compresses."""
        content = packed(self.lines)
        seal = Seal(
            chain=self.chain,
            first=self.first,
            last=self.sequence,
            previous=self.sealed.seal.head if self.sealed else BEGINNING,
            head=self.head,
            root=root_of(self.leaves).hex(),
            since=min(self.times),
            until=max(self.times),
            sealed_at=time_text(datetime.now(UTC)),
            previous_seal=self.sealed.digest if self.sealed else NOTHING,
            records=sha256(content).hexdigest(),
            size=len(content),
            key=key.id,
        )
        return seal, content


class Trail:
    """The chains that this process owns. Nothing here is called twice at the same time."""

    def __init__(self, *, segments: Segments, keys: KeyFolder, index: AuditIndex) -> None:
        self._segments = segments
        self._keys = keys
        self._index = index
        self._open: dict[str, _Open] = {}

    @property
    def waiting(self) -> int:
        """How many records are not sealed yet."""
        return sum(len(chain.lines) for chain in self._open.values())

    def forget(self, chain: str = "") -> None:
        """Drop what is open of a chain, or of all: somebody else has it, or it is read anew."""
        for name in [chain] if chain else list(self._open):
            self._open.pop(name, None)

    async def keep(self, records: Sequence[tuple[str, AuditEvent]]) -> Sequence[Refusal]:
        """Put records, each with the chain it belongs to, into the chains and the index. Answers
        with those that the index refuses: they are in the chains all the same.

        Raises what the index and the object store raise while they are down; then the chains are
        to be forgotten.
        """
        places = await self._index.places([event.id for _, event in records])
        entries = []
        for name, event in records:
            chain = self._open.get(name) or await self._begin(name)
            if not _is_there(chain, event.id, places):
                entries.append(chain.add(event))
        return await self._to_index(entries)

    async def _to_index(self, entries: Sequence[Entry]) -> Sequence[Refusal]:
        """All at once; if they are refused, one by one to find those that are."""
        if not entries:
            return ()
        try:
            await self._index.append(entries)
        except IsocenterError as error:
            if error.code not in _OWN:
                raise
            if len(entries) == 1:
                return [Refusal(entries[0].event, str(error))]
            return [refused for one in entries for refused in await self._to_index([one])]
        return ()

    async def _begin(self, name: str) -> _Open:
        chain = _Open.behind(name, await self._segments.last(name))
        self._open[name] = chain
        return chain

    async def seal(self) -> Sequence[Sealed]:
        """Seal what is open; durable on return. Raises `Conflict` if another process has done so:
        then the chains are to be forgotten."""
        made = []
        chains = [chain for chain in self._open.values() if chain.lines]
        if not chains:
            return ()
        key = await signing_key(self._keys, self._segments.blobs)
        for chain in chains:
            seal, content = await asyncio.to_thread(chain.segment, key)
            signed = Signed.by(key.private, seal)
            await self._segments.write(seal, signed, content)
            sealed = Sealed(seal, signed)
            self._open[chain.chain] = _Open.behind(chain.chain, sealed)
            made.append(sealed)
        return made

    async def adopt(self, now: datetime, told: Told) -> None:
        """Bring the records of the version before, which knew no chains, into one of their own.

        While that version may still run beside this one, it is done again at each start.
        """
        try:
            await self._segments.blobs.stat(_ADOPTED)
        except NotFound:
            pass
        else:
            return
        newest, count = None, 0
        async with aclosing(generator(self._index.earlier())) as batches:
            async for events in batches:
                await self.keep([(_EARLIER, event) for event in events])
                newest, count = events[-1].at, count + len(events)
                if self.waiting >= _ADOPTED_AT_ONCE:
                    await self.seal()
                told(f"{count:,} records of the version before")
        await self.seal()
        if newest is None or newest < now - _BESIDE:
            await self._segments.put(_ADOPTED, time_text(now).encode())

    async def refill(self, told: Told) -> None:
        """Give the index what is sealed and it does not have. `told` hears how far it is."""
        if unfinished := await self._is_rebuilt():
            told("it was being filled anew when that was broken off")
        reach = {} if unfinished else await self._index.reach()
        for chain in await self._segments.chains():
            last = await self._segments.last(chain)
            if last is not None and reach.get(chain, 0) < last.seal.last:
                await self._refill(chain, reach.get(chain, 0), last.seal.last, told)
        if unfinished:
            await self._segments.blobs.delete(_REBUILT)

    async def _is_rebuilt(self) -> bool:
        """Whether the index is being filled anew, or was when that was broken off."""
        try:
            await self._segments.blobs.stat(_REBUILT)
        except NotFound:
            return False
        return True

    async def _refill(self, chain: str, held: int, last: int, told: Told) -> None:
        async with aclosing(generator(self._segments.of(chain, held + 1))) as seals:
            async for sealed in seals:
                try:
                    await self._fill(sealed.seal)
                except (Corrupted, NotFound) as error:
                    # What follows it is worth finding; `isocenter audit verify` tells of it.
                    logger.error(
                        "a segment of the audit trail cannot be found by searches any more",
                        extra={"segment": sealed.seal.folder, "error": str(error)},
                    )
                told(f"{sealed.seal.last:,} of {last:,} records of {chain}")

    async def rebuild(self) -> AsyncGenerator[Filled, None]:
        """Give the index everything that is sealed, in place of all that it holds of that, a
        segment at a time; tells of each. What is broken off, the next `refill` does."""
        await self._segments.put(_REBUILT, b"the index is being filled anew")
        for chain in await self._segments.chains():
            async with aclosing(generator(self._segments.of(chain))) as seals:
                async for sealed in seals:
                    try:
                        yield Filled(sealed.seal, await self._fill(sealed.seal, anew=True))
                    except (Corrupted, NotFound) as error:
                        yield Filled(sealed.seal, 0, str(error))
        await self._segments.blobs.delete(_REBUILT)

    async def _fill(self, seal: Seal, *, anew: bool = False) -> int:
        """Give the index the records of a segment that has not expired; how many. `anew`: in place
        of what it holds in its places."""
        expired = await self._segments.expiry(seal) is not None
        links = None if expired else await self._segments.lines(seal)
        if anew:
            await self._index.expire(seal.chain, seal.last, seal.first)
        if links is None:
            return 0
        for start in range(0, len(links.lines), _REFILL):
            lines = links.lines[start : start + _REFILL]
            entries = [
                Entry(decoded(record_of(line)), Place(seal.chain, seal.first + start + at))
                for at, line in enumerate(lines)
            ]
            await self._index.append(entries)
        return seal.count


def _is_there(chain: _Open, record: str, places: Mapping[str, Place]) -> bool:
    """Whether a record that was delivered stands in a chain already."""
    if record in chain.ids:
        return True
    place = places.get(record)
    # Behind the last seal of its own chain the index may know what has no place any more.
    sealed = chain.sealed.seal.last if chain.sealed else 0
    return place is not None and (place.chain != chain.chain or place.sequence <= sealed)
