"""Pictures of one GIF each put into one animation (GIF89a), while they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from isocenter.web.chunks import Chunks

_SCREEN = 13  # bytes of the header and the Logical Screen Descriptor
_DESCRIPTOR = 10  # bytes of an Image Descriptor
_TABLE = 0x80  # a flag: there is a colour table
_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_TRAILER = b"\x3b"


async def animation(pictures: AsyncIterator[bytes], delay: int) -> Chunks:
    """One file of all pictures, each shown for `delay` hundredths of a second, again and again.

    Each keeps its own colours: its table becomes the local one of its frame. Pictures are as
    `transcoding` makes them: of one size, with a global table and one image.
    """
    begun = False
    # Graphic Control Extension (GIF89a 23): nothing is transparent, nothing is disposed of.
    control = b"\x21\xf9\x04\x00" + min(delay, 65_535).to_bytes(2, "little") + b"\x00\x00"
    async for picture in pictures:
        flags = picture[10]
        size = flags & 7
        image = _SCREEN + 3 * (2 << size)
        if not begun:
            begun = True
            screen = picture[6:10] + bytes([flags & ~_TABLE & ~7]) + picture[11:_SCREEN]
            yield b"GIF89a" + screen + _FOR_EVER
        descriptor = picture[image : image + _DESCRIPTOR - 1] + bytes([_TABLE | size])
        data = picture[image + _DESCRIPTOR : -len(_TRAILER)]
        yield control + descriptor + picture[_SCREEN:image] + data
    yield _TRAILER
