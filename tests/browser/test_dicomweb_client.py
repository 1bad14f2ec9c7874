"""dicomweb-client of npm, which viewers are built on, as it is published: in a browser, against a
running installation."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from support.harness import running
from support.web_answers import FILES, HELD, fill, place_of

LIBRARY = Path(__file__).parent / "node_modules/dicomweb-client/build/dicomweb-client.js"
JPEG = "1.2.840.10008.1.2.4.50"

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(240)]

# Calls a method, and gives what comes back a form in which Python gets it.
CALL = """async ([root, method, options]) => {
    const client = new DICOMwebClient.api.DICOMwebClient({ url: root })
    const binary = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer
    if (options.datasets) options.datasets = options.datasets.map(binary)
    const told = answer => {
        if (answer instanceof ArrayBuffer) return { bytes: encoded(new Uint8Array(answer)) }
        return Array.isArray(answer) ? answer.map(told) : answer
    }
    const encoded = bytes => {
        let text = ''
        for (const one of bytes) text += String.fromCharCode(one)
        return btoa(text)
    }
    return told(await client[method](options))
}"""

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Root URL of an installation that keeps the files of `HELD`."""
    if not LIBRARY.exists():
        missing = "dicomweb-client is missing. Type: npm ci --ignore-scripts --prefix tests/browser"
        pytest.fail(missing, pytrace=False)
    with running(tmp_path_factory.mktemp("npm") / "data") as isocenter:
        fill(isocenter)
        yield isocenter.http_url


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Runs the library, which is of no page of ours: their policy lets nothing else run."""
    context = browser.new_context(bypass_csp=True)
    yield context
    context.close()


@pytest.fixture
def call(page: Page, base_url: str) -> Call:
    """Calls a method of the client by its name and options."""
    page.goto(f"{base_url}/livez")
    page.add_script_tag(path=LIBRARY)

    def run(method: str, **options: object) -> Any:
        return page.evaluate(CALL, [f"{base_url}/dicomweb", method, options])

    return run


def uids(name: str) -> Mapping[str, str]:
    """How the client names an instance."""
    names = ("studyInstanceUID", "seriesInstanceUID", "sopInstanceUID")
    return dict(zip(names, place_of(name)[2].split("/")[3::2], strict=True))


def content(answer: Any) -> bytes:
    """The bytes of an answer, which may be a list of one."""
    (one,) = answer if isinstance(answer, list) else [answer]
    return base64.b64decode(one["bytes"])


def test_it_searches_at_every_level(call: Call) -> None:
    ct = uids("CT_small.dcm")
    found = call("searchForStudies", queryParams={"PatientID": "1CT1"})
    assert [one["0020000D"]["Value"] for one in found] == [[ct["studyInstanceUID"]]]
    studies = call("searchForStudies")
    assert len(studies) == len({uids(name)["studyInstanceUID"] for name in HELD})
    series = call("searchForSeries", studyInstanceUID=ct["studyInstanceUID"])
    assert [one["0020000E"]["Value"] for one in series] == [[ct["seriesInstanceUID"]]]
    instances = call("searchForInstances", queryParams={"Modality": "CT"})
    assert [one["00080018"]["Value"] for one in instances] == [[ct["sopInstanceUID"]]]


def test_it_retrieves_metadata_at_every_level(call: Call) -> None:
    ct = uids("CT_small.dcm")
    names = list(ct)
    for depth, method in enumerate(
        ("retrieveStudyMetadata", "retrieveSeriesMetadata", "retrieveInstanceMetadata"), 1
    ):
        (model,) = call(method, **{name: ct[name] for name in names[:depth]})
        assert model["00080018"]["Value"] == [ct["sopInstanceUID"]]
        assert model["00280010"] == {"vr": "US", "Value": [128]}


def test_it_retrieves_objects(call: Call) -> None:
    file = pydicom.dcmread(FILES / "CT_small.dcm")
    instance = call("retrieveInstance", **uids("CT_small.dcm"))
    assert content(instance)[128:132] == b"DICM"
    assert file.PixelData in content(instance)
    study = call("retrieveStudy", studyInstanceUID=uids("CT_small.dcm")["studyInstanceUID"])
    assert [file.PixelData in content(one) for one in study] == [True]
    two = uids("SC_rgb_jpeg_gdcm.dcm")
    series = call("retrieveSeries", **{name: two[name] for name in list(two)[:2]})
    assert len(series) == 2


def test_it_retrieves_frames(call: Call) -> None:
    file = pydicom.dcmread(FILES / "CT_small.dcm")
    (frame,) = call("retrieveInstanceFrames", **uids("CT_small.dcm"), frameNumbers=[1])
    assert content(frame) == file.PixelData
    dose = pydicom.dcmread(FILES / "rtdose.dcm")
    frames = call("retrieveInstanceFrames", **uids("rtdose.dcm"), frameNumbers=[1, 15])
    size = len(dose.PixelData) // dose.NumberOfFrames
    assert [content(one) for one in frames] == [dose.PixelData[:size], dose.PixelData[-size:]]
    (jpeg,) = call(
        "retrieveInstanceFrames",
        **uids("SC_rgb_jpeg_dcmtk.dcm"),
        frameNumbers=[1],
        mediaTypes=[{"mediaType": "image/jpeg", "transferSyntaxUID": JPEG}],
    )
    assert content(jpeg)[:3] == b"\xff\xd8\xff"


def test_it_retrieves_bulk_data(call: Call) -> None:
    (model,) = call("retrieveInstanceMetadata", **uids("CT_small.dcm"))
    file = pydicom.dcmread(FILES / "CT_small.dcm")
    for tag in ("7FE00010", "00431029"):
        address = model[tag]["BulkDataURI"]
        (value,) = call("retrieveBulkData", BulkDataURI=address)
        assert content(value) == file[int(tag, 16)].value
        (same,) = call("retrieveBulkData", BulkDataURI=address, byteRange=[2, 9])
        assert content(same) == content(value)  # a part is sent as a whole


def test_it_retrieves_pictures(call: Call) -> None:
    png = [{"mediaType": "image/png"}]
    name = uids("rtdose.dcm")
    whole = call("retrieveInstanceRendered", **uids("CT_small.dcm"), mediaTypes=png)
    one = call("retrieveInstanceFramesRendered", **name, frameNumbers=[2], mediaTypes=png)
    small = call("retrieveInstanceThumbnail", **uids("CT_small.dcm"), mediaTypes=png)
    tiny = call("retrieveInstanceFramesThumbnail", **name, frameNumbers=[3], mediaTypes=png)
    for picture in (whole, one, small, tiny):
        assert content(picture).startswith(b"\x89PNG")
    default = call("retrieveInstanceRendered", **uids("CT_small.dcm"))
    assert content(default).startswith(b"\xff\xd8\xff")


def test_it_stores(call: Call, base_url: str) -> None:
    file = FILES / "MR_small.dcm"
    stored = base64.b64encode(file.read_bytes()).decode("ascii")
    call("storeInstances", datasets=[stored])
    place = place_of("MR_small.dcm")[2]
    kept = httpx.get(base_url + place, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert kept.status_code == 200
    pixels = pydicom.dcmread(file).PixelData
    assert pixels in kept.content
