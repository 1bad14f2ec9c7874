"""A data set on its way out, cut into P-DATA-TF PDUs of the peer's length."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from isocenter.core.ports import Buffer
from isocenter.dimse.pdu import data_pdus, value_room

# PDUs are joined up to about this size before they are written.
_WRITE_SIZE = 256 * 1024


class Chunks:
    """The chunks of one data set; the last PDU is only known when there are no more."""

    def __init__(self, data: Buffer | AsyncIterable[Buffer]) -> None:
        self._data = _once(data) if isinstance(data, Buffer) else aiter(data)
        self._first: Buffer | None = None
        self.complete = False
        """Whether the last PDU was handed out."""

    async def begin(self) -> None:
        """Wait for the first chunk; errors of the source go on."""
        self._first = await anext(self._data, b"")

    async def pdus(self, context_id: int, max_length: int) -> AsyncIterator[bytes]:
        """Encoded PDUs, several at a time, all of full length but the last."""
        room = value_room(max_length)
        rest = b""
        chunk = self._first
        while chunk is not None:
            for part in _slices(chunk):
                whole = memoryview(rest + part if rest else part)
                full = (len(whole) - 1) // room * room  # at least a byte is left for the last PDU
                if full > 0:
                    yield b"".join(data_pdus(context_id, 0, whole[:full], max_length, last=False))
                    rest = bytes(whole[full:])
                else:
                    rest = bytes(whole)
            chunk = await anext(self._data, None)
        self.complete = True
        yield b"".join(data_pdus(context_id, 0, rest, max_length, last=True))


def _slices(chunk: Buffer) -> list[memoryview]:
    view = memoryview(chunk)
    return [view[start : start + _WRITE_SIZE] for start in range(0, len(view), _WRITE_SIZE)]


async def _once(data: Buffer) -> AsyncIterator[Buffer]:
    yield data
