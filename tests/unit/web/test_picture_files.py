"""Files of pictures, judged by the pixels that come out."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from isocenter.core.apis import PixelFormat
from support.picture_files import (
    COLUMNS,
    ROWS,
    SERIES_URL,
    STUDY_URL,
    files,
    gallery,
    gray,
    multi_frame,
    one_frame,
    picture,
    storage_of,
)
from support.web_fakes import INSTANCE


@pytest.mark.parametrize("path", [INSTANCE, SERIES_URL, STUDY_URL])
async def test_an_instance_of_frames_is_one_animation(path: str) -> None:
    web = multi_frame()
    storage_of(web).attributes = {"00181063": {"vr": "DS", "Value": [40.0]}}
    answer = await web.get(path + "/rendered", accept="image/gif")
    assert answer.headers["content-type"] == "image/gif"
    for number in range(3):
        found = imagecodecs.gif_decode(answer.content, index=number)
        np.testing.assert_array_equal(found[:, :, 0], gray(number + 1)[0])
    assert answer.content.count(b"\x21\xf9\x04\x00\x04\x00") == 3  # 4/100 s each
    assert answer.content.count(b"NETSCAPE2.0") == 1
    ((media_type, place, file),) = files(
        await web.get(path + "/rendered", accept='multipart/related; type="image/gif"')
    )
    assert (media_type, place) == ("image/gif", f"http://pacs.test{INSTANCE}/rendered")
    assert file == answer.content


@pytest.mark.parametrize(
    ("attributes", "delay"),
    [
        ({}, 10),
        ({"00180040": {"vr": "IS", "Value": [25]}}, 4),
        ({"00082144": {"vr": "IS", "Value": [50]}, "00180040": {"vr": "IS", "Value": [25]}}, 2),
        ({"00181063": {"vr": "DS", "Value": [0]}}, 10),
        ({"00181063": {"vr": "DS"}}, 10),
        ({"00181063": {"vr": "DS", "Value": ["fast"]}}, 10),
        ({"00181063": {"vr": "DS", "Value": [1e9]}}, 65_535),
        ({"00082144": {"vr": "IS", "Value": [10_000]}}, 1),
    ],
)
async def test_an_animation_is_as_fast_as_the_object_says(attributes: dict, delay: int) -> None:
    web = multi_frame()
    storage_of(web).attributes = attributes
    answer = await web.get(INSTANCE + "/rendered", accept="image/gif")
    shown = b"\x21\xf9\x04\x00" + delay.to_bytes(2, "little")
    assert answer.content.count(shown) == 3


async def test_an_animation_keeps_the_colours_of_each_frame() -> None:
    web = gallery()
    storage = storage_of(web)
    storage.pixels = PixelFormat(ROWS, COLUMNS, 3, 8, 8, 0, "RGB", 0)
    frames = [
        np.random.default_rng(number).integers(0, 6, (ROWS, COLUMNS, 3), np.uint8) * (20 + number)
        for number in range(3)
    ]
    storage.keep_image(images=[frame.astype(np.uint8) for frame in frames])
    answer = await web.get(INSTANCE + "/rendered", accept="image/gif")
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(imagecodecs.gif_decode(answer.content, index=number), frame)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("image/gif", "image/gif"),
        ("image/webp", "image/webp"),
        ("text/html, image/png;q=0.5, image/gif;q=0.2", "image/png"),
        ('multipart/related; type="image/gif";q=0.3, image/webp;q=0.9', "image/webp"),
    ],
)
async def test_the_kind_of_file_that_is_wanted_most(accept: str, kind: str) -> None:
    answer = await one_frame().get(INSTANCE + "/rendered", accept=accept)
    assert answer.headers["content-type"] == kind
    assert picture(answer).shape[:2] == (ROWS, COLUMNS)
    asked = await one_frame().get(f"{INSTANCE}/rendered?accept={kind}", accept="*/*")
    assert asked.headers["content-type"] == kind
