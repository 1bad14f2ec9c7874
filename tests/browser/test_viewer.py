"""What a person sees: the study list, and an image of every kind of demo study, by content.

Set VIEWER_PNG to a file to keep the picture of the viewer there (docs/images/viewer.png).
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

PATIENCE = 60.0  # s; software rendering on a busy machine
KEPT = "VIEWER_PNG"

# one worker, one browser; each test draws in software what a graphics card would draw
pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

STUDY_UID, SERIES_UID, MODALITIES = "0020000D", "0020000E", "00080061"
MODALITY, DESCRIPTION, TEXT_VALUE, CONTENT = "00080060", "00081030", "0040A160", "0040A730"

# The demo studies by the modalities of their series.
CT, MR, US, DX, PET = {"CT", "SR"}, {"MR"}, {"US"}, {"DX", "DOC"}, {"CT", "PT"}


def named(kind: set[str]) -> str:
    """The same name in every process: sets have no order."""
    return "-".join(sorted(kind))


def values(attributes: dict[str, Any], tag: str) -> list[Any]:
    return attributes.get(tag, {}).get("Value") or []


def ask(base_url: str, path: str, **query: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{base_url}/dicomweb/{path}",
        params=query,
        headers={"Accept": "application/dicom+json"},
        timeout=30,
    )
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else []


def study_of(base_url: str, kind: set[str]) -> str:
    """UID of the demo study whose series have exactly these modalities."""
    studies = ask(base_url, "studies", ModalitiesInStudy=min(kind))
    found = [values(s, STUDY_UID)[0] for s in studies if set(values(s, MODALITIES)) == kind]
    assert found, f"no demo study with the modalities {kind}"
    return found[0]


def series_of(base_url: str, study: str, modality: str) -> str:
    """UID of the study's series of this modality."""
    found = [s for s in ask(base_url, f"studies/{study}/series") if modality in values(s, MODALITY)]
    assert found, f"no series of modality {modality}"
    return values(found[0], SERIES_UID)[0]


def texts_of(item: dict[str, Any]) -> Iterator[str]:
    """The text values of a content tree (PS3.3 C.17.3)."""
    yield from values(item, TEXT_VALUE)
    for child in values(item, CONTENT):
        yield from texts_of(child)


def canvases(page: Page) -> Locator:
    return page.locator("[data-cy=viewport-pane] canvas")


def pixels(canvas: Locator) -> np.ndarray:
    """What is drawn on a canvas, without the texts over it: rows x columns of 8 bit grey."""
    url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    colours = imagecodecs.png_decode(base64.b64decode(url.partition(",")[2]))
    return colours[..., :3].max(axis=2)


def grey_levels(image: np.ndarray) -> int:
    return len(np.unique(image))


def is_a_picture(image: np.ndarray) -> bool:
    """Many grey levels, contrast, and neither an empty nor a filled canvas."""
    bright = float((image > 24).mean())
    return grey_levels(image) >= 24 and float(image.std()) > 12 and 0.02 < bright < 0.98


def until(canvas: Locator, holds: Callable[[np.ndarray], bool], what: str) -> np.ndarray:
    """The canvas's pixels once they are as wanted."""
    deadline = time.monotonic() + PATIENCE
    while True:
        image = pixels(canvas)
        if holds(image):
            return image
        if time.monotonic() > deadline:
            pytest.fail(
                f"{what}: after {PATIENCE:.0f} s the canvas {image.shape} has "
                f"{grey_levels(image)} grey levels, standard deviation {image.std():.1f}"
            )
        canvas.page.wait_for_timeout(250)


def another_than(first: np.ndarray) -> Callable[[np.ndarray], bool]:
    # the ends of a PET volume are nearly dark: grey levels are enough
    return lambda image: grey_levels(image) >= 24 and not np.array_equal(image, first)


def until_still(page: Page, complete: Callable[[], bool]) -> None:
    """Returns when everything has come and no canvas changes any more."""
    before: list[np.ndarray] = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page.wait_for_timeout(750)
        if not complete():
            continue
        now = [pixels(canvas) for canvas in canvases(page).all()]
        if len(now) == len(before) and all(map(np.array_equal, now, before)):
            return
        before = now
    pytest.fail(f"the canvases still change after {PATIENCE:.0f} s")


def open_study(page: Page, base_url: str, uid: str, **query: str) -> None:
    extra = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{base_url}/viewer/viewer?StudyInstanceUIDs={uid}{extra}")


def open_images(page: Page, base_url: str, uid: str, count: int = 1, **query: str) -> Locator:
    open_study(page, base_url, uid, **query)
    expect(canvases(page)).to_have_count(count, timeout=PATIENCE * 1000)
    return canvases(page)


def test_the_study_list_shows_every_demo_study(page: Page, base_url: str, pictures: Path) -> None:
    studies = ask(base_url, "studies", includefield=DESCRIPTION)
    assert len(studies) == 5
    page.goto(f"{base_url}/viewer/")
    for study in studies:
        (description,) = values(study, DESCRIPTION)
        row = page.locator("tbody tr").filter(has_text=description)
        expect(row).to_be_visible(timeout=PATIENCE * 1000)
        for modality in values(study, MODALITIES):
            expect(row).to_contain_text(modality)
    assert page.evaluate("window.crossOriginIsolated") is True
    page.screenshot(path=pictures / "study-list.png")


@pytest.mark.parametrize("kind", [CT, US], ids=named)
def test_a_study_opens_and_scrolls_to_another_image(
    page: Page, base_url: str, pictures: Path, kind: set[str]
) -> None:
    canvas = open_images(page, base_url, study_of(base_url, kind)).first
    first = until(canvas, is_a_picture, f"first image of {kind}")
    page.screenshot(path=pictures / f"{named(kind).lower()}.png")
    canvas.hover()
    page.mouse.wheel(0, 100)
    second = until(
        canvas,
        lambda image: is_a_picture(image) and another_than(first)(image),
        f"second image of {kind}",
    )
    assert is_a_picture(second)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("kind", [MR, PET], ids=named)
def test_every_series_of_a_study_has_an_image(
    page: Page, base_url: str, pictures: Path, kind: set[str]
) -> None:
    uid = study_of(base_url, kind)
    canvas = open_images(page, base_url, uid).first
    first = until(canvas, is_a_picture, f"first series of {kind}")
    page.screenshot(path=pictures / f"{named(kind).lower()}.png")
    thumbnails = page.locator("[data-cy=study-browser-thumbnail]")
    expect(thumbnails).to_have_count(len(ask(base_url, f"studies/{uid}/series")))
    thumbnails.last.dblclick()
    until(canvas, another_than(first), f"second series of {kind}")


def test_a_volume_opens_as_three_planes(page: Page, base_url: str, pictures: Path) -> None:
    page.set_viewport_size({"width": 1400, "height": 640})
    uid = study_of(base_url, CT)
    slices = len(ask(base_url, f"studies/{uid}/series/{series_of(base_url, uid, 'CT')}/instances"))
    came: set[str] = set()
    page.on("requestfinished", lambda done: "/frames/" in done.url and came.add(done.url))
    planes = open_images(page, base_url, uid, count=3, hangingProtocolId="mpr")
    until_still(page, lambda: len(came) >= slices)
    images = [pixels(plane) for plane in planes.all()]
    assert all(map(is_a_picture, images))
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(images))
    picture = pictures / "viewer.png"
    page.screenshot(path=picture)
    if kept := os.environ.get(KEPT):
        Path(kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, kept)


def test_a_radiograph_opens_and_its_pdf_report_shows_a_page(
    page: Page, base_url: str, pictures: Path
) -> None:
    canvas = open_images(page, base_url, study_of(base_url, DX)).first
    until(canvas, is_a_picture, "the radiograph")
    page.screenshot(path=pictures / "dx.png")
    page.locator("[data-cy=study-browser-thumbnail-no-image]").dblclick()
    document = page.locator("object[type='application/pdf']")
    expect(document).to_be_visible(timeout=PATIENCE * 1000)
    deadline = time.monotonic() + PATIENCE
    while True:
        picture = imagecodecs.png_decode(document.screenshot(path=pictures / "pdf.png"))
        paper = float((picture[..., :3].min(axis=2) > 240).mean())
        if paper > 0.05:
            return
        assert time.monotonic() < deadline, f"only {paper:.1%} of the viewport looks like paper"
        page.wait_for_timeout(250)


def test_a_structured_report_shows_its_text(page: Page, base_url: str, pictures: Path) -> None:
    uid = study_of(base_url, CT)
    series = series_of(base_url, uid, "SR")
    (report,) = ask(base_url, f"studies/{uid}/series/{series}/metadata")
    texts = list(texts_of(report))
    assert texts, "the demo report has no text"
    open_study(page, base_url, uid, initialSeriesInstanceUID=series)
    for text in texts:
        expect(page.locator("[data-cy=viewport-pane]")).to_contain_text(
            text, timeout=PATIENCE * 1000
        )
    page.screenshot(path=pictures / "report.png")
