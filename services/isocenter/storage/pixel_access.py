"""Frames out of objects, by range reads where a frame table tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from isocenter.core.apis import Frame
from isocenter.core.deflate import inflate
from isocenter.core.dictionary import PIXEL_TAGS
from isocenter.core.errors import Corrupted, NotFound, Unsupported
from isocenter.core.frame_builder import FrameTableBuilder
from isocenter.core.frames import FrameTable, pixel_layout
from isocenter.core.json_model import to_json
from isocenter.core.packs import PackEntry
from isocenter.core.ports import BlobStore, Kept
from isocenter.core.reader import Header, scan_header
from isocenter.core.transfer_syntax import lookup

_READ_AHEAD = 4 * 1024 * 1024  # bytes of neighbouring frames that are read at once
_PIXEL_KEYS = frozenset(f"{tag:08X}" for tag in PIXEL_TAGS)
_GAP = 64  # bytes between fragments that are rather read than skipped


async def frames(
    blobs: BlobStore, entry: PackEntry, numbers: Sequence[int], inflated_limit: int
) -> AsyncIterator[Frame]:
    """Frames in the order asked for. Raises `NotFound`, `Unsupported`, `Corrupted`."""
    count = entry.number_of_frames
    for number in numbers:
        if not 1 <= number <= count:
            raise NotFound(
                f"instance {entry.name.instance} has no frame {number}",
                fix=f"it has frames 1 to {count}" if count else "it has no pixel data",
            )
    if entry.frames is not None:
        async for frame in _by_table(blobs, entry, entry.frames, numbers):
            yield frame
    elif lookup(entry.transfer_syntax).deflated:
        data, table = await _inflated_frames(blobs, entry, inflated_limit)
        for number in numbers:
            parts = [data[offset : offset + length] for offset, length in table.ranges(number)]
            yield Frame(number, table.cut(number, b"".join(parts)))
    else:
        raise Unsupported(
            f"the frames of instance {entry.name.instance} cannot be told apart",
            fix="retrieve the whole instance",
        )


async def _by_table(
    blobs: BlobStore, entry: PackEntry, table: FrameTable, numbers: Sequence[int]
) -> AsyncIterator[Frame]:
    position = 0
    while position < len(numbers):
        run, begin, end = [numbers[position]], *_span(table, numbers[position])
        for number in numbers[position + 1 :]:
            first, last = _span(table, number)
            if not (begin <= first <= end + _GAP and last - begin <= _READ_AHEAD):
                break
            run.append(number)
            end = max(end, last)
        data = await blobs.get(entry.object.key, begin, end - begin)
        if len(data) < end - begin:
            raise Corrupted(
                f"{entry.object.key} is shorter than its frame table says",
                fix="run `isocenter verify`",
            )
        for number in run:
            parts = [data[at - begin : at - begin + size] for at, size in table.ranges(number)]
            joined = parts[0] if len(parts) == 1 else b"".join(parts)
            yield Frame(number, table.cut(number, joined))
        position += len(run)


def _span(table: FrameTable, number: int) -> tuple[int, int]:
    ranges = table.ranges(number)
    return ranges[0][0], ranges[-1][0] + ranges[-1][1]


async def _inflated_frames(
    blobs: BlobStore, entry: PackEntry, limit: int
) -> tuple[bytes, FrameTable]:
    """A deflated data set as it is when inflated, and the frames in it."""
    syntax = lookup(entry.transfer_syntax)
    plain = await inflated(blobs, entry, limit)
    header = scan_header(plain, syntax.uid, complete=True)
    assert isinstance(header, Header)
    builder = FrameTableBuilder(syntax, header.length)
    builder.feed(memoryview(plain)[header.length :])
    attributes = to_json(memoryview(plain)[: header.length], syntax.uid)
    table = builder.finish(pixel_layout(attributes, header.pixel_tag))
    if table is None:
        raise Unsupported(
            f"the frames of instance {entry.name.instance} cannot be told apart",
            fix="retrieve the whole instance",
        )
    return plain, table


async def inflated(blobs: BlobStore, entry: PackEntry, limit: int) -> bytes:
    """A deflated data set as it is when inflated. Raises `OutOfResources` beyond the limit."""
    plain = bytearray()
    whole = Kept(entry.object.key, entry.digest, entry.data_set_offset, entry.checksum)
    async for piece in inflate(blobs.checked(whole), limit):
        plain += piece
    return bytes(plain)
