"""STOW-RS: parts become objects, outcomes become PS3.18 responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from isocenter.core.errors import (
    Conflict,
    IsocenterError,
    Mismatch,
    OutOfResources,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from support.web_fakes import STUDY, Web, data_set_of, multipart, part10


def reasons(document: dict[str, Any], sequence: str = "00081198") -> list[int]:
    """The Failure Reasons of a response."""
    return [item["00081197"]["Value"][0] for item in document[sequence]["Value"]]


async def test_stored_objects_are_answered_with_200_and_their_addresses() -> None:
    web = Web()
    body = multipart(part10("1.1"), part10("1.2"))
    answer = await web.stow(body, path=f"/dicomweb/studies/{STUDY}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    document = answer.json()
    assert document["00081190"]["Value"] == [f"http://pacs.test/dicomweb/studies/{STUDY}"]
    first = document["00081199"]["Value"][0]
    assert first["00081155"]["Value"] == ["1.1"]
    assert first["00081190"]["Value"][0].endswith("/instances/1.1")
    assert "00081198" not in document
    assert web.ingest.received == {"1.1": data_set_of("1.1"), "1.2": data_set_of("1.2")}
    announced = web.ingest.announced[0]
    # The data set names the instance, not the File Meta Information.
    assert (announced.study, announced.sop_class, announced.instance) == (STUDY, "", "")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unprocessable("x"), 0xC000),
        (Mismatch("x"), 0xC000),
        (Unsupported("x"), 0xC122),
        (Conflict("x"), 0x0111),
        (OutOfResources("x"), 0xA700),
        (IsocenterError("x"), 0x0110),
    ],
)
async def test_a_part_that_fails_is_202_with_its_reason(error: IsocenterError, reason: int) -> None:
    web = Web()
    web.ingest.errors["1.1"] = error
    answer = await web.stow(multipart(part10("1.1"), part10("1.2")))
    assert answer.status_code == 202
    assert reasons(answer.json()) == [reason]
    assert len(answer.json()["00081199"]["Value"]) == 1


async def test_parts_that_are_not_dicom_are_failures_of_their_own() -> None:
    answer = await Web().stow(multipart(b"<html>", b""))
    assert answer.status_code == 409
    assert reasons(answer.json(), "0008119A") == [0xC000, 0xC000]
    answer = await Web().stow(multipart(b"{}", media="application/json"))
    assert answer.status_code == 409


async def test_an_unknown_transfer_syntax_has_its_own_reason() -> None:
    web = Web()
    web.ingest.errors["1.1"] = Unsupported("x")
    answer = await web.stow(multipart(part10("1.1", "1.2.3")))
    assert answer.status_code == 409
    assert reasons(answer.json()) == [0xC122]


@pytest.mark.parametrize(("error", "status"), [(OutOfResources("x"), 507), (Unavailable("x"), 503)])
async def test_if_nothing_fits_or_the_log_is_down_the_request_fails(
    error: IsocenterError, status: int
) -> None:
    web = Web()
    web.ingest.errors["1.1"] = error
    assert (await web.stow(multipart(part10("1.1")))).status_code == status


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        'multipart/form-data; boundary="b0"',
        'multipart/related; type="image/jpeg"; boundary=b0',
        "multipart/related; boundary=b0",
    ],
)
async def test_other_media_types_are_415(content_type: str) -> None:
    answer = await Web().stow(b"", content_type)
    assert answer.status_code == 415
    assert "multipart/related" in answer.headers["accept-post"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", ""),
        (b"no boundary at all", ""),
        (b"--b0--\r\n", ""),
        (multipart(part10())[:-8], ""),
        (multipart(part10())[:200], ""),
        (b"--b0\r\nno colon\r\n\r\n\r\n--b0--", ""),
        (b"--b0\r\n" + b"A: " + b"x" * 20_000, ""),
        (b"x" * 100_000 + multipart(part10()), ""),
        (multipart(part10()), 'multipart/related; type="application/dicom"'),
        (multipart(part10()), 'multipart/related; type="application/dicom"; boundary=""'),
        (b"", f'multipart/related; type="application/dicom"; boundary={"b" * 71}'),
        (b"", "multipart"),
    ],
)
async def test_a_malformed_body_is_400(body: bytes, content_type: str) -> None:
    web = Web()
    answer = await web.stow(body, content_type)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert web.ingest.received == {} or body.startswith(b"x") is False


async def test_a_truncated_part_is_never_stored() -> None:
    web = Web()
    answer = await web.stow(multipart(part10("1.1"), part10("1.2"))[:-20])
    assert answer.status_code == 400
    assert list(web.ingest.received) == ["1.1"]


async def test_limits_on_size_and_number_are_413() -> None:
    web = Web()
    web.settings = web.settings.model_copy(update={"max_upload": 1000, "max_parts": 1})
    assert (await web.stow(multipart(part10() * 5))).status_code == 413

    async def chunked() -> AsyncIterator[bytes]:
        yield multipart(b"\0" * 2000)

    assert (await web.stow(chunked())).status_code == 413
    web.settings = web.settings.model_copy(update={"max_upload": 100_000})
    assert (await web.stow(multipart(part10("1.1"), part10("1.2")))).status_code == 413


async def test_a_single_object_may_be_the_body() -> None:
    web = Web()
    answer = await web.stow(part10("1.1"), "application/dicom", f"/dicomweb/studies/{STUDY}")
    assert answer.status_code == 200
    assert web.ingest.received == {"1.1": data_set_of("1.1")}
    assert web.ingest.announced[0].study == STUDY
    answer = await web.stow(part10("1.1"), "Application/DICOM; transfer-syntax=1.2.840.10008.1.2.1")
    assert answer.status_code == 200
    answer = await web.stow(b"nothing of the kind", "application/dicom")
    assert answer.status_code == 409
    assert reasons(answer.json(), "0008119A") == [0xC000]


async def test_a_request_without_a_length_is_411() -> None:
    web = Web()
    kind = b'multipart/related; type="application/dicom"; boundary=b0'
    async with web.listening() as (role, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", role.port)
        writer.write(
            b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: " + kind + b"\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 411 ")
