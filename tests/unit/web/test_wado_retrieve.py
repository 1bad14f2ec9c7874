"""WADO-RS: objects, metadata, frames, bulk data and pictures."""

from __future__ import annotations

from email import message_from_bytes

import httpx
import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.native_model import from_xml
from isocenter.runtime.instruments import RETRIEVE_BYTES, RETRIEVE_INSTANCES
from support.telemetry import Recorder
from support.web_fakes import INSTANCE, JPEG_LS, PDF, SERIES, STUDY, Web, data_set_of, part10

EXPLICIT = "1.2.840.10008.1.2.1"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
AS_VIEWERS_ASK = "multipart/related; type=application/octet-stream; transfer-syntax=*"


def web_with(syntax: str = EXPLICIT, frames: int = 3) -> Web:
    web = Web()
    web.storage.keep(syntax=syntax, frames=frames)
    return web


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Media type and content of each part, read by an independent parser."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    found = message_from_bytes(head + answer.content).get_payload()
    assert isinstance(found, list)
    return [(part["Content-Type"], part.get_payload(decode=True)) for part in found]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path", [INSTANCE, f"/dicomweb/studies/{STUDY}/series/{SERIES}", f"/dicomweb/studies/{STUDY}"]
)
async def test_objects_come_as_stored_in_multipart(path: str) -> None:
    answer = await web_with(JPEG_LS).get(path, accept=AS_STORED)
    assert answer.status_code == 200
    ((kind, data),) = parts(answer)
    assert kind == f"application/dicom; transfer-syntax={JPEG_LS}"
    assert data == part10(syntax=JPEG_LS)


async def test_an_instance_comes_alone_with_length_and_entity_tag() -> None:
    web = web_with()
    answer = await web.get(INSTANCE, accept="application/dicom")
    assert answer.content == part10()
    assert answer.headers["content-length"] == str(len(part10()))
    again = await web.get(
        INSTANCE, accept="application/dicom", if_none_match=answer.headers["etag"]
    )
    assert (again.status_code, again.content) == (304, b"")
    assert [action for action, _ in web.audit.records] == ["retrieve"]


@pytest.mark.parametrize(("stored", "known"), [(EXPLICIT, True), (JPEG_LS, False)])
async def test_a_multipart_answer_tells_its_length_if_nothing_is_made_for_it(
    stored: str, known: bool
) -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'
    answer = await web_with(stored).get(f"/dicomweb/studies/{STUDY}", accept=accept)
    assert parts(answer)[0][1] == part10()
    length = answer.headers.get("content-length")
    assert length == (str(len(answer.content)) if known else None)


async def test_a_transfer_syntax_that_was_asked_for_is_made() -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}'
    ((kind, data),) = parts(await web_with(JPEG_LS).get(INSTANCE, accept=accept))
    assert kind.endswith(EXPLICIT)
    assert data == part10()


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/dicom; q=0",
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
        'multipart/related; type="image/png"',
    ],
)
async def test_what_cannot_be_made_is_406(accept: str) -> None:
    assert (await web_with().get(INSTANCE, accept=accept)).status_code == 406


@pytest.mark.parametrize(
    "accept", ["", "*/*", 'multipart/related; type="application/dicom"', "application/dicom"]
)
async def test_without_a_transfer_syntax_it_is_explicit_vr_little_endian(accept: str) -> None:
    answer = await web_with(JPEG_LS).get(INSTANCE, accept=accept)
    alone = accept == "application/dicom"
    kind = answer.headers["content-type"] if alone else parts(answer)[0][0]
    assert kind == f"application/dicom; transfer-syntax={EXPLICIT}"


async def test_parts_have_the_transfer_syntaxes_that_are_wanted_of_each() -> None:
    web = web_with(JPEG_LS)
    web.storage.keep("1.2.3.4.6", syntax="1.2.840.10008.1.2.4.90")
    kind = 'multipart/related; type="application/dicom"; transfer-syntax='
    answer = await web.get(
        f"/dicomweb/studies/{STUDY}", accept=f"{kind}{EXPLICIT};q=0.5, {kind}{JPEG_LS}"
    )
    assert [one.partition("=")[2] for one, _ in parts(answer)] == [JPEG_LS, EXPLICIT]


@pytest.mark.parametrize("accept", ["nonsense", "a/b; q=7", "a/b c/d", 'a/b; x="'])
async def test_a_malformed_accept_field_is_passed_over(accept: str) -> None:
    answer = await web_with().get(INSTANCE, accept=accept)
    assert answer.status_code == 406
    assert "transfer-syntax=*" in answer.json()["detail"]
    assert (await web_with().get(INSTANCE, accept=f"{accept}, */*")).status_code == 200


async def test_dicom_and_rendered_media_types_together_are_400() -> None:
    answer = await web_with().get(INSTANCE, accept="application/dicom, image/jpeg")
    assert answer.status_code == 400
    assert "8.7.5" in answer.json()["detail"]


async def test_metadata_is_one_array_with_our_bulk_data_addresses() -> None:
    web = web_with()
    web.storage.keep("1.2.3.4.6")
    answer = await web.get(f"/dicomweb/studies/{STUDY}/series/{SERIES}/metadata")
    first, second = answer.json()
    uri = first["00420011"]["BulkDataURI"]
    assert uri == f"http://pacs.test{INSTANCE}/bulkdata/00420011"
    assert second["00420011"]["BulkDataURI"] != uri
    ((_, bulk),) = parts(await web.get(uri))
    assert bulk == b"%PDF-1.7"
    assert (await web.get(uri, accept="application/octet-stream")).content == b"%PDF-1.7"


async def test_metadata_come_in_xml_each_a_part() -> None:
    web = web_with()
    web.storage.keep("1.2.3.4.6")
    accept = 'multipart/related; type="application/dicom+xml"'
    found = parts(await web.get(f"/dicomweb/studies/{STUDY}/metadata", accept=accept))
    assert {kind for kind, _ in found} == {"application/dicom+xml"}
    models = [from_xml(data) for _, data in found]
    assert models == (await web.get(f"/dicomweb/studies/{STUDY}/metadata")).json()


BULK = INSTANCE + "/bulkdata/00420011"


@pytest.mark.parametrize(
    ("given", "status", "content", "told"),
    [
        ("bytes=0-3", 206, PDF[:4], "bytes 0-3/8"),
        ("bytes=5-", 206, PDF[5:], "bytes 5-7/8"),
        ("bytes=-3", 206, PDF[-3:], "bytes 5-7/8"),
        ("bytes=-100", 206, PDF, "bytes 0-7/8"),
        ("bytes=2-100", 206, PDF[2:], "bytes 2-7/8"),
        ("Bytes = 2 - 2", 206, PDF[2:3], "bytes 2-2/8"),
        ("bytes=0-1,4-5", 200, PDF, None),
        ("bytes=3-2", 200, PDF, None),
        ("bytes=-", 200, PDF, None),
        ("lines=1-2", 200, PDF, None),
        ("bytes=8-", 416, None, "bytes */8"),
        ("bytes=-0", 416, None, "bytes */8"),
        ("bytes=" + "9" * 19 + "-", 416, None, "bytes */8"),
    ],
)
async def test_ranges_of_bulk_data(
    given: str, status: int, content: bytes | None, told: str | None
) -> None:
    answer = await web_with().get(BULK, accept="application/octet-stream", range=given)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == told
    if content is not None:
        assert answer.content == content
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["accept-ranges"] == "bytes"


async def test_a_range_of_what_has_changed_is_the_whole() -> None:
    web, accept = web_with(), "application/octet-stream"
    etag = (await web.get(BULK, accept=accept)).headers["etag"]
    kept = await web.get(BULK, accept=accept, range="bytes=0-1", if_range=etag)
    other = await web.get(BULK, accept=accept, range="bytes=0-1", if_range='"other"')
    assert (kept.content, other.content) == (PDF[:2], PDF)
    assert (await web.get(BULK, accept=accept, if_none_match=etag)).status_code == 304


async def test_an_encapsulated_document_has_its_own_media_type() -> None:
    answer = await web_with().get(BULK, accept="application/pdf")
    assert (answer.headers["content-type"], answer.content) == ("application/pdf", PDF)
    link = await web_with().get(BULK + "?accept=application/pdf", accept="text/html, */*;q=0.8")
    assert link.headers["content-type"] == "application/pdf"
    refused = await web_with().get(BULK, accept="image/png")
    assert refused.status_code == 406
    assert "application/pdf" in refused.json()["detail"]


async def test_the_bulk_data_of_encapsulated_pixel_data_is_its_frames() -> None:
    answer = await web_with(JPEG_LS).get(INSTANCE + "/bulkdata/7FE00010", accept=AS_VIEWERS_ASK)
    assert parts(answer) == [(f"image/jls; transfer-syntax={JPEG_LS}", b"FRAME")] * 3


@pytest.mark.parametrize(
    "level", [f"/dicomweb/studies/{STUDY}", f"/dicomweb/studies/{STUDY}/series/{SERIES}", INSTANCE]
)
async def test_all_bulk_data_of_a_level(level: str) -> None:
    web = web_with()
    web.storage.keep("1.2.3.4.6")
    answer = await web.get(level + "/bulkdata")
    found = parts(answer)
    assert found == [("application/octet-stream", PDF)] * (1 if level == INSTANCE else 2)
    (record,) = web.audit.records
    assert record[1]["instance_count"] == len(found)
    assert (await web.get(level + "/bulkdata", accept="image/png")).status_code == 406


async def test_unknown_things_are_404_and_malformed_ones_400() -> None:
    web = web_with()
    for path in (
        "/dicomweb/studies/9.9",
        "/dicomweb/studies/9.9/metadata",
        INSTANCE + "/frames/4",
        INSTANCE + "/bulkdata/7FE00010",
        INSTANCE + "/nothing",
        "/elsewhere",
    ):
        assert (await web.get(path)).status_code == 404, path
    for path in (
        "/dicomweb/studies/1..2",
        "/dicomweb/studies/..%2f..%2fetc/metadata",
        "/dicomweb/studies/" + "1" * 65,
        INSTANCE + "/frames/0",
        INSTANCE + "/frames/1,,2",
        INSTANCE + "/frames/x",
        INSTANCE + "/rendered?window=1",
        INSTANCE + "/rendered?quality=101",
        INSTANCE + "/rendered?viewport=0,5",
    ):
        answer = await web.get(path)
        assert answer.status_code in (400, 404), path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_is_405_with_those_allowed() -> None:
    async with Web().client() as client:
        answer = await client.delete("/dicomweb/studies")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("stored", "accept", "kind", "data"),
    [
        (EXPLICIT, AS_VIEWERS_ASK, "application/octet-stream", b"FRAME"),
        (EXPLICIT, "*/*", "application/octet-stream", b"FRAME"),
        (JPEG_LS, AS_VIEWERS_ASK, "image/jls", b"FRAME"),
        (JPEG_LS, 'multipart/related; type="image/jls"', "image/jls", b"FRAME"),
        (JPEG_LS, "*/*", "application/octet-stream", b"decoded:FRAME"),
        (
            JPEG_LS,
            'multipart/related; type="application/octet-stream"',
            "application/octet-stream",
            b"decoded:FRAME",
        ),
        (
            JPEG_LS,
            (
                'multipart/related; type="image/jls"; q=0.5, multipart/related;'
                ' type="application/octet-stream"'
            ),
            "application/octet-stream",
            b"decoded:FRAME",
        ),
        ("1.2.840.10008.1.2.2", AS_VIEWERS_ASK, "application/octet-stream", b"decoded:FRAME"),
    ],
)
async def test_frames_come_in_the_form_that_is_wanted(
    stored: str, accept: str, kind: str, data: bytes
) -> None:
    web = web_with(stored)
    found = parts(await web.get(INSTANCE + "/frames/1,3", accept=accept))
    assert [(one.partition(";")[0], content) for one, content in found] == [(kind, data)] * 2
    single = parts(await web.get(INSTANCE + "/frames/2", accept=accept))
    assert single == found[:1]
    assert [action for action, _ in web.audit.records] == ["accessed", "accessed"]


async def test_a_frame_type_that_is_not_stored_is_406() -> None:
    accept = 'multipart/related; type="image/jp2"'
    answer = await web_with(JPEG_LS).get(INSTANCE + "/frames/1", accept=accept)
    assert answer.status_code == 406
    assert "image/jls" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["", "/metadata", "/frames/1", "/rendered", "/bulkdata/00420011"])
async def test_nothing_is_sent_without_a_record(path: str) -> None:
    web = web_with()
    web.audit.error = Unavailable("the log is down")
    answer = await web.get(INSTANCE + path)
    assert answer.status_code == 503
    assert data_set_of("1.2.3.4.5") not in answer.content


async def test_objects_that_went_out_whole_are_counted_with_their_sizes() -> None:
    recorder = Recorder()
    web = Web(telemetry=recorder.telemetry)
    sizes = [web.storage.keep(f"1.2.3.4.{number}").size for number in (5, 6)]
    await web.get(f"/dicomweb/studies/{STUDY}")
    await web.get(f"{INSTANCE}/frames/1")  # a part of one
    assert recorder.values(RETRIEVE_INSTANCES) == {("DICOMweb", ""): 2}
    assert recorder.values(RETRIEVE_BYTES) == {("DICOMweb", ""): sum(sizes)}
    web.storage.corrupted = True
    await web.get(f"/dicomweb/studies/{STUDY}")  # which ends before its end
    assert recorder.values(RETRIEVE_INSTANCES) == {("DICOMweb", ""): 2}
