"""Pictures by DICOMweb and WADO-URI over real processes, fetched with curl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    generate_uid,
)

from support.clients import run
from support.datasets import ct_image, tiny
from support.harness import Isocenter, wait_until

ROWS, COLUMNS, FRAMES = 40, 60, 4
PDF = b"%PDF-1.4\nsynthetic\n%%EOF\n"
DECODERS = {"image/png": imagecodecs.png_decode, "image/jpeg": imagecodecs.jpeg8_decode}


@dataclass(frozen=True)
class Study:
    """A CT series of three slices, a multi-frame image, a report and a document."""

    uid: str = field(default_factory=generate_uid)
    slices: list[Dataset] = field(default_factory=list)
    frames: Dataset = field(default_factory=Dataset)
    report: Dataset = field(default_factory=Dataset)
    document: Dataset = field(default_factory=Dataset)

    @property
    def all(self) -> list[Dataset]:
        """Its instances."""
        return [*self.slices, self.frames, self.report, self.document]


@dataclass(frozen=True)
class Fetched:
    """What curl got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The media type."""
        return self.headers["content-type"]

    @property
    def parts(self) -> list[bytes]:
        """The contents of the parts, of which all are pictures of one kind."""
        found = message_from_bytes(
            f"Content-Type: {self.kind}\r\n\r\n".encode() + self.body
        ).get_payload()
        assert isinstance(found, list)
        return [part.get_payload(decode=True) for part in found]  # type: ignore[union-attr, misc]


def study() -> Study:
    uid, series = generate_uid(), generate_uid()
    first = series[:56].rstrip(".")
    slices = [
        ct_image(
            ROWS, COLUMNS, study=uid, series=series, number=number, instance=f"{first}.{number}"
        )
        for number in (1, 2, 3)
    ]
    frames = ct_image(ROWS, COLUMNS, study=uid, number=9)
    frames.SOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    frames.NumberOfFrames = FRAMES
    frames.BitsAllocated = frames.BitsStored = 8
    frames.HighBit = 7
    frames.WindowCenter, frames.WindowWidth = "127.5", "255"
    frames.VOILUTFunction = "LINEAR_EXACT"
    pixels = np.random.default_rng(9).integers(0, 256, (FRAMES, ROWS, COLUMNS), np.uint8)
    frames.add_new("PixelData", "OW", pixels.tobytes())
    report = tiny(study=uid, SOPClassUID=BasicTextSRStorage, Modality="SR")
    document = tiny(
        study=uid,
        SOPClassUID=EncapsulatedPDFStorage,
        Modality="DOC",
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=PDF + b"\0" * (len(PDF) % 2),
    )
    return Study(uid, slices, frames, report, document)


@pytest.fixture
def stored(isocenter: Isocenter, tmp_path: Path) -> Study:
    """A new study, stored with curl."""
    made = study()
    body = bytearray()
    for number, instance in enumerate(made.all):
        path = tmp_path / f"{number}.dcm"
        instance.save_as(path, enforce_file_format=True)
        body += b"--sep\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
    sent = tmp_path / "body"
    sent.write_bytes(body + b"--sep--\r\n")
    done = run(
        "curl",
        *("-sS", "-w", "%{http_code}", "-o", tmp_path / "answer"),
        *("-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=sep'),
        *("-H", "Accept: application/dicom+json"),
        *("--data-binary", f"@{sent}", f"{isocenter.dicomweb}/studies"),
    )
    assert done.text == "200", done.text
    return made


def fetch(tmp_path: Path, url: str, *options: str, accept: str = "*/*") -> Fetched:
    head, body = tmp_path / "head", tmp_path / "body"
    body.write_bytes(b"")
    done = run(
        "curl",
        *("-sS", "-o", body, "-D", head, "-H", f"Accept: {accept}", "-w", "%{http_code}"),
        *options,
        url,
    )
    assert done.code == 0, done.text
    lines = [line.partition(": ") for line in head.read_text().splitlines()[1:] if line]
    return Fetched(
        int(done.text), {name.lower(): value for name, _, value in lines}, body.read_bytes()
    )


def slice_shown(image: Dataset, center: float = 2048, width: float = 4096) -> np.ndarray:
    """A slice as a linear window shows it (PS3.3 C.11.2.1.2.1), worked out here."""
    values = image.pixel_array.astype(float)
    return 255 * ((values - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1)


def near(found: np.ndarray, expected: np.ndarray) -> bool:
    """Values are rounded three times: by the window, and by the resampling of each axis."""
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= 1.6)


def place(isocenter: Isocenter, image: Dataset) -> str:
    return (
        f"{isocenter.dicomweb}/studies/{image.StudyInstanceUID}"
        f"/series/{image.SeriesInstanceUID}/instances/{image.SOPInstanceUID}"
    )


def test_rendered_resources_at_every_level(
    isocenter: Isocenter, stored: Study, tmp_path: Path
) -> None:
    root = f"{isocenter.dicomweb}/studies/{stored.uid}"
    first, multi = stored.slices[0], stored.frames
    parts = 'multipart/related; type="image/png"'

    alone = fetch(tmp_path, place(isocenter, first) + "/rendered", accept="image/png")
    assert (alone.status, alone.kind) == (200, "image/png")
    assert near(imagecodecs.png_decode(alone.body), slice_shown(first))
    again = fetch(
        tmp_path,
        place(isocenter, first) + "/rendered",
        *("-H", f"If-None-Match: {alone.headers['etag']}"),
        accept="image/png",
    )
    assert (again.status, again.body) == (304, b"")

    series = fetch(tmp_path, f"{root}/series/{first.SeriesInstanceUID}/rendered", accept=parts)
    shown = [imagecodecs.png_decode(part) for part in series.parts]
    assert len(shown) == 3
    assert all(
        near(one, slice_shown(image)) for one, image in zip(shown, stored.slices, strict=True)
    )

    frames = fetch(tmp_path, place(isocenter, multi) + "/frames/4,2/rendered", accept=parts)
    fourth, second = (imagecodecs.png_decode(part) for part in frames.parts)
    assert near(fourth, multi.pixel_array[3])
    assert near(second, multi.pixel_array[1])

    every = fetch(tmp_path, root + "/rendered", accept=parts)
    assert len(every.parts) == 3 + FRAMES
    assert fetch(tmp_path, root + "/rendered").kind.startswith("multipart/related")

    moving = fetch(tmp_path, place(isocenter, multi) + "/rendered", accept="image/gif")
    for number in range(FRAMES):
        found = imagecodecs.gif_decode(moving.body, index=number)
        assert near(found[:, :, 0], multi.pixel_array[number])

    document = fetch(tmp_path, place(isocenter, stored.document) + "/rendered")
    assert (document.kind, document.body) == ("application/pdf", PDF)
    report = fetch(tmp_path, place(isocenter, stored.report) + "/rendered")
    assert (report.status, report.kind) == (406, "application/problem+json")


def test_parameters_change_the_picture(isocenter: Isocenter, stored: Study, tmp_path: Path) -> None:
    image = stored.slices[0]
    whole = slice_shown(image)
    for query, expected in (
        ("viewport=30,30", whole.reshape(20, 2, 30, 2).mean(axis=(1, 3))),
        ("viewport=20,10,8,4,-20,10", whole[4:14, 27:7:-1]),
        ("viewport=120,80", whole.repeat(2, 0).repeat(2, 1)),
        ("window=1000,500,linear", slice_shown(image, 1000, 500)),
        (
            "window=1000,500,sigmoid",
            255 / (1 + np.exp(-4 * (image.pixel_array - 1000.0) / 500)),
        ),
    ):
        url = f"{place(isocenter, image)}/rendered?{query}"
        answer = fetch(tmp_path, url, accept="image/png")
        assert answer.status == 200, answer.body
        assert near(imagecodecs.png_decode(answer.body), expected), query
    wrong = fetch(tmp_path, place(isocenter, image) + "/rendered?viewport=1,2,3,x")
    assert wrong.status == 400
    assert "viewport" in json.loads(wrong.body)["detail"]
    beyond = fetch(tmp_path, place(isocenter, image) + "/rendered?viewport=9,9,60")
    assert beyond.status == 400
    assert fetch(tmp_path, place(isocenter, image) + "/rendered?iccprofile=srgb").status == 406


def test_thumbnails_at_every_level(isocenter: Isocenter, stored: Study, tmp_path: Path) -> None:
    root = f"{isocenter.dicomweb}/studies/{stored.uid}"
    middle, multi = stored.slices[1], stored.frames
    for url, expected in (
        (root, slice_shown(middle)),
        (f"{root}/series/{middle.SeriesInstanceUID}", slice_shown(middle)),
        (place(isocenter, multi), multi.pixel_array[2]),
        (place(isocenter, multi) + "/frames/2", multi.pixel_array[1]),
    ):
        answer = fetch(tmp_path, f"{url}/thumbnail?viewport=60,60", accept="image/png")
        assert answer.status == 200, answer.body
        assert near(imagecodecs.png_decode(answer.body), expected), url
        default = fetch(tmp_path, f"{url}/thumbnail")
        assert default.kind == "image/jpeg"
        assert max(imagecodecs.jpeg8_decode(default.body).shape) == 128
    assert fetch(tmp_path, place(isocenter, stored.report) + "/thumbnail").status == 404


def test_wado_uri_gives_pictures_and_objects(
    isocenter: Isocenter, stored: Study, tmp_path: Path
) -> None:
    def wado(image: Dataset, query: str = "") -> Fetched:
        uids = (
            f"studyUID={image.StudyInstanceUID}&seriesUID={image.SeriesInstanceUID}"
            f"&objectUID={image.SOPInstanceUID}"
        )
        return fetch(tmp_path, f"{isocenter.http_url}/wado?requestType=WADO&{uids}{query}")

    image, multi = stored.slices[0], stored.frames
    assert wado(image).kind == "image/jpeg"
    drawn = wado(image, "&contentType=image/png&windowCenter=1000&windowWidth=500")
    assert near(imagecodecs.png_decode(drawn.body), slice_shown(image, 1000, 500))
    part = wado(image, "&contentType=image/png&region=0.5,0,1,0.5&columns=15")
    corner = slice_shown(image)[:20, 30:].reshape(10, 2, 15, 2).mean(axis=(1, 3))
    assert near(imagecodecs.png_decode(part.body), corner)
    third = wado(multi, "&contentType=image/png&frameNumber=3")
    assert near(imagecodecs.png_decode(third.body), multi.pixel_array[2])

    kept = tmp_path / "kept.dcm"
    for instance in (multi, stored.report, stored.document):
        answer = wado(instance)
        assert answer.kind == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
        kept.write_bytes(answer.body)
        found = pydicom.dcmread(kept)
        assert found.SOPInstanceUID == instance.SOPInstanceUID
    assert wado(stored.document, "&contentType=application/pdf").body == PDF
    assert wado(image, "&anonymize=yes").status == 406
    assert wado(image, "&rows=0").status == 400
    assert wado(multi, "&frameNumber=5").status == 404


def test_every_picture_is_in_the_audit_trail(
    isocenter: Isocenter, stored: Study, tmp_path: Path
) -> None:
    image = stored.slices[0]
    fetch(tmp_path, f"{isocenter.dicomweb}/studies/{stored.uid}/rendered")
    fetch(tmp_path, place(isocenter, image) + "/rendered")
    fetch(tmp_path, place(isocenter, image) + "/thumbnail")
    query = (
        f"requestType=WADO&studyUID={stored.uid}&seriesUID={image.SeriesInstanceUID}"
        f"&objectUID={image.SOPInstanceUID}"
    )
    fetch(tmp_path, f"{isocenter.http_url}/wado?{query}")
    fetch(tmp_path, f"{isocenter.http_url}/wado?{query}&contentType=application/dicom")

    def records() -> list[tuple[str, int]]:
        listed = isocenter.cli(
            "audit list", "--json", "--study", stored.uid, "--action", "retrieve", "--limit", "100"
        )
        assert listed.returncode == 0, listed.stderr
        found = [json.loads(line) for line in listed.stdout.splitlines()]
        return sorted((record["detail"], record["instance_count"]) for record in found)

    wait_until(lambda: len(records()) >= 5, what="every access is recorded")
    assert records() == [
        ("WADO-RS rendered", 1),
        ("WADO-RS rendered", 4),
        ("WADO-RS thumbnail", 1),
        ("WADO-URI", 1),
        ("WADO-URI rendered", 1),
    ]
