"""The data sets of sub-operations, read ahead: what is broken fails before it is sent, and the next
one is there when the receiver has answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from isocenter.core.apis import StoredInstance
from isocenter.core.errors import IsocenterError
from isocenter.core.ports import Buffer

# An object up to this size is read, and checked against its digest, before the first byte leaves;
# a larger one that turns out to be corrupted can only end the association.
READ_AHEAD = 8 * 1024 * 1024
_OBJECTS_AHEAD = 3  # enough to hide how long one read takes


@dataclass(frozen=True, slots=True)
class Payload:
    """The beginning of a data set, and its rest if there is one."""

    head: list[Buffer]
    rest: AsyncIterator[Buffer] | None

    @classmethod
    async def begin(cls, data: AsyncIterator[Buffer]) -> Payload:
        """Read ahead. Errors of the source are raised here if they come early enough."""
        head: list[Buffer] = []
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

    @property
    def data(self) -> Buffer | AsyncIterator[Buffer]:
        """All of it, in one piece if it is there in one piece."""
        return self.head[0] if self.rest is None and len(self.head) == 1 else self.chunks()

    async def chunks(self) -> AsyncIterator[Buffer]:
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


class DataSets(Protocol):
    """Where data sets come from: what of `core.apis.Storage` is needed."""

    def data_set(self, instance: StoredInstance) -> AsyncIterator[Buffer]:
        """See `Storage`."""
        ...


class ReadAhead:
    """The payloads of a list of instances, a few of them begun before they are asked for."""

    def __init__(self, source: DataSets, instances: Sequence[StoredInstance]) -> None:
        self._source = source
        self._instances = instances
        self._begun: dict[int, asyncio.Task[Payload]] = {}  # by position, in their order
        self._next = 0  # position of the first that was not begun
        self._ahead = 0  # bytes begun and not taken

    async def take(self, position: int) -> Payload:
        """The payload at a position of the list; the ones after it are begun. Positions grow from
        call to call, but for what is taken once more. The caller closes it."""
        if position not in self._begun:
            self._begin(position)
        self._next = max(self._next, position + 1)
        while self._next < len(self._instances) and self._may_begin(position):
            self._begin(self._next)
            self._next += 1
        return await self._pop(position)

    async def skip(self, position: int) -> None:
        """This one will not be taken."""
        if position in self._begun:
            await self._drop(position)

    async def close(self) -> None:
        """Drop what was begun and not asked for."""
        for position in list(self._begun):
            await self._drop(position)

    def _begin(self, position: int) -> None:
        instance = self._instances[position]
        data = self._source.data_set(instance)
        self._begun[position] = asyncio.create_task(Payload.begin(data))
        self._ahead += instance.size

    def _may_begin(self, position: int) -> bool:
        if self._next <= position + 1:  # it itself and the next one, whatever their size
            return True
        ahead = self._ahead + self._instances[self._next].size - self._instances[position].size
        return self._next <= position + _OBJECTS_AHEAD and ahead <= READ_AHEAD

    def _pop(self, position: int) -> asyncio.Task[Payload]:
        self._ahead -= self._instances[position].size
        return self._begun.pop(position)

    async def _drop(self, position: int) -> None:
        task = self._pop(position)
        task.cancel()
        with suppress(asyncio.CancelledError, IsocenterError):
            await (await task).close()
