"""`core.apis.Transcoding`, on the local object and over gRPC: no difference is seen."""

from __future__ import annotations

import asyncio

import pytest

from isocenter.core.apis import Region, Rendering
from isocenter.core.errors import (
    Invalid,
    Unavailable,
)
from isocenter.runtime.rpc_channel import open_channel
from isocenter.transcoding import rpc as transcoding_rpc
from support.fake_services import (
    BIG,
    PIXELS,
    PLAIN_PIXELS,
)
from support.service_pairs import ENOUGH, all_of, failing, parts


async def test_frames_are_decoded_and_rendered(service):
    api, fake = await service("transcoding")
    how = Rendering("image/png", 75, 40.0, None, 128, 64)
    assert await api.decode(BIG, "1.2.3", PIXELS) == BIG[::-1]
    assert await api.decode(b"", "1.2.3", PLAIN_PIXELS) == b""
    assert await api.render(BIG, "1.2.3", PIXELS, how) == b"PNG" + BIG
    assert fake.asked == [("1.2.3", PIXELS), ("1.2.3", PLAIN_PIXELS), ("1.2.3", PIXELS, how)]


@pytest.mark.parametrize(
    "how",
    [
        Rendering("image/jpeg"),
        Rendering(
            "image/webp", 1, -1e6, 0.25, 1, 8192, "SIGMOID", Region(0.5, 1.25, 7, 0),
            flip_horizontal=True,
        ),
        Rendering("image/gif", source=Region(height=3.5), flip_vertical=True),
    ],
)  # fmt: skip
async def test_a_rendering_arrives_as_it_was_asked_for(service, how):
    api, fake = await service("transcoding")
    await api.render(BIG, "1.2.3", PLAIN_PIXELS, how)
    assert fake.asked == [("1.2.3", PLAIN_PIXELS, how)]


async def test_a_data_set_is_transcoded_while_it_is_sent(service):
    api, fake = await service("transcoding")
    answered = asyncio.Event()

    async def sending():
        yield b"first"
        await answered.wait()  # its answer comes before the end of what is sent
        yield b"second"

    found = b""
    async with asyncio.timeout(ENOUGH):
        async for part in api.data_set(sending(), "1.2", "1.3"):
            found += part
            answered.set()
    assert found == b"tsrifdnoces"
    assert fake.asked == [("1.2", "1.3")]


async def test_a_data_set_whose_source_fails_is_not_taken_for_a_whole_one(service):
    api, fake = await service("transcoding")
    with pytest.raises(ZeroDivisionError):
        await all_of(api.data_set(failing(fake, b"some"), "1.2", "1.3"))
    async with asyncio.timeout(ENOUGH):
        await fake.closed.wait()


async def test_a_failing_transcoding_says_why(service):
    api, fake = await service("transcoding")
    fake.error = Invalid("no such syntax")
    with pytest.raises(Invalid, match="no such syntax"):
        await all_of(api.data_set(parts(BIG, BIG), "1.2", "1.3"))
    with pytest.raises(Invalid, match="no such syntax"):
        await api.decode(BIG * 4, "1.2.3", PIXELS)


async def test_targets_are_known_without_asking_again(service):
    api, _ = await service("transcoding")
    assert list(api.targets("1.2.840.10008.1.2")) == ["1.2.840.10008.1.2.1"]
    assert list(api.targets("1.2.3")) == []


async def test_targets_are_unavailable_while_the_service_has_never_answered(unused_tcp_port):
    channel = open_channel(f"127.0.0.1:{unused_tcp_port}")
    client = transcoding_rpc.TranscodingClient(channel)
    with pytest.raises(Unavailable):
        client.targets("1.2.840.10008.1.2")
    await client.close()
    await channel.close()
