"""Versions of instances that have just been seen in the object store.

A viewer asks for the frames of a series one after the other, and each time it must be known which
version of an instance is the current one. What a listing has told a moment ago is good enough for
that: objects never change, and a version that came since then is not decided upon any sooner. What
was not seen is always looked for.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from isocenter.core.identity import ObjectName, objects_prefix
from isocenter.core.ports import BlobInfo, BlobStore

GOOD_SECONDS = 1.0
_SERIES = 64  # held at once
_PAGE = 1000  # instances of a series that are listed ahead: one answer of an object store

Series = tuple[str, str, str]  # partition, study, series
Version = tuple[ObjectName, BlobInfo]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A listing of a series, or (nothing yet) that one of its instances was asked for."""

    at: float
    versions: Mapping[str, Sequence[Version]]


class Recent:
    """Listings of series, for a moment."""

    def __init__(self, blobs: BlobStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._blobs = blobs
        self._clock = clock
        self._seen: OrderedDict[Series, _Seen] = OrderedDict()

    async def versions(self, series: Series, instance: str) -> Sequence[Version]:
        """All versions of an instance. The second one of a series that is asked for within a
        moment has the whole series listed, for those that will follow."""
        seen = self._seen.get(series)
        fresh = seen is not None and self._clock() - seen.at <= GOOD_SECONDS
        if seen is not None and fresh and instance in seen.versions:
            return seen.versions[instance]
        ahead: Mapping[str, Sequence[Version]] = {}
        if fresh and seen is not None and not seen.versions:
            ahead = await self._listed(series)
        self._remember(series, ahead)
        if instance in ahead:
            return ahead[instance]
        return [found async for found in _versions(self._blobs, objects_prefix(*series, instance))]

    async def _listed(self, series: Series) -> Mapping[str, Sequence[Version]]:
        found: dict[str, list[Version]] = {}
        async with aclosing(_versions(self._blobs, objects_prefix(*series))) as versions:  # type: ignore[type-var]  # a generator
            async for name, info in versions:
                uid = name.name.instance
                if uid not in found and len(found) == _PAGE:
                    break
                found.setdefault(uid, []).append((name, info))
        return found

    def _remember(self, series: Series, versions: Mapping[str, Sequence[Version]]) -> None:
        self._seen[series] = _Seen(self._clock(), versions)
        self._seen.move_to_end(series)
        while len(self._seen) > _SERIES:
            self._seen.popitem(last=False)


async def _versions(blobs: BlobStore, prefix: str) -> AsyncIterator[Version]:
    async for info in blobs.list(prefix):
        name = ObjectName.from_key(info.key)
        if name is not None:
            yield name, info
