"""The same data set in another transfer syntax, while it streams by.

The header is rewritten in memory, pixel data frame by frame: native pixel data is passed on (or
swapped) in the chunks it comes in, of encapsulated pixel data one frame is held at a time. The
SOP Instance UID stays: nothing is compressed here, so nothing is lost (PS3.4 B.4.1.3 leaves the
instance what it is). Attributes that described the compressed form follow the decoded one.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from isocenter.core.apis import PixelFormat
from isocenter.core.deflate import inflate
from isocenter.core.dictionary import (
    DOUBLE_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    UNDEFINED,
)
from isocenter.core.elements import broken, head, structure_of
from isocenter.core.errors import OutOfResources, Unprocessable, Unsupported
from isocenter.core.frames import number
from isocenter.core.locate import find_value
from isocenter.core.pixels import pixel_format
from isocenter.core.ports import Buffer
from isocenter.core.reader import NeedMore, scan_header, to_json
from isocenter.core.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
    Codec,
    TransferSyntax,
    lookup,
)
from isocenter.transcoding.codecs import (
    DECODERS,
    check_format,
    decode,
    decoded_format,
    frame_bytes,
    swap,
)
from isocenter.transcoding.elements import Rewriter
from isocenter.transcoding.settings import TranscodingSettings

T = TypeVar("T")

_CHUNK = 256 * 1024
_FLOAT_VRS = {FLOAT_PIXEL_DATA: "OF", DOUBLE_PIXEL_DATA: "OD"}
_TARGETS = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
_PHOTOMETRIC_INTERPRETATION = 0x00280004
_PLANAR_CONFIGURATION = 0x00280006
# Extended Offset Table and its lengths, and the table's place in FramesOfData: encapsulation only.
_OFFSET_TABLES = frozenset({0x7FE00001, 0x7FE00002, 0x7FE00003})
# Codestreams of the JPEG family begin with SOI, SOC or the signature of JPEG XL.
_BEGINS = (b"\xff\xd8", b"\xff\x4f", b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")
_JPEG_FAMILY = frozenset(
    {
        Codec.JPEG,
        Codec.JPEG_LOSSLESS,
        Codec.JPEG_LS,
        Codec.JPEG_2000,
        Codec.HTJ2K,
        Codec.JPEG_XL,
    }
)


def targets(transfer_syntax: str) -> Sequence[str]:
    """Transfer syntaxes that can be produced from this one, best first; none if it cannot be
    decoded or is not known."""
    if transfer_syntax not in TRANSFER_SYNTAXES or transfer_syntax not in DECODERS:
        return ()
    return tuple(uid for uid in _TARGETS if uid != transfer_syntax)


async def transcode(
    chunks: AsyncIterable[Buffer],
    transfer_syntax: str,
    target: str,
    *,
    settings: TranscodingSettings,
    executor: Executor,
) -> AsyncGenerator[bytes, None]:
    """The data set in the target transfer syntax, deflated where it says so. Raises
    `Unsupported`, `Unprocessable`, `OutOfResources`."""
    if target not in targets(transfer_syntax):
        raise Unsupported(
            f"{lookup(transfer_syntax).name} cannot be turned into {lookup(target).name}",
            fix="ask for Explicit VR Little Endian, or for the transfer syntax as stored",
        )
    syntax = lookup(transfer_syntax)
    source = _Source(inflate(chunks) if syntax.deflated else chunks)
    written = _Transcoder(source, syntax, lookup(target), settings, executor).run()
    if not lookup(target).deflated:
        async for chunk in written:
            yield chunk
        return
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    async for chunk in written:
        if deflated := deflater.compress(chunk):
            yield deflated
    yield deflater.flush()


class _Source:
    """The incoming bytes, with as many held as the next step needs."""

    def __init__(self, chunks: AsyncIterable[Buffer]) -> None:
        self._chunks = aiter(chunks)
        self.held = bytearray()
        self.ended = False

    async def fill(self, size: int) -> bool:
        """Hold at least this much; False if the data set ends before."""
        while len(self.held) < size:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self.ended = True
                return False
            self.held += chunk
        return True

    async def take(self, size: int) -> bytes:
        """The next bytes. Raises `Unprocessable` if there are fewer."""
        if not await self.fill(size):
            raise broken(
                f"it is cut off in its pixel data: {size - len(self.held)} bytes are missing", 0
            )
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken

    async def chunk(self) -> bytes:
        """What is held, or whatever comes next; empty at the end."""
        if not self.held:
            await self.fill(1)
        taken = bytes(self.held)
        self.held.clear()
        return taken


@dataclass(frozen=True, slots=True)
class _Pixels:
    """What the header says about encapsulated pixel data."""

    format: PixelFormat
    frames: int
    offsets: tuple[int, ...]  # of the Extended Offset Table


class _Transcoder:
    """One data set on its way."""

    def __init__(
        self,
        source: _Source,
        syntax: TransferSyntax,
        target: TransferSyntax,
        settings: TranscodingSettings,
        executor: Executor,
    ) -> None:
        self._source = source
        self._syntax = syntax
        self._target = target
        self._settings = settings
        self._executor = executor
        self._from = structure_of(syntax)
        self._to = structure_of(target)
        self._rewriter = Rewriter(self._from, self._to)

    async def run(self) -> AsyncGenerator[bytes, None]:
        """The data set in the structure of the target."""
        header, pixel_tag = await self._header()
        if not pixel_tag:
            yield await self._rewritten(header, {})
            return
        await self._source.fill(12)
        element = self._from.element(self._source.held, 0, len(self._source.held))
        _, vr, length, value = element
        await self._source.take(value)
        bits = _pixels(header, self._syntax.uid)
        if length == UNDEFINED:
            if not self._syntax.encapsulated:
                raise broken("native pixel data of undefined length", len(header))
            parts = self._encapsulated(header, bits)
        else:
            # PS3.5 A.4: a data set of an encapsulated syntax must not hold native pixel
            # data; where it does (icons apart) the bytes are native little endian.
            parts = self._native(header, pixel_tag, vr, length, bits)
        async for part in parts:
            yield part
        yield await self._trailer()

    async def _header(self) -> tuple[bytes, int]:
        """Everything before Pixel Data, and its tag (0: there is none)."""
        source, need = self._source, _CHUNK
        while True:
            complete = not await source.fill(need)
            header = scan_header(source.held, self._syntax.uid, complete)
            if not isinstance(header, NeedMore):
                return await source.take(header.length), header.pixel_tag
            if header.at_least > self._settings.max_header:
                raise OutOfResources(
                    f"a header of more than {self._settings.max_header} bytes",
                    fix="raise max_header in the section transcoding",
                )
            need = max(header.at_least, 2 * len(source.held))

    async def _native(
        self, header: bytes, tag: int, vr: str, length: int, pixels: _Pixels | None
    ) -> AsyncGenerator[bytes, None]:
        """Pixel data of a native syntax: passed on, swapped where the byte order changes."""
        vr = _pixel_vr(tag, vr)
        yield await self._rewritten(header, {})
        yield head(self._to, tag, vr, length)
        word = 1
        if self._from.little_endian != self._to.little_endian:
            word = _word(vr, pixels.format.bits_allocated if pixels else 8)
        if length % word:
            raise broken(f"pixel data is no whole number of cells of {word} bytes", len(header))
        while length:
            chunk = await self._source.take(min(length, _CHUNK))
            length -= len(chunk)
            yield swap(chunk, word)

    async def _encapsulated(
        self, header: bytes, pixels: _Pixels | None
    ) -> AsyncGenerator[bytes, None]:
        """Decoded frames as one native element."""
        if pixels is None:
            raise Unprocessable(
                "pixel data without the attributes that describe it",
                fix="send the object with Rows, Columns and Bits Allocated (PS3.3 C.7.6.3)",
            )
        check_format(pixels.format, self._settings.max_frame)
        size = frame_bytes(pixels.format)
        total = size * pixels.frames
        if total > UNDEFINED - 2:
            raise Unsupported(
                f"{total} bytes of native pixel data do not fit one element (PS3.5 A.4)",
                fix="retrieve the object in the transfer syntax it is stored in",
            )
        after = decoded_format(self._syntax.uid, pixels.format)
        yield await self._rewritten(header, self._replaced(after))
        vr = "OW" if self._to.implicit or after.bits_allocated > 8 else "OB"
        yield head(self._to, PIXEL_DATA, vr, total + total % 2)
        done = 0
        async for frame in self._frames(pixels):
            done += 1
            if done > pixels.frames:
                break
            data = await self._off_loop(
                partial(decode, frame, self._syntax.uid, pixels.format, self._settings.max_frame)
            )
            yield data if self._to.little_endian else swap(data, after.bits_allocated // 8)
        if done != pixels.frames:
            raise Unprocessable(
                f"pixel data holds another number of frames than Number of Frames, {pixels.frames}",
                fix="send the object again as its creator wrote it",
            )
        if total % 2:
            yield b"\0"

    def _replaced(self, after: PixelFormat) -> dict[int, bytes]:
        """Attributes of the header that describe the decoded form (PS3.5 8.2)."""
        photometric = after.photometric_interpretation.encode("ascii", "replace")
        replaced = {_PHOTOMETRIC_INTERPRETATION: photometric + b" " * (len(photometric) % 2)}
        if after.samples_per_pixel > 1:
            replaced[_PLANAR_CONFIGURATION] = b"\0\0"
        return replaced

    async def _frames(self, pixels: _Pixels) -> AsyncGenerator[bytes, None]:
        """The codestreams of the frames, in order."""
        source = self._source
        offsets: set[int] = set(pixels.offsets)
        limit = self._settings.max_frame + _CHUNK
        position = -1  # of the next item, from the first byte behind the Basic Offset Table
        held = bytearray()
        while True:
            tag, length = self._from.item(await source.take(8), 0, 8)
            if tag != SEQUENCE_DELIMITER and length == UNDEFINED:
                raise broken("a fragment of undefined length", 0)
            if tag == SEQUENCE_DELIMITER:
                break
            if len(held) + length > limit:
                raise OutOfResources(
                    f"a compressed frame of more than {limit} bytes",
                    fix="raise max_frame in the section transcoding",
                )
            fragment = await source.take(length)
            if position < 0:
                offsets = offsets or _basic_offsets(fragment)
                position = 0
                continue
            if held and self._begins(fragment, position, offsets, pixels.frames):
                yield bytes(held)
                held.clear()
            held += fragment
            position += 8 + length
        if held:
            yield bytes(held)

    def _begins(self, fragment: bytes, position: int, offsets: set[int], frames: int) -> bool:
        """Whether a fragment begins another frame (PS3.5 A.4): the offset table says so, else
        there is one frame, else the fragment begins with a codestream."""
        if frames == 1:
            return False
        if len(offsets) > 1:
            return position in offsets
        if self._syntax.codec in _JPEG_FAMILY:
            return fragment.startswith(_BEGINS)
        return True

    async def _trailer(self) -> bytes:
        """What stands behind pixel data."""
        limit = self._settings.max_header
        if await self._source.fill(limit):
            raise OutOfResources(
                f"more than {limit} bytes behind pixel data",
                fix="raise max_header in the section transcoding",
            )
        rest = await self._source.take(len(self._source.held))
        return await self._rewritten(rest, {})

    async def _rewritten(self, elements: bytes, replaced: Mapping[int, bytes]) -> bytes:
        return await self._off_loop(
            partial(self._rewriter.rewrite, elements, replaced, _OFFSET_TABLES)
        )

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def _pixels(header: bytes, transfer_syntax: str) -> _Pixels | None:
    """None if the header does not describe an image."""
    attributes = to_json(header, transfer_syntax)
    little_endian = lookup(transfer_syntax).little_endian
    described = pixel_format(
        attributes, lambda path: find_value(header, transfer_syntax, path), little_endian
    )
    if described is None:
        return None
    table = find_value(header, transfer_syntax, "7FE00001") or b""
    return _Pixels(
        replace(described, planar_configuration=0),
        max(1, number(attributes, "00280008", 1)),
        struct.unpack(f"<{len(table) // 8}Q", table[: len(table) // 8 * 8]),
    )


def _basic_offsets(table: bytes) -> set[int]:
    return set(struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4]))


def _pixel_vr(tag: int, vr: str) -> str:
    """The VR of native pixel data; implicit VR always means OW (PS3.5 A.1)."""
    return _FLOAT_VRS.get(tag) or ("OB" if vr == "OB" else "OW")


def _word(vr: str, bits_allocated: int) -> int:
    """Bytes that are swapped together. Cells of 32 bits and more in OW are swapped whole, as
    every known implementation does."""
    return {"OB": 1, "OF": 4, "OD": 8}.get(vr) or max(2, bits_allocated // 8)
