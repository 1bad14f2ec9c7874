"""Coded request bodies: what they hold comes out, and no more than the limits allow."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.web.content_coding import CHUNK, FREE, MAX_RATIO, decoded
from isocenter.web.multipart import BrokenBody
from isocenter.web.problems import Problem
from support.web_fakes import Web, data_set_of, multipart, part10

LIMIT = 4 * FREE


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


CODERS = {
    "gzip": gzip.compress,
    "x-gzip": lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),
    "deflate": zlib.compress,
    "Deflate ": raw_deflate,
    "identity": bytes,
    "": bytes,
}


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def read(data: bytes, coding: str, size: int = 1000, most: int = LIMIT) -> bytes:
    return b"".join([piece async for piece in decoded(chunked(data, size), coding, most)])


@given(
    data=st.binary(max_size=300), size=st.integers(1, 400), coding=st.sampled_from(sorted(CODERS))
)
async def test_the_body_comes_out_whatever_the_chunks(data: bytes, size: int, coding: str) -> None:
    assert await read(CODERS[coding](data), coding, size) == data


@given(data=st.binary(min_size=1, max_size=300), cut=st.integers(1, 300))
async def test_a_coded_body_that_ends_early_is_broken(data: bytes, cut: int) -> None:
    for coding in ("gzip", "deflate"):
        coded = CODERS[coding](data)
        with pytest.raises(BrokenBody):
            await read(coded[: max(1, len(coded) - cut)], coding)


@given(data=st.binary(min_size=1, max_size=200), coding=st.sampled_from(["gzip", "deflate"]))
async def test_what_is_no_coded_body_is_broken(data: bytes, coding: str) -> None:
    with pytest.raises(BrokenBody, match=coding):
        await read(b"\xff" + data, coding, 7)


async def test_damage_is_seen_by_the_checksum() -> None:
    coded = bytearray(gzip.compress(b"x" * 1000))
    coded[-8] ^= 1
    with pytest.raises(BrokenBody, match="damaged"):
        await read(bytes(coded), "gzip")
    with pytest.raises(BrokenBody, match="follows"):
        await read(zlib.compress(b"x") + b"more", "deflate")


async def test_unknown_codings_are_415() -> None:
    for coding in ("br", "gzip, gzip", "\xff"):
        with pytest.raises(Problem) as raised:
            await read(b"x", coding)
        assert (raised.value.status, raised.value.headers) == (
            415,
            [(b"accept-encoding", b"gzip, deflate")],
        )


async def test_a_body_that_explodes_is_refused_before_it_is_large() -> None:
    """10 MB would become 10 GiB: of that only what the limit allows is ever decoded."""
    inner = gzip.compress(bytes(64 * 1024**2), 9)
    bomb = inner * 160
    sizes: list[int] = []

    async def count() -> None:
        pieces = decoded(chunked(bomb, 4096), "gzip", 1 << 40)
        while piece := await anext(pieces, b""):
            sizes.append(len(piece))

    with pytest.raises(Problem) as raised:
        await count()
    assert raised.value.status == 413
    assert max(sizes) <= CHUNK
    assert sum(sizes) <= FREE


async def test_a_body_that_shrinks_well_is_taken() -> None:
    data = bytes(range(256)) * (FREE // 128)
    assert len(data) > FREE
    coded = gzip.compress(data[: len(data) // 2], 1) + gzip.compress(data[len(data) // 2 :], 1)
    assert len(data) / len(coded) < MAX_RATIO
    assert await read(coded, "gzip", 65536) == data


async def test_the_limit_counts_what_is_decoded() -> None:
    with pytest.raises(Problem) as raised:
        await read(gzip.compress(bytes(2000)), "gzip", most=1999)
    assert raised.value.status == 413
    assert await read(gzip.compress(bytes(2000)), "gzip", most=2000) == bytes(2000)


async def post(web: Web, body: bytes, **headers: str) -> int:
    async with web.client() as client:
        sent = {
            "content-type": 'multipart/related; type="application/dicom"; boundary=b0',
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return (await client.post("/dicomweb/studies", content=body, headers=sent)).status_code


async def test_coded_objects_are_stored() -> None:
    web = Web()
    body = multipart(part10("1.1"), part10("1.2"))
    assert await post(web, gzip.compress(body), content_encoding="gzip") == 200
    assert web.ingest.received == {"1.1": data_set_of("1.1"), "1.2": data_set_of("1.2")}
    assert await post(web, zlib.compress(body), content_encoding="deflate") == 200
    assert await post(web, body, content_encoding="br") == 415
    assert await post(web, body, content_encoding="gzip") == 400
    assert await post(web, gzip.compress(body)[:-1], content_encoding="gzip") == 400
    web.settings = web.settings.model_copy(update={"max_upload": 600})
    assert len(gzip.compress(body)) < 600 < len(body)
    assert await post(web, gzip.compress(body), content_encoding="gzip") == 413
