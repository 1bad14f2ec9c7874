"""Series metadata packs: what retrieval needs to know of every instance, in few blobs.

A series has any number of packs, each a blob under `identity.packs_prefix`; together they are
one set of entries by (instance, digest), whatever the order and however often an entry occurs.
Packs are written by indexing and read by storage; compaction writes one that replaces several,
then removes those. `core.entries` makes entries.

A pack is `ISOPACK`, one version byte, and entries one after another: the lengths of its three
parts (4 bytes each, little endian), facts as JSON, the frame table (`core.frames`), and the
attributes as JSON. The blob is compressed by `runtime.compression`.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from isocenter.core.apis import PixelFormat, StoredInstance
from isocenter.core.errors import Corrupted, Unsupported
from isocenter.core.frames import FrameTable, decode_table, encode_table
from isocenter.core.identity import InstanceName, ObjectName, packs_prefix

# Stands for the edge's DICOMweb root in every BulkDataURI kept in packs. Not a URI of anyone.
BULK_BASE = "urn:isocenter:bulk-base:f7b3c0de"

PACK_SUFFIX = ".pack"
MAX_PACK = 1024**3  # bytes a pack may have when it is not compressed

_MAGIC = b"ISOPACK"
_VERSION = 1
_LENGTHS = struct.Struct("<III")
_PIXEL_FIELDS = fields(PixelFormat)


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One kept version of an instance."""

    name: InstanceName
    digest: str
    size: int  # of the Part 10 file, bytes
    sop_class: str
    transfer_syntax: str
    data_set_offset: int  # of the data set in the Part 10 file, bytes
    number_of_frames: int  # 0: no pixel data
    frames: FrameTable | None  # None: no pixel data, deflated, or frames cannot be told apart
    pixel_format: PixelFormat | None
    attributes: bytes  # DICOM JSON Model, UTF-8, BulkDataURIs below BULK_BASE
    checksum: str = ""  # of the Part 10 file (`runtime.checksum`), empty where it is not known
    overlay: str = ""  # key of the corrections that are in the attributes, if there are any
    grown: int = 0  # bytes by which they make the data set longer

    @property
    def object(self) -> ObjectName:
        """The name of the object."""
        return ObjectName(self.name, self.digest)

    def stored(self, modified_at: datetime | None = None) -> StoredInstance:
        """What `Storage.instances` answers with."""
        return StoredInstance(
            name=self.name,
            digest=self.digest,
            key=self.object.key,
            size=self.size + self.grown,
            sop_class=self.sop_class,
            transfer_syntax=self.transfer_syntax,
            data_set_offset=self.data_set_offset,
            number_of_frames=self.number_of_frames,
            checksum=self.checksum,
            modified_at=modified_at,
            overlay=self.overlay,
        )


def bulk_uri(name: InstanceName) -> str:
    """What stands before the path of a bulk data element of an instance."""
    return (
        f"{BULK_BASE}/studies/{name.study}/series/{name.series}/instances/{name.instance}/bulkdata/"
    )


def pack_key(partition: str, study: str, series: str, digest: str) -> str:
    """The key of a pack whose (compressed) blob has this SHA-256."""
    return f"{packs_prefix(partition, study, series)}{digest}{PACK_SUFFIX}"


def encode_pack(entries: Iterable[PackEntry]) -> bytes:
    """The content of a pack, uncompressed (`runtime.compression` compresses the blob)."""
    parts = [_MAGIC, bytes([_VERSION])]
    for entry in entries:
        facts = json.dumps(_facts(entry), separators=(",", ":")).encode()
        table = encode_table(entry.frames)
        parts += (_LENGTHS.pack(len(facts), len(table), len(entry.attributes)), facts, table)
        parts.append(entry.attributes)
    return b"".join(parts)


def _facts(entry: PackEntry) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": [entry.name.partition, entry.name.study, entry.name.series, entry.name.instance],
        "digest": entry.digest,
        "size": entry.size,
        "sop_class": entry.sop_class,
        "transfer_syntax": entry.transfer_syntax,
        "data_set_offset": entry.data_set_offset,
        "number_of_frames": entry.number_of_frames,
    }
    if entry.checksum:
        facts["checksum"] = entry.checksum
    if entry.overlay:
        facts |= {"overlay": entry.overlay, "grown": entry.grown}
    if entry.pixel_format is not None:
        pixels = {field.name: getattr(entry.pixel_format, field.name) for field in _PIXEL_FIELDS}
        if entry.pixel_format.palette is not None:
            pixels["palette"] = [
                base64.b64encode(table).decode("ascii") for table in entry.pixel_format.palette
            ]
        facts["pixels"] = pixels
    return facts


class PackedEntry(NamedTuple):
    """An entry as it stands in a pack: most are read for their attributes alone."""

    instance: str
    digest: str
    facts: Mapping[str, Any]
    table: bytes
    attributes: bytes

    @property
    def overlay(self) -> str:
        """Key of the corrections that are in the attributes."""
        return str(self.facts.get("overlay", ""))

    def unpacked(self) -> PackEntry:
        """The entry. Raises `Corrupted`."""
        try:
            return _entry(self.facts, self.table, self.attributes)
        except (ValueError, KeyError, TypeError) as error:
            raise _corrupted(type(error).__name__) from error


def decode_pack(data: bytes, loads: Callable[[bytes], Any] = json.loads) -> Sequence[PackEntry]:
    """As `open_pack`, with all entries unpacked."""
    return [packed.unpacked() for packed in open_pack(data, loads)]


def open_pack(data: bytes, loads: Callable[[bytes], Any] = json.loads) -> Sequence[PackedEntry]:
    """Raises `Corrupted`, `Unsupported` for a later version of the format. `loads` reads JSON and
    raises `ValueError` for what is none."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) <= len(_MAGIC):
        raise _corrupted("it does not begin as a pack")
    if data[len(_MAGIC)] != _VERSION:
        raise Unsupported(
            f"a metadata pack has version {data[len(_MAGIC)]}, this program knows {_VERSION}",
            fix="use the newer program everywhere, or rebuild the metadata packs",
        )
    entries = []
    position = len(_MAGIC) + 1
    try:
        while position < len(data):
            lengths = _LENGTHS.unpack_from(data, position)
            position += _LENGTHS.size
            parts = []
            for length in lengths:
                parts.append(data[position : position + length])
                position += length
            if position > len(data):
                raise _corrupted("it is cut off")
            facts = loads(parts[0])
            name, digest = facts["name"], facts["digest"]
            entries.append(PackedEntry(name[3], digest, facts, parts[1], parts[2]))
    except (struct.error, ValueError, LookupError, TypeError) as error:
        raise _corrupted(type(error).__name__) from error
    return entries


def _entry(facts: Mapping[str, Any], table: bytes, attributes: bytes) -> PackEntry:
    pixels = facts.get("pixels")
    if pixels is not None:
        palette = pixels["palette"]
        tables = palette and tuple(base64.b64decode(table) for table in palette)
        pixels = {**pixels, "palette": tables}
    return PackEntry(
        name=InstanceName(*facts["name"]),
        digest=facts["digest"],
        size=facts["size"],
        sop_class=facts["sop_class"],
        transfer_syntax=facts["transfer_syntax"],
        data_set_offset=facts["data_set_offset"],
        number_of_frames=facts["number_of_frames"],
        frames=decode_table(table),
        pixel_format=None if pixels is None else PixelFormat(**pixels),
        attributes=attributes,
        checksum=facts.get("checksum", ""),
        overlay=facts.get("overlay", ""),
        grown=facts.get("grown", 0),
    )


def _corrupted(why: str) -> Corrupted:
    return Corrupted(f"a metadata pack cannot be read back: {why}", fix="rebuild the packs")


def merge(packs: Iterable[Sequence[PackEntry]]) -> Sequence[PackEntry]:
    """The entries of several packs, each (instance, digest) once, sorted by both; of two the one
    with the later overlay, then the one that has a checksum."""
    entries: dict[tuple[InstanceName, str], PackEntry] = {}
    for pack in packs:
        for entry in pack:
            other = entries.get((entry.name, entry.digest))
            if other is None or _rank(entry) > _rank(other):
                entries[entry.name, entry.digest] = entry
    return [entries[key] for key in sorted(entries)]


def _rank(entry: PackEntry) -> tuple[str, bool]:
    return entry.overlay, bool(entry.checksum)
