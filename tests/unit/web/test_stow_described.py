"""Metadata with bulk data become instances: read back by pydicom, they are what was sent."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

from isocenter.core.native_model import to_xml
from isocenter.core.part10 import file_meta
from isocenter.web.image_media import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    HIGH_BIT,
    PHOTOMETRIC,
    PIXEL_REPRESENTATION,
    PLANAR,
    ROWS,
    SAMPLES,
)
from isocenter.web.negotiation import DICOM_XML
from support.datasets import ct_image
from support.pixel_files import FOLDER, frames
from support.stow_requests import METADATA, AdmittingIngest, Part, body, metadata
from support.web_fakes import CT, SERIES, STUDY, Web

DESCRIPTION = (
    ROWS, COLUMNS, SAMPLES, PHOTOMETRIC, BITS_ALLOCATED, BITS_STORED, HIGH_BIT,
    PIXEL_REPRESENTATION, PLANAR,
)  # fmt: skip
MEDIA = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.201": "image/jphc",
}


def admitting() -> Web:
    """The web role over an ingest that reads what it is given."""
    return Web(ingest=AdmittingIngest())


async def store(web: Web, *parts: Part) -> httpx.Response:
    return await web.stow(body(parts), METADATA)


def identified(instance: str = "1.1", **more: Any) -> dict[str, Any]:
    """The metadata of an instance, with other attributes by `t` and their tag."""
    return {
        "00080016": {"vr": "UI", "Value": [CT]},
        "00080018": {"vr": "UI", "Value": [instance]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [SERIES]},
        **{name.removeprefix("t"): value for name, value in more.items()},
    }


def stored(web: Web, instance: str = "1.1") -> FileDataset:
    """What was handed to ingest, as a file."""
    syntax = web.ingest.announced[-1].transfer_syntax
    content = file_meta(CT, instance, syntax) + web.ingest.received[instance]
    return pydicom.dcmread(io.BytesIO(content))


def reasons(answer: httpx.Response, sequence: str = "00081198") -> list[int]:
    items = answer.json().get(sequence, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


def image_files() -> list[Path]:
    """pydicom's own images that can be sent as metadata and bulk data."""
    found = []
    for path in sorted(FOLDER.glob("*.dcm")):
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = pydicom.dcmread(path, stop_before_pixels=True)
                whole = b"\xe0\x7f\x10\x00" in path.read_bytes()
            except (pydicom.errors.InvalidDicomError, EOFError, OSError):
                continue
        if whole and "Rows" in image and path.name not in UNFIT and _little_endian(image):
            found.append(path)
    return found


def _little_endian(image: FileDataset) -> bool:
    syntax = image.file_meta.get("TransferSyntaxUID")
    return bool(syntax) and syntax.is_little_endian


NO_DECODER = {"1.2.840.10008.1.2.4.51"}  # of 12 bits; its frames are compared
# Files that say something else than their pixels, on purpose.
UNFIT = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "the codestream is damaged",
    "J2K_pixelrep_mismatch.dcm": "Pixel Representation contradicts the codestream",
    "MR_truncated.dcm": "pixel data is cut off",
    "MR_small_padded.dcm": "more bytes than its attributes say",
    "badVR.dcm": "values do not fit their VR",
    "image_dfl.dcm": "deflated as a whole",
}


def as_sent(path: Path) -> tuple[FileDataset, dict[str, Any], list[Part]]:
    """An image, its metadata and its frames."""
    image = pydicom.dcmread(path)
    image.SOPInstanceUID, image.SOPClassUID = "1.1", CT
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, SERIES
    # What one transfer syntax leaves open, the other needs.
    syntax = image.file_meta.TransferSyntaxUID
    model = {
        tag: value
        for tag, value in image.to_json_dict(
            bulk_data_threshold=10**9, suppress_invalid_tags=True
        ).items()
        if tag != "7FE00010" and tag > "0004"
    }
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    if syntax.is_encapsulated:
        count = int(image.get("NumberOfFrames", 1) or 1)
        parts = [
            Part(frame, MEDIA[syntax], "pixels")
            for frame in generate_frames(image.PixelData, number_of_frames=count)
        ]
    else:
        parts = [Part(image.PixelData, location="pixels")]
    return image, model, parts


@pytest.mark.parametrize("path", image_files(), ids=lambda path: path.name)
async def test_images_of_pydicom_come_out_pixel_for_pixel(path: Path) -> None:
    image, model, parts = as_sent(path)
    web = admitting()
    answer = await store(web, metadata(model), *parts)
    assert answer.status_code == 200, (answer.text, model)
    kept = stored(web)
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        for frame, part in zip(frames(kept), parts, strict=True):
            # Without a file format around it, and with padding.
            assert part.data.rstrip(b"\0").endswith(frame.rstrip(b"\0"))
            assert frame
        kept.file_meta.TransferSyntaxUID = image.file_meta.TransferSyntaxUID
    else:
        assert kept.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    if image.file_meta.TransferSyntaxUID not in NO_DECODER:
        assert np.array_equal(kept.pixel_array, image.pixel_array)
    for element in image.group_dataset(0x0028):
        if element.tag.element:
            assert kept[element.tag].value == element.value


@pytest.mark.parametrize(
    "path",
    [path for path in image_files() if "rle" not in path.name.lower()],
    ids=lambda path: path.name,
)
async def test_what_describes_compressed_pixels_is_read_from_them(path: Path) -> None:
    image, model, parts = as_sent(path)
    if not image.file_meta.TransferSyntaxUID.is_encapsulated:
        for tag in DESCRIPTION[:3]:
            left_out = {key: value for key, value in model.items() if key != tag}
            assert (await store(admitting(), metadata(left_out), *parts)).status_code == 409
        return
    for tag in DESCRIPTION:
        model.pop(tag, None)
    web = admitting()
    answer = await store(web, metadata(model), *parts)
    assert answer.status_code == 200, answer.text
    kept = stored(web)
    for keyword in ("Rows", "Columns", "SamplesPerPixel"):
        assert kept[keyword].value == image[keyword].value
    assert kept.BitsAllocated >= kept.BitsStored >= image.BitsStored
    assert kept.HighBit == kept.BitsStored - 1
    if image.file_meta.TransferSyntaxUID != "1.2.840.10008.1.2.4.91":
        assert kept.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID


async def test_instances_of_one_request_have_their_own_bulk_data() -> None:
    web = admitting()
    first = identified("1.1", t00420011={"vr": "OB", "BulkDataURI": "one"})
    second = identified("1.2", t00420011={"vr": "OB", "BulkDataURI": "two"})
    third = identified("1.3")
    answer = await store(
        web,
        metadata(first, third),
        metadata(second),
        Part(b"%PDF-2", "application/pdf", "two"),
        Part(b"%PDF-1 ", "application/pdf", "one"),
    )
    assert answer.status_code == 200, answer.text
    assert sorted(web.ingest.received) == ["1.1", "1.2", "1.3"]
    kept = stored(web, "1.1")
    assert kept.EncapsulatedDocument == b"%PDF-1 \0"
    assert (kept.MIMETypeOfEncapsulatedDocument, kept.EncapsulatedDocumentLength) == (
        "application/pdf",
        7,
    )
    assert stored(web, "1.2").EncapsulatedDocument == b"%PDF-2"


@pytest.mark.parametrize("media", ["text/xml", "model/stl", "model/obj", "model/mtl"])
async def test_documents_say_what_they_are(media: str) -> None:
    web = admitting()
    document = {"vr": "OB", "BulkDataURI": "d"}
    await store(web, metadata(identified(t00420011=document)), Part(b"data", media, "d"))
    assert stored(web).MIMETypeOfEncapsulatedDocument == media
    other = identified(t00420011=document, t00420012={"vr": "LO", "Value": ["application/pdf"]})
    answer = await store(admitting(), metadata(other), Part(b"data", media, "d"))
    assert (answer.status_code, reasons(answer)) == (409, [0xC000])


async def test_bulk_data_may_be_inside_sequences_and_text() -> None:
    web = admitting()
    item = {"00281201": {"vr": "OW", "BulkDataURI": "http://a/lut"}}
    model = identified(
        t00880200={"vr": "SQ", "Value": [item]}, t0040A160={"vr": "UT", "BulkDataURI": "text"}
    )
    parts = (Part(b"1234567", location="text"), Part(b"\1\2\3\4", location="http://a/lut"))
    assert (await store(web, metadata(model), *parts)).status_code == 200
    kept = stored(web)
    assert kept.TextValue == "1234567"
    assert kept.IconImageSequence[0].RedPaletteColorLookupTableData == b"\1\2\3\4"


async def test_frames_may_have_their_own_addresses() -> None:
    image, model, parts = as_sent(FOLDER / "SC_rgb_rle_2frame.dcm")
    named = [Part(one.data, one.media, f"pixels/frames/{n}") for n, one in enumerate(parts, 1)]
    web = admitting()
    assert (await store(web, metadata(model), *reversed(named))).status_code == 200
    assert np.array_equal(stored(web).pixel_array, image.pixel_array)
    answer = await store(admitting(), metadata(model), named[0])
    assert reasons(answer) == [0xC000]
    answer = await store(admitting(), metadata(model), named[1])
    assert (reasons(answer), reasons(answer, "0008119A")) == ([0xC000], [0xC000])


async def test_a_single_part_of_metadata_needs_no_multipart() -> None:
    web = admitting()
    answer = await web.stow(
        orjson.dumps([identified("1.1"), identified("1.2")]),
        "application/dicom+json",
        f"/dicomweb/studies/{STUDY}",
    )
    assert answer.status_code == 200
    assert sorted(web.ingest.received) == ["1.1", "1.2"]
    assert web.ingest.announced[0].study == STUDY


async def test_metadata_in_xml_are_a_part_for_each_instance() -> None:
    web = admitting()
    model, frames = jpeg()
    parts = [Part(to_xml(one), DICOM_XML) for one in (model, identified("1.2"))]
    parts += [Part(b"nonsense", DICOM_XML), *frames]
    answer = await web.stow(body(parts), METADATA.replace("application/dicom+json", DICOM_XML))
    assert answer.status_code == 202, answer.text
    assert sorted(web.ingest.received) == ["1.1", "1.2"]
    assert reasons(answer, "0008119A") == [0xC000]


async def test_file_meta_information_is_left_out_with_a_warning() -> None:
    web = admitting()
    model = identified(
        t00020010={"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
        t00083002={"vr": "UI", "Value": ["1.2.840.10008.1.2.4.50"]},
    )
    assert (await store(web, metadata(model))).status_code == 200
    assert "AvailableTransferSyntaxUID" not in stored(web)
    model["00020016"] = {"vr": "AE", "Value": ["SENDER"]}
    answer = await store(web, metadata(model))
    assert answer.status_code == 202
    assert answer.json()["00081199"]["Value"][0]["00081196"]["Value"] == [0xB006]


def jpeg() -> tuple[dict[str, Any], list[Part]]:
    _, model, parts = as_sent(FOLDER / "SC_rgb_jpeg_dcmtk.dcm")
    return model, parts


CONTRADICTIONS: dict[str, Any] = {
    ROWS: {"vr": "US", "Value": [99]},
    COLUMNS: {"vr": "US", "Value": [0]},
    SAMPLES: {"vr": "US", "Value": [1]},
    PHOTOMETRIC: {"vr": "CS", "Value": ["RGB"]},
    BITS_ALLOCATED: {"vr": "US", "Value": [12]},
    BITS_STORED: {"vr": "US", "Value": [9]},
    HIGH_BIT: {"vr": "US", "Value": [5]},
    "00280008": {"vr": "IS", "Value": [2]},
    "00282110": {"vr": "CS", "Value": ["00"]},
    "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.90"]},
}


@pytest.mark.parametrize("tag", CONTRADICTIONS)
async def test_attributes_that_contradict_the_codestream_are_refused(tag: str) -> None:
    model, parts = jpeg()
    web = admitting()
    answer = await store(web, metadata({**model, tag: CONTRADICTIONS[tag]}), *parts)
    assert (answer.status_code, reasons(answer)) == (409, [0xC000])
    assert web.ingest.received == {}


async def test_a_transfer_syntax_is_taken_if_the_codestream_has_it() -> None:
    model, parts = jpeg()
    extended = "1.2.840.10008.1.2.4.51"
    web = admitting()
    named = Part(parts[0].data, f"image/jpeg; transfer-syntax={extended}", "pixels")
    assert (await store(web, metadata(model), named)).status_code == 200
    assert web.ingest.announced[0].transfer_syntax == extended
    available = {**model, "00083002": {"vr": "UI", "Value": [extended]}}
    assert (await store(web, metadata(available), *parts)).status_code == 200
    assert web.ingest.announced[1].transfer_syntax == extended
    elsewhere = {**model, "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]}}
    assert (await store(web, metadata(elsewhere), *parts)).status_code == 200
    assert web.ingest.announced[2].transfer_syntax == "1.2.840.10008.1.2.4.50"
    wrong = Part(parts[0].data, "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", "pixels")
    assert reasons(await store(web, metadata(model), wrong)) == [0xC000]


async def test_losses_are_told() -> None:
    model, parts = jpeg()
    web = admitting()
    await store(web, metadata(model), *parts)
    kept = stored(web)
    assert kept.LossyImageCompression == "01"
    assert kept.LossyImageCompressionMethod == "ISO_10918_1"
    ratio = 100 * 100 * 3 / len(parts[0].data)
    assert float(kept.LossyImageCompressionRatio) == pytest.approx(ratio, rel=1e-4)


PDF = {"vr": "OB", "BulkDataURI": "d"}
PIXELS = {"vr": "OW", "BulkDataURI": "p"}
FAILURES: dict[str, tuple[Sequence[Part], list[int], list[int]]] = {
    "bulk data is missing": ([metadata(identified(t00420011=PDF))], [0xC000], []),
    "a part is not used": (
        [metadata(identified("1.2", t00420011=PDF)), Part(b"x", location="other")],
        [0xC000],
        [0xC000],
    ),
    "a part has no location": ([metadata({}), Part(b"x")], [], [0xC000, 0xC000]),
    "bulk data is there twice": (
        [metadata(identified(t00420011=PDF)), Part(b"x", location="d"), Part(b"y", location="d")],
        [0xC000],
        [],
    ),
    "bulk data is used twice": (
        [
            metadata(identified(t00420011=PDF, t00091001={"vr": "OB", "BulkDataURI": "d"})),
            Part(b"x", location="d"),
        ],
        [0xC000],
        [],
    ),
    "an image where a document is": (
        [metadata(identified(t00420011=PDF)), Part(b"x", "image/jpeg", "d")],
        [0xC122],
        [],
    ),
    "a document where bytes are": (
        [
            metadata(identified(t00091001={"vr": "OB", "BulkDataURI": "d"})),
            Part(b"x", "application/pdf", "d"),
        ],
        [0xC000],
        [],
    ),
    "pixels without a description": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", location="p")],
        [0xC000],
        [],
    ),
    "pixels of a media type that nobody knows": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", "image/gif", "p")],
        [0xC122],
        [],
    ),
    "pixels that are no JPEG": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", "image/jpeg", "p")],
        [0xC000],
        [],
    ),
    "frames of two kinds": (
        [
            metadata(identified(t7FE00010=PIXELS)),
            Part(b"x", "image/jpeg", "p"),
            Part(b"x", location="p"),
        ],
        [0xC000],
        [],
    ),
    "float pixels that are compressed": (
        [
            metadata(identified(t7FE00008={"vr": "OF", "BulkDataURI": "p"})),
            Part(b"x", "image/jpeg", "p"),
        ],
        [0xC000],
        [],
    ),
    "no JSON in the array": (
        [Part(b'[{"00080018": nonsense}, ]', "application/dicom+json")],
        [],
        [0xC000, 0xC000],
    ),
    "a number as metadata": ([Part(b"[1]", "application/dicom+json")], [], [0xC000]),
    "no transfer syntax of octets": (
        [
            metadata(identified(t7FE00010=PIXELS)),
            Part(b"x", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50", "p"),
        ],
        [0xC122],
        [],
    ),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_what_is_wrong_fails_alone(case: str) -> None:
    parts, failed, others = FAILURES[case]
    web = admitting()
    answer = await store(web, *parts)
    assert answer.status_code == 409, answer.text
    assert (reasons(answer), reasons(answer, "0008119A")) == (failed, others)
    assert web.ingest.received == {}
    answer = await store(web, metadata(identified("1.9")), *parts)
    assert answer.status_code == 202
    assert list(web.ingest.received) == ["1.9"]


@pytest.mark.parametrize(
    "parts",
    [
        [Part(b"x", location="d")],
        [Part(b"[", "application/dicom+json")],
        [Part(b"nonsense", "application/dicom+json")],
        [metadata(identified()), Part(b"x", "nonsense", "d")],
        [Part(b"[" * 1000 + b"]" * 1000, "application/dicom+json")],
    ],
)
async def test_a_request_that_cannot_be_understood_is_400(parts: list[Part]) -> None:
    web = admitting()
    answer = await store(web, *parts)
    assert answer.status_code == 400, answer.text
    assert web.ingest.received == {}


async def test_a_body_that_ends_early_stores_nothing() -> None:
    web = admitting()
    content = body([metadata(identified()), Part(b"x", location="d")])
    for length in range(0, len(content) - 2, 7):
        assert (await web.stow(content[:length], METADATA)).status_code == 400
    assert web.ingest.received == {}


async def test_instances_count_as_parts() -> None:
    web = admitting()
    web.settings = web.settings.model_copy(update={"max_parts": 2})
    answer = await store(web, metadata(identified("1.1"), identified("1.2")))
    assert answer.status_code == 413


async def test_no_value_is_told_in_answers_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    secret = "SECRET^NAME"
    wrong = {
        "00100010": {"vr": "PN", "Value": [secret]},
        "00280010": {"vr": "US", "Value": [secret]},
    }
    for tag, value in wrong.items():
        answer = await store(admitting(), metadata({**identified(), tag: value}))
        assert answer.status_code == 409
        assert secret not in answer.text + caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary"]), inner)
    ),
    max_leaves=6,
)
TAGS = [
    *DESCRIPTION, "00280008", "00282110", "00420011", "00420012", "00420015", "7FE00010",
    "7FE00008", "00020010", "00083002", "00080018", "0020000D", "00080005", "00880200",
]  # fmt: skip
BEGINNINGS = [b"", b"x", b"\xff\xd8\xff", b"\xff\x4f\xff\x51" + b"\0" * 60, b"\2" + b"\0" * 70]
KINDS = [
    "image/jpeg", "image/jls", "image/jp2", "image/jphc", "image/dicom-rle", "image/jxl",
    "video/mp4", "video/mpeg2", "application/octet-stream", "application/pdf",
]  # fmt: skip
BULK = st.builds(
    Part,
    st.sampled_from(BEGINNINGS) | st.binary(max_size=80),
    st.sampled_from(KINDS),
    st.sampled_from(["p", "p/frames/1", "p/frames/2", ""]),
)


@given(
    changes=st.dictionaries(st.sampled_from(TAGS), JSON, max_size=4),
    bulk=st.lists(BULK, max_size=3),
    described=st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_metadata_make_the_server_fail(
    changes: dict[str, Any], bulk: list[Part], described: bool
) -> None:
    model = jpeg()[0] if described else identified()
    model = {**model, "7FE00010": PIXELS, **changes}
    answer = await store(admitting(), metadata(model), *bulk)
    assert answer.status_code in (200, 202, 409), answer.text


async def test_native_pixels_are_written_in_words_that_fit() -> None:
    image = ct_image(8, 8, instance="1.1", study=STUDY, series=SERIES)
    model = image.to_json_dict(bulk_data_threshold=10**6)
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "pixels"}
    web = admitting()
    half = len(image.PixelData) // 2
    assert (
        await store(web, metadata(model), Part(image.PixelData, location="pixels"))
    ).status_code == 200
    assert stored(web)["PixelData"].VR == "OW"
    answer = await store(web, metadata(model), Part(image.PixelData[:half], location="pixels"))
    assert reasons(answer) == [0xC000]
