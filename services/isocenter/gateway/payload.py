"""The data set of one sub-operation, read ahead so that what is broken fails before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

# An object up to this size is read, and checked against its digest, before the first byte leaves;
# a larger one that turns out to be corrupted can only end the association.
READ_AHEAD = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Payload:
    """The beginning of a data set, and its rest if there is one."""

    head: list[bytes]
    rest: AsyncIterator[bytes] | None

    @classmethod
    async def begin(cls, data: AsyncIterator[bytes]) -> Payload:
        """Read ahead. Errors of the source are raised here if they come early enough."""
        head: list[bytes] = []
        size = 0
        payload = cls(head, data)
        try:
            async for chunk in data:
                head.append(chunk)
                size += len(chunk)
                if size >= READ_AHEAD:
                    return payload
        except BaseException:
            await payload.close()
            raise
        return cls(head, None)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it, once."""
        for chunk in self.head:
            yield chunk
        self.head.clear()
        if self.rest is not None:
            async for chunk in self.rest:
                yield chunk

    async def close(self) -> None:
        """Stop reading what nobody will ask for any more."""
        close = getattr(self.rest, "aclose", None)
        if close is not None:
            await close()
