"""Every transfer syntax of PS3.18 tables 8.7.3-4 and 8.7.3-5: what its frames are offered as."""

from __future__ import annotations

from email import message_from_bytes

import httpx
import pytest

from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES
from support.dicomweb_tables import FRAMES
from support.web_fakes import INSTANCE, Web

EXPLICIT = "1.2.840.10008.1.2.1"
PARTS = "multipart/related; type="


def part(answer: httpx.Response) -> tuple[str, bytes]:
    """Media type and content of the one part."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    (found,) = message_from_bytes(head + answer.content).get_payload()
    return found["Content-Type"], found.get_payload(decode=True)


def holding(syntax: str) -> Web:
    web = Web()
    web.storage.keep(syntax=syntax, frames=1)
    return web


def test_the_table_has_every_syntax_whose_frames_are_codestreams() -> None:
    hierarchical_and_others = {
        uid for uid, one in TRANSFER_SYNTAXES.items() if one.codec.value.startswith("jpeg")
    }
    fragmentable = {f"{uid}.1" for uid in FRAMES}
    ours = {uid for uid, one in TRANSFER_SYNTAXES.items() if one.encapsulated and not one.deflated}
    assert FRAMES.keys() <= ours
    assert ours - FRAMES.keys() - fragmentable <= hierarchical_and_others | {
        "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["/frames/1", "/bulkdata/7FE00010"])
@pytest.mark.parametrize("syntax", FRAMES)
async def test_frames_as_stored_have_the_media_type_of_the_table(syntax: str, place: str) -> None:
    expected = f"{FRAMES[syntax]}; transfer-syntax={syntax}", b"FRAME"
    for accept in (
        f"{PARTS}application/octet-stream; transfer-syntax=*",
        f'{PARTS}"application/octet-stream"; transfer-syntax={syntax}',
        f'{PARTS}"{FRAMES[syntax]}"',
        f'{PARTS}"{FRAMES[syntax]}"; transfer-syntax={syntax}',
        f'{PARTS}"{FRAMES[syntax].partition("/")[0]}/*"',
    ):
        answer = await holding(syntax).get(INSTANCE + place, accept=accept)
        assert part(answer) == expected, accept


@pytest.mark.parametrize("syntax", FRAMES)
async def test_a_frame_of_another_media_type_is_not_there(syntax: str) -> None:
    web = holding(syntax)
    for media in set(FRAMES.values()) - {FRAMES[syntax]}:
        answer = await web.get(INSTANCE + "/frames/1", accept=f'{PARTS}"{media}"')
        assert answer.status_code == 406
        assert FRAMES[syntax] in answer.json()["detail"]


@pytest.mark.parametrize(
    "syntax", [uid for uid, media in FRAMES.items() if media.startswith("image/")]
)
async def test_images_are_decoded_by_default_and_one_of_them_comes_alone(syntax: str) -> None:
    web = holding(syntax)
    decoded = f"application/octet-stream; transfer-syntax={EXPLICIT}", b"decoded:FRAME"
    for accept in ("*/*", f'{PARTS}"application/octet-stream"'):
        assert part(await web.get(INSTANCE + "/frames/1", accept=accept)) == decoded
    alone = await web.get(INSTANCE + "/frames/1", accept=FRAMES[syntax])
    assert alone.headers["content-type"] == f"{FRAMES[syntax]}; transfer-syntax={syntax}"
    assert alone.content == b"FRAME"


async def test_mpeg_2_also_comes_under_its_registered_name() -> None:
    syntax = "1.2.840.10008.1.2.4.100"
    answer = await holding(syntax).get(INSTANCE + "/frames/1", accept=f'{PARTS}"video/mpeg"')
    assert part(answer) == (f"video/mpeg; transfer-syntax={syntax}", b"FRAME")
