"""Instances described by metadata with bulk data: the images of pydicom, how they are sent and what
becomes of them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import httpx
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

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
from support.pixel_files import FOLDER
from support.stow_requests import METADATA, AdmittingIngest, Part, body
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


def jpeg() -> tuple[dict[str, Any], list[Part]]:
    _, model, parts = as_sent(FOLDER / "SC_rgb_jpeg_dcmtk.dcm")
    return model, parts
