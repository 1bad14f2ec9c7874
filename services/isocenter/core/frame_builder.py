"""Finding frames, and the end of a data set, while an object streams by.

The same pass proves that a data set is whole: pixel data has the length it says, encapsulated
pixel data ends with its delimiter, and what follows ends where the data ends.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable

from isocenter.core.dictionary import ITEM, SEQUENCE_DELIMITER, UNDEFINED
from isocenter.core.elements import (
    Truncated,
    broken,
    skip,
    structure_of,
)
from isocenter.core.frames import (
    EncapsulatedFrames,
    FrameTable,
    NativeFrames,
    PixelLayout,
)
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import TransferSyntax

MAX_FRAGMENTS = 1 << 21
MAX_OFFSET_TABLE = 8 * 1024 * 1024  # bytes of a Basic Offset Table that is read at all
MAX_TAIL = 16 * 1024 * 1024  # bytes behind Pixel Data, trailing padding apart
_PADDING = 0xFFFCFFFC
# How codestreams begin: JPEG and JPEG-LS, JPEG 2000 and HTJ2K, the boxes of JP2 and JPEG XL.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0c", b"\xff\x0a")


class FrameTableBuilder:
    """Reads an object from its pixel data element to its end, in bounded memory."""

    def __init__(self, syntax: TransferSyntax, offset: int) -> None:
        """`offset`: of the pixel data element in the Part 10 file, bytes."""
        self._syntax = syntax
        self._structure = structure_of(syntax)
        self._position = offset  # of the next byte in the file
        self._pending = bytearray()
        self._need = 8
        self._skip = 0
        self._then: Callable[[bytes], None] | None = self._pixel_element
        self._value_offset = 0
        self._value_length = 0
        self._encapsulated = False
        self.pixel_vr = "OW"  # as written; OW in implicit VR (PS3.5 A.1)
        self._offset_table: bytes | None = None
        self._first_item = 0
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._begins = bytearray()  # 1 where a fragment begins a codestream
        self._done = False
        self._tail = bytearray()

    @property
    def value_end(self) -> int:
        """Where native pixel data ends in the file; 0 if not known yet or encapsulated."""
        return 0 if self._encapsulated else self._value_offset + self._value_length

    @property
    def tail(self) -> bytes:
        """The elements behind Pixel Data, trailing padding apart."""
        return bytes(self._tail)

    def feed(self, chunk: Buffer) -> None:
        """Take the next bytes. Raises `Unprocessable`."""
        view = memoryview(chunk)
        size = len(view)
        at = 0
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
            elif self._then is None:
                step = size - at
                self._collect_tail(view[at:])
            else:
                step = min(self._need - len(self._pending), size - at)
                self._pending += view[at : at + step]
            at += step
            self._position += step
            if self._then is not None and len(self._pending) == self._need and not self._skip:
                data = bytes(self._pending)
                self._pending.clear()
                self._then(data)

    def _expect(self, need: int, then: Callable[[bytes], None] | None) -> None:
        self._need, self._then = need, then

    def _pixel_element(self, data: bytes) -> None:
        try:
            _, vr, length, value = self._structure.element(data, 0, len(data))
        except Truncated as error:
            self._pending += data
            self._expect(error.needed, self._pixel_element)
            return
        assert value == len(data)
        self._value_offset = self._position
        if len(vr) == 2:
            self.pixel_vr = vr
        if length == UNDEFINED:
            self._encapsulated = True
            self.pixel_vr = "OB"
            self._expect(8, self._item)
            return
        self._value_length = length
        self._skip = length
        self._done = True
        self._expect(12, self._tail_element)

    def _item(self, data: bytes) -> None:
        tag, length = self._structure.item(data, 0, 8)
        if tag == SEQUENCE_DELIMITER:
            self._done = True
            self._expect(12, self._tail_element)
            return
        assert tag == ITEM
        if length == UNDEFINED:
            raise broken("a fragment of undefined length", self._position - 8)
        if self._offset_table is None:
            self._offset_table = b""
            self._first_item = self._position + length
            if 0 < length <= MAX_OFFSET_TABLE:
                self._expect(length, self._basic_offset_table)
            else:
                self._skip = length
            return
        if len(self._offsets) >= MAX_FRAGMENTS:
            raise broken(f"more than {MAX_FRAGMENTS} fragments", self._position - 8)
        self._offsets.append(self._position)
        self._lengths.append(length)
        if length >= 4:
            self._expect(4, self._fragment)
        else:
            self._begins.append(0)
            self._skip = length

    def _basic_offset_table(self, data: bytes) -> None:
        self._offset_table = data
        self._expect(8, self._item)

    def _fragment(self, data: bytes) -> None:
        self._begins.append(data.startswith(_STARTS))
        self._skip = self._lengths[-1] - 4
        self._expect(8, self._item)

    def _tail_element(self, data: bytes) -> None:
        """The first element behind Pixel Data; padding is not kept."""
        tag, _, length, value = self._structure.element(data, 0, len(data))
        if tag == _PADDING and length != UNDEFINED:
            # A value that begins within `data` is there to that extent.
            begun = len(data) - value
            if length < begun:
                raise broken("trailing padding is longer than it says", self._position)
            self._skip = length - begun
            return
        self._expect(0, None)
        self._collect_tail(memoryview(data))

    def _collect_tail(self, data: memoryview) -> None:
        if len(self._tail) + len(data) > MAX_TAIL:
            raise broken(f"more than {MAX_TAIL} bytes behind Pixel Data", self._position)
        self._tail += data

    def check_end(self) -> None:
        """Raises `Unprocessable` unless the data set ends here."""
        if not self._done:
            what = "encapsulated pixel data has no delimiter" if self._encapsulated else "cut off"
            raise broken(f"{what} at the end of the data", self._position)
        if self._skip:
            raise broken(f"{self._skip} bytes are missing at the end of the data", self._position)
        if self._then is not None and self._pending:
            pending = bytes(self._pending)
            self._pending.clear()
            self._collect_tail(memoryview(pending))
        position, end = 0, len(self._tail)
        try:
            while position < end:
                element = self._structure.element(self._tail, position, end)
                position = skip(self._tail, element, end, self._structure, MAX_DEPTH)
        except Truncated as error:
            raise broken("the last element is cut off", self._position) from error

    def finish(self, layout: PixelLayout) -> FrameTable | None:
        """The table; None if frames cannot be told apart (one video codestream, fragments that
        do not say which frame they belong to, attributes that do not describe the pixels).

        `check_end` proves that the data set is whole; for native pixel data `finish` may be
        called as soon as `value_end` is known.
        """
        if not self._encapsulated:
            return self._native(layout)
        if self._syntax.video:
            return None
        ends = self._frame_ends(layout.count)
        if ends is None:
            return None
        fragments = b"".join(
            struct.pack("<QQ", offset, length)
            for offset, length in zip(self._offsets, self._lengths, strict=True)
        )
        return EncapsulatedFrames(fragments, struct.pack(f"<{len(ends)}I", *ends))

    def _native(self, layout: PixelLayout) -> FrameTable | None:
        if not layout.frame_bits:
            return None
        count = min(layout.count, self._value_length * 8 // layout.frame_bits)
        if not count:
            return None
        return NativeFrames(self._value_offset, layout.frame_bits, count)

    def _frame_ends(self, count: int) -> list[int] | None:
        """Per frame the number of fragments up to its end (PS3.5 A.4)."""
        total = len(self._offsets)
        if not total or count > total:
            return None
        if count == 1:
            return [total]
        if count == total:
            return list(range(1, total + 1))
        begins = self._begins_by_offset_table(count)
        if begins is None:
            begins = [index for index, begin in enumerate(self._begins) if begin]
        if len(begins) != count or begins[0] != 0:
            return None
        return [*begins[1:], total]

    def _begins_by_offset_table(self, count: int) -> list[int] | None:
        """The fragments at which frames begin, if every offset is that of an item."""
        table = self._offset_table or b""
        if len(table) != 4 * count:
            return None
        where = {offset - 8 - self._first_item: index for index, offset in enumerate(self._offsets)}
        order = self._structure.order
        begins = [where.get(offset, -1) for offset in struct.unpack(f"{order}{count}I", table)]
        if -1 in begins or begins != sorted(set(begins)):
            return None
        return begins
