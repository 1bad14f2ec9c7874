"""Metadata with bulk data become instances: read back by pydicom, they are what was sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pydicom
import pytest

from isocenter.core.native_model import to_xml
from isocenter.web.negotiation import DICOM_XML
from support.datasets import ct_image
from support.described_instances import (
    DESCRIPTION,
    admitting,
    as_sent,
    identified,
    image_files,
    jpeg,
    reasons,
    store,
    stored,
)
from support.pixel_files import FOLDER, frames
from support.stow_requests import METADATA, Part, body, metadata
from support.web_fakes import SERIES, STUDY

NO_DECODER = {"1.2.840.10008.1.2.4.51"}  # of 12 bits; its frames are compared


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
