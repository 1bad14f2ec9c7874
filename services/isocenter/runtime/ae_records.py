"""What administrators keep in the AE directory, as small records in the object store.

Every change is a record of its own, `aes/{title}/{time}-{random}`: the title in hexadecimal, since
it may hold what no key may. The last record of a title counts; one without an AE removes it. A
change is written behind the one that it follows, whatever the clocks say, and then removes what it
supersedes. Every gateway looks for changes by itself, so no process needs to tell another.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from isocenter.core.apis import Storage
from isocenter.core.errors import Corrupted, IsocenterError, NotFound
from isocenter.core.events import Source
from isocenter.core.identity import AES
from isocenter.runtime.aes import Directory, KnownAE, fields_of, parsed
from isocenter.runtime.streams import generator

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 3.0
_FIRST_SECONDS = 10.0  # how long the start waits for the first look

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody said of an AE title."""

    title: str
    ae: KnownAE | None  # None: it is not known any more
    by: Source
    at: datetime  # UTC


class AERecords:
    """The records, of which each is read once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._read: dict[str, Change | None] = {}  # by key; None: it cannot be read
        self._known: dict[str, Change] = {}  # by the title's folder

    async def latest(self) -> Mapping[str, Change]:
        """The last change of each title, removals too. Raises `Unavailable`.

        In place of a record that cannot be read, the one before it counts, where it is known.
        """
        last: dict[str, str] = {}
        async with aclosing(generator(self._storage.list(AES))) as infos:
            async for info in infos:
                last[info.key.split("/")[1]] = info.key
        read: dict[str, Change | None] = {}
        for folder, key in last.items():
            try:
                read[key] = self._read[key] if key in self._read else await self._change(key)
            except NotFound:  # superseded since it was listed; the next look finds the next one
                continue
            if (change := read[key]) is not None:
                self._known[folder] = change
        self._read = read
        return {change.title: change for change in self._known.values()}

    async def append(self, title: str, ae: KnownAE | None, by: Source) -> Change:
        """Make a change; durable on return. Raises `Unavailable`."""
        before = (await self.latest()).get(title)
        at = datetime.now(UTC)
        if before is not None:
            at = max(at, before.at + _MICROSECOND)
        change = Change(title, ae, by, at)
        record = _record(change)
        prefix = f"{AES}{title.encode('ascii').hex()}/"
        key = f"{prefix}{(at - _EPOCH) // _MICROSECOND:016x}-{secrets.token_hex(4)}"
        await self._storage.put(key, [record], hashlib.sha256(record).hexdigest())
        async with aclosing(generator(self._storage.list(prefix))) as infos:
            older = [info.key async for info in infos if info.key < key]
        for one in older:
            with suppress(NotFound):
                await self._storage.remove(one)
        return change

    async def _change(self, key: str) -> Change | None:
        async with aclosing(generator(self._storage.read(key))) as chunks:
            record = b"".join([chunk async for chunk in chunks])
        try:
            return _from_record(key, record)
        except Corrupted as error:
            logger.error("a record of the AE directory is ignored", extra={"problem": str(error)})
            return None


def _record(change: Change) -> bytes:
    ae = None if change.ae is None else fields_of(change.ae)
    return json.dumps({"title": change.title, "ae": ae, "by": asdict(change.by)}).encode()


def _from_record(key: str, record: bytes) -> Change:
    """Raises `Corrupted`, also for fields that a later version knows: they may restrict the AE."""
    try:
        fields = json.loads(record)
        ae = None if fields["ae"] is None else parsed(fields["ae"])
        micros = int(key.rsplit("/", 1)[1].partition("-")[0], 16)
        return Change(fields["title"], ae, Source(**fields["by"]), _EPOCH + micros * _MICROSECOND)
    except (ValueError, TypeError, KeyError, OverflowError, IsocenterError) as error:
        raise Corrupted(
            f"{key} is no record of the AE directory", fix="set or remove the AE again"
        ) from error


class Follower:
    """Keeps a directory up with the records. While the object store does not answer, the directory
    stays as it is; before the first answer it is not complete."""

    def __init__(self, directory: Directory, storage: Storage, every: float) -> None:
        """`every`: seconds between two looks."""
        self.directory = directory
        self._records = AERecords(storage)
        self._every = every
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns after the first look, or when that takes too long."""
        self.directory.complete = False
        first = asyncio.Event()
        self._task = asyncio.create_task(self._run(first), name="AE directory")
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

    async def _run(self, looked: asyncio.Event) -> None:
        while True:
            try:
                await self.look()
            except IsocenterError as error:
                self._tell(str(error))
            except Exception:
                logger.exception("the AE directory could not be read")
            looked.set()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Take over what changed. Raises `Unavailable`."""
        latest = await self._records.latest()
        self.directory.keep({title: one.ae for title, one in latest.items() if one.ae is not None})
        self._failing = False

    def _tell(self, why: str) -> None:
        """Once for each time that the object store stays away."""
        if not self._failing:
            logger.warning("the AE directory cannot be read; it stays as it is", extra={"why": why})
        self._failing = True
