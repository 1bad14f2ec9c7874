"""The transcoding service: codecs in a pool of threads as wide as the machine.

imagecodecs and numpy release the interpreter lock while they work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from isocenter.core.apis import PixelFormat, Rendering
from isocenter.core.ports import Buffer
from isocenter.runtime.role import Env
from isocenter.transcoding import codecs, data_sets, rendering
from isocenter.transcoding.settings import TranscodingSettings


class TranscodingService:
    """Implements `core.apis.Transcoding`."""

    def __init__(self, settings: TranscodingSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="transcoding")

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        """See `core.apis.Transcoding`."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, codecs.decode, frame, transfer_syntax, pixels, self._settings.max_frame
        )

    def data_set(
        self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        """See `core.apis.Transcoding`."""
        return data_sets.transcode(
            data_set, transfer_syntax, target, settings=self._settings, executor=self._pool
        )

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        """See `core.apis.Transcoding`."""
        return data_sets.targets(transfer_syntax)

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        """See `core.apis.Transcoding`."""
        work = partial(
            rendering.render,
            max_bytes=self._settings.max_frame,
            max_viewport=self._settings.max_viewport,
        )
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, work, frame, transfer_syntax, pixels, how
        )

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


async def create(env: Env) -> TranscodingService:
    """The service with the settings of this process."""
    return TranscodingService(env.section(TranscodingSettings))
