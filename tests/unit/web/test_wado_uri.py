"""WADO-URI: one instance by the parameters of an address."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import httpx
import imagecodecs
import numpy as np
import pytest

from isocenter.core.errors import Unavailable
from support.picture_files import gallery, gray, picture, storage_of
from support.web_fakes import JPEG_LS, SERIES, STUDY, Web, part10

EXPLICIT = "1.2.840.10008.1.2.1"
H264 = "1.2.840.10008.1.2.4.102"
PDF_CLASS = "1.2.840.10008.5.1.4.1.1.104.1"
NOISE = gray(1)[0]
ADDRESS = {
    "requestType": "WADO",
    "studyUID": STUDY,
    "seriesUID": SERIES,
    "objectUID": "1.2.3.4.5",
}


def web_with(frames: int = 1, syntax: str = EXPLICIT) -> Web:
    web = gallery()
    storage_of(web).keep_image(images=gray(*range(1, frames + 1)), syntax=syntax)
    return web


async def wado(web: Web, accept: str = "*/*", **parameters: str) -> httpx.Response:
    query = urlencode({**ADDRESS, **parameters})
    return await web.get(f"/wado?{query}", accept=accept)


# --- which form ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "parameters", "kind"),
    [
        (1, {}, "image/jpeg"),
        (3, {}, "application/dicom"),
        (0, {}, "application/dicom"),
        (1, {"contentType": "application/dicom"}, "application/dicom"),
        (1, {"contentType": "image/png"}, "image/png"),
        (1, {"contentType": "image/webp"}, "image/webp"),
        (1, {"contentType": "image/gif"}, "image/gif"),
        (3, {"contentType": "image/jpeg"}, "image/jpeg"),
        (3, {"frameNumber": "2"}, "image/jpeg"),
        (3, {"rows": "5"}, "image/jpeg"),
        (1, {"transferSyntax": EXPLICIT}, "application/dicom"),
        (1, {"contentType": "text/html, image/png;q=0.1"}, "image/png"),
    ],
)
async def test_what_comes_by_default_and_on_demand(
    frames: int, parameters: dict[str, str], kind: str
) -> None:
    web = web_with(frames)
    answer = await wado(web, **parameters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == kind
    detail = "WADO-URI" if kind == "application/dicom" else "WADO-URI rendered"
    assert [record["detail"] for _, record in web.audit.records] == [detail]


async def test_the_accept_field_counts_where_no_content_type_is_named() -> None:
    answer = await wado(web_with(), accept="application/dicom")
    assert answer.headers["content-type"].startswith("application/dicom;")
    assert (await wado(web_with(), accept="image/png")).headers["content-type"] == "image/png"
    assert (await wado(web_with(), accept="text/html")).status_code == 406


async def test_what_cannot_be_made_is_406_and_told() -> None:
    answer = await wado(web_with(), accept="video/mp4", contentType="video/mp4")
    assert answer.status_code == 406
    assert "image/jpeg, image/png, image/gif, image/webp, application/dicom" in answer.text


# --- objects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "asked", "sent"),
    [
        (EXPLICIT, "", EXPLICIT),
        (EXPLICIT, EXPLICIT, EXPLICIT),
        (EXPLICIT, JPEG_LS, EXPLICIT),  # PS3.18 9.4.1.2.3: else Explicit VR Little Endian
        (JPEG_LS, JPEG_LS, JPEG_LS),
        (JPEG_LS, "", EXPLICIT),
        (H264, H264, H264),
    ],
)
async def test_an_object_comes_in_the_transfer_syntax_asked_for_or_the_default(
    stored: str, asked: str, sent: str
) -> None:
    web = Web()  # whose transcoding leaves data sets as they are
    web.storage.keep(syntax=stored)
    parameters = {"transferSyntax": asked} if asked else {}
    answer = await wado(web, contentType="application/dicom", **parameters)
    assert answer.headers["content-type"] == f"application/dicom; transfer-syntax={sent}"
    assert answer.content == part10(syntax=sent)
    length = answer.headers.get("content-length")
    assert length == (str(len(answer.content)) if stored == sent else None)


async def test_an_object_that_cannot_be_had_in_the_default_says_how_it_can() -> None:
    answer = await wado(web_with(1, H264))
    assert answer.status_code == 406
    assert f"transferSyntax={H264}" in answer.json()["detail"]


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, NOISE),
        ({"rows": "12", "columns": "18"}, NOISE.reshape(12, 2, 18, 2).mean(axis=(1, 3))),
        ({"rows": "12"}, NOISE.reshape(12, 2, 18, 2).mean(axis=(1, 3))),
        ({"columns": "72"}, NOISE.repeat(2, 0).repeat(2, 1)),
        ({"region": "0,0,1,1"}, NOISE),
        ({"region": "0.25,0.5,0.75,1"}, NOISE[12:, 9:27]),
        (
            {"region": "0.25,0.5,0.75,1", "rows": "6", "columns": "9"},
            NOISE[12:, 9:27].reshape(6, 2, 9, 2).mean(axis=(1, 3)),
        ),
        (
            {"windowCenter": "100", "windowWidth": "50"},
            ((NOISE - 100.0) / 50 + 0.5).clip(0, 1) * 255,
        ),
        ({"imageQuality": "3"}, NOISE),  # of a lossless picture
        ({"frameNumber": "1"}, NOISE),
        ({"charset": "utf-8"}, NOISE),
    ],
)
async def test_a_picture_is_drawn_as_asked_for(
    parameters: dict[str, str], expected: np.ndarray
) -> None:
    found = picture(await wado(web_with(), contentType="image/png", **parameters))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


async def test_a_frame_of_several() -> None:
    web = web_with(3)
    second = await wado(web, contentType="image/png", frameNumber="2")
    np.testing.assert_array_equal(picture(second), gray(2)[0])
    np.testing.assert_array_equal(picture(await wado(web, contentType="image/png")), NOISE)
    assert (await wado(web, frameNumber="4")).status_code == 404
    moving = await wado(web, contentType="image/gif")
    for number in range(3):
        found = imagecodecs.gif_decode(moving.content, index=number)
        np.testing.assert_array_equal(found[:, :, 0], gray(number + 1)[0])
    still = await wado(web, contentType="image/gif", frameNumber="3")
    np.testing.assert_array_equal(picture(still)[:, :, 0], gray(3)[0])


async def test_a_document_is_passed_through_when_asked_for() -> None:
    web = web_with(0)
    storage = storage_of(web)
    storage.kept["1.2.3.4.5"] = replace(storage.kept["1.2.3.4.5"], sop_class=PDF_CLASS)
    answer = await wado(web, contentType="application/pdf")
    assert (answer.headers["content-type"], answer.content) == ("application/pdf", b"%PDF-1.7")
    assert (await wado(web)).headers["content-type"].startswith("application/dicom;")


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ADDRESS)
async def test_a_required_parameter_that_is_missing_or_wrong_is_named(name: str) -> None:
    for query in (
        {key: value for key, value in ADDRESS.items() if key != name},
        {**ADDRESS, name: ""},
        {**ADDRESS, name: "../x"},
    ):
        answer = await web_with().get(f"/wado?{urlencode(query)}")
        assert answer.status_code == 400
        assert f"parameter {name} " in answer.json()["detail"]


@pytest.mark.parametrize("name", ["studyUID", "seriesUID", "objectUID"])
async def test_what_is_not_kept_is_404(name: str) -> None:
    assert (await wado(web_with(), **{name: "9.9"})).status_code == 404


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"windowCenter": "1"}, "windowCenter and windowWidth"),
        ({"windowWidth": "1"}, "windowCenter and windowWidth"),
        ({"rows": "0"}, "rows"),
        ({"columns": "8193"}, "columns"),
        ({"region": "0,0,2,2"}, "region"),
        ({"imageQuality": "0"}, "imageQuality"),
        ({"frameNumber": "0"}, "frameNumber"),
        ({"anonymize": "no"}, "anonymize"),
        ({"contentType": "application/dicom", "rows": "5"}, "rows is not for application/dicom"),
        (
            {"contentType": "application/dicom", "windowCenter": "5", "windowWidth": "5"},
            "windowCenter is not for application/dicom",
        ),
        (
            {"contentType": "image/png", "transferSyntax": EXPLICIT},
            "transferSyntax is not for image/png",
        ),
    ],
)
async def test_a_wrong_value_is_400_and_names_the_parameter(
    parameters: dict[str, str], named: str
) -> None:
    web = web_with()
    answer = await wado(web, **parameters)
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["detail"]
    assert web.audit.records == []


async def test_pictures_of_what_has_no_pixels_are_refused() -> None:
    answer = await wado(web_with(0), rows="5")
    assert answer.status_code == 400
    assert "rows is not for application/dicom" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"anonymize": "yes"}, "not anonymized"),
        ({"annotation": "patient"}, "annotations"),
        ({"imageAnnotation": "patient,technique"}, "annotations"),
        ({"presentationUID": "1.2", "presentationSeriesUID": "1.3"}, "presentation states"),
    ],
)
async def test_what_is_not_offered_is_406_with_the_reason(
    parameters: dict[str, str], reason: str
) -> None:
    answer = await wado(web_with(), **parameters)
    assert answer.status_code == 406
    assert reason in answer.json()["detail"]


async def test_unknown_parameters_are_ignored_and_told() -> None:
    for content_type in ("image/png", "application/dicom"):
        answer = await wado(web_with(), contentType=content_type, zoom="2")
        assert answer.status_code == 200
        assert answer.headers["warning"].endswith("were ignored: zoom")


# --- transfer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["image/png", "application/dicom", "image/gif"])
async def test_what_the_client_has_is_not_sent_again(content_type: str) -> None:
    web = web_with(2)
    answer = await wado(web, contentType=content_type)
    query = urlencode({**ADDRESS, "contentType": content_type})
    again = await web.get(f"/wado?{query}", if_none_match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("content_type", ["image/png", "application/dicom", "image/gif"])
async def test_nothing_is_sent_without_a_record(content_type: str) -> None:
    web = web_with(2)
    web.audit.error = Unavailable("the log is down")
    answer = await wado(web, contentType=content_type)
    assert answer.status_code == 503


async def test_other_methods_are_405() -> None:
    async with web_with().client() as client:
        answer = await client.post("/wado")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
