"""What the services offer each other, as protocols.

`app.py` hands a role either the local service object or its gRPC client; the caller cannot tell.
All of them raise `core.errors`, whatever the transport.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from isocenter.core.access import Caller
from isocenter.core.deletions import Deletion
from isocenter.core.events import Source
from isocenter.core.identity import InstanceName
from isocenter.core.matching import Search
from isocenter.core.ports import BlobInfo, Buffer, Match, StagedBlob

# --- ingest --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the protocol says about an object before its data set arrives.

    Empty UIDs are taken from the data set; others must agree with it (`Mismatch`).
    """

    source: Source
    caller: Caller
    transfer_syntax: str
    sop_class: str = ""
    instance: str = ""
    study: str = ""  # STOW-RS to a study's address
    general_sop_class: str = ""  # of the standard, which `sop_class` specialises (PS3.7 D.3.3.6)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is durable and announced."""

    name: InstanceName
    sop_class: str
    transfer_syntax: str
    digest: str
    size: int  # of the Part 10 file, bytes
    coerced: tuple[int, ...] = ()  # tags of the attributes that were coerced


class Ingest(Protocol):
    """Admission and announcement, and deletion."""

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        """Take in one data set, encoded in the announced transfer syntax, without File Meta
        Information. Each buffer may be reused as soon as the next one is asked for.

        Returns only when the object and its event are durable. An identical object is a success.
        If the iterable raises (the sender vanished), nothing is kept and the error goes on.
        Errors: `Unprocessable`, `Mismatch`, `Conflict`, `Refused` (also where the caller may not
        store this), `OutOfResources`,
        `Unavailable`.
        """
        ...

    async def delete(
        self,
        caller: Caller,
        partition: str,
        study: str,
        series: str,
        instance: str,
        by: Source,
        reason: str,
    ) -> Deletion:
        """Delete what is kept now at or below this level, all versions; empty UIDs are below it.

        Durable on return, and nearly always done: where `kept` of the answer is less than
        `objects`, the rest follows as soon as indexing comes to it. What is done is hidden from
        every search and retrieval. Raises `Refused`, `NotFound`, `Invalid` for a reason that is
        too long, `Unavailable`: then some of it may be deleted.
        """
        ...

    def deletions(self, caller: Caller, partition: str) -> AsyncIterator[Deletion]:
        """What is deleted and can be restored still, that which ends first first. Raises
        `Refused`."""
        ...

    async def restore(self, caller: Caller, partition: str, deletion: str, by: Source) -> Deletion:
        """Undo a deletion: durable on return, and done where `kept` of the answer is 0; searches
        find it as soon as what is stored. Raises `Refused`, and `NotFound` also when its time is
        over."""
        ...


# --- storage -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """The current version of an instance, as retrieval needs it."""

    name: InstanceName
    digest: str
    key: str
    size: int  # of the Part 10 file as it is given out, bytes
    sop_class: str
    transfer_syntax: str
    data_set_offset: int  # of the data set in the Part 10 file, bytes
    number_of_frames: int  # 0: no pixel data
    checksum: str = ""  # of the Part 10 file (`runtime.checksum`), empty where it is not known
    modified_at: datetime | None = None  # when it became the current version; None: not known
    overlay: str = ""  # key of the corrections that are applied on the way out, if there are any


@dataclass(frozen=True, slots=True)
class Versions:
    """The current versions of all instances at or below a level, as one."""

    digest: str  # another one as soon as an instance came, went or has another version
    modified_at: datetime  # when the newest of them became current


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """What a decoder must know about pixel data besides the transfer syntax (PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples_per_pixel: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric_interpretation: str
    planar_configuration: int
    window_center: float | None = None
    window_width: float | None = None
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    palette: tuple[bytes, bytes, bytes] | None = None  # 8-bit red, green, blue look-up tables
    palette_first: int = 0
    voi_lut_function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as stored: native bytes of a frame, or one encapsulated codestream."""

    number: int  # from 1
    data: bytes


@dataclass(frozen=True, slots=True)
class Verification:
    """What re-reading one object found."""

    key: str
    ok: bool
    problem: str = ""


class Storage(Protocol):
    """Custody of objects and of what is derived from them."""

    async def put(self, key: str, data: Sequence[Buffer], digest: str) -> None:
        """Keep a complete small object. Refuses with `OutOfResources` before the disk is full."""
        ...

    async def stage(self) -> StagedBlob:
        """Begin an object. Here, while it is written, or at its commit at the latest, refuses with
        `OutOfResources` before the disk is full."""
        ...

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFound`."""
        ...

    def read(self, key: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """A range of what is kept under a key, in bounded chunks."""
        ...

    def list(self, prefix: str, after: str = "") -> AsyncIterator[BlobInfo]:
        """What is kept below a prefix, in key order."""
        ...

    async def remove(self, key: str) -> None:
        """Remove a derived blob (a pack that was compacted), an entry of the outbox, or what was
        deleted. Never an object: `Refused`."""
        ...

    async def move(self, key: str, target: str) -> None:
        """Give an object the key of a deleted one (`core.deletions`), or the other way round; as
        `BlobStore.move`. Anything else: `Refused`."""
        ...

    def instances(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[StoredInstance]:
        """The current version of every instance at or below this level, by series and
        SOP Instance UID. Complete as of now: found in the object store, not in the index. Raises
        `Refused`, and `Withheld` where the caller may not read the study, as do the next two; what
        takes a `StoredInstance` serves whoever was given it."""
        ...

    def metadata(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[bytes]:
        """The DICOM JSON Model of the same instances in the same order, one UTF-8 JSON object
        each, without bulk data. Every BulkDataURI starts with `core.packs.BULK_BASE`, to be
        replaced by the edge's own DICOMweb root."""
        ...

    def described(
        self, caller: Caller, partition: str, study: str, series: str = "", instance: str = ""
    ) -> AsyncIterator[tuple[Versions | None, bytes]]:
        """The same, each with what all of them are together, as of one listing. None: not known
        to a service of an earlier release."""
        ...

    def data_set(self, instance: StoredInstance) -> AsyncIterator[Buffer]:
        """The data set as stored, with its corrections, without File Meta Information; read against
        the checksum or the digest: raises `Corrupted` at the latest in place of the last chunk."""
        ...

    async def pixel_format(self, instance: StoredInstance) -> PixelFormat:
        """Raises `NotFound` if there is no pixel data."""
        ...

    def frames(self, instance: StoredInstance, numbers: Sequence[int]) -> AsyncIterator[Frame]:
        """These frames, in the order asked for. Raises `NotFound` for a number out of range."""
        ...

    async def bulk_size(self, instance: StoredInstance, path: str) -> int:
        """The length of the value of a bulk data element, bytes: `path` is what follows
        `/bulkdata/` in its URI. Raises `NotFound`."""
        ...

    def bulk(
        self, instance: StoredInstance, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """A range of that value in bounded chunks, little endian, of encapsulated data the items
        with their fragments. Raises `NotFound`, `OutOfResources` where it may not be inflated."""
        ...

    def verify(self, prefix: str) -> AsyncIterator[Verification]:
        """Re-read every object below a prefix and compare it with the digest in its name."""
        ...


# --- query ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FillProgress:
    """How far an attribute that was added to the table is filled."""

    looked: int  # objects
    total: int  # objects, about


class Query(Protocol):
    """DICOM matching (PS3.4 C.2.2.2) over the index.

    A private attribute of the table is asked for by its tag, in any block, beside a key of that
    block's Private Creator, and answered so.
    """

    def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        """Answers in batches, in a stable order, of what the caller may find. Closing the iterator
        stops the work. Raises `Refused`."""
        ...

    async def count(self, caller: Caller, search: Search) -> int:
        """How many answers there are without limit and offset. Raises `Refused`."""
        ...

    async def unfilled(self) -> Mapping[str, FillProgress]:
        """The added attributes by which searches do not find everything yet, by their tag in the
        table."""
        ...


# --- transcoding ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of an image, in pixels from its top left corner."""

    x: float = 0.0
    y: float = 0.0
    width: float = 0.0  # 0: up to the right edge
    height: float = 0.0  # 0: up to the bottom edge


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a frame is drawn. The object's own window unless one is given.

    The source region is cut out, flipped, and made as large as fits into the viewport with its
    aspect ratio (PS3.18 8.3.5.1.3).
    """

    media_type: str  # "image/jpeg", "image/png", "image/gif" or "image/webp"
    quality: int = 90
    window_center: float | None = None
    window_width: float | None = None
    columns: int = 0  # viewport; 0: no bound. Both 0: the size of the source region
    rows: int = 0
    window_function: str = ""  # LINEAR, LINEAR_EXACT, SIGMOID; empty: the object's own
    source: Region = Region()
    flip_horizontal: bool = False
    flip_vertical: bool = False


class Transcoding(Protocol):
    """Codecs. Knows pixels, not where they are kept."""

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        """One frame as native little endian bytes, exactly as many as the pixel format says,
        interleaved by pixel where it says planar configuration 0. YBR_FULL, YBR_FULL_422 in JPEG
        (processes 1 to 5), YBR_ICT and YBR_RCT come out as RGB; other photometric
        interpretations stay. Big endian frames of 8 bits are taken as OB. Raises `Unsupported`,
        `Unprocessable`, `OutOfResources` (larger than the settings allow)."""
        ...

    def data_set(
        self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        """The same data set in another transfer syntax, in bounded memory per frame."""
        ...

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        """Transfer syntaxes that `data_set` can produce from this one, best first."""
        ...

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        """One frame as an image file."""
        ...


# --- indexing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild is."""

    studies: int
    instances: int
    problems: Mapping[str, str]  # key of an object that could not be read -> why
    done: bool


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is."""

    events: int
    problems: Mapping[str, str]  # PARTITION/OFFSET of an event that cannot be applied -> why
    done: bool


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is."""

    objects: int  # looked at
    announced: int  # orphans among them that are announced now
    waiting: int  # not indexed, but too young to be orphans, or indexing is behind
    problems: Mapping[str, str]  # key of an orphan that could not be read -> why
    done: bool


class Indexing(Protocol):
    """Administration of the index."""

    def rebuild(self) -> AsyncIterator[RebuildProgress]:
        """Fill a new index from the objects alone while the old one answers, then switch."""
        ...

    def replay(
        self, since: datetime | None, offsets: Mapping[int, int]
    ) -> AsyncIterator[ReplayProgress]:
        """Apply the log's events of instances to the index once more: those from the given
        offsets per partition on (default: the oldest), appended at `since` or later."""
        ...

    def sweep(self) -> AsyncIterator[SweepProgress]:
        """Look for objects that are durable and were never announced, and announce them."""
        ...
