"""Storing over gRPC: Part 10 files out of one stream of messages, each answered in its turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from isocenter.core.access_api import Asker
from isocenter.core.apis import Announcement, Ingest, Stored
from isocenter.core.errors import DeadlineExceeded, Invalid, IsocenterError
from isocenter.core.part10 import split
from isocenter.core.ports import Buffer
from isocenter.runtime.wire import name_to
from isocenter.v1 import archive_pb2
from isocenter.web.stow_answers import FAILURE_REASONS

logger = logging.getLogger(__name__)

Requests = AsyncIterator[archive_pb2.StoreObjectsRequest]


class BrokenStream(Invalid):
    """The stream ended within a file."""


class Stalled(DeadlineExceeded):
    """The caller sends nothing more."""


class _Files:
    """The files of a stream, one at a time."""

    def __init__(self, requests: Requests, stall_timeout: float) -> None:
        self._requests = requests
        self._stall_timeout = stall_timeout
        self._ended = False  # this file

    async def next(self) -> archive_pb2.StoreObjectsRequest | None:
        """The next message; None at the end of the stream. Raises `Stalled`."""
        try:
            async with asyncio.timeout(self._stall_timeout):
                return await anext(self._requests, None)
        except TimeoutError:
            raise Stalled(
                f"nothing was sent for {self._stall_timeout:.0f} s",
                fix="send without long pauses, and close the stream behind the last file",
            ) from None

    async def data(self, first: archive_pb2.StoreObjectsRequest) -> AsyncGenerator[Buffer, None]:
        """The file that a message begins. Raises `BrokenStream`, `Stalled`."""
        self._ended = first.end
        if first.data:
            yield first.data
        while not self._ended:
            request = await self.next()
            if request is None:
                raise BrokenStream(
                    "the stream ended within a file", fix="set `end` in the last message of each"
                )
            self._ended = request.end
            if request.data:
                yield request.data

    async def skip(self) -> None:
        """The rest of a file that is refused. Raises `BrokenStream`, `Stalled`."""
        nothing = archive_pb2.StoreObjectsRequest(end=self._ended)
        async with aclosing(self.data(nothing)) as rest:
            async for _ in rest:
                pass


async def answers_of(
    requests: Requests, ingest: Ingest, by: Asker, stall_timeout: float
) -> AsyncGenerator[archive_pb2.StoreObjectsResponse, None]:
    """What became of each file, as soon as it is known. A file that is refused ends nothing.

    `stall_timeout`: how long the caller may send nothing, seconds.
    """
    files = _Files(requests, stall_timeout)
    number = 0
    while (first := await files.next()) is not None:
        number += 1
        try:
            async with aclosing(files.data(first)) as data:
                stored = await _store(data, ingest, by)
        except (BrokenStream, Stalled):
            raise
        except IsocenterError as error:
            logger.warning("an instance is not kept", extra={"error": str(error)})
            await files.skip()
            failure = archive_pb2.StoreFailure(
                reason=FAILURE_REASONS[error.code], message=str(error)
            )
            yield archive_pb2.StoreObjectsResponse(number=number, failure=failure)
        else:
            yield archive_pb2.StoreObjectsResponse(
                number=number,
                name=name_to(stored.name),
                sop_class=stored.sop_class,
                transfer_syntax=stored.transfer_syntax,
                digest=stored.digest,
                size=stored.size,
                coerced=stored.coerced,
            )


async def _store(file: AsyncGenerator[Buffer, None], ingest: Ingest, by: Asker) -> Stored:
    meta, data_set = await split(file)
    announcement = Announcement(by.source, by.caller, meta.transfer_syntax)
    async with aclosing(data_set):
        return await ingest.store(announcement, data_set)
