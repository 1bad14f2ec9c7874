"""Thumbnails, judged by the pixels that come out."""

from __future__ import annotations

import numpy as np
import pytest

from support.picture_files import (
    SERIES_URL,
    STUDY_URL,
    gray,
    one_frame,
    picture,
    study,
)
from support.web_fakes import INSTANCE


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (STUDY_URL, 20),  # 1.2.3.5 is the larger series, 10 its middle image, 20 its middle frame
        (f"{STUDY_URL}/series/1.2.3.5", 20),
        (SERIES_URL, 1),
        (f"{STUDY_URL}/series/1.2.3.5/instances/1.2.3.5.11", 21),
        (f"{STUDY_URL}/series/1.2.3.5/instances/1.2.3.5.11/frames/1", 11),
        (f"{STUDY_URL}/series/1.2.3.5/instances/1.2.3.5.11/frames/1,2", 21),
    ],
)
async def test_a_thumbnail_is_what_is_typical(path: str, shown: int) -> None:
    web = study()
    answer = await web.get(f"{path}/thumbnail?viewport=36,36", accept="image/png")
    np.testing.assert_array_equal(picture(answer), gray(shown)[0])
    assert [action for action, _ in web.audit.records] == ["accessed"]


async def test_a_thumbnail_is_a_small_jpeg_unless_asked_otherwise() -> None:
    web = one_frame()
    answer = await web.get(INSTANCE + "/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    assert picture(answer).shape == (85, 128)
    small = await web.get(INSTANCE + "/thumbnail?viewport=9,9", accept="image/gif")
    assert picture(small).shape == (6, 9, 3)


@pytest.mark.parametrize("value", ["9", "9,9,1", "0,9", "9,9,,,,", "9,8193", "a,b", ""])
async def test_a_thumbnail_has_a_viewport_of_two_numbers(value: str) -> None:
    answer = await one_frame().get(f"{INSTANCE}/thumbnail?viewport={value}")
    assert answer.status_code == 400
    assert "viewport must be vw,vh" in answer.json()["detail"]
