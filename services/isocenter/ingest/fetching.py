"""Taking studies from another archive: what it has, what is here, what is missing, again and again
until nothing is, or nothing helps.

What is here is asked of the keeper before every attempt, so that a fetch that was broken off, at
whatever moment, goes on where it was. A study at a time and association; of each its list of
instances is held in memory, objects go from the other archive into the keeper as they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field

from isocenter.core.access import SYSTEM
from isocenter.core.apis import Announcement, Ingest, Storage
from isocenter.core.errors import (
    DeadlineExceeded,
    IsocenterError,
    NotFound,
    OutOfResources,
    Unavailable,
    Unprocessable,
)
from isocenter.core.events import Source
from isocenter.core.identity import is_uid
from isocenter.core.matching import Key, Level
from isocenter.core.ports import Buffer
from isocenter.core.remote import (
    INSTANCE_UID,
    SERIES_UID,
    SOP_CLASS,
    STUDY_UID,
    Arrival,
    Keeper,
    KeeperFailed,
    Listed,
    RemoteArchive,
    text_of,
)

_COUNT = "00201208"  # Number of Study Related Instances
_LATER = (Unavailable, DeadlineExceeded, OutOfResources)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one study."""

    study: str
    listed: int = 0  # instances that the other archive says it has
    taken: int = 0  # that came by this fetch
    missing: tuple[str, ...] = ()  # SOP Instance UIDs of those that are not here now
    problem: str = ""  # why not, or what else is not as it should be

    @property
    def complete(self) -> bool:
        """Whether all of it is here now."""
        return not self.missing and not self.problem


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try a study again without any progress, and how long to wait before, seconds;
    twice as long each time."""

    attempts: int = 4
    pause: float = 2
    longest_pause: float = 60


class ArchiveKeeper:
    """Keeps fetched studies in this archive."""

    def __init__(self, *, ingest: Ingest, storage: Storage, source: Source, partition: str) -> None:
        self._ingest = ingest
        self._storage = storage
        self._source = source
        self._partition = partition

    async def take(self, study: str, arrival: Arrival, data_set: AsyncIterable[Buffer]) -> int:
        """Store it."""
        announcement = Announcement(
            self._source,
            SYSTEM,
            arrival.transfer_syntax,
            arrival.sop_class,
            arrival.instance,
            study,
        )
        return (await self._ingest.store(announcement, data_set)).size

    async def kept(self, study: str) -> Collection[str]:
        """Asked of the object store, which knows at once."""
        try:
            found = self._storage.instances(SYSTEM, self._partition, study)
            return {stored.name.instance async for stored in found}
        except NotFound:
            return ()


class Fetcher:
    """Fetches studies over several ways into another archive at once."""

    def __init__(
        self,
        *,
        archive: Callable[[], RemoteArchive],
        keeper: Keeper,
        parallel: int = 1,
        patience: Patience = Patience(),
        taken: Callable[[int], None] | None = None,
    ) -> None:
        """`archive` opens a way into it; `taken` is told the bytes of every object."""
        self._archive = archive
        self._keeper = keeper
        self._parallel = parallel
        self._patience = patience
        self._taken = taken or _nobody

    async def fetch(self, studies: AsyncIterable[str]) -> AsyncGenerator[Outcome, None]:
        """What became of each study, as it is done. The studies are asked for as they are fetched.
        Raises `KeeperFailed`, and what the studies raise; what is wrong with one of them is in
        its outcome."""
        source = _Shared(aiter(studies))
        done: asyncio.Queue[Outcome | BaseException | None] = asyncio.Queue(self._parallel)
        workers = [asyncio.create_task(self._work(source, done)) for _ in range(self._parallel)]
        try:
            working = len(workers)
            while working:
                one = await done.get()
                if isinstance(one, BaseException):
                    raise one
                if one is None:
                    working -= 1
                else:
                    yield one
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(
        self, studies: _Shared, done: asyncio.Queue[Outcome | BaseException | None]
    ) -> None:
        archive = self._archive()
        try:
            async for study in studies:
                await done.put(await self._study(archive, study))
        except Exception as error:  # noqa: BLE001 - whoever iterates gets it
            await done.put(error)
        else:
            await done.put(None)
        finally:
            await archive.close()

    async def _study(self, archive: RemoteArchive, study: str) -> Outcome:
        """Try until it is complete, or nothing more comes."""
        state = _Study(study, self._keeper, self._taken)
        idle, pause = 0, self._patience.pause
        while True:
            before = state.taken
            again = await state.attempt(archive)
            idle = 0 if state.taken > before else idle + 1
            if not again or idle >= self._patience.attempts:
                return state.outcome()
            if idle:
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._patience.longest_pause)
            else:
                pause = self._patience.pause


@dataclass(slots=True)
class _Study:
    """One study on its way."""

    study: str
    keeper: Keeper
    told: Callable[[int], None]
    listed: list[Listed] | None = None
    missing: list[Listed] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # instance -> why it is not kept here
    taken: int = 0
    problem: str = ""
    doubt: str = ""  # about what the other archive says it has

    async def attempt(self, archive: RemoteArchive) -> bool:
        """Get what is missing; whether another attempt may get more."""
        self.problem = ""
        try:
            if self.listed is None:
                self.listed, self.doubt = await _list(archive, self.study)
            await self._look()
            if self._to_come:
                whole = len(self.missing) == len(self.listed)
                self.problem = await archive.retrieve(self.study, self._to_come, self, whole=whole)
                await self._look()
        except KeeperFailed:
            raise
        except IsocenterError as error:
            self.problem = str(error)
            return isinstance(error, _LATER)
        return bool(self._to_come)

    async def _look(self) -> None:
        """What is here, and what is not."""
        try:
            kept = await self.keeper.kept(self.study)
        except _LATER as error:
            raise KeeperFailed(error.message, fix=error.fix) from error
        self.missing = [one for one in self.listed or () if one.instance not in kept]

    @property
    def _to_come(self) -> list[Listed]:
        return [one for one in self.missing if one.instance not in self.refused]

    async def take(self, arrival: Arrival, data_set: AsyncIterable[Buffer]) -> None:
        """See `Receiver`."""
        if not is_uid(arrival.instance):
            raise Unprocessable("an object without a SOP Instance UID was sent")
        source = _Watched(data_set)
        try:
            size = await self.keeper.take(self.study, arrival, source)
        except IsocenterError as error:
            if source.failed:
                raise
            if isinstance(error, _LATER):
                raise KeeperFailed(error.message, fix=error.fix) from error
            self.refused[arrival.instance] = str(error)
            raise
        self.taken += 1
        self.told(size)

    def outcome(self) -> Outcome:
        """As far as it came."""
        missing = tuple(one.instance for one in self.missing)
        reasons = sorted({self.refused[one] for one in missing if one in self.refused})
        problem = "; ".join(filter(None, (self.problem, *reasons))) if missing else self.problem
        if not missing and self.listed is not None:
            problem = self.doubt
        elif missing and not problem:
            problem = "the other archive lists them and does not give them"
        return Outcome(self.study, len(self.listed or ()), self.taken, missing, problem)


async def _list(archive: RemoteArchive, study: str) -> tuple[list[Listed], str]:
    """The instances that another archive has of a study, and what is odd about them."""
    if not is_uid(study):
        raise Unprocessable(f"{study[:64]!r} is no UID", fix="give Study Instance UIDs")
    whole = (Key(STUDY_UID, "UI", (study,)),)
    asked = (*whole, Key(_COUNT, "IS"))
    counts = [text_of(one, _COUNT) async for one in archive.find(Level.STUDY, asked)]
    if not counts:
        raise NotFound("the other archive has no such study", fix="check the UID")
    series = [
        text_of(one, SERIES_UID)
        async for one in archive.find(Level.SERIES, (*whole, Key(SERIES_UID, "UI")))
    ]
    found: dict[str, Listed] = {}
    for uid in series:
        of_series = (*whole, Key(SERIES_UID, "UI", (uid,)))
        keys = (*of_series, Key(INSTANCE_UID, "UI"), Key(SOP_CLASS, "UI"))
        async with aclosing(archive.find(Level.INSTANCE, keys)) as answers:
            async for one in answers:
                instance = text_of(one, INSTANCE_UID)
                found[instance] = Listed(uid, instance, text_of(one, SOP_CLASS))
    doubt = ""
    if counts[0].isdecimal() and int(counts[0]) > len(found):
        doubt = f"the other archive counts {counts[0]} instances and lists {len(found)}"
    return list(found.values()), doubt or ("" if found else "the other archive lists no instances")


def _nobody(size: int) -> None:
    """Is told nothing."""


class _Shared:
    """One iterator for several workers."""

    def __init__(self, studies: AsyncIterator[str]) -> None:
        self._studies = studies
        self._turn = asyncio.Lock()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        async with self._turn:
            return await anext(self._studies)


class _Watched:
    """A data set that tells whether it was it that failed."""

    def __init__(self, data_set: AsyncIterable[Buffer]) -> None:
        self._data_set = data_set
        self.failed = False

    async def __aiter__(self) -> AsyncIterator[Buffer]:
        try:
            async for chunk in self._data_set:
                yield chunk
        except IsocenterError:
            self.failed = True
            raise
