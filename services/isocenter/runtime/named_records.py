"""What administrators and sessions keep of named things, as small records in the object store.

Every change is a record of its own, `{prefix}{name in hexadecimal}/{time}-{random}`, since a name
may hold what no key may. The last record of a name counts; one without fields removes it. A change
is written behind the one that it follows, whatever the clocks say, and then removes what it
supersedes. Every process looks for changes by itself, so none needs to tell another.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, IsocenterError, NotFound
from isocenter.core.events import Source
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

MAX_NAME = 63  # bytes in UTF-8, of which a component of a key has room for twice as many

_FIRST_SECONDS = 10.0  # how long the start waits for the first look

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class NamedRecord(Generic[T]):
    """What somebody said of a name."""

    name: str
    value: T | None  # None: it is not known any more
    by: Source
    at: datetime  # UTC


class NamedRecords(Generic[T]):
    """The records below a prefix, of which each is read once."""

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        *,
        parse: Callable[[Any], T],
        write: Callable[[T], Mapping[str, Any]],
    ) -> None:
        """`parse` makes of a JSON value what `write` made it of; it raises `Invalid` for others,
        also with fields that a later version knows: they may restrict what is meant."""
        self._storage = storage
        self._prefix = prefix
        self._parse = parse
        self._write = write
        self._read: dict[str, NamedRecord[T] | None] = {}  # by key; None: it cannot be read
        self._known: dict[str, NamedRecord[T]] = {}  # by the name's folder

    async def latest(self) -> Mapping[str, NamedRecord[T]]:
        """The last change of each name, removals too. Raises `Unavailable`.

        In place of a record that cannot be read, the one before it counts, where it is known.
        """
        last: dict[str, str] = {}
        async with aclosing(generator(self._storage.list(self._prefix))) as infos:
            async for info in infos:
                last[self._folder_of(info.key)] = info.key
        read: dict[str, NamedRecord[T] | None] = {}
        for folder, key in last.items():
            try:
                read[key] = self._read[key] if key in self._read else await self._record(key)
            except NotFound:  # superseded since it was listed; the next look finds the next one
                continue
            if (record := read[key]) is not None:
                self._known[folder] = record
        self._read = read
        self._known = {folder: one for folder, one in self._known.items() if folder in last}
        return {record.name: record for record in self._known.values()}

    async def get(self, name: str) -> NamedRecord[T] | None:
        """The last change of one name, as it is now. Raises `Unavailable`."""
        while True:
            keys = await self._keys(name)
            if not keys:
                return None
            with suppress(NotFound):  # superseded since it was listed
                return await self._record(keys[-1])

    async def append(self, name: str, value: T | None, by: Source) -> NamedRecord[T]:
        """Make a change; durable on return. Raises `Unavailable`."""
        older = await self._keys(name)
        record, _ = await self._put(name, value, by, older)
        for one in older:
            await self._drop(one)
        return record

    async def change(self, name: str, value: T, by: Source) -> bool:
        """The same, of what is there; whether it was: what is forgotten at the same moment stays
        forgotten. Raises `Unavailable`."""
        older = await self._keys(name)
        if not older:
            return False
        _, mine = await self._put(name, value, by, older)
        there = await self._keys(name)
        gone = there == [mine]
        for one in there if gone else older:
            await self._drop(one)
        return not gone

    async def _put(
        self, name: str, value: T | None, by: Source, older: Sequence[str]
    ) -> tuple[NamedRecord[T], str]:
        """The record and its key, behind those that are there."""
        at = datetime.now(UTC)
        if older:
            at = max(at, _time_of(older[-1]) + _MICROSECOND)
        fields = None if value is None else self._write(value)
        written = json.dumps({"name": name, "fields": fields, "by": asdict(by)}).encode()
        moment = f"{(at - _EPOCH) // _MICROSECOND:016x}-{secrets.token_hex(4)}"
        key = f"{self._folder(name)}{moment}"
        await self._storage.put(key, [written], hashlib.sha256(written).hexdigest())
        return NamedRecord(name, value, by, at), key

    async def remove(self, name: str) -> None:
        """Forget all of a name, where nobody has to be told that it is gone."""
        while keys := await self._keys(name):
            for key in keys:
                await self._drop(key)

    async def _drop(self, key: str) -> None:
        with suppress(NotFound):
            await self._storage.remove(key)

    def _folder(self, name: str) -> str:
        return f"{self._prefix}{name.encode().hex()}/"

    def _folder_of(self, key: str) -> str:
        return key.removeprefix(self._prefix).partition("/")[0]

    async def _keys(self, name: str) -> list[str]:
        async with aclosing(generator(self._storage.list(self._folder(name)))) as infos:
            return [info.key async for info in infos]

    async def _record(self, key: str) -> NamedRecord[T] | None:
        async with aclosing(generator(self._storage.read(key))) as chunks:
            record = b"".join([chunk async for chunk in chunks])
        try:
            return self._from_record(key, record)
        except Corrupted as error:
            logger.error("a record is ignored", extra={"problem": str(error)})
            return None

    def _from_record(self, key: str, record: bytes) -> NamedRecord[T]:
        """Raises `Corrupted`."""
        try:
            said = json.loads(record)
            value = None if said["fields"] is None else self._parse(said["fields"])
            return NamedRecord(said["name"], value, Source(**said["by"]), _time_of(key))
        except (ValueError, TypeError, KeyError, OverflowError, IsocenterError) as error:
            raise Corrupted(f"{key} is no record of ours", fix="make the change again") from error


class Follower(Generic[T]):
    """Keeps somebody up with the records. While the object store does not answer, they keep what
    they have."""

    def __init__(
        self,
        records: NamedRecords[T],
        keep: Callable[[Mapping[str, T]], None],
        every: float,
        what: str,
    ) -> None:
        """`keep` is told all that counts, by name; `every`: seconds between two looks; `what`: the
        records, for people."""
        self._records = records
        self._keep = keep
        self._every = every
        self._what = what
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns after the first look, or when that takes too long."""
        first = asyncio.Event()
        self._task = asyncio.create_task(self.run(first), name=self._what)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_SECONDS):
                await first.wait()

    async def close(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def run(self, looked: asyncio.Event | None = None) -> None:
        """Look for ever. `looked` is told of the first look."""
        while True:
            try:
                await self.look()
            except IsocenterError as error:
                self._tell(str(error))
            except Exception:
                logger.exception("records could not be read", extra={"what": self._what})
            if looked is not None:
                looked.set()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Take over what changed. Raises `Unavailable`."""
        latest = await self._records.latest()
        self._keep({name: one.value for name, one in latest.items() if one.value is not None})
        self._failing = False

    def _tell(self, why: str) -> None:
        """Once for each time that the object store stays away."""
        if not self._failing:
            extra = {"what": self._what, "why": why}
            logger.warning("records cannot be read; what is known counts", extra=extra)
        self._failing = True


def _time_of(key: str) -> datetime:
    return _EPOCH + int(key.rpartition("/")[2].partition("-")[0], 16) * _MICROSECOND
