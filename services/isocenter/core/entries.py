"""Making pack entries: from an event alone where it tells everything, else from the object.
And the event that an object should have had, from the object."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from isocenter.core.access import ISSUER, MODALITIES, PATIENT_ID, STUDY
from isocenter.core.attributes import SITES
from isocenter.core.deflate import inflate
from isocenter.core.dictionary import PIXEL_DATA
from isocenter.core.elements import structure_of
from isocenter.core.errors import Mismatch
from isocenter.core.events import MAX_INLINE_HEADER, InstanceStored, Source
from isocenter.core.frame_builder import FrameTableBuilder
from isocenter.core.frames import FrameTable, NativeFrames, number, pixel_layout
from isocenter.core.identity import InstanceName, ObjectName
from isocenter.core.json_model import to_json
from isocenter.core.locate import find_value
from isocenter.core.matching import JsonAttributes
from isocenter.core.overlays import Overlay, apply
from isocenter.core.packs import PackEntry, bulk_uri
from isocenter.core.part10 import FileMeta, split
from isocenter.core.pixels import pixel_format
from isocenter.core.ports import Buffer
from isocenter.core.reader import Header, NeedMore, scan_header
from isocenter.core.transfer_syntax import TransferSyntax, lookup

Dumps = Callable[[JsonAttributes], bytes]

_EXPLICIT_HEAD = 12  # bytes of a pixel data element before its value
_IMPLICIT_HEAD = 8


def dumps_json(attributes: JsonAttributes) -> bytes:
    """The standard library's JSON, for those who bring no faster one."""
    return json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of an object besides its bytes."""

    name: InstanceName
    digest: str
    size: int
    sop_class: str
    transfer_syntax: str
    data_set_offset: int
    checksum: str = ""
    overlay: Overlay | None = None


def entry_from_event(
    event: InstanceStored, dumps: Dumps = dumps_json, overlay: Overlay | None = None
) -> tuple[PackEntry, JsonAttributes] | None:
    """The entry of a stored instance from its event alone, and all its attributes.

    None if the object must be read for it (`entry_from_object`): encapsulated or deflated
    pixel data, elements behind Pixel Data, no header in the event. Raises `Unprocessable`.
    """
    syntax = lookup(event.transfer_syntax)
    if event.header is None or syntax.deflated:
        return None
    facts = _Facts(
        event.name, event.digest, event.size, event.sop_class, event.transfer_syntax,
        event.data_set_offset, event.checksum, overlay,
    )  # fmt: skip
    header = _shown(event.header, syntax, overlay)
    attributes = to_json(header, event.transfer_syntax, bulk_uri(event.name))
    pixel_offset = event.data_set_offset + event.header_length
    rest = event.size - pixel_offset
    if rest == 0:
        return _entry(facts, event.header, header, attributes, 0, None, dumps), attributes
    layout = pixel_layout(attributes, PIXEL_DATA)
    length = (layout.count * layout.frame_bits + 7) // 8
    head = _IMPLICIT_HEAD if syntax.implicit_vr else _EXPLICIT_HEAD
    # Only 16-bit pixels are OW in Pixel Data (7FE0,0010) for sure (PS3.5 A.2).
    certain = not syntax.encapsulated and number(attributes, "00280100") == 16
    if not (certain and length and rest - head == length + length % 2):
        return None
    table = NativeFrames(pixel_offset + head, layout.frame_bits, layout.count)
    _put_pixel_data(attributes, event.name, PIXEL_DATA, "OW")
    entry = _entry(facts, event.header, header, attributes, layout.count, table, dumps)
    return entry, attributes


async def entry_from_object(
    name: ObjectName,
    size: int,
    chunks: AsyncIterable[Buffer],
    dumps: Dumps = dumps_json,
    checksum: str = "",
    overlay: Overlay | None = None,
) -> tuple[PackEntry, JsonAttributes]:
    """The entry of an object from its Part 10 file, and all its attributes.

    In bounded memory; stops reading where nothing more is to be learnt, so the checksum is that
    of those who know it. Raises `Unprocessable`, `Unsupported`.
    """
    meta, (came, scanned, builder) = await _read_object(size, chunks)
    syntax = lookup(meta.transfer_syntax)
    header = _shown(came, syntax, overlay)
    facts = _Facts(
        name.name, name.digest, size, meta.sop_class, meta.transfer_syntax, meta.length, checksum,
        overlay,
    )  # fmt: skip
    base = bulk_uri(name.name)
    attributes = to_json(header, syntax.uid, base)
    if builder is None:
        return _entry(facts, came, header, attributes, 0, None, dumps), attributes
    layout = pixel_layout(attributes, scanned.pixel_tag)
    table = None if syntax.deflated else builder.finish(layout)
    _put_pixel_data(attributes, name.name, scanned.pixel_tag, builder.pixel_vr)
    attributes.update(to_json(builder.tail, syntax.uid, base))
    frames = layout.count if table is None else table.count
    return _entry(facts, came, header, attributes, frames, table, dumps), attributes


async def event_from_object(
    name: ObjectName,
    size: int,
    chunks: AsyncIterable[Buffer],
    source: Source,
    received_at: datetime,
    overlay: Overlay | None = None,
) -> InstanceStored:
    """The announcement of an object that had none, from its Part 10 file.

    Raises `Unprocessable` and `Unsupported`, also for what could be announced but not indexed, and
    `Mismatch` if the object is not the one that its key names.
    """
    meta, (header, scanned, _) = await _read_object(size, chunks)
    if (scanned.study, scanned.series, scanned.instance) != (
        name.name.study, name.name.series, name.name.instance,
    ):  # fmt: skip
        raise Mismatch(
            f"the object {name.key} holds another instance than its key says",
            fix="store the file again through ingest, which names it after its content",
        )
    to_json(header, meta.transfer_syntax, bulk_uri(name.name))
    return InstanceStored(
        name=name.name,
        sop_class=scanned.sop_class,
        transfer_syntax=meta.transfer_syntax,
        key=name.key,
        digest=name.digest,
        size=size,
        data_set_offset=meta.length,
        header_length=len(header),
        header=header if len(header) <= MAX_INLINE_HEADER else None,
        source=source,
        received_at=received_at,
        patient_id=patient_id_of(scanned, overlay),
        overlay=overlay.key if overlay else "",
    )


def patient_id_of(header: Header, overlay: Overlay | None) -> str:
    """Patient ID as the object shows it."""
    corrected = overlay.patient_id if overlay else None
    return header.patient_id if corrected is None else corrected


def facts_of(event: InstanceStored) -> JsonAttributes:
    """What rules of access look at, as far as a stored object tells it of its study."""
    said = {PATIENT_ID: ("LO", event.patient_id), STUDY: ("UI", event.name.study)}
    sites = (SITES.vr, event.site)
    modality = issuer = ""
    if event.header is not None and not lookup(event.transfer_syntax).deflated:
        header = scan_header(event.header, event.transfer_syntax, complete=True)
        if isinstance(header, Header):
            modality, issuer = header.modality, header.issuer
    said |= {MODALITIES: ("CS", modality), ISSUER: ("LO", issuer), SITES.tag: sites}
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in said.items() if value}


def facts_of_header(header: Header, site: str) -> JsonAttributes:
    """What rules of access look at, as far as an object tells it of its study."""
    said = {
        PATIENT_ID: ("LO", header.patient_id),
        ISSUER: ("LO", header.issuer),
        MODALITIES: ("CS", header.modality),
        STUDY: ("UI", header.study),
        SITES.tag: (SITES.vr, site),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in said.items() if value}


async def facts_of_object(chunks: AsyncIterable[Buffer]) -> JsonAttributes:
    """The same from the Part 10 file of an object, as it came. Raises `Unprocessable`."""
    meta, data_set = await split(chunks)
    syntax = lookup(meta.transfer_syntax)
    plain = inflate(data_set) if syntax.deflated else data_set
    buffer = bytearray()
    async with aclosing(data_set), aclosing(plain):
        async for chunk in plain:
            buffer += chunk
            header = scan_header(buffer, syntax.uid, complete=False)
            if isinstance(header, Header):
                return facts_of_header(header, "")
    header = scan_header(buffer, syntax.uid, complete=True)
    assert isinstance(header, Header)
    return facts_of_header(header, "")


def _shown(header: bytes, syntax: TransferSyntax, overlay: Overlay | None) -> bytes:
    return apply(header, syntax.uid, overlay) if overlay else header


_Parts = tuple[bytes, Header, FrameTableBuilder | None]


async def _read_object(size: int, chunks: AsyncIterable[Buffer]) -> tuple[FileMeta, _Parts]:
    """File Meta Information and parts of a Part 10 file, read as far as needed."""
    meta, data_set = await split(chunks)
    syntax = lookup(meta.transfer_syntax)
    end = 0 if syntax.deflated else size
    plain = inflate(data_set) if syntax.deflated else data_set
    async with aclosing(data_set), aclosing(plain):
        return meta, await _read(plain, syntax, meta.length, end)


async def _read(
    data_set: AsyncIterable[Buffer], syntax: TransferSyntax, offset: int, end: int
) -> _Parts:
    """Header bytes, what they say, and the frames; `end` is where the file ends, 0 if the
    bytes are not those of the file."""
    buffer = bytearray()
    needed = 0
    found: tuple[Header, FrameTableBuilder] | None = None
    async for chunk in data_set:
        if found is not None:
            found[1].feed(chunk)
        else:
            buffer += chunk
            if len(buffer) < needed:
                continue
            scanned = scan_header(buffer, syntax.uid, complete=False)
            if isinstance(scanned, NeedMore):
                needed = max(scanned.at_least, 2 * len(buffer))
                continue
            found = scanned, _begin(buffer, scanned, syntax, offset)
        if end and found[1].value_end == end:
            return bytes(buffer), *found
    if found is None:
        last = scan_header(buffer, syntax.uid, complete=True)
        assert isinstance(last, Header)
        if not last.pixel_tag:
            return bytes(buffer), last, None
        found = last, _begin(buffer, last, syntax, offset)
    found[1].check_end()
    return bytes(buffer), *found


def _begin(
    buffer: bytearray, header: Header, syntax: TransferSyntax, offset: int
) -> FrameTableBuilder:
    """Hand what follows the header on to a builder; the buffer keeps the header."""
    builder = FrameTableBuilder(syntax, offset + header.length)
    builder.feed(bytes(memoryview(buffer)[header.length :]))
    del buffer[header.length :]
    return builder


def _put_pixel_data(attributes: JsonAttributes, name: InstanceName, tag: int, vr: str) -> None:
    key = f"{tag:08X}"
    attributes[key] = {"vr": vr, "BulkDataURI": bulk_uri(name) + key}


def _entry(
    facts: _Facts,
    came: bytes,
    header: bytes,
    attributes: JsonAttributes,
    frames: int,
    table: FrameTable | None,
    dumps: Dumps,
) -> PackEntry:
    syntax = lookup(facts.transfer_syntax)
    pixels = None
    if frames:
        pixels = pixel_format(
            attributes,
            lambda path: find_value(header, syntax.uid, path),
            structure_of(syntax).little_endian,
        )
    return PackEntry(
        name=facts.name,
        digest=facts.digest,
        size=facts.size,
        sop_class=facts.sop_class,
        transfer_syntax=facts.transfer_syntax,
        data_set_offset=facts.data_set_offset,
        number_of_frames=frames,
        frames=table,
        pixel_format=pixels,
        attributes=dumps(attributes),
        checksum=facts.checksum,
        overlay=facts.overlay.key if facts.overlay else "",
        grown=len(header) - len(came),
    )
