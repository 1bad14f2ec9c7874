"""Transcoding over gRPC: the servicer and the client of `core.apis.Transcoding`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict

import grpc.aio
from pydicom.uid import AllTransferSyntaxes

from isocenter.core.apis import PixelFormat, Region, Rendering, Transcoding
from isocenter.core.errors import IsocenterError, Unavailable
from isocenter.core.ports import Buffer
from isocenter.runtime.rpc_channel import UNARY_SECONDS, connected
from isocenter.runtime.rpc_errors import answers_errors, raised_by_peer
from isocenter.runtime.rpc_pieces import at_once, gathered, lean_channel, lean_server
from isocenter.runtime.rpc_stream import (
    as_chunks,
    collected,
    each,
    exchange,
    first_of,
    uploaded,
)
from isocenter.runtime.wire import pixels_from, pixels_to
from isocenter.v1 import storage_pb2, transcoding_pb2, transcoding_pb2_grpc

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[object, object]


_RETRY_SECONDS = 1.0


class TranscodingServicer(transcoding_pb2_grpc.TranscodingServiceServicer):
    """Answers calls with a local `Transcoding`."""

    def __init__(self, service: Transcoding) -> None:
        self._service = service

    @answers_errors
    async def Decode(  # noqa: N802 (named in the proto)
        self, request_iterator: AsyncIterator[transcoding_pb2.DecodeRequest], context: Context
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """One frame as native bytes."""
        del context
        task = (await first_of(request_iterator, "frame")).frame
        frame = await collected(uploaded(request_iterator))
        decoded = await self._service.decode(frame, task.transfer_syntax, pixels_from(task.pixels))
        async for chunk in as_chunks(each([decoded])):
            yield chunk

    @answers_errors
    async def TranscodeDataSet(  # noqa: N802 (named in the proto)
        self,
        request_iterator: AsyncIterator[transcoding_pb2.TranscodeDataSetRequest],
        context: Context,
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """The same data set in another transfer syntax."""
        del context
        task = (await first_of(request_iterator, "task")).task
        transcoded = self._service.data_set(
            uploaded(request_iterator), task.transfer_syntax, task.target
        )
        async with aclosing(as_chunks(transcoded)) as chunks:
            async for chunk in chunks:
                yield chunk

    @answers_errors
    async def Targets(  # noqa: N802 (named in the proto)
        self, request: transcoding_pb2.TargetsRequest, context: Context
    ) -> transcoding_pb2.TargetsResponse:
        """The whole table: it is small and does not change while a process runs."""
        del request, context
        targets = transcoding_pb2.TargetsResponse.Targets
        return transcoding_pb2.TargetsResponse(
            by_transfer_syntax={
                str(uid): targets(transfer_syntaxes=self._service.targets(str(uid)))
                for uid in AllTransferSyntaxes
            }
        )

    @answers_errors
    async def Render(  # noqa: N802 (named in the proto)
        self, request_iterator: AsyncIterator[transcoding_pb2.RenderRequest], context: Context
    ) -> AsyncIterator[storage_pb2.Chunk]:
        """One frame as an image file."""
        del context
        task = (await first_of(request_iterator, "task")).task
        frame = await collected(uploaded(request_iterator))
        source = task.source
        how = Rendering(
            media_type=task.media_type,
            quality=task.quality,
            window_center=task.window_center if task.HasField("window_center") else None,
            window_width=task.window_width if task.HasField("window_width") else None,
            columns=task.columns,
            rows=task.rows,
            window_function=task.window_function,
            source=Region(source.x, source.y, source.width, source.height),
            flip_horizontal=task.flip_horizontal,
            flip_vertical=task.flip_vertical,
        )
        image = await self._service.render(
            frame, task.transfer_syntax, pixels_from(task.pixels), how
        )
        async for chunk in as_chunks(each([image])):
            yield chunk


class TranscodingClient:
    """`Transcoding` in another process."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Begins to learn what the service can produce; needs a running event loop."""
        self._channel = channel
        self._stub = transcoding_pb2_grpc.TranscodingServiceStub(lean_channel(channel))
        self._targets: dict[str, tuple[str, ...]] = {}
        self._learning = asyncio.create_task(self._learn())

    async def _learn(self) -> None:
        while not self._targets:
            try:
                with raised_by_peer():
                    response = await self._stub.Targets(
                        transcoding_pb2.TargetsRequest(),
                        wait_for_ready=True,
                        timeout=UNARY_SECONDS,
                    )
            except IsocenterError as error:
                logger.warning("transcoding does not answer", extra={"error": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._targets = {
                uid: tuple(targets.transfer_syntaxes)
                for uid, targets in response.by_transfer_syntax.items()
            }

    async def ready(self) -> None:
        """Wait until `targets` can answer."""
        await asyncio.shield(self._learning)

    async def close(self) -> None:
        """Stop asking. The channel is its owner's to close."""
        self._learning.cancel()
        await asyncio.wait([self._learning])

    async def decode(self, frame: bytes, transfer_syntax: str, pixels: PixelFormat) -> bytes:
        """One frame as native bytes."""
        await connected(self._channel)
        request = transcoding_pb2.DecodeRequest
        first = request(
            frame=request.Frame(transfer_syntax=transfer_syntax, pixels=pixels_to(pixels))
        )
        call = self._stub.Decode(timeout=UNARY_SECONDS)
        return await collected(exchange(call, first, gathered(each([frame]), request)))

    async def data_set(
        self, data_set: AsyncIterable[Buffer], transfer_syntax: str, target: str
    ) -> AsyncIterator[bytes]:
        """The same data set in another transfer syntax."""
        await connected(self._channel)
        request = transcoding_pb2.TranscodeDataSetRequest
        first = request(task=request.Task(transfer_syntax=transfer_syntax, target=target))
        messages = at_once(data_set, request, request(complete=True))
        call = self._stub.TranscodeDataSet()
        async with aclosing(exchange(call, first, messages)) as transcoded:
            async for part in transcoded:
                yield part

    def targets(self, transfer_syntax: str) -> Sequence[str]:
        """Transfer syntaxes that `data_set` can produce from this one, best first.

        Raises `Unavailable` as long as the service has never answered.
        """
        if not self._targets:
            raise Unavailable("transcoding has not answered yet", fix="see whether it runs")
        return self._targets.get(transfer_syntax, ())

    async def render(
        self, frame: bytes, transfer_syntax: str, pixels: PixelFormat, how: Rendering
    ) -> bytes:
        """One frame as an image file."""
        await connected(self._channel)
        request = transcoding_pb2.RenderRequest
        first = request(
            task=request.Task(
                transfer_syntax=transfer_syntax,
                pixels=pixels_to(pixels),
                media_type=how.media_type,
                quality=how.quality,
                window_center=how.window_center,
                window_width=how.window_width,
                columns=how.columns,
                rows=how.rows,
                window_function=how.window_function,
                source=transcoding_pb2.Region(**asdict(how.source)),
                flip_horizontal=how.flip_horizontal,
                flip_vertical=how.flip_vertical,
            )
        )
        call = self._stub.Render(timeout=UNARY_SECONDS)
        return await collected(exchange(call, first, gathered(each([frame]), request)))


def add_to(server: grpc.aio.Server, service: Transcoding) -> Sequence[str]:
    """Register the service; answers with its full name."""
    servicer = TranscodingServicer(service)
    transcoding_pb2_grpc.add_TranscodingServiceServicer_to_server(servicer, lean_server(server))
    return [transcoding_pb2.DESCRIPTOR.services_by_name["TranscodingService"].full_name]
