"""The ports: what the services need from the outside, as small contracts.

Every adapter of a port passes the same suite in `tests/contract/`. Library errors never leave an
adapter; they are raised as `core.errors`. Adapters open their files and connections in `open()`
(an async factory of their own), never at import and never in a service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from isocenter.core.fill_state import HoldsAttributes
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.matching import JsonAttributes, Search

Buffer = bytes | bytearray | memoryview

# --- the log -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """One event to append. `key` decides the order: same key, same order (a Study UID)."""

    key: str
    type: str  # CloudEvents type, "isocenter.v1.InstanceStored"
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as read back."""

    topic: str
    partition: int
    offset: int  # grows within a topic's partition; gaps are allowed
    key: str
    type: str
    data: bytes
    headers: Mapping[str, str]
    appended_at: datetime  # UTC


class Consumer(Protocol):
    """One member of a consumer group. At any time a partition belongs to one member at most."""

    async def poll(self, max_records: int, timeout: float) -> Sequence[Delivery]:
        """The next events after the last ones polled, in order within a partition. Waits up to
        `timeout` seconds for the first; an empty answer is no error. After a member is lost,
        another takes over from the last commit: events may be delivered again."""
        ...

    def owns(self, delivery: Delivery) -> bool:
        """Whether the partition that a delivery came from has belonged to this member ever since.
        If not, another member has the event now, and this one may drop what it has in hand."""
        ...

    async def commit(self) -> None:
        """Make durable that everything polled so far is done, as far as this member `owns` it: what
        it does not is the business of the partition's new owner, and no error."""
        ...

    async def dead_letter(self, delivery: Delivery, error: str) -> None:
        """Copy the event, with the error in header `error`, to the topic's `.dead` topic."""
        ...

    async def close(self) -> None:
        """Leave the group; what was not committed is delivered again to another member."""
        ...


class EventBus(Protocol):
    """A durable, ordered log of events.

    - `append` returns only when the records are durable (they survive SIGKILL and power loss).
    - Records with the same key are delivered in the order of their appends.
    - Delivery is at-least-once; consumers are idempotent.
    - Several processes append and consume at the same time.
    """

    async def append(self, topic: str, records: Sequence[Record]) -> None:
        """All records are durable on return. Raises `Unavailable` or `OutOfResources`: then none,
        some or all of them may be in the log, and appending them again is right."""
        ...

    async def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group. A new group starts at the beginning of what the log still holds."""
        ...

    def replay(
        self, topic: str, offsets: Mapping[int, int] | None = None
    ) -> AsyncIterator[Delivery]:
        """All events from the given offsets per partition (default: the oldest) to the end
        the log had when the call began, without any group."""
        ...

    async def end(self, topic: str) -> Mapping[int, int]:
        """The offset that the next event of each partition will get, at least."""
        ...

    async def oldest(self, topic: str) -> Mapping[int, int]:
        """The offset of each partition from which on the log still holds all events."""
        ...

    async def begin(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """A group that has read nothing of the topic yet begins at these offsets; any other goes
        on where it is."""
        ...

    async def lag(self, group: str, topic: str) -> int:
        """How many events the group has not committed yet."""
        ...

    async def forget(self, prefix: str, keep: Collection[str]) -> Sequence[str]:
        """Groups whose names begin with `prefix` do not come back, but for those to keep: events
        are not held for them any more. Answers with those that events were held for."""
        ...

    async def close(self) -> None:
        """Release everything; appends under way finish first."""
        ...


# --- objects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What a listing tells of one blob."""

    key: str
    size: int
    modified_at: datetime  # UTC; when the content was first durable under this key


class StagedBlob(Protocol):
    """A blob being written, invisible until `commit`. Leaving the context without it discards."""

    async def write(self, data: Buffer) -> None:
        """Add bytes at the end. The buffer may be reused as soon as this returns."""
        ...

    def digest(self) -> str:
        """SHA-256 of all that was written, lower-case hexadecimal: computed where the bytes were
        handed over. Nothing is written after it: what is left may go to the disk meanwhile."""
        ...

    async def commit(self, key: str, digest: str) -> None:
        """Make it durable and visible under `key`, after checking its SHA-256 where it enters the
        store (`Corrupted` if it differs). The blob is closed afterwards."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob to be read, and how to tell that it is what was kept."""

    key: str
    digest: str  # SHA-256
    offset: int = 0  # where reading begins; the whole is compared
    checksum: str = ""  # of `runtime.checksum`, where it is known: compared in place of the digest


class BlobStore(Protocol):
    """Immutable blobs under keys.

    - A key names its content: creating an existing key again is a success and changes nothing.
    - A blob is visible whole or not at all; when a call returns, the blob is durable.
    - No key is a path-prefix of another. Components match `identity.KEY_COMPONENT`; another key
      raises `Invalid` (it is never turned into a path).
    - Raises `OutOfResources` when there is no room, `Unavailable` when the store does not answer.
    """

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Create a blob of the concatenated buffers. `digest` is the SHA-256 of what the caller
        meant to write; they are checked against it where they enter the store (`Corrupted`)."""
        ...

    async def stage(self) -> StagedBlob:
        """Begin a blob whose key is not known yet."""
        ...

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        ...

    async def get(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of a blob in memory; short only where the blob ends. Raises `NotFound`."""
        ...

    def stream(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """A range of a blob in bounded chunks. Raises `NotFound` before the first chunk."""
        ...

    def checked(self, blob: Kept) -> AsyncIterator[Buffer]:
        """A blob from the offset to its end in bounded chunks, of which the last comes only if
        the whole blob is what was kept. Raises `NotFound` before the first chunk, `Corrupted` in
        place of the last."""
        ...

    def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """Blobs whose keys start with `prefix` (it ends with a slash), in key order, after
        the key `after`. In bounded memory below one study."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a blob; removing what is not there is a success."""
        ...

    async def move(self, key: str, target: str) -> None:
        """Give a blob another key, at no moment under neither; durable on return, and a success
        again. Raises `NotFound`."""
        ...

    async def free_bytes(self) -> int | None:
        """Room left, or None where the store cannot tell."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


# --- the search index ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What indexing knows of one version of an instance.

    `attributes` holds the searchable attributes of all levels (`core.attributes`) in the DICOM
    JSON Model, and no others.
    """

    name: InstanceName
    digest: str
    key: str
    size: int
    sop_class: str
    transfer_syntax: str
    attributes: JsonAttributes
    current: bool = True  # False: a kept version that is not the one to answer with
    decision: int = 0  # how many conflict decisions about the name `current` follows
    trace: str = ""  # W3C traceparent of what brought it here, for the study's first answer


@dataclass(frozen=True, slots=True)
class StudyCount:
    """Exact content of one study as the index now answers."""

    partition: str
    study: str
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is in all partitions."""

    studies: int  # that searches find
    instances: int
    bytes: int  # of all versions kept


@dataclass(frozen=True, slots=True)
class Match:
    """One answer of a search: the attributes asked for, in the DICOM JSON Model."""

    attributes: JsonAttributes
    trace: str = ""  # STUDY level: of an entry that was added last, if it had one


FEED = "indexing"  # the group of consumers that fills an index


class StudyIndex(HoldsAttributes, Protocol):
    """Documents of instances, series and studies, disposable: rebuilt from objects alone.

    - Series, study and patient answers are derived from the instances by `core.attributes.merge`,
      which does not depend on the order of arrival: the same set of entries, in any order and
      any number of times, gives the same answers.
    - One instance name is one instance in answers and counts, however many versions are kept.
    - `search` implements `core.matching`. Results are in a stable total order (`core.matching`).
    - Several writers at the same time: the owners of the log's partitions, a rebuild, and for a
      while one that has lost its partition without knowing it. Counts stay exact, and an entry
      never replaces one of the same version that follows a later `decision`.
    - What an interrupted `upsert` leaves behind is mended by the same `upsert` again.
    - Where indices of several versions are in use side by side, each has a `feed` of its own.
    """

    @property
    def feed(self) -> str:
        """The group of consumers that fills the index of this version."""
        ...

    async def unfilled(self) -> bool:
        """Whether the index in use is of another version, so that this one's is yet to be filled
        from the objects, as a rebuild does."""
        ...

    async def upsert(self, entries: Sequence[IndexEntry]) -> Sequence[StudyCount]:
        """Add or replace entries; all are visible and durable on return. Answers with the new
        counts of every study touched."""
        ...

    async def versions(
        self, names: Sequence[InstanceName]
    ) -> Mapping[InstanceName, Sequence[IndexEntry]]:
        """All entries held under these names (absent names are left out), for conflict
        decisions; `attributes` of the entries may be left empty."""
        ...

    async def remove(self, objects: Sequence[ObjectName]) -> Sequence[StudyCount]:
        """Forget these versions; unknown ones are ignored."""
        ...

    async def refill(self, entries: Sequence[IndexEntry]) -> None:
        """Give versions that are held the attributes of these entries, and change nothing else of
        them; entries of others are ignored. Visible and durable on return."""
        ...

    def search(self, search: Search) -> AsyncIterator[Sequence[Match]]:
        """Answers in batches, at most `search.limit` from `search.offset`. Bounded memory:
        closing the iterator stops the work."""
        ...

    async def count(self, search: Search) -> int:
        """How many answers there are without limit and offset. Exact."""
        ...

    async def totals(self) -> Totals:
        """How much is held, exactly; cheap enough to be asked every few minutes for ever."""
        ...

    async def scratch(self) -> ScratchIndex:
        """An empty index beside the one in use, for a rebuild. It counts as filled."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class ScratchIndex(StudyIndex, Protocol):
    """An index being filled, not yet answering."""

    async def promote(self) -> None:
        """Become the index that everyone answers from, at once, and drop the former one.
        Open `StudyIndex` objects of every process follow without being reopened."""
        ...
