"""Multipart bodies as careless and hostile clients write them."""

from __future__ import annotations

import string
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocenter.core.errors import Invalid
from isocenter.web.multipart import MAX_HEADERS, MAX_PREAMBLE, BrokenBody, MultipartReader
from support.stow_requests import AdmittingIngest
from support.web_fakes import Web, part10

INNER = string.ascii_letters + string.digits + "'()+_,-./:=? "
BOUNDARIES = st.tuples(st.text(INNER, max_size=69), st.sampled_from(INNER.replace(" ", ""))).map(
    "".join
)


@dataclass(frozen=True)
class Body:
    """A well-formed body, and what is in it."""

    boundary: str
    content: bytes
    parts: list[bytes]


@st.composite
def bodies(draw: st.DrawFn, parts: st.SearchStrategy[bytes] | None = None) -> Body:
    """Any well-formed body: every boundary, preamble and epilogue, blanks, CRLF or LF."""
    boundary = draw(BOUNDARIES)
    dashes = b"--" + boundary.encode()
    newline = draw(st.sampled_from([b"\r\n", b"\n"]))
    # Data that nearly is a boundary is what a reader stumbles over.
    near = [b"\r", b"\n", b"\r\n", b"--", dashes[:-1], newline + dashes[:-1], newline + b"--"]
    nearly = st.lists(st.one_of(st.sampled_from(near), st.binary(max_size=20))).map(b"".join)
    data = nearly if parts is None else parts
    values = [value for value in draw(st.lists(data, max_size=4)) if newline + dashes not in value]
    values = [value for value in values if not value.startswith(dashes)]
    headers = draw(st.lists(st.sampled_from([b"A: 1", b"Content-Type: x/y", b"B:\t"]), max_size=3))
    blanks = draw(st.sampled_from([b"", b" ", b" \t"]))
    head = newline.join([*headers, b""]) + newline
    content = draw(st.sampled_from([b"", b"preamble", b"--" + dashes, b"a\r\n"]))
    content += newline if content else b""
    if dashes in content:
        content = b""
    for value in values:
        content += dashes + blanks + newline + head + value + newline
    content += dashes + b"--" + draw(st.sampled_from([b"", newline, newline + b"epilogue"]))
    return Body(boundary, content, values)


@st.composite
def mutants(draw: st.DrawFn, parts: st.SearchStrategy[bytes] | None = None) -> Body:
    """A body with something wrong in it."""
    body = draw(bodies(parts))
    content = bytearray(body.content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["cut", "remove", "insert", "change", "repeat"])):
            case "cut":
                del content[at:]
            case "remove":
                del content[at : at + draw(st.integers(1, 10))]
            case "insert":
                content[at:at] = draw(st.sampled_from([b"\r", b"\n", b"--", b"\0", b":", b"\xff"]))
            case "change":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case _:
                content[at:at] = content[: draw(st.integers(0, 50))]
    return Body(body.boundary, bytes(content), body.parts)


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def read(body: Body, size: int) -> list[bytes]:
    reader = MultipartReader(pieces(body.content, size), body.boundary)
    return [b"".join([chunk async for chunk in part.body]) async for part in reader.parts()]


@given(body=bodies(), size=st.integers(1, 80))
@settings(max_examples=300, deadline=None)
async def test_every_well_formed_body_is_read(body: Body, size: int) -> None:
    assert await read(body, size) == body.parts


@given(body=mutants(), size=st.integers(1, 80))
@settings(max_examples=500, deadline=None)
async def test_a_mutant_is_read_the_same_whatever_the_pieces_or_is_broken(
    body: Body, size: int
) -> None:
    seen: list[object] = []
    for one in (size, 1000):
        try:
            seen.append(await read(body, one))
        except BrokenBody:
            seen.append(BrokenBody)
    assert seen[0] == seen[1]


@given(text=st.text(max_size=80))
async def test_a_boundary_is_taken_if_it_is_one(text: str) -> None:
    allowed = 1 <= len(text) <= 70 and set(text) <= set(INNER) and not text.endswith(" ")
    if allowed:
        MultipartReader(pieces(b"", 1), text)
    else:
        with pytest.raises(Invalid):
            MultipartReader(pieces(b"", 1), text)


FILES = st.sampled_from([part10("1.1"), part10("1.2")[:-1], part10("1.3", "1.2.3"), b"", b"{}"])


@given(body=st.one_of(bodies(FILES), mutants(FILES)), quoted=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_body_makes_the_server_fail(body: Body, quoted: bool) -> None:
    boundary = f'"{body.boundary}"' if quoted else body.boundary
    kind = f"multipart/related; type=application/dicom; boundary={boundary}"
    answer = await Web(ingest=AdmittingIngest()).stow(body.content, kind)
    assert answer.status_code in (200, 202, 400, 409), answer.text
    if answer.status_code == 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"--b\r\n" + b"A: " + b"x" * MAX_HEADERS * 3,
        b"--b\r\n" + b"A: x\r\n" * MAX_HEADERS,
        b"x" * MAX_PREAMBLE * 3 + b"\r\n--b--",
        b"--b" + b" " * MAX_PREAMBLE * 3 + b"\r\n--b--",
    ],
)
async def test_what_has_no_end_is_refused_before_it_is_held(content: bytes) -> None:
    reader = MultipartReader(pieces(content, 1000), "b")
    with pytest.raises(BrokenBody):
        async for _ in reader.parts():
            pass
    assert len(reader._buffer) <= max(MAX_HEADERS, MAX_PREAMBLE) + 2000
