"""Rendered resources, judged by the pixels that come out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import numpy as np
import pytest

from isocenter.core.apis import PixelFormat
from isocenter.core.errors import Unavailable
from support.picture_files import (
    COLUMNS,
    H264,
    JPIP,
    PNG_PARTS,
    ROWS,
    SERIES_URL,
    STUDY_URL,
    files,
    gallery,
    gray,
    multi_frame,
    one_frame,
    picture,
    pictures,
    storage_of,
    study,
)
from support.web_fakes import INSTANCE

# --- levels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [INSTANCE, INSTANCE + "/frames/1", SERIES_URL, STUDY_URL])
async def test_one_picture_comes_alone_at_every_level(path: str) -> None:
    answer = await one_frame().get(path + "/rendered", accept="image/png")
    assert answer.headers["content-type"] == "image/png"
    assert int(answer.headers["content-length"]) == len(answer.content)
    np.testing.assert_array_equal(picture(answer), gray(1)[0])


@pytest.mark.parametrize("accept", ["*/*", "image/*", "image/jpeg"])
async def test_the_default_is_jpeg(accept: str) -> None:
    answer = await one_frame().get(INSTANCE + "/rendered", accept=accept)
    assert answer.headers["content-type"] == "image/jpeg"
    assert picture(answer).shape == (ROWS, COLUMNS)


async def test_one_picture_comes_in_a_part_where_parts_are_asked_for() -> None:
    answer = await one_frame().get(INSTANCE + "/rendered", accept=PNG_PARTS)
    ((media_type, place, _),) = files(answer)
    assert (media_type, place) == ("image/png", f"http://pacs.test{INSTANCE}/frames/1/rendered")
    np.testing.assert_array_equal(pictures(answer), gray(1))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (INSTANCE, [1, 2, 3]),
        (INSTANCE + "/frames/3,1", [3, 1]),
        (SERIES_URL, [1, 2, 3]),
        (STUDY_URL, [1, 2, 3]),
    ],
)
async def test_several_frames_come_as_parts_in_their_order(path: str, shown: list[int]) -> None:
    web = multi_frame()
    answer = await web.get(path + "/rendered", accept=PNG_PARTS)
    assert answer.headers["content-type"].startswith('multipart/related; type="image/png"; ')
    np.testing.assert_array_equal(pictures(answer), gray(*shown))
    assert [place for _, place, _ in files(answer)] == [
        f"http://pacs.test{INSTANCE}/frames/{number}/rendered" for number in shown
    ]
    assert "multipart/related" in (await web.get(path + "/rendered")).headers["content-type"]


async def test_several_pictures_do_not_fit_into_one_file_unless_it_moves() -> None:
    answer = await multi_frame().get(INSTANCE + "/rendered", accept="image/jpeg, image/png;q=0.5")
    assert answer.status_code == 406
    assert 'multipart/related; type="image/png"' in answer.json()["detail"]
    assert "image/gif," in answer.json()["detail"]


async def test_a_study_gives_what_can_be_drawn_of_it() -> None:
    web = study()
    answer = await web.get(STUDY_URL + "/rendered", accept=PNG_PARTS)
    np.testing.assert_array_equal(pictures(answer), gray(1, 10, 20, 11, 21, 9, 19))
    assert [(action, record["instance_count"]) for action, record in web.audit.records] == [
        ("retrieve", 4)
    ]


async def test_a_study_gives_its_documents() -> None:
    answer = await study().get(
        STUDY_URL + "/rendered", accept='multipart/related; type="application/pdf"'
    )
    ((media_type, place, file),) = files(answer)
    assert (media_type, file) == ("application/pdf", b"%PDF-1.7")
    assert place.endswith("/instances/1.2.3.5.30/rendered")
    alone = await study().get(STUDY_URL + "/rendered", accept="application/pdf")
    assert (alone.status_code, alone.content) == (200, b"%PDF-1.7")


async def test_a_document_is_passed_through() -> None:
    web = study()
    path = f"{STUDY_URL}/series/1.2.3.5/instances/1.2.3.5.30"
    answer = await web.get(path + "/rendered")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content == b"%PDF-1.7"
    assert (await web.get(path + "/rendered", accept="image/jpeg")).status_code == 406
    assert (await web.get(path + "/frames/1/rendered")).status_code == 404


@pytest.mark.parametrize(
    ("syntax", "frames", "reason"),
    [("1.2.840.10008.1.2.1", 0, "no pixel data"), (H264, 1, "video"), (JPIP, 1, "referenced")],
)
@pytest.mark.parametrize("path", [INSTANCE, SERIES_URL, STUDY_URL])
async def test_where_nothing_can_be_drawn_the_reason_is_told(
    path: str, syntax: str, frames: int, reason: str
) -> None:
    web = gallery()
    storage_of(web).keep_image(images=gray(*range(frames)), syntax=syntax)
    answer = await web.get(path + "/rendered", accept="video/mp4, text/html, image/jpeg")
    assert answer.status_code == 406
    assert reason in answer.json()["detail"]
    assert (await web.get(path + "/thumbnail")).status_code == 404
    assert web.audit.records == []


@pytest.mark.parametrize(
    ("path", "status"), [("/frames/4", 404), ("/frames/1,4", 404), ("/frames/0", 400)]
)
@pytest.mark.parametrize("what", ["/rendered", "/thumbnail"])
async def test_frames_that_do_not_exist(path: str, status: int, what: str) -> None:
    answer = await multi_frame().get(INSTANCE + path + what)
    assert answer.status_code == status


async def test_an_instance_that_proves_undrawable_is_left_out_of_a_study() -> None:
    web = one_frame()
    storage = storage_of(web)
    odd = PixelFormat(ROWS, COLUMNS, 1, 8, 8, 0, "HSV", 0)
    good = storage.pixels

    async def pixel_format(instance: object) -> PixelFormat:
        return odd if instance == storage.kept["1.2.3.4.5"] else good

    storage.pixel_format = pixel_format  # type: ignore[method-assign, assignment]
    assert (await web.get(STUDY_URL + "/rendered", accept=PNG_PARTS)).status_code == 406
    storage.keep_image("1.2.3.4.7", gray(7))
    answer = await web.get(STUDY_URL + "/rendered", accept=PNG_PARTS)
    np.testing.assert_array_equal(pictures(answer), gray(7))


async def test_an_image_with_nothing_in_the_region_is_left_out_of_a_study() -> None:
    web = one_frame()
    storage = storage_of(web)
    small = np.zeros((2, 2), np.uint8)
    tiny = storage.keep_image("1.2.3.4.6", [small])
    whole = storage.pixels

    async def pixel_format(instance: object) -> PixelFormat:
        return replace(whole, rows=2, columns=2) if instance == tiny else whole

    storage.pixel_format = pixel_format  # type: ignore[method-assign, assignment]
    url = STUDY_URL + "/rendered?viewport=32,20,4,4"
    found = pictures(await web.get(url, accept=PNG_PARTS))
    np.testing.assert_array_equal(found, [gray(1)[0][4:, 4:]])
    del storage.kept["1.2.3.4.5"]
    assert (await web.get(url, accept=PNG_PARTS)).status_code == 400


# --- parameters ----------------------------------------------------------------------------------

NOISE = gray(1)[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("viewport=36,24", NOISE),
        ("viewport=18,12", NOISE.reshape(12, 2, 18, 2).mean(axis=(1, 3))),
        ("viewport=18,500", NOISE.reshape(12, 2, 18, 2).mean(axis=(1, 3))),
        ("viewport=72,72", NOISE.repeat(2, 0).repeat(2, 1)),
        ("viewport=10,5,4,3,10,5", NOISE[3:8, 4:14]),
        ("viewport=10,5,-4,-3,10,5", NOISE[3:8, 4:14]),
        ("viewport=10,5,4,3,-10,5", NOISE[3:8, 13:3:-1]),
        ("viewport=10,5,4,3,10,-5", NOISE[7:2:-1, 4:14]),
        ("viewport=36,24,,,-36,-24", NOISE[::-1, ::-1]),
        ("viewport=18,18,18,6", NOISE[6:, 18:]),
        ("viewport=18,24,18", NOISE[:, 18:]),
        ("viewport=36,20,,4", NOISE[4:]),
        ("viewport=20,8,4.0,2.0,10.0,4.0", NOISE[2:6, 4:14].repeat(2, 0).repeat(2, 1)),
        ("viewport=36,24,0.5,0.5,35,23", None),
        ("window=100,50,linear", ((NOISE - 99.5) / 49 + 0.5).clip(0, 1) * 255),
        ("window=100,50,linear-exact", ((NOISE - 100.0) / 50 + 0.5).clip(0, 1) * 255),
        ("window=100,50,sigmoid", 255 / (1 + np.exp(-4 * (NOISE - 100.0) / 50))),
        ("window=100,50", ((NOISE - 100.0) / 50 + 0.5).clip(0, 1) * 255),
        ("window=100,1,linear", (NOISE > 99.5) * 255.0),
        ("window=-1e12,1e12,linear-exact", np.full(NOISE.shape, 255.0)),
        ("window=1e12,0.000001,sigmoid", np.zeros(NOISE.shape)),
        ("iccprofile=no", NOISE),
        ("charset=utf-8", NOISE),
        ("quality=1", NOISE),  # of a lossless picture
    ],
)
async def test_a_picture_is_drawn_as_asked_for(query: str, expected: np.ndarray | None) -> None:
    answer = await one_frame().get(f"{INSTANCE}/rendered?{query}", accept="image/png")
    found = picture(answer)
    assert "warning" not in answer.headers
    if expected is None:
        assert found.shape == (24, 36)
    else:
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1


async def test_parameters_hold_for_every_picture_of_a_study() -> None:
    answer = await study().get(f"{STUDY_URL}/rendered?viewport=18,12", accept=PNG_PARTS)
    shapes = {found.shape for found in pictures(answer)}
    assert shapes == {(12, 18)}


async def test_quality_is_that_of_jpeg() -> None:
    web = one_frame()
    sizes = [
        len((await web.get(f"{INSTANCE}/rendered?quality={quality}")).content)
        for quality in (1, 50, 90, 100)
    ]
    default = len((await web.get(f"{INSTANCE}/rendered")).content)
    assert sizes == sorted(set(sizes))
    assert default == sizes[2]


@pytest.mark.parametrize("path", [INSTANCE, SERIES_URL, STUDY_URL, INSTANCE + "/frames/1"])
@pytest.mark.parametrize(
    "query",
    [
        "quality=0", "quality=101", "quality=x", "quality=", "quality=1.5",
        "viewport=5", "viewport=0,5", "viewport=5,8193", "viewport=1.5,5", "viewport=5,5,a",
        "viewport=5,5,1,1,0,1", "viewport=5,5,,,nan", "viewport=5,5,1,1,1,1,1", "viewport=,",
        "viewport=5,5,36", "viewport=5,5,,24,,", "viewport=5,5,1e99",
        "window=1", "window=1,0,linear", "window=1,0.5,linear", "window=1,2,cubic",
        "window=inf,1,linear", "window=1,nan,linear", "window=1,0,sigmoid", "window=1,2,,",
        "annotation=all", "annotation=", "iccprofile=cmyk", "iccprofile=", "charset=;",
    ],
)  # fmt: skip
async def test_a_wrong_value_is_400_and_names_the_parameter(path: str, query: str) -> None:
    web = one_frame()
    answer = await web.get(f"{path}/rendered?{query}")
    assert answer.status_code == 400, answer.text
    told = answer.json()["detail"]
    assert query.partition("=")[0] in told or "region" in told
    assert web.audit.records == []


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("annotation=patient", "annotations"),
        ("annotation=patient,technique", "annotations"),
        ("iccprofile=yes", "ICC"),
        ("iccprofile=srgb", "ICC"),
        ("iccprofile=displayp3", "ICC"),
    ],
)
async def test_what_is_not_drawn_is_406_with_the_reason(query: str, reason: str) -> None:
    answer = await one_frame().get(f"{INSTANCE}/rendered?{query}")
    assert answer.status_code == 406
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
async def test_unknown_parameters_are_ignored_and_told(what: str) -> None:
    web = one_frame()
    plain = await web.get(f"{INSTANCE}/{what}", accept="image/png")
    query = "zoom=2&ICCProfile=x&a%22%5C%0D%0Ab=1"
    answer = await web.get(f"{INSTANCE}/{what}?{query}", accept="image/png")
    assert answer.content == plain.content
    told = answer.headers["warning"]
    assert told == (
        "299 http://pacs.test/dicomweb: These parameters are not supported and were ignored:"
        " zoom, ICCProfile, a????b"
    )


async def test_a_parameter_is_given_once() -> None:
    answer = await one_frame().get(f"{INSTANCE}/rendered?quality=5&quality=6")
    assert answer.status_code == 400
    assert "quality is given twice" in answer.json()["detail"]


# --- transfer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["rendered", "frames/1/rendered", "thumbnail"])
@pytest.mark.parametrize("accept", ["image/png", "image/gif"])
async def test_what_the_client_has_is_not_sent_again(path: str, accept: str) -> None:
    web = one_frame()
    answer = await web.get(f"{INSTANCE}/{path}", accept=accept)
    etag = answer.headers["etag"]
    again = await web.get(f"{INSTANCE}/{path}", accept=accept, if_none_match=etag)
    assert (again.status_code, again.content) == (304, b"")
    other = await web.get(f"{INSTANCE}/{path}?viewport=7,7", accept=accept, if_none_match=etag)
    assert other.status_code == 200
    kind = await web.get(f"{INSTANCE}/{path}", accept="image/webp", if_none_match=etag)
    assert kind.status_code == 200


@pytest.mark.parametrize("path", [INSTANCE, SERIES_URL, STUDY_URL, INSTANCE + "/frames/1,2"])
@pytest.mark.parametrize("accept", ["*/*", "image/gif"])
@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
async def test_no_picture_is_sent_without_a_record(path: str, accept: str, what: str) -> None:
    web = multi_frame()
    web.audit.error = Unavailable("the log is down")
    answer = await web.get(f"{path}/{what}", accept=accept)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("accept", [PNG_PARTS, "image/gif"])
async def test_frames_are_drawn_while_they_are_read_and_no_further(accept: str) -> None:
    web = gallery()
    storage = storage_of(web)
    big = np.random.default_rng(1).integers(0, 256, (256, 256), np.uint8)
    storage.pixels = replace(storage.pixels, rows=256, columns=256)
    storage.keep_image(images=[big] * 5000)
    async with web.listening() as (_, url), httpx.AsyncClient() as client:
        async with client.stream(
            "GET", url + INSTANCE + "/rendered", headers={"accept": accept}
        ) as answer:
            await anext(answer.aiter_raw(65_536))
        async with asyncio.timeout(20):
            while not storage.closed:
                await asyncio.sleep(0.01)
    assert storage.drawn < 1000
