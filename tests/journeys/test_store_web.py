"""STOW-RS as its clients use it: dicomweb-client, curl, metadata with bulk data; and in bounded
memory."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import generate_uid

from support.clients import run
from support.datasets import ct_image
from support.files import find_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.pixel_files import path as pixel_file
from support.senders import stow_body
from support.stow_requests import METADATA, Part, body, metadata
from support.videos import mp4

MIB = 1024 * 1024
MEMORY = 48 * MIB  # that a request may add to a process, whatever its size
JSON_ANSWER = {"Accept": "application/dicom+json"}


def retrieved(isocenter: Isocenter, image: Dataset) -> pydicom.FileDataset:
    """The instance by WADO-RS, as it is stored."""
    address = (
        f"/studies/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}"
    )
    content = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
    return pydicom.dcmread(io.BytesIO(content))


def renamed(image: Dataset) -> Dataset:
    """The same pixels under names that nothing else has."""
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return image


def described(image: Dataset) -> tuple[dict[str, Any], list[Part]]:
    """An image as metadata and frames."""
    model = image.to_json_dict(bulk_data_threshold=10**9)
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "../bulk/pixels"}
    syntax = image.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return model, [Part(image.PixelData, location="../bulk/pixels")]
    media = {"1.2.840.10008.1.2.4.50": "image/jpeg", "1.2.840.10008.1.2.4.90": "image/jp2"}
    count = int(image.get("NumberOfFrames", 1) or 1)
    frames = generate_frames(image.PixelData, number_of_frames=count)
    kind = media.get(syntax, "image/dicom-rle")
    return model, [Part(frame, kind, "../bulk/pixels") for frame in frames]


def post(
    isocenter: Isocenter, content: bytes, path: str = "/studies", **headers: str
) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{isocenter.dicomweb}{path}"
    return httpx.post(url, content=content, headers={**JSON_ANSWER, **sent}, timeout=60)


def test_dicomweb_client_stores_and_is_told_what_became_of_each(isocenter: Isocenter) -> None:
    client = DICOMwebClient(isocenter.dicomweb)
    study = generate_uid()
    images = [ct_image(16, 16, study=study, number=number) for number in (1, 2, 3)]
    stray = ct_image(16, 16)
    for image in (*images, stray):
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.preamble = bytes(128)
    answer = client.store_instances([*images, stray], study_instance_uid=study)
    kept = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
    assert kept == {image.SOPInstanceUID for image in images}
    assert answer.RetrieveURL == f"{isocenter.dicomweb}/studies/{study}"
    (failed,) = answer.FailedSOPSequence
    assert failed.ReferencedSOPInstanceUID == stray.SOPInstanceUID
    assert failed.FailureReason == 0xC000
    for item, image in zip(answer.ReferencedSOPSequence, images, strict=True):
        content = httpx.get(item.RetrieveURL, headers={"Accept": "application/dicom"}).content
        assert np.array_equal(pydicom.dcmread(io.BytesIO(content)).pixel_array, image.pixel_array)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-H", "Expect: 100-continue"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Transfer-Encoding: chunked", "-H", "Content-Encoding: gzip"],
        ["-H", "Content-Encoding: deflate"],
    ],
    ids=["expect", "chunked", "gzip", "deflate"],
)
def test_curl_stores_one_object_as_the_body(
    isocenter: Isocenter, tmp_path: Path, arguments: list[str]
) -> None:
    series = write_series(tmp_path / "sent", 1)
    ((instance, path),) = series.files.items()
    content = path.read_bytes()
    if "Content-Encoding: gzip" in arguments:
        content = gzip.compress(content)
    if "Content-Encoding: deflate" in arguments:
        content = zlib.compress(content)
    sent = tmp_path / "body"
    sent.write_bytes(content)
    outcome = run(
        "curl", "-sv", *arguments, "-H", "Content-Type: application/dicom",
        "-H", "Accept: application/dicom+json", "--data-binary", f"@{sent}",
        f"{isocenter.dicomweb}/studies/{series.study}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.text
    assert "HTTP/1.1 200" in outcome.text, outcome.text
    assert ("HTTP/1.1 100 Continue" in outcome.text) == ("Expect: 100-continue" in arguments)
    image = pydicom.dcmread(path)
    assert np.array_equal(retrieved(isocenter, image).pixel_array, image.pixel_array)
    wait_until(lambda: find_instances(isocenter, series.study) == [instance])


def test_a_refusal_comes_before_the_body(isocenter: Isocenter, tmp_path: Path) -> None:
    """A client that asks first sends nothing of what is not taken."""
    sent = tmp_path / "body"
    sent.write_bytes(bytes(MIB))
    outcome = run(
        "curl", "-sv", "-H", "Expect: 100-continue", "-H", "Content-Type: text/plain",
        "--data-binary", f"@{sent}", f"{isocenter.dicomweb}/studies",
    )  # fmt: skip
    assert "HTTP/1.1 415" in outcome.text, outcome.text
    assert "100 Continue" not in outcome.text


@pytest.mark.parametrize(
    "name",
    ["CT_small.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_jpeg2k.dcm", "SC_rgb_rle_2frame.dcm"],
)
def test_metadata_and_frames_come_back_pixel_for_pixel(isocenter: Isocenter, name: str) -> None:
    image = renamed(pydicom.dcmread(pixel_file(name)))
    model, parts = described(image)
    answer = post(isocenter, body([metadata(model), *parts]), content_type=METADATA)
    assert answer.status_code == 200, answer.text
    kept = retrieved(isocenter, image)
    assert np.array_equal(kept.pixel_array, image.pixel_array)
    assert (kept.Rows, kept.PatientID) == (image.Rows, image.PatientID)
    address = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    frame = httpx.get(
        f"{address}/frames/1",
        headers={"Accept": "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"},
    )
    assert frame.status_code == 200, frame.text


def test_a_video_is_described_by_its_file(isocenter: Isocenter) -> None:
    image = ct_image(8, 8)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4.1"  # Video Photographic Image
    for keyword in [one.keyword for one in image.group_dataset(0x0028)] + ["PixelData"]:
        delattr(image, keyword)
    model = image.to_json_dict()
    model["7FE00010"] = {"vr": "OB", "BulkDataURI": "video"}
    content = mp4(frames=75)
    parts = [metadata(model), Part(content, "video/mp4", "video")]
    answer = post(isocenter, body(parts), content_type=METADATA)
    assert answer.status_code == 200, answer.text
    kept = retrieved(isocenter, image)
    assert kept.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.102"
    assert (kept.Rows, kept.Columns, kept.NumberOfFrames) == (480, 640, 75)
    (stream,) = generate_frames(kept.PixelData, number_of_frames=1)
    assert stream.startswith(content)


def test_a_document_is_stored_and_given_back(isocenter: Isocenter) -> None:
    document = ct_image(8, 8)
    for keyword in [one.keyword for one in document.group_dataset(0x0028)] + ["PixelData"]:
        delattr(document, keyword)
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"  # Encapsulated PDF
    model = document.to_json_dict()
    model["00420011"] = {"vr": "OB", "BulkDataURI": "document"}
    content = b"%PDF-1.7 " + bytes(range(256)) * 300
    parts = [metadata(model), Part(content, "application/pdf", "document")]
    answer = post(isocenter, body(parts), content_type=METADATA)
    assert answer.status_code == 200, answer.text
    kept = retrieved(isocenter, document)
    assert kept.EncapsulatedDocument[: kept.EncapsulatedDocumentLength] == content
    assert kept.MIMETypeOfEncapsulatedDocument == "application/pdf"


def test_what_fails_leaves_nothing(isocenter: Isocenter) -> None:
    image = renamed(pydicom.dcmread(pixel_file("SC_rgb_jpeg_dcmtk.dcm")))
    model, parts = described(image)
    model["00280010"] = {"vr": "US", "Value": [7]}
    answer = post(isocenter, body([metadata(model), *parts]), content_type=METADATA)
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081155"]["Value"] == [image.SOPInstanceUID]
    assert failed["00081197"]["Value"] == [0xC000]
    assert find_instances(isocenter, image.StudyInstanceUID) == []
    assert isocenter.objects.contents(image.StudyInstanceUID) == {}


# --- memory --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Isocenter]:
    """An installation that nobody else uses, and that has stored something before."""
    with running(tmp_path_factory.mktemp("alone") / "data") as installation:
        series = write_series(tmp_path_factory.mktemp("first"), 4)
        for path in series.files.values():
            sent = httpx.post(
                f"{installation.dicomweb}/studies",
                content=stow_body(path),
                headers={
                    **JSON_ANSWER,
                    "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
                },
            )
            assert sent.status_code == 200
        yield installation


def peaks(isocenter: Isocenter) -> dict[int, int]:
    """The most memory that each process has had since `forget_peaks`, bytes."""
    found = {}
    for pid in isocenter.pids():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (peak,) = [line for line in lines if line.startswith("VmHWM:")]
        found[pid] = int(peak.split()[1]) * 1024
    return found


def forget_peaks(isocenter: Isocenter) -> None:
    """From now on (proc_pid_clear_refs(5))."""
    for pid in isocenter.pids():
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def head_of(image: Dataset) -> bytes:
    """The Part 10 file up to the value of Pixel Data."""
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    out = io.BytesIO()
    pydicom.dcmwrite(out, image, enforce_file_format=True)
    content = out.getvalue()
    return content[: content.rindex(b"\xe0\x7f\x10\x00OW")]


def large_image(frames: int) -> tuple[Dataset, bytes, int]:
    """An image of frames of 1 MiB: its head with the pixel data element's, and their bytes."""
    image = ct_image(512, 1024)
    image.NumberOfFrames = frames
    size = frames * MIB
    image.PixelData = b""
    return image, head_of(image) + b"\xe0\x7f\x10\x00OW\0\0" + size.to_bytes(4, "little"), size


@pytest.mark.slow
@pytest.mark.parametrize("form", ["file", "gzip", "described"])
def test_a_large_object_takes_little_memory(alone: Isocenter, form: str) -> None:
    image, head, size = large_image(frames=192)
    model = image.to_json_dict()
    model["7FE00010"] = {"vr": "OW", "BulkDataURI": "pixels"}
    frame = np.random.default_rng(1).integers(0, 4096, MIB // 2, dtype=np.uint16).tobytes()

    def plain() -> Iterator[bytes]:
        yield head
        for _ in range(size // MIB):
            yield frame

    def gzipped() -> Iterator[bytes]:
        for chunk in plain():
            yield gzip.compress(chunk, 1)

    def parts() -> Iterator[bytes]:
        yield b"--b0\r\nContent-Type: application/dicom+json\r\n\r\n" + json.dumps(model).encode()
        yield b"\r\n--b0\r\nContent-Type: application/octet-stream\r\nContent-Location: pixels\r\n"
        yield b"\r\n"
        for _ in range(size // MIB):
            yield frame
        yield b"\r\n--b0--\r\n"

    forms = {
        "file": (plain, {"Content-Type": "application/dicom"}),
        "gzip": (gzipped, {"Content-Type": "application/dicom", "Content-Encoding": "gzip"}),
        "described": (parts, {"Content-Type": METADATA}),
    }
    content, headers = forms[form]
    forget_peaks(alone)
    before = peaks(alone)
    answer = httpx.post(
        f"{alone.dicomweb}/studies",
        content=content(),
        headers={**JSON_ANSWER, **headers},
        timeout=300,
    )
    assert answer.status_code == 200, answer.text
    grown = {pid: peak - before[pid] for pid, peak in peaks(alone).items()}
    assert max(grown.values()) < MEMORY, grown
    address = answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0]
    last = httpx.get(f"{address}/frames/192", headers={"Accept": "application/octet-stream"})
    assert last.content == frame


@pytest.mark.slow
def test_many_objects_in_one_request_take_little_memory(alone: Isocenter) -> None:
    image = ct_image(64, 64)
    count = 600

    def content() -> Iterator[bytes]:
        for number in range(count):
            image.SOPInstanceUID = f"{image.SeriesInstanceUID}.{number + 1}"
            image.PixelData = number.to_bytes(2, "little") * 4096
            out = io.BytesIO()
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
            pydicom.dcmwrite(out, image, enforce_file_format=True)
            yield b"--b0\r\nContent-Type: application/dicom\r\n\r\n" + out.getvalue() + b"\r\n"
        yield b"--b0--\r\n"

    image.SeriesInstanceUID = f"{generate_uid()[:50].rstrip('.')}"
    forget_peaks(alone)
    before = peaks(alone)
    answer = httpx.post(
        f"{alone.dicomweb}/studies/{image.StudyInstanceUID}",
        content=content(),
        headers={
            **JSON_ANSWER,
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=b0',
        },
        timeout=300,
    )
    assert answer.status_code == 200, answer.text[:1000]
    assert len(answer.json()["00081199"]["Value"]) == count
    grown = {pid: peak - before[pid] for pid, peak in peaks(alone).items()}
    assert max(grown.values()) < MEMORY, grown
