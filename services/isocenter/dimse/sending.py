"""A data set on its way out, cut into P-DATA-TF PDUs of the peer's length."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from isocenter.core.ports import Buffer
from isocenter.dimse.pdu import data_pdus, value_room


class Chunks:
    """The chunks of one data set; the last PDU is only known when there are no more."""

    def __init__(self, data: AsyncIterable[Buffer]) -> None:
        self._data = aiter(data)
        self._first: Buffer | None = None
        self.complete = False
        """Whether the last PDU was handed out."""

    async def begin(self) -> None:
        """Wait for the first chunk; errors of the source go on."""
        self._first = await anext(self._data, b"")

    async def pdus(self, context_id: int, max_length: int) -> AsyncIterator[list[Buffer]]:
        """The parts of encoded PDUs, several at a time, all of full length but the last."""
        room = value_room(max_length)
        rest = b""
        chunk = self._first
        while chunk is not None:
            whole = memoryview(rest + chunk if rest else chunk)
            full = max(0, len(whole) - 1) // room * room  # at least a byte is left for the last PDU
            rest = bytes(whole[full:])
            if full:
                yield data_pdus(context_id, 0, whole[:full], max_length, last=False)
            chunk = await anext(self._data, None)
        self.complete = True
        yield data_pdus(context_id, 0, rest, max_length, last=True)
