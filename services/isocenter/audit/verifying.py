"""Proves that nothing was added to the trail, changed, reordered or removed, or finds where.

`isocenter.audit.standalone` does the same without a line of this project.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from isocenter.audit.chain import BEGINNING
from isocenter.audit.diagnosis import diagnosis
from isocenter.audit.keys import key_files, key_of
from isocenter.audit.seals import CHAINS, KEYS, NOTHING, Key, Seal, Signed
from isocenter.audit.segments import Sealed, Segments, links_of, unpacked
from isocenter.core.audit_api import Finding, Head, PublicKey, Verification
from isocenter.core.errors import Corrupted, NotFound
from isocenter.runtime.streams import generator

_AHEAD = 2  # segments that are read while one is checked


@dataclass(slots=True)
class _Report:
    """What was found so far."""

    total: int
    records: int = 0
    segments: int = 0
    chains: list[str] = field(default_factory=list)
    expired: int = 0
    since: str = ""
    until: str = ""
    keys: list[Key] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def found(self, what: str, seal: Seal | None = None) -> None:
        """Add a finding."""
        if seal is None:
            self.findings.append(Finding(what))
        else:
            place = (seal.chain, seal.first, seal.last, seal.since, seal.until)
            self.findings.append(Finding(what, *place))

    def told(self, *, done: bool) -> Verification:
        """What others hear."""
        return Verification(
            records=self.records,
            total=self.total,
            segments=self.segments,
            chains=tuple(self.chains),
            expired=self.expired,
            since=self.since,
            until=self.until,
            keys=tuple(public_key(key) for key in self.keys),
            findings=tuple(self.findings),
            done=done,
        )


def public_key(key: Key) -> PublicKey:
    """A key as others are told of it."""
    return PublicKey(key.number, key.id, key.since, key.introduced_by)


async def verify(
    segments: Segments, *, trust: Sequence[str] = (), heads: Iterable[Head] = ()
) -> AsyncIterator[Verification]:
    """Verify everything; the last answer is the result.

    `trust`: fingerprints of keys that are known from elsewhere (their first 16 digits suffice);
    without them the first key is believed. `heads`: what was published of the chains.
    """
    held = await segments.chains()
    report = _Report(sum([await _length(segments, chain) for chain in held]))
    keys = await _keys(segments, trust, report)
    published: dict[str, list[Head]] = {}
    for head in heads:
        published.setdefault(head.chain, []).append(head)
    for chain in held:
        report.chains.append(chain)
        async for _ in _Chain(segments, chain, keys, report, published.pop(chain, [])).verify():
            yield report.told(done=False)
    for chain, missing in published.items():
        for head in missing:
            report.found(_cut_off(chain, head))
    yield report.told(done=True)


async def _length(segments: Segments, chain: str) -> int:
    """How many records are sealed; 0 where that cannot be told: it becomes a finding."""
    try:
        end = await segments.last(chain)
    except Corrupted:
        return 0
    return end.seal.last if end else 0


async def _keys(segments: Segments, trust: Sequence[str], report: _Report) -> Mapping[str, str]:
    """Public keys that count, by their ids."""
    held: list[tuple[Key, Signed]] = []
    files = await key_files(segments.blobs)
    for name, file in files:
        try:
            held.append(key_of(name, file))
        except Corrupted as error:
            report.found(str(error))
    report.keys += [key for key, _ in held]
    known, others = vouched(held, trust)
    for key in others:
        report.found(f"key {key.number} ({key.id[:16]}) was not introduced by an earlier key")
    if not files and (trust or await segments.chains()):
        report.found(f"there is no key below {KEYS}")
    return known


def vouched(
    held: Iterable[tuple[Key, Signed]], trust: Sequence[str]
) -> tuple[Mapping[str, str], Sequence[Key]]:
    """The public keys that count, by their ids: those that are trusted (without any: the first
    one), and those that one of these introduced. And the keys that do not count."""
    known: dict[str, str] = {}
    others: list[Key] = []
    for key, signed in held:
        trusted = any(len(one) >= 16 and key.id.startswith(one.lower()) for one in trust)
        first = key.number == 1 and not trust
        vouching = [known.get(key.introduced_by), key.public if trusted or first else None]
        if any(one is not None and signed.is_by(one) for one in vouching):
            known[key.id] = key.public
        else:
            others.append(key)
    return known, others


class _Chain:
    """Verifies one chain."""

    def __init__(
        self,
        segments: Segments,
        chain: str,
        keys: Mapping[str, str],
        report: _Report,
        heads: Sequence[Head],
    ) -> None:
        self._segments = segments
        self._chain = chain
        self._keys = keys
        self._report = report
        self._heads = {(head.last, head.head, head.seal): head for head in heads}
        self._next, self._head, self._seal = 1, BEGINNING, NOTHING

    async def verify(self) -> AsyncIterator[None]:
        """Yields after each segment."""
        pending: list[tuple[Seal, asyncio.Task[bytes | None]]] = []
        async with aclosing(generator(self._seals())) as seals:
            async for sealed in seals:
                self._follow(sealed)
                reading = asyncio.create_task(self._content(sealed))
                pending.append((sealed.seal, reading))
                if len(pending) > _AHEAD:
                    await self._check(*pending.pop(0))
                    yield
        for seal, reading in pending:
            await self._check(seal, reading)
            yield
        for head in self._heads.values():
            self._report.found(_cut_off(self._chain, head))

    async def _seals(self) -> AsyncIterator[Sealed]:
        """All that can be read; what cannot is a finding."""
        prefix = f"{CHAINS}{self._chain}/"
        async with aclosing(generator(self._segments.blobs.list(prefix))) as infos:
            async for info in infos:
                if not info.key.endswith("/seal"):
                    continue
                try:
                    yield await self._segments.read_seal(info.key)
                except Corrupted as error:
                    self._report.found(str(error))

    def _follow(self, sealed: Sealed) -> None:
        seal, report = sealed.seal, self._report
        public = self._keys.get(seal.key)
        if public is None or not sealed.signed.is_by(public):
            whose = "a key that nobody vouches for" if public is None else "another key"
            report.found(f"the seal is signed by {whose} ({seal.key[:16]})", seal)
        if seal.first > self._next:
            missing = f"the segments of the records {self._next} to {seal.first - 1} are missing"
            report.found(missing, seal)
        elif seal.first < self._next:
            report.found("the segment overlaps with the one before it", seal)
        elif seal.previous != self._head or seal.previous_seal != self._seal:
            report.found("the segment does not follow the one before it", seal)
        self._next, self._head, self._seal = seal.last + 1, seal.head, sealed.digest
        self._heads.pop((seal.last, seal.head, sealed.digest), None)

    async def _content(self, sealed: Sealed) -> bytes | None:
        """The file of the lines; None if there is none, and that is as it should be."""
        try:
            return await self._segments.blobs.get(sealed.seal.lines_key)
        except NotFound:
            pass
        try:
            expiry = await self._segments.expiry(sealed.seal)
        except Corrupted as error:
            self._report.found(str(error), sealed.seal)
            return None
        if expiry is None:
            self._report.found("the records are missing", sealed.seal)
        elif not self._is_expiry(sealed, expiry[1], expiry[0].seal, expiry[0].key):
            self._report.found("the records are missing, and what says why is forged", sealed.seal)
        else:
            self._report.expired += sealed.seal.count
        return None

    def _is_expiry(self, sealed: Sealed, signed: Signed, seal: str, key: str) -> bool:
        public = self._keys.get(key)
        return seal == sealed.digest and public is not None and signed.is_by(public)

    async def _check(self, seal: Seal, reading: asyncio.Task[bytes | None]) -> None:
        content = await reading
        report = self._report
        report.segments += 1
        report.since = min(filter(None, (report.since, seal.since)))
        report.until = max(report.until, seal.until)
        if content is None:
            return
        if problem := await asyncio.to_thread(_problem, seal, content):
            report.found(problem, seal)
        else:
            report.records += seal.count


def _problem(seal: Seal, content: bytes) -> str:
    """What is wrong with the file of the lines; empty if nothing is."""
    try:
        links_of(seal, content)
    except Corrupted as error:
        try:
            return diagnosis(seal, unpacked(seal, content))
        except Corrupted:
            return error.message
    return ""


def _cut_off(chain: str, head: Head) -> str:
    return (
        f"records of {chain} up to {head.last} were published at {head.at}, but the trail has not"
        " these"
    )
